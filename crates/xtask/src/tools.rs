//! The programs that the commands need, and how they get onto the machine.
//!
//! Installs Debian packages as root and cargo tools into `target/tools`. Must never start or leave
//! running a system service: the tests and `cluster` start their own servers on their own ports.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use xshell::cmd;

use crate::project::Project;

/// A program and the Debian packages that bring it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) packages: &'static str,
}

/// What it takes to build: a linker for Rust, a C compiler for aws-lc and SQLite, make for jemalloc.
pub(crate) const BUILD: [Program; 2] =
    [Program { name: "cc", packages: "gcc libc6-dev" }, Program { name: "make", packages: "make" }];

/// Plays the cases of the alerts; Prometheus itself, for `cargo xtask observe`, comes in the same package.
pub(crate) const PROMTOOL: Program = Program { name: "promtool", packages: "prometheus" };

/// The servers that store, bus and cluster tests start, and the tool that tests alerts.
pub(crate) const SERVERS: [Program; 7] = [
    Program { name: "redis-server", packages: "redis-server" },
    Program { name: "postgres", packages: "postgresql" },
    Program { name: "haproxy", packages: "haproxy" },
    Program { name: "pgbouncer", packages: "pgbouncer" },
    Program { name: "nginx", packages: "nginx" },
    Program { name: "caddy", packages: "caddy" },
    PROMTOOL,
];

/// A tool from crates.io, pinned so that every machine judges alike.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CargoTool {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
}

/// Checks licences, sources and the direction of dependencies. Took 6 minutes to build on two busy cores.
pub(crate) const CARGO_DENY: CargoTool = CargoTool { name: "cargo-deny", version: "0.20.2" };

/// Drives libFuzzer.
pub(crate) const CARGO_FUZZ: CargoTool = CargoTool { name: "cargo-fuzz", version: "0.13.2" };

/// While this file says 101, Debian's packages do not start their services (invoke-rc.d(8)).
const SERVICE_POLICY: &str = "/usr/sbin/policy-rc.d";

/// Looks a program up on the search path of the project's shell.
pub(crate) fn find(project: &Project, program: &str) -> Option<PathBuf> {
    let path = project.shell.var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(program)).find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// Whether packages may be installed and other users' programs started.
pub(crate) fn is_root(project: &Project) -> Result<bool> {
    Ok(cmd!(project.shell, "id -u").quiet().read()?.trim() == "0")
}

/// Makes sure that the programs are there: installs their packages as root, else says what to install.
pub(crate) fn ensure(project: &Project, programs: &[Program]) -> Result<()> {
    let missing: Vec<Program> =
        programs.iter().filter(|program| find(project, program.name).is_none()).copied().collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.iter().map(|program| program.name).collect::<Vec<_>>().join(", ");
    let packages: Vec<&str> = missing.iter().flat_map(|program| program.packages.split(' ')).collect();
    let by_hand = format!("sudo apt-get install --no-install-recommends {}", packages.join(" "));
    if find(project, "apt-get").is_none() {
        bail!("missing: {names}. Install them with your package manager; on Debian: {by_hand}");
    }
    if !is_root(project)? {
        bail!("missing: {names}. Install them and come back: {by_hand}");
    }
    println!("Installing {} for {names}.", packages.join(" "));
    install_packages(project, &packages)?;
    project.refresh_search_path()?;
    match missing.iter().find(|program| find(project, program.name).is_none()) {
        Some(program) => bail!("{} is still missing after installing {}", program.name, program.packages),
        None => Ok(()),
    }
}

fn install_packages(project: &Project, packages: &[&str]) -> Result<()> {
    let shell = &project.shell;
    let _policy = ServicePolicy::forbid_starts()?;
    cmd!(shell, "apt-get update --quiet=2").run()?;
    cmd!(shell, "apt-get install --quiet=2 --yes --no-install-recommends {packages...}")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .run()?;
    Ok(())
}

/// Keeps freshly installed packages from starting their services until it is dropped.
struct ServicePolicy {
    ours: bool,
}

impl ServicePolicy {
    fn forbid_starts() -> Result<Self> {
        use std::os::unix::fs::PermissionsExt as _;
        // Somebody else's policy (a container image has one) is respected and left in place.
        if Path::new(SERVICE_POLICY).exists() {
            return Ok(Self { ours: false });
        }
        fs::write(SERVICE_POLICY, "#!/bin/sh\nexit 101\n")
            .and_then(|()| fs::set_permissions(SERVICE_POLICY, fs::Permissions::from_mode(0o755)))
            .with_context(|| format!("cannot write {SERVICE_POLICY}"))?;
        Ok(Self { ours: true })
    }
}

impl Drop for ServicePolicy {
    fn drop(&mut self) {
        if self.ours
            && let Err(error) = fs::remove_file(SERVICE_POLICY)
        {
            eprintln!("could not remove {SERVICE_POLICY}: {error}");
        }
    }
}

/// Makes sure that a cargo tool is there in the pinned version, else builds it into `target/tools`.
pub(crate) fn ensure_cargo_tool(project: &Project, tool: CargoTool) -> Result<()> {
    if installed_version(project, tool.name).as_deref() == Some(tool.version) {
        return Ok(());
    }
    println!("Building {} {} into {}.", tool.name, tool.version, project.tools_folder().display());
    let folder = project.tools_folder();
    let CargoTool { name, version } = tool;
    project
        .cargo()
        .args(["install", name, "--locked", "--version", version, "--root"])
        .arg(&folder)
        .run()
        .with_context(|| format!("cannot install {name} {version}"))
}

/// The version of a cargo tool on the search path, if it is there and runs.
pub(crate) fn installed_version(project: &Project, name: &str) -> Option<String> {
    let program = find(project, name)?;
    let line = project.shell.cmd(program).arg("--version").quiet().ignore_stderr().read().ok()?;
    line.split_whitespace().last().map(str::to_owned)
}

/// Makes sure that `cargo SUBCOMMAND` is there: a minimal toolchain comes without rustfmt and clippy.
pub(crate) fn ensure_component(project: &Project, component: &str, subcommand: &str) -> Result<()> {
    if project.cargo().args([subcommand, "--version"]).quiet().ignore_stderr().read().is_ok() {
        return Ok(());
    }
    let shell = &project.shell;
    cmd!(shell, "rustup component add {component}")
        .run()
        .with_context(|| format!("{component} is missing: add it to your toolchain"))
}

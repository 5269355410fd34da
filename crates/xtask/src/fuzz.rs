//! `cargo xtask fuzz`: the fuzz targets of all crates, found by their manifests.
//!
//! Must never keep a list of targets by hand: one that nobody added would never run.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use toml::{Table, Value};
use xshell::cmd;

use crate::project::Project;
use crate::tools;

/// libFuzzer's instrumentation needs the nightly compiler.
const TOOLCHAIN: &str = "nightly";

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The target; `list` prints all; none runs all, one after the other.
    name: Option<String>,
    /// How long to run each target.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
}

/// A fuzz target and the crate that it belongs to.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    name: String,
    /// The folder of the crate, e.g. `crates/websocket`.
    folder: PathBuf,
}

/// Runs the chosen targets; stops at the first finding.
pub(crate) fn run(project: &Project, options: &Options) -> Result<()> {
    let mut targets = targets(project)?;
    ensure!(!targets.is_empty(), "no crate has a fuzz target");
    match options.name.as_deref() {
        Some("list") => {
            for Target { name, folder } in &targets {
                println!("{name:24} {}", folder.strip_prefix(&project.root).unwrap_or(folder).display());
            }
            return Ok(());
        }
        Some(name) => {
            targets.retain(|target| target.name == name);
            if targets.is_empty() {
                bail!("no fuzz target is called `{name}`: see `cargo xtask fuzz list`");
            }
        }
        None => {}
    }
    tools::ensure(project, &tools::BUILD)?;
    ensure_nightly(project)?;
    tools::ensure_cargo_tool(project, tools::CARGO_FUZZ)?;
    for target in &targets {
        println!("\n==> fuzz {} for {} s", target.name, options.seconds);
        run_target(project, target, options.seconds)?;
    }
    println!("\nno findings: {}", targets.iter().map(|target| target.name.as_str()).collect::<Vec<_>>().join(", "));
    Ok(())
}

fn run_target(project: &Project, target: &Target, seconds: u64) -> Result<()> {
    let _folder = project.shell.push_dir(&target.folder);
    let limit = format!("-max_total_time={seconds}");
    let command = project.cargo_of(TOOLCHAIN).args(["fuzz", "run", &target.name, "--", &limit, "-print_final_stats=1"]);
    command.run().with_context(|| {
        format!("{} found something: the input lies in {}/fuzz/artifacts", target.name, target.folder.display())
    })
}

fn ensure_nightly(project: &Project) -> Result<()> {
    if project.cargo_of(TOOLCHAIN).arg("--version").quiet().ignore_stderr().read().is_ok() {
        return Ok(());
    }
    let shell = &project.shell;
    cmd!(shell, "rustup toolchain install {TOOLCHAIN} --profile minimal")
        .run()
        .context("fuzzing needs a nightly toolchain, and rustup to install it")
}

/// The manifests of all fuzz crates.
pub(crate) fn manifests(project: &Project) -> Result<Vec<PathBuf>> {
    let mut manifests: Vec<PathBuf> = fs::read_dir(project.path("crates"))?
        .flatten()
        .map(|entry| entry.path().join("fuzz").join("Cargo.toml"))
        .filter(|manifest| manifest.is_file())
        .collect();
    manifests.sort();
    Ok(manifests)
}

fn targets(project: &Project) -> Result<Vec<Target>> {
    let mut targets = Vec::new();
    for manifest in manifests(project)? {
        let text = fs::read_to_string(&manifest)?;
        let names = target_names(&text).with_context(|| format!("in {}", manifest.display()))?;
        let folder = manifest.ancestors().nth(2).context("a fuzz crate lies in its crate")?;
        targets.extend(names.into_iter().map(|name| Target { name, folder: folder.to_path_buf() }));
    }
    Ok(targets)
}

fn target_names(manifest: &str) -> Result<Vec<String>> {
    let table: Table = manifest.parse()?;
    let binaries = table.get("bin").and_then(Value::as_array).context("no [[bin]]")?;
    let names = binaries.iter().map(|binary| binary.get("name").and_then(Value::as_str).map(str::to_owned));
    names.collect::<Option<Vec<_>>>().context("a [[bin]] without a name")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_the_binaries_of_the_manifest() {
        let names = target_names("[[bin]]\nname = \"parser\"\npath = \"a.rs\"\n[[bin]]\nname = \"inflate\"\n");
        assert_eq!(names.expect("two names"), ["parser", "inflate"]);
        target_names("[package]\nname = \"x\"\n").expect_err("nothing to run");
    }
}

//! Where the project lies and how its commands are started: one shell, one search path, one cargo.
//!
//! Must never decide what to run; that is the business of the command modules.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use xshell::{Cmd, Shell};

/// What `cargo run` puts into our environment. Passed on, it would make build scripts believe that
/// something changed and build again.
const CARGO_RUN_VARIABLES: [&str; 14] = [
    "CARGO_MANIFEST_DIR",
    "CARGO_MANIFEST_PATH",
    "CARGO_PKG_AUTHORS",
    "CARGO_PKG_DESCRIPTION",
    "CARGO_PKG_HOMEPAGE",
    "CARGO_PKG_LICENSE",
    "CARGO_PKG_LICENSE_FILE",
    "CARGO_PKG_NAME",
    "CARGO_PKG_README",
    "CARGO_PKG_REPOSITORY",
    "CARGO_PKG_RUST_VERSION",
    "CARGO_PKG_VERSION",
    "LD_LIBRARY_PATH",
    "OUT_DIR",
];

/// Folders of programs that are not on everybody's `PATH`: HAProxy lives in one of them on Debian, and Go's own archive is
/// unpacked to the last.
const SYSTEM_FOLDERS: [&str; 4] = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/go/bin"];

/// Debian keeps the PostgreSQL servers here, one folder per major version, off the `PATH`.
const POSTGRESQL_FOLDER: &str = "/usr/lib/postgresql";

/// The checkout this xtask belongs to.
pub(crate) struct Project {
    /// The root of the workspace.
    pub(crate) root: PathBuf,
    /// Cargo's target folder, wherever the user's configuration put it.
    pub(crate) target: PathBuf,
    /// Starts commands in the root with the search path of [`search_path`].
    pub(crate) shell: Shell,
}

impl Project {
    /// Finds the checkout. Fails when the shell cannot be set up, i.e. the current folder is gone.
    pub(crate) fn open() -> Result<Self> {
        let manifest = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let root = Path::new(&manifest)
            .ancestors()
            .nth(2)
            .context("the xtask package lies in crates/xtask of the workspace")?
            .to_path_buf();
        let program = env::current_exe().context("cannot tell where xtask itself was built")?;
        // Cargo builds this program at <target>/<profile>/xtask.
        let target = program.ancestors().nth(2).map_or_else(|| root.join("target"), Path::to_path_buf);
        let shell = Shell::new()?;
        shell.change_dir(&root);
        let project = Self { root, target, shell };
        project.refresh_search_path()?;
        Ok(project)
    }

    /// Looks again where programs are: an installed package may have brought a folder of its own.
    pub(crate) fn refresh_search_path(&self) -> Result<()> {
        self.shell.set_var("PATH", search_path(&self.target)?);
        Ok(())
    }

    /// The cargo that started us, so that the toolchain stays the same.
    pub(crate) fn cargo(&self) -> Cmd<'_> {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
        self.clean_environment(self.shell.cmd(PathBuf::from(cargo)))
    }

    /// Cargo through rustup, for a toolchain other than the one that started us.
    pub(crate) fn cargo_of(&self, toolchain: &str) -> Cmd<'_> {
        let command = self.shell.cmd("cargo").arg(format!("+{toolchain}"));
        self.clean_environment(command).env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN")
    }

    fn clean_environment<'a>(&self, command: Cmd<'a>) -> Cmd<'a> {
        CARGO_RUN_VARIABLES.iter().fold(command, |command, variable| command.env_remove(variable))
    }

    /// Builds the `hubbub` binary and returns its path.
    pub(crate) fn build_hubbub(&self, release: bool) -> Result<PathBuf> {
        let profile = release.then_some("--release");
        self.cargo().args(["build", "--package", "hubbub", "--bin", "hubbub"]).args(profile).run()?;
        Ok(self.target.join(if release { "release" } else { "debug" }).join("hubbub"))
    }

    /// Where `cargo install` puts the tools of this project, so that the machine is left alone.
    pub(crate) fn tools_folder(&self) -> PathBuf {
        self.target.join("tools")
    }

    /// The root-relative path as an absolute one.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }
}

/// The project's own tools first, then the user's `PATH`, then what Debian keeps off it.
fn search_path(target: &Path) -> Result<OsString> {
    let own = target.join("tools").join("bin");
    let users = env::var_os("PATH").unwrap_or_default();
    let mut folders = vec![own];
    folders.extend(env::split_paths(&users));
    folders.extend(postgresql_folders(Path::new(POSTGRESQL_FOLDER)));
    folders.extend(SYSTEM_FOLDERS.iter().map(PathBuf::from));
    env::join_paths(folders).context("a folder on PATH has a colon in its name")
}

/// The `bin` folders of every installed PostgreSQL, newest first.
fn postgresql_folders(parent: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(parent) else { return Vec::new() };
    let mut versions: Vec<(u32, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    versions.sort_by(|a, b| b.cmp(a));
    versions.into_iter().map(|(_, folder)| folder).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newest_postgresql_comes_first() {
        let parent = env::temp_dir().join(format!("hubbub-xtask-postgresql-{}", std::process::id()));
        for version in ["9", "15", "17", "notes"] {
            fs::create_dir_all(parent.join(version)).expect("scratch folder");
        }
        let folders = postgresql_folders(&parent);
        fs::remove_dir_all(&parent).expect("scratch folder");
        let expected: Vec<PathBuf> = ["17", "15", "9"].iter().map(|version| parent.join(version).join("bin")).collect();
        assert_eq!(folders, expected);
    }
}

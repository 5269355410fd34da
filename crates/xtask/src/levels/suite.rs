//! The test programs: built by one cargo command, then started one by one as cargo would.
//!
//! Must never guess where cargo put a program; cargo says it in its messages.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::project::Project;

/// One program of tests.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TestProgram {
    /// The folder of its crate, relative to the root.
    pub(super) folder: String,
    /// The name of the target, e.g. of the file in `tests/`.
    pub(super) target: String,
    executable: PathBuf,
}

/// All test programs of some crates, and the `hubbub` binary for those that start it.
#[derive(Debug, Default)]
pub(super) struct Suite {
    pub(super) programs: Vec<TestProgram>,
    /// Whether there is a library, whose documentation may hold tests.
    pub(super) has_library: bool,
    hubbub: Option<PathBuf>,
    /// The packages as cargo was told; doc tests must be run with the same, or all is built again.
    selection: Vec<String>,
}

impl Suite {
    /// Builds the test programs of these packages, or of the workspace, and the `hubbub` binary if wanted.
    pub(super) fn build(project: &Project, packages: Option<&[(&str, &str)]>, hubbub: bool) -> Result<Self> {
        let selection = match packages {
            Some(packages) => packages.iter().map(|(_, package)| format!("--package={package}")).collect(),
            None => vec!["--workspace".to_owned()],
        };
        let command = project.cargo().args(["test", "--no-run", "--message-format=json-render-diagnostics"]);
        let messages = command.args(&selection).read().context("the tests do not build")?;
        let mut suite = Self { selection, ..Self::default() };
        for message in messages.lines() {
            suite.take_in(&project.root, &serde_json::from_str(message)?);
        }
        suite.programs.sort_by(|a, b| (&a.folder, &a.target).cmp(&(&b.folder, &b.target)));
        if hubbub && suite.hubbub.is_none() {
            suite.hubbub = Some(project.build_hubbub(false)?);
        }
        Ok(suite)
    }

    /// Starts the program as cargo would: in the folder of its crate, which it finds in its environment too.
    pub(super) fn command(&self, project: &Project, program: &TestProgram) -> Command {
        let folder = project.path(&program.folder);
        let mut command = Command::from(project.shell.cmd(&program.executable));
        command.current_dir(&folder).env("CARGO_MANIFEST_DIR", &folder);
        command.envs(self.hubbub.iter().map(|binary| ("HUBBUB_BIN", binary)));
        command
    }

    /// The doc tests of all the crates that were built.
    pub(super) fn doc_tests(&self, project: &Project) -> Command {
        project.cargo().args(["test", "--doc"]).args(&self.selection).into()
    }

    fn take_in(&mut self, root: &Path, message: &Value) {
        let manifest = message["manifest_path"].as_str().map(Path::new);
        let Some(folder) = manifest.and_then(Path::parent).and_then(|folder| folder.strip_prefix(root).ok()) else {
            return;
        };
        let folder = folder.to_string_lossy().into_owned();
        let target = message["target"]["name"].as_str().unwrap_or_default().to_owned();
        let kinds = message["target"]["kind"].as_array();
        let is_of_kind = |kind: &str| kinds.is_some_and(|kinds| kinds.iter().any(|one| one == kind));
        self.has_library |= is_of_kind("lib");
        let Some(executable) = message["executable"].as_str().map(PathBuf::from) else { return };
        if message["profile"]["test"] == true {
            self.programs.push(TestProgram { folder, target, executable });
        } else if target == "hubbub" && is_of_kind("bin") {
            self.hubbub = Some(executable);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suite_of(messages: &[&str]) -> Suite {
        let mut suite = Suite::default();
        for message in messages {
            suite.take_in(Path::new("/src"), &serde_json::from_str(message).expect("JSON"));
        }
        suite
    }

    #[test]
    fn test_programs_are_told_from_the_binary_and_from_libraries() {
        let suite = suite_of(&[
            r#"{"manifest_path":"/src/crates/bus/Cargo.toml","target":{"kind":["lib"],"name":"hubbub_bus"},"profile":{"test":true},"executable":"/t/bus-1"}"#,
            r#"{"manifest_path":"/src/crates/server/Cargo.toml","target":{"kind":["bin"],"name":"hubbub"},"profile":{"test":false},"executable":"/t/hubbub"}"#,
            r#"{"manifest_path":"/cache/serde/Cargo.toml","target":{"kind":["lib"],"name":"serde"},"profile":{"test":false},"executable":null}"#,
            r#"{"reason":"build-finished","success":true}"#,
        ]);
        let program =
            TestProgram { folder: "crates/bus".into(), target: "hubbub_bus".into(), executable: "/t/bus-1".into() };
        assert_eq!(suite.programs, [program]);
        assert_eq!(suite.hubbub, Some("/t/hubbub".into()));
        assert!(suite.has_library);
    }
}

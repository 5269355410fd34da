//! The schemas of several Kubernetes versions, as `kubernetes-validate` from PyPI has them, against every rendered object.
//!
//! Owns the versions. Must never install anything outside of `target/tools`.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::k8s::rendered::Rendered;
use crate::project::Project;
use crate::tools::{self, Program};

/// From the oldest that the chart admits to the newest that the package knows.
const VERSIONS: [&str; 8] = ["1.30", "1.31", "1.32", "1.33", "1.34", "1.35", "1.36", "1.37"];

const PACKAGE: &str = "kubernetes-validate";
const PACKAGE_VERSION: &str = "1.37.0";

/// Debian splits the module for folders of their own off.
const PYTHON: Program = Program { name: "python3", packages: "python3 python3-venv" };

const PROGRAM: &str = include_str!("validate.py");

/// Fails with everything that some version would refuse.
pub(super) fn check(project: &Project, combinations: &[Rendered]) -> Result<()> {
    let python = ensure(project)?;
    let folder = project.target.join("k8s").join("rendered");
    fs::create_dir_all(&folder)?;
    let program = folder.join("validate.py");
    fs::write(&program, PROGRAM)?;
    let mut files = Vec::new();
    for Rendered { name, text, .. } in combinations {
        let file = folder.join(format!("{name}.yaml"));
        fs::write(&file, text)?;
        files.push(file);
    }
    println!("  Kubernetes {}", VERSIONS.join(", "));
    project.shell.cmd(python).arg(program).args(VERSIONS).arg("--").args(files).quiet().run().context("schemas")
}

/// A Python with the package, made where it is missing.
fn ensure(project: &Project) -> Result<PathBuf> {
    tools::ensure(project, &[PYTHON])?;
    let folder = project.tools_folder().join(format!("{PACKAGE}-{PACKAGE_VERSION}"));
    let (python, made) = (folder.join("bin").join("python"), folder.join("made"));
    if !made.exists() {
        let shell = &project.shell;
        shell.cmd("python3").args(["-m", "venv", "--clear"]).arg(&folder).run()?;
        let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
        shell.cmd(&python).args(install).arg(format!("{PACKAGE}=={PACKAGE_VERSION}")).run()?;
        fs::write(&made, "")?;
    }
    Ok(python)
}

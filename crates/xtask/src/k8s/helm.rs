//! Helm: found, or built from its Go module, and asked to lint and to render.
//!
//! Must never speak to a cluster by itself: whoever installs something passes the address.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::k8s::CHART;
use crate::project::Project;
use crate::tools;

/// Rendering differs between versions, and the rendered copy is in the repository.
pub(super) const VERSION: &str = "v3.19.0";

const MODULE: &str = "helm.sh/helm/v3/cmd/helm";

/// A Helm that was built by hand takes itself for one of 1.20; no template asks for the version.
const KUBERNETES: &str = "1.34.0";

/// Where Go is installed when it is not on the search path.
const GO: &str = "/usr/local/go/bin/go";

/// The release and the namespace, of what is rendered and of what is played.
pub(super) const RELEASE: &str = "hubbub";

/// The pinned Helm.
pub(crate) struct Helm<'a> {
    project: &'a Project,
    pub(super) program: PathBuf,
}

impl<'a> Helm<'a> {
    /// The pinned version, if it is there.
    pub(crate) fn find(project: &'a Project) -> Option<Self> {
        let program = tools::find(project, "helm")?;
        let version = Command::new(&program).args(["version", "--template", "{{.Version}}"]).output().ok()?;
        (String::from_utf8_lossy(&version.stdout).trim() == VERSION).then_some(Self { project, program })
    }

    /// The pinned version, built into `target/tools` where it is missing.
    pub(crate) fn ensure(project: &'a Project) -> Result<Self> {
        if let Some(helm) = Self::find(project) {
            return Ok(helm);
        }
        let folder = project.tools_folder().join("bin");
        println!("Building helm {VERSION} into {}.", folder.display());
        let package = format!("{MODULE}@{VERSION}");
        let ldflags = format!("-ldflags=-s -w -X helm.sh/helm/v3/internal/version.version={VERSION}");
        let go = project.shell.cmd(go(project)?).args(["install", &ldflags, &package]).env("GOBIN", &folder);
        go.run().with_context(|| format!("cannot build {package}"))?;
        Self::find(project).with_context(|| format!("{} is not helm {VERSION}", folder.join("helm").display()))
    }

    /// `helm lint --strict` with these values.
    pub(super) fn lint(&self, values: &Path) -> Result<()> {
        let chart = self.project.path(CHART);
        let mut command = Command::new(&self.program);
        command.args(["lint", "--strict", "--kube-version", KUBERNETES]).arg(chart).arg("--values").arg(values);
        self.read(&mut command).map(drop)
    }

    /// Everything that the chart makes of these values, hooks included. The error is what Helm said.
    pub(super) fn template(&self, values: &Path) -> Result<String> {
        let chart = self.project.path(CHART);
        let mut command = Command::new(&self.program);
        command.args(["template", RELEASE]).arg(chart).args(["--kube-version", KUBERNETES, "--namespace", RELEASE]);
        command.arg("--values").arg(values);
        self.read(&mut command)
    }

    /// Runs to the end; its output.
    pub(super) fn read(&self, command: &mut Command) -> Result<String> {
        let output = command.output().context("cannot start helm")?;
        if !output.status.success() {
            let both = [output.stdout, output.stderr].concat();
            bail!("helm: {}", String::from_utf8_lossy(&both).trim());
        }
        String::from_utf8(output.stdout).context("helm prints UTF-8")
    }
}

/// The Go tool.
pub(super) fn go(project: &Project) -> Result<PathBuf> {
    let found = tools::find(project, "go").or_else(|| Some(PathBuf::from(GO)).filter(|path| path.is_file()));
    found
        .with_context(|| format!("neither helm {VERSION} nor Go is here; install Go 1.24 or newer (https://go.dev/dl)"))
}

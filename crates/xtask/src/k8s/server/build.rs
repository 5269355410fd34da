//! Building the programs of one Kubernetes version, and finding the definitions of foreign kinds, all from Go modules.
//!
//! Must never copy any of it into the repository: modules stay in Go's cache, programs in `target/k8s`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::k8s::helm;
use crate::project::Project;

/// Of the API server, the controller-manager and kubectl.
pub(super) const KUBERNETES: &str = "v1.34.1";

/// The modules that Kubernetes is split into have versions of their own.
const STAGING: &str = "v0.34.1";

const PROGRAM: &str = include_str!("main.go");

/// Modules whose definitions the chart's optional kinds need, and where in them.
const DEFINITIONS: [(&str, &[&str]); 4] = [
    (
        "github.com/prometheus-operator/prometheus-operator@v0.85.0",
        &[
            "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
            "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
        ],
    ),
    (
        "sigs.k8s.io/gateway-api@v1.6.3",
        &[
            "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml",
            "config/crd/standard/gateway.networking.k8s.io_tlsroutes.yaml",
        ],
    ),
    ("github.com/kedacore/keda/v2@v2.20.2", &["config/crd/bases/keda.sh_scaledobjects.yaml"]),
    ("github.com/cert-manager/cert-manager@v1.21.2", &["deploy/crds/cert-manager.io_certificates.yaml"]),
];

/// The program `control`, built where it is missing or of another version.
pub(super) fn control(project: &Project) -> Result<PathBuf> {
    let folder = project.target.join("k8s").join("control");
    fs::create_dir_all(&folder)?;
    let (program, source, stamp) = (folder.join("control"), folder.join("main.go"), folder.join("built"));
    let wanted = format!("{KUBERNETES}\n{PROGRAM}");
    if program.is_file() && fs::read_to_string(&stamp).is_ok_and(|built| built == wanted) {
        return Ok(program);
    }
    println!("  building kube-apiserver, kube-controller-manager and kubectl {KUBERNETES} with Go");
    fs::write(&source, PROGRAM)?;
    fs::write(folder.join("go.mod"), manifest(project)?)?;
    let version = "-X k8s.io/component-base/version.";
    let ldflags = format!("-ldflags=-s -w {version}gitVersion={KUBERNETES} {version}gitMajor=1 {version}gitMinor=34");
    let _folder = project.shell.push_dir(&folder);
    let build = project.shell.cmd(helm::go(project)?).args(["build", "-mod=mod", &ldflags, "-o", "control", "."]);
    build.env("GOFLAGS", "").env("CGO_ENABLED", "0").run().context("cannot build Kubernetes")?;
    fs::write(&stamp, wanted)?;
    Ok(program)
}

/// A `go.mod` over the modules of Kubernetes, each in the version that belongs to it.
fn manifest(project: &Project) -> Result<String> {
    let own = downloaded(project, &format!("k8s.io/kubernetes@{KUBERNETES}"))?.join("go.mod");
    let text = fs::read_to_string(&own).with_context(|| format!("cannot read {}", own.display()))?;
    let staging: Vec<&str> = text
        .lines()
        .filter_map(|line| line.trim().trim_start_matches("replace ").split_once(" => ./staging/"))
        .map(|(module, _)| module)
        .collect();
    ensure!(!staging.is_empty(), "Kubernetes {KUBERNETES} names no modules of its own");
    let mut manifest = format!("module control\n\ngo 1.24.0\n\nrequire k8s.io/kubernetes {KUBERNETES}\n\n");
    for module in staging {
        manifest += &format!("replace {module} => {module} {STAGING}\n");
    }
    Ok(manifest)
}

/// Files with the definitions of the kinds that the chart can make and Kubernetes does not have.
pub(super) fn definitions(project: &Project) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for (module, paths) in DEFINITIONS {
        let folder = downloaded(project, module)?;
        for path in paths {
            let file = folder.join(path);
            ensure!(file.is_file(), "{module} has no {path}");
            files.push(file);
        }
    }
    Ok(files)
}

/// Where a module lies in Go's cache, after it was fetched there.
fn downloaded(project: &Project, module: &str) -> Result<PathBuf> {
    let elsewhere = project.shell.push_dir(project.target.join("k8s"));
    let command = project.shell.cmd(helm::go(project)?).args(["mod", "download", "-json", module]).quiet();
    let answer = command.read().with_context(|| format!("cannot fetch {module}"))?;
    drop(elsewhere);
    let answer: serde_json::Value = serde_json::from_str(&answer)?;
    let folder = answer["Dir"].as_str().with_context(|| format!("{module}: {}", answer["Error"]))?;
    Ok(Path::new(folder).to_path_buf())
}

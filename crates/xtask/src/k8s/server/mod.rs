//! A real API server with real controllers on this machine: what they say of the chart.
//!
//! There is no kubelet and no scheduler: pods stay pending until `play` says what became of them. Must never touch a cluster
//! of the user: every command is given the address of the one started here.

mod build;
mod cluster;
mod play;
mod scaling;

use anyhow::{Result, ensure};

use crate::k8s::helm::Helm;
use crate::k8s::rendered::Rendered;
use crate::k8s::server::cluster::Cluster;
use crate::k8s::timed;
use crate::project::Project;
use crate::tools::{self, Program};

const ETCD: Program = Program { name: "etcd", packages: "etcd-server" };

/// Where the chart goes, and where the ops port may be reached from.
const NAMESPACES: [&str; 2] = ["hubbub", "monitoring"];

/// Said by 1.34 of every headless Service: it looks for an affinity after it has filled in the default itself.
const UNFOUNDED: &str = "spec.SessionAffinity is ignored for headless services";

/// Builds, starts, checks, plays, stops.
pub(super) fn run(project: &Project, helm: &Helm<'_>, combinations: &[Rendered]) -> Result<()> {
    tools::ensure(project, &[ETCD])?;
    let program = timed("build", || build::control(project))?;
    let cluster = timed("start", || Cluster::start(project, &program))?;
    timed("definitions", || {
        for file in build::definitions(project)? {
            cluster.kubectl(&["apply", "--server-side", "-f", &file.to_string_lossy()])?;
        }
        cluster.kubectl(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"])?;
        for namespace in NAMESPACES {
            cluster.kubectl(&["create", "namespace", namespace])?;
        }
        // From now on a pod that asks for more than it needs is refused, and a template that would is warned about.
        let restricted =
            ["pod-security.kubernetes.io/enforce=restricted", "pod-security.kubernetes.io/warn=restricted"];
        cluster.kubectl(&["label", "namespace", NAMESPACES[0], restricted[0], restricted[1]]).map(drop)
    })?;
    timed("server-side dry run", || dry_run(&cluster, combinations))?;
    timed("install, rollout, eviction", || play::run(project, helm, &cluster))?;
    timed("autoscaling", || scaling::run(project, helm, &cluster))
}

/// Every object of every combination is taken by the API server without a warning.
fn dry_run(cluster: &Cluster, combinations: &[Rendered]) -> Result<()> {
    let mut objects = 0;
    for Rendered { name, text, .. } in combinations {
        let apply = ["apply", "--server-side", "--dry-run=server", "--namespace", NAMESPACES[0], "-f", "-"];
        let said = cluster.kubectl_with(&apply, text)?;
        let warning = said.stderr.lines().find(|line| line.contains("Warning") && !line.contains(UNFOUNDED));
        ensure!(warning.is_none(), "{name}: {}", said.stderr);
        objects += said.stdout.lines().count();
    }
    println!("  {objects} objects of {} combinations accepted without a warning", combinations.len());
    Ok(())
}

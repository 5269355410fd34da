//! A release as real controllers carry it out: installed, rolled, stuck, taken back, and its pods evicted.
//!
//! Says of every pod what a kubelet would have said. Must never decide what controllers decide.

use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::k8s::helm::{Helm, RELEASE};
use crate::k8s::server::NAMESPACES;
use crate::k8s::server::cluster::Cluster;
use crate::k8s::{CHART, COMBINATIONS, REFUSED};
use crate::project::Project;

/// Of the combination that is played.
const REPLICAS: usize = 3;

/// When pods became ready: long enough ago for `minReadySeconds`.
const LONG_AGO: &str = "2020-01-01T00:00:00Z";

/// A release that is changed.
pub(super) struct Play<'a> {
    pub(super) project: &'a Project,
    pub(super) helm: &'a Helm<'a>,
    pub(super) cluster: &'a Cluster,
}

/// What is asked of a pod.
pub(super) struct Pod {
    pub(super) name: String,
    component: String,
    pub(super) ready: bool,
    ended: bool,
}

/// Plays everything; each step leaves the release whole.
pub(super) fn run(project: &Project, helm: &Helm<'_>, cluster: &Cluster) -> Result<()> {
    let play = Play { project, helm, cluster };
    play.install()?;
    play.roll()?;
    play.refuse()?;
    play.stick()?;
    play.evict()
}

impl Play<'_> {
    /// The migration has to be through before any node is made.
    fn install(&self) -> Result<()> {
        let mut nodes_before = false;
        self.release("install", "minimal", &[], |pods| {
            let migrating = pods.iter().any(|pod| pod.component == "migration" && !pod.ended);
            nodes_before |= migrating && pods.iter().any(|pod| pod.component == "node");
            Ok(())
        })?;
        ensure!(!nodes_before, "nodes were made while the database was being migrated");
        self.cluster.until("three ready nodes", || {
            self.make_ready(usize::MAX)?;
            self.is_rolled_out(REPLICAS)
        })?;
        println!("  installed: the migration first, then {REPLICAS} nodes");
        Ok(())
    }

    /// A changed configuration replaces every pod, one more than wanted at a time and none missing.
    fn roll(&self) -> Result<()> {
        self.release("upgrade", "minimal", &["config.drain.grace=6s"], |_| Ok(()))?;
        let (mut most, mut fewest_ready) = (0, usize::MAX);
        self.cluster.until("a rollout", || {
            let nodes = self.nodes()?;
            most = most.max(nodes.len());
            fewest_ready = fewest_ready.min(nodes.iter().filter(|pod| pod.ready).count());
            self.make_ready(1)?;
            self.is_rolled_out(REPLICAS)
        })?;
        ensure!(most == REPLICAS + 1, "{most} pods at a time, not {}", REPLICAS + 1);
        ensure!(fewest_ready == REPLICAS, "only {fewest_ready} ready pods at a time, not {REPLICAS}");
        println!("  rolled: never more than {most} pods, never fewer than {fewest_ready} ready");
        Ok(())
    }

    /// A wrong value is refused before anything is asked of the cluster.
    fn refuse(&self) -> Result<()> {
        let before = self.names()?;
        let values = self.project.path(REFUSED).join("drain-too-short.yaml");
        let mut command = self.helm("upgrade", &values, &[]);
        let Err(error) = self.helm.read(&mut command) else { bail!("a wrong value was taken") };
        ensure!(self.names()? == before, "a wrong value changed pods");
        let words = error.to_string();
        println!("  refused: {}", words.rsplit("error calling fail: ").next().unwrap_or(&words));
        Ok(())
    }

    /// A version that never becomes ready takes no node away, and is taken back.
    fn stick(&self) -> Result<()> {
        self.release("upgrade", "minimal", &["image.tag=never-ready"], |_| Ok(()))?;
        let status = |field: &str| -> Result<u64> {
            let deployment = self.cluster.object(&["deployment", RELEASE, "--namespace", NAMESPACES[0]])?;
            Ok(deployment["status"][field].as_u64().unwrap_or_default())
        };
        self.cluster
            .until("one new pod", || Ok(status("updatedReplicas")? == 1 && status("unavailableReplicas")? == 1))?;
        let ready = self.nodes()?.iter().filter(|pod| pod.ready).count();
        ensure!(ready == REPLICAS, "{ready} ready pods while the new version is stuck");
        let mut command = Command::new(&self.helm.program);
        command.args(["rollback", RELEASE, "--namespace", NAMESPACES[0], "--kubeconfig"]).arg(&self.cluster.kubeconfig);
        self.helm.read(&mut command)?;
        self.cluster.until("the version before", || self.is_rolled_out(REPLICAS))?;
        println!("  stuck: a version that is never ready left {ready} nodes serving, and was taken back");
        Ok(())
    }

    /// Maintenance takes one node at a time.
    fn evict(&self) -> Result<()> {
        let budget = || self.cluster.object(&["poddisruptionbudget", RELEASE, "--namespace", NAMESPACES[0]]);
        let allows = |count: u64| -> Result<bool> { Ok(budget()?["status"]["disruptionsAllowed"] == count) };
        self.cluster.until("a disruption to be allowed", || allows(1))?;
        let nodes = self.nodes()?;
        self.eviction(&nodes[0].name).context("the first eviction")?;
        let Err(refused) = self.eviction(&nodes[1].name) else { bail!("two nodes were evicted at once") };
        ensure!(refused.to_string().contains("disruption budget"), "{refused}");
        self.cluster.until("the next disruption to be allowed", || {
            self.make_ready(usize::MAX)?;
            allows(1)
        })?;
        println!("  evicted: one node; the second was refused until there were {REPLICAS} again");
        Ok(())
    }

    fn eviction(&self, pod: &str) -> Result<()> {
        let path = format!("/api/v1/namespaces/{}/pods/{pod}/eviction", NAMESPACES[0]);
        let body = json!({
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": { "name": pod, "namespace": NAMESPACES[0] },
        });
        self.cluster.kubectl_with(&["create", "--raw", &path, "-f", "-"], &body.to_string()).map(drop)
    }

    /// Runs Helm to its end and lets the Job of its hook succeed meanwhile; `look` sees the pods each time.
    pub(super) fn release(
        &self,
        verb: &str,
        values: &str,
        sets: &[&str],
        mut look: impl FnMut(&[Pod]) -> Result<()>,
    ) -> Result<()> {
        let mut command = self.helm(verb, &self.project.path(COMBINATIONS).join(format!("{values}.yaml")), sets);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().context("cannot start helm")?;
        let outcome = self.cluster.until("helm", || {
            let pods = self.pods()?;
            look(&pods)?;
            for pod in pods.iter().filter(|pod| pod.component == "migration" && !pod.ended) {
                self.patch(&pod.name, &json!({ "phase": "Succeeded" }))?;
            }
            Ok(child.try_wait()?.is_some())
        });
        end(child, outcome).with_context(|| format!("helm {verb}"))
    }

    fn helm(&self, verb: &str, values: &std::path::Path, sets: &[&str]) -> Command {
        let mut command = Command::new(&self.helm.program);
        command.args([verb, RELEASE]).arg(self.project.path(CHART)).args([
            "--namespace",
            NAMESPACES[0],
            "--kubeconfig",
        ]);
        command.arg(&self.cluster.kubeconfig).arg("--values").arg(values);
        for set in sets {
            command.args(["--set", set]);
        }
        command
    }

    /// Every pod that is not about to go.
    fn pods(&self) -> Result<Vec<Pod>> {
        let list = self.cluster.object(&["pods", "--namespace", NAMESPACES[0]])?;
        let pods = list["items"].as_array().context("a list")?.iter();
        Ok(pods.filter(|pod| pod["metadata"]["deletionTimestamp"].is_null()).map(Pod::read).collect())
    }

    /// Those of them that are nodes.
    pub(super) fn nodes(&self) -> Result<Vec<Pod>> {
        Ok(self.pods()?.into_iter().filter(|pod| pod.component == "node").collect())
    }

    fn names(&self) -> Result<Vec<String>> {
        Ok(self.nodes()?.into_iter().map(|pod| pod.name).collect())
    }

    /// Lets so many nodes that are not ready become it.
    pub(super) fn make_ready(&self, count: usize) -> Result<()> {
        for pod in self.nodes()?.iter().filter(|pod| !pod.ready).take(count) {
            let ready = json!({ "type": "Ready", "status": "True", "lastTransitionTime": LONG_AGO });
            self.patch(&pod.name, &json!({ "phase": "Running", "startTime": LONG_AGO, "conditions": [ready] }))?;
        }
        Ok(())
    }

    /// What a kubelet would report. A pod that has gone meanwhile needs no report.
    fn patch(&self, pod: &str, status: &Value) -> Result<()> {
        let patch = json!({ "status": status }).to_string();
        let arguments = [
            "patch",
            "pod",
            pod,
            "--namespace",
            NAMESPACES[0],
            "--subresource=status",
            "--type=merge",
            "--patch",
            &patch,
        ];
        match self.cluster.kubectl(&arguments) {
            Err(error) if !error.to_string().contains("not found") => Err(error),
            _ => Ok(()),
        }
    }

    /// Whether the controller has seen the newest template and every pod is of it and ready.
    fn is_rolled_out(&self, replicas: usize) -> Result<bool> {
        let deployment = self.cluster.object(&["deployment", RELEASE, "--namespace", NAMESPACES[0]])?;
        let status = &deployment["status"];
        let all = ["replicas", "updatedReplicas", "availableReplicas"].iter().all(|field| status[field] == replicas);
        Ok(all && status["observedGeneration"] == deployment["metadata"]["generation"])
    }
}

impl Pod {
    fn read(pod: &Value) -> Self {
        let conditions = pod["status"]["conditions"].as_array();
        let is_ready = |condition: &Value| condition["type"] == "Ready" && condition["status"] == "True";
        Self {
            name: pod["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
            component: pod["metadata"]["labels"]["app.kubernetes.io/component"].as_str().unwrap_or_default().to_owned(),
            ready: conditions.is_some_and(|conditions| conditions.iter().any(is_ready)),
            ended: pod["status"]["phase"] == "Succeeded",
        }
    }
}

/// The child's own end, or ours when waiting for it failed.
fn end(mut child: Child, outcome: Result<()>) -> Result<()> {
    if outcome.is_err() {
        child.kill()?;
    }
    let output = child.wait_with_output()?;
    outcome?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}

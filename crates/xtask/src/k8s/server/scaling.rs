//! The autoscaler of the chart with a real controller: connections bring nodes, and nodes go slowly.
//!
//! Owns the made-up metrics, served as metrics-server and prometheus-adapter would. Must never write a number of replicas.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::k8s::helm::{Helm, RELEASE};
use crate::k8s::server::NAMESPACES;
use crate::k8s::server::cluster::Cluster;
use crate::k8s::server::play::Play;
use crate::process::{Service, free_ports, listens};
use crate::project::Project;

/// The groups in which metrics are asked for, and their resources.
const GROUPS: [(&str, &str, &str); 2] =
    [("metrics.k8s.io", "v1beta1", "pods"), ("custom.metrics.k8s.io", "v1beta2", "pods/hubbub_connections")];

/// Two and a half times what the chart wants for each pod.
const MANY: u32 = 25_000;

/// Three nodes and the four that `autoscaling.scaleUp` allows within a minute.
const AFTER_THE_STEP: usize = 7;

const START_LIMIT: Duration = Duration::from_secs(30);

/// Turns the autoscaler on, loads the nodes, and takes the load away.
pub(super) fn run(project: &Project, helm: &Helm<'_>, cluster: &Cluster) -> Result<()> {
    let metrics = Metrics { folder: cluster.folder.join("metrics") };
    let _server = metrics.serve(project, cluster)?;
    let play = Play { project, helm, cluster };
    let mut fewest = usize::MAX;
    play.release("upgrade", "minimal", &["autoscaling.enabled=true"], |_| {
        fewest = fewest.min(play.nodes()?.len());
        Ok(())
    })?;
    let autoscaler = || cluster.object(&["horizontalpodautoscaler", RELEASE, "--namespace", NAMESPACES[0]]);
    let condition = |kind: &str| -> Result<(bool, String)> {
        let found = autoscaler()?;
        let conditions = found["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let of_kind = conditions.into_iter().find(|condition| condition["type"] == kind).unwrap_or_default();
        Ok((of_kind["status"] == "True", of_kind["reason"].as_str().unwrap_or_default().to_owned()))
    };
    cluster.until("the autoscaler to have its metrics", || {
        play.make_ready(usize::MAX)?;
        let nodes = play.nodes()?;
        fewest = fewest.min(nodes.len());
        metrics.write(&nodes.iter().map(|pod| pod.name.as_str()).collect::<Vec<_>>(), MANY / 5)?;
        Ok(condition("ScalingActive")?.0)
    })?;
    ensure!(fewest == 3, "turning the autoscaler on left {fewest} nodes");
    println!("  the autoscaler has both metrics; turning it on took no node away");
    cluster.until("more nodes", || {
        play.make_ready(usize::MAX)?;
        let nodes = play.nodes()?;
        metrics.write(&nodes.iter().map(|pod| pod.name.as_str()).collect::<Vec<_>>(), MANY)?;
        Ok(nodes.len() >= AFTER_THE_STEP)
    })?;
    let nodes = play.nodes()?;
    println!("  {MANY} connections for each of 3 pods: {} nodes", nodes.len());
    metrics.write(&nodes.iter().map(|pod| pod.name.as_str()).collect::<Vec<_>>(), 0)?;
    cluster.until("the autoscaler to hold back", || Ok(condition("AbleToScale")?.1 == "ScaleDownStabilized"))?;
    ensure!(play.nodes()?.len() >= nodes.len(), "nodes went at once");
    println!("  no connections: {} nodes still, held for the time of stabilisation", nodes.len());
    Ok(())
}

/// The files that the server of metrics answers with.
struct Metrics {
    folder: PathBuf,
}

impl Metrics {
    /// Starts the server and tells the API server to ask it.
    fn serve(&self, project: &Project, cluster: &Cluster) -> Result<Service> {
        let port = free_ports(1)?[0];
        for (group, version, resource) in GROUPS {
            let list = json!({
                "kind": "APIResourceList",
                "apiVersion": "v1",
                "groupVersion": format!("{group}/{version}"),
                "resources": [
                    { "name": resource, "singularName": "", "namespaced": true, "kind": "Metric", "verbs": ["get", "list"] },
                ],
            });
            put(&self.folder.join(format!("apis/{group}/{version}.json")), &list)?;
        }
        self.write(&[], 0)?;
        let api = cluster.folder.join("api");
        let mut command = Command::new(project.target.join("k8s").join("control").join("control"));
        command.arg("metrics").arg(format!("127.0.0.1:{port}")).arg(&self.folder);
        command.arg(api.join("apiserver.crt")).arg(api.join("apiserver.key"));
        let log = cluster.folder.join("metrics.log");
        let mut service = Service::start("metrics", command, libc::SIGTERM, Some(&log))?;
        service.wait_until(START_LIMIT, || listens(port))?;
        let mut objects = vec![json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": { "name": "metrics", "namespace": NAMESPACES[1] },
            "spec": { "type": "ExternalName", "externalName": "localhost", "ports": [{ "port": port }] },
        })];
        objects.extend(GROUPS.iter().map(|(group, version, _)| {
            json!({
                "apiVersion": "apiregistration.k8s.io/v1",
                "kind": "APIService",
                "metadata": { "name": format!("{version}.{group}") },
                "spec": {
                    "group": group,
                    "version": version,
                    "groupPriorityMinimum": 100,
                    "versionPriority": 100,
                    "insecureSkipTLSVerify": true,
                    "service": { "name": "metrics", "namespace": NAMESPACES[1], "port": port },
                },
            })
        }));
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": objects });
        cluster.kubectl_with(&["apply", "-f", "-"], &list.to_string())?;
        let names = GROUPS.map(|(group, version, _)| format!("apiservice/{version}.{group}"));
        cluster.kubectl(&["wait", "--for=condition=Available", "--timeout=60s", &names[0], &names[1]])?;
        Ok(service)
    }

    /// So many connections on each of these pods, and little work.
    fn write(&self, pods: &[&str], connections: u32) -> Result<()> {
        let namespace = NAMESPACES[0];
        let now = now()?;
        let work = pods.iter().map(|pod| {
            json!({
                "metadata": { "name": pod, "namespace": namespace },
                "timestamp": now,
                "window": "15s",
                "containers": [{ "name": "hubbub", "usage": { "cpu": "100m", "memory": "100Mi" } }],
            })
        });
        let list = |kind: &str, version: &str, items: Vec<Value>| json!({ "kind": kind, "apiVersion": version, "metadata": {}, "items": items });
        let path = self.folder.join(format!("apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods.json"));
        put(&path, &list("PodMetricsList", "metrics.k8s.io/v1beta1", work.collect()))?;
        let counts = pods.iter().map(|pod| {
            json!({
                "describedObject": { "kind": "Pod", "namespace": namespace, "name": pod, "apiVersion": "v1" },
                "metric": { "name": "hubbub_connections" },
                "timestamp": now,
                "value": connections.to_string(),
            })
        });
        let folder = format!("apis/custom.metrics.k8s.io/v1beta2/namespaces/{namespace}/pods/*");
        let path = self.folder.join(folder).join("hubbub_connections.json");
        put(&path, &list("MetricValueList", "custom.metrics.k8s.io/v1beta2", counts.collect()))
    }
}

/// Written whole under another name first: the server may read at any moment.
fn put(path: &Path, value: &Value) -> Result<()> {
    fs::create_dir_all(path.parent().context("a folder")?)?;
    let draft = path.with_extension("draft");
    fs::write(&draft, value.to_string())?;
    fs::rename(&draft, path).with_context(|| format!("cannot write {}", path.display()))
}

/// The time as Kubernetes writes it.
fn now() -> Result<String> {
    let output = Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%SZ"]).output().context("cannot start date")?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

//! etcd, the API server and the controller-manager as processes of ours, on free ports of this machine only.
//!
//! Owns their folder below `target`, made anew at each start. Must never listen beyond the loopback.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::process::{Service, free_ports};
use crate::project::Project;

/// Ten seconds when nothing else runs; only one that hangs takes so long.
const START_LIMIT: Duration = Duration::from_secs(600);

/// What controllers do here takes seconds; kubectl takes longer where others use the machine.
const PATIENCE: Duration = Duration::from_secs(600);

/// Between two looks.
const POLL: Duration = Duration::from_millis(100);

/// Who may do everything.
const TOKEN: &str = "control";

/// Those that reconcile what the chart makes.
const CONTROLLERS: &str = "deployment-controller,replicaset-controller,disruption-controller,job-controller,\
    horizontal-pod-autoscaler-controller,endpointslice-controller,serviceaccount-controller,namespace-controller,\
    garbage-collector-controller,resourcequota-controller";

/// The running cluster; its processes end with it.
pub(super) struct Cluster {
    program: PathBuf,
    pub(super) folder: PathBuf,
    pub(super) kubeconfig: PathBuf,
    _services: Vec<Service>,
}

/// What a command printed.
pub(super) struct Said {
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl Cluster {
    /// Starts all three and waits until the API server is ready.
    pub(super) fn start(project: &Project, program: &Path) -> Result<Self> {
        let folder = project.target.join("k8s").join("server");
        project.shell.remove_path(&folder)?;
        fs::create_dir_all(&folder)?;
        let ports = free_ports(4)?;
        let file = |name: &str| folder.join(name).to_string_lossy().into_owned();
        let log = |name: &str| folder.join(format!("{name}.log"));

        let mut etcd = Command::new("etcd");
        let [client, peer] = [ports[0], ports[1]].map(|port| format!("http://127.0.0.1:{port}"));
        etcd.args(["--name=one", "--data-dir", &file("etcd"), "--listen-client-urls", &client])
            .args(["--advertise-client-urls", &client, "--listen-peer-urls", &peer])
            .args(["--initial-advertise-peer-urls", &peer, "--initial-cluster", &format!("one={peer}")]);
        let mut services = vec![Service::start("etcd", etcd, libc::SIGTERM, Some(&log("etcd")))?];

        let key = file("service-accounts.key");
        let made = Command::new(program).args(["key", &key]).status().context("cannot start control")?;
        ensure!(made.success(), "no key was made");
        fs::write(file("tokens.csv"), format!("{TOKEN},admin,1,system:masters\n"))?;
        let server = format!("https://127.0.0.1:{}", ports[2]);
        let kubeconfig = folder.join("kubeconfig");
        fs::write(&kubeconfig, kubeconfig_text(&server))?;
        services.push(Service::start(
            "kube-apiserver",
            api_server(program, &client, ports[2], &folder),
            libc::SIGTERM,
            Some(&log("kube-apiserver")),
        )?);
        let cluster =
            Self { program: program.to_path_buf(), folder: folder.clone(), kubeconfig, _services: Vec::new() };
        let ready = || cluster.kubectl(&["get", "--raw", "/readyz"]).is_ok();
        services.last_mut().context("started")?.wait_until(START_LIMIT, ready)?;

        let mut manager = Command::new(program);
        manager.args(["kube-controller-manager", "--leader-elect=false", "--bind-address=127.0.0.1"]);
        manager.arg(format!("--secure-port={}", ports[3])).arg(format!("--controllers={CONTROLLERS}"));
        manager.args(["--kubeconfig", &cluster.kubeconfig.to_string_lossy(), "--cert-dir", &file("manager")]);
        manager.args(["--service-account-private-key-file", &key, "--horizontal-pod-autoscaler-sync-period=1s"]);
        manager.args(["--horizontal-pod-autoscaler-cpu-initialization-period=1s"]);
        manager.args(["--horizontal-pod-autoscaler-initial-readiness-delay=1s"]);
        services.push(Service::start("kube-controller-manager", manager, libc::SIGTERM, Some(&log("manager")))?);
        Ok(Self { _services: services, ..cluster })
    }

    /// Runs kubectl against this cluster; its output.
    pub(super) fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        Ok(self.kubectl_with(arguments, "")?.stdout)
    }

    /// The same with something on stdin; everything that it said. Fails when it does.
    pub(super) fn kubectl_with(&self, arguments: &[&str], input: &str) -> Result<Said> {
        let mut command = Command::new(&self.program);
        command.arg("kubectl").arg("--kubeconfig").arg(&self.kubeconfig).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("cannot start kubectl")?;
        let mut stdin = child.stdin.take().context("a pipe")?;
        stdin.write_all(input.as_bytes())?;
        drop(stdin);
        let output = child.wait_with_output()?;
        let [stdout, stderr] = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        if !output.status.success() {
            bail!("kubectl {}: {}", arguments.join(" "), stderr.trim());
        }
        Ok(Said { stdout, stderr })
    }

    /// One object, or a list, as JSON.
    pub(super) fn object(&self, arguments: &[&str]) -> Result<Value> {
        let text = self.kubectl(&[&["get", "--output=json"], arguments].concat())?;
        serde_json::from_str(&text).context("kubectl prints JSON")
    }

    /// Looks until it is as wanted; `what` is for the complaint when that does not come.
    pub(super) fn until(&self, what: &str, mut wanted: impl FnMut() -> Result<bool>) -> Result<()> {
        let began = Instant::now();
        while !wanted()? {
            ensure!(began.elapsed() < PATIENCE, "not within {} s: {what}", PATIENCE.as_secs());
            std::thread::sleep(POLL);
        }
        Ok(())
    }
}

fn api_server(program: &Path, etcd: &str, port: u16, folder: &Path) -> Command {
    let file = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let mut command = Command::new(program);
    command.args(["kube-apiserver", "--bind-address=127.0.0.1", "--endpoint-reconciler-type=none"]);
    command.args(["--etcd-servers", etcd, "--cert-dir", &file("api")]).arg(format!("--secure-port={port}"));
    command.args(["--authorization-mode=RBAC", "--token-auth-file", &file("tokens.csv")]);
    command
        .args(["--service-cluster-ip-range=10.96.0.0/16", "--service-account-issuer=https://kubernetes.default.svc"]);
    command.args(["--service-account-key-file", &file("service-accounts.key")]);
    command.args(["--service-account-signing-key-file", &file("service-accounts.key")]);
    command
}

/// The API server's certificate was made by itself a moment ago and lies on this machine.
fn kubeconfig_text(server: &str) -> String {
    serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "one", "cluster": { "server": server, "insecure-skip-tls-verify": true } }],
        "users": [{ "name": "admin", "user": { "token": TOKEN } }],
        "contexts": [{ "name": "one", "context": { "cluster": "one", "user": "admin" } }],
        "current-context": "one",
    })
    .to_string()
}

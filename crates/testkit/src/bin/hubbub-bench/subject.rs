//! The node that is measured: alone, on SQLite, without limits.
//!
//! Must never share a thread or an allocation with what measures it: it is a process of its own.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use hubbub_protocol::UserId;
use hubbub_testkit::servers::Node;
use hubbub_testkit::{ClusterConfig, http, tokens};
use serde_json::json;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::peer::Dialer;

const SECRET: &str = "a secret of benches, which is long enough to be one";

/// A running node.
pub(crate) struct Subject {
    pub(crate) node: Node,
    pub(crate) dialer: Dialer,
    pub(crate) room: String,
    runtime: Runtime,
    _folder: TempDir,
}

impl Subject {
    /// Starts a node with one user and one room.
    pub(crate) fn start(tls: bool) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("hubbub-bench-").tempdir()?;
        let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
        if tls {
            let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
            fs::write(&certificate, made.cert.pem())?;
            fs::write(&key, made.signing_key.serialize_pem())?;
        }
        let config = ClusterConfig::default()
            .unlimited()
            .with("HUBBUB_LIMITS_HEARTBEAT_INTERVAL", "10m")
            .with("HUBBUB_AUTH_TOKEN_SECRET", SECRET)
            .with("HUBBUB_LOG_LEVEL", "warn")
            .with("HUBBUB_TLS_CERT_FILE", &certificate.display().to_string())
            .with("HUBBUB_TLS_KEY_FILE", &key.display().to_string())
            .with("HUBBUB_TLS_MODE", if tls { "files" } else { "off" });
        let mut node = Node::new("bench", folder.path(), &config.environment)?;
        let runtime = Runtime::new()?;
        let token = tokens::sign(SECRET, add_user(&node)?, Duration::from_secs(6 * 3600))?;
        runtime.block_on(node.start())?;
        let dialer = Dialer::new(node.port, &token, tls.then_some(certificate.as_path()))?;
        let mut peer = dialer.open(0, true)?;
        let room = peer.ask(&command(json!({ "id": 1, "cmd": "room.create", "name": "bench", "kind": "public" })))?;
        let room = room["id"].as_str().context("a room has an id")?.to_owned();
        Ok(Self { node, dialer, room, runtime, _folder: folder })
    }

    /// The subscription to the room, encoded.
    pub(crate) fn subscribe(&self) -> Vec<u8> {
        command(json!({ "id": 2, "cmd": "room.subscribe", "room": self.room }))
    }

    /// Waits until the node holds exactly so many connections.
    pub(crate) fn settle(&mut self, connections: usize) -> Result<()> {
        let port = self.node.ops_port;
        let settled = async || {
            let Ok(answer) = http::get(port, "/metrics").await else { return false };
            http::sum(&http::samples(&answer.body), "hubbub_connections") as usize == connections
        };
        self.runtime.block_on(self.node.wait_until("settled", settled))
    }

    pub(crate) fn memory(&self) -> Result<Memory> {
        Memory::of(self.node.pid().context("it runs")?)
    }

    pub(crate) fn cpu(&self) -> Result<Duration> {
        cpu_of(self.node.pid().context("it runs")?)
    }
}

fn add_user(node: &Node) -> Result<UserId> {
    let mut command = node.command(&["user", "add", "bench", "--password-stdin"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn()?;
    child.stdin.take().context("its input is ours")?.write_all(b"a password of benches\n")?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "user add failed");
    Ok(String::from_utf8_lossy(&output.stdout).trim().parse()?)
}

/// A command as the frame that a client sends.
pub(crate) fn command(command: serde_json::Value) -> Vec<u8> {
    hubbub_testkit::wire::text_frame(&command.to_string())
}

/// What a process holds, in bytes.
#[derive(Clone, Copy)]
pub(crate) struct Memory {
    /// Private pages that are no file: what the program itself took.
    pub(crate) anonymous: u64,
    /// All of it, shared pages by their share.
    pub(crate) proportional: u64,
    /// All of it, shared pages whole.
    pub(crate) resident: u64,
}

impl Memory {
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let path = PathBuf::from(format!("/proc/{pid}/smaps_rollup"));
        let text = fs::read_to_string(path)?;
        let field = |name: &str| -> Result<u64> {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            let number = line.and_then(|line| line.trim().strip_suffix("kB")).context("no such field")?;
            Ok(number.trim().parse::<u64>()? * 1024)
        };
        Ok(Self { anonymous: field("Anonymous")?, proportional: field("Pss")?, resident: field("Rss")? })
    }
}

/// CPU time of a process so far, in the kernel and outside; the kernel counts in ticks of 10 ms.
pub(crate) fn cpu_of(pid: u32) -> Result<Duration> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name of the program may hold spaces; it ends with the last parenthesis.
    let (_, rest) = text.rsplit_once(')').context("no stat")?;
    let mut fields = rest.split_whitespace().skip(11).map(str::parse::<u64>);
    match (fields.next(), fields.next()) {
        (Some(Ok(user)), Some(Ok(kernel))) => Ok(Duration::from_millis((user + kernel) * 10)),
        _ => anyhow::bail!("no CPU time in {text}"),
    }
}

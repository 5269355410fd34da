//! One `redis-server`, as a plain server, a Sentinel or a node of a cluster.
//!
//! Must never keep anything over a restart that a server without disk would not keep.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::resp::{self, Reply};
use super::{LOOK_PAUSE, janitor};

/// How long a server may take to answer.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// How often other ports are tried.
const PORTS_MAX: usize = 10;

/// A server of one's own at a free port; killed when dropped.
pub(crate) struct Server {
    /// Where it is steered, without TLS: the address for everybody unless it speaks TLS.
    pub(crate) port: u16,
    /// For TLS.
    tls_port: u16,
    /// For the bus between the nodes of a cluster.
    pub(super) bus_port: u16,
    folder: tempfile::TempDir,
    child: Option<Child>,
    tls: bool,
    kind: Kind,
}

/// A certificate for `localhost` and `127.0.0.1` that is its own authority.
#[derive(Clone)]
pub(super) struct Certificate {
    pem: String,
    key: String,
}

impl Certificate {
    pub(super) fn new() -> Self {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
        Self { pem: made.cert.pem(), key: made.signing_key.serialize_pem() }
    }
}

/// What kind of server it is.
#[derive(Clone)]
pub(super) enum Kind {
    /// With further arguments.
    Plain(Vec<String>),
    /// Watches what its configuration names.
    Sentinel,
    /// With further arguments.
    ClusterNode(Vec<String>),
}

impl Server {
    /// A running server.
    pub(crate) fn start() -> Self {
        Self::absent().started()
    }

    /// A running server that speaks TLS, by [`Self::certificate`], and without TLS beside it for steering.
    pub(crate) fn start_tls() -> Self {
        Self::absent().with_tls(&Certificate::new()).started()
    }

    /// A port at which no server runs yet.
    pub(crate) fn absent() -> Self {
        Self::of_kind(Kind::Plain(Vec::new()))
    }

    pub(super) fn of_kind(kind: Kind) -> Self {
        let [port, tls_port, bus_port] = free_ports();
        let folder = tempfile::Builder::new().prefix("hubbub-redis-").tempdir().expect("a folder");
        Self { port, tls_port, bus_port, folder, child: None, tls: false, kind }
    }

    /// It speaks TLS too, and as a client of its own kind only TLS.
    pub(super) fn with_tls(mut self, certificate: &Certificate) -> Self {
        let write = |name: &str, text: &str| std::fs::write(self.folder().join(name), text).expect("it is ours");
        write("server.pem", &certificate.pem);
        write("server.key", &certificate.key);
        self.tls = true;
        self
    }

    pub(super) fn started(mut self) -> Self {
        for _ in 0..PORTS_MAX {
            if self.try_start() {
                return self;
            }
            // Somebody else took the port between our probing and the server's binding.
            [self.port, self.tls_port, self.bus_port] = free_ports();
        }
        panic!("redis-server does not start");
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What to trust, in PEM, where it speaks TLS.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder().join("server.pem")
    }

    /// The address for a node.
    pub(crate) fn url(&self) -> String {
        if self.tls { format!("rediss://localhost:{}", self.tls_port) } else { self.steering_url() }
    }

    /// Where everybody but the test finds it.
    pub(super) const fn public_port(&self) -> u16 {
        if self.tls { self.tls_port } else { self.port }
    }

    /// Where it is steered: without TLS.
    pub(crate) fn steering_url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its process, while it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Sends one command as the default user.
    pub(crate) fn call(&self, words: &[&str]) -> io::Result<Reply> {
        resp::call(self.port, words)
    }

    /// The value of one field of `INFO`.
    pub(crate) fn stat(&self, section: &str, field: &str) -> Option<String> {
        let told = self.call(&["INFO", section]).ok()?.text();
        let value = told.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        value.map(|value| value.trim().to_owned())
    }

    /// Starts it (again) on the same port, with nothing remembered.
    pub(crate) fn restart(&mut self) {
        let deadline = Instant::now() + START_TIMEOUT;
        while !self.try_start() {
            assert!(Instant::now() < deadline, "redis-server does not start again");
        }
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            janitor::went(child.id());
            child.kill().expect("our own process");
            child.wait().expect("our own process");
        }
    }

    /// Lets it swallow everything and answer nothing.
    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let pid = self.pid().expect("it runs").to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().expect("kill is there").success());
    }

    fn command(&self) -> Command {
        let [port, tls_port, bus_port] = [self.port, self.tls_port, self.bus_port].map(|port| port.to_string());
        let mut command = Command::new("redis-server");
        if let Kind::Sentinel = self.kind {
            command.args(["sentinel.conf", "--sentinel"]);
        }
        command.args(["--port", &port, "--bind", "127.0.0.1"]);
        if !matches!(self.kind, Kind::Sentinel) {
            command.args(["--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0"]);
        }
        if self.tls {
            command.args(["--tls-port", &tls_port, "--tls-auth-clients", "no", "--tls-replication", "yes"]);
            // Without it a cluster tells everybody the addresses without TLS.
            command.args(["--tls-cluster", "yes"]);
            command.args(["--tls-cert-file", "server.pem", "--tls-key-file", "server.key"]);
            command.args(["--tls-ca-cert-file", "server.pem"]);
        }
        match &self.kind {
            Kind::Plain(arguments) => command.args(arguments),
            Kind::Sentinel => &mut command,
            Kind::ClusterNode(arguments) => {
                command.args(["--cluster-enabled", "yes", "--cluster-port", &bus_port]).args(arguments)
            }
        };
        command.current_dir(self.folder.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn try_start(&mut self) -> bool {
        let child = self.command().spawn().expect("redis-server is needed (Debian: apt-get install redis-server)");
        janitor::came(child.id(), self.folder.path());
        self.child = Some(child);
        let deadline = Instant::now() + START_TIMEOUT;
        while Instant::now() < deadline {
            if self.ended() {
                return false;
            }
            if self.call(&["PING"]).is_ok_and(|reply| reply == Reply::Text("PONG".to_owned())) {
                return true;
            }
            std::thread::sleep(LOOK_PAUSE);
        }
        self.kill();
        false
    }

    fn ended(&mut self) -> bool {
        let ended = self.child.as_mut().is_none_or(|child| child.try_wait().expect("our own process").is_some());
        if ended && let Some(child) = self.child.take() {
            janitor::went(child.id());
        }
        ended
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn free_ports() -> [u16; 3] {
    let probes = [(); 3].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port"));
    probes.map(|probe| probe.local_addr().expect("a bound socket").port())
}

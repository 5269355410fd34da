//! A Redis of one test's own: started on a free port, killed when dropped.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a server may take to answer.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// How often another port is tried.
const PORTS_MAX: usize = 10;

pub(crate) struct RedisServer {
    port: u16,
    folder: tempfile::TempDir,
    child: Option<Child>,
    tls: bool,
}

impl RedisServer {
    /// A running server.
    pub(crate) fn start() -> Self {
        Self::absent().started()
    }

    /// A running server that speaks TLS only; its certificate is `server.pem` in its folder.
    pub(crate) fn start_tls() -> Self {
        let mut server = Self::absent();
        server.tls = true;
        let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(server.folder().join("server.pem"), certified.cert.pem()).unwrap();
        std::fs::write(server.folder().join("server.key"), certified.signing_key.serialize_pem()).unwrap();
        server.started()
    }

    fn started(mut self) -> Self {
        let server = &mut self;
        for _ in 0..PORTS_MAX {
            if server.try_start() {
                return self;
            }
            // Somebody else took the port between our probing and the server's binding.
            server.port = free_port();
        }
        panic!("redis-server does not start");
    }

    /// A port at which no server runs yet.
    pub(crate) fn absent() -> Self {
        Self { port: free_port(), folder: tempfile::tempdir().unwrap(), child: None, tls: false }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn url(&self) -> String {
        if self.tls { format!("rediss://localhost:{}", self.port) } else { format!("redis://127.0.0.1:{}", self.port) }
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
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
    }

    pub(crate) fn thaw(&self) {
        self.signal("-CONT");
    }

    /// A connection of the test's own.
    pub(crate) async fn client(&self) -> redis::aio::MultiplexedConnection {
        redis::Client::open(self.url()).unwrap().get_multiplexed_async_connection().await.unwrap()
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    fn try_start(&mut self) -> bool {
        let (port, mut command) = (self.port.to_string(), Command::new("redis-server"));
        if self.tls {
            command.args(["--port", "0", "--tls-port", &port, "--tls-auth-clients", "no"]);
            command.args(["--tls-cert-file", "server.pem", "--tls-key-file", "server.key"]);
            command.args(["--tls-ca-cert-file", "server.pem"]);
        } else {
            command.args(["--port", &port]);
        }
        let child = command
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .current_dir(self.folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is needed (Debian: apt-get install redis-server)");
        let child = self.child.insert(child);
        let deadline = Instant::now() + START_TIMEOUT;
        while Instant::now() < deadline {
            if child.try_wait().unwrap().is_some() {
                self.child = None;
                return false;
            }
            if answers(self.port, self.tls) {
                return true;
            }
            std::thread::yield_now();
        }
        false
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

fn answers(port: u16, tls: bool) -> bool {
    let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { return false };
    stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    if tls {
        // Whoever listens with a certificate has read it.
        return true;
    }
    let mut answer = [0; 7];
    stream.write_all(b"PING\r\n").is_ok() && stream.read_exact(&mut answer).is_ok() && &answer == b"+PONG\r\n"
}

//! A folder with the program in it, and running nodes that end with their test.
//!
//! Must never pass a variable of the surrounding machine on to the program.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Only a hanging program takes this long; nothing is measured by it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A secret that is long enough.
pub(crate) const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// So that a test does not wait for a grace that nobody needs.
pub(crate) const QUICK: [(&str, &str); 3] =
    [("HUBBUB_DRAIN_GRACE", "0s"), ("HUBBUB_DRAIN_SPREAD", "0s"), ("HUBBUB_DRAIN_TIMEOUT", "20s")];

/// A folder of its own.
pub(crate) struct Place {
    folder: tempfile::TempDir,
}

/// How a command ended.
pub(crate) struct Outcome {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("folder") }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("written");
    }

    fn command(&self, variables: &[(&str, &str)], args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hubbub"));
        command.current_dir(self.folder.path()).env_clear().envs(variables.iter().copied()).args(args);
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Outcome {
        self.run_with(&[], args, "")
    }

    /// Runs a command to its end with these variables and this stdin.
    pub(crate) fn run_with(&self, variables: &[(&str, &str)], args: &[&str], input: &str) -> Outcome {
        let mut command = self.command(variables, args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("started");
        let mut stdin = child.stdin.take().expect("stdin");
        // A command that reads nothing may have ended before.
        stdin.write_all(input.as_bytes()).ok();
        drop(stdin);
        let output = child.wait_with_output().expect("ended");
        Outcome {
            code: output.status.code().expect("an exit code"),
            stdout: String::from_utf8(output.stdout).expect("UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }

    /// The settings as `config show --json` tells them.
    pub(crate) fn shown(&self, variables: &[(&str, &str)], args: &[&str]) -> Value {
        let args: Vec<&str> = ["config", "show", "--json"].iter().chain(args).copied().collect();
        let outcome = self.run_with(variables, &args, "");
        assert_eq!(outcome.code, 0, "{}", outcome.stderr);
        serde_json::from_str::<Value>(&outcome.stdout).expect("JSON")["settings"].take()
    }

    /// Starts a node on free ports, without TLS.
    pub(crate) fn serve(&self, variables: &[(&str, &str)]) -> Running {
        let args = ["serve", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0", "--tls-mode", "off"];
        Running::start(self.command(variables, &args))
    }

    /// The same without any right beyond those of everybody, in a folder of its own. Its time limits of the drain are short.
    pub(crate) fn serve_shut_in(&self, folder: &Path, variables: &[(&str, &str)]) -> Running {
        let mut command = Command::new("setpriv");
        command
            .args(["--no-new-privs", "--inh-caps=-all", "--bounding-set=-all", "--"])
            .arg(env!("CARGO_BIN_EXE_hubbub"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"]);
        command.current_dir(folder).env_clear().envs(variables.iter().copied()).env("HUBBUB_DRAIN_GRACE", "0s");
        command.env("HUBBUB_DRAIN_SPREAD", "0s");
        Running::start(command)
    }
}

impl Place {
    /// Starts a node whose log goes there, and nobody needs to read it; returns when it is ready.
    pub(crate) fn serve_into(&self, variables: &[(&str, &str)], log: Stdio) -> Unheard {
        // Its log does not tell the ports that it would choose by itself.
        let [listen, ops] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("bound"));
        let [listen, ops] = [listen, ops].map(|socket| socket.local_addr().expect("an address"));
        let [listen_text, ops_text] = [listen, ops].map(|address| address.to_string());
        let args = ["serve", "--listen", &listen_text, "--ops-listen", &ops_text, "--tls-mode", "off"];
        let mut command = self.command(variables, &args);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let node = Unheard { child: command.spawn().expect("started"), listen, ops };
        let started = Instant::now();
        let is_ready = || TcpStream::connect(node.ops).is_ok() && http(node.ops, "GET /readyz", "").0 == 200;
        while !is_ready() {
            assert!(started.elapsed() < PATIENCE, "it is not ready");
            std::thread::sleep(Duration::from_millis(20));
        }
        node
    }
}

/// A node whose log nobody reads; killed at the end of its test.
pub(crate) struct Unheard {
    pub(crate) child: Child,
    pub(crate) listen: SocketAddr,
    pub(crate) ops: SocketAddr,
}

impl Drop for Unheard {
    fn drop(&mut self) {
        // Whoever has ended cannot be killed, and that is fine.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A node; killed at the end of its test.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Running {
    fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("started");
        let stderr = child.stderr.take().expect("stderr");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines, seen: Vec::new() }
    }

    /// Waits for the log line with this message and returns it.
    pub(crate) fn wait_for(&mut self, message: &str) -> Value {
        loop {
            let Ok(line) = self.lines.recv_timeout(PATIENCE) else {
                panic!("no `{message}`, only: {}", self.seen.join("\n"));
            };
            self.seen.push(line.clone());
            let parsed: Value = serde_json::from_str(&line).unwrap_or_default();
            if parsed["message"] == message {
                return parsed;
            }
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("a pid")).expect("not 0");
        kill_process(pid, signal).expect("still there");
    }

    /// Waits for the end; returns the exit code and everything that was logged.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let mut seen = std::mem::take(&mut self.seen);
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => seen.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("still running: {}", seen.join("\n")),
            }
        }
        let status: ExitStatus = self.child.wait().expect("ended");
        (status.code(), seen.join("\n"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Whoever has ended cannot be killed, and that is fine.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The address under `key` of a log line.
pub(crate) fn address(line: &Value, key: &str) -> SocketAddr {
    line[key].as_str().expect(key).parse().expect("an address")
}

/// The value of a metric, by its name with its labels.
pub(crate) fn metric(ops: SocketAddr, name: &str) -> f64 {
    let (_, text) = http(ops, "GET /metrics", "");
    let line = text.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')));
    let value = line.unwrap_or_else(|| panic!("no {name} in {text}")).rsplit(' ').next();
    value.and_then(|value| value.parse().ok()).expect("a number")
}

/// One HTTP request on a connection of its own: status and body.
pub(crate) fn http(address: SocketAddr, request: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    let length = body.len();
    let head = format!("{request} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {length}\r\n");
    write!(stream, "{head}Content-Type: application/json\r\n\r\n{body}").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, answer.split_once("\r\n\r\n").expect("a body").1.to_owned())
}

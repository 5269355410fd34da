//! A node that starts: until it is ready, what it takes when nobody is there, and what it is made of.
//!
//! Must never measure the first start from a cold disk as if it were the program's: the binary is read once before.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use hubbub_testkit::servers::node::{Node, binary};

use crate::sheet::{Row, Sheet};
use crate::subject::Memory;

/// The goals of issue 6.
const READY_MS_MAX: f64 = 500.0;
const RESIDENT_MB_MAX: f64 = 30.0;
const BINARY_MB_MAX: f64 = 40.0;

/// Between two looks whether it is ready, far below what is measured.
const POLL: Duration = Duration::from_millis(1);
/// Nothing that works takes so long.
const LIMIT: Duration = Duration::from_secs(60);
/// It has done by then what it does at its start.
const REST: Duration = Duration::from_secs(2);

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Starts after the first, on the same data; the slowest is shown.
    #[arg(long, default_value_t = 5)]
    starts: usize,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let mut sheet =
        Sheet::new("start", "A node that starts: SQLite, TLS with a certificate of its own, every default")?;
    let program = binary()?;
    // From a warm disk.
    let bytes = std::fs::read(&program)?.len();
    let folder = tempfile::Builder::new().prefix("hubbub-bench-").tempdir()?;
    let mut node = Node::new("bench", folder.path(), &[])?;
    let first = start(&mut node)?;
    std::thread::sleep(REST);
    let memory = Memory::of(node.pid().context("it runs")?)?;
    node.kill();
    let mut slowest = Duration::ZERO;
    for _ in 0..options.starts {
        slowest = slowest.max(start(&mut node)?);
        node.kill();
    }
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let mb = |bytes: u64| bytes as f64 / 1e6;
    let made = "makes the database, the secret and the certificate";
    sheet.push(Row::new("the first start, until ready", "hubbub", ms(first), "ms").at_most(READY_MS_MAX).note(made));
    let again = format!("the slowest of {} later starts", options.starts);
    sheet.push(Row::new(&again, "hubbub", ms(slowest), "ms").at_most(READY_MS_MAX));
    sheet.push(Row::new("resident, nobody there", "hubbub", mb(memory.resident), "MB").at_most(RESIDENT_MB_MAX));
    sheet.push(Row::new("of it the program's own", "hubbub", mb(memory.anonymous), "MB"));
    let note = format!("needs {}", libraries(&program)?);
    sheet.push(Row::new("the binary", "hubbub", mb(bytes as u64), "MB").at_most(BINARY_MB_MAX).note(&note));
    sheet.write()
}

/// Starts the node and waits until it is ready.
fn start(node: &mut Node) -> Result<Duration> {
    let began = Instant::now();
    node.launch()?;
    while !is_ready(node.ops_port) {
        ensure!(node.ended().is_none(), "it ended: {}", node.log_text());
        ensure!(began.elapsed() < LIMIT, "it is not ready: {}", node.log_text());
        std::thread::sleep(POLL);
    }
    Ok(began.elapsed())
}

fn is_ready(port: u16) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.write_all(b"GET /readyz HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.split(' ').nth(1) == Some("200"))
}

/// The shared libraries that it is linked against, as the loader finds them.
fn libraries(program: &Path) -> Result<String> {
    let output = Command::new("ldd").arg(program).output().context("cannot start ldd")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let names = text.lines().filter_map(|line| line.split_whitespace().next()).filter(|name| !name.contains("vdso"));
    let names: Vec<&str> = names.map(|name| name.rsplit('/').next().unwrap_or(name)).collect();
    Ok(if names.is_empty() { "no shared library".to_owned() } else { names.join(", ") })
}

//! What it takes to take a connection: handshake, token, one subscription.
//!
//! Beside it stands a bare loop that makes the same system calls and nothing else. Must never compare two runs: both
//! sides are measured in one.

use std::io::Read as _;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::idle;
use crate::peer::{Dialer, Peer};
use crate::sheet::{Row, Sheet};
use crate::subject::{Subject, cpu_of};

/// The goal of the issue, in µs of CPU: plain, with token and subscription.
const GOAL_PLAIN_US: f64 = 90.0;
/// The goal over the bare TLS handshake.
const GOAL_TLS_RATIO: f64 = 1.5;
/// Threads that connect.
const THREADS: usize = 8;
/// Taken before anything is measured.
const WARM_UP: usize = 500;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Connections that are taken.
    #[arg(long, default_value_t = 10_000)]
    connections: usize,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let (plain, bare_plain) = (node(false, options)?, bare(false, options)?);
    let (tls, bare_tls) = (node(true, options)?, bare(true, options)?);
    let mut sheet = Sheet::new("accept", "CPU of an accept with token and subscription, SQLite")?;
    sheet.push(Row::new("plain", "hubbub", plain, "µs").at_most(GOAL_PLAIN_US));
    sheet.push(Row::new("plain", "bare", bare_plain, "µs").note("the kernel's part"));
    sheet.push(Row::new("TLS", "hubbub", tls, "µs"));
    sheet.push(Row::new("TLS", "bare", bare_tls, "µs").note("with the same handshake"));
    sheet.push(Row::new("TLS over the bare handshake", "hubbub", tls / bare_tls, "times").at_most(GOAL_TLS_RATIO));
    sheet.write()
}

fn per_accept(before: Duration, after: Duration, options: &Options) -> f64 {
    (after - before).as_secs_f64() * 1e6 / options.connections as f64
}

fn node(tls: bool, options: &Options) -> Result<f64> {
    let mut subject = Subject::start(tls)?;
    let subscribe = subject.subscribe();
    idle::open(&subject, WARM_UP)?.into_iter().try_for_each(Peer::reset)?;
    subject.settle(0)?;
    let before = subject.cpu()?;
    let peers = talk(&subject.dialer, &subscribe, options.connections)?;
    let after = subject.cpu()?;
    drop(peers);
    Ok(per_accept(before, after, options))
}

/// Connections that are open at the end, each with one command answered. Several at once, as after a restart: a server
/// that sleeps between two connections would be measured waking up.
fn talk(dialer: &Dialer, subscribe: &[u8], count: usize) -> Result<Vec<Peer>> {
    let next = AtomicUsize::new(0);
    let one_by_one = || {
        let mut peers = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return Ok(peers);
            }
            let mut peer = dialer.open(number, true)?;
            peer.write(subscribe)?;
            peer.text()?;
            peers.push(peer);
        }
    };
    let opened: Vec<Result<Vec<Peer>>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(one_by_one)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| bail!("a thread panicked"))).collect()
    });
    opened.into_iter().try_fold(Vec::new(), |mut all, some| {
        all.extend(some?);
        Ok(all)
    })
}

/// The process of the bare loop; killed when dropped.
struct Bare(Child);

impl Drop for Bare {
    fn drop(&mut self) {
        // Both fail only when it is gone already, which is what is wanted.
        self.0.kill().and_then(|()| self.0.wait()).ok();
    }
}

fn bare(tls: bool, options: &Options) -> Result<f64> {
    let folder = tempfile::tempdir()?;
    let certificate = folder.path().join("cert.pem");
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("bare").arg("--folder").arg(folder.path());
    if tls {
        command.arg("--tls");
    }
    let mut child = Bare(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?);
    let mut port = [0; 5];
    child.0.stdout.take().context("its output is ours")?.read_exact(&mut port)?;
    let port: u16 = std::str::from_utf8(&port)?.trim().parse()?;
    let token = "x".repeat(250);
    let dialer = Dialer::new(port, &token, tls.then_some(certificate.as_path()))?;
    let subscribe = hubbub_testkit::wire::text_frame(&"x".repeat(90));
    talk(&dialer, &subscribe, WARM_UP)?.into_iter().try_for_each(Peer::reset)?;
    let before = cpu_of(child.0.id())?;
    let peers = talk(&dialer, &subscribe, options.connections)?;
    let after = cpu_of(child.0.id())?;
    drop(peers);
    Ok(per_accept(before, after, options))
}

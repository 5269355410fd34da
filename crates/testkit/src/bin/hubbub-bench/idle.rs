//! What a connection that does nothing takes, and what stays behind when it has gone.
//!
//! Must never count the first connections: they fill caches and thread-local buffers.

use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Result, bail};

use crate::peer::Peer;
use crate::sheet::{Row, Sheet};
use crate::subject::Subject;

/// Opened and closed before anything is measured.
const WARM_UP: usize = 1_000;
/// Threads that open connections.
const THREADS: usize = 4;
/// DESIGN, hub: user memory of an idle connection, in bytes.
const GOAL_PLAIN: f64 = 4.0 * 1024.0;
const GOAL_TLS: f64 = 10.0 * 1024.0;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Connections that stay open at once; this process needs as many files.
    #[arg(long, default_value_t = 10_000)]
    connections: usize,
    /// Connects and disconnects for the growth.
    #[arg(long, default_value_t = 100_000)]
    rounds: usize,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let mut sheet = Sheet::new("idle", "Memory of a connection that does nothing")?;
    for (tls, name, goal) in [(false, "plain", GOAL_PLAIN), (true, "TLS", GOAL_TLS)] {
        let mut subject = Subject::start(tls)?;
        churn(&mut subject, WARM_UP)?;
        let before = subject.memory()?;
        let mut peers = open(&subject, options.connections)?;
        subject.settle(options.connections)?;
        let idle = subject.memory()?;
        let subscribe = subject.subscribe();
        for peer in &mut peers {
            peer.ask(&subscribe)?;
        }
        let following = subject.memory()?;
        let each = |bytes: u64, before: u64| bytes.saturating_sub(before) as f64 / options.connections as f64;
        let (alone, all) = (each(idle.anonymous, before.anonymous), each(idle.proportional, before.proportional));
        sheet.push(Row::new(&format!("{name}: an idle connection"), "hubbub", alone, "B").at_most(goal));
        sheet.push(Row::new(&format!("{name}: the same by PSS"), "hubbub", all, "B"));
        let following = each(following.anonymous, before.anonymous);
        sheet.push(Row::new(&format!("{name}: with one room followed"), "hubbub", following, "B"));
        peers.into_iter().try_for_each(Peer::reset)?;
        subject.settle(0)?;
    }
    growth(&mut sheet, options.rounds)?;
    sheet.write()
}

/// On a node of its own, since what many connections left behind is given back to the kernel bit by bit.
fn growth(sheet: &mut Sheet, rounds: usize) -> Result<()> {
    let mut subject = Subject::start(false)?;
    churn(&mut subject, rounds / 5)?;
    let before = subject.memory()?.anonymous;
    churn(&mut subject, rounds)?;
    let after = subject.memory()?.anonymous;
    let grown = after as f64 - before as f64;
    let note = format!("{:.3} B for each of {rounds} connects and disconnects", grown / rounds as f64);
    sheet.push(Row::new("plain: growth", "hubbub", grown, "B").at_most(0.0).note(&note));
    Ok(())
}

/// Opens connections on a few threads.
pub(crate) fn open(subject: &Subject, count: usize) -> Result<Vec<Peer>> {
    let next = AtomicUsize::new(0);
    let opened: Vec<Result<Vec<Peer>>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    let mut peers = Vec::new();
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= count {
                            return Ok(peers);
                        }
                        peers.push(subject.dialer.open(number, true)?);
                    }
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| bail!("a thread panicked"))).collect()
    });
    opened.into_iter().try_fold(Vec::new(), |mut all, some| {
        all.extend(some?);
        Ok(all)
    })
}

/// Connects, signs on and disconnects, again and again.
fn churn(subject: &mut Subject, rounds: usize) -> Result<()> {
    let next = AtomicUsize::new(0);
    let shared = &*subject;
    let ended: Vec<Result<()>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= rounds {
                            return Ok(());
                        }
                        shared.dialer.open(number, true)?.reset()?;
                    }
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| bail!("a thread panicked"))).collect()
    });
    ended.into_iter().collect::<Result<()>>()?;
    subject.settle(0)
}

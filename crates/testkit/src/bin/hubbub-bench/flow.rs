//! Messages on their way: how long one takes, and what one delivery costs.
//!
//! Must never send faster than it reads: the figures are of a node that keeps up.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use hubbub_testkit::prove::latency::Latency;
use serde_json::json;

use crate::idle;
use crate::note;
use crate::peer::Peer;
use crate::subject::{Subject, command};

#[derive(clap::Args)]
pub(crate) struct LatencyOptions {
    /// Messages, one after the other.
    #[arg(long, default_value_t = 2_000)]
    messages: usize,
}

#[derive(clap::Args)]
pub(crate) struct FanoutOptions {
    /// Connections that follow the room.
    #[arg(long, default_value_t = 2_000)]
    connections: usize,
    /// Messages to all of them.
    #[arg(long, default_value_t = 200)]
    messages: usize,
}

fn message(subject: &Subject, number: usize) -> Vec<u8> {
    let (room, id) = (&subject.room, number + 10);
    let body = "twelve words, more or less, as people write them to each other";
    command(
        json!({ "id": id, "cmd": "message.send", "room": room, "client_msg_id": format!("m{number}"), "body": body }),
    )
}

/// Reads until an event of a message.
fn hear(peer: &mut Peer) -> Result<()> {
    const EVENT: &[u8] = b"\"message.sent\"";
    while !peer.text()?.windows(EVENT.len()).any(|part| part == EVENT) {}
    Ok(())
}

pub(crate) fn latency(options: &LatencyOptions) -> Result<()> {
    let subject = Subject::start(false)?;
    let mut sender = subject.dialer.open(0, true)?;
    let mut reader = subject.dialer.open(1, true)?;
    reader.ask(&subject.subscribe())?;
    let mut times = Vec::with_capacity(options.messages);
    for number in 0..options.messages {
        let frame = message(&subject, number);
        let began = Instant::now();
        sender.write(&frame)?;
        hear(&mut reader)?;
        times.push(began.elapsed());
        sender.text()?;
    }
    let Latency { p50, p99, worst, .. } = Latency::of(times);
    for (name, time) in [("p50", p50), ("p99", p99), ("worst", worst)] {
        note(&format!("from send to delivery on another socket, {name}"), time.as_secs_f64() * 1e3, "ms");
    }
    Ok(())
}

pub(crate) fn fanout(options: &FanoutOptions) -> Result<()> {
    let subject = Subject::start(false)?;
    let mut peers = idle::open(&subject, options.connections)?;
    let subscribe = subject.subscribe();
    for peer in &mut peers {
        peer.ask(&subscribe)?;
    }
    let mut sender = subject.dialer.open(options.connections, true)?;
    let (cpu, began) = (subject.cpu()?, Instant::now());
    for number in 0..options.messages {
        sender.write(&message(&subject, number))?;
        sender.text()?;
        peers.iter_mut().try_for_each(hear)?;
    }
    let (spent, took) = (subject.cpu()? - cpu, began.elapsed());
    let deliveries = (options.messages * options.connections) as f64;
    let each = |time: Duration| time.as_secs_f64() * 1e6 / deliveries;
    note("CPU of one delivery", each(spent), "µs");
    note("deliveries a second, with the reading clients on this machine", deliveries / took.as_secs_f64(), "");
    subject.node.pid().context("it ran to the end").map(drop)
}

//! Somebody who talks through the balancer: `hubbub chat --json`, and what it was told.
//!
//! Must never end before it has heard everything that it was acknowledged.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

/// A lost node is noticed and another found within seconds; past this something hangs.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct Talker {
    child: Child,
    input: ChildStdin,
    lines: Receiver<Value>,
    /// The node of the last `online`.
    node: String,
    /// Bodies by the `seq` of their acks, and as they were delivered.
    acked: BTreeMap<u64, String>,
    heard: Vec<(u64, String)>,
}

impl Talker {
    /// Starts the client and waits until it has joined its room.
    pub(super) fn start(mut command: Command) -> Result<Self> {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("cannot start the client")?;
        let (input, output) = child.stdin.take().zip(child.stdout.take()).context("the client has no pipes")?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(std::result::Result::ok) {
                if sender.send(serde_json::from_str(&line).unwrap_or(Value::Null)).is_err() {
                    return;
                }
            }
        });
        let (node, acked, heard) = (String::new(), BTreeMap::new(), Vec::new());
        let mut talker = Self { child, input, lines, node, acked, heard };
        talker.wait_for("the room", |line| line["type"] == "joined")?;
        Ok(talker)
    }

    /// Where it is connected.
    pub(super) fn node(&self) -> &str {
        &self.node
    }

    /// Sends the next message and waits for its ack.
    pub(super) fn say(&mut self) -> Result<()> {
        let body = format!("message {}", self.acked.len() + 1);
        let line = json!({ "cmd": "send", "body": body, "ref": body });
        writeln!(self.input, "{line}").context("the client is gone")?;
        let ack = self.wait_for(&body, |line| line["type"] == "ack" && line["ref"] == body.as_str())?;
        let seq = ack["seq"].as_u64().context("an ack without a seq")?;
        self.acked.insert(seq, body);
        Ok(())
    }

    /// Waits until everything acknowledged was heard, each once and in order; says how much that was.
    pub(super) fn finish(mut self) -> Result<usize> {
        let last = self.acked.keys().next_back().copied().unwrap_or(0);
        while self.heard.last().is_none_or(|(seq, _)| *seq < last) {
            self.wait_for("the last message", |line| line["event"]["ev"] == "message.sent")?;
        }
        let expected: Vec<(u64, String)> = std::mem::take(&mut self.acked).into_iter().collect();
        ensure!(self.heard == expected, "acknowledged: {expected:?}; heard: {:?}", self.heard);
        Ok(expected.len())
    }

    /// Reads on until a line is what is waited for; takes note of everything on the way.
    fn wait_for(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        loop {
            let line = self.lines.recv_timeout(PATIENCE).with_context(|| format!("waited in vain for {what}"))?;
            if line["type"] == "error" || line["type"] == "ended" {
                bail!("the client says: {line}");
            }
            if line["state"] == "online" {
                self.node = line["node"].as_str().unwrap_or_default().to_owned();
            }
            let event = &line["event"];
            if event["ev"] == "message.sent" {
                let (seq, body) = event["seq"].as_u64().zip(event["data"]["body"].as_str()).context("no message")?;
                self.heard.push((seq, body.to_owned()));
            }
            if wanted(&line) {
                return Ok(line);
            }
        }
    }
}

impl Drop for Talker {
    fn drop(&mut self) {
        // It may have ended by itself, which was said then.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

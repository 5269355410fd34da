//! The end of a node, in steps that people do not feel (CONTRACT §3).
//!
//! Owns the order of the steps, the pace of closing and what is said of it. Must never drop a socket: whoever bounds the
//! whole does that.

use std::sync::Arc;
use std::time::Duration;

use hubbub_protocol::CloseCode;
use hubbub_protocol::mutation::{self, Mutation};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::DrainConfig;
use crate::link::Link;
use crate::node::Node;
use crate::tempo::Tempo;

/// Who is closed comes back within this time: long enough that those of one moment do not come in one breath, and short
/// for one who waits. The pace of closing is what spreads the crowd.
const RETURN_WITHIN: Duration = Duration::from_secs(1);

/// Between two lines about the progress.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

/// How soon a socket is found that became a WebSocket while the door was being closed.
const LATE_LOOK: Duration = Duration::from_millis(50);

/// How long who knocks is refused in words at least, once upgrades are: a node that is empty too is found by those who have
/// not heard yet. No longer than the grace, since a node without one expects nobody.
const DOOR_ANSWERS: Duration = Duration::from_secs(1);

/// How long a close waits for the reply to a command at work, once everybody has been told; most take milliseconds.
const COMMAND_TIME: Duration = Duration::from_secs(5);

/// What the last sockets need to hear their close frame, beside the pace.
const LAST_WORDS: Duration = Duration::from_secs(4);

/// When a closed client comes back, in milliseconds from now.
pub(crate) fn return_after_ms() -> u64 {
    crate::admission::random_ms(Duration::ZERO, RETURN_WITHIN)
}

/// Serves on for the grace, closes the door, then every WebSocket at the pace, then waits for the last socket.
pub(crate) async fn run(node: &Arc<Node>, accepting: &CancellationToken) {
    let drain = node.config().drain;
    node.draining.cancel();
    node.chat.bus().begin_drain();
    let mut progress = Progress::begin(node, drain);
    let mut span = hubbub_trace::root("node.drain");
    span.set("hubbub.connections", node.connections.len());
    tokio::time::sleep(drain.grace).await;
    node.admission.close_door();
    let answered_until = Instant::now() + DOOR_ANSWERS.min(drain.grace).min(progress.room());
    let count = node.connections.len();
    let mut tempo = Tempo::over(count, drain.spread, drain.closes_per_second, Instant::now());
    progress.announce(count, tempo.lasts(count));
    close_all(node, &mut tempo, &mut progress).await;
    let given_up_at = Instant::now() + COMMAND_TIME;
    loop {
        if given_up_at <= Instant::now() {
            node.connections.iter().for_each(|link| link.outbox.give_up_work());
        }
        if answered_until <= Instant::now() {
            // From here on nobody gets an answer any more: those who knock are sent to another node by the kernel.
            accepting.cancel();
            node.sockets.close();
        }
        tokio::select! {
            () = node.sockets.wait() => break,
            () = tokio::time::sleep(LATE_LOOK) => close_all(node, &mut tempo, &mut progress).await,
        }
        progress.look();
    }
    span.set("hubbub.closed", progress.closed);
    progress.end();
}

/// Closes every WebSocket that is open, and those that become one meanwhile.
async fn close_all(node: &Arc<Node>, tempo: &mut Tempo, progress: &mut Progress) {
    loop {
        let open: Vec<Arc<Link>> = node.open_links();
        if open.is_empty() {
            return;
        }
        for link in open {
            // Who has gone by itself takes no turn.
            if link.outbox.is_ending() {
                continue;
            }
            if !mutation::is(Mutation::DrainBurst) {
                tempo.turn().await;
            }
            if link.close_told(CloseCode::Restart, return_after_ms()) {
                progress.closed += 1;
            }
            progress.look();
        }
    }
}

/// What is said of a drain, in the log and as a metric.
struct Progress {
    node: Arc<Node>,
    /// As it was when the drain began.
    config: DrainConfig,
    began: Instant,
    said: Instant,
    closed: usize,
}

impl Progress {
    fn begin(node: &Arc<Node>, config: DrainConfig) -> Self {
        let now = Instant::now();
        let progress = Self { node: Arc::clone(node), config, began: now, said: now, closed: 0 };
        node.metrics.node_draining.set(1);
        progress.show();
        tracing::info!(connections = node.connections.len(), "draining");
        progress
    }

    /// What is left of `drain.timeout` before the last words; without a timeout there is no end.
    fn room(&self) -> Duration {
        let timeout = self.config.timeout;
        if timeout.is_zero() {
            return Duration::MAX;
        }
        timeout.saturating_sub(self.began.elapsed()).saturating_sub(LAST_WORDS)
    }

    /// Says how long the closing will take, and whether that is too long.
    fn announce(&self, connections: usize, closing: Duration) {
        let seconds = closing.as_secs_f64();
        tracing::info!(connections, seconds, "closing connections");
        let room = self.room();
        if closing > room {
            tracing::warn!(
                connections,
                seconds,
                seconds_left = room.as_secs_f64(),
                closes_per_second = self.config.closes_per_second,
                timeout_seconds = self.config.timeout.as_secs_f64(),
                "the pace of `drain.closes_per_second` does not fit `drain.timeout`: who is left then is dropped"
            );
        }
    }

    fn show(&self) {
        self.node.metrics.drain_connections_left.set(i64::try_from(self.node.connections.len()).unwrap_or(i64::MAX));
    }

    /// Shows where the drain stands, and says so now and then.
    fn look(&mut self) {
        self.show();
        if self.said.elapsed() >= PROGRESS_EVERY {
            self.said = Instant::now();
            let (left, sockets) = (self.node.connections.len(), self.node.sockets.len());
            tracing::info!(
                left,
                closed = self.closed,
                sockets,
                seconds = self.began.elapsed().as_secs_f64(),
                "draining"
            );
        }
    }

    fn end(&self) {
        self.show();
        tracing::info!(closed = self.closed, seconds = self.began.elapsed().as_secs_f64(), "drained");
    }
}

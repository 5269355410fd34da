//! Giving clients to other nodes, when this one has more than its share: after a scale-up the new nodes stay empty
//! otherwise, since nobody who chats has a reason to connect anew.
//!
//! Owns whom it asks to go and how fast. Must never decide how many: that is [`balance`]. Must never close anybody while
//! this node drains or another one does, or while nobody could tell how the others are.

mod balance;

use std::sync::Arc;
use std::time::Duration;

use hubbub_protocol::CloseCode;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::drain::return_after_ms;
use crate::link::Link;
use crate::node::Node;
use crate::tempo::Tempo;
use balance::{Balance, LOOK_EVERY, Other, Say};

/// Who connected more recently stays: a client that is sent straight back here must not be closed over and over.
const AGE_MIN: Duration = Duration::from_secs(10);

/// Compares with the other nodes every few seconds, until the node drains or stops.
pub(crate) async fn run(node: Arc<Node>, stop: CancellationToken) {
    if !node.chat.bus().is_shared() {
        return;
    }
    tokio::select! {
        () = stop.cancelled() => {}
        () = node.draining.cancelled() => {}
        () = watch(&node) => {}
    }
}

async fn watch(node: &Node) {
    let mut balance = Balance::new();
    let mut tempo = Tempo::at_most(1, Instant::now());
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let config = node.config().rebalance;
        let bus = node.chat.bus();
        // Who is closed while the database is gone cannot sign on elsewhere either.
        let leases = if config.enabled && node.chat.store_is_up() { bus.nodes().await.ok() } else { None };
        let Some(leases) = leases else {
            balance.lost_sight();
            continue;
        };
        let others = leases.into_iter().filter(|lease| lease.instance != bus.instance());
        let others: Vec<Other> = others
            .map(|lease| Other { instance: lease.instance, sessions: lease.sessions, draining: lease.draining })
            .collect();
        let verdict = balance.look(sessions(node).len() as u64, &others, config.closes_per_second);
        if let Some(say) = verdict.say {
            tell(say);
        }
        tempo.change_to(verdict.per_second);
        let closed = close(node, &mut tempo, verdict.close).await;
        balance.closed(closed);
    }
}

fn tell(say: Say) {
    match say {
        Say::Begins { own, share } => {
            tracing::info!(sessions = own, share, "more than this node's share: some clients are sent to other nodes");
        }
        Say::Even { own, share } => tracing::info!(sessions = own, share, "this node has its share"),
        Say::InVain { closed } => {
            tracing::warn!(
                closed,
                "clients that were sent to other nodes come back here: this is tried ever less often"
            );
        }
    }
}

/// Everybody who has signed on here and stays.
fn sessions(node: &Node) -> Vec<Arc<Link>> {
    let mut links = node.open_links();
    links.retain(|link| link.expires_at().is_some());
    links
}

/// Closes so many, the oldest first: they were here before the others had room, while who came last may just have been
/// moved. So nobody moves twice for one change.
async fn close(node: &Node, tempo: &mut Tempo, count: u64) -> u64 {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    if count == 0 {
        return 0;
    }
    let mut oldest = sessions(node);
    oldest.retain(|link| link.since.elapsed() >= AGE_MIN);
    // Ids are given in the order of arrival.
    oldest.sort_unstable_by_key(|link| link.id);
    let mut closed = 0;
    for link in oldest.into_iter().take(count) {
        tempo.turn().await;
        if link.close_told(CloseCode::Rebalance, return_after_ms()) {
            node.metrics.rebalance_closes.inc();
            closed += 1;
        }
    }
    closed
}

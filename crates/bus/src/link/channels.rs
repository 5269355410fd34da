//! Subscribes and unsubscribes rooms on the one subscriber connection of a shard, in batches, one command at a time.
//!
//! One task sends both, each after the confirmation of the one before, so the server's view follows
//! [`crate::rooms::Rooms`] without races. Must never open another connection.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hubbub_protocol::RoomId;
use redis::aio::MultiplexedConnection;
use redis::{PushKind, RedisResult, Value};

use super::shard::{Loss, Shard};
use crate::shared::Shared;

/// Before rooms that a node of a cluster refused are tried again, unless their slots are found elsewhere meanwhile;
/// doubled each time.
const REFUSED_PAUSE_MIN: Duration = Duration::from_millis(50);
/// The same, for rooms that are refused for long.
const REFUSED_PAUSE_MAX: Duration = Duration::from_secs(1);

/// What became of one batch.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Batch {
    Empty,
    Done,
    /// Some rooms were not confirmed: their slots are elsewhere or down, or the user may not have them.
    Refused,
}

/// When what was refused is tried again.
struct Retry {
    at: Option<Instant>,
    pause: Duration,
}

impl Retry {
    /// As if something had been refused just now: a new link may have been refused some rooms already.
    fn new() -> Self {
        Self { at: Some(Instant::now() + REFUSED_PAUSE_MIN), pause: REFUSED_PAUSE_MIN }
    }

    /// Something was refused.
    fn refused(&mut self, now: Instant) {
        if self.at.is_none() {
            self.at = Some(now + self.pause);
            self.pause = (self.pause * 2).min(REFUSED_PAUSE_MAX);
        }
    }

    /// Nothing is left to ask for.
    fn idle(&mut self) {
        if self.at.is_none() {
            self.pause = REFUSED_PAUSE_MIN;
        }
    }

    /// Whether it is time.
    fn is_due(&mut self, now: Instant) -> bool {
        self.at.take_if(|at| *at <= now).is_some()
    }
}

/// Subscribes the watchdog's channel and every wanted room. Returns when all are confirmed, or refused for now, and new
/// ones may wait.
pub(super) async fn subscribe_all(
    shared: &Shared,
    shard: &Shard,
    subscriber: &mut MultiplexedConnection,
) -> Result<(), Loss> {
    subscriber.subscribe(shared.link.keys.pulse(shard.id)).await?;
    shared.rooms.link_made(shard.id);
    while !shared.rooms.link_up(shard.id) {
        while join_batch(shared, shard, subscriber).await? != Batch::Empty {}
    }
    Ok(())
}

/// Keeps up with the rooms until the server does not answer.
pub(super) async fn run(shared: Arc<Shared>, shard: Arc<Shard>, mut subscriber: MultiplexedConnection) -> Loss {
    let mut retry = Retry::new();
    loop {
        match step(&shared, &shard, &mut subscriber).await {
            Ok(Batch::Done) => {}
            Ok(Batch::Empty) => {
                retry.idle();
                wait(&shared, &shard, retry.at).await;
            }
            Ok(Batch::Refused) => retry.refused(Instant::now()),
            Err(loss) => return loss,
        }
        if retry.is_due(Instant::now()) {
            shared.rooms.try_refused(shard.id);
        }
    }
}

/// One batch of each kind.
async fn step(shared: &Shared, shard: &Shard, subscriber: &mut MultiplexedConnection) -> Result<Batch, Loss> {
    // Whoever is about to subscribe in this moment comes along.
    tokio::task::yield_now().await;
    let joined = join_batch(shared, shard, subscriber).await?;
    let leaving = shared.rooms.next_leaves(shard.id, Instant::now());
    if leaving.is_empty() {
        return Ok(joined);
    }
    let channels: Vec<String> = leaving.iter().map(|room| shared.link.keys.room(*room)).collect();
    if shard.sharded {
        // A channel whose slot has moved away is refused, and is left by that very fact.
        each(subscriber, "SUNSUBSCRIBE", &channels).await?;
    } else {
        subscriber.unsubscribe(&channels).await?;
    }
    shared.count_rooms();
    Ok(if joined == Batch::Refused { joined } else { Batch::Done })
}

async fn join_batch(shared: &Shared, shard: &Shard, subscriber: &mut MultiplexedConnection) -> Result<Batch, Loss> {
    let batch = shared.rooms.next_joins(shard.id);
    if batch.is_empty() {
        return Ok(Batch::Empty);
    }
    let channels: Vec<String> = batch.iter().map(|room| shared.link.keys.room(*room)).collect();
    let refused = if shard.sharded {
        let answers = each(subscriber, "SSUBSCRIBE", &channels).await?;
        let (confirmed, refused) = sorted(&answers, channels, &batch);
        shared.link.rooms_confirmed(shard, &confirmed, shared);
        shared.rooms.refused(shard.id, &refused);
        if !refused.is_empty() {
            shared.link.look_again();
        }
        !refused.is_empty()
    } else {
        subscriber.subscribe(&channels).await?;
        shared.link.rooms_confirmed(shard, &batch, shared);
        false
    };
    shared.link.rooms_joined(shared);
    Ok(if refused { Batch::Refused } else { Batch::Done })
}

/// One command for each channel, since one command must not name two slots.
async fn each(subscriber: &mut MultiplexedConnection, command: &str, channels: &[String]) -> RedisResult<Vec<Value>> {
    let mut pipeline = redis::pipe();
    for channel in channels {
        pipeline.cmd(command).arg(channel);
    }
    subscriber.send_packed_commands(&pipeline, 0, channels.len()).await
}

/// Which rooms were confirmed and which were not, by the names in the answers and not by their number: when a slot moves
/// away in this moment, the server's notice of it stands among them.
fn sorted(answers: &[Value], channels: Vec<String>, batch: &[RoomId]) -> (Vec<RoomId>, Vec<RoomId>) {
    let mut asked: HashMap<Vec<u8>, RoomId> =
        channels.into_iter().map(String::into_bytes).zip(batch.iter().copied()).collect();
    let mut confirmed = Vec::new();
    for answer in answers {
        if let Value::Push { kind: PushKind::SSubscribe, data } = answer
            && let Some(Value::BulkString(channel)) = data.first()
        {
            confirmed.extend(asked.remove(channel));
        }
    }
    (confirmed, asked.into_values().collect())
}

/// Until there is something new, a room is due to be left, or what was refused is due to be tried.
async fn wait(shared: &Shared, shard: &Shard, retry_at: Option<Instant>) {
    match shared.rooms.next_departure(shard.id).into_iter().chain(retry_at).min() {
        Some(at) => {
            tokio::select! {
                () = shared.rooms.changed(shard.id) => {}
                () = tokio::time::sleep_until(at.into()) => {}
            }
        }
        None => shared.rooms.changed(shard.id).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_for_long_is_tried_once_a_second() {
        let mut now = Instant::now();
        let mut retry = Retry::new();
        let mut tries = 0;
        let end = now + Duration::from_secs(10);
        while now < end {
            now += Duration::from_millis(10);
            if retry.is_due(now) {
                tries += 1;
                retry.refused(now);
                retry.refused(now);
            }
            retry.idle();
        }
        assert!((10..20).contains(&tries), "{tries}");
        assert!(retry.is_due(now + REFUSED_PAUSE_MAX));
        retry.idle();
        retry.refused(now);
        assert!(retry.is_due(now + 2 * REFUSED_PAUSE_MIN), "once all is well the next one is tried soon");
    }
}

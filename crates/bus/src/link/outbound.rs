//! What goes out without an answer: events, and units given back. A bounded queue, sent in pipelines.
//!
//! The queue keeps the order and several pipelines are under way at once. Must never wait for the server on behalf of
//! whoever publishes.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hubbub_protocol::{RoomEvent, RoomId};
use hubbub_trace::{Kind, Span};
use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{RedisResult, ServerError, ServerErrorKind, Value};
use tokio::sync::Notify;

use super::shard::{Loss, Shard};
use crate::envelope::{self, Traced};
use crate::metrics::{BusOp, Dropped, Metrics};
use crate::shared::Shared;

/// How many messages one pipeline holds at most.
const PIPELINE_MAX: usize = 256;
/// How many pipelines are under way at most.
const IN_FLIGHT_MAX: usize = 8;
/// How many events of one room travel in one message at most.
const EVENTS_MAX: usize = 64;

/// Something to be sent.
pub(super) struct Outgoing {
    /// The channel or key.
    name: String,
    what: What,
    /// It was refused by a master that does not hold it any more: it is sent on once, not round and round.
    sent_on: bool,
}

enum What {
    /// Spans of the events that belong to recorded traces; they end when the server has answered.
    Message {
        payload: Vec<u8>,
        events: u64,
        spans: Vec<Span>,
    },
    GiveBack {
        limit: u64,
    },
}

/// The queue of one shard.
#[derive(Default)]
pub(crate) struct Outbound {
    queue: Mutex<Queue>,
    filled: Notify,
    emptied: Notify,
}

/// Names one link of a shard: a sender of a link that is lost must not touch what belongs to the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct LinkNumber(u64);

#[derive(Default)]
struct Queue {
    items: VecDeque<Outgoing>,
    bytes: usize,
    link: LinkNumber,
    /// How many pipelines of this link are under way.
    in_flight: usize,
}

impl Outbound {
    /// Queues events of one room, whose channel this is. Tell [`Self::filled`] when all are queued.
    pub(super) fn push_events(&self, channel: String, events: &[&RoomEvent], shared: &Shared) {
        let (spans, traced) = spans_of(events);
        let encoded = envelope::encode_events(events, &shared.instance, &traced);
        let count = events.len() as u64;
        match encoded {
            Ok(payload) if payload.len() <= envelope::ENVELOPE_BYTES_MAX => {
                self.push(Outgoing::new(channel, What::Message { payload, events: count, spans }), shared);
            }
            Ok(_) if count > 1 => events.iter().for_each(|event| self.push_events(channel.clone(), &[event], shared)),
            Ok(_) => shared.metrics.dropped(Dropped::Unencodable, 1),
            Err(error) => {
                shared.metrics.dropped(Dropped::Unencodable, count);
                tracing::error!(%error, channel, "events could not be encoded for the bus");
            }
        }
    }

    /// Queues a unit of the rate limit with this key to be given back.
    pub(super) fn give_back(&self, key: String, limit: u64, shared: &Shared) {
        self.push(Outgoing::new(key, What::GiveBack { limit }), shared);
        self.filled();
    }

    /// There is something to send.
    pub(super) fn filled(&self) {
        self.filled.notify_one();
    }

    pub(super) fn push(&self, item: Outgoing, shared: &Shared) {
        let mut queue = self.queue.lock();
        let bytes = queue.bytes + item.bytes();
        if queue.items.len() >= shared.config.queue_messages_max || bytes > shared.config.queue_bytes_max {
            drop(queue);
            shared.metrics.dropped(Dropped::QueueFull, item.events());
            item.fail("queue_full");
            return;
        }
        queue.bytes = bytes;
        queue.items.push_back(item);
    }

    /// Messages and bytes that wait, and pipelines under way.
    pub(super) fn load(&self) -> (usize, usize, usize) {
        let queue = self.queue.lock();
        (queue.items.len(), queue.bytes, queue.in_flight)
    }

    /// The link that [`Self::clear`] ends.
    pub(super) fn link(&self) -> LinkNumber {
        self.queue.lock().link
    }

    /// Drops everything, because the link is lost.
    pub(super) fn clear(&self, metrics: &Metrics) {
        let mut queue = self.queue.lock();
        let next = Queue { link: LinkNumber(queue.link.0 + 1), ..Queue::default() };
        let queue = std::mem::replace(&mut *queue, next);
        metrics.dropped(Dropped::Down, queue.items.iter().map(Outgoing::events).sum());
        queue.items.into_iter().for_each(|item| item.fail("down"));
        self.emptied.notify_waiters();
    }

    /// Resolves when nothing is queued or under way.
    pub(crate) async fn emptied(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.is_empty() {
                return;
            }
            emptied.await;
        }
    }

    fn is_empty(&self) -> bool {
        let queue = self.queue.lock();
        queue.in_flight == 0 && queue.items.is_empty()
    }

    /// The next batch of this link. It counts as under way before it leaves the queue.
    fn take(&self, link: LinkNumber) -> Vec<Outgoing> {
        let mut queue = self.queue.lock();
        if queue.link != link {
            return Vec::new();
        }
        let count = queue.items.len().min(PIPELINE_MAX);
        let batch: Vec<Outgoing> = queue.items.drain(..count).collect();
        queue.bytes -= batch.iter().map(Outgoing::bytes).sum::<usize>();
        queue.in_flight += usize::from(!batch.is_empty());
        batch
    }

    /// A batch of this link is no longer under way.
    fn done(&self, link: LinkNumber) {
        let mut queue = self.queue.lock();
        if queue.link == link {
            queue.in_flight -= 1;
        }
        drop(queue);
        self.emptied.notify_waiters();
    }
}

/// For each event that belongs to a recorded trace, the span of its way to the server, and what stands in the message of it.
fn spans_of(events: &[&RoomEvent]) -> (Vec<Span>, Vec<Traced>) {
    let (mut spans, mut traced) = (Vec::new(), Vec::new());
    for event in events {
        let Some(trace) = &event.trace else { continue };
        let mut span = hubbub_trace::child_of(trace, "bus.publish", Kind::Producer);
        if let Some(context) = span.context() {
            span.set("hubbub.room", event.room);
            span.set("hubbub.seq", event.seq);
            spans.push(span);
            traced.push((event.seq, context));
        }
    }
    (spans, traced)
}

/// Sorts events by room and hands on those of each, in order and not too many at once.
pub(super) fn in_rooms(events: &[Arc<RoomEvent>], mut each: impl FnMut(RoomId, &[&RoomEvent])) {
    if let [event] = events {
        each(event.room, &[event]);
        return;
    }
    let mut rooms: HashMap<RoomId, Vec<&RoomEvent>> = HashMap::new();
    for event in events {
        rooms.entry(event.room).or_default().push(event);
    }
    for (room, events) in rooms {
        events.chunks(EVENTS_MAX).for_each(|events| each(room, events));
    }
}

impl Outgoing {
    const fn new(name: String, what: What) -> Self {
        Self { name, what, sent_on: false }
    }

    pub(super) const fn events(&self) -> u64 {
        match self.what {
            What::Message { events, .. } => events,
            What::GiveBack { .. } => 0,
        }
    }

    /// It was not sent, or in vain.
    fn fail(self, why: &'static str) {
        if let What::Message { spans, .. } = self.what {
            for mut span in spans {
                span.fail(why);
            }
        }
    }

    fn bytes(&self) -> usize {
        let payload = if let What::Message { payload, .. } = &self.what { payload.len() } else { 0 };
        size_of::<Self>() + self.name.len() + payload
    }
}

type Sending = Pin<Box<dyn Future<Output = Sent> + Send>>;

/// What came of one pipeline: how many events were in it and how many of them failed.
struct Sent {
    began: Instant,
    events: u64,
    failed: u64,
    error: Option<redis::RedisError>,
    /// What the server said about the last one that it refused.
    refusal: Option<ServerErrorKind>,
    /// What belongs to another master, with its address.
    moved: Vec<(String, Outgoing)>,
}

/// Sends until the link is given up by another part. A pipeline that fails is counted and not sent again.
pub(super) async fn run(
    shared: Arc<Shared>,
    shard: Arc<Shard>,
    link: LinkNumber,
    read_only: Arc<Notify>,
    commands: MultiplexedConnection,
) -> Loss {
    let outbound = &shard.outbound;
    let finish = |sent| {
        finish(&shared, &read_only, sent);
        outbound.done(link);
    };
    let mut in_flight: FuturesUnordered<Sending> = FuturesUnordered::new();
    loop {
        while in_flight.len() < IN_FLIGHT_MAX {
            let batch = outbound.take(link);
            if batch.is_empty() {
                break;
            }
            let mut sending: Sending = Box::pin(send(batch, &shared, shard.sharded, commands.clone()));
            // The first poll puts the pipeline into the writer's queue (or its waiting line), which keeps the order.
            match poll_fn(|context| Poll::Ready(sending.as_mut().poll(context))).await {
                Poll::Ready(sent) => finish(sent),
                Poll::Pending => in_flight.push(sending),
            }
        }
        tokio::select! {
            Some(sent) = in_flight.next(), if !in_flight.is_empty() => finish(sent),
            () = outbound.filled.notified(), if in_flight.len() < IN_FLIGHT_MAX => {}
        }
    }
}

fn finish(shared: &Shared, read_only: &Notify, sent: Sent) {
    shared.metrics.asked(BusOp::Publish, sent.began, sent.error.is_none());
    if sent.failed > 0 {
        shared.metrics.dropped(Dropped::Failed, sent.failed);
    }
    if let Some(error) = &sent.error {
        tracing::debug!(%error, events = sent.events, "a publish failed");
    }
    shared.link.heed(read_only, sent.refusal);
    for (holder, item) in sent.moved {
        shared.link.send_on(&holder, item, shared);
    }
}

fn send(
    batch: Vec<Outgoing>,
    shared: &Shared,
    sharded: bool,
    mut commands: MultiplexedConnection,
) -> impl Future<Output = Sent> + Send + use<> {
    let publish = if sharded { "SPUBLISH" } else { "PUBLISH" };
    let mut pipeline = redis::pipe();
    for Outgoing { name, what, .. } in &batch {
        match what {
            What::Message { payload, .. } => pipeline.cmd(publish).arg(name).arg(payload.as_slice()),
            What::GiveBack { limit } => {
                pipeline.cmd("EVALSHA").arg(shared.link.scripts.take.get_hash()).arg(1).arg(name).arg(*limit).arg(-1)
            }
        };
    }
    let events = batch.iter().map(Outgoing::events).sum();
    async move {
        let mut sent = Sent { began: Instant::now(), events, failed: 0, error: None, refusal: None, moved: Vec::new() };
        let answers: RedisResult<Vec<Value>> = commands.send_packed_commands(&pipeline, 0, batch.len()).await;
        match answers {
            Ok(answers) => {
                for (answer, item) in answers.into_iter().zip(batch) {
                    if let Value::ServerError(error) = answer {
                        sent.refused(&error, item);
                    }
                }
            }
            Err(error) => {
                sent.failed = events;
                sent.error = Some(error);
                batch.into_iter().for_each(|item| item.fail("failed"));
            }
        }
        sent
    }
}

impl Sent {
    fn refused(&mut self, error: &ServerError, mut item: Outgoing) {
        self.refusal = error.kind();
        let holder = error.details().filter(|_| error.kind() == Some(ServerErrorKind::Moved) && !item.sent_on);
        match holder.and_then(|details| details.split_ascii_whitespace().nth(1)) {
            Some(holder) => {
                item.sent_on = true;
                self.moved.push((holder.to_owned(), item));
            }
            None => {
                self.failed += item.events();
                item.fail("refused");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one() -> Outgoing {
        Outgoing::new("room".to_owned(), What::GiveBack { limit: 1 })
    }

    #[test]
    fn a_sender_of_a_lost_link_leaves_the_next_link_alone() {
        let shared = crate::shared::Shared::new(
            crate::BusConfig::in_process("n"),
            Metrics::register(&prometheus::Registry::new()).unwrap(),
        );
        let outbound = Outbound::default();
        let lost = outbound.link();
        outbound.push(one(), &shared);
        assert_eq!(outbound.take(lost).len(), 1);
        assert!(!outbound.is_empty(), "one is under way");
        outbound.clear(&shared.metrics);
        assert!(outbound.is_empty());
        // The old sender is not gone yet.
        outbound.done(lost);
        outbound.push(one(), &shared);
        assert_eq!(outbound.take(lost).len(), 0, "the old sender would send what belongs to the next link");
        let link = outbound.link();
        assert_eq!(outbound.take(link).len(), 1);
        outbound.done(lost);
        assert!(!outbound.is_empty(), "the old sender ended a pipeline of the next link");
        outbound.done(link);
        assert!(outbound.is_empty());
    }
}

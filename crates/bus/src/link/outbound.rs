//! What goes out without an answer: events, and units given back. A bounded queue, sent in pipelines.
//!
//! The queue keeps the order and several pipelines are under way at once. Must never wait for the server on behalf of
//! whoever publishes.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hubbub_protocol::{RoomEvent, RoomId, UserId};
use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{RedisResult, Value};
use tokio::sync::Notify;

use super::Loss;
use crate::envelope;
use crate::metrics::{Dropped, Metrics};
use crate::rate::RateClass;
use crate::shared::Shared;

/// How many messages one pipeline holds at most.
const PIPELINE_MAX: usize = 256;
/// How many pipelines are under way at most.
const IN_FLIGHT_MAX: usize = 8;
/// How many events of one room travel in one message at most.
const EVENTS_MAX: usize = 64;

/// Something to be sent.
enum Outgoing {
    Message { channel: String, payload: Vec<u8>, events: u64 },
    GiveBack { class: RateClass, user: UserId, limit: u64 },
}

/// The queue.
#[derive(Default)]
pub(crate) struct Outbound {
    queue: Mutex<Queue>,
    filled: Notify,
    /// How many pipelines are under way.
    in_flight: AtomicUsize,
    emptied: Notify,
}

#[derive(Default)]
struct Queue {
    items: VecDeque<Outgoing>,
    bytes: usize,
}

impl Outbound {
    /// Queues events. Those of one room travel together where they follow each other.
    pub(crate) fn publish(&self, events: &[Arc<RoomEvent>], shared: &Shared) {
        if let [event] = events {
            self.push_message(event.room, &[event], shared);
        } else {
            let mut rooms: HashMap<RoomId, Vec<&RoomEvent>> = HashMap::new();
            for event in events {
                rooms.entry(event.room).or_default().push(event);
            }
            for (room, events) in rooms {
                for events in events.chunks(EVENTS_MAX) {
                    self.push_message(room, events, shared);
                }
            }
        }
        self.filled.notify_one();
    }

    /// Queues a unit to be given back.
    pub(crate) fn give_back(&self, class: RateClass, user: UserId, limit: u64, shared: &Shared) {
        self.push(Outgoing::GiveBack { class, user, limit }, shared);
        self.filled.notify_one();
    }

    fn push_message(&self, room: RoomId, events: &[&RoomEvent], shared: &Shared) {
        let encoded = match events {
            [event] => envelope::encode_event(event, &shared.instance),
            events => envelope::encode_events(events, &shared.instance),
        };
        let count = events.len() as u64;
        match encoded {
            Ok(payload) if payload.len() <= envelope::ENVELOPE_BYTES_MAX => {
                self.push(Outgoing::Message { channel: shared.link.keys.room(room), payload, events: count }, shared);
            }
            Ok(_) if count > 1 => events.iter().for_each(|event| self.push_message(room, &[event], shared)),
            Ok(_) => shared.metrics.dropped(Dropped::Unencodable, 1),
            Err(error) => {
                shared.metrics.dropped(Dropped::Unencodable, count);
                tracing::error!(%error, %room, "events could not be encoded for the bus");
            }
        }
    }

    fn push(&self, item: Outgoing, shared: &Shared) {
        let mut queue = self.queue.lock();
        let bytes = queue.bytes + item.bytes();
        if queue.items.len() >= shared.config.queue_messages_max || bytes > shared.config.queue_bytes_max {
            drop(queue);
            shared.metrics.dropped(Dropped::QueueFull, item.events());
            return;
        }
        queue.bytes = bytes;
        queue.items.push_back(item);
    }

    /// Drops everything, because the link is lost.
    pub(super) fn clear(&self, metrics: &Metrics) {
        let queue = std::mem::take(&mut *self.queue.lock());
        metrics.dropped(Dropped::Down, queue.items.iter().map(Outgoing::events).sum());
        self.in_flight.store(0, Ordering::Release);
        self.emptied.notify_waiters();
    }

    /// Resolves when nothing is queued or under way.
    pub(crate) async fn emptied(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.in_flight.load(Ordering::Acquire) == 0 && self.queue.lock().items.is_empty() {
                return;
            }
            emptied.await;
        }
    }

    /// The next batch. It counts as under way before it leaves the queue.
    fn take(&self) -> Vec<Outgoing> {
        let mut queue = self.queue.lock();
        let count = queue.items.len().min(PIPELINE_MAX);
        let batch: Vec<Outgoing> = queue.items.drain(..count).collect();
        queue.bytes -= batch.iter().map(Outgoing::bytes).sum::<usize>();
        if !batch.is_empty() {
            self.in_flight.fetch_add(1, Ordering::AcqRel);
        }
        batch
    }

    fn done(&self) {
        self.in_flight.fetch_sub(1, Ordering::AcqRel);
        self.emptied.notify_waiters();
    }
}

impl Outgoing {
    const fn events(&self) -> u64 {
        match self {
            Self::Message { events, .. } => *events,
            Self::GiveBack { .. } => 0,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Message { channel, payload, .. } => channel.len() + payload.len(),
            Self::GiveBack { .. } => size_of::<Self>(),
        }
    }
}

type Sending = Pin<Box<dyn Future<Output = Sent> + Send>>;

/// What came of one pipeline: how many events were in it and how many of them failed.
struct Sent {
    events: u64,
    failed: u64,
    error: Option<redis::RedisError>,
}

/// Sends until the link is given up by another part. A pipeline that fails is counted and not sent again.
pub(super) async fn run(shared: Arc<Shared>, commands: MultiplexedConnection) -> Loss {
    let outbound = &shared.link.outbound;
    let mut in_flight: FuturesUnordered<Sending> = FuturesUnordered::new();
    loop {
        while in_flight.len() < IN_FLIGHT_MAX {
            let batch = outbound.take();
            if batch.is_empty() {
                break;
            }
            let mut sending: Sending = Box::pin(send(batch, &shared, commands.clone()));
            // The first poll puts the pipeline into the writer's queue (or its waiting line), which keeps the order.
            match poll_fn(|context| Poll::Ready(sending.as_mut().poll(context))).await {
                Poll::Ready(sent) => finish(&shared, &sent),
                Poll::Pending => in_flight.push(sending),
            }
        }
        tokio::select! {
            Some(sent) = in_flight.next(), if !in_flight.is_empty() => finish(&shared, &sent),
            () = outbound.filled.notified(), if in_flight.len() < IN_FLIGHT_MAX => {}
        }
    }
}

fn finish(shared: &Shared, sent: &Sent) {
    if sent.failed > 0 {
        shared.metrics.dropped(Dropped::Failed, sent.failed);
    }
    if let Some(error) = &sent.error {
        tracing::debug!(%error, events = sent.events, "a publish failed");
    }
    shared.link.outbound.done();
}

fn send(
    batch: Vec<Outgoing>,
    shared: &Shared,
    mut commands: MultiplexedConnection,
) -> impl Future<Output = Sent> + Send + use<> {
    let mut pipeline = redis::pipe();
    for item in &batch {
        match item {
            Outgoing::Message { channel, payload, .. } => {
                pipeline.cmd("PUBLISH").arg(channel).arg(payload.as_slice());
            }
            Outgoing::GiveBack { class, user, limit } => {
                pipeline.cmd("EVALSHA").arg(shared.link.scripts.take.get_hash()).arg(1);
                pipeline.arg(shared.link.keys.rate(*class, *user)).arg(*limit).arg(-1);
            }
        }
    }
    let events: Vec<u64> = batch.iter().map(Outgoing::events).collect();
    async move {
        let answers: RedisResult<Vec<Value>> = commands.send_packed_commands(&pipeline, 0, events.len()).await;
        let total = events.iter().sum();
        match answers {
            Ok(answers) => {
                let failed = answers
                    .iter()
                    .zip(&events)
                    .filter(|(answer, _)| matches!(answer, Value::ServerError(_)))
                    .map(|(_, events)| *events)
                    .sum();
                Sent { events: total, failed, error: None }
            }
            Err(error) => Sent { events: total, failed: total, error: Some(error) },
        }
    }
}

//! What waits to be written to one socket.
//!
//! Owns the queue, its bounds and the end of a connection: the only writer of a socket. A push tries the kernel at
//! once and queues only what it does not take, so that nobody ever waits for a slow socket. Must never know what a
//! frame means.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use hubbub_protocol::CloseCode;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::transport::Transport;

/// How much paced output (replies, replays) may wait before whoever paces is asked to stop, in bytes.
pub const PACED_BYTES_HIGH: usize = 64 << 10;

/// Memory that an empty queue may keep for the next burst, in entries.
const QUEUE_KEPT: usize = 16;

/// How a frame counts against the limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// A reply or a replayed event: its producer is paced by the reader, so it never closes a connection.
    Paced,
    /// A durable event: over the limit the connection is closed, since it can be resumed.
    Durable,
    /// An ephemeral event: dropped first when the reader is slow.
    Ephemeral,
}

struct Entry {
    bytes: Bytes,
    class: Class,
}

#[derive(Default)]
struct Queue {
    entries: VecDeque<Entry>,
    /// How much of the first entry is with the kernel already.
    written: usize,
    /// Bytes of events that wait, against the limit.
    event_bytes: usize,
    /// Bytes of replies and replays that wait.
    paced_bytes: usize,
    /// Nothing more is taken: a close frame stands at the end, or the socket is broken.
    closing: Option<Closing>,
    drained: Option<Arc<Notify>>,
}

/// Why and how a connection ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Closing {
    /// A close frame with this code stands at the end of the queue.
    Frame(u16),
    /// The socket does not work any more.
    Broken,
}

/// What became of a push.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pushed {
    /// With the kernel or in the queue.
    Taken,
    /// Dropped: ephemeral and the reader is slow, or the connection ends.
    Dropped,
    /// Over the limit: this push has closed the connection as too slow.
    TooSlow,
}

/// The queue of one connection.
pub struct Outbox {
    transport: Transport,
    queue: Mutex<Queue>,
    /// The connection's task: woken when the kernel was full or the connection is to end.
    waker: AtomicWaker,
    event_bytes_max: usize,
}

impl Outbox {
    /// An empty outbox; `event_bytes_max` of 0 means no limit.
    #[must_use]
    pub fn new(transport: Transport, event_bytes_max: usize) -> Self {
        let event_bytes_max = if event_bytes_max == 0 { usize::MAX } else { event_bytes_max };
        Self { transport, queue: Mutex::default(), waker: AtomicWaker::new(), event_bytes_max }
    }

    /// The socket, for its reader.
    #[must_use]
    pub fn transport(&self) -> &Transport {
        &self.transport
    }

    /// Writes `bytes` now if nothing waits and the kernel takes them, queues the rest.
    pub fn push(&self, bytes: Bytes, class: Class) -> Pushed {
        let mut queue = self.queue.lock();
        if queue.closing.is_some() {
            return Pushed::Dropped;
        }
        let mut rest = bytes;
        let was_empty = queue.entries.is_empty();
        if was_empty {
            match self.write_now(&rest) {
                Ok(taken) if taken == rest.len() && !self.transport.wants_flush() => return Pushed::Taken,
                Ok(taken) => rest = rest.slice(taken..),
                Err(()) => {
                    queue.closing = Some(Closing::Broken);
                    drop(queue);
                    self.waker.wake();
                    return Pushed::Dropped;
                }
            }
        }
        let pushed = queue.add(rest, class, self.event_bytes_max);
        drop(queue);
        // With something in the queue before, the task waits for the kernel already.
        if was_empty || pushed == Pushed::TooSlow {
            self.waker.wake();
        }
        pushed
    }

    fn write_now(&self, bytes: &[u8]) -> Result<usize, ()> {
        match self.transport.try_write(bytes) {
            Ok(taken) => Ok(taken),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
            Err(_) => Err(()),
        }
    }

    /// Ends the connection behind what waits already: `last` frames, then the close frame. Only the first call counts.
    pub fn close(&self, last: Option<Bytes>, code: CloseCode) -> bool {
        self.close_with(last, hubbub_websocket::close_frame(code.code(), code.name()), code.code())
    }

    /// [`Outbox::close`] with a close frame of the caller's own.
    pub fn close_with(&self, last: Option<Bytes>, frame: Bytes, code: u16) -> bool {
        let mut queue = self.queue.lock();
        if queue.closing.is_some() {
            return false;
        }
        queue.end_with(last, frame, code);
        drop(queue);
        self.waker.wake();
        true
    }

    /// Marks the socket as broken: nothing more can be written.
    pub fn break_off(&self) {
        self.queue.lock().closing.get_or_insert(Closing::Broken);
        self.waker.wake();
    }

    /// Whether and how the connection ends.
    #[must_use]
    pub fn closing(&self) -> Option<Closing> {
        self.queue.lock().closing
    }

    /// Bytes that wait.
    #[must_use]
    pub fn waiting_bytes(&self) -> usize {
        let queue = self.queue.lock();
        queue.event_bytes + queue.paced_bytes
    }

    /// Whether replies and replays should pause until the reader has caught up.
    #[must_use]
    pub fn is_congested(&self) -> bool {
        self.queue.lock().paced_bytes > PACED_BYTES_HIGH
    }

    /// Waits until paced output has drained or the connection ends.
    pub async fn drained(&self) {
        loop {
            let notify = {
                let mut queue = self.queue.lock();
                if queue.closing.is_some() || queue.paced_bytes <= PACED_BYTES_HIGH {
                    return;
                }
                Arc::clone(queue.drained.get_or_insert_default())
            };
            let notified = notify.notified();
            if !self.is_congested() {
                return;
            }
            notified.await;
        }
    }

    /// Registers the connection's task, which is woken when there is something to write or the end has come.
    pub fn register(&self, context: &Context<'_>) {
        self.waker.register(context.waker());
    }

    /// Writes what waits as far as the kernel takes it. Ready when nothing waits (any more).
    pub fn poll_drain(&self, context: &mut Context<'_>) -> Poll<Result<(), ()>> {
        loop {
            {
                let mut queue = self.queue.lock();
                if self.drain_some(&mut queue)? {
                    return Poll::Ready(Ok(()));
                }
            }
            match self.transport.poll_write_ready(context) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(Err(())),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// True when nothing waits; false when the kernel is full.
    fn drain_some(&self, queue: &mut Queue) -> Result<bool, ()> {
        while let Some(front) = queue.entries.front() {
            let rest = front.bytes.slice(queue.written..);
            let taken = self.write_now(&rest)?;
            queue.written += taken;
            if taken < rest.len() {
                return Ok(false);
            }
            queue.pop_front();
        }
        queue.shrink();
        self.transport.try_flush().map_err(|_| ())
    }
}

impl Queue {
    fn add(&mut self, bytes: Bytes, class: Class, event_bytes_max: usize) -> Pushed {
        if class != Class::Paced && self.event_bytes + bytes.len() > event_bytes_max {
            self.drop_ephemeral();
            if self.event_bytes + bytes.len() > event_bytes_max {
                if class == Class::Ephemeral {
                    return Pushed::Dropped;
                }
                self.end_too_slow();
                return Pushed::TooSlow;
            }
        }
        self.count(class, bytes.len(), true);
        self.entries.push_back(Entry { bytes, class });
        Pushed::Taken
    }

    fn count(&mut self, class: Class, bytes: usize, added: bool) {
        let counter = if class == Class::Paced { &mut self.paced_bytes } else { &mut self.event_bytes };
        *counter = if added { *counter + bytes } else { counter.saturating_sub(bytes) };
    }

    fn pop_front(&mut self) {
        if let Some(entry) = self.entries.pop_front() {
            self.count(entry.class, entry.bytes.len(), false);
        }
        self.written = 0;
        self.tell_drained();
    }

    fn tell_drained(&mut self) {
        if (self.closing.is_some() || self.paced_bytes <= PACED_BYTES_HIGH)
            && let Some(drained) = self.drained.take()
        {
            drained.notify_waiters();
        }
    }

    /// The first entry may be half with the kernel, so it stays whatever it is.
    fn keep_first(&mut self, keep: impl Fn(&Entry) -> bool) {
        let mut first = true;
        let started = self.written > 0;
        self.entries.retain(|entry| {
            let kept = (first && started) || keep(entry);
            first = false;
            kept
        });
        (self.event_bytes, self.paced_bytes) = (0, 0);
        for at in 0..self.entries.len() {
            let (class, bytes) = (self.entries[at].class, self.entries[at].bytes.len());
            self.count(class, bytes, true);
        }
    }

    fn drop_ephemeral(&mut self) {
        self.keep_first(|entry| entry.class != Class::Ephemeral);
    }

    /// A reader that is too slow will not read what waits either: only the close frame is left for it.
    fn end_too_slow(&mut self) {
        self.keep_first(|_| false);
        let code = CloseCode::TooSlow;
        self.end_with(None, hubbub_websocket::close_frame(code.code(), code.name()), code.code());
    }

    fn end_with(&mut self, last: Option<Bytes>, frame: Bytes, code: u16) {
        self.closing = Some(Closing::Frame(code));
        for bytes in last.into_iter().chain([frame]) {
            self.count(Class::Paced, bytes.len(), true);
            self.entries.push_back(Entry { bytes, class: Class::Paced });
        }
        self.tell_drained();
    }

    fn shrink(&mut self) {
        if self.entries.capacity() > QUEUE_KEPT {
            self.entries = VecDeque::new();
        }
    }
}

//! What waits to be written to one socket.
//!
//! Owns the queue, its bounds and the end of a connection: the only writer of a socket. A push tries the kernel at
//! once and queues only what it does not take, so that nobody ever waits for a slow socket. Must never know what a
//! frame means.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use futures_util::task::AtomicWaker;
use hubbub_protocol::CloseCode;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::tally::Written;
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
    /// How many frames these bytes end.
    frames: u32,
}

#[derive(Default)]
struct Queue {
    entries: VecDeque<Entry>,
    /// The first entry is the rest of something that the kernel has a part of already.
    begun: bool,
    /// What the kernel took so far.
    written: Written,
    /// Bytes of events that wait, against the limit.
    event_bytes: usize,
    /// Bytes of replies and replays that wait.
    paced_bytes: usize,
    /// Nothing more is taken: a close frame stands at the end, or the socket is broken.
    closing: Option<Closing>,
    drained: Option<Arc<Notify>>,
    /// A command is at work, whose reply comes before any close frame: what was committed is acked.
    is_at_work: bool,
    /// The end that waits for that reply.
    ending: Option<Ending>,
    /// That reply is not waited for any more.
    is_given_up: bool,
}

/// The last frames of a connection.
struct Ending {
    last: Option<Bytes>,
    frame: Bytes,
    code: u16,
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

    /// Writes one frame now if nothing waits and the kernel takes it, queues the rest.
    pub fn push(&self, frame: Bytes, class: Class) -> Pushed {
        self.push_joined(frame, 1, class)
    }

    /// [`Outbox::push`] for so many frames in one write.
    pub fn push_joined(&self, bytes: Bytes, frames: u32, class: Class) -> Pushed {
        let mut queue = self.queue.lock();
        if queue.closing.is_some() {
            return Pushed::Dropped;
        }
        let mut rest = bytes;
        let mut begun = false;
        let was_empty = queue.entries.is_empty();
        if was_empty {
            match self.write_now(&rest) {
                Ok(taken) if taken == rest.len() && !self.transport.wants_flush() => {
                    queue.written.note(taken, frames);
                    return Pushed::Taken;
                }
                Ok(taken) => {
                    queue.written.note(taken, 0);
                    rest.advance(taken);
                    begun = taken > 0;
                }
                Err(()) => {
                    drop(queue);
                    self.break_off();
                    return Pushed::Dropped;
                }
            }
        }
        let pushed = queue.add(Entry { bytes: rest, class, frames }, begun, self.event_bytes_max);
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

    /// A command begins: a close waits for its reply.
    pub fn begin_work(&self) {
        self.queue.lock().is_at_work = true;
    }

    /// Whether a command is at work: until it is answered nothing more is read of its connection.
    #[must_use]
    pub fn is_at_work(&self) -> bool {
        self.queue.lock().is_at_work
    }

    /// The command is answered: a close that waited for that comes now.
    pub fn end_work(&self) {
        let mut queue = self.queue.lock();
        queue.is_at_work = false;
        if let Some(ending) = queue.ending.take()
            && queue.closing.is_none()
        {
            queue.end_with(ending);
        }
    }

    /// Where the connection ends, its end comes now, without the reply to the command at work, which is dropped as in a crash: it
    /// may have been done or not, and is asked for again. For a node that ends and cannot wait any longer.
    pub fn give_up_work(&self) {
        let mut queue = self.queue.lock();
        let ending = queue.ending.take();
        match (ending, queue.closing) {
            (Some(ending), None) => queue.end_with(ending),
            // Nobody has ended this one.
            (None, None) => return,
            _ => {}
        }
        queue.is_given_up = true;
        drop(queue);
        self.waker.wake();
    }

    /// Whether the command at work is to be dropped.
    #[must_use]
    pub fn is_given_up(&self) -> bool {
        self.queue.lock().is_given_up
    }

    /// Ends the connection behind what waits already and the reply to the command at work: `last` frames, then the close
    /// frame. Only the first call counts.
    pub fn close(&self, last: Option<Bytes>, code: CloseCode) -> bool {
        self.close_with(last, hubbub_websocket::close_frame(code.code(), code.name()), code.code())
    }

    /// [`Outbox::close`] with a close frame of the caller's own.
    pub fn close_with(&self, last: Option<Bytes>, frame: Bytes, code: u16) -> bool {
        let mut queue = self.queue.lock();
        if queue.closing.is_some() || queue.ending.is_some() {
            return false;
        }
        let ending = Ending { last, frame, code };
        if queue.is_at_work {
            queue.ending = Some(ending);
            return true;
        }
        queue.end_with(ending);
        drop(queue);
        self.waker.wake();
        true
    }

    /// Marks the socket as broken: nothing more can be written, and nobody waits for it any more.
    pub fn break_off(&self) {
        self.queue.lock().break_off();
        self.waker.wake();
    }

    /// Whether and how the connection ends.
    #[must_use]
    pub fn closing(&self) -> Option<Closing> {
        self.queue.lock().closing
    }

    /// Whether the connection ends, now or behind the reply to the command at work.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        let queue = self.queue.lock();
        queue.closing.is_some() || queue.ending.is_some()
    }

    /// Bytes that wait.
    #[must_use]
    pub fn waiting_bytes(&self) -> usize {
        let queue = self.queue.lock();
        queue.event_bytes + queue.paced_bytes
    }

    /// What the kernel took so far.
    #[must_use]
    pub fn written(&self) -> Written {
        self.queue.lock().written
    }

    /// Whether replies and replays should pause until the reader has caught up.
    #[must_use]
    pub fn is_congested(&self) -> bool {
        self.queue.lock().paced_bytes > PACED_BYTES_HIGH
    }

    /// Waits until paced output has drained or the connection ends.
    pub async fn drained(&self) {
        loop {
            let notified = {
                let mut queue = self.queue.lock();
                if queue.closing.is_some() || queue.paced_bytes <= PACED_BYTES_HIGH {
                    return;
                }
                // Made under the lock, so that whoever drains the queue next cannot miss this one.
                Arc::clone(queue.drained.get_or_insert_default()).notified_owned()
            };
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
            let waiting = front.bytes.len();
            let taken = self.write_now(&front.bytes)?;
            queue.took(taken);
            if taken < waiting {
                return Ok(false);
            }
        }
        queue.shrink();
        self.transport.try_flush().map_err(|_| ())
    }
}

impl Queue {
    /// `begun` says that the kernel has the beginning of this entry, which is then the only one.
    fn add(&mut self, entry: Entry, begun: bool, event_bytes_max: usize) -> Pushed {
        let (class, bytes) = (entry.class, entry.bytes.len());
        let is_over = |queue: &Self| class != Class::Paced && queue.event_bytes + bytes > event_bytes_max;
        if is_over(self) {
            self.drop_ephemeral();
        }
        let is_over = is_over(self);
        if is_over && !begun && class == Class::Ephemeral {
            return Pushed::Dropped;
        }
        // What the kernel has a part of must be whole before anything else, the close frame too.
        if begun || !is_over {
            self.count(class, bytes, true);
            self.entries.push_back(entry);
            self.begun |= begun;
        }
        if is_over && class == Class::Durable {
            self.end_too_slow();
            return Pushed::TooSlow;
        }
        Pushed::Taken
    }

    fn count(&mut self, class: Class, bytes: usize, added: bool) {
        let counter = if class == Class::Paced { &mut self.paced_bytes } else { &mut self.event_bytes };
        *counter = if added { *counter + bytes } else { counter.saturating_sub(bytes) };
    }

    /// The kernel took so much of the first entry.
    fn took(&mut self, bytes: usize) {
        let Some(front) = self.entries.front_mut() else { return };
        front.bytes.advance(bytes);
        let (class, is_whole, frames) = (front.class, front.bytes.is_empty(), front.frames);
        self.written.note(bytes, if is_whole { frames } else { 0 });
        self.count(class, bytes, false);
        self.begun |= bytes > 0;
        if is_whole {
            self.entries.pop_front();
            self.begun = false;
        }
        self.tell_drained();
    }

    /// Nothing that waits can be written any more.
    fn break_off(&mut self) {
        if *self.closing.get_or_insert(Closing::Broken) == Closing::Broken {
            self.entries = VecDeque::new();
            (self.event_bytes, self.paced_bytes, self.begun) = (0, 0, false);
        }
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
        let begun = self.begun;
        self.entries.retain(|entry| {
            let kept = (first && begun) || keep(entry);
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
        let frame = hubbub_websocket::close_frame(code.code(), code.name());
        self.end_with(Ending { last: None, frame, code: code.code() });
    }

    fn end_with(&mut self, ending: Ending) {
        self.closing = Some(Closing::Frame(ending.code));
        for bytes in ending.last.into_iter().chain([ending.frame]) {
            self.count(Class::Paced, bytes.len(), true);
            self.entries.push_back(Entry { bytes, class: Class::Paced, frames: 1 });
        }
        self.tell_drained();
    }

    fn shrink(&mut self) {
        if self.entries.capacity() > QUEUE_KEPT {
            self.entries = VecDeque::new();
        }
    }
}

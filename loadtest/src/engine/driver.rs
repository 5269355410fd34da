//! The loop of a worker: what is due, what came, and what was ordered.
//!
//! Must never block but in the one poll, and must look at what is due between any two reads.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use rustls::ClientConfig;

use super::address::Addresses;
use super::book::Book;
use super::frame::Frames;
use super::incoming::Inflater;
use super::link::Link;
use super::phases::Activity;
use super::schedule::{Moments, Pace};
use super::seconds::Seconds;
use super::sending::Sending;
use super::state::{State, Step};
use crate::clock::Nanos;
use crate::control::{Answer, Order, Phase, Share, Task};
use crate::layout::Layout;
use crate::peer::Peer;

/// What is read at once: one buffer for a worker.
const BUFFER_BYTES: usize = 256 << 10;

/// Events that are taken from the kernel at once.
const EVENTS: usize = 1_024;

/// Reads of one connection before it is another's turn.
const READS_MAX: usize = 4;

/// Timers that are served before events are looked at again.
const TIMERS_MAX: usize = 1_024;

/// How often the slow things are looked at: progress, stages, failures.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The timer's token, behind all connections.
const TIMER: Token = Token(usize::MAX - 1);
/// The token of orders.
pub(super) const ORDERS: Token = Token(usize::MAX - 2);

/// How long things are tried.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Nobody could connect for so long: the share has failed.
    pub(super) hopeless: Duration,
    /// No progress for so long: the phase is over with what there is.
    pub(super) stalled: Duration,
    /// A handshake takes so long at the most.
    pub(super) handshake: Duration,
    /// The shortest and the longest wait before connecting again.
    pub(super) backoff: (Duration, Duration),
}

impl Default for Limits {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        let backoff = (Duration::from_millis(100), seconds(5));
        Self { hopeless: seconds(10), stalled: seconds(30), handshake: seconds(10), backoff }
    }
}

/// What a timer of a connection is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Timer {
    /// Connect again.
    Return,
    /// The handshake takes too long.
    Overdue,
    /// See what to ask next.
    Wake,
    /// A neighbour's turn.
    Hostile,
}

/// A connection and its socket, if it has one.
pub(super) struct Member {
    pub(super) state: State,
    pub(super) link: Option<Box<Link>>,
}

/// Connections that wait to be opened, at a pace.
pub(super) struct Door {
    pub(super) queue: VecDeque<u32>,
    pub(super) pace: Pace,
}

impl Door {
    pub(super) fn new(per_second: f64) -> Self {
        Self { queue: VecDeque::new(), pace: Pace::new(per_second) }
    }
}

/// A worker.
pub(super) struct Driver {
    pub(super) task: Arc<Task>,
    pub(super) share: Share,
    pub(super) limits: Limits,
    pub(super) layout: Layout,
    pub(super) peer: Box<dyn Peer>,
    pub(super) addresses: Addresses,
    pub(super) tls: Arc<ClientConfig>,
    pub(super) poll: Poll,
    timer: OwnedFd,
    armed: Nanos,
    orders: Receiver<Order>,
    answers: Sender<(u32, Answer)>,
    pub(super) members: Vec<Member>,
    pub(super) book: Book,
    pub(super) out: Frames,
    pub(super) inflater: Inflater,
    buffer: Box<[u8]>,
    pub(super) random: StdRng,
    pub(super) timers: BinaryHeap<Reverse<(Nanos, u32, u32, Timer)>>,
    /// Connections with more to read.
    unread: VecDeque<u32>,
    /// New ones, those of a storm, those that come back: each at its own pace.
    pub(super) doors: [Door; 3],
    /// Connections that wait for their turn to subscribe.
    pub(super) to_subscribe: VecDeque<u32>,
    /// Handshakes at once.
    pub(super) window: usize,
    /// How far connections are to go.
    pub(super) goal: Step,
    pub(super) activity: Activity,
    pub(super) sending: Sending,
    pub(super) churn: Moments,
    pub(super) storm_at: Option<Nanos>,
    /// The first error of connecting, with its URL.
    pub(super) first_error: Option<String>,
    next_look: Nanos,
    pub(super) seconds: Seconds,
    is_ended: bool,
}

/// What a driver is made of.
pub(super) struct Parts {
    pub(super) task: Arc<Task>,
    pub(super) share: Share,
    pub(super) limits: Limits,
    pub(super) peer: Box<dyn Peer>,
    pub(super) poll: Poll,
    pub(super) orders: Receiver<Order>,
    pub(super) answers: Sender<(u32, Answer)>,
}

impl Driver {
    /// A worker that has not begun.
    ///
    /// # Errors
    /// When a URL or a certificate file is wrong, or the system grants no timer.
    pub(super) fn new(parts: Parts) -> io::Result<Self> {
        let Parts { task, share, limits, peer, poll, orders, answers } = parts;
        let scenario = &task.scenario;
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        poll.registry().register(&mut SourceFd(&timer.as_raw_fd()), TIMER, Interest::READABLE)?;
        let workers = share.workers.max(1);
        let part = 1.0 / f64::from(workers);
        let window = (scenario.connections.handshakes_max / workers).max(1) as usize;
        let storm = scenario.storm.as_ref().map_or(0.0, |storm| storm.per_second) * part;
        let doors = [Door::new(scenario.connections.per_second * part), Door::new(storm), Door::new(0.0)];
        let names = crate::peer::RoomNames::new(&task.target.room_prefix);
        let book = Book::new(task.run, names, peer.has_history(), peer.has_idempotent_sends());
        let seed = task.seed ^ u64::from(share.worker).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let now = Nanos::now();
        let mut driver = Self {
            addresses: Addresses::resolve(&task.target)?,
            tls: super::trust::configure(&task.target)?,
            layout: Layout::new(scenario, task.seed),
            sending: Sending::default(),
            members: Vec::new(),
            random: StdRng::seed_from_u64(seed),
            task,
            share,
            limits,
            peer,
            poll,
            timer,
            armed: Nanos(u64::MAX),
            orders,
            answers,
            book,
            out: Frames::default(),
            inflater: Inflater::default(),
            buffer: vec![0; BUFFER_BYTES].into_boxed_slice(),
            timers: BinaryHeap::new(),
            unread: VecDeque::new(),
            doors,
            to_subscribe: VecDeque::new(),
            window,
            goal: Step::Joined,
            activity: Activity::default(),
            churn: Moments::never(),
            storm_at: None,
            first_error: None,
            next_look: now,
            seconds: Seconds::from(now),
            is_ended: false,
        };
        driver.populate();
        Ok(driver)
    }

    /// Runs until it is stopped or has failed.
    pub(super) fn run(mut self) {
        // CPU time is the thread's own.
        self.seconds = Seconds::from(Nanos::now());
        let mut events = Events::with_capacity(EVENTS);
        while !self.is_ended {
            if let Err(error) = self.turn(&mut events) {
                self.fail(format!("the system refuses to go on: {error}"));
            }
        }
        for member in &mut self.members {
            if let Some(link) = &mut member.link {
                link.close(1000, &mut self.out);
            }
        }
    }

    fn turn(&mut self, events: &mut Events) -> io::Result<()> {
        let now = self.tick();
        let next = self.next_due();
        let timeout = if !self.unread.is_empty() || next <= now {
            Some(Duration::ZERO)
        } else {
            self.arm(next)?;
            None
        };
        match self.poll.poll(events, timeout) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        self.book.now = Nanos::now();
        for event in events.iter() {
            match event.token() {
                TIMER => {}
                ORDERS => self.take_orders(),
                Token(index) => {
                    if event.is_writable() || event.is_error() {
                        self.writable(index as u32);
                    }
                    if event.is_readable() || event.is_read_closed() || event.is_error() {
                        self.read(index as u32, event.is_read_closed());
                    }
                    self.fire();
                }
            }
        }
        for _ in 0..self.unread.len() {
            if let Some(index) = self.unread.pop_front() {
                self.read(index, true);
                self.fire();
            }
        }
        Ok(())
    }

    /// Everything that is due.
    fn tick(&mut self) -> Nanos {
        self.book.now = Nanos::now();
        self.fire();
        for _ in 0..TIMERS_MAX {
            let Some(&Reverse((at, index, epoch, timer))) = self.timers.peek() else { break };
            if at > self.book.now {
                break;
            }
            self.timers.pop();
            self.timed(index, epoch, timer);
        }
        self.open_doors();
        self.subscribe_more();
        if self.book.now >= self.seconds.next {
            self.end_second();
        }
        if self.book.now >= self.next_look {
            self.next_look = self.book.now.plus(LOOK_EVERY);
            self.look();
        }
        Nanos::now()
    }

    fn next_due(&self) -> Nanos {
        let timer = self.timers.peek().map_or(Nanos(u64::MAX), |Reverse((at, ..))| *at);
        let mut next = timer.min(self.next_look).min(self.seconds.next);
        for at in [self.sending.next(), self.churn.next(), self.storm_at].into_iter().flatten() {
            next = next.min(at);
        }
        if self.book.opening < self.window {
            for door in self.doors.iter().filter(|door| !door.queue.is_empty()) {
                next = next.min(door.pace.next());
            }
        }
        next
    }

    /// Sets the timer. A timeout of epoll has only milliseconds.
    fn arm(&mut self, next: Nanos) -> io::Result<()> {
        if self.armed == next {
            return Ok(());
        }
        let it_value = Timespec { tv_sec: (next.0 / 1_000_000_000) as i64, tv_nsec: (next.0 % 1_000_000_000) as _ };
        let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &Itimerspec { it_interval, it_value })?;
        self.armed = next;
        Ok(())
    }

    fn take_orders(&mut self) {
        loop {
            match self.orders.try_recv() {
                Ok(order) => self.obey(order),
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => {
                    self.is_ended = true;
                    return;
                }
            }
        }
    }

    /// Reads what a connection brings, as much as is fair. A short read means that there is no more, unless the end is
    /// known to have come.
    fn read(&mut self, index: u32, is_ending: bool) {
        let (buffer, book) = (&mut self.buffer, &mut self.book);
        let Some(Member { state, link: Some(link) }) = self.members.get_mut(index as usize) else { return };
        if super::hostile::is_throttled(state) {
            return;
        }
        let mut lent = super::link::Lent { out: &mut self.out, inflater: &mut self.inflater };
        let mut result = Ok(());
        let mut is_over = false;
        for _ in 0..READS_MAX {
            book.now = Nanos::now();
            let begun = link.begun;
            match link.read(buffer, &mut lent, &mut |heard| book.hear(state, heard, begun)) {
                Ok(Some(count)) if count < buffer.len() && !is_ending => is_over = true,
                Ok(Some(_)) => {}
                Ok(None) => is_over = true,
                Err(end) => {
                    result = Err(end);
                    break;
                }
            }
            if is_over {
                break;
            }
        }
        match result {
            Ok(()) => {
                if !is_over {
                    self.unread.push_back(index);
                }
                self.flush(index);
                self.advance(index);
            }
            Err(end) => self.lose(index, end),
        }
    }

    /// Tells the coordinator.
    pub(super) fn answer(&mut self, answer: Answer) {
        // Nobody listens any more: there is nothing left to do.
        if self.answers.send((self.share.worker, answer)).is_err() {
            self.is_ended = true;
        }
    }

    /// Gives up.
    pub(super) fn fail(&mut self, reason: String) {
        self.answer(Answer::Failed { reason });
        self.is_ended = true;
    }

    /// Ends as ordered.
    pub(super) fn stop(&mut self) {
        let second = self.book.turn_page(self.seconds.number, 0.0, self.goal);
        self.answer(Answer::Second(second));
        self.answer(Answer::Reached(Phase::Stop));
        self.is_ended = true;
    }
}

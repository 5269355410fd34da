//! Connecting, entering, following; losing and coming back.
//!
//! Must never have more handshakes under way than the scenario allows, however many want to come back.

use std::cmp::Reverse;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use mio::{Interest, Token};
use rand::RngExt as _;
use socket2::{Domain, Protocol, Socket, Type};

use super::book::patience;
use super::driver::{Driver, Member, Timer};
use super::end::End;
use super::link::Link;
use super::state::{Entry, Kind, Pending, Purpose, State, Step};
use super::upgrade;
use crate::clock::Nanos;
use crate::peer::{Ask, Asked};

/// Asks of one connection that are under way while it enters and follows its rooms.
const ASKS_MAX: usize = 32;

/// Which door a connection waits at.
#[derive(Clone, Copy, Debug)]
pub(super) enum At {
    /// A new one.
    Front,
    /// One that a storm cut.
    Storm,
    /// One that comes back.
    Back,
}

impl Driver {
    /// Lets a connection wait for its turn.
    pub(super) fn enqueue(&mut self, index: u32, at: At) {
        let Some(Member { state, .. }) = self.members.get_mut(index as usize) else { return };
        if state.step == Step::Away && state.is_wanted && !state.is_banned {
            self.book.step(state, Step::Queued);
            self.doors[at as usize].queue.push_back(index);
        }
    }

    /// Opens as many connections as pace and window allow.
    pub(super) fn open_doors(&mut self) {
        for door in 0..self.doors.len() {
            while self.book.opening < self.window && !self.doors[door].queue.is_empty() {
                if !self.doors[door].pace.take(self.book.now) {
                    break;
                }
                if let Some(index) = self.doors[door].queue.pop_front() {
                    self.open(index);
                }
            }
        }
    }

    fn open(&mut self, index: u32) {
        let Some(Member { state, .. }) = self.members.get_mut(index as usize) else { return };
        if state.step != Step::Queued {
            return;
        }
        self.book.step(state, Step::Opening);
        state.epoch += 1;
        state.wake_at = Nanos(0);
        state.next_id = 1;
        let overdue = self.book.now.plus(self.limits.handshake);
        self.timers.push(Reverse((overdue, index, state.epoch, Timer::Overdue)));
        match self.link(index) {
            Ok(link) => self.members[index as usize].link = Some(Box::new(link)),
            Err(end) => self.lose(index, end),
        }
    }

    fn link(&mut self, index: u32) -> Result<Link, End> {
        let state = &self.members[index as usize].state;
        let target = &self.task.target;
        let (connection, kind) = (state.connection, state.kind);
        let address = match kind {
            Kind::HalfOpen => self.addresses.first(),
            _ => self.addresses.of(connection, state.is_sender),
        };
        let token = match target.tokens.len() {
            0 => "",
            count => target.tokens[connection as usize % count].as_str(),
        };
        let mut socket = self.connect(connection, kind, address.socket)?;
        self.poll.registry().register(&mut socket, Token(index as usize), Interest::READABLE | Interest::WRITABLE)?;
        let nonce: [u8; 16] = self.random.random();
        let text = || upgrade::request(address, &self.peer.upgrade(token), nonce, target.deflate);
        let request = (kind != Kind::HalfOpen).then(text);
        let tls = (address.is_tls && kind != Kind::HalfOpen).then_some((address, &self.tls));
        Link::new(socket, tls, (nonce, request), self.peer.dialogue(token), self.book.now)
    }

    fn connect(&self, connection: u32, kind: Kind, to: SocketAddr) -> io::Result<mio::net::TcpStream> {
        /// What a slow reader lets the kernel keep for it.
        const SLOW_BUFFER: usize = 4_096;
        const EINPROGRESS: i32 = 115;
        let socket = Socket::new(Domain::for_address(to), Type::STREAM.nonblocking().cloexec(), Some(Protocol::TCP))?;
        socket.set_tcp_nodelay(true)?;
        if kind == Kind::Slow {
            socket.set_recv_buffer_size(SLOW_BUFFER)?;
        }
        if let Some(source) = self.addresses.source(connection, to) {
            socket.bind(&SocketAddr::new(source, 0).into())?;
        }
        match socket.connect(&to.into()) {
            Err(error) if error.raw_os_error() != Some(EINPROGRESS) => Err(error),
            _ => Ok(mio::net::TcpStream::from_std(socket.into())),
        }
    }

    /// A socket is writable.
    pub(super) fn writable(&mut self, index: u32) {
        let Some(Member { state, link: Some(link) }) = self.members.get_mut(index as usize) else { return };
        match link.writable() {
            Ok(count) => {
                self.book.second.counts.bytes_out += count;
                if link.is_connected && state.kind == Kind::HalfOpen && state.step == Step::Opening {
                    self.book.step(state, Step::Following);
                }
            }
            Err(end) => self.lose(index, end),
        }
    }

    /// Sends what was put out during the turn of a connection.
    pub(super) fn flush(&mut self, index: u32) {
        if self.out.bytes.is_empty() {
            return;
        }
        let Some(Member { link: Some(link), .. }) = self.members.get_mut(index as usize) else { return };
        let sent = link.send(&self.out.bytes);
        self.out.bytes.clear();
        match sent {
            Ok(count) => self.book.second.counts.bytes_out += count,
            Err(end) => self.lose(index, end),
        }
    }

    /// Asks something; an answer that comes at once is taken at once.
    pub(super) fn ask(&mut self, index: u32, ask: &Ask<'_>, purpose: Purpose, at: Nanos) -> Asked {
        let Some(Member { state, link: Some(link) }) = self.members.get_mut(index as usize) else {
            return Asked::Unknown;
        };
        let id = state.number();
        self.out.mask = link.mask;
        let asked = link.talk.dialogue.ask(u64::from(id), ask, &mut self.out);
        let pending = Pending { id, purpose, at };
        match asked {
            Asked::Waiting => state.pending.push_back(pending),
            Asked::Done => self.book.done(state, pending, 0, None),
            Asked::Unknown => {}
        }
        asked
    }

    /// Does what comes next for a connection, if something was answered.
    pub(super) fn advance(&mut self, index: u32) {
        let Some(Member { state, link: Some(_) }) = self.members.get_mut(index as usize) else { return };
        if !std::mem::take(&mut state.is_dirty) {
            return;
        }
        if state.retry_after_ms > 0 {
            let at = self.book.now.plus(patience(std::mem::take(&mut state.retry_after_ms)));
            if at > state.wake_at {
                state.wake_at = at;
                self.timers.push(Reverse((at, index, state.epoch, Timer::Wake)));
            }
        }
        if self.book.now < state.wake_at {
            return;
        }
        match state.step {
            Step::Joining if state.kind == Kind::Maker => self.create_more(index),
            Step::Joining => self.join_more(index),
            Step::Subscribing => self.follow_more(index),
            _ => {}
        }
        self.flush(index);
    }

    fn create_more(&mut self, index: u32) {
        while self.members[index as usize].state.pending.len() < ASKS_MAX / super::phases::MAKERS as usize {
            let Some(room) = self.book.to_create.pop_front() else { return };
            self.book.creating += 1;
            let ask = Ask::Create { room };
            if self.ask(index, &ask, Purpose::Create(room), self.book.now) == Asked::Unknown {
                self.book.creating -= 1;
                self.book.to_create.clear();
                return;
            }
        }
    }

    fn join_more(&mut self, index: u32) {
        for place in 0..self.members[index as usize].state.places.len() {
            let state = &mut self.members[index as usize].state;
            if state.places[place].member != Entry::Outside || state.pending.len() >= ASKS_MAX {
                continue;
            }
            state.places[place].member = Entry::Asked;
            let ask = Ask::Join { room: state.places[place].room };
            if self.ask(index, &ask, Purpose::Join(place as u16), self.book.now) == Asked::Unknown {
                self.members[index as usize].state.places[place].member = Entry::Inside;
            }
        }
        let state = &mut self.members[index as usize].state;
        state.is_dirty = false;
        if state.places.iter().all(|place| place.member.is_settled()) {
            self.book.step(state, Step::Joined);
            if self.goal >= Step::Following || state.kind != Kind::Regular {
                self.to_subscribe.push_back(index);
            } else {
                state.attempts = 0;
            }
        }
    }

    /// Lets as many connections subscribe as the window allows.
    pub(super) fn subscribe_more(&mut self) {
        while self.book.subscribing < self.window {
            let Some(index) = self.to_subscribe.pop_front() else { return };
            let Member { state, link: Some(_) } = &mut self.members[index as usize] else { continue };
            if state.step == Step::Joined {
                self.book.step(state, Step::Subscribing);
                self.follow_more(index);
                self.flush(index);
            }
        }
    }

    fn follow_more(&mut self, index: u32) {
        for place in 0..self.members[index as usize].state.places.len() {
            let state = &mut self.members[index as usize].state;
            let place_now = &mut state.places[place];
            if place_now.member == Entry::Barred {
                place_now.follows = Entry::Barred;
            }
            if place_now.follows != Entry::Outside || state.pending.len() >= ASKS_MAX {
                continue;
            }
            place_now.follows = Entry::Asked;
            let is_resumed = place_now.is_heard;
            let after = (is_resumed && self.book.has_history).then_some(place_now.listener.seq);
            let ask = Ask::Subscribe { room: place_now.room, after };
            let purpose = Purpose::Subscribe(place as u16, is_resumed);
            if self.ask(index, &ask, purpose, self.book.now) == Asked::Unknown {
                self.members[index as usize].state.places[place].follows = Entry::Barred;
                self.book.left_out.insert("subscribe");
            }
        }
        let state = &mut self.members[index as usize].state;
        state.is_dirty = false;
        if state.step != Step::Subscribing || !state.places.iter().all(|place| place.follows.is_settled()) {
            return;
        }
        self.book.step(state, Step::Following);
        (state.attempts, state.retries) = (0, 0);
        if state.lost_at != Nanos(0) {
            if state.kind == Kind::Regular {
                self.book.second.timings.recover.record(self.book.now.since(state.lost_at));
            }
            state.lost_at = Nanos(0);
        }
        self.settled_in(index);
    }

    /// A connection is gone: it comes back unless it is not to.
    pub(super) fn lose(&mut self, index: u32, end: End) {
        self.out.bytes.clear();
        let Member { state, link } = &mut self.members[index as usize];
        let was_opening = state.step == Step::Opening;
        if let (Some(mut link), Some(code)) = (link.take(), end.code) {
            // 1005 stands for a close without a code and is never sent.
            link.close(if code == 1005 { 1000 } else { code }, &mut self.out);
        }
        if state.step == Step::Away {
            return;
        }
        let counts = &mut self.book.second.counts;
        match state.kind {
            Kind::Regular if was_opening => counts.failed += 1,
            Kind::Regular => counts.dropped += 1,
            _ => {}
        }
        self.book.error(state, &end.kind);
        state.is_banned |= end.is_final();
        if was_opening && self.first_error.is_none() {
            let url = &self.addresses.of(state.connection, state.is_sender).url;
            self.first_error = Some(format!("{url}: {}", end.kind));
        }
        state.retry_after_ms = 0;
        let told = std::mem::take(&mut state.return_after_ms).max(end.retry_after_ms);
        self.away(index);
        let state = &mut self.members[index as usize].state;
        state.attempts += 1;
        let (shortest, longest) = self.limits.backoff;
        let wait = (shortest * 2_u32.saturating_pow(state.attempts.min(16) - 1)).min(longest);
        // Half of it by chance, so that those who were lost together do not come back together.
        let wait = wait.mul_f64(0.5 + 0.5 * self.random.random::<f64>());
        let at = self.book.now.plus(if told > 0 { patience(told) + wait / 4 } else { wait });
        self.timers.push(Reverse((at, index, state.epoch, Timer::Return)));
    }

    /// Lays down what belongs to a socket that is gone or given up.
    pub(super) fn away(&mut self, index: u32) {
        let Member { state, link } = &mut self.members[index as usize];
        *link = None;
        if state.lost_at == Nanos(0) && state.places.iter().any(|place| place.is_heard) {
            state.lost_at = self.book.now;
        }
        state.is_dirty = false;
        self.book.step(state, Step::Away);
        self.book.unanswered(state);
    }

    /// Closes a connection of its own accord.
    pub(super) fn close(&mut self, index: u32, code: u16) {
        let Member { state, link } = &mut self.members[index as usize];
        if let Some(link) = link {
            link.close(code, &mut self.out);
        }
        if state.step != Step::Away {
            self.away(index);
        }
    }

    /// A timer of a connection.
    pub(super) fn timed(&mut self, index: u32, epoch: u32, timer: Timer) {
        let Some(Member { state, .. }) = self.members.get_mut(index as usize) else { return };
        if state.epoch != epoch {
            return;
        }
        match timer {
            Timer::Return => self.enqueue(index, At::Back),
            Timer::Overdue if state.step == Step::Opening => self.lose(index, "timeout".into()),
            Timer::Overdue => {}
            Timer::Wake => {
                state.is_dirty = true;
                self.advance(index);
            }
            Timer::Hostile => self.hostile_turn(index),
        }
    }

    /// How long until a hostile neighbour's next turn.
    pub(super) fn again_in(&mut self, index: u32, state_epoch: u32, wait: Duration) {
        self.timers.push(Reverse((self.book.now.plus(wait), index, state_epoch, Timer::Hostile)));
    }

    /// A connection chosen by chance that follows its rooms, and one of its places.
    pub(super) fn anyone(&mut self) -> Option<(u32, u16)> {
        /// Beyond that hardly anybody is there.
        const TRIES: usize = 16;
        let regular = self.regular() as usize;
        let is_there = |state: &State| state.step == Step::Following && !state.places.is_empty();
        for _ in 0..if regular == 0 { 0 } else { TRIES } {
            let index = self.random.random_range(0..regular);
            let state = &self.members[index].state;
            if is_there(state) {
                let place = self.random.random_range(0..state.places.len());
                return Some((index as u32, place as u16));
            }
        }
        None
    }
}

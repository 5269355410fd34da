//! The loop: accepts, reads, understands, and lets the fan-out write.
//!
//! Must never wait anywhere but in its one poll.

use std::io::{self, Read as _};
use std::net::{Shutdown, SocketAddr};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use super::fanout::{End, Fanout, Rooms, Socket, is_wait};
use super::wire::{self, Step, Upgrade};
use super::{Mode, Options, Tally};

const LISTENER: Token = Token(0);
const STOP: Token = Token(1);
/// Sockets are numbered behind the others.
const FIRST: usize = 2;

/// Events that one poll brings.
const EVENTS_MAX: usize = 1_024;
/// What one read brings, in bytes.
const READ_BYTES: usize = 64 << 10;
/// Reads of one socket before the others have their turn.
const READS_MAX: usize = 16;
/// What may wait for the end of a tick in one room, in bytes; it is written early then.
const JOINED_MAX: usize = 4 << 20;
/// Different paths of upgrades.
const GROUPS_MAX: usize = 1_024;
/// How long to wait with accepting when the system has no more files.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// Whether a socket goes on.
enum Goes {
    On,
    Refused,
    Ended(End),
}

/// A server that listens.
pub(super) struct Server {
    poll: Poll,
    listener: TcpListener,
    sockets: Slab<Socket>,
    rooms: Rooms,
    groups: Vec<Box<str>>,
    mode: Mode,
    tick: Duration,
    frame_bytes: usize,
    began: Instant,
    /// Rooms with frames that wait for the tick, and when it ends.
    waiting: Vec<u32>,
    tick_ends: Option<Instant>,
    /// Sockets that have more to read.
    again: Vec<u32>,
    ended: Vec<(u32, End)>,
    is_accept_due: bool,
    frame: Vec<u8>,
    tally: Tally,
    _stop: mio::net::UnixStream,
}

impl Server {
    /// Listens; a byte or an end on `stop` ends the server.
    pub(super) fn bind(options: &Options, stop: UnixStream) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut listener = TcpListener::bind(options.listen)?;
        stop.set_nonblocking(true)?;
        let mut stop = mio::net::UnixStream::from_std(stop);
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        poll.registry().register(&mut stop, STOP, Interest::READABLE)?;
        Ok(Self {
            poll,
            listener,
            sockets: Slab::new(),
            rooms: Rooms::default(),
            groups: Vec::new(),
            mode: options.mode,
            tick: options.tick,
            frame_bytes: options.frame_bytes.unwrap_or(0) as usize,
            began: Instant::now(),
            waiting: Vec::new(),
            tick_ends: None,
            again: Vec::new(),
            ended: Vec::new(),
            is_accept_due: false,
            frame: Vec::new(),
            tally: Tally::default(),
            _stop: stop,
        })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until it is told to stop.
    pub(super) fn run(&mut self) -> io::Result<Tally> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        let mut buffer = vec![0; READ_BYTES];
        loop {
            match self.poll.poll(&mut events, self.timeout()) {
                Err(error) if !is_wait(&error) => return Err(error),
                _ => {}
            }
            if events.iter().any(|event| event.token() == STOP) {
                return Ok(self.tally);
            }
            if self.is_accept_due || events.iter().any(|event| event.token() == LISTENER) {
                self.accept();
            }
            for index in std::mem::take(&mut self.again) {
                self.read(index, &mut buffer);
            }
            for event in events.iter().filter(|event| event.token().0 >= FIRST) {
                let index = (event.token().0 - FIRST) as u32;
                if event.is_writable() {
                    self.flush(index);
                }
                if event.is_readable() || event.is_read_closed() || event.is_error() {
                    self.read(index, &mut buffer);
                }
            }
            if self.tick_ends.is_some_and(|end| Instant::now() >= end) {
                self.end_tick();
            }
        }
    }

    fn timeout(&self) -> Option<Duration> {
        if !self.again.is_empty() {
            return Some(Duration::ZERO);
        }
        let tick = self.tick_ends.map(|end| end.saturating_duration_since(Instant::now()));
        let accept = self.is_accept_due.then_some(ACCEPT_AGAIN);
        tick.into_iter().chain(accept).min()
    }

    fn accept(&mut self) {
        self.is_accept_due = false;
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => self.welcome(stream),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted || is_wait(&error) => {}
                // No more files, most likely: there will be some when others leave.
                Err(_) => {
                    self.is_accept_due = true;
                    return;
                }
            }
        }
    }

    fn welcome(&mut self, stream: TcpStream) {
        // A socket that is gone already says so when it is read.
        stream.set_nodelay(true).ok();
        let entry = self.sockets.vacant_entry();
        let token = Token(FIRST + entry.key());
        let socket = entry.insert(Socket::new(stream));
        // On edges: writability is told once it comes back, and costs nothing while it lasts.
        let interest = Interest::READABLE | Interest::WRITABLE;
        if self.poll.registry().register(&mut socket.stream, token, interest).is_ok() {
            self.tally.accepted += 1;
        } else {
            self.sockets.remove(token.0 - FIRST);
        }
    }

    fn flush(&mut self, index: u32) {
        if let Some(socket) = self.sockets.get_mut(index as usize)
            && let Err(end) = socket.flush(&mut self.tally)
        {
            self.close(index, end);
        }
    }

    fn read(&mut self, index: u32, buffer: &mut [u8]) {
        for _ in 0..READS_MAX {
            let Some(socket) = self.sockets.get_mut(index as usize) else { return };
            let count = match socket.stream.read(buffer) {
                Ok(0) => return self.close(index, End::Gone),
                Ok(count) => count,
                Err(error) if is_wait(&error) => return,
                Err(_) => return self.close(index, End::Gone),
            };
            let goes = if socket.inbox.is_empty() {
                self.take(index, &mut buffer[..count])
            } else {
                let mut inbox = std::mem::take(&mut socket.inbox);
                inbox.extend_from_slice(&buffer[..count]);
                self.take(index, &mut inbox)
            };
            self.close_ended();
            match goes {
                Goes::On => {}
                Goes::Refused => {
                    self.tally.refused += 1;
                    return self.close(index, End::Gone);
                }
                Goes::Ended(end) => return self.close(index, end),
            }
            if count < buffer.len() {
                // Nothing is left; what comes later is told anew.
                return;
            }
        }
        self.again.push(index);
    }

    /// Takes what is whole, and keeps the rest for the next read.
    fn take(&mut self, index: u32, mut bytes: &mut [u8]) -> Goes {
        if self.sockets.get(index as usize).is_some_and(|socket| socket.group.is_none()) {
            match self.upgrade(index, bytes) {
                Ok(0) => return self.keep(index, bytes),
                Ok(end) => bytes = &mut bytes[end..],
                Err(goes) => return goes,
            }
        }
        loop {
            match wire::next_frame(bytes) {
                Step::Bad => return Goes::Refused,
                Step::Incomplete => return self.keep(index, bytes),
                Step::Frame { opcode, from, end } => {
                    let (frame, rest) = bytes.split_at_mut(end);
                    match self.said(index, opcode, &frame[from..]) {
                        Goes::On => bytes = rest,
                        other => return other,
                    }
                }
            }
        }
    }

    fn keep(&mut self, index: u32, bytes: &[u8]) -> Goes {
        if let Some(socket) = self.sockets.get_mut(index as usize) {
            socket.inbox = bytes.to_vec();
        }
        Goes::On
    }

    /// Where the request ends; 0 when it has not come whole.
    fn upgrade(&mut self, index: u32, bytes: &[u8]) -> Result<usize, Goes> {
        match wire::upgrade(bytes) {
            Upgrade::Incomplete => Ok(0),
            Upgrade::Bad => Err(Goes::Refused),
            Upgrade::Granted { path, answer, end } => {
                let known = self.groups.iter().position(|group| **group == *path);
                let group = match known {
                    Some(group) => group,
                    None if self.groups.len() == GROUPS_MAX => return Err(Goes::Refused),
                    None => {
                        self.groups.push(path.into());
                        self.groups.len() - 1
                    }
                };
                let Some(socket) = self.sockets.get_mut(index as usize) else { return Err(Goes::Ended(End::Gone)) };
                socket.group = Some(group as u32);
                socket.push(answer.as_bytes(), &mut self.tally).map_err(Goes::Ended)?;
                Ok(end)
            }
        }
    }

    fn said(&mut self, index: u32, opcode: u8, payload: &[u8]) -> Goes {
        let Some(socket) = self.sockets.get_mut(index as usize) else { return Goes::Ended(End::Gone) };
        let Some(group) = socket.group else { return Goes::Refused };
        match opcode {
            wire::TEXT | wire::BINARY => match payload {
                [b'p', b'u', b'b', b' ', rest @ ..] => self.publish(group, rest),
                [b's', b'u', b'b', b' ', name @ ..] => {
                    if self.rooms.follow(group, name, index, socket) {
                        Goes::On
                    } else {
                        Goes::Refused
                    }
                }
                _ => Goes::Refused,
            },
            wire::PING | wire::CLOSE => {
                let answer = if opcode == wire::PING { wire::PONG } else { wire::CLOSE };
                self.frame.clear();
                wire::append_frame(answer, payload, 0, &mut self.frame);
                match socket.push(&self.frame, &mut self.tally) {
                    Ok(()) if opcode == wire::PING => Goes::On,
                    Ok(()) => Goes::Ended(End::Gone),
                    Err(end) => Goes::Ended(end),
                }
            }
            wire::PONG => Goes::On,
            _ => Goes::Refused,
        }
    }

    /// `ROOM BODY`.
    fn publish(&mut self, group: u32, rest: &[u8]) -> Goes {
        let Some(space) = memchr::memchr(b' ', rest) else { return Goes::Refused };
        self.tally.messages += 1;
        let Some(room) = self.rooms.number(group, &rest[..space]) else { return Goes::On };
        self.frame.clear();
        wire::append_frame(wire::TEXT, &rest[space + 1..], self.frame_bytes, &mut self.frame);
        if self.mode == Mode::Direct {
            let (sockets, tally, ended) = (&mut self.sockets, &mut self.tally, &mut self.ended);
            self.rooms.spread(room, &self.frame, &mut Fanout { sockets, tally, ended });
            return Goes::On;
        }
        let waits = self.rooms.join(room, &self.frame);
        if waits == self.frame.len() {
            self.waiting.push(room);
            self.tick_ends.get_or_insert_with(|| next_tick(self.began, self.tick));
        }
        if waits > JOINED_MAX {
            self.spread_joined(room);
        }
        Goes::On
    }

    fn end_tick(&mut self) {
        self.tick_ends = None;
        let mut waiting = std::mem::take(&mut self.waiting);
        for room in waiting.drain(..) {
            self.spread_joined(room);
        }
        // Kept, so that no tick allocates.
        self.waiting = waiting;
        self.close_ended();
    }

    fn spread_joined(&mut self, room: u32) {
        let (sockets, tally, ended) = (&mut self.sockets, &mut self.tally, &mut self.ended);
        self.rooms.spread_joined(room, &mut Fanout { sockets, tally, ended });
    }

    fn close_ended(&mut self) {
        while let Some((index, end)) = self.ended.pop() {
            self.close(index, end);
        }
    }

    fn close(&mut self, index: u32, end: End) {
        let Some(mut socket) = self.sockets.try_remove(index as usize) else { return };
        self.tally.slow_closes += u64::from(end == End::Slow);
        self.rooms.leave(index, &socket);
        // The file is closed behind this, which takes it out of the epoll too.
        self.poll.registry().deregister(&mut socket.stream).ok();
        socket.stream.shutdown(Shutdown::Both).ok();
    }
}

/// The next end of a tick on the grid that began with the server.
fn next_tick(began: Instant, tick: Duration) -> Instant {
    let gone = began.elapsed().as_nanos() / tick.as_nanos();
    began + tick * u32::try_from(gone + 1).unwrap_or(u32::MAX)
}

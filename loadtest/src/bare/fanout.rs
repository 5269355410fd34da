//! Who follows which room, and the loop of `send` that everything else is compared with.
//!
//! Must never allocate for a delivery that the kernel takes.

use std::collections::HashMap;
use std::io;

use mio::net::TcpStream;
use rustix::net::{SendFlags, send};
use slab::Slab;
use smallvec::SmallVec;

use super::Tally;

/// What may wait for one socket, in bytes.
pub(super) const BACKLOG_MAX: usize = 8 << 20;

/// Most rooms; following one more is refused.
const ROOMS_MAX: usize = 1 << 24;

/// A connection.
pub(super) struct Socket {
    pub(super) stream: TcpStream,
    /// The number of its path; none before the upgrade.
    pub(super) group: Option<u32>,
    /// The beginning of what has not come whole yet.
    pub(super) inbox: Vec<u8>,
    rooms: SmallVec<[u32; 2]>,
    backlog: Option<Box<Backlog>>,
}

/// What the kernel did not take yet.
struct Backlog {
    bytes: Vec<u8>,
    from: usize,
}

/// Why a socket is at its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// More than the bound waits for it.
    Slow,
    /// The other side is gone.
    Gone,
}

impl Socket {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, group: None, inbox: Vec::new(), rooms: SmallVec::new(), backlog: None }
    }

    /// Hands bytes to the kernel; what it does not take waits.
    pub(super) fn push(&mut self, bytes: &[u8], tally: &mut Tally) -> Result<(), End> {
        if let Some(backlog) = &mut self.backlog {
            return backlog.append(bytes);
        }
        tally.writes += 1;
        match send(&self.stream, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
            Ok(taken) if taken == bytes.len() => Ok(()),
            Ok(taken) => self.wait(&bytes[taken..]),
            Err(rustix::io::Errno::AGAIN) => self.wait(bytes),
            Err(_) => Err(End::Gone),
        }
    }

    fn wait(&mut self, bytes: &[u8]) -> Result<(), End> {
        let mut backlog = Box::new(Backlog { bytes: Vec::new(), from: 0 });
        backlog.append(bytes)?;
        self.backlog = Some(backlog);
        Ok(())
    }

    /// Hands on what waited: the kernel has room again.
    pub(super) fn flush(&mut self, tally: &mut Tally) -> Result<(), End> {
        while let Some(backlog) = &mut self.backlog {
            tally.writes += 1;
            match send(&self.stream, &backlog.bytes[backlog.from..], SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
                Ok(taken) => backlog.from += taken,
                Err(rustix::io::Errno::AGAIN) => return Ok(()),
                Err(_) => return Err(End::Gone),
            }
            if backlog.from == backlog.bytes.len() {
                self.backlog = None;
            }
        }
        Ok(())
    }
}

impl Backlog {
    fn append(&mut self, bytes: &[u8]) -> Result<(), End> {
        if self.bytes.len() - self.from + bytes.len() > BACKLOG_MAX {
            return Err(End::Slow);
        }
        if self.from > 0 {
            self.bytes.drain(..self.from);
            self.from = 0;
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }
}

/// All rooms.
#[derive(Default)]
pub(super) struct Rooms {
    numbers: HashMap<Box<[u8]>, u32>,
    rooms: Vec<Room>,
    key: Vec<u8>,
}

/// A room.
#[derive(Default)]
pub(super) struct Room {
    /// The sockets that follow it.
    followers: Vec<u32>,
    /// Frames that wait for the end of the tick.
    joined: Vec<u8>,
    /// How many.
    joined_count: u64,
}

impl Rooms {
    /// The number of a room that somebody follows or followed.
    pub(super) fn number(&mut self, group: u32, name: &[u8]) -> Option<u32> {
        self.key.clear();
        self.key.extend_from_slice(&group.to_be_bytes());
        self.key.extend_from_slice(name);
        self.numbers.get(self.key.as_slice()).copied()
    }

    /// Makes a socket follow a room; false when there are too many rooms.
    pub(super) fn follow(&mut self, group: u32, name: &[u8], index: u32, socket: &mut Socket) -> bool {
        let number = match self.number(group, name) {
            Some(number) => number,
            None if self.rooms.len() == ROOMS_MAX => return false,
            None => {
                let number = self.rooms.len() as u32;
                self.numbers.insert(self.key.as_slice().into(), number);
                self.rooms.push(Room::default());
                number
            }
        };
        if !socket.rooms.contains(&number) {
            socket.rooms.push(number);
            self.rooms[number as usize].followers.push(index);
        }
        true
    }

    /// Takes a socket out of its rooms.
    pub(super) fn leave(&mut self, index: u32, socket: &Socket) {
        for number in &socket.rooms {
            let followers = &mut self.rooms[*number as usize].followers;
            if let Some(at) = followers.iter().position(|follower| *follower == index) {
                followers.swap_remove(at);
            }
        }
    }

    /// Writes a frame to every follower.
    pub(super) fn spread(&self, number: u32, frame: &[u8], fanout: &mut Fanout<'_>) {
        fanout.write(&self.rooms[number as usize].followers, frame, 1);
    }

    /// Keeps a frame until the end of the tick; tells how much waits now.
    pub(super) fn join(&mut self, number: u32, frame: &[u8]) -> usize {
        let room = &mut self.rooms[number as usize];
        room.joined.extend_from_slice(frame);
        room.joined_count += 1;
        room.joined.len()
    }

    /// Writes what waited to every follower.
    pub(super) fn spread_joined(&mut self, number: u32, fanout: &mut Fanout<'_>) {
        let room = &mut self.rooms[number as usize];
        if room.joined_count > 0 {
            fanout.write(&room.followers, &room.joined, room.joined_count);
            room.joined.clear();
            room.joined_count = 0;
        }
    }
}

/// Where deliveries go.
pub(super) struct Fanout<'a> {
    pub(super) sockets: &'a mut Slab<Socket>,
    pub(super) tally: &'a mut Tally,
    /// Sockets that came to their end.
    pub(super) ended: &'a mut Vec<(u32, End)>,
}

impl Fanout<'_> {
    fn write(&mut self, followers: &[u32], bytes: &[u8], count: u64) {
        for index in followers {
            let Some(socket) = self.sockets.get_mut(*index as usize) else { continue };
            match socket.push(bytes, self.tally) {
                Ok(()) => self.tally.deliveries += count,
                Err(end) => self.ended.push((*index, end)),
            }
        }
    }
}

/// A failure of the system as the end of a socket: nothing but the socket is at its end then.
pub(super) fn is_wait(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

//! A bare client: connects, follows its rooms from its own cursors, sends, retries with the same `client_msg_id`,
//! and records every frame.
//!
//! Must never drop, reorder or repair an event: what came is what is recorded. Mutations alone stand between.

mod connection;

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use hubbub_protocol::{Epoch, RoomId};
use rand::RngExt as _;
use tokio::sync::mpsc;
use tokio::time::Instant;
use uuid::Uuid;

use super::{Phase, Seat, UNACKED_MAX, stopped};
use crate::record::Entry;
use crate::wire::{Broken, Socket};

/// The longest wait before the next try to connect.
const RECONNECT_MS_MAX: u64 = 400;

/// A message on its way.
struct Pending {
    key: String,
    room: RoomId,
    /// The first transmission.
    began: Instant,
    transmissions: u32,
    /// Not before this; none while it is on the way.
    due: Option<Instant>,
}

/// What lasts over connections.
struct Raw {
    seat: Seat,
    pending: VecDeque<Pending>,
    /// Acked messages that were sent once more, and their rooms.
    probed: HashMap<String, RoomId>,
    epoch: Option<Epoch>,
    next_send: Instant,
    next_id: u64,
}

/// Runs until told to stop.
pub(super) async fn run(seat: Seat, ports: Vec<u16>, mut jumps: mpsc::Receiver<()>) {
    for room in &seat.rooms {
        seat.recorder.push(Entry::Following { room: *room, after: 0 });
    }
    let mut phase = seat.phase.clone();
    let now = Instant::now();
    let (pending, probed) = Default::default();
    let mut raw = Raw { seat, pending, probed, epoch: None, next_send: now, next_id: 1 };
    raw.next_send += raw.seat.next_pause();
    let mut last = usize::MAX;
    while !raw.seat.is(Phase::Stop) {
        let at = raw.another(ports.len(), last);
        last = at;
        let opened = tokio::select! {
            opened = Socket::open(ports[at], &raw.seat.token) => opened,
            () = stopped(&mut phase) => return,
        };
        match opened {
            // How it ended does not matter: the record tells, and the next connection resumes.
            Ok(socket) => connection::run(&mut raw, socket, &mut jumps).await,
            Err(Broken::Lost(_)) => raw.seat.recorder.feels("no connection"),
            Err(refused) => raw.seat.recorder.feels(refused.kind()),
        }
        raw.release();
        let wait = raw.seat.rng.random_range(0..RECONNECT_MS_MAX);
        tokio::time::sleep(Duration::from_millis(wait)).await;
    }
}

impl Raw {
    /// Another node than the last one, where there is one.
    fn another(&mut self, count: usize, last: usize) -> usize {
        let at = self.seat.rng.random_range(0..count);
        if at == last && count > 1 { (at + 1) % count } else { at }
    }

    /// What was on its way when the connection ended may go again.
    fn release(&mut self) {
        let now = Instant::now();
        self.probed.clear();
        self.pending.iter_mut().for_each(|pending| pending.due = Some(pending.due.unwrap_or(now)));
    }

    /// A new message, when it is time for one.
    fn compose(&mut self, now: Instant) {
        if !self.seat.is(Phase::Talk) || now < self.next_send {
            return;
        }
        self.next_send = now + self.seat.next_pause();
        if self.pending.len() < UNACKED_MAX {
            let room = self.seat.any_room();
            let key = Uuid::new_v4().simple().to_string();
            self.seat.recorder.begins();
            self.pending.push_back(Pending { key, room, began: now, transmissions: 0, due: Some(now) });
        }
    }

    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }
}

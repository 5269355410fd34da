//! Neighbours that behave badly: slow readers, flooders, sockets that say nothing.
//!
//! Must never be judged or counted among the scenario's connections.

use std::time::Duration;

use super::driver::{Driver, Member};
use super::frame::opcode;
use super::link::Lent;
use super::state::{Kind, Purpose, State, Step};
use crate::peer::Ask;

/// How often a neighbour has its turn.
const TURN: Duration = Duration::from_millis(100);

/// Most frames of a flooder at once.
const FLOOD_MAX: usize = 10_000;

/// Most asks of a flooder that are kept; older ones are forgotten.
const KEPT_MAX: usize = 256;

/// Whether a connection reads only when it is its turn.
pub(super) const fn is_throttled(state: &State) -> bool {
    matches!((state.kind, state.step), (Kind::Slow, Step::Following))
}

impl Driver {
    /// A neighbour follows its room now and begins to misbehave.
    pub(super) fn begin_hostile(&mut self, index: u32) {
        let State { kind, epoch, .. } = self.members[index as usize].state;
        if matches!(kind, Kind::Slow | Kind::Flooder) {
            self.again_in(index, epoch, TURN);
        }
    }

    /// A neighbour's turn.
    pub(super) fn hostile_turn(&mut self, index: u32) {
        let State { kind, epoch, step, .. } = self.members[index as usize].state;
        if step != Step::Following {
            return;
        }
        match kind {
            Kind::Slow => self.read_slowly(index),
            Kind::Flooder => self.flood(index),
            _ => return,
        }
        self.again_in(index, epoch, TURN);
    }

    fn read_slowly(&mut self, index: u32) {
        let per_turn = self.task.scenario.hostile.slow_bytes_per_second as f64 * TURN.as_secs_f64();
        let mut buffer = vec![0; (per_turn.ceil() as usize).min(1 << 20)];
        let Some(Member { state, link: Some(link) }) = self.members.get_mut(index as usize) else { return };
        if buffer.is_empty() {
            return;
        }
        let book = &mut self.book;
        let begun = link.begun;
        let mut lent = Lent { out: &mut self.out, inflater: &mut self.inflater };
        match link.read(&mut buffer, &mut lent, &mut |heard| book.hear(state, heard, begun)) {
            Ok(_) => self.flush(index),
            Err(end) => self.lose(index, end),
        }
    }

    fn flood(&mut self, index: u32) {
        let count = (self.task.scenario.hostile.flood_per_second * TURN.as_secs_f64()).ceil() as usize;
        for nth in 0..count.min(FLOOD_MAX) {
            let Member { state, link: Some(link) } = &mut self.members[index as usize] else { return };
            if state.pending.len() >= KEPT_MAX {
                state.pending.pop_front();
            }
            if nth % 2 == 0 {
                self.out.mask = link.mask;
                self.out.frame(opcode::PING, b"flood");
            } else if let Some(room) = state.places.first().map(|place| place.room) {
                self.ask(index, &Ask::Typing { room }, Purpose::Noise, self.book.now);
            }
        }
        self.flush(index);
    }
}

//! What goes wrong on purpose: connections that leave and come back, storms, stages.
//!
//! Must never count what it does itself as a loss of the server's.

use rand::seq::SliceRandom as _;

use super::driver::Driver;
use super::opening::At;
use super::state::Step;

/// Connections that leave at once before it is another's turn.
const LEAVING_MAX: usize = 16;

impl Driver {
    /// Cuts and closes what is due.
    #[inline]
    pub(super) fn disturb(&mut self) {
        let now = self.book.now;
        if self.storm_at.is_some_and(|at| at <= now) {
            self.storm_at = None;
            self.storm();
        }
        for _ in 0..LEAVING_MAX {
            if self.churn.take_due(now).is_none() {
                return;
            }
            if let Some((index, _)) = self.anyone() {
                self.close(index, 1000);
                self.enqueue(index, At::Back);
            }
        }
    }

    /// Cuts the scenario's share of the connections at once, without a word.
    fn storm(&mut self) {
        let Some(storm) = &self.task.scenario.storm else { return };
        let share = storm.share.clamp(0.0, 1.0);
        let is_there = |index: &u32| self.members[*index as usize].state.step > Step::Opening;
        let mut there: Vec<u32> = (0..self.regular()).filter(is_there).collect();
        there.shuffle(&mut self.random);
        there.truncate((there.len() as f64 * share).round() as usize);
        for index in there {
            self.away(index);
            self.enqueue(index, At::Storm);
        }
    }

    /// Opens or closes connections as the stages say.
    pub(super) fn follow_stages(&mut self) {
        let scenario = &self.task.scenario;
        let (from, to) = self.book.measured;
        let is_staged = scenario.stages.iter().any(|stage| stage.connections.is_some());
        if is_staged && self.activity.run_at.is_some() && self.book.now >= from && self.book.now < to {
            let wanted = scenario.connections_at(self.book.now.since(from));
            self.invite_up_to(self.part_of(wanted));
        }
    }
}

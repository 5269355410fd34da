//! The orders of a run, and when each of them is done.
//!
//! Must never leave an order without an answer: each phase ends by reaching its aim, by its time or by failing.

use super::driver::{Driver, Member};
use super::judge::Judging;
use super::opening::At;
use super::schedule::{Moments, Profile};
use super::state::{Kind, State, Step};
use crate::clock::Nanos;
use crate::control::{Answer, Order, Phase};

/// Connections that make a worker's rooms.
pub(super) const MAKERS: u32 = 4;

/// What a worker is at.
#[derive(Default)]
pub(super) struct Activity {
    /// The order that is not answered yet.
    phase: Option<Phase>,
    /// When it is over in any case.
    deadline: Option<Nanos>,
    /// How far it is, and since when.
    progress: (u64, Nanos),
    /// When anybody was to connect for the first time.
    hoping_since: Option<Nanos>,
    /// The run: sending begins.
    pub(super) run_at: Option<Nanos>,
    judging: Option<Box<Judging>>,
}

impl Driver {
    /// Everybody, none of them there: the scenario's connections first, then bad neighbours, then makers of rooms.
    pub(super) fn populate(&mut self) {
        let (worker, workers) = (self.share.worker, self.share.workers.max(1));
        for connection in self.layout.connections_of(worker, workers) {
            let rooms = self.layout.rooms_of(connection).map(|(room, _)| room);
            let is_sender = self.layout.is_sender(connection);
            let state = State::new(connection, Kind::Regular, rooms, is_sender);
            self.book.steps[Step::Away as usize] += 1;
            self.members.push(Member { state, link: None });
        }
        let hostile = &self.task.scenario.hostile;
        let kinds = [
            (Kind::Slow, hostile.slow_readers),
            (Kind::Flooder, hostile.flooders),
            (Kind::HalfOpen, hostile.half_open),
        ];
        let all = kinds.into_iter().flat_map(|(kind, count)| std::iter::repeat_n(kind, count as usize));
        let mut connection = self.layout.connections();
        let rooms = self.layout.rooms().max(1);
        for (nth, kind) in (0_u32..).zip(all) {
            if nth % workers == worker {
                let room = (kind != Kind::HalfOpen).then_some(nth % rooms);
                let state = State::new(connection + nth, kind, room.into_iter(), false);
                self.members.push(Member { state, link: None });
            }
        }
        connection += hostile.count() + worker * MAKERS;
        let makers = MAKERS.min(self.rooms_to_make().count() as u32);
        for nth in 0..makers {
            let state = State::new(connection + nth, Kind::Maker, std::iter::empty(), false);
            self.members.push(Member { state, link: None });
        }
    }

    fn rooms_to_make(&self) -> impl Iterator<Item = u32> + use<> {
        (self.share.worker..self.layout.rooms()).step_by(self.share.workers.max(1) as usize)
    }

    /// How many of the scenario's connections are this worker's; they come first.
    pub(super) fn regular(&self) -> u32 {
        self.book.steps.iter().sum::<u64>() as u32
    }

    /// How many of them are to be there when so many are over all workers.
    pub(super) fn part_of(&self, connections: u32) -> u32 {
        let Self { share, .. } = self;
        connections.saturating_sub(share.worker).div_ceil(share.workers.max(1)).min(self.regular())
    }

    /// Does what the coordinator says. An order that comes before the last one was done ends that.
    pub(super) fn obey(&mut self, order: Order) {
        self.book.now = Nanos::now();
        let now = self.book.now;
        if let Some(phase) = self.activity.phase.take() {
            self.answer(Answer::Reached(phase));
        }
        self.activity.progress = (0, now);
        self.activity.deadline = None;
        let settle = self.task.scenario.settle;
        let phase = match order {
            Order::Prepare => {
                self.book.to_create = self.rooms_to_make().collect();
                self.invite(|kind| kind == Kind::Maker);
                Phase::Prepare
            }
            Order::Connect => {
                let wanted = self.part_of(self.task.scenario.connections_at_start());
                self.invite_up_to(wanted);
                Phase::Connect
            }
            Order::Subscribe => {
                self.goal = Step::Following;
                for index in 0..self.regular() {
                    if self.members[index as usize].state.step == Step::Joined {
                        self.to_subscribe.push_back(index);
                    }
                }
                Phase::Subscribe
            }
            Order::Run { at } => {
                self.begin_run(at);
                Phase::Run
            }
            Order::Settle => {
                self.end_run();
                self.activity.deadline = Some(now.plus(settle));
                Phase::Settle
            }
            Order::Judge { sent } => {
                self.end_run();
                self.activity.judging = Some(Box::new(self.begin_judging(&sent)));
                self.activity.deadline = Some(now.plus(settle));
                Phase::Judge
            }
            Order::Stop => return self.stop(),
        };
        self.activity.phase = Some(phase);
        self.look();
    }

    fn invite(&mut self, who: impl Fn(Kind) -> bool) {
        self.activity.hoping_since.get_or_insert(self.book.now);
        for index in 0..self.members.len() {
            let state = &mut self.members[index].state;
            if who(state.kind) {
                state.is_wanted = true;
                self.enqueue(index as u32, At::Front);
            }
        }
    }

    /// So many of the scenario's connections are to be there, the others are sent away.
    pub(super) fn invite_up_to(&mut self, wanted: u32) {
        self.activity.hoping_since.get_or_insert(self.book.now);
        for index in 0..self.regular() {
            let is_wanted = index < wanted;
            let state = &mut self.members[index as usize].state;
            if state.is_wanted == is_wanted {
                continue;
            }
            state.is_wanted = is_wanted;
            if is_wanted {
                self.enqueue(index, At::Front);
            } else {
                self.close(index, 1000);
            }
        }
    }

    fn begin_run(&mut self, at: Nanos) {
        let scenario = &self.task.scenario;
        let measured = at.plus(scenario.warmup);
        let end = measured.plus(scenario.duration);
        self.book.measured = (measured, end);
        self.activity.run_at = Some(at);
        self.activity.deadline = Some(end);
        let part = 1.0 / f64::from(self.share.workers.max(1));
        let churn = Profile::constant(scenario.connections.churn_per_second * part, scenario.duration);
        let phase = f64::from(self.share.worker) * part;
        let (arrivals, seed) = (scenario.messages.arrivals, self.task.seed ^ 0xc4u64 ^ u64::from(self.share.worker));
        self.churn = Moments::new(churn, arrivals, measured, phase, seed);
        self.storm_at = scenario.storm.as_ref().map(|storm| measured.plus(storm.at)).filter(|at| *at < end);
        self.begin_sending(at);
        self.align_seconds(measured);
        self.invite(|kind| !matches!(kind, Kind::Regular | Kind::Maker));
    }

    fn end_run(&mut self) {
        self.end_sending();
        self.churn = Moments::never();
        self.storm_at = None;
        self.activity.run_at = None;
    }

    /// Looks whether the order is done.
    pub(super) fn look(&mut self) {
        if self.is_hopeless() {
            let reason = self.first_error.clone();
            let reason = reason.unwrap_or_else(|| format!("{}: timeout", self.addresses.first().url));
            return self.fail(format!("nobody can connect: {reason}"));
        }
        self.follow_stages();
        let now = self.book.now;
        let is_late = self.activity.deadline.is_some_and(|deadline| now >= deadline);
        match self.activity.phase {
            None => {}
            Some(Phase::Prepare) => {
                let left = self.book.to_create.len() as u64 + self.book.creating;
                let is_stalled = self.is_stalled(self.book.created);
                if left == 0 && self.book.created == 0 && self.book.refusal.is_some() || left > 0 && is_stalled {
                    let reason = self.book.refusal.clone();
                    return self.fail(reason.unwrap_or_else(|| "rooms cannot be made: no answer".to_owned()));
                }
                if left == 0 {
                    self.dismiss_makers();
                    self.reached();
                }
            }
            Some(Phase::Connect) => self.look_for(Step::Joined),
            Some(Phase::Subscribe) => self.look_for(Step::Following),
            Some(Phase::Run) if is_late => {
                self.end_run();
                self.reached();
            }
            Some(Phase::Settle) if is_late || self.book.unsettled == 0 => {
                self.drop_waiting();
                let lanes = self.book.log.lanes();
                self.answer(Answer::Sent(lanes));
                self.reached();
            }
            Some(Phase::Judge) => {
                let Some(mut judging) = self.activity.judging.take() else { return };
                if is_late || judging.is_complete(&self.members) {
                    let outcome = self.judge(&judging);
                    self.answer(Answer::Judged(Box::new(outcome)));
                    self.reached();
                } else {
                    self.activity.judging = Some(judging);
                }
            }
            Some(Phase::Run | Phase::Settle | Phase::Stop) => {}
        }
    }

    /// Whether as many as wanted are this far, or no more will be.
    fn look_for(&mut self, step: Step) {
        let wanted = self.members.iter().filter(|member| {
            let State { kind, is_wanted, is_banned, .. } = member.state;
            kind == Kind::Regular && is_wanted && !is_banned
        });
        let (wanted, there) = (wanted.count() as u64, self.book.at_least(step));
        // A connection of many rooms takes its time, and gets on meanwhile.
        let is_stalled = self.is_stalled(there + self.book.entered);
        if there < wanted && !is_stalled {
            return;
        }
        let refusal = self.book.refusal.clone().filter(|_| step == Step::Following && !self.book.was_followed);
        if let Some(refusal) = refusal {
            return self.fail(format!("nobody can follow a room: {refusal}"));
        }
        for _ in there..wanted {
            self.book.second.counts.error("never connected");
        }
        self.reached();
    }

    /// Notes how far it is; whether that is as far as it was a long time ago.
    fn is_stalled(&mut self, value: u64) -> bool {
        let (before, since) = self.activity.progress;
        if value != before {
            self.activity.progress = (value, self.book.now);
        }
        value == before && self.book.now.since(since) > self.limits.stalled
    }

    fn is_hopeless(&self) -> bool {
        let since = self.activity.hoping_since.filter(|_| !self.book.was_ready && self.activity.phase.is_some());
        let has_anybody = self.members.iter().any(|member| member.state.is_wanted);
        has_anybody && since.is_some_and(|since| self.book.now.since(since) > self.limits.hopeless)
    }

    fn dismiss_makers(&mut self) {
        for index in 0..self.members.len() as u32 {
            let state = &mut self.members[index as usize].state;
            if state.kind == Kind::Maker {
                state.is_wanted = false;
                self.close(index, 1000);
            }
        }
    }

    fn reached(&mut self) {
        if let Some(phase) = self.activity.phase.take() {
            self.activity.deadline = None;
            self.answer(Answer::Reached(phase));
        }
    }
}

//! The course of a run: one order after the other to all workers, each awaited for a bounded time.
//!
//! Must never wait longer than the scenario and a margin say, and must never throw away what was measured.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::crew::{Crew, CrewPlan, StartWorker};
use super::gather::{Gathered, Sums};
use super::message::{Answer, Order, Outcome, Phase, Task};
use super::outcome::{self, Ended};
use crate::clock::Nanos;
use crate::proof::SentLane;
use crate::report::Report;
use crate::stats::{Counts, Second, Timings};

/// How long a phase may take beyond what the scenario gives it.
const MARGIN: Duration = Duration::from_secs(60);

/// What making one room and letting its members in may take on a busy server: many rooms take their time.
const ROOM_MARGIN: Duration = Duration::from_millis(10);

/// What letting one connection into one room may take.
const SEAT_MARGIN: Duration = Duration::from_millis(1);

/// How long the sending may take beyond its time.
const RUN_MARGIN: Duration = Duration::from_secs(10);

/// How long an interrupted or failed run waits for answers, deliveries and farewells, each.
const SHORT_WAIT: Duration = Duration::from_secs(5);

/// The order to run names a moment that is so far off that it reaches everybody before.
const LEAD: Duration = Duration::from_millis(500);

/// How often the coordinator looks around at the least.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What is to be run.
#[derive(Clone, Debug)]
pub struct RunPlan {
    /// What workers are told.
    pub task: Task,
    /// Where they are.
    pub crew: CrewPlan,
    /// A name for tables and plots.
    pub label: String,
    /// The exact command, tokens and passwords left out.
    pub command: Vec<String>,
}

/// Whoever looks on: the screen, the samples of the server's processes, the text endpoint, Ctrl-C.
pub trait Watcher {
    /// A phase begins.
    fn phase(&mut self, phase: Phase);

    /// A second is complete: itself, the counts of the run so far, the times of the measured time so far, and how long
    /// ago the warm-up began.
    fn second(&mut self, second: &Second, counts: &Counts, measured: &Timings, elapsed: Duration);

    /// Called many times a second. `measured` is how long the measured time has lasted, none outside of it: its first
    /// and last values come at its borders, to a few milliseconds. True: stop and tell what was measured so far.
    fn look(&mut self, measured: Option<Duration>) -> bool;
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Finished {
    /// What was measured, of a failed or stopped run too. Its observations, metrics and assertions are empty.
    pub report: Report,
    /// Why the run failed, in one line.
    pub failure: Option<String>,
}

/// Why a phase was left.
enum Left {
    Reached,
    Interrupted,
    Failed(String),
}

struct Course<'a> {
    crew: Crew,
    answers: Receiver<(u32, Answer)>,
    watcher: &'a mut dyn Watcher,
    gathered: Gathered,
    sums: Sums,
    sent: Vec<SentLane>,
    outcome: Outcome,
    is_judged: bool,
    /// When the warm-up began.
    begun: Option<Nanos>,
    /// From when to when is measured.
    measured: Option<(Nanos, Nanos)>,
    /// How long was measured when it was over.
    measured_for: Option<Duration>,
}

/// Carries a run out.
pub fn run(plan: &RunPlan, start: StartWorker, watcher: &mut dyn Watcher) -> Finished {
    let (sender, answers) = channel();
    let at = jiff::Timestamp::now().to_string();
    let task = Arc::new(plan.task.clone());
    let crew = match Crew::start(&plan.crew, &task, start, &sender) {
        Ok(crew) => crew,
        Err(failure) => {
            let ended = Ended {
                workers: 0,
                at,
                measured_for: None,
                gathered: Gathered::new(0),
                outcome: Outcome::default(),
                is_judged: false,
                is_interrupted: false,
                failure: Some(failure.clone()),
                notes: Vec::new(),
            };
            return Finished { report: outcome::report(plan, ended), failure: Some(failure) };
        }
    };
    drop(sender);
    let workers = crew.workers();
    let mut course = Course {
        crew,
        answers,
        watcher,
        gathered: Gathered::new(workers),
        sums: Sums::default(),
        sent: Vec::new(),
        outcome: Outcome::default(),
        is_judged: false,
        begun: None,
        measured: None,
        measured_for: None,
    };
    let (is_interrupted, failure) = course.take(&plan.task);
    let notes = std::mem::take(&mut course.crew.notes);
    let Course { crew, gathered, outcome, is_judged, measured_for, .. } = course;
    crew.end();
    let failed = failure.clone();
    let ended =
        Ended { workers, at, measured_for, gathered, outcome, is_judged, is_interrupted, failure: failed, notes };
    Finished { report: outcome::report(plan, ended), failure }
}

impl Course<'_> {
    /// The whole course: whether it was interrupted, and why it failed.
    fn take(&mut self, task: &Task) -> (bool, Option<String>) {
        let scenario = &task.scenario;
        let connecting = Duration::try_from_secs_f64(
            f64::from(scenario.connections.count + scenario.hostile.count()) / scenario.connections.per_second,
        );
        // A pace of nothing would never end; the reading of scenarios refuses it.
        let seats = scenario.connections.count.saturating_mul(scenario.rooms.per_connection);
        let connecting = connecting.unwrap_or(MARGIN) + MARGIN + SEAT_MARGIN * seats;
        let preparing = MARGIN + ROOM_MARGIN * scenario.rooms.count;
        let mut left = Left::Reached;
        for (order, wait) in [(Order::Prepare, preparing), (Order::Connect, connecting), (Order::Subscribe, connecting)]
        {
            left = self.phase(&order, wait, true);
            if !matches!(left, Left::Reached) {
                break;
            }
        }
        if matches!(left, Left::Reached) {
            left = self.send(scenario.warmup, scenario.duration);
        }
        let is_cut = !matches!(left, Left::Reached);
        let (mut is_interrupted, mut failure) = match left {
            Left::Failed(reason) => (false, Some(reason)),
            Left::Interrupted => (true, None),
            Left::Reached => (false, None),
        };
        if failure.is_none() && self.measured.is_some() {
            let settle = if is_cut { SHORT_WAIT } else { scenario.settle + MARGIN };
            left = self.phase(&Order::Settle, settle, !is_cut);
            if !is_cut && matches!(left, Left::Interrupted) {
                is_interrupted = true;
                left = self.wait(Phase::Settle, SHORT_WAIT, false);
            }
            if matches!(left, Left::Reached) {
                let judge = if is_interrupted { SHORT_WAIT } else { scenario.settle + MARGIN };
                let sent = std::mem::take(&mut self.sent);
                left = self.phase(&Order::Judge { sent }, judge, !is_interrupted);
                is_interrupted |= matches!(left, Left::Interrupted);
                self.is_judged = matches!(left, Left::Reached);
            }
            if let Left::Failed(reason) = left {
                failure = Some(reason);
            }
        }
        // Whoever does not say farewell in time is ended by the crew; the figures are here already.
        self.phase(&Order::Stop, SHORT_WAIT, false);
        (is_interrupted, failure)
    }

    /// The warm-up and the measured time.
    fn send(&mut self, warmup: Duration, duration: Duration) -> Left {
        let at = Nanos::now().plus(LEAD);
        let begin = at.plus(warmup);
        self.begun = Some(at);
        self.measured = Some((begin, begin.plus(duration)));
        self.gathered.run();
        let left = self.phase(&Order::Run { at }, LEAD + warmup + duration + RUN_MARGIN, true);
        let now = Nanos::now();
        if self.measured_for.is_none() && now > begin {
            // Only whole seconds were told.
            let whole = Duration::from_secs(now.since(begin).min(duration).as_secs());
            self.measured_for =
                (!whole.is_zero()).then_some(if now.since(begin) >= duration { duration } else { whole });
        }
        left
    }

    fn phase(&mut self, order: &Order, wait: Duration, is_interruptible: bool) -> Left {
        let phase = order.phase();
        self.watcher.phase(phase);
        if let Err(reason) = self.crew.order(order) {
            // Why somebody has ended stands among the answers, if anywhere.
            return Left::Failed(self.reason().unwrap_or(reason));
        }
        self.wait(phase, wait, is_interruptible)
    }

    /// Waits until everybody has reached the phase, and told what belongs to it.
    fn wait(&mut self, phase: Phase, wait: Duration, is_interruptible: bool) -> Left {
        let workers = self.crew.workers() as usize;
        let until = Instant::now() + wait;
        let (mut reached, mut told) = (BTreeSet::new(), BTreeSet::new());
        let needs_more = matches!(phase, Phase::Settle | Phase::Judge);
        loop {
            let is_wanted = self.look();
            if is_interruptible && is_wanted {
                return Left::Interrupted;
            }
            if reached.len() == workers && (!needs_more || told.len() == workers) {
                return Left::Reached;
            }
            if Instant::now() >= until {
                let missing = workers - reached.len().min(if needs_more { told.len() } else { workers });
                return Left::Failed(format!(
                    "{missing} of {workers} workers did not finish the phase {phase:?} in {} s",
                    wait.as_secs()
                ));
            }
            let answer = match self.answers.recv_timeout(self.pause(until)) {
                Ok(answer) => answer,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return Left::Failed("all workers have ended".to_owned()),
            };
            match answer {
                (worker, Answer::Reached(of)) if of == phase => {
                    reached.insert(worker);
                }
                // A phase that was left too early comes to its end later.
                (_, Answer::Reached(_)) => {}
                (worker, Answer::Second(second)) => self.second(worker, &second),
                (worker, Answer::Sent(sent)) => {
                    if told.insert(worker) {
                        self.sent.extend(sent);
                    }
                }
                (worker, Answer::Judged(outcome)) => {
                    if told.insert(worker) {
                        self.judged(*outcome);
                    }
                }
                // In the end everybody may go as they like.
                (_, Answer::Failed { .. }) if phase == Phase::Stop => {}
                (_, Answer::Failed { reason }) => return Left::Failed(reason),
            }
        }
    }

    fn judged(&mut self, outcome: Outcome) {
        self.outcome.verdict.merge(outcome.verdict);
        for action in outcome.left_out {
            if !self.outcome.left_out.contains(&action) {
                self.outcome.left_out.push(action);
            }
        }
    }

    /// How long nothing has to be looked at: up to the next border of the measured time at the most.
    fn pause(&self, until: Instant) -> Duration {
        let now = Nanos::now();
        let borders = self.measured.into_iter().flat_map(|(from, to)| [from, to]);
        let border = borders.filter(|border| *border > now).map(|border| border.since(now)).min();
        let rest = until.saturating_duration_since(Instant::now());
        LOOK_EVERY.min(border.unwrap_or(LOOK_EVERY)).min(rest)
    }

    fn elapsed(&self) -> Option<Duration> {
        let (from, to) = self.measured?;
        let now = Nanos::now();
        (self.measured_for.is_none() && now >= from).then(|| now.min(to).since(from))
    }

    fn look(&mut self) -> bool {
        self.crew.tick();
        let elapsed = self.elapsed();
        if let (Some(elapsed), Some((from, to))) = (elapsed, self.measured)
            && elapsed >= to.since(from)
        {
            self.measured_for = Some(elapsed);
        }
        self.watcher.look(elapsed)
    }

    fn second(&mut self, worker: u32, second: &Second) {
        // A second is told when it is over: one that cannot be over yet is counted from the worker's own start.
        // So is one that was over before anybody knew of the run.
        let is_early = self.measured.zip(self.begun).is_some_and(|((from, _), begun)| {
            let ahead = (from.since(begun) + LEAD).as_secs() as i64 + 1;
            let is_to_come = |at: u64| from.plus(Duration::from_secs(at)) > Nanos::now();
            second.at < -ahead || u64::try_from(second.at).is_ok_and(is_to_come)
        });
        self.gathered.take(worker, second, is_early);
        let elapsed = self.begun.map_or(Duration::ZERO, |begun| Nanos::now().since(begun));
        let length = self.measured.map_or(Duration::ZERO, |(from, to)| to.since(from));
        for second in self.gathered.complete() {
            let is_measured = super::validity::is_measured(&second, length);
            self.sums.add(&second, self.measured.is_some() && is_measured);
            self.watcher.second(&second, &self.sums.counts, &self.sums.timings, elapsed);
        }
    }

    /// The reason that somebody gave for its end, if it is here already.
    fn reason(&self) -> Option<String> {
        let until = Instant::now() + LEAD;
        loop {
            match self.answers.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok((_, Answer::Failed { reason })) => return Some(reason),
                Ok(_) => {}
                Err(_) => return None,
            }
        }
    }
}

//! The words between the coordinator and a worker, the same within a process and between machines.
//!
//! Must never carry what a worker can work out by itself from the task.

use serde::{Deserialize, Serialize};

use crate::clock::Nanos;
use crate::proof::{SentLane, Verdict};
use crate::scenario::Scenario;
use crate::stats::Second;
use crate::target::Target;

/// What is to be done, the same for all workers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Task {
    /// Names the run: stands in every message.
    pub run: u32,
    /// Everything that is random follows from it.
    pub seed: u64,
    /// What people do.
    pub scenario: Scenario,
    /// Where.
    pub target: Target,
}

/// Which part of the task a worker has: every `workers`-th connection, beginning with number `worker`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Share {
    /// Which worker, from 0.
    pub worker: u32,
    /// How many there are, over all processes and machines.
    pub workers: u32,
}

/// What the coordinator tells a worker. Each is answered with [`Answer::Reached`] of the same phase, once.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Make the rooms of this worker (every `workers`-th), if the peer has such.
    Prepare,
    /// Open the connections and enter the rooms, at the scenario's pace.
    Connect,
    /// Follow the rooms.
    Subscribe,
    /// Send from this moment on: first the warm-up, then the measured time. Answered when the time is over.
    Run {
        /// The beginning of the warm-up, in the clock of this worker's machine.
        at: Nanos,
    },
    /// Wait until every send is answered or the scenario's time for that is over, then tell what was sent.
    Settle,
    /// Wait until everything that was acked was heard or the scenario's time for that is over, then judge.
    Judge {
        /// What all workers sent.
        sent: Vec<SentLane>,
    },
    /// Close the connections and end.
    Stop,
}

impl Order {
    /// The phase that this order begins.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        match self {
            Self::Prepare => Phase::Prepare,
            Self::Connect => Phase::Connect,
            Self::Subscribe => Phase::Subscribe,
            Self::Run { .. } => Phase::Run,
            Self::Settle => Phase::Settle,
            Self::Judge { .. } => Phase::Judge,
            Self::Stop => Phase::Stop,
        }
    }
}

/// A part of a run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Rooms are made.
    Prepare,
    /// Connections are opened.
    Connect,
    /// Rooms are followed.
    Subscribe,
    /// Messages are sent.
    Run,
    /// Answers are waited for.
    Settle,
    /// Deliveries are waited for.
    Judge,
    /// It is over.
    Stop,
}

/// What a worker says.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The order of this phase is done.
    Reached(Phase),
    /// What the last second brought; every second from the first order on.
    Second(Box<Second>),
    /// What was sent: follows [`Phase::Settle`].
    Sent(Vec<SentLane>),
    /// What was lost: follows [`Phase::Judge`].
    Judged(Box<Outcome>),
    /// The worker cannot go on: nothing could be connected, or the peer does not speak as expected.
    Failed {
        /// For people, in one line.
        reason: String,
    },
}

/// What a worker found in the end.
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// What was lost.
    pub verdict: Verdict,
    /// Actions of the scenario that the peer does not know, by name.
    pub left_out: Vec<String>,
}

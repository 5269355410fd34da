//! Whether the process turns: each worker of its runtime, and what is given to them.
//!
//! Watched from the runtime of the ops listener, which answers when every worker stands still. Must never take a worker
//! for stuck that is only busy: whoever asks ends the process for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;

/// How often is looked.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// So many looks without a sign of life are too many: no task works for that long without waiting. Looks are counted and not time,
/// since a process that was frozen as a whole has had none.
const LOOKS_MAX: u32 = 5;

/// What was seen of each worker.
pub(crate) struct Pulse {
    runtime: Handle,
    /// For each worker: looks in a row at which it worked at the same thing as before.
    workers: Vec<AtomicU32>,
    /// Looks in a row at which the canary was not back.
    canary: AtomicU32,
}

/// What changes when a worker turns: between two tasks that it waits for, or after every few dozen that it does not.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
struct Sign {
    parked: u64,
    busy: Duration,
}

impl Pulse {
    /// Of this runtime.
    pub(crate) fn of(runtime: Handle) -> Arc<Self> {
        let workers = (0..runtime.metrics().num_workers()).map(|_| AtomicU32::new(0)).collect();
        Arc::new(Self { runtime, workers, canary: AtomicU32::new(0) })
    }

    /// The runtime that is watched.
    pub(crate) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Looks for ever. Runs on another runtime.
    pub(crate) async fn watch(&self) {
        let mut last = vec![Sign::default(); self.workers.len()];
        let back = Arc::new(AtomicBool::new(true));
        let mut was_stuck = false;
        loop {
            for (index, (looks, last)) in self.workers.iter().zip(&mut last).enumerate() {
                let sign = self.sign(index);
                // An odd count: it is parked and waits for work.
                let turns = sign != *last || !sign.parked.is_multiple_of(2);
                count(looks, turns);
                *last = sign;
            }
            let is_back = back.swap(false, Ordering::AcqRel);
            count(&self.canary, is_back);
            if is_back {
                let back = Arc::clone(&back);
                self.runtime.spawn(async move { back.store(true, Ordering::Release) });
            }
            let stuck = self.stuck();
            match &stuck {
                Some(reason) if !was_stuck => tracing::error!(reason, "the process does not turn"),
                None if was_stuck => tracing::warn!("the process turns again"),
                _ => {}
            }
            was_stuck = stuck.is_some();
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn sign(&self, worker: usize) -> Sign {
        let metrics = self.runtime.metrics();
        Sign { parked: metrics.worker_park_unpark_count(worker), busy: metrics.worker_total_busy_duration(worker) }
    }

    /// What does not turn, for people; none when everything does.
    pub(crate) fn stuck(&self) -> Option<String> {
        let late = |looks: &AtomicU32| Some(looks.load(Ordering::Acquire)).filter(|looks| *looks >= LOOKS_MAX);
        let workers = self.workers.iter().enumerate().filter_map(|(index, looks)| {
            let seconds = u64::from(late(looks)?) * LOOK_EVERY.as_secs();
            Some(format!("worker {index} has been at one task for {seconds} s"))
        });
        let canary = late(&self.canary)
            .map(|looks| format!("a new task has waited for {} s", u64::from(looks) * LOOK_EVERY.as_secs()));
        let all: Vec<String> = workers.chain(canary).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }
}

fn count(looks: &AtomicU32, is_well: bool) {
    if is_well {
        looks.store(0, Ordering::Release);
    } else {
        looks.fetch_add(1, Ordering::AcqRel);
    }
}

//! The one task that writes to rooms: it takes all that waits and commits it together.
//!
//! Batches form by themselves: what comes while one commits is the next one. An idle store waits for nothing, a busy
//! one a moment for company.
//! Must never answer before the commit, and never let one write's failure reach another's answer.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hubbub_protocol::mutation::{self, Mutation};
use hubbub_protocol::{RoomEvent, RoomEventData, SEQ_MAX, Timestamp};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::append::{Appended, CommitHook};
use crate::circuit::{Circuit, RETRY_BOUND, retry_pauses};
use crate::engine::Engine;
use crate::error::{AppendError, StoreError, StoreErrorKind};
use crate::fault::{Class, Fault};
use crate::job::{Job, Outcome, Work};
use crate::metrics::Op;
use crate::plan::Plan;
use crate::state::QueueState;

/// Most writes that wait for the writer.
pub(crate) const QUEUE_JOBS_MAX: usize = 16_384;
/// Most bytes of writes that wait for the writer.
pub(crate) const QUEUE_BYTES_MAX: usize = 64 << 20;
/// Most rows of one transaction, each event and each first member being one.
pub(crate) const BATCH_ROWS_MAX: usize = 2_048;
/// Most bytes of one transaction, unless a single write is larger.
pub(crate) const BATCH_BYTES_MAX: usize = 8 << 20;
/// How long one attempt to commit a batch may take. What was on its way then has an unknown outcome, and the next
/// attempt looks for it.
const BATCH_TIMEOUT: Duration = Duration::from_secs(6);
/// A batch that takes longer than this raises the suspicion that the database is dead.
const BATCH_SLOW: Duration = Duration::from_secs(2);
/// While writes come fast, batches begin no sooner than this after one another: what comes meanwhile costs next to
/// nothing in the same exchange.
const BATCH_PACE: Duration = Duration::from_millis(2);
/// With so many writes waiting the exchange is worth it at once.
const PACED_ROWS_MAX: usize = 64;
/// Over how long the rate of writes is averaged.
const RATE_MEMORY: Duration = Duration::from_millis(250);
/// How often a batch is split because of a failure that need not be a row's.
const BROKEN_SPLITS_MAX: u32 = 64;

/// Where writes wait.
pub(crate) struct Queue {
    jobs: mpsc::Sender<Job>,
    bytes: Arc<AtomicUsize>,
    end: Mutex<Option<(oneshot::Sender<()>, JoinHandle<()>)>>,
}

impl Queue {
    /// Starts the writer.
    pub(crate) fn start(engine: Arc<Engine>, circuit: Arc<Circuit>, on_commit: CommitHook) -> Self {
        let (jobs, waiting) = mpsc::channel(QUEUE_JOBS_MAX);
        let (end, ended) = oneshot::channel();
        let bytes = Arc::new(AtomicUsize::new(0));
        let writer = Writer {
            engine,
            circuit,
            on_commit,
            waiting,
            bytes: Arc::clone(&bytes),
            carried: None,
            pace: Pace::default(),
        };
        let task = tokio::spawn(writer.run(ended));
        Self { jobs, bytes, end: Mutex::new(Some((end, task))) }
    }

    /// Hands a write over, or refuses it when too much waits already.
    pub(crate) fn push(&self, job: Job) -> Result<(), StoreError> {
        let bytes = job.bytes;
        let waiting = self.bytes.fetch_add(bytes, Ordering::AcqRel);
        let refused = if waiting > 0 && waiting + bytes > QUEUE_BYTES_MAX {
            Some((StoreErrorKind::Overloaded, "too many bytes wait to be written"))
        } else {
            match self.jobs.try_send(job) {
                Ok(()) => None,
                Err(mpsc::error::TrySendError::Full(_)) => Some((StoreErrorKind::Overloaded, "too many writes wait")),
                Err(mpsc::error::TrySendError::Closed(_)) => Some((StoreErrorKind::Unavailable, "the store is closed")),
            }
        };
        let Some((kind, text)) = refused else { return Ok(()) };
        self.bytes.fetch_sub(bytes, Ordering::AcqRel);
        Err(StoreError::new(kind, text))
    }

    pub(crate) fn state(&self) -> QueueState {
        QueueState {
            writes: self.jobs.max_capacity() - self.jobs.capacity(),
            writes_max: QUEUE_JOBS_MAX,
            bytes: self.bytes.load(Ordering::Acquire),
            bytes_max: QUEUE_BYTES_MAX,
        }
    }

    /// Takes no more writes and waits until those that are waiting are answered.
    pub(crate) async fn close(&self) {
        let end = self.end.lock().take();
        if let Some((end, task)) = end {
            if end.send(()).is_err() {
                tracing::debug!("the writer had ended already");
            }
            if let Err(error) = task.await {
                tracing::error!(%error, "the writer did not end by itself");
            }
        }
    }
}

struct Writer {
    engine: Arc<Engine>,
    circuit: Arc<Circuit>,
    on_commit: CommitHook,
    waiting: mpsc::Receiver<Job>,
    bytes: Arc<AtomicUsize>,
    /// A write that did not fit in the last batch.
    carried: Option<Job>,
    pace: Pace,
}

/// How fast writes come.
#[derive(Default)]
struct Pace {
    /// Writes a second.
    rate: f64,
    /// When the last batch began.
    began: Option<Instant>,
}

impl Pace {
    /// A batch of so many writes begins.
    fn begin(&mut self, writes: usize, now: Instant) {
        let memory = RATE_MEMORY.as_secs_f64();
        let kept = self.began.map_or(0.0, |began| (-(now - began).as_secs_f64() / memory).exp());
        self.rate = self.rate * kept + writes as f64 / memory;
        self.began = Some(now);
    }

    /// Until when the next batch waits for company; none when there is little to be expected.
    fn next(&self, now: Instant) -> Option<Instant> {
        let next = self.began? + BATCH_PACE;
        let is_worth_it = self.rate * BATCH_PACE.as_secs_f64() >= 2.0;
        (is_worth_it && next > now).then_some(next)
    }
}

impl Writer {
    async fn run(mut self, mut ended: oneshot::Receiver<()>) {
        let mut open = true;
        loop {
            let first = match self.carried.take() {
                Some(job) => Some(job),
                None if open => tokio::select! {
                    job = self.waiting.recv() => job,
                    // Sent, or dropped with the store: either way nobody may add to what waits.
                    _ = &mut ended => {
                        open = false;
                        self.waiting.close();
                        continue;
                    }
                },
                None => self.waiting.recv().await,
            };
            let Some(first) = first else { return };
            if self.waiting.len() < PACED_ROWS_MAX
                && let Some(next) = self.pace.next(Instant::now())
            {
                tokio::time::sleep_until(next.into()).await;
            }
            let mut batch = self.gather(first);
            let size = batch.len();
            batch.iter_mut().for_each(|job| job.commits(size));
            self.pace.begin(batch.len(), Instant::now());
            self.commit(batch).await;
        }
    }

    /// All that waits, up to the limits of a batch.
    fn gather(&mut self, first: Job) -> Vec<Job> {
        let (mut rows, mut bytes) = (rows_of(&first), first.bytes);
        let mut batch = vec![first];
        while let Ok(job) = self.waiting.try_recv() {
            if rows + rows_of(&job) > BATCH_ROWS_MAX || bytes + job.bytes > BATCH_BYTES_MAX {
                self.carried = Some(job);
                break;
            }
            rows += rows_of(&job);
            bytes += job.bytes;
            batch.push(job);
        }
        self.bytes.fetch_sub(bytes, Ordering::AcqRel);
        batch
    }

    /// Commits the batch and answers it. When a row is to blame the batch is halved until that row stands alone.
    async fn commit(&self, batch: Vec<Job>) {
        let mut parts = vec![batch];
        let mut splits = 0;
        while let Some(mut part) = parts.pop() {
            let fault = match self.try_commit(&mut part).await {
                Ok(plan) => {
                    self.finish(part, plan);
                    continue;
                }
                Err(fault) => fault,
            };
            let split = fault.class == Class::BadRow || (fault.class == Class::Broken && splits < BROKEN_SPLITS_MAX);
            if split && part.len() > 1 {
                splits += 1;
                let rest = part.split_off(part.len() / 2);
                parts.push(rest);
                parts.push(part);
            } else {
                self.refuse(part, fault);
            }
        }
    }

    /// Tries for a bounded time.
    async fn try_commit(&self, jobs: &mut [Job]) -> Result<Plan, Fault> {
        let began = Instant::now();
        let mut pauses = retry_pauses();
        loop {
            if self.circuit.is_open() {
                return Err(Fault::timed_out());
            }
            let fault = match self.attempt(jobs).await {
                Ok(plan) => {
                    self.circuit.succeeded();
                    return Ok(plan);
                }
                Err(fault) => fault,
            };
            self.circuit.metrics.failed(Op::Batch);
            self.circuit.failed(&fault);
            let Some(pause) = pauses.next() else { return Err(fault) };
            if !fault.class.passes() || began.elapsed() >= RETRY_BOUND {
                return Err(fault);
            }
            tracing::debug!(class = ?fault.class, "a batch is tried again");
            tokio::time::sleep(pause).await;
        }
    }

    async fn attempt(&self, jobs: &mut [Job]) -> Result<Plan, Fault> {
        let timer = self.circuit.metrics.seconds(Op::Batch).start_timer();
        let batch = self.engine.append(jobs);
        tokio::pin!(batch);
        let result = tokio::select! {
            result = &mut batch => Ok(result),
            () = tokio::time::sleep(BATCH_SLOW) => {
                self.circuit.suspect();
                tokio::time::timeout(BATCH_TIMEOUT - BATCH_SLOW, batch).await
            }
        };
        timer.observe_duration();
        result.map_err(|_| Fault::timed_out())?.map_err(Fault::from)
    }

    /// Tells the hook, then the waiters.
    fn finish(&self, mut jobs: Vec<Job>, plan: Plan) {
        let Plan { mut outcomes, events, .. } = plan;
        // Whoever else held the events lets go, so that they can be put in their traces.
        drop(events);
        for (job, outcome) in jobs.iter_mut().zip(&mut outcomes) {
            if let Some(event) = committed(outcome) {
                job.trace(event);
            }
        }
        let events: Vec<_> = outcomes.iter_mut().filter_map(committed).map(|event| Arc::clone(event)).collect();
        let messages = events.iter().filter(|event| matches!(event.data, RoomEventData::MessageSent(_))).count();
        self.circuit.metrics.appended.inc_by(messages as u64);
        if !events.is_empty() && std::panic::catch_unwind(AssertUnwindSafe(|| (self.on_commit)(&events))).is_err() {
            // The events are committed; other nodes and this one find them by their heads.
            tracing::error!("what runs after a commit panicked");
        }
        for (job, outcome) in jobs.into_iter().zip(outcomes) {
            job.answer(outcome);
        }
    }

    fn refuse(&self, jobs: Vec<Job>, fault: Fault) {
        let bad_row = fault.class == Class::BadRow;
        let error = StoreError::from(fault);
        tracing::warn!(writes = jobs.len(), ?error, "writes were refused");
        for mut job in jobs {
            self.circuit.metrics.failed(op_of(&job));
            if let Some(untrue) = mutation::is(Mutation::AckFailed).then(|| never_written(&job)).flatten() {
                job.answer(untrue);
                continue;
            }
            job.failed();
            job.answer(Outcome::Refused(if bad_row {
                AppendError::Conflict("what is written contradicts what is stored")
            } else {
                AppendError::Store(error.clone())
            }));
        }
    }
}

/// What [`Mutation::AckFailed`] says of a write that failed.
fn never_written(job: &Job) -> Option<Outcome> {
    let Work::Append { append, .. } = &job.work else { return None };
    let (by, data) = (append.by.clone(), append.data.clone());
    let event = RoomEvent { room: append.room, seq: SEQ_MAX, at: Timestamp::now(), by, data, trace: None };
    Some(Outcome::Appended(Appended::Committed(Arc::new(event))))
}

fn committed(outcome: &mut Outcome) -> Option<&mut Arc<RoomEvent>> {
    match outcome {
        Outcome::Appended(Appended::Committed(event)) | Outcome::Created { event } => Some(event),
        _ => None,
    }
}

/// As what a write is counted.
fn op_of(job: &Job) -> Op {
    match job.work {
        Work::Append { .. } => Op::Append,
        Work::Create { .. } => Op::CreateRoom,
    }
}

fn rows_of(job: &Job) -> usize {
    match &job.work {
        Work::Append { .. } => 1,
        Work::Create { room, .. } => 1 + room.members.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_stream_of_writes_is_paced() {
        let mut pace = Pace::default();
        let begin = Instant::now();
        assert_eq!(pace.next(begin), None, "the first one");
        for at in 1..=500 {
            pace.begin(1, begin + at * 2 * BATCH_PACE);
        }
        let now = begin + 1_000 * BATCH_PACE;
        assert_eq!(pace.next(now), None, "one writer after its own answers");
        for at in 1..=500 {
            pace.begin(8, now + at * BATCH_PACE);
        }
        let now = now + 500 * BATCH_PACE;
        assert_eq!(pace.next(now), Some(now + BATCH_PACE));
        assert_eq!(pace.next(now + BATCH_PACE), None, "it has waited");
    }
}

//! The circuit breaker, and how a call goes through it: refused at once while the database is dead, tried again for
//! a bounded time while it may come back.
//!
//! Failures only raise a suspicion; a probe on a connection of its own decides. So a pool that is merely exhausted
//! does not look like a dead database. Must never hold a call longer than its limits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use hubbub_protocol::Epoch;
use parking_lot::RwLock;

use crate::engine::Address;
use crate::error::{StoreError, StoreErrorKind};
use crate::fault::Fault;
use crate::metrics::{Metrics, Op};
use crate::state::CircuitState;

/// So many suspect failures in a row send a probe.
const SUSPECT_FAILURES: u32 = 3;
/// How long one probe may take.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
/// Shortest and longest pause between probes of a dead database; each pause is jittered by up to its length.
const PROBE_PAUSE_MIN: Duration = Duration::from_millis(100);
const PROBE_PAUSE_MAX: Duration = Duration::from_secs(1);

/// How long one attempt of a call may take.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// A failed call is tried again for about so long.
pub(crate) const RETRY_BOUND: Duration = Duration::from_secs(2);
/// First and longest pause between two attempts; each is jittered by up to its length.
const RETRY_PAUSE_MIN: Duration = Duration::from_millis(10);
const RETRY_PAUSE_MAX: Duration = Duration::from_millis(400);

/// The circuit of one store.
pub(crate) struct Circuit {
    address: Address,
    open: AtomicBool,
    failures: AtomicU32,
    probing: AtomicBool,
    epoch: RwLock<Epoch>,
    pub(crate) metrics: Metrics,
}

impl Circuit {
    pub(crate) fn new(address: Address, epoch: Epoch, metrics: Metrics) -> Arc<Self> {
        Arc::new(Self {
            address,
            open: AtomicBool::new(false),
            failures: AtomicU32::new(0),
            probing: AtomicBool::new(false),
            epoch: RwLock::new(epoch),
            metrics,
        })
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    pub(crate) fn state(&self) -> CircuitState {
        CircuitState {
            open: self.is_open(),
            suspect_failures: self.failures.load(Ordering::Acquire),
            probing: self.probing.load(Ordering::Acquire),
        }
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.epoch.read().clone()
    }

    /// Refuses while the circuit is open.
    pub(crate) fn admit(&self) -> Result<(), StoreError> {
        if self.is_open() {
            return Err(StoreError::new(StoreErrorKind::Unavailable, "the database is down"));
        }
        Ok(())
    }

    /// Begins a call.
    pub(crate) fn begin(self: &Arc<Self>, op: Op) -> Result<Call<'_>, StoreError> {
        self.admit()?;
        Ok(Call { circuit: self, op, began: Instant::now(), pauses: retry_pauses() })
    }

    pub(crate) fn succeeded(&self) {
        self.failures.store(0, Ordering::Release);
    }

    /// Counts a failure; enough of them in a row send a probe.
    pub(crate) fn failed(self: &Arc<Self>, fault: &Fault) {
        if fault.class.is_suspect() && self.failures.fetch_add(1, Ordering::AcqRel) + 1 >= SUSPECT_FAILURES {
            self.suspect();
        }
    }

    /// Sends a probe, unless one is under way. It ends when the database answers or the store is gone.
    pub(crate) fn suspect(self: &Arc<Self>) {
        if self.probing.swap(true, Ordering::AcqRel) {
            return;
        }
        let circuit = Arc::downgrade(self);
        tokio::spawn(async move {
            let began = Instant::now();
            let mut pauses = probe_pauses();
            while let Some(circuit) = circuit.upgrade() {
                match circuit.probe().await {
                    Ok(epoch) => return circuit.recovered(epoch, began),
                    Err(fault) => circuit.trip(fault),
                }
                drop(circuit);
                tokio::time::sleep(pauses.next().unwrap_or(PROBE_PAUSE_MAX)).await;
            }
        });
    }

    async fn probe(&self) -> Result<Epoch, Fault> {
        tokio::time::timeout(PROBE_TIMEOUT, self.address.probe()).await.unwrap_or_else(|_| Err(Fault::timed_out()))
    }

    fn trip(&self, fault: Fault) {
        if !self.open.swap(true, Ordering::AcqRel) {
            self.metrics.up.set(0);
            self.metrics.circuit_open.set(1);
            tracing::error!(error = ?StoreError::from(fault), "the database is down: calls are refused until it answers");
        }
    }

    /// Notes which history the database holds now.
    pub(crate) fn learn(&self, epoch: Epoch) {
        let mut known = self.epoch.write();
        if *known != epoch {
            tracing::warn!(before = known.as_str(), now = epoch.as_str(), "the database holds another history now");
            *known = epoch;
        }
    }

    fn recovered(&self, epoch: Epoch, began: Instant) {
        self.learn(epoch);
        self.failures.store(0, Ordering::Release);
        self.probing.store(false, Ordering::Release);
        if self.open.swap(false, Ordering::AcqRel) {
            self.metrics.up.set(1);
            self.metrics.circuit_open.set(0);
            tracing::info!(outage_ms = began.elapsed().as_millis(), "the database answers again");
        }
    }
}

/// The pauses of a call that is tried again.
pub(crate) fn retry_pauses() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(RETRY_PAUSE_MIN)
        .with_max_delay(RETRY_PAUSE_MAX)
        .with_jitter()
        .without_max_times()
        .build()
}

fn probe_pauses() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(PROBE_PAUSE_MIN)
        .with_max_delay(PROBE_PAUSE_MAX)
        .with_jitter()
        .without_max_times()
        .build()
}

/// One call on its way, over all its attempts.
pub(crate) struct Call<'a> {
    circuit: &'a Arc<Circuit>,
    op: Op,
    began: Instant,
    pauses: ExponentialBackoff,
}

/// What to do after an attempt.
pub(crate) enum Settled<T> {
    Done(Result<T, StoreError>),
    Again(Duration),
}

impl Call<'_> {
    /// Judges one attempt, which may have run into its limit.
    pub(crate) fn settle<T>(
        &mut self,
        attempt: Result<Result<T, sqlx::Error>, tokio::time::error::Elapsed>,
    ) -> Settled<T> {
        let fault = match attempt {
            Ok(Ok(value)) => {
                self.circuit.succeeded();
                return Settled::Done(Ok(value));
            }
            Ok(Err(error)) => Fault::from(error),
            Err(_) => Fault::timed_out(),
        };
        self.circuit.failed(&fault);
        let over = self.began.elapsed() >= RETRY_BOUND || self.circuit.is_open();
        match self.pauses.next() {
            Some(pause) if fault.class.passes() && !over => Settled::Again(pause),
            _ => Settled::Done(Err(fault.into())),
        }
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.circuit.metrics.seconds(self.op).observe(self.began.elapsed().as_secs_f64());
    }
}

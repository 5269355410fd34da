//! The places of `admission.handshakes_max`: how many sockets that are no WebSockets are served at a time.
//!
//! Owns counting them, and saying when few are left. Must never refuse anybody: who has no place waits in the kernel.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::metrics::{Metrics, Queued};

/// Few are left when no more than one of so many is free.
const FEW: usize = 4;

/// How long newcomers wait for a place before the node says so: longer than a burst of handshakes takes.
const MOMENT: Duration = Duration::from_secs(1);

/// All places.
pub(crate) struct Places {
    free: Arc<Semaphore>,
    max: usize,
    /// Sockets that have one.
    taken: AtomicUsize,
    /// Few are left: HTTP connections are not kept for a next request.
    scarce: watch::Sender<bool>,
    /// Since when newcomers wait because every place is taken.
    waiting_since: Mutex<Option<Instant>>,
}

impl Places {
    /// So many; 0: no limit.
    pub(crate) fn new(max: u64) -> Arc<Self> {
        let max = match max {
            0 => Semaphore::MAX_PERMITS,
            max => usize::try_from(max).unwrap_or(Semaphore::MAX_PERMITS).min(Semaphore::MAX_PERMITS),
        };
        Arc::new(Self {
            free: Arc::new(Semaphore::new(max)),
            max,
            taken: AtomicUsize::new(0),
            scarce: watch::Sender::new(false),
            waiting_since: Mutex::default(),
        })
    }

    /// Waits until a place is free for the next socket; never none, since nobody closes the door that way.
    pub(crate) async fn reserve(&self, metrics: &Metrics) -> Option<OwnedSemaphorePermit> {
        if let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() {
            return Some(permit);
        }
        metrics.queued(Queued::Handshakes);
        *self.waiting_since.lock() = Some(Instant::now());
        let permit = Arc::clone(&self.free).acquire_owned().await;
        *self.waiting_since.lock() = None;
        permit.ok()
    }

    /// Takes the place that was reserved for a socket that has come.
    pub(crate) fn take(self: &Arc<Self>, permit: OwnedSemaphorePermit) -> Place {
        self.taken.fetch_add(1, Ordering::AcqRel);
        self.tell_scarce();
        Place { places: Arc::clone(self), _permit: permit }
    }

    /// How many sockets have a place.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Acquire)
    }

    /// Whether every place has been taken for more than a moment, so that newcomers get no answer.
    pub(crate) fn are_taken(&self) -> bool {
        self.waiting_since.lock().is_some_and(|since| since.elapsed() >= MOMENT)
    }

    /// Whether few places are left.
    pub(crate) fn are_scarce(&self) -> bool {
        *self.scarce.borrow()
    }

    /// Resolves when few places are left.
    pub(crate) fn scarce(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut scarce = self.scarce.subscribe();
        async move {
            // The sender lives as long as the node, which outlives its sockets.
            scarce.wait_for(|scarce| *scarce).await.ok();
        }
    }

    /// Counts under the lock of the channel, so that the last who changes the count has the last word.
    fn tell_scarce(&self) {
        self.scarce.send_if_modified(|scarce| {
            let free = self.max.saturating_sub(self.taken.load(Ordering::Acquire));
            let now = free <= self.max / FEW;
            std::mem::replace(scarce, now) != now
        });
    }
}

/// A place, until dropped.
pub(crate) struct Place {
    places: Arc<Places>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken.fetch_sub(1, Ordering::AcqRel);
        self.places.tell_scarce();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn few_are_left_from_three_quarters_on_and_no_longer() {
        let metrics = Metrics::register(&prometheus::Registry::new()).unwrap();
        let places = Places::new(4);
        let mut taken = Vec::new();
        for scarce in [false, false, true, true] {
            taken.push(places.take(places.reserve(&metrics).await.unwrap()));
            assert_eq!(places.are_scarce(), scarce, "{}", taken.len());
        }
        places.scarce().await;
        taken.truncate(2);
        assert!(!places.are_scarce());
        let unbounded = Places::new(0);
        let _one = unbounded.take(unbounded.reserve(&metrics).await.unwrap());
        assert!(!unbounded.are_scarce());
    }
}

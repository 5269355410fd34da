//! The places of `admission.handshakes_max`: how many sockets that are no WebSockets are served at a time.
//!
//! Owns counting them, and saying when few are left. Must never refuse anybody: who has no place waits in the kernel.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::metrics::{Metrics, Queued};

/// Few are left when no more than one of so many is free.
const FEW: usize = 4;

/// How long newcomers wait for a place before the node says so: longer than a burst of handshakes takes.
const MOMENT: Duration = Duration::from_secs(1);

/// All places.
pub(crate) struct Places {
    /// How many there are; 0: no limit.
    max: AtomicUsize,
    /// Sockets that have one; more than there are for a while when there have become fewer.
    taken: AtomicUsize,
    /// Told when there may be a free one again.
    freed: Notify,
    /// Few are left: HTTP connections are not kept for a next request.
    scarce: watch::Sender<bool>,
    /// Since when newcomers wait because every place is taken.
    waiting_since: Mutex<Option<Instant>>,
}

impl Places {
    /// So many; 0: no limit.
    pub(crate) fn new(max: u64) -> Arc<Self> {
        Arc::new(Self {
            max: AtomicUsize::new(usize::try_from(max).unwrap_or(usize::MAX)),
            taken: AtomicUsize::new(0),
            freed: Notify::new(),
            scarce: watch::Sender::new(false),
            waiting_since: Mutex::default(),
        })
    }

    /// So many from now on; 0: no limit. Who has a place keeps it.
    pub(crate) fn change(&self, max: u64) {
        self.max.store(usize::try_from(max).unwrap_or(usize::MAX), Ordering::Release);
        self.freed.notify_one();
        self.tell_scarce();
    }

    /// Waits until a place is free for the next socket. There is one task that accepts, so that nobody else takes it.
    pub(crate) async fn reserve(&self, metrics: &Metrics) {
        if self.is_free() {
            return;
        }
        metrics.queued(Queued::Handshakes);
        *self.waiting_since.lock() = Some(Instant::now());
        while !self.is_free() {
            // A place that came free since then has left its word with the channel.
            self.freed.notified().await;
        }
        *self.waiting_since.lock() = None;
    }

    fn is_free(&self) -> bool {
        let max = self.max.load(Ordering::Acquire);
        max == 0 || self.taken.load(Ordering::Acquire) < max
    }

    /// Takes the place that was reserved for a socket that has come.
    pub(crate) fn take(self: &Arc<Self>) -> Place {
        self.taken.fetch_add(1, Ordering::AcqRel);
        self.tell_scarce();
        Place(Arc::clone(self))
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
            let max = self.max.load(Ordering::Acquire);
            let free = max.saturating_sub(self.taken.load(Ordering::Acquire));
            let now = max != 0 && free <= max / FEW;
            std::mem::replace(scarce, now) != now
        });
    }
}

/// A place, until dropped.
pub(crate) struct Place(Arc<Places>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::AcqRel);
        self.0.freed.notify_one();
        self.0.tell_scarce();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn few_are_left_from_three_quarters_on_and_no_longer() {
        let metrics = Metrics::register(&prometheus::Registry::new()).unwrap();
        let places = Places::new(4);
        let mut taken = Vec::new();
        for scarce in [false, false, true, true] {
            places.reserve(&metrics).await;
            taken.push(places.take());
            assert_eq!(places.are_scarce(), scarce, "{}", taken.len());
        }
        places.scarce().await;
        taken.truncate(2);
        assert!(!places.are_scarce());
        let unbounded = Places::new(0);
        unbounded.reserve(&metrics).await;
        let _one = unbounded.take();
        assert!(!unbounded.are_scarce());
    }

    #[tokio::test]
    async fn with_fewer_places_newcomers_wait_for_those_who_have_one_and_with_more_they_do_not() {
        let metrics = Metrics::register(&prometheus::Registry::new()).unwrap();
        let places = Places::new(3);
        let mut taken: Vec<_> = (0..3).map(|_| places.take()).collect();
        places.change(2);
        taken.pop();
        assert!(places.reserve(&metrics).now_or_never().is_none(), "two are in, and two is all there are");
        taken.pop();
        places.reserve(&metrics).now_or_never().expect("one has gone");
        taken.push(places.take());
        let mut waiting = std::pin::pin!(places.reserve(&metrics));
        assert!(waiting.as_mut().now_or_never().is_none());
        places.change(3);
        waiting.await;
    }
}

//! The span of one event's delivery on this node: from the hub to the last lane, with the number of sockets.
//!
//! One for each event that belongs to a recorded trace, never one for each socket. Must never be waited for.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use hubbub_protocol::RoomEvent;
use hubbub_trace::{Kind, Span};
use parking_lot::Mutex;

/// A delivery that is recorded.
pub(super) struct DeliverySpan {
    span: Mutex<Span>,
    /// Lanes that have still to push it, and whoever hands it to them.
    open: AtomicUsize,
    sockets: AtomicU64,
}

impl DeliverySpan {
    /// Begins when the event can be delivered; none unless it belongs to a recorded trace.
    pub(super) fn begin(event: &RoomEvent) -> Option<Box<Self>> {
        let mut span = hubbub_trace::child_of(event.trace.as_deref()?, "hub.deliver", Kind::Consumer);
        if !span.is_recorded() {
            return None;
        }
        span.set("hubbub.room", event.room);
        span.set("hubbub.seq", event.seq);
        Some(Box::new(Self { span: Mutex::new(span), open: AtomicUsize::new(0), sockets: AtomicU64::new(0) }))
    }

    /// So many will say [`DeliverySpan::done`].
    pub(super) fn expect(&self, count: usize) {
        self.open.fetch_add(count, Ordering::AcqRel);
    }

    /// One of them has pushed it to so many sockets; the last one ends the span.
    pub(super) fn done(&self, sockets: usize) {
        self.sockets.fetch_add(sockets as u64, Ordering::AcqRel);
        if self.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            let mut span = std::mem::take(&mut *self.span.lock());
            span.set("hubbub.sockets", self.sockets.load(Ordering::Acquire));
        }
    }
}

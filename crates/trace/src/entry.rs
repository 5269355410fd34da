//! The span of something that came from outside: a command, a request, a handshake.
//!
//! Owns the rule by which it is recorded: a client that records its trace is followed, of the others one in so many is
//! recorded, and what was slow or failed by a fault of ours is recorded afterwards. Must never be begun by what this
//! process does of itself.

use std::time::{Instant, SystemTime};

use hubbub_protocol::TraceContext;

use crate::current;
use crate::span::{Kind, Span};
use crate::tracer::{Tracer, tracer};

/// Something that came from outside, until it is answered.
pub struct Entry {
    name: &'static str,
    span: Span,
    given: Option<TraceContext>,
    started: Instant,
}

impl Entry {
    /// Begins; `started` is when it came. What the present task does from here on belongs under it (see
    /// [`crate::within`], where the trace that the client has named stands).
    #[must_use]
    pub fn begin(name: &'static str, started: Instant) -> Self {
        let mut entry = Self { name, span: Span::none(), given: None, started };
        let Some(tracer) = tracer() else { return entry };
        entry.given = current::current();
        let wanted = match entry.given {
            Some(given) => given.is_sampled(),
            None => tracer.chance(),
        };
        match entry.given {
            _ if wanted && tracer.admit() => {
                let context = entry.given.map_or_else(|| TraceContext::new_root(true), |given| given.next_span(true));
                entry.span = Span::open(tracer, context, entry.given, name, Kind::Server);
                current::set(context);
            }
            // Whoever asked for more than the bound gives is not followed any further.
            Some(given) if given.is_sampled() => current::set(given.next_span(false)),
            _ => {}
        }
        entry
    }

    /// The span, which may be none.
    pub fn span(&mut self) -> &mut Span {
        &mut self.span
    }

    /// Ends: `failed` says why, when it was by a fault of ours. What is recorded is described by `describe`, which is not called
    /// otherwise.
    pub fn end(mut self, failed: Option<&'static str>, describe: impl FnOnce(&mut Span)) {
        if !self.span.is_recorded() {
            match tracer() {
                Some(tracer) if self.is_worth_it(tracer, failed) && tracer.admit_late() => {
                    self.span = self.open_late(tracer, failed);
                }
                _ => return,
            }
        }
        describe(&mut self.span);
        if let Some(why) = failed {
            self.span.fail(why);
        }
    }

    fn is_worth_it(&self, tracer: &Tracer, failed: Option<&'static str>) -> bool {
        let slow = tracer.sampling.slow;
        failed.is_some() || (!slow.is_zero() && self.started.elapsed() >= slow)
    }

    /// The one span of a trace that was not recorded from the start. Its trace is the one that the error and the log named.
    fn open_late(&self, tracer: &'static Tracer, failed: Option<&'static str>) -> Span {
        let now = SystemTime::now();
        let started = now.checked_sub(self.started.elapsed()).unwrap_or(now);
        let context = match self.given {
            Some(given) => given,
            None => current::ensure(),
        };
        let mut span = Span::open(tracer, context.next_span(true), self.given, self.name, Kind::Server).began(started);
        span.set("hubbub.recorded_for", if failed.is_some() { "failure" } else { "slowness" });
        span
    }
}

//! A span: something that took time, where it stands in its trace, and what is worth knowing of it.
//!
//! A span that is not recorded is one null pointer. Must never hold what a client wrote: attributes are ids, counts and
//! fixed words.

use std::net::IpAddr;
use std::time::SystemTime;

use hubbub_protocol::{MessageId, RoomId, SessionId, TraceContext, UserId};

use crate::current;
use crate::tracer::{Tracer, tracer};

/// Most attributes of a span; a mistake in a loop costs no memory.
const ATTRIBUTES_MAX: usize = 16;

/// What a span is to those beside it, as OpenTelemetry names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A part of something in this process.
    Internal,
    /// Answers somebody outside.
    Server,
    /// Sends something that others take when they do.
    Producer,
    /// Takes what a producer has sent.
    Consumer,
}

/// An attribute's value.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// A count, a number, a size.
    Number(u64),
    /// One of a few words.
    Word(&'static str),
    /// An id.
    Id(String),
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Self::Number(number as u64)
    }
}

impl From<&'static str> for Value {
    fn from(word: &'static str) -> Self {
        Self::Word(word)
    }
}

macro_rules! ids {
    ($($id:ty),*) => { $(impl From<$id> for Value {
        fn from(id: $id) -> Self {
            Self::Id(id.to_string())
        }
    })* };
}
ids!(RoomId, UserId, MessageId, SessionId, IpAddr);

/// A span on its way out: one pointer wherever it waits.
pub(crate) type Boxed = Box<Open>;

/// Something that takes time. It ends, and is queued for export, when it is dropped.
#[derive(Default)]
#[must_use]
pub struct Span(Option<Boxed>);

/// A span that is recorded.
pub(crate) struct Open {
    tracer: &'static Tracer,
    pub(crate) context: TraceContext,
    /// The id of the span above it, here or elsewhere.
    pub(crate) parent: Option<u64>,
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) started: SystemTime,
    pub(crate) ended: SystemTime,
    pub(crate) attributes: Vec<(&'static str, Value)>,
    /// Why it failed, in one fixed word, by a fault of ours.
    pub(crate) failed: Option<&'static str>,
}

impl Span {
    /// One that is not recorded.
    pub const fn none() -> Self {
        Self(None)
    }

    pub(crate) fn open(
        tracer: &'static Tracer,
        context: TraceContext,
        parent: Option<TraceContext>,
        name: &'static str,
        kind: Kind,
    ) -> Self {
        let parent = parent.map(TraceContext::span);
        let (started, attributes) = (SystemTime::now(), Vec::new());
        let open = Open { tracer, context, parent, name, kind, started, ended: started, attributes, failed: None };
        Self(Some(Box::new(open)))
    }

    /// Whether it is recorded.
    #[must_use]
    pub const fn is_recorded(&self) -> bool {
        self.0.is_some()
    }

    /// Where it stands, for whoever continues the trace; none when it is not recorded.
    #[must_use]
    pub fn context(&self) -> Option<TraceContext> {
        self.0.as_ref().map(|open| open.context)
    }

    /// A part of it; not recorded when this one is not.
    pub fn child(&self, name: &'static str, kind: Kind) -> Self {
        self.context().map_or_else(Self::none, |parent| child_of(&parent, name, kind))
    }

    /// Notes something. Nothing is computed when the span is not recorded.
    pub fn set<V: Into<Value>>(&mut self, key: &'static str, value: V) {
        if let Some(open) = &mut self.0
            && open.attributes.len() < ATTRIBUTES_MAX
        {
            open.attributes.push((key, value.into()));
        }
    }

    /// Notes that it failed by a fault of ours, and which, in one fixed word.
    pub fn fail(&mut self, why: &'static str) {
        if let Some(open) = &mut self.0 {
            open.failed = Some(why);
        }
    }

    pub(crate) fn began(mut self, started: SystemTime) -> Self {
        if let Some(open) = &mut self.0 {
            open.started = started;
        }
        self
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let Some(mut open) = self.0.take() {
            // The clock of the system may have been set back meanwhile.
            open.ended = SystemTime::now().max(open.started);
            open.tracer.take(open);
        }
    }
}

impl std::fmt::Debug for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let open = self.0.as_ref().map(|open| (open.name, open.context));
        f.debug_tuple("Span").field(&open).finish()
    }
}

/// A part of what the present task works on (see [`crate::within`]); not recorded when that is not.
pub fn child(name: &'static str, kind: Kind) -> Span {
    current::recorded().map_or_else(Span::none, |parent| child_of(&parent, name, kind))
}

/// What follows from a recorded span, of this process in whatever task, or of another node, which has kept to its own bound.
pub fn child_of(parent: &TraceContext, name: &'static str, kind: Kind) -> Span {
    match tracer() {
        Some(tracer) if parent.is_sampled() => Span::open(tracer, parent.next_span(true), Some(*parent), name, kind),
        _ => Span::none(),
    }
}

/// A part of what the present task works on that goes on in a task of its own. It takes a place in the bound for each second,
/// since one command may begin many.
pub fn task(name: &'static str) -> Span {
    let admitted = current::recorded().filter(|_| tracer().is_some_and(Tracer::admit));
    admitted.map_or_else(Span::none, |parent| child_of(&parent, name, Kind::Internal))
}

/// Work that nobody asked for and that is rare and worth knowing: recorded within the bound for each second.
pub fn root(name: &'static str) -> Span {
    match tracer() {
        Some(tracer) if tracer.admit() => Span::open(tracer, TraceContext::new_root(true), None, name, Kind::Internal),
        _ => Span::none(),
    }
}

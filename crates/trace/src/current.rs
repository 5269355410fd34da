//! The trace of the command that the present task works on.
//!
//! A command is handled by one task from its first line to its answer, so the trace stands beside the task and not in
//! every argument. Must never reach into another task: whoever spawns one passes a span on.

use std::cell::Cell;

use hubbub_protocol::{TraceContext, TraceId};

tokio::task_local! {
    static CURRENT: Cell<Option<TraceContext>>;
}

/// Does `work`, which belongs to the trace that a client has named, if it has.
pub async fn within<F: Future>(given: Option<TraceContext>, work: F) -> F::Output {
    CURRENT.scope(Cell::new(given), work).await
}

/// Where the present work stands in a trace; none where it belongs to none (yet).
#[must_use]
pub fn current() -> Option<TraceContext> {
    CURRENT.try_with(Cell::get).ok().flatten()
}

/// As [`current`], if it is recorded.
#[must_use]
pub fn recorded() -> Option<TraceContext> {
    current().filter(|context| context.is_sampled())
}

/// The id of the trace that the present work belongs to, for an error or a line of the log. Where there is none, one is made,
/// and everything that the same command still says has the same.
#[must_use]
pub fn id() -> TraceId {
    ensure().id()
}

pub(crate) fn ensure() -> TraceContext {
    current().unwrap_or_else(|| {
        let made = TraceContext::new_root(false);
        set(made);
        made
    })
}

/// What is done from here on belongs under this span.
pub(crate) fn set(context: TraceContext) {
    // Outside of a command there is nobody to remember it for.
    CURRENT.try_with(|current| current.set(Some(context))).ok();
}

//! From faults of the store to refusals.
//!
//! The one place where internal text goes to the log, once, under the trace id that the client is given:
//! that of the command's trace.
//! Must never let that text reach a client.

use hubbub_protocol::{ErrorCode, Refusal};
use hubbub_store::{AppendError, StoreError};

/// How long a client waits before it tries again after an outage, in milliseconds; clients add their own jitter.
const RETRY_AFTER_MS: u64 = 1_000;

/// A refusal for a fault of the store.
pub fn from_store(error: StoreError) -> Refusal {
    let trace = hubbub_trace::id();
    if error.retryable() {
        // One line for each refused request would flood the log in an outage; the breaker logs the outage itself.
        tracing::debug!(%trace, error = %error, "the store is unavailable");
        return Refusal::new(ErrorCode::Unavailable).retry_after(RETRY_AFTER_MS).traced(trace);
    }
    // The form for debugging of a driver's error quotes the row that was refused, and with it the body; its text does not.
    tracing::error!(%trace, error = ?error, "the store failed");
    Refusal::new(ErrorCode::Internal).traced(trace)
}

/// A refusal for an append that was not done. What a stranger may learn is decided by the caller.
pub(crate) fn from_append(error: AppendError) -> Refusal {
    match error {
        AppendError::NotAMember => ErrorCode::NotAMember.into(),
        AppendError::Forbidden => ErrorCode::Forbidden.into(),
        AppendError::RoomNotFound => ErrorCode::RoomNotFound.into(),
        AppendError::Conflict(what) => Refusal::new(ErrorCode::Conflict).because(what),
        AppendError::Store(error) => from_store(error),
    }
}

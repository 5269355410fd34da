//! What was lost: every message carries who sent it and when, every connection notes what it heard, and at the end the
//! two are compared.
//!
//! Must never guess: what cannot be known (a send that nobody answered) is neither expected nor forbidden.

mod heard;
mod sent;
mod stamp;
mod verdict;

pub use heard::{Hearing, Listener};
pub use sent::{Fate, SentLane, SentLog};
pub use stamp::{STAMP_BYTES, Stamp, StampFinder};
pub use verdict::{Example, Fault, RoomProof, UnpackedLane, Verdict, is_complete};

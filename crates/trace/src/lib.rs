//! Hubbub's traces: which commands are recorded, their spans, and the way to an OTLP receiver.
//!
//! Owns sampling and the one `Tracer` of the process. Without one every function here does next to nothing, and
//! [`Span`]s are empty. Must never hold a body, a token or a password, and never make anybody wait for a receiver.

#![cfg_attr(not(feature = "otlp"), allow(dead_code, reason = "without a way out nothing reads what is recorded"))]

mod current;
mod entry;
#[cfg(feature = "otlp")]
mod export;
mod metrics;
#[cfg(feature = "otlp")]
mod otlp;
mod span;
mod tracer;

pub use current::{current, id, recorded, within};
pub use entry::Entry;
#[cfg(feature = "otlp")]
pub use export::{Export, ExportConfig, ExportError, HeaderFault, read_headers};
pub use metrics::{METRICS, Metrics};
pub use span::{Kind, Span, Value, child, child_of, root, task};
pub use tracer::{Sampling, is_on};

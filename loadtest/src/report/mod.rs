//! What people are told: while it runs, after it, and side by side.
//!
//! Must never measure anything itself: everything comes from a [`Report`].

mod model;

pub use model::{Machine, Observed, Report, Sample, Validity};

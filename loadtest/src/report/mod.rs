//! What people are told: while it runs, after it, and side by side.
//!
//! Must never measure anything itself: everything comes from a [`Report`].

mod charts;
mod compare;
mod figures;
mod html;
pub mod live;
mod model;
mod page;
pub mod plot;
#[cfg(test)]
mod sample;
mod sections;
mod summary;
pub mod units;

pub use compare::{compare_html, compare_table};
pub use html::html;
pub use model::{Machine, Observed, Report, Sample, Validity};
pub use summary::{summary, summary_coloured};

//! `hubbub-load`: an open-loop load generator for WebSocket clusters that proves what was lost.
//!
//! The way through it: a [`scenario::Scenario`] says what people do, a [`layout::Layout`] says who sits in which room,
//! [`control`] hands the parts to workers in this process, in others and on other machines, an [`engine`] worker
//! drives its sockets through a [`peer`], [`proof`] compares what was acked with what was heard, [`stats`] counts and
//! times, [`report`] tells people. Dependencies run in that order: nothing on the right is known on the left.

pub mod assertion;
pub mod bare;
pub mod clock;
pub mod control;
pub mod engine;
pub mod export;
pub mod layout;
pub mod peer;
pub mod plan;
pub mod proof;
pub mod report;
pub mod scenario;
pub mod stats;
pub mod target;
pub mod watch;

//! How the parts of a run are handed out and brought together again: to threads, to processes, to machines.
//!
//! Owns the words between the coordinator and a worker. Must never touch a socket of the load itself.

mod message;

pub use message::{Answer, Order, Outcome, Phase, Share, Task};

//! How the parts of a run are handed out and brought together again: to threads, to processes, to machines.
//!
//! Owns the words between the coordinator and a worker. Must never touch a socket of the load itself.

pub mod agent;
mod crew;
mod gather;
mod line;
mod link;
mod message;
mod outcome;
mod run;
mod secret;
mod validity;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;

pub use crew::{CrewPlan, Hand, StartWorker, threads};
pub use link::serve_child;
pub use message::{Answer, Order, Outcome, Phase, Share, Task};
pub use run::{Finished, RunPlan, Watcher, run};
pub use secret::Secret;

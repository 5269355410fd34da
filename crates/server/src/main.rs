//! The `hubbub` binary: configuration, wiring, commands, signals, drain.
//!
//! Owns how a node starts and ends. Must never hold a rule of chat.

mod cli;
mod complaints;
mod config;
mod failure;
mod log;
mod metrics;
mod serve;
mod signing;

use std::process::ExitCode;

#[cfg(feature = "mutations")]
use hubbub_protocol::mutation::{self, Mutation};

/// jemalloc, because the sizes of frames and connections vary all the time and glibc's allocator keeps what
/// fragments. Without its background threads: freed pages go back to the system when the same arena is used
/// the next time, which a running node does all the time, and a node that is idle needs no thread that wakes up
/// for them; four threads per process would also be counted against it in the smallest containers.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    #[cfg(feature = "mutations")]
    if let Some(mutation) = std::env::var("HUBBUB_MUTATION").ok().and_then(|name| Mutation::named(&name)) {
        mutation::choose(mutation);
    }
    cli::run()
}

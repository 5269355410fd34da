//! Moving, backing up, restoring and checking whole databases, on both engines and between them.
//!
//! Must never look at how it is done: databases are filled, copied and opened as anybody would.

// The other suite does more with these.
#[allow(dead_code)]
#[path = "../conformance/fixture.rs"]
mod fixture;
#[allow(dead_code)]
#[path = "../support/postgres.rs"]
mod postgres;

mod backups;
mod checks;
mod files;
mod filled;
mod moves;
mod newer;
mod refusals;

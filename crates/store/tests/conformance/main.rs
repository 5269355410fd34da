//! What both engines promise: every case runs on SQLite and on PostgreSQL.
//!
//! Must never ask which engine it is, but for what only one of them can suffer.

mod directory;
mod fixture;
mod log;
mod lost_commit;
mod model;
mod opening;
mod outage;
mod pages;
#[path = "../support/postgres.rs"]
mod postgres;
mod rooms;
mod sharing;

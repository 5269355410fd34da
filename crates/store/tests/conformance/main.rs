//! What both engines promise: every case runs on SQLite, on PostgreSQL and on PostgreSQL behind a pooler.
//!
//! Must never ask which engine it is, but for what only one of them can suffer.

mod directory;
mod every;
mod failover;
mod fixture;
mod log;
mod lost_commit;
mod model;
mod older;
mod opening;
mod outage;
mod pages;
#[path = "../support/pgbouncer.rs"]
mod pgbouncer;
mod pooling;
#[path = "../support/postgres.rs"]
mod postgres;
mod replica;
mod rooms;
mod sharing;
mod tls;

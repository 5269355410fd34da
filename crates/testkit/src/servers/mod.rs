//! The programs of a cluster: Redis, PostgreSQL, PgBouncer, HAProxy and the nodes; Prometheus beside it.
//!
//! Owns how each is started, probed, stopped and started again. Must never use a server of the machine.

pub mod haproxy;
pub mod node;
pub mod pgbouncer;
pub mod postgres;
pub mod prometheus;
pub mod redis;
pub mod redis_forms;

use std::time::Duration;

pub use haproxy::Haproxy;
pub use node::Node;
pub use pgbouncer::Pgbouncer;
pub use postgres::Postgres;
pub use prometheus::Prometheus;
pub use redis::Redis;

/// How long a program may take to start: seconds on a busy machine, and then some.
pub const START_LIMIT: Duration = Duration::from_secs(90);

/// How long a program may take to stop when it was asked to.
pub const STOP_LIMIT: Duration = Duration::from_secs(30);

/// Whether we may start programs as other users.
fn is_root() -> bool {
    #[expect(unsafe_code, reason = "std does not tell the user")]
    // SAFETY: geteuid takes nothing and cannot fail.
    unsafe {
        libc::geteuid() == 0
    }
}

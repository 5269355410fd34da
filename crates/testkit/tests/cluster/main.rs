//! Three real processes with real Redis, PostgreSQL and HAProxy, and clients on different nodes.

mod caller;
mod dependencies;
mod drain;
mod limits;
mod membership;
mod messages;
mod moving;
mod nothing_written;
mod oddities;
mod otlp;
mod rebalance;
mod traces;

//! Whether something stands between the store and its server that lends out the server's connections.
//!
//! Must never connect to anything.

/// What stands before the PostgreSQL server.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Pooler {
    /// Nothing, or a pooler in session mode: a connection stays the store's own for as long as it is open.
    #[default]
    None,
    /// A pooler in transaction mode, such as PgBouncer: each transaction may meet another connection of the server.
    /// The pooler has to set those connections (`docs/postgresql.md`); one that is not set is refused.
    Transaction,
}

//! A node as the others see it.
//!
//! Must never be trusted for more than a lease: a node listed here may have died a moment ago.

/// A node whose lease has not run out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeLease {
    /// The random id of this run of the node.
    pub instance: String,
    /// Its name, for people; not unique.
    pub name: String,
    /// How many sessions are listed under it.
    pub sessions: u64,
}

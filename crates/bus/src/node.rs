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
    /// It has begun to stop: it takes nobody, and its clients are about to come to the others.
    pub draining: bool,
}

/// Stands on a line of its own behind the name in the lease of a node that drains. A build that knows no marks takes it
/// for a part of the name, which it shows and never compares.
const DRAINING: &str = "draining";

/// What a lease holds: the name, then a mark a line.
pub(crate) fn write_lease(name: &str, draining: bool) -> String {
    if draining { format!("{name}\n{DRAINING}") } else { name.to_owned() }
}

/// The name and whether the node drains; marks of later builds are skipped.
pub(crate) fn read_lease(text: &str) -> (&str, bool) {
    let mut lines = text.split('\n');
    (lines.next().unwrap_or_default(), lines.any(|mark| mark == DRAINING))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_has_a_name_and_perhaps_marks() {
        for draining in [false, true] {
            assert_eq!(read_lease(&write_lease("eu-1", draining)), ("eu-1", draining));
        }
        assert_eq!(write_lease("eu-1", false), "eu-1", "what older builds write and read");
        assert_eq!(read_lease("eu-1\nresting\ndraining"), ("eu-1", true));
        assert_eq!(read_lease("draining"), ("draining", false), "a node may have that name");
    }
}

//! Which fault comes when: random, but the same for the same seed.
//!
//! Must never touch a cluster.

use std::str::FromStr;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

macro_rules! kinds {
    ($($variant:ident = $name:literal, $lasts:expr, $pause:expr, $doc:literal;)*) => {
        /// What can go wrong.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum FaultKind {
            $(#[doc = $doc] $variant,)*
        }

        impl FaultKind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The name on the command line.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// How long it lasts, in milliseconds.
            const fn lasts(self) -> std::ops::RangeInclusive<u64> {
                match self { $(Self::$variant => $lasts,)* }
            }

            /// The quiet time behind it, in milliseconds.
            const fn pause(self) -> std::ops::RangeInclusive<u64> {
                match self { $(Self::$variant => $pause,)* }
            }
        }
    };
}

kinds! {
    KillNode = "kill-node", 500..=5_000, 3_000..=8_000, "`kill -9` a node; it is started again.";
    TerminateNode = "term-node", 4_000..=8_000, 3_000..=8_000, "SIGTERM to a node; it drains and is started again.";
    KillRedis = "kill-redis", 10_000..=10_000, 4_000..=8_000, "`kill -9` Redis; it comes back empty.";
    DropBus = "drop-bus", 5_000..=15_000, 1_000..=5_000, "Single bus messages are lost: 1 %, now and then 20 %.";
    CutRedis = "cut-redis", 1_000..=8_000, 2_000..=8_000, "A node cannot reach Redis: resets.";
    CutPostgres = "cut-postgres", 1_000..=8_000, 2_000..=8_000, "A node cannot reach PostgreSQL: resets.";
    RestartPostgres = "restart-postgres", 500..=4_000, 5_000..=10_000, "PostgreSQL is stopped, fast or at once, and started.";
    FreezeNode = "freeze-node", 10_000..=10_000, 3_000..=8_000, "SIGSTOP to a node, then SIGCONT.";
    FreezeRedis = "freeze-redis", 2_000..=9_000, 3_000..=8_000, "A node's packets to or from Redis vanish.";
    FreezePostgres = "freeze-postgres", 2_000..=9_000, 3_000..=8_000, "A node's packets to or from PostgreSQL vanish.";
    SlowLinks = "slow", 4_000..=10_000, 1_000..=5_000, "A node's links to Redis and PostgreSQL are slow and uneven.";
    Jump = "jump", 0..=0, 500..=3_000, "Clients leave a node for another, some by a reset of its connections.";
}

impl FromStr for FaultKind {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let names = || Self::ALL.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ");
        Self::ALL.iter().copied().find(|kind| kind.name() == text).ok_or_else(|| format!("expected one of {}", names()))
    }
}

/// One fault to come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Planned {
    /// From the start of the run.
    pub begins: Duration,
    /// From the start of the run.
    pub ends: Duration,
    /// What.
    pub kind: FaultKind,
    /// To which node, where it concerns one.
    pub node: usize,
    /// Decides between variants of the fault.
    pub chance: u64,
}

/// Two lanes of faults that overlap as they may, and a third one of jumps. All end before `length`.
#[must_use]
pub fn random(seed: u64, length: Duration, nodes: usize, kinds: &[FaultKind]) -> Vec<Planned> {
    let heavy: Vec<FaultKind> = kinds.iter().copied().filter(|kind| *kind != FaultKind::Jump).collect();
    let jumps: Vec<FaultKind> = kinds.iter().copied().filter(|kind| *kind == FaultKind::Jump).collect();
    let mut planned = Vec::new();
    for (lane, kinds) in [&heavy, &heavy, &jumps].into_iter().enumerate() {
        planned.extend(one_lane(seed.wrapping_mul(31).wrapping_add(lane as u64), length, nodes, kinds));
    }
    planned.sort_by_key(|planned| planned.begins);
    planned
}

fn one_lane(seed: u64, length: Duration, nodes: usize, kinds: &[FaultKind]) -> Vec<Planned> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut planned = Vec::new();
    // Every kind comes once before any comes again, so that a short run sees most of them.
    let mut deck: Vec<FaultKind> = Vec::new();
    let mut at = Duration::from_millis(rng.random_range(500..4_000));
    while !kinds.is_empty() {
        if deck.is_empty() {
            deck = kinds.to_vec();
        }
        let kind = deck.swap_remove(rng.random_range(0..deck.len()));
        let ends = at + Duration::from_millis(rng.random_range(kind.lasts()));
        if at >= length {
            break;
        }
        let fault = Planned { begins: at, ends, kind, node: rng.random_range(0..nodes), chance: rng.random() };
        if ends <= length {
            planned.push(fault);
            at = ends + Duration::from_millis(rng.random_range(kind.pause()));
        } else {
            at += Duration::from_secs(1);
        }
    }
    planned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_schedule() {
        let length = Duration::from_secs(300);
        let one = random(7, length, 3, FaultKind::ALL);
        assert_eq!(one, random(7, length, 3, FaultKind::ALL));
        assert_ne!(one, random(8, length, 3, FaultKind::ALL));
        assert!(one.iter().all(|fault| fault.ends <= length && fault.node < 3));
        for kind in FaultKind::ALL {
            assert!(one.iter().any(|fault| fault.kind == *kind), "{} never comes", kind.name());
        }
    }

    #[test]
    fn without_faults_nothing_is_planned() {
        assert_eq!(random(7, Duration::from_secs(300), 3, &[]), []);
    }
}

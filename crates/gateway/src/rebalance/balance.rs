//! How many clients a node gives away: counts in, a number out.
//!
//! A pure state machine over looks at the cluster, [`LOOK_EVERY`] apart. It begins only well above the share and stops at
//! it, so that nodes never pass clients back and forth; it begins with a trial, and goes on only while that lowers the own
//! count. Must never count on a lease alone: a node that has one may be starting, ending or dead.

use std::collections::HashMap;
use std::time::Duration;

/// Between two looks: clients that were closed at one are back, here or elsewhere, at the next but one.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(2);

/// A node keeps so much more than its share: a part of it in hundredths, and so many sessions.
const ABOVE_PERCENT: u64 = 5;
const ABOVE_SESSIONS: u64 = 10;

/// And so many times the deviation that a balancer has which sends everybody to any node: what chance has made, chance
/// would make again.
const ABOVE_DEVIATIONS: u64 = 3;

/// Looks without an act after the list of nodes has changed: who has lost a node is on the way.
const SETTLE_LOOKS: u32 = 3;

/// The same after the own count has jumped, since the others' clients have come here. Longer than a lease: the one who is
/// gone may be listed so long.
const STORM_LOOKS: u32 = 6;

/// A count that has changed by more than this part and so many sessions has jumped (since the last look) or fallen.
const MOVED_PART: u64 = 50;
const JUMPED_SESSIONS: u64 = 10;
const FELL_SESSIONS: u64 = 2;

/// So many are closed to find out whether it helps.
const TRIAL: u64 = 10;

/// A round closes at twice as many looks as the one before that has helped, up to this many.
const ROUND_LOOKS_MAX: u32 = 16;

/// It helps when at least this part of those who were closed has not come back. Where each new connection goes to any
/// node, and one node in twenty is new, as many as this stay away.
const STAYED_PART: u64 = 20;

/// Looks without an act after a trial in vain: doubled each time from the first to the last, half an hour.
const IN_VAIN_LOOKS: u32 = 8;
const IN_VAIN_LOOKS_MAX: u32 = 900;

/// What is worth a line in the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Say {
    /// The trial has helped: clients are given away from now on.
    Begins { own: u64, share: u64 },
    /// No more.
    Even { own: u64, share: u64 },
    /// They come back; said once until it helps again.
    InVain { closed: u64 },
}

/// Another node, as its lease tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Other {
    pub instance: String,
    pub sessions: u64,
    pub draining: bool,
}

/// What follows from a look.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Verdict {
    /// How many to close until the next look.
    pub close: u64,
    /// And how many in a second: this node's part of the whole cluster's pace.
    pub per_second: u64,
    pub say: Option<Say>,
}

/// What was seen of another node.
struct Seen {
    sessions: u64,
    /// The count when it last rose.
    peak: u64,
}

impl Seen {
    /// Whether its count has fallen and not risen since, for long enough to tell: it may be about to stop.
    fn is_falling(&self) -> bool {
        self.peak - self.sessions > self.peak / MOVED_PART + FELL_SESSIONS
    }
}

/// Clients are being given away.
struct Giving {
    /// Sessions when it began.
    from: u64,
    /// Closed since.
    closed: u64,
    /// How many looks the present round closes at; 0 in the trial.
    round: u32,
    /// How many of them are to come.
    left: u32,
    /// The look after the round has passed: whoever was closed in it is back, here or elsewhere.
    is_settled: bool,
}

/// What one node remembers from look to look.
pub(super) struct Balance {
    others: HashMap<String, Seen>,
    own: Option<u64>,
    /// Looks to let pass, whatever they show.
    settle: u32,
    /// Looks to let pass because giving was in vain.
    patience: u32,
    in_vain: u32,
    giving: Option<Giving>,
}

impl Balance {
    /// Of a node that has just started.
    pub(super) fn new() -> Self {
        let (settle, patience, in_vain) = (SETTLE_LOOKS, 0, 0);
        Self { others: HashMap::new(), own: None, settle, patience, in_vain, giving: None }
    }

    /// The others cannot be seen: whatever was known of them is old.
    pub(super) fn lost_sight(&mut self) {
        (self.giving, self.own, self.settle) = (None, None, SETTLE_LOOKS);
    }

    /// So many were closed since the last look.
    pub(super) fn closed(&mut self, count: u64) {
        if let Some(giving) = &mut self.giving {
            giving.closed += count;
        }
    }

    /// Looks at the sessions of this node and of each other one that has a lease. All nodes that give clients away close at
    /// most `closes_per_second` together.
    pub(super) fn look(&mut self, own: u64, others: &[Other], closes_per_second: u64) -> Verdict {
        self.see(own, others);
        if self.settle > 0 {
            self.settle -= 1;
            self.giving = None;
            return Verdict::default();
        }
        let share = self.share(own);
        // Whoever has more than the share gives or may begin to: the pace is divided among all of them.
        let givers = 1 + self.others.values().filter(|seen| seen.sessions > share).count() as u64;
        let per_second = (closes_per_second / givers).max(1);
        let verdict = match self.giving.take() {
            Some(giving) => self.go_on(giving, own, share),
            None => self.begin(own, share),
        };
        Verdict { per_second, close: verdict.close.min(per_second.saturating_mul(LOOK_EVERY.as_secs())), ..verdict }
    }

    fn begin(&mut self, own: u64, share: u64) -> Verdict {
        if own <= keeps(share) {
            (self.patience, self.in_vain) = (0, 0);
            return Verdict::default();
        }
        if self.patience > 0 {
            self.patience -= 1;
            return Verdict::default();
        }
        // The trial is over at once, and everybody who comes back is back at the next look.
        self.giving = Some(Giving { from: own, closed: 0, round: 0, left: 0, is_settled: true });
        Verdict { close: TRIAL.min(own - share), ..Verdict::default() }
    }

    fn go_on(&mut self, mut giving: Giving, own: u64, share: u64) -> Verdict {
        let mut say = None;
        if giving.left > 0 {
            giving.left -= 1;
        } else if !giving.is_settled {
            giving.is_settled = true;
            self.giving = Some(giving);
            return Verdict::default();
        } else {
            let stayed_away = giving.from.saturating_sub(own);
            if stayed_away < (giving.closed / STAYED_PART).max(1) {
                return self.give_up(giving.closed);
            }
            say = (giving.round == 0).then_some(Say::Begins { own, share });
            giving.round = (giving.round * 2).clamp(1, ROUND_LOOKS_MAX);
            (giving.left, giving.is_settled) = (giving.round - 1, false);
        }
        if own <= share {
            (self.patience, self.in_vain) = (0, 0);
            return Verdict { say: Some(Say::Even { own, share }), ..Verdict::default() };
        }
        self.giving = Some(giving);
        Verdict { close: own - share, say, ..Verdict::default() }
    }

    fn give_up(&mut self, closed: u64) -> Verdict {
        self.patience = IN_VAIN_LOOKS.saturating_mul(1 << self.in_vain.min(16)).min(IN_VAIN_LOOKS_MAX);
        self.in_vain += 1;
        Verdict { say: (self.in_vain == 1).then_some(Say::InVain { closed }), ..Verdict::default() }
    }

    /// Notes how the cluster has changed since the last look.
    fn see(&mut self, own: u64, others: &[Other]) {
        let known = self.others.len();
        self.others.retain(|name, _| others.iter().any(|other| other.instance == *name));
        let mut changed = self.others.len() != known;
        for Other { instance, sessions, .. } in others {
            let Some(seen) = self.others.get_mut(instance) else {
                self.others.insert(instance.clone(), Seen { sessions: *sessions, peak: *sessions });
                changed = true;
                continue;
            };
            if *sessions > seen.sessions {
                // A node that takes its first session was starting until now.
                if seen.sessions == 0 {
                    (self.patience, self.in_vain) = (0, 0);
                }
                seen.peak = *sessions;
            }
            seen.sessions = *sessions;
        }
        // A node that drains sends its clients here at a pace of its own; two paces would add up.
        if changed || others.iter().any(|other| other.draining) {
            (self.settle, self.patience, self.in_vain) = (self.settle.max(SETTLE_LOOKS), 0, 0);
        }
        if self.own.is_some_and(|before| own > before + before / MOVED_PART + JUMPED_SESSIONS) {
            self.settle = self.settle.max(STORM_LOOKS);
        }
        self.own = Some(own);
    }

    /// What each node would have. One that has little and loses it takes nobody, so it has no share.
    fn share(&self, own: u64) -> u64 {
        let mut counted: Vec<&Seen> = self.others.values().collect();
        loop {
            let sum = own + counted.iter().map(|seen| seen.sessions).sum::<u64>();
            let share = sum.div_ceil(counted.len() as u64 + 1);
            let before = counted.len();
            counted.retain(|seen| !seen.is_falling() || seen.sessions >= share);
            if counted.len() == before {
                return share;
            }
        }
    }
}

/// How many sessions a node keeps that does not give any away yet.
fn keeps(share: u64) -> u64 {
    let part = share.saturating_mul(ABOVE_PERCENT) / 100 + ABOVE_SESSIONS;
    share + part.max(ABOVE_DEVIATIONS * share.isqrt())
}

#[cfg(test)]
mod tests;

//! Judges the records of all clients against each other and against the log of every node: a pure function.
//!
//! Must never know how the records came about, nor forgive anything because of a fault that was injected.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;

use hubbub_protocol::{MessageId, RoomId, Seq};

use crate::record::{Delivered, Entry, Head, Record};

/// Most single faults that are kept for people to read; all are counted.
const SHOWN_MAX: usize = 50;

/// What kind of promise was broken.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Fault {
    /// Something acked or committed did not reach somebody who followed the room.
    Lost,
    /// Something came, or stands in the log, twice.
    Doubled,
    /// Something came behind what follows it.
    Reordered,
    /// Two sources tell different things: seq, id, duplicate flag, head.
    Contradicted,
}

/// One broken promise.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// Which kind.
    pub fault: Fault,
    /// Whose record shows it.
    pub client: String,
    /// What happened, for people.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at {}: {}", self.fault, self.client, self.what)
    }
}

/// What the records came to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Verdict {
    /// Different messages.
    pub sends: u64,
    /// Transmissions that were seen, retries included.
    pub transmissions: u64,
    /// Acks.
    pub acks: u64,
    /// Messages refused for good.
    pub refusals: u64,
    /// Events that reached a client.
    pub deliveries: u64,
    /// How many of each kind.
    pub counts: HashMap<Fault, u64>,
    /// The first ones of them.
    pub findings: Vec<Finding>,
}

impl Verdict {
    /// How many faults of this kind there are.
    #[must_use]
    pub fn count(&self, fault: Fault) -> u64 {
        self.counts.get(&fault).copied().unwrap_or(0)
    }

    /// No promise was broken.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.counts.is_empty()
    }

    /// No promise was broken, and there was something to break.
    #[must_use]
    pub fn proves(&self) -> bool {
        self.is_clean() && self.acks > 0 && self.deliveries > 0
    }

    fn find(&mut self, fault: Fault, client: &str, what: impl FnOnce() -> String) {
        *self.counts.entry(fault).or_default() += 1;
        if self.findings.len() < SHOWN_MAX {
            self.findings.push(Finding { fault, client: client.to_owned(), what: what() });
        }
    }
}

/// What stands at one place of a room, and who said so first.
struct Place<'a> {
    message: Option<&'a (MessageId, String)>,
    source: &'a str,
}

type Truth<'a> = HashMap<(RoomId, Seq), Place<'a>>;

/// Checks everything. `logs` are the whole logs of all rooms as each node tells them, written as records that follow
/// from 0; they are believed first.
#[must_use]
pub fn check(records: &[Record], logs: &[Record], heads: &[Head]) -> Verdict {
    let mut verdict = Verdict::default();
    let ends = check_heads(heads, &mut verdict);
    let truth = gather(logs, records, &mut verdict);
    check_places(&truth, &ends, &mut verdict);
    for record in logs.iter().chain(records) {
        check_stream(record, &ends, &mut verdict);
    }
    for record in records {
        check_acks(record, &truth, &mut verdict);
    }
    check_duplicate_flags(records, &mut verdict);
    verdict.deliveries = deliveries(records).count() as u64;
    verdict
}

fn deliveries(records: &[Record]) -> impl Iterator<Item = (&str, &Delivered)> {
    records.iter().flat_map(|record| {
        record.entries.iter().filter_map(|entry| match entry {
            Entry::Delivered(delivered) => Some((record.client.as_str(), delivered)),
            _ => None,
        })
    })
}

/// Where each room ends; the nodes have to agree.
fn check_heads(heads: &[Head], verdict: &mut Verdict) -> HashMap<RoomId, Seq> {
    let mut ends: HashMap<RoomId, Seq> = HashMap::new();
    for head in heads {
        let end = ends.entry(head.room).or_insert(head.seq);
        if *end != head.seq {
            verdict.find(Fault::Contradicted, &head.node, || format!("head {} of {}, not {end}", head.seq, head.room));
            *end = head.seq.max(*end);
        }
    }
    ends
}

/// What stands where; whoever tells another message for a place contradicts.
fn gather<'a>(logs: &'a [Record], records: &'a [Record], verdict: &mut Verdict) -> Truth<'a> {
    let mut truth = Truth::new();
    for (client, delivered) in deliveries(logs).chain(deliveries(records)) {
        let message = delivered.message.as_ref();
        let place = truth.entry((delivered.room, delivered.seq)).or_insert(Place { message, source: client });
        if place.message != message {
            verdict.find(Fault::Contradicted, client, || {
                let Delivered { room, seq, .. } = delivered;
                format!("seq {seq} of {room} is {message:?}, but {:?} at {}", place.message, place.source)
            });
        }
    }
    truth
}

/// No message stands at two places, and none behind the end.
fn check_places(truth: &Truth<'_>, ends: &HashMap<RoomId, Seq>, verdict: &mut Verdict) {
    let mut places: HashMap<&str, (RoomId, Seq)> = HashMap::new();
    for ((room, seq), place) in truth {
        if ends.get(room).is_some_and(|end| seq > end) {
            verdict.find(Fault::Contradicted, place.source, || format!("seq {seq} of {room} is behind its head"));
        }
        let Some((_, key)) = place.message else { continue };
        if let Some((other_room, other)) = places.insert(key, (*room, *seq)) {
            verdict.find(Fault::Doubled, place.source, || {
                format!("{key} is seq {seq} of {room} and {other} of {other_room}")
            });
        }
    }
}

/// How far one client is in one room.
struct Stream {
    last: Seq,
    /// Skipped so far.
    missing: BTreeSet<Seq>,
}

/// Each event behind the cursor once, ascending, up to the end.
fn check_stream(record: &Record, ends: &HashMap<RoomId, Seq>, verdict: &mut Verdict) {
    let client = record.client.as_str();
    let mut streams: HashMap<RoomId, Stream> = HashMap::new();
    for entry in &record.entries {
        match entry {
            Entry::Following { room, after } => {
                streams.entry(*room).or_insert(Stream { last: *after, missing: BTreeSet::new() });
            }
            Entry::Delivered(Delivered { room, seq, .. }) => {
                let Some(stream) = streams.get_mut(room) else {
                    verdict
                        .find(Fault::Contradicted, client, || format!("seq {seq} of {room}, which it never followed"));
                    continue;
                };
                if *seq > stream.last {
                    stream.missing.extend(stream.last + 1..*seq);
                    stream.last = *seq;
                } else if stream.missing.remove(seq) {
                    verdict.find(Fault::Reordered, client, || format!("seq {seq} of {room} behind {}", stream.last));
                } else {
                    verdict.find(Fault::Doubled, client, || format!("seq {seq} of {room} again, at {}", stream.last));
                }
            }
            Entry::Ended { room, reason } => {
                verdict.find(Fault::Contradicted, client, || format!("{room} ended: {reason}"));
            }
            Entry::Sent { .. } | Entry::Acked { .. } | Entry::Refused { .. } | Entry::Felt { .. } => {}
        }
    }
    for (room, Stream { last, mut missing }) in streams {
        missing.extend(last + 1..=ends.get(&room).copied().unwrap_or(last));
        for seq in missing {
            verdict.find(Fault::Lost, client, || format!("seq {seq} of {room} never came (the last one was {last})"));
        }
    }
}

/// What was acked stands where the ack says.
fn check_acks(record: &Record, truth: &Truth<'_>, verdict: &mut Verdict) {
    let client = record.client.as_str();
    for entry in &record.entries {
        let Entry::Acked { key, room, sent, .. } = entry else { continue };
        verdict.acks += 1;
        match truth.get(&(*room, sent.seq)).map(|place| place.message) {
            None => {
                verdict.find(Fault::Lost, client, || format!("{key} was acked as seq {} of {room}: nowhere", sent.seq))
            }
            Some(Some((id, other))) if *id == sent.id && other == key => {}
            Some(other) => verdict.find(Fault::Contradicted, client, || {
                format!("{key} was acked as {} at seq {} of {room}, where {other:?} stands", sent.id, sent.seq)
            }),
        }
    }
}

/// The first answer is no duplicate, every other is one; what was transmitted once is none.
fn check_duplicate_flags(records: &[Record], verdict: &mut Verdict) {
    let mut transmissions: HashMap<&str, u64> = HashMap::new();
    let mut unseen: HashSet<&str> = HashSet::new();
    let mut firsts: HashSet<&str> = HashSet::new();
    for entry in records.iter().flat_map(|record| &record.entries) {
        match entry {
            Entry::Sent { key, retries_unseen } => {
                *transmissions.entry(key).or_default() += 1;
                if *retries_unseen {
                    unseen.insert(key);
                }
            }
            Entry::Refused { .. } => verdict.refusals += 1,
            _ => {}
        }
    }
    verdict.sends = transmissions.len() as u64;
    verdict.transmissions = transmissions.values().sum();
    for record in records {
        for entry in &record.entries {
            let Entry::Acked { key, sent, .. } = entry else { continue };
            let client = record.client.as_str();
            if sent.duplicate {
                if transmissions.get(key.as_str()) == Some(&1) && !unseen.contains(key.as_str()) {
                    verdict
                        .find(Fault::Contradicted, client, || format!("{key} was sent once and acked as a duplicate"));
                }
            } else if !firsts.insert(key) {
                verdict.find(Fault::Contradicted, client, || format!("{key} was acked as new twice"));
            }
        }
    }
}

//! What people felt of a fault: errors, acks and deliveries before it, during it and behind it, and when it was over.
//!
//! A pure function of the records. Must never leave out what was bad: whatever is not healed counts as `during`.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use hubbub_protocol::Timestamp;
use serde::{Deserialize, Serialize};

use super::latency::Latency;
use crate::record::{Entry, Record};

/// Deliveries are well again when 99 of 100 take no longer, or no longer than twice what they took before.
pub const WELL: Duration = Duration::from_millis(250);

/// The pieces of time that are looked at.
const PIECE: Duration = Duration::from_millis(250);
/// So many pieces in a row have to be well.
const WELL_PIECES: usize = 8;
/// A client that hears nothing for so many pieces is not well; each hears many messages a second.
const SILENT_PIECES: usize = 4;

/// Times of one kind, in milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Times {
    /// How many.
    pub count: usize,
    /// Half took no longer.
    pub p50_ms: u64,
    /// 99 of 100 took no longer.
    pub p99_ms: u64,
    /// The longest.
    pub worst_ms: u64,
}

impl From<Latency> for Times {
    fn from(latency: Latency) -> Self {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let Latency { count, p50, p99, worst } = latency;
        Self { count, p50_ms: millis(p50), p99_ms: millis(p99), worst_ms: millis(worst) }
    }
}

/// What people felt in a part of a run.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Felt {
    /// Errors that bare clients saw, by kind; the SDK hides them.
    pub errors: BTreeMap<String, u64>,
    /// From the first transmission to the ack, of messages that waited for it in this part.
    pub acks: Times,
    /// From the commit to the client, of messages that were on their way in this part.
    pub deliveries: Times,
}

impl Felt {
    /// All errors together.
    #[must_use]
    pub fn errors_total(&self) -> u64 {
        self.errors.values().sum()
    }
}

/// A fault and what stood around it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Moments {
    /// The clients began to talk.
    pub began: Timestamp,
    /// The fault began.
    pub from: Timestamp,
    /// The fault was undone.
    pub to: Timestamp,
    /// The clients were told to finish.
    pub end: Timestamp,
}

/// The whole run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Course {
    /// Before the fault.
    pub before: Felt,
    /// From its beginning until all was well again.
    pub during: Felt,
    /// Behind that.
    pub after: Felt,
    /// From the end of the fault until all was well; none: never.
    pub healed: Option<Duration>,
}

/// Whose record counts, and by which clock.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// Whether a client of this name is looked at.
    pub judges: fn(&str) -> bool,
    /// The clocks of nodes lie: deliveries are timed from the first transmission of the message in place of its commit.
    pub from_send: bool,
}

/// Reads the course of a run out of the records.
#[must_use]
pub fn course(records: &[Record], moments: Moments, view: View) -> Course {
    let sends = if view.from_send { first_sends(records) } else { HashMap::new() };
    let records: Vec<&Record> = records.iter().filter(|record| (view.judges)(&record.client)).collect();
    let heard: Vec<Heard> =
        records.iter().enumerate().flat_map(|(at, record)| heard(at, record, &sends, view)).collect();
    // What was under way when the fault began was hit by it.
    let before = felt(&records, &heard, |began, ended| began >= moments.began && ended < moments.from);
    let well = WELL.max(2 * Duration::from_millis(before.deliveries.p99_ms));
    let healed = healed(&heard, records.len(), moments, well);
    let over = healed.map_or(moments.end, |healed| moments.to.plus(healed));
    let during = felt(&records, &heard, |began, ended| began < over && ended >= moments.from);
    let after = felt(&records, &heard, |began, _| began >= over && began < moments.end);
    Course { before, during, after, healed }
}

/// A message that came to a client.
#[derive(Clone, Copy, Debug)]
struct Heard {
    client: usize,
    committed: Timestamp,
    came: Timestamp,
}

impl Heard {
    fn took(&self) -> Duration {
        self.came.since(self.committed)
    }
}

fn heard(client: usize, record: &Record, sends: &HashMap<&str, Timestamp>, view: View) -> Vec<Heard> {
    let of = |entry: &Entry| {
        let Entry::Delivered(delivered) = entry else { return None };
        let (_, key) = delivered.message.as_ref()?;
        // A message without an ack has no known beginning, and is judged by the checker alone.
        let committed = if view.from_send { *sends.get(key.as_str())? } else { delivered.committed };
        Some(Heard { client, committed, came: delivered.came })
    };
    record.entries.iter().filter_map(of).collect()
}

/// When each acked message was first sent, by the clock of the clients.
fn first_sends(records: &[Record]) -> HashMap<&str, Timestamp> {
    let acks = records.iter().flat_map(|record| &record.entries).filter_map(ack);
    acks.map(|(key, began, _)| (key, began)).collect()
}

/// Key, first transmission and waiting time of the first ack of a message.
fn ack(entry: &Entry) -> Option<(&str, Timestamp, Duration)> {
    let Entry::Acked { key, waited_ms, came, sent, .. } = entry else { return None };
    // The answer to a message that was sent once more on purpose has no waiting time.
    if *waited_ms == 0 && sent.duplicate {
        return None;
    }
    let began = Timestamp::from_millis(came.millis().saturating_sub(i64::try_from(*waited_ms).unwrap_or(i64::MAX)));
    Some((key, began, Duration::from_millis(*waited_ms)))
}

/// What lies in a part of the run, told by the beginning and the end of each thing.
fn felt(records: &[&Record], heard: &[Heard], within: impl Fn(Timestamp, Timestamp) -> bool) -> Felt {
    let entries = || records.iter().flat_map(|record| &record.entries);
    let mut errors = BTreeMap::new();
    for entry in entries() {
        if let Entry::Felt { at, error } = entry
            && within(*at, *at)
        {
            *errors.entry(error.clone()).or_default() += 1;
        }
    }
    let acks = entries().filter_map(ack).filter(|(_, began, waited)| within(*began, began.plus(*waited)));
    let acks = acks.map(|(_, _, waited)| waited).collect();
    let deliveries = heard.iter().filter(|heard| within(heard.committed, heard.came)).map(Heard::took).collect();
    Felt { errors, acks: Latency::of(acks).into(), deliveries: Latency::of(deliveries).into() }
}

/// From the end of the fault to the first moment from which every client hears its rooms in time for a while.
fn healed(heard: &[Heard], clients: usize, moments: Moments, well: Duration) -> Option<Duration> {
    let pieces = usize::try_from(moments.end.since(moments.to).as_millis() / PIECE.as_millis()).unwrap_or(0);
    let piece_of = |at: Timestamp| {
        let passed = at.since(moments.to).as_millis() / PIECE.as_millis();
        usize::try_from(passed).ok().filter(|piece| at >= moments.to && *piece < pieces)
    };
    let (mut all, mut late) = (vec![0_u64; pieces], vec![0_u64; pieces]);
    let mut hears = vec![vec![false; pieces]; clients];
    for one in heard {
        let Some(piece) = piece_of(one.came) else { continue };
        all[piece] += 1;
        late[piece] += u64::from(one.took() > well);
        hears[one.client][piece] = true;
    }
    let is_heard = |piece: usize| {
        let rest = piece..(piece + SILENT_PIECES).min(pieces);
        hears.iter().all(|hears| hears[rest.clone()].iter().any(|hears| *hears))
    };
    let is_well = |piece: usize| all[piece] > 0 && late[piece] * 100 <= all[piece] && is_heard(piece);
    let first = (0..pieces.checked_sub(WELL_PIECES)? + 1).find(|from| (*from..from + WELL_PIECES).all(is_well))?;
    Some(PIECE * u32::try_from(first).ok()?)
}

#[cfg(test)]
mod tests {
    use hubbub_protocol::{MessageId, RoomId};

    use super::*;
    use crate::record::Delivered;

    const ALL: View = View { judges: |_| true, from_send: false };

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(1_000_000 + ms)
    }

    /// A message every 50 ms from 0 to 20 s; what is committed from 5 to 8 s comes at 8.6 s.
    fn record(client: &str, mute_until: i64) -> Record {
        let room = RoomId::new();
        let entries = (0..400).map(|index| {
            let committed = index * 50;
            let came = if (5_000..8_000).contains(&committed) { 8_600 } else { committed + 5 }.max(mute_until);
            let message = Some((MessageId::new(), format!("m{index}")));
            let (seq, committed, came) = (index as u64 + 1, at(committed), at(came));
            Entry::Delivered(Delivered { room, seq, message, committed, came })
        });
        Record { client: client.to_owned(), entries: entries.collect() }
    }

    fn moments() -> Moments {
        Moments { began: at(0), from: at(5_000), to: at(8_000), end: at(20_000) }
    }

    #[test]
    fn a_fault_lasts_until_everybody_hears_in_time() {
        let course = course(&[record("a", 0), record("b", 0)], moments(), ALL);
        assert_eq!(course.healed, Some(Duration::from_millis(750)), "the late ones came at 8.6 s");
        assert_eq!((course.before.deliveries.worst_ms, course.before.deliveries.count), (5, 200));
        assert_eq!(course.during.deliveries.worst_ms, 3_600);
        assert_eq!(course.after.deliveries.worst_ms, 5);
    }

    #[test]
    fn one_deaf_client_is_enough() {
        let records = [record("a", 0), record("b", 12_000)];
        let course = course(&records, moments(), ALL);
        assert!(course.healed >= Some(Duration::from_secs(4)), "{:?}", course.healed);
        let only_a = View { judges: |name| name == "a", ..ALL };
        assert_eq!(super::course(&records, moments(), only_a).healed, Some(Duration::from_millis(750)));
        let never = super::course(&[record("a", 0), record("b", 19_500)], moments(), ALL);
        assert_eq!((never.healed, never.after.deliveries.count), (None, 0));
    }

    #[test]
    fn errors_count_where_they_were_felt() {
        let mut record = record("a", 0);
        record.entries.push(Entry::Felt { at: at(6_000), error: "connection lost".to_owned() });
        let course = course(&[record], moments(), ALL);
        assert_eq!((course.before.errors_total(), course.during.errors_total()), (0, 1));
        assert_eq!(course.during.errors["connection lost"], 1);
    }
}

//! Walking a database to find what must never be (DESIGN §1, invariants 2 and 4), beside running nodes.
//!
//! Rooms, members, events and messages are read side by side in the order of their rooms, all as they were at one
//! moment; so memory stays the same however large the database is. Must never mend anything.

mod log;
mod people;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hubbub_protocol::{Epoch, RoomId, UserId};
use uuid::Uuid;

use super::Lock;
use super::defect::{Defect, DefectKind};
use super::end::{self, End};
use super::moving::open_to_read;
use super::progress::{Progress, Stage, Watcher};
use super::reader::Reader;
use super::table::{EVENTS, MEMBERS, MESSAGES, ROOMS, Row, Table, Value};
use crate::error::StoreError;

/// Of the ids that stand for several messages so many are told one by one; all are counted.
const REPEATED_MAX: u32 = 1_000;

/// What a check has walked through and found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checked {
    /// The history that was checked; none when the database does not say.
    pub epoch: Option<Epoch>,
    /// Rows that were walked, by table.
    pub rows: Vec<(&'static str, u64)>,
    /// How many defects there are, by kind; kinds without any are left out.
    pub defects: Vec<(DefectKind, u64)>,
    /// The first migration that a newer version of the program has applied, if any: what it added was not looked at.
    pub newer: Option<String>,
    /// How long it took.
    pub took: Duration,
}

impl Checked {
    /// How many defects there are.
    #[must_use]
    pub fn defects_total(&self) -> u64 {
        self.defects.iter().map(|(_, count)| count).sum()
    }
}

/// An id that stands for several messages.
pub(crate) struct Repeated {
    pub(crate) room: Option<Uuid>,
    pub(crate) user: Option<Uuid>,
    pub(crate) id: String,
    pub(crate) first: u64,
    pub(crate) last: u64,
}

/// Walks through a database as it is now and tells each defect as it is found. Nodes may go on meanwhile.
///
/// # Errors
/// When the database cannot be read, is of an older version, of a newer one that took something away, or is being filled.
pub async fn check(
    url: &str,
    found: &mut (dyn FnMut(&Defect) + Send),
    watcher: Watcher<'_>,
) -> Result<Checked, StoreError> {
    let began = Instant::now();
    let source = end::source(url)?;
    let _lock = Lock::reading(&source)?;
    let (mut end, schema) = open_to_read(&source).await?;
    end.begin_snapshot().await?;
    let mut walk = Walk { end, found: Found { tell: found, counts: BTreeMap::new() }, rows: Vec::new() };
    let epoch = walk.epoch().await?;
    walk.rooms(watcher).await?;
    walk.index(watcher).await?;
    walk.logins(watcher).await?;
    walk.repeated().await?;
    let Walk { end, found, rows } = walk;
    end.close().await;
    let defects = found.counts.into_iter().collect();
    Ok(Checked { epoch, rows, defects, newer: schema.unknown, took: began.elapsed() })
}

/// The defects so far.
struct Found<'a> {
    tell: &'a mut (dyn FnMut(&Defect) + Send),
    counts: BTreeMap<DefectKind, u64>,
}

impl Found<'_> {
    fn add(&mut self, kind: DefectKind, place: Place, text: impl Into<String>) {
        *self.counts.entry(kind).or_default() += 1;
        let Place { room, seq, user } = place;
        let (room, user) = (room.map(RoomId::from_uuid), user.map(UserId::from_uuid));
        (self.tell)(&Defect { kind, room, seq, user, text: text.into() });
    }
}

/// Where a defect is.
#[derive(Clone, Copy, Default)]
struct Place {
    room: Option<Uuid>,
    seq: Option<u64>,
    user: Option<Uuid>,
}

impl Place {
    fn room(room: Uuid) -> Self {
        Self { room: Some(room), ..Self::default() }
    }

    fn seq(room: Uuid, seq: u64) -> Self {
        Self { room: Some(room), seq: Some(seq), user: None }
    }

    fn user(room: Uuid, user: Uuid) -> Self {
        Self { room: Some(room), seq: None, user: Some(user) }
    }
}

/// A walk through one database.
struct Walk<'a> {
    end: End,
    found: Found<'a>,
    rows: Vec<(&'static str, u64)>,
}

impl Walk<'_> {
    async fn epoch(&mut self) -> Result<Option<Epoch>, StoreError> {
        let epochs = self.end.epochs().await?;
        if epochs.len() != 1 {
            self.found.add(DefectKind::EpochWrong, Place::default(), format!("it names {}", epochs.len()));
        }
        Ok(epochs.into_iter().next())
    }

    /// The room group, room by room.
    async fn rooms(&mut self, watcher: Watcher<'_>) -> Result<(), StoreError> {
        let total = self.end.count(&EVENTS).await?;
        let [mut rooms, mut members, mut events, mut messages] =
            [&ROOMS, &MEMBERS, &EVENTS, &MESSAGES].map(Reader::new);
        let mut checks = people::Members::default();
        loop {
            let mut next = None;
            for reader in [&mut rooms, &mut members, &mut events, &mut messages] {
                let room = reader.peek(&mut self.end).await?.map(|row| id(row, 0));
                next = [next, room].into_iter().flatten().min();
            }
            let Some(room) = next else { break };
            let row = if room_of(rooms.peek(&mut self.end).await?) == Some(room) { rooms.take() } else { None };
            self.log_of(room, row.as_ref(), &mut events, &mut messages).await?;
            self.members_of(room, row.as_ref(), &mut members, &mut checks).await?;
            watcher(Progress { stage: Stage::Checking, table: EVENTS.name, rows: events.taken, total });
        }
        self.look_up(&mut checks).await?;
        for (table, reader) in [(&ROOMS, rooms), (&MEMBERS, members), (&EVENTS, events), (&MESSAGES, messages)] {
            self.walked(table, &reader);
        }
        Ok(())
    }

    /// Ids that have to be unique. The database sees to it, unless somebody took its constraint away.
    async fn repeated(&mut self) -> Result<(), StoreError> {
        let client_ids = self.end.repeated_client_ids(REPEATED_MAX).await?;
        let message_ids = self.end.repeated_message_ids(REPEATED_MAX).await?;
        for (kind, (repeated, total)) in
            [(DefectKind::ClientMsgIdRepeated, client_ids), (DefectKind::MessageIdRepeated, message_ids)]
        {
            for one in &repeated {
                let place = Place { room: one.room, seq: Some(one.first), user: one.user };
                let text = match kind {
                    DefectKind::ClientMsgIdRepeated => format!("`{}` again at seq {}", one.id, one.last),
                    _ => format!("message {}", one.id),
                };
                self.found.add(kind, place, text);
            }
            let untold = total.saturating_sub(repeated.len() as u64);
            if untold > 0 {
                *self.found.counts.entry(kind).or_default() += untold;
            }
        }
        Ok(())
    }

    fn walked(&mut self, table: &Table, reader: &Reader) {
        self.rows.push((table.name, reader.taken));
    }
}

fn room_of(row: Option<&Row>) -> Option<Uuid> {
    row.map(|row| id(row, 0))
}

/// The id in a column. The reader made the row by the table's description, so another type is none that occurs.
fn id(row: &Row, column: usize) -> Uuid {
    match row.get(column) {
        Some(Value::Id(id)) => *id,
        _ => Uuid::nil(),
    }
}

/// The number in a column. What counts is never negative; where it is all the same, it is no number that fits.
fn number(row: &Row, column: usize) -> u64 {
    match row.get(column) {
        Some(Value::Int(int)) => u64::try_from(*int).unwrap_or(u64::MAX),
        _ => u64::MAX,
    }
}

/// The text in a column, empty where there is none.
fn text(row: &Row, column: usize) -> &str {
    match row.get(column) {
        Some(Value::Text(Some(text))) => text,
        _ => "",
    }
}

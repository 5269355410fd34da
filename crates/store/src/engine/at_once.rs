//! A small batch of messages as one statement of PostgreSQL: lock, look up, decide, write, commit in one exchange.
//!
//! Most batches are nothing but messages, and there the exchanges with the server are most of the cost. Whatever is out
//! of the ordinary is left to `shared/batch.rs`, which decides everything. Must never decide what that would decide
//! otherwise.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hubbub_protocol::event::MessageSent;
use hubbub_protocol::reply::Sent;
use hubbub_protocol::{MessageId, RoomEvent, RoomEventData, Timestamp};
use parking_lot::Mutex;
use uuid::Uuid;

use super::postgres::{Connection, statement::Bulk};
use crate::append::{Append, Appended, Guard};
use crate::bulk::Column::{Id, Int, Text};
use crate::error::AppendError;
use crate::job::{Job, Outcome, Work};
use crate::plan::Plan;

/// More messages are cheaper in separate statements: the joins here go row by row.
const ROWS_MAX: usize = 64;

/// After another node was met in a room, batches are decided with care for so long.
const CONTENTION_MEMORY: Duration = Duration::from_millis(100);

/// The lookups see the database as it was before the locks were waited for. Where another node has committed in that
/// time the head under the lock is not the one that was looked up, and nothing is written.
static APPEND: Bulk = Bulk::new(
    "WITH input AS MATERIALIZED (SELECT * FROM {input}), \
     locked AS MATERIALIZED (\
       SELECT id, head FROM rooms WHERE id IN (SELECT input.room FROM input) ORDER BY id {lock}), \
     looked AS MATERIALIZED (\
       SELECT input.*, locked.head, locked.head = rooms.head AS is_fresh, members.user_id IS NOT NULL AS is_member, \
       messages.seq AS sent_seq, messages.id AS sent_id, messages.at AS sent_at \
       FROM input JOIN rooms ON rooms.id = input.room JOIN locked ON locked.id = input.room \
       LEFT JOIN members ON members.room = input.room AND members.user_id = input.by_id \
       LEFT JOIN messages ON messages.room = input.room AND messages.by_id = input.by_id \
       AND messages.client_msg_id = input.client_msg_id), \
     decided AS MATERIALIZED (\
       SELECT looked.*, is_member AND sent_seq IS NULL AND NOT EXISTS (SELECT 1 FROM looked WHERE NOT is_fresh) AS is_new \
       FROM looked), \
     numbered AS MATERIALIZED (\
       SELECT decided.*, head + COUNT(*) FILTER (WHERE is_new) OVER (PARTITION BY room ORDER BY place) AS seq \
       FROM decided), \
     logged AS (INSERT INTO events (room, seq, kind, at, by_id, by_name, payload) \
       SELECT room, seq, 'message.sent', at, by_id, by_name, payload FROM numbered WHERE is_new), \
     said AS (INSERT INTO messages (room, seq, id, at, by_id, by_name, client_msg_id, body) \
       SELECT room, seq, id, at, by_id, by_name, client_msg_id, body FROM numbered WHERE is_new), \
     risen AS (UPDATE rooms SET head = newest.head \
       FROM (SELECT room, MAX(seq) AS head FROM numbered WHERE is_new GROUP BY room) AS newest \
       WHERE rooms.id = newest.room) \
     SELECT place, is_fresh, is_member, seq, sent_seq, sent_id, sent_at FROM numbered",
    &[
        ("place", Int),
        ("room", Id),
        ("at", Int),
        ("by_id", Id),
        ("by_name", Text),
        ("payload", Text),
        ("id", Id),
        ("client_msg_id", Text),
        ("body", Text),
    ],
);

/// What the statement answers for a message: its place in the batch, whether the lookups still hold, whether the sender
/// is a member, its seq if it is new, and the message that was there before.
type Row = (i64, bool, bool, i64, Option<i64>, Option<Uuid>, Option<i64>);

/// Whether other nodes write to the same rooms at the same time: until when that is likely.
#[derive(Default)]
pub(crate) struct Contention(Mutex<Option<Instant>>);

impl Contention {
    fn is_likely(&self) -> bool {
        self.0.lock().is_some_and(|until| Instant::now() < until)
    }

    /// An attempt was in vain.
    fn meet(&self) {
        *self.0.lock() = Some(Instant::now() + CONTENTION_MEMORY);
    }
}

/// Runs the batch if it is an ordinary one and likely to succeed; none when the whole of it has to be decided with
/// care.
pub(crate) async fn run(
    conn: &mut Connection,
    jobs: &[Job],
    contention: &Contention,
) -> Result<Option<Plan>, sqlx::Error> {
    let Some(messages) = ordinary(jobs).filter(|_| !contention.is_likely()) else { return Ok(None) };
    let at = Timestamp::now();
    let mut rows = APPEND.rows();
    for (place, (append, message, payload)) in messages.iter().enumerate() {
        rows.push([
            i64::try_from(place).unwrap_or(i64::MAX).into(),
            append.room.as_uuid().into(),
            at.millis().into(),
            append.by.id.as_uuid().into(),
            (&*append.by.name).into(),
            (*payload).into(),
            message.id.as_uuid().into(),
            message.client_msg_id.as_str().into(),
            message.body.as_str().into(),
        ]);
    }
    let answers = APPEND.fetch::<Row>(conn, &rows).await?;
    if answers.iter().any(|(_, is_fresh, ..)| !is_fresh) {
        contention.meet();
        return Ok(None);
    }
    let mut outcomes: Vec<Option<Outcome>> = jobs.iter().map(|_| None).collect();
    for answer in &answers {
        let place = usize::try_from(answer.0).unwrap_or(usize::MAX);
        if let (Some((append, message, _)), Some(outcome)) = (messages.get(place), outcomes.get_mut(place)) {
            *outcome = Some(decide(append, message, at, answer));
        }
    }
    // A room that is not there has no row.
    Ok(outcomes.into_iter().collect::<Option<Vec<_>>>().map(Plan::done))
}

type Ordinary<'a> = (&'a Append, &'a MessageSent, &'a str);

/// The messages of a batch that is nothing but messages of members, each for the first time.
fn ordinary(jobs: &[Job]) -> Option<Vec<Ordinary<'_>>> {
    if jobs.len() > ROWS_MAX {
        return None;
    }
    let mut keys = HashSet::with_capacity(jobs.len());
    let messages = jobs.iter().map(|job| match &job.work {
        Work::Append { append, payload } if append.guard == Guard::Member && job.lost.is_none() => {
            let RoomEventData::MessageSent(message) = &append.data else { return None };
            let is_first = keys.insert((append.room, append.by.id, message.client_msg_id.as_str()));
            is_first.then_some((append, message, payload.as_str()))
        }
        _ => None,
    });
    messages.collect()
}

fn decide(append: &Append, message: &MessageSent, at: Timestamp, row: &Row) -> Outcome {
    let (_, _, is_member, seq, sent_seq, sent_id, sent_at) = *row;
    let committed = |seq: i64, at| {
        let event = RoomEvent {
            room: append.room,
            seq: seq.unsigned_abs(),
            at,
            by: append.by.clone(),
            data: append.data.clone(),
            trace: None,
        };
        Outcome::Appended(Appended::Committed(Arc::new(event)))
    };
    match (sent_seq, sent_id, sent_at) {
        (Some(seq), Some(id), Some(at)) => {
            let (id, at) = (MessageId::from_uuid(id), Timestamp::from_millis(at));
            if id == message.id {
                // Our own commit, of which nobody was told.
                committed(seq, at)
            } else {
                Outcome::Appended(Appended::Duplicate(Sent { seq: seq.unsigned_abs(), id, at, duplicate: true }))
            }
        }
        _ if !is_member => Outcome::Refused(AppendError::NotAMember),
        _ => committed(seq, at),
    }
}

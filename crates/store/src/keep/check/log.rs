//! One room's log beside its messages.
//!
//! Must never read another room's rows.

use hubbub_protocol::RoomEventData;
use hubbub_protocol::event::MessageSent;
use uuid::Uuid;

use super::{Place, Walk, id, number, text};
use crate::error::StoreError;
use crate::keep::defect::DefectKind;
use crate::keep::reader::Reader;
use crate::keep::table::Row;

/// Columns of `rooms`, `events` and `messages` that are looked at, by their places in the descriptions.
const ROOM_HEAD: usize = 3;
const SEQ: usize = 1;
const EVENT_KIND: usize = 2;
const EVENT_AT: usize = 3;
const EVENT_BY: usize = 4;
const EVENT_PAYLOAD: usize = 6;
const MESSAGE_ID: usize = 2;
const MESSAGE_AT: usize = 3;
const MESSAGE_BY: usize = 4;
const MESSAGE_CLIENT_ID: usize = 6;

/// The kind of event that has a message.
const SENT: &str = "message.sent";
/// The kind of event that begins a room.
const CREATED: &str = "room.created";

/// The seqs of a room that were seen so far.
#[derive(Default)]
struct Seen {
    /// The greatest.
    last: u64,
    events: u64,
    messages: u64,
    /// Of a room that is not there: where its events and its messages begin.
    first_event: u64,
    first_message: u64,
}

impl Walk<'_> {
    /// Walks through the events and messages of a room, `row`, or of one that does not exist.
    pub(super) async fn log_of(
        &mut self,
        room: Uuid,
        row: Option<&Row>,
        events: &mut Reader,
        messages: &mut Reader,
    ) -> Result<(), StoreError> {
        let mut seen = Seen::default();
        loop {
            let event = seq_in(room, events.peek(&mut self.end).await?);
            let message = seq_in(room, messages.peek(&mut self.end).await?);
            let Some(seq) = [event, message].into_iter().flatten().min() else { break };
            let event = if event == Some(seq) { events.take() } else { None };
            let message = if message == Some(seq) { messages.take() } else { None };
            seen.count(seq, event.is_some(), message.is_some());
            if row.is_none() {
                continue;
            }
            if let Some(event) = &event {
                self.place_of(room, seq, event, &mut seen);
            }
            self.pair(room, seq, event.as_ref(), message.as_ref());
        }
        match row {
            Some(row) if number(row, ROOM_HEAD) != seen.last => {
                let text = format!("the head is {}, the newest event {}", number(row, ROOM_HEAD), seen.last);
                self.found.add(DefectKind::HeadWrong, Place::seq(room, seen.last), text);
            }
            Some(_) => {}
            None => self.orphans(room, &seen),
        }
        Ok(())
    }

    /// Whether the event stands where it should.
    fn place_of(&mut self, room: Uuid, seq: u64, event: &Row, seen: &mut Seen) {
        let expected = seen.last + 1;
        if seq < expected {
            self.found.add(DefectKind::SequenceRepeated, Place::seq(room, seq), "another event has it already");
        } else if seq > expected {
            let text = format!("{} missing, up to {}", seq - expected, seq - 1);
            self.found.add(DefectKind::SequenceGap, Place::seq(room, expected), text);
        }
        let kind = text(event, EVENT_KIND);
        if (seq == 1) != (kind == CREATED) {
            self.found.add(DefectKind::FirstEventWrong, Place::seq(room, seq), format!("it is `{kind}`"));
        }
        seen.last = seen.last.max(seq);
    }

    /// Whether a message and its event belong together. One of them is there.
    fn pair(&mut self, room: Uuid, seq: u64, event: Option<&Row>, message: Option<&Row>) {
        let place = Place::seq(room, seq);
        let sent = event.filter(|event| text(event, EVENT_KIND) == SENT);
        match (sent, message) {
            (Some(event), Some(message)) => self.compare(place, event, message),
            (Some(_), None) => {
                self.found.add(DefectKind::MessageMissing, place, "the event has no message");
            }
            (None, Some(message)) => {
                let text = format!("message {} has no event", id(message, MESSAGE_ID));
                self.found.add(DefectKind::EventMissing, place, text);
            }
            (None, None) => {}
        }
        if let Some(event) = event
            && sent.is_none()
            && !is_readable(event)
        {
            self.found.add(DefectKind::EventUnreadable, place, format!("of kind `{}`", text(event, EVENT_KIND)));
        }
    }

    fn compare(&mut self, place: Place, event: &Row, message: &Row) {
        let Ok(sent) = serde_json::from_str::<MessageSent>(text(event, EVENT_PAYLOAD)) else {
            self.found.add(DefectKind::EventUnreadable, place, format!("of kind `{SENT}`"));
            return;
        };
        let pairs = [
            ("id", sent.id.as_uuid() == id(message, MESSAGE_ID)),
            ("sender", id(event, EVENT_BY) == id(message, MESSAGE_BY)),
            ("time", number(event, EVENT_AT) == number(message, MESSAGE_AT)),
            ("client_msg_id", sent.client_msg_id.as_str() == text(message, MESSAGE_CLIENT_ID)),
        ];
        let differing: Vec<_> = pairs.iter().filter(|(_, is_same)| !is_same).map(|(what, _)| *what).collect();
        if !differing.is_empty() {
            self.found.add(DefectKind::MessageDiffers, place, format!("in {}", differing.join(", ")));
        }
    }

    fn orphans(&mut self, room: Uuid, seen: &Seen) {
        let kinds = [
            (DefectKind::EventOrphaned, seen.events, seen.first_event, "events"),
            (DefectKind::MessageOrphaned, seen.messages, seen.first_message, "messages"),
        ];
        for (kind, count, first, what) in kinds {
            if count > 0 {
                self.found.add(kind, Place::seq(room, first), format!("{count} {what} of a room that does not exist"));
            }
        }
    }
}

impl Seen {
    fn count(&mut self, seq: u64, has_event: bool, has_message: bool) {
        if has_event {
            self.events += 1;
            if self.events == 1 {
                self.first_event = seq;
            }
        }
        if has_message {
            self.messages += 1;
            if self.messages == 1 {
                self.first_message = seq;
            }
        }
    }
}

/// The seq of a row, if it is of this room.
fn seq_in(room: Uuid, row: Option<&Row>) -> Option<u64> {
    row.filter(|row| id(row, 0) == room).map(|row| number(row, SEQ))
}

/// A kind that this build does not know is fine if it is JSON.
fn is_readable(event: &Row) -> bool {
    serde_json::from_str(text(event, EVENT_PAYLOAD))
        .and_then(|payload| RoomEventData::from_parts(text(event, EVENT_KIND), payload))
        .is_ok()
}

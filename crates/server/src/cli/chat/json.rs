//! What is said, as one JSON object per line.
//!
//! Texts are passed on as they are, since programs read them; JSON escapes new lines and C0 control characters.
//! Must never change a text.

use hubbub_client::State;
use serde_json::{Value, json};

use super::front::{Said, name_of};

/// The object for `said`, with the `ref` that it answers, if there is one.
pub(super) fn line(said: &Said<'_>, reference: &Value) -> Value {
    let mut line = object(said);
    if !reference.is_null()
        && let Some(fields) = line.as_object_mut()
    {
        fields.insert("ref".into(), reference.clone());
    }
    line
}

fn object(said: &Said<'_>) -> Value {
    match said {
        Said::Event { room, event, .. } => json!({ "type": "event", "room": room, "event": event }),
        Said::Opened { room, joined } => {
            json!({ "type": "joined", "room": name_of(room), "new": joined, "about": room })
        }
        Said::Left { room } => json!({ "type": "left", "room": name_of(room) }),
        Said::Created { room } => json!({ "type": "created", "room": name_of(room), "about": room }),
        Said::Rooms { rooms, more } => json!({ "type": "rooms", "rooms": rooms, "more": more }),
        Said::Members { room, seen } => {
            json!({ "type": "members", "room": name_of(room), "members": room.members, "seen": seen })
        }
        Said::Acked { room, sent } => json!({
            "type": "ack", "room": room, "seq": sent.seq, "id": sent.id, "at": sent.at, "duplicate": sent.duplicate,
        }),
        Said::Failed { what, error, hint } => {
            let mut line = json!({ "type": "error", "what": what, "message": error.to_string(), "hint": hint });
            if let hubbub_client::ClientError::Refused(refusal) = error {
                line["err"] = json!(refusal);
            }
            line
        }
        Said::Wrong { reason } => json!({ "type": "error", "what": "not understood", "message": reason }),
        Said::Reset { room, head } => json!({ "type": "reset", "room": room, "head": head }),
        Said::Ended { room, error } => json!({ "type": "ended", "room": room, "message": error.to_string() }),
        Said::State(state) => state_object(state),
        Said::Help => json!({ "type": "help" }),
    }
}

fn state_object(state: &State) -> Value {
    match state {
        State::Connecting { attempt, url } => {
            json!({ "type": "state", "state": "connecting", "attempt": attempt, "url": url })
        }
        State::Resuming { node } => json!({ "type": "state", "state": "resuming", "node": node }),
        State::Online { node } => json!({ "type": "state", "state": "online", "node": node }),
        State::Waiting { until, cause } => {
            let wait = until.saturating_duration_since(tokio::time::Instant::now()).as_millis();
            let wait_ms = u64::try_from(wait).unwrap_or(u64::MAX);
            json!({ "type": "state", "state": "waiting", "wait_ms": wait_ms, "cause": cause })
        }
        State::Closed { reason } => json!({ "type": "state", "state": "closed", "reason": reason.to_string() }),
    }
}

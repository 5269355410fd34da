//! What an answer means for whom it concerns: a caller, a room that starts, rooms that resume, a page.
//!
//! Must never let a retryable refusal end anything.

use std::collections::HashMap;
use std::time::Duration;

use hubbub_protocol::WireError;
use hubbub_protocol::reply::{EventPage, Subscribed};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::Instant;

use super::Driver;
use super::calls::{Calls, Purpose, answer};
use super::rooms::RoomKey;
use crate::error::ClientError;
use crate::policy::End;

/// After so many pages that bring nothing of a hole, the connection is made anew: the log has no holes, so what was
/// asked does not see it.
const BARREN_PAGES_MAX: u32 = 5;
/// The wait before a page is asked for again that brought nothing.
const BARREN_PAUSE: Duration = Duration::from_millis(200);

/// `ok` of `session.resume`.
#[derive(Deserialize)]
struct Resumed {
    rooms: HashMap<String, ResumedRoom>,
}

/// One room of it: an `err`, or the answer of `room.subscribe`.
#[derive(Deserialize)]
#[serde(untagged)]
enum ResumedRoom {
    Refused { err: WireError },
    Subscribed(Subscribed),
}

fn typed<T: DeserializeOwned>(value: Value) -> Result<T, End> {
    serde_json::from_value(value).map_err(|error| End::Lost(format!("unreadable answer: {error}")))
}

impl Driver {
    /// Passes on the answer to call `id`.
    pub(super) fn take_answer(&mut self, id: u64, outcome: Result<Value, WireError>) -> Result<(), End> {
        let Some(call) = self.calls.answered(id) else { return Ok(()) };
        let value = match outcome {
            Ok(value) => value,
            Err(error) if Calls::may_go_again(&call, &error) => {
                self.calls.again(id, call, &error, Instant::now());
                return Ok(());
            }
            Err(error) => {
                self.fail(call.purpose, error.into());
                return Ok(());
            }
        };
        match call.purpose {
            Purpose::Caller { reply, .. } => answer(reply, Ok(value)),
            Purpose::Follow(key) => {
                let needs = self.rooms.subscribed(key, &typed(value)?);
                self.need(needs);
            }
            Purpose::Resume(keys) => self.take_resumed(keys, typed(value)?),
            Purpose::Page(key) => return self.take_page(key, typed(value)?),
            Purpose::Nobody => {}
        }
        Ok(())
    }

    fn take_resumed(&mut self, keys: Vec<(String, RoomKey)>, mut resumed: Resumed) {
        for (name, key) in keys {
            match resumed.rooms.remove(&name) {
                Some(ResumedRoom::Subscribed(subscribed)) => {
                    let needs = self.rooms.subscribed(key, &subscribed);
                    self.need(needs);
                }
                Some(ResumedRoom::Refused { err }) if err.retry => {
                    let pause = err.retry_after_ms.map_or(BARREN_PAUSE, Duration::from_millis);
                    if let Some((command, purpose)) = self.rooms.resume_one(key) {
                        self.calls.push_later(command, purpose, Instant::now().checked_add(pause));
                    }
                }
                Some(ResumedRoom::Refused { err }) => self.rooms.refused(key, err.into()),
                None => self.rooms.refused(key, ClientError::Unreadable("a room is missing in the answer".into())),
            }
        }
    }

    fn take_page(&mut self, key: RoomKey, page: EventPage) -> Result<(), End> {
        let (needs, barren) = self.rooms.page(key, page.events);
        if barren > BARREN_PAGES_MAX {
            return Err(End::Lost("the server does not have events that it told of".into()));
        }
        // A page that brought nothing is not asked for again at once.
        let not_before = if barren == 0 { None } else { Instant::now().checked_add(BARREN_PAUSE * barren) };
        for (command, purpose) in needs {
            self.calls.push_later(command, purpose, not_before);
        }
        Ok(())
    }

    /// A call failed for good.
    pub(super) fn fail(&mut self, purpose: Purpose, error: ClientError) {
        match purpose {
            Purpose::Caller { reply, .. } => answer(reply, Err(error)),
            Purpose::Follow(key) | Purpose::Page(key) => self.rooms.refused(key, error),
            Purpose::Resume(keys) => keys.into_iter().for_each(|(_, key)| self.rooms.refused(key, error.clone())),
            Purpose::Nobody => tracing::debug!(%error, "the server refused what nobody waits for"),
        }
    }
}

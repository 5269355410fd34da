//! Commands that wait for their turn or their answer, and what becomes of them when a connection is lost.
//!
//! Must never repeat what may not be repeated blindly, and never forget a send before its ack.

use std::collections::BTreeMap;
use std::time::Duration;

use hubbub_protocol::{Command, ErrorCode, WireError};
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;

use super::rooms::RoomKey;
use crate::backoff;
use crate::config::Backoff;
use crate::error::{ClientError, CloseReason};

/// No server makes a call wait longer than this, whatever it says.
const HOLD_MAX: Duration = Duration::from_secs(300);

/// Whom an answer concerns.
#[derive(Debug)]
pub(super) enum Purpose {
    /// A caller waits for it.
    Caller { reply: oneshot::Sender<Result<Value, ClientError>>, _place: OwnedSemaphorePermit },
    /// The first subscription of a room.
    Follow(RoomKey),
    /// Rooms that are subscribed again, with the keys that were sent.
    Resume(Vec<(String, RoomKey)>),
    /// A page of a room's log.
    Page(RoomKey),
    /// The driver's own business: nobody waits for it.
    Nobody,
}

/// A command on its way.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) command: Command,
    pub(super) purpose: Purpose,
    not_before: Option<Instant>,
    /// Refusals so far.
    failures: u32,
}

impl Call {
    /// Whether somebody still waits for it.
    fn is_wanted(&self) -> bool {
        !matches!(&self.purpose, Purpose::Caller { reply, .. } if reply.is_closed())
    }
}

/// Whether a command may be sent again when its answer was lost. A second `room.create` would meet the first one's
/// room, or make another direct room's answer look like a conflict.
const fn is_repeatable(command: &Command) -> bool {
    !matches!(command, Command::RoomCreate(_))
}

/// Classes that the server limits together (CONTRACT §6), so that one refusal holds back the rest of its class.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Send,
    Fetch,
    Other,
}

const fn class(command: &Command) -> Class {
    match command {
        Command::MessageSend(_) => Class::Send,
        Command::MessageList(_) | Command::EventList(_) | Command::RoomList(_) => Class::Fetch,
        _ => Class::Other,
    }
}

/// What may be written now.
#[derive(Debug, PartialEq)]
pub(super) enum Next {
    /// The call with this id.
    Call(u64),
    /// Nothing before then.
    At(Instant),
    /// Nothing waits.
    Nothing,
}

/// All calls. Bounded by the callers' places and by one page, one subscription per room.
#[derive(Debug)]
pub(super) struct Calls {
    next_id: u64,
    /// By id, which is the order of asking.
    waiting: BTreeMap<u64, Call>,
    written: BTreeMap<u64, Call>,
    sends_held_until: Option<Instant>,
    fetches_held_until: Option<Instant>,
    backoff: Backoff,
}

impl Calls {
    pub(super) const fn new(backoff: Backoff) -> Self {
        Self {
            next_id: 1,
            waiting: BTreeMap::new(),
            written: BTreeMap::new(),
            sends_held_until: None,
            fetches_held_until: None,
            backoff,
        }
    }

    /// Queues a command.
    pub(super) fn push(&mut self, command: Command, purpose: Purpose) {
        self.push_later(command, purpose, None);
    }

    /// Queues a command that must not go before a time.
    pub(super) fn push_later(&mut self, command: Command, purpose: Purpose, not_before: Option<Instant>) {
        self.waiting.insert(self.next_id, Call { command, purpose, not_before, failures: 0 });
        self.next_id += 1;
    }

    /// The next call to write. Calls that nobody waits for any more are dropped on the way.
    pub(super) fn next(&mut self, now: Instant) -> Next {
        self.waiting.retain(|_, call| call.is_wanted());
        let mut earliest: Option<Instant> = None;
        for (id, call) in &self.waiting {
            let held = match class(&call.command) {
                Class::Send => self.sends_held_until,
                Class::Fetch => self.fetches_held_until,
                Class::Other => None,
            };
            match call.not_before.max(held).filter(|at| *at > now) {
                None => return Next::Call(*id),
                Some(at) => earliest = Some(earliest.map_or(at, |earliest| earliest.min(at))),
            }
        }
        earliest.map_or(Next::Nothing, Next::At)
    }

    /// The command of a waiting call.
    pub(super) fn command(&self, id: u64) -> Option<&Command> {
        self.waiting.get(&id).map(|call| &call.command)
    }

    /// The call was written.
    pub(super) fn written(&mut self, id: u64) {
        if let Some(call) = self.waiting.remove(&id) {
            self.written.insert(id, call);
        }
    }

    /// Takes a waiting call out: it cannot be sent.
    pub(super) fn withdraw(&mut self, id: u64) -> Option<Call> {
        self.waiting.remove(&id)
    }

    /// Takes the call that an answer belongs to. `None` for what was given up.
    pub(super) fn answered(&mut self, id: u64) -> Option<Call> {
        self.written.remove(&id)
    }

    /// Whether a refused call goes again later.
    pub(super) const fn may_go_again(call: &Call, error: &WireError) -> bool {
        error.retry && is_repeatable(&call.command)
    }

    /// Puts a refused call back in its place, for when the server said, or for after a backoff.
    pub(super) fn again(&mut self, id: u64, mut call: Call, error: &WireError, now: Instant) {
        let told = error.retry_after_ms.map(Duration::from_millis);
        let wait = told.unwrap_or_else(|| backoff::wait(self.backoff, call.failures, rand::random())).min(HOLD_MAX);
        call.failures = call.failures.saturating_add(1);
        call.not_before = Some(now + wait);
        if error.code == ErrorCode::RateLimited.code() {
            match class(&call.command) {
                Class::Send => self.sends_held_until = call.not_before,
                Class::Fetch => self.fetches_held_until = call.not_before,
                Class::Other => {}
            }
        }
        self.waiting.insert(id, call);
    }

    /// The connection is gone. Callers' calls wait for the next one, but for those that may not be repeated; the
    /// driver's own are dropped, since a new connection begins with its own.
    pub(super) fn connection_lost(&mut self) {
        for (id, call) in std::mem::take(&mut self.written) {
            match call.purpose {
                Purpose::Caller { .. } if is_repeatable(&call.command) => {
                    self.waiting.insert(id, call);
                }
                Purpose::Caller { reply, .. } => answer(reply, Err(ClientError::ConnectionLost)),
                _ => {}
            }
        }
        self.waiting.retain(|_, call| matches!(call.purpose, Purpose::Caller { .. }));
    }

    /// Ends all calls.
    pub(super) fn finish(self, reason: &CloseReason) {
        for (_, call) in self.written.into_iter().chain(self.waiting) {
            if let Purpose::Caller { reply, .. } = call.purpose {
                answer(reply, Err(ClientError::Closed(reason.clone())));
            }
        }
    }
}

/// Answers a caller, who may have gone away.
pub(super) fn answer<T>(reply: oneshot::Sender<Result<T, ClientError>>, outcome: Result<T, ClientError>) {
    if reply.send(outcome).is_err() {
        tracing::trace!("the caller did not wait for the answer");
    }
}

//! The shared half of one connection: what the hub, the wheel and the drain see of it.
//!
//! The other half, the reading task, owns the session. Must never hold what only that task needs.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU32, Ordering};
use std::time::Instant;

use bytes::Bytes;
use hubbub_protocol::reply::{Outcome, Reply};
use hubbub_protocol::{CloseCode, Codec, Refusal, SessionEvent, SessionEventData, Timestamp, UserRef, WireError};
use hubbub_websocket::Opcode;
use parking_lot::Mutex;
use serde::Serialize;

use crate::outbox::{Class, Outbox, Pushed};
use crate::tally::Received;
use crate::traced::to_wire;
use crate::wheel::Scheduled;

/// Names a connection within its node; never used again.
pub type ConnectionId = u64;

/// The shared half.
pub struct Link {
    /// Its name within the node.
    pub id: ConnectionId,
    /// How its frames are written.
    pub codec: Codec,
    /// Whether shared compressed frames may be sent to it.
    pub deflate: bool,
    /// Where it comes from.
    pub address: IpAddr,
    /// What waits to be written.
    pub outbox: Outbox,
    /// What came in.
    pub received: Received,
    /// Who signed on, for the debug view.
    user: Mutex<Option<UserRef>>,
    /// When it was upgraded.
    pub since: Instant,
    /// When its token ends, in milliseconds since the Unix epoch; 0 before it has signed on.
    expires_at: AtomicI64,
    /// Anything came since the last heartbeat.
    alive: AtomicBool,
    /// Heartbeats that nothing answered.
    missed: AtomicU8,
    /// What the wheel has scheduled for it.
    pub(crate) scheduled: Scheduled,
    /// How many rooms it follows, for the debug view.
    pub subscriptions: AtomicU32,
    /// One replay at a time brings its next part, so that a connection that resumes many rooms has one part in memory.
    pub(crate) replay_turn: tokio::sync::Mutex<()>,
}

impl Link {
    /// A connection that has just been upgraded.
    #[must_use]
    pub fn new(id: ConnectionId, codec: Codec, deflate: bool, address: IpAddr, outbox: Outbox) -> Self {
        Self {
            id,
            codec,
            deflate,
            address,
            outbox,
            received: Received::default(),
            user: Mutex::new(None),
            since: Instant::now(),
            expires_at: AtomicI64::new(0),
            alive: AtomicBool::new(true),
            missed: AtomicU8::new(0),
            scheduled: Scheduled::default(),
            subscriptions: AtomicU32::new(0),
            replay_turn: tokio::sync::Mutex::default(),
        }
    }

    /// The opcode of its frames.
    #[must_use]
    pub fn opcode(&self) -> Opcode {
        opcode(self.codec)
    }

    /// Pushes a frame of this connection's own: a reply or a session event.
    pub fn push<T: Serialize>(&self, value: &T) -> Pushed {
        self.outbox.push(encode_frame(self.codec, value), Class::Paced)
    }

    /// Pushes a refusal; `re` of none where it answers no command.
    pub fn push_refusal(&self, re: Option<u64>, refusal: &Refusal) -> Pushed {
        self.outbox.push(refusal_frame(self.codec, re, &self.logged(refusal)), Class::Paced)
    }

    /// Ends the connection with a refusal that says why, then the close frame.
    pub fn close_refused(&self, refusal: &Refusal, code: CloseCode) {
        self.outbox.close(Some(refusal_frame(self.codec, None, &self.logged(refusal))), code);
    }

    /// The refusal for the wire, to be found in the log by its trace. Its sentence may quote what a client wrote.
    fn logged(&self, refusal: &Refusal) -> WireError {
        let error = to_wire(refusal);
        tracing::debug!(connection = self.id, trace = %error.trace, code = error.code, name = error.name, "refused");
        error
    }

    /// Ends the connection with `session.closing`, then the close frame; false when it was about to end already.
    pub fn close_told(&self, code: CloseCode, retry_after_ms: u64) -> bool {
        let event = SessionEventData::Closing { reason: code.name().to_owned(), retry_after_ms };
        self.outbox.close(Some(encode_frame(self.codec, &SessionEvent::now(event))), code)
    }

    /// Notes a sign of life.
    pub fn touch(&self) {
        self.alive.store(true, Ordering::Relaxed);
    }

    /// One heartbeat: how many in a row were missed before this one.
    pub fn beat(&self) -> u8 {
        if self.alive.swap(false, Ordering::Relaxed) {
            self.missed.store(0, Ordering::Relaxed);
            return 0;
        }
        self.missed.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// Notes who signed on and until when.
    pub fn sign_on(&self, user: &UserRef, expires_at: Timestamp) {
        *self.user.lock() = Some(user.clone());
        self.expires_at.store(expires_at.millis(), Ordering::Release);
    }

    /// Who signed on.
    #[must_use]
    pub fn user(&self) -> Option<UserRef> {
        self.user.lock().clone()
    }

    /// When its token ends; none before it has signed on.
    #[must_use]
    pub fn expires_at(&self) -> Option<Timestamp> {
        match self.expires_at.load(Ordering::Acquire) {
            0 => None,
            millis => Some(Timestamp::from_millis(millis)),
        }
    }
}

/// The opcode of a codec's frames.
#[must_use]
pub fn opcode(codec: Codec) -> Opcode {
    match codec {
        Codec::Json => Opcode::Text,
        Codec::MessagePack => Opcode::Binary,
    }
}

/// A whole WebSocket frame with `value` in it.
#[must_use]
pub fn encode_frame<T: Serialize>(codec: Codec, value: &T) -> Bytes {
    hubbub_websocket::frame(opcode(codec), &codec.encode(value))
}

/// A frame with an `err`.
#[must_use]
pub fn refusal_frame(codec: Codec, re: Option<u64>, error: &WireError) -> Bytes {
    encode_frame(codec, &Reply { re, outcome: Outcome::<()>::Err(error) })
}

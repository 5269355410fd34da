//! Every refusal: its code, name, HTTP status and whether a retry may help (CONTRACT §5).
//!
//! Codes are append-only: a snapshot test guards the table. Must never carry internal text to a client.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::TraceId;
use crate::time::Timestamp;

macro_rules! error_codes {
    ($($variant:ident = $code:literal $name:literal http $http:literal retry $retry:literal : $meaning:literal;)*) => {
        /// The stable code of a refusal. Programs rely on code, name and retry; the prose may change.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum ErrorCode {
            $(#[doc = $meaning] $variant,)*
        }

        impl ErrorCode {
            /// Every code there is, in the order of the contract.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The number on the wire.
            #[must_use]
            pub const fn code(self) -> u32 {
                match self { $(Self::$variant => $code,)* }
            }

            /// The name on the wire, in snake case.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The HTTP status that carries it (CONTRACT §3).
            #[must_use]
            pub const fn http_status(self) -> u16 {
                match self { $(Self::$variant => $http,)* }
            }

            /// Whether the same request may succeed later.
            #[must_use]
            pub const fn retry(self) -> bool {
                match self { $(Self::$variant => $retry,)* }
            }

            /// What it means, for people.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)* }
            }

            /// The code with this number.
            #[must_use]
            pub const fn from_code(code: u32) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

error_codes! {
    Malformed = 10001 "malformed" http 400 retry false: "The frame cannot be decoded, is no object, or its id or cmd is missing or wrong.";
    UnknownCommand = 10002 "unknown_command" http 400 retry false: "No command has this name.";
    InvalidField = 10003 "invalid_field" http 400 retry false: "An argument is missing or of a wrong type, range or length; `field` says which.";
    TooLarge = 10004 "too_large" http 413 retry false: "The HTTP body is larger than `limits.message_bytes_max`.";
    UnsupportedProtocol = 10005 "unsupported_protocol" http 400 retry false: "None of the offered sub-protocols is known here.";
    Unauthenticated = 20001 "unauthenticated" http 401 retry false: "Nobody has signed on; authenticate first.";
    TokenInvalid = 20002 "token_invalid" http 401 retry false: "The token is not one that this cluster accepts, or names somebody else.";
    TokenExpired = 20003 "token_expired" http 401 retry false: "The token has expired; get a new one.";
    Forbidden = 20004 "forbidden" http 403 retry false: "You may see this, but not do it.";
    SessionRevoked = 20005 "session_revoked" http 401 retry false: "The session of this token was ended.";
    CredentialsWrong = 20006 "credentials_wrong" http 401 retry false: "No user has this name and password.";
    OriginRefused = 20007 "origin_refused" http 403 retry false: "Pages of this origin may not connect; see `auth.allowed_origins`.";
    AuthenticationTimeout = 20008 "authentication_timeout" http 401 retry false: "Nobody signed on in time.";
    RoomNotFound = 30001 "room_not_found" http 404 retry false: "There is no such room, or none that you may see.";
    NotAMember = 30002 "not_a_member" http 403 retry false: "Only members may do this; join the room first.";
    MessageNotFound = 30003 "message_not_found" http 404 retry false: "There is no such message.";
    Conflict = 30004 "conflict" http 409 retry false: "Something with this name is there already, or the present state forbids this.";
    RoomFull = 30005 "room_full" http 409 retry false: "The room takes no more members.";
    RateLimited = 40001 "rate_limited" http 429 retry true: "Too many requests; wait for `retry_after_ms`.";
    TooManyConnections = 40002 "too_many_connections" http 429 retry true: "This user or address has too many connections.";
    DuplicateMessage = 40003 "duplicate_message" http 429 retry false: "The same message was sent a moment ago.";
    SpamSuspected = 40004 "spam_suspected" http 429 retry false: "This looks like spam.";
    TooManySubscriptions = 40005 "too_many_subscriptions" http 429 retry false: "This connection follows as many rooms as it may.";
    Internal = 90001 "internal" http 500 retry true: "A fault of ours; the trace id finds it in our log.";
    Unavailable = 90002 "unavailable" http 503 retry true: "The database cannot be reached at the moment.";
    Overloaded = 90003 "overloaded" http 503 retry true: "This node is full or about to stop; try again, perhaps on another.";
}

/// Why something was refused, before it is given a time and a trace id for the wire.
///
/// `message` is shown to people and must hold nothing internal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// Which rule refused.
    pub code: ErrorCode,
    /// One sentence for a person.
    pub message: String,
    /// The argument that is wrong.
    pub field: Option<String>,
    /// How long to wait before the next try, in milliseconds.
    pub retry_after_ms: Option<u64>,
    /// Set by whoever wrote the cause to the log; the wire has the trace of the command otherwise.
    pub trace: Option<TraceId>,
}

impl Refusal {
    /// A refusal with the code's own sentence.
    #[must_use]
    pub fn new(code: ErrorCode) -> Self {
        Self { code, message: code.meaning().to_owned(), field: None, retry_after_ms: None, trace: None }
    }

    /// The same refusal with a sentence of its own.
    #[must_use]
    pub fn because(mut self, message: impl Into<String>) -> Self {
        self.message = message.into();
        self
    }

    /// A wrong argument (10003).
    #[must_use]
    pub fn field(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code: ErrorCode::InvalidField,
            message: message.into(),
            field: Some(field.into()),
            retry_after_ms: None,
            trace: None,
        }
    }

    /// Says when to try again, in milliseconds.
    #[must_use]
    pub fn retry_after(mut self, retry_after_ms: u64) -> Self {
        self.retry_after_ms = Some(retry_after_ms);
        self
    }

    /// The same refusal, whose cause stands in the log under this trace id.
    #[must_use]
    pub fn traced(mut self, trace: TraceId) -> Self {
        self.trace = Some(trace);
        self
    }

    /// The error object of the wire, as of now.
    #[must_use]
    pub fn to_wire(&self) -> WireError {
        self.to_wire_within(TraceId::new)
    }

    /// The error object of the wire, as of now, with this trace id unless the refusal has one.
    #[must_use]
    pub fn to_wire_within(&self, trace: impl FnOnce() -> TraceId) -> WireError {
        WireError {
            code: self.code.code(),
            name: self.code.name().into(),
            message: self.message.clone(),
            retry: self.code.retry(),
            retry_after_ms: self.retry_after_ms,
            field: self.field.clone(),
            at: Timestamp::now(),
            trace: self.trace.clone().unwrap_or_else(trace),
        }
    }
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Self {
        Self::new(code)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.code.code(), self.code.name(), self.message)?;
        if let Some(field) = &self.field {
            write!(f, " (field {field})")?;
        }
        Ok(())
    }
}

impl std::error::Error for Refusal {}

/// The error object of a reply and of an HTTP answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct WireError {
    /// Stable number.
    pub code: u32,
    /// Stable name.
    pub name: String,
    /// A sentence for people; may change.
    pub message: String,
    /// Whether the same request may succeed later.
    pub retry: bool,
    /// How long to wait, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub retry_after_ms: Option<u64>,
    /// The argument that is wrong.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub field: Option<String>,
    /// When it was refused.
    pub at: Timestamp,
    /// Finds the refusal in the node's log: the id of the command's trace, 32 hexadecimal digits.
    pub trace: TraceId,
}

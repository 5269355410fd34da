//! Everything that can go wrong for a caller, as types.
//!
//! Must never carry a token, a password or a body.

use hubbub_protocol::WireError;
use thiserror::Error;

/// Why a call failed.
#[derive(Clone, PartialEq, Debug, Error)]
pub enum ClientError {
    /// The configuration cannot work: an address, a certificate file, an empty list.
    #[error("{0}")]
    Config(String),
    /// An argument breaks a rule that the client knows, so it was not sent.
    #[error("{field}: {rule}")]
    Invalid {
        /// Which argument.
        field: &'static str,
        /// The rule.
        rule: String,
    },
    /// The server refused it.
    #[error("{} ({} {})", .0.message, .0.code, .0.name)]
    Refused(Box<WireError>),
    /// This command is the client's own business: use [`crate::Client::follow`], or leave it to the client.
    #[error("{0} is sent by the client itself")]
    Reserved(&'static str),
    /// The room is followed already by a [`crate::RoomStream`] of this client.
    #[error("this room is followed already")]
    AlreadyFollowed,
    /// The connection was lost before the answer, and the command must not be repeated blindly (`room.create`).
    #[error("the connection was lost before the answer came")]
    ConnectionLost,
    /// No answer within the time limit.
    #[error("no answer in time{}", .last.as_ref().map(|last| format!(" ({last})")).unwrap_or_default())]
    TimedOut {
        /// Why the last attempt to connect failed, if that is what took the time.
        last: Option<String>,
    },
    /// The answer was not what the protocol says.
    #[error("unreadable answer: {0}")]
    Unreadable(String),
    /// The client has ended.
    #[error("{0}")]
    Closed(CloseReason),
}

impl ClientError {
    /// The server's code, when it was the server who refused.
    #[must_use]
    pub fn code(&self) -> Option<u32> {
        match self {
            Self::Refused(error) | Self::Closed(CloseReason::Refused(error)) => Some(error.code),
            _ => None,
        }
    }
}

impl From<WireError> for ClientError {
    fn from(error: WireError) -> Self {
        Self::Refused(Box::new(error))
    }
}

/// Why a client ended for good.
#[derive(Clone, PartialEq, Debug, Error)]
pub enum CloseReason {
    /// [`crate::Client::close`], or every clone of the client was dropped.
    #[error("closed by the caller")]
    ByCaller,
    /// Login or handshake was refused in a way that no retry helps.
    #[error("{} ({} {})", .0.message, .0.code, .0.name)]
    Refused(Box<WireError>),
    /// The server closed with a code that forbids to reconnect (CONTRACT §5: 4500-4999).
    #[error("the server closed the connection: {reason} ({code})")]
    Server {
        /// The close code.
        code: u16,
        /// Its name, or what the server said.
        reason: String,
    },
    /// The server's certificate is not trusted.
    #[error("the server's certificate is not trusted: {0}")]
    Certificate(String),
    /// What answered does not speak Hubbub's protocol.
    #[error("no Hubbub node answers there: {0}")]
    NotHubbub(String),
}

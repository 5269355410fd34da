//! Hubbub's wire language: commands, replies, events, error and close codes, ids and limits,
//! as JSON and as MessagePack from the same types.
//!
//! Owns every name and shape that crosses a socket. Must never do I/O, know tokio, or decide who may do what.
//!
//! A frame is decoded in two steps: [`frame::decode`] parses any bytes into a borrowed tree and finds `id` and `cmd`;
//! [`Command::decode`] turns the arguments into a typed command and names the field that is wrong.

mod argument;
pub mod close;
pub mod codec;
pub mod command;
pub mod error;
pub mod event;
mod fields;
pub mod frame;
pub mod id;
mod json;
pub mod limit;
mod messagepack;
pub mod mutation;
pub mod object;
pub mod reply;
pub mod schema;
pub mod server;
pub mod text;
pub mod time;
pub mod trace;
pub mod value;

pub use close::CloseCode;
pub use codec::Codec;
pub use command::{Command, CommandFrame};
pub use error::{ErrorCode, Refusal, WireError};
pub use event::{RoomEvent, RoomEventData, SessionEvent, SessionEventData};
pub use id::{Epoch, MessageId, RoomId, SEQ_MAX, Seq, SessionId, TraceId, UserId};
pub use object::{Message, Room, RoomKind, RoomMember, RoomRole, UserRef};
pub use text::{ClientMsgId, RoomName, RoomSelector, UserName, UserSelector};
pub use time::Timestamp;
pub use trace::TraceContext;

//! Sans-I/O WebSocket server codec: RFC 6455 and permessage-deflate (RFC 7692). Bytes in, messages out; messages in, bytes
//! out. It must never touch a socket, a clock or a task.
//!
//! - [`Parser`] reads one connection: masks, fragments, control frames between them, UTF-8, limits, inflating.
//! - [`frame`], [`encode_frame`] and [`Deflater`] write frames that any number of sockets share.
//! - [`handshake`] has the key and the agreement on compression.

mod assembly;
mod config;
mod deflate;
mod encode;
mod error;
mod extensions;
pub mod handshake;
mod header;
mod inflate;
mod mask;
mod opcode;
mod parser;
mod utf8;

pub use config::ParserConfig;
pub use deflate::{Deflater, WINDOW_BITS_MAX, WINDOW_BITS_MIN};
pub use encode::{
    CLOSE_REASON_BYTES_MAX, SERVER_HEADER_BYTES_MAX, close_frame, close_reply, empty_close_frame, encode_frame, frame,
    frame_header_len, write_compressed_header, write_header,
};
pub use error::ProtocolError;
pub use opcode::{Opcode, close_code_is_legal};
pub use parser::{Incoming, Parser};

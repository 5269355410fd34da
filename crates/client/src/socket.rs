//! One open WebSocket: a task that reads frames and a task that writes them.
//!
//! `fastwebsockets` reads and encodes; its reader is not cancel safe, so nothing else ever waits together with it.
//! Must never know what a message means.

use std::time::Duration;

use fastwebsockets::{Frame, OpCode, Payload, Role, WebSocket, WebSocketError};
use hubbub_protocol::Codec;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Messages read ahead of the driver.
const READ_AHEAD: usize = 64;
/// Frames that wait for the socket.
const WRITE_AHEAD: usize = 128;
/// Frames that wait are joined up to so many bytes per write.
const WRITE_BYTES: usize = 64 << 10;
/// A write that takes longer means that the connection is dead.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the last frames of a connection may take to leave.
const LINGER: Duration = Duration::from_secs(1);
/// Longest payload of a control frame (RFC 6455 §5.5).
const CONTROL_BYTES_MAX: usize = 125;

/// What the reader found.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// A whole message.
    Message(Vec<u8>),
    /// A ping, to be answered with the same bytes.
    Ping(Vec<u8>),
    /// A pong: a sign of life.
    Pong,
    /// The server closes. Without a code it is 1005, as RFC 6455 §7.1.5 has it.
    Close { code: u16, reason: String },
    /// Nothing more comes: the connection broke or the bytes are no WebSocket.
    Broken(String),
}

/// A frame to write.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// A message in the connection's codec.
    Message(Vec<u8>),
    /// The answer to a ping.
    Pong(Vec<u8>),
    /// The closing handshake.
    Close { code: u16 },
}

/// The driver's ends of an open WebSocket. Dropping it drops the connection.
pub(crate) struct Socket {
    pub(crate) incoming: mpsc::Receiver<Incoming>,
    pub(crate) outgoing: mpsc::Sender<Outgoing>,
    tasks: Tasks,
}

/// Ends the tasks with the socket.
struct Tasks {
    reader: JoinHandle<()>,
    writer: JoinHandle<()>,
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.reader.abort();
        self.writer.abort();
    }
}

impl Socket {
    /// Starts both tasks. Messages above `bytes_max` break the connection.
    pub(crate) fn open(io: TokioIo<Upgraded>, codec: Codec, bytes_max: usize) -> Self {
        let (reading, writing) = tokio::io::split(io);
        let (found, incoming) = mpsc::channel(READ_AHEAD);
        let (outgoing, frames) = mpsc::channel(WRITE_AHEAD);
        let reader = tokio::spawn(read(reading, bytes_max, found));
        let writer = tokio::spawn(write(writing, codec, frames));
        Self { incoming, outgoing, tasks: Tasks { reader, writer } }
    }

    /// Lets what is queued (the answer to a close) leave within [`LINGER`], then drops the connection.
    pub(crate) fn linger(self) {
        let Self { incoming, outgoing, mut tasks } = self;
        // Without a sender the writer ends when its queue is empty; without a receiver the reader ends.
        drop((incoming, outgoing));
        tokio::spawn(async move {
            if timeout(LINGER, &mut tasks.writer).await.is_err() {
                tracing::debug!("the server did not read the closing frame");
            }
        });
    }
}

async fn read(reading: ReadHalf<TokioIo<Upgraded>>, bytes_max: usize, found: mpsc::Sender<Incoming>) {
    // The reader never writes: pings and closes are passed on, and the writer's task answers them.
    let mut socket = WebSocket::after_handshake(tokio::io::join(reading, tokio::io::sink()), Role::Client);
    socket.set_auto_pong(false);
    socket.set_auto_close(false);
    socket.set_max_message_size(bytes_max.saturating_add(1));
    let mut assembly = Assembly { bytes_max, begun: None };
    loop {
        let incoming = match socket.read_frame().await {
            Ok(frame) => assembly.take(frame),
            Err(error) => Some(Incoming::Broken(broken(&error))),
        };
        let Some(incoming) = incoming else { continue };
        let last = matches!(incoming, Incoming::Close { .. } | Incoming::Broken(_));
        if found.send(incoming).await.is_err() || last {
            return;
        }
    }
}

fn broken(error: &WebSocketError) -> String {
    match error {
        WebSocketError::UnexpectedEOF => "the server hung up".into(),
        WebSocketError::IoError(error) => format!("the connection broke: {error}"),
        other => format!("the server broke the WebSocket protocol: {other}"),
    }
}

/// Joins fragments. `fastwebsockets` has a collector, which bounds each frame but not the whole message.
struct Assembly {
    bytes_max: usize,
    begun: Option<Vec<u8>>,
}

impl Assembly {
    fn take(&mut self, frame: Frame<'_>) -> Option<Incoming> {
        let payload = frame.payload;
        let broken = |reason: &str| Some(Incoming::Broken(reason.into()));
        match (frame.opcode, &mut self.begun) {
            (OpCode::Ping, _) => Some(Incoming::Ping(payload.into())),
            (OpCode::Pong, _) => Some(Incoming::Pong),
            (OpCode::Close, _) => Some(close(&payload)),
            (OpCode::Text | OpCode::Binary, None) if frame.fin => Some(Incoming::Message(payload.into())),
            (OpCode::Text | OpCode::Binary, begun @ None) => {
                *begun = Some(payload.into());
                None
            }
            (OpCode::Continuation, Some(begun)) => {
                if begun.len() + payload.len() > self.bytes_max {
                    return broken("the server sent a message above the limit");
                }
                begun.extend_from_slice(&payload);
                if frame.fin { self.begun.take().map(Incoming::Message) } else { None }
            }
            (OpCode::Text | OpCode::Binary, Some(_)) => broken("a message began inside of another"),
            (OpCode::Continuation, None) => broken("a continuation of nothing"),
        }
    }
}

fn close(payload: &[u8]) -> Incoming {
    match payload.split_first_chunk() {
        Some((code, reason)) => {
            Incoming::Close { code: u16::from_be_bytes(*code), reason: String::from_utf8_lossy(reason).into_owned() }
        }
        None => Incoming::Close { code: 1005, reason: String::new() },
    }
}

async fn write(mut writing: WriteHalf<TokioIo<Upgraded>>, codec: Codec, mut frames: mpsc::Receiver<Outgoing>) {
    let mut bytes = Vec::new();
    while let Some(frame) = frames.recv().await {
        bytes.clear();
        append(frame, codec, &mut bytes);
        while bytes.len() < WRITE_BYTES
            && let Ok(frame) = frames.try_recv()
        {
            append(frame, codec, &mut bytes);
        }
        let written = timeout(WRITE_TIMEOUT, async {
            writing.write_all(&bytes).await?;
            writing.flush().await
        });
        match written.await {
            Ok(Ok(())) => {}
            // The reader finds out as well, and tells why; a mute connection is found by the heartbeat watch.
            Ok(Err(error)) => return tracing::debug!(%error, "cannot write to the server"),
            Err(_) => return tracing::debug!("the server does not read"),
        }
    }
}

fn append(frame: Outgoing, codec: Codec, bytes: &mut Vec<u8>) {
    let mut frame = match frame {
        Outgoing::Message(message) => match codec {
            Codec::Json => Frame::text(Payload::Owned(message)),
            Codec::MessagePack => Frame::binary(Payload::Owned(message)),
        },
        Outgoing::Pong(mut payload) => {
            payload.truncate(CONTROL_BYTES_MAX);
            Frame::pong(Payload::Owned(payload))
        }
        Outgoing::Close { code } => Frame::close(code, b""),
    };
    frame.mask();
    let mut head = [0; 16];
    let length = frame.fmt_head(&mut head);
    bytes.extend_from_slice(&head[..length]);
    bytes.extend_from_slice(&frame.payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(fin: bool, opcode: OpCode, payload: &[u8]) -> Frame<'_> {
        Frame::new(fin, opcode, None, Payload::Borrowed(payload))
    }

    #[test]
    fn fragments_are_joined_around_control_frames_and_bounded() {
        let mut assembly = Assembly { bytes_max: 4, begun: None };
        assert!(assembly.take(frame(false, OpCode::Text, b"ab")).is_none());
        assert!(matches!(assembly.take(frame(true, OpCode::Ping, b"x")), Some(Incoming::Ping(_))));
        assert!(assembly.take(frame(false, OpCode::Continuation, b"c")).is_none());
        let whole = assembly.take(frame(true, OpCode::Continuation, b"d"));
        assert!(matches!(whole, Some(Incoming::Message(bytes)) if bytes == b"abcd"));
        assert!(assembly.take(frame(false, OpCode::Text, b"abcd")).is_none());
        assert!(matches!(assembly.take(frame(true, OpCode::Continuation, b"e")), Some(Incoming::Broken(_))));
    }

    #[test]
    fn a_close_without_a_code_is_1005() {
        assert!(matches!(close(b""), Incoming::Close { code: 1005, .. }));
        assert!(matches!(close(b"\x11\x94banned"), Incoming::Close { code: 4500, reason } if reason == "banned"));
    }
}

//! Neighbours that behave badly, one kind at a time: they flood, stall, bomb and come back.
//!
//! Must never end by themselves, and never use the addresses of the clients that are judged.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use flate2::Compression;
use flate2::write::DeflateEncoder;
use hubbub_protocol::RoomId;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use crate::wire;

/// What they do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Follow busy rooms and read nothing.
    SlowReaders,
    /// Send pings as fast as they are taken.
    PingFloods,
    /// Send messages of fragments that never end.
    FragmentStorms,
    /// Send a few kilobytes that inflate to megabytes.
    CompressionBombs,
    /// Send their request a byte at a time.
    SlowHandshakes,
    /// Open 5,000 sockets and say nothing.
    HalfOpen,
    /// One address that connects, leaves and comes back as fast as it can.
    ReconnectLoop,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::SlowReaders,
        Self::PingFloods,
        Self::FragmentStorms,
        Self::CompressionBombs,
        Self::SlowHandshakes,
        Self::HalfOpen,
        Self::ReconnectLoop,
    ];

    /// For people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SlowReaders => "slow readers",
            Self::PingFloods => "ping floods",
            Self::FragmentStorms => "fragment storms",
            Self::CompressionBombs => "compression bombs",
            Self::SlowHandshakes => "slow handshakes",
            Self::HalfOpen => "5,000 half-open sockets",
            Self::ReconnectLoop => "reconnect loop of one address",
        }
    }

    const fn count(self) -> u32 {
        match self {
            Self::SlowReaders | Self::ReconnectLoop => 20,
            Self::PingFloods | Self::FragmentStorms | Self::CompressionBombs => 10,
            Self::SlowHandshakes => 200,
            Self::HalfOpen => 5_000,
        }
    }
}

/// Sockets of one address, as many as a node takes of one.
const PER_ADDRESS: u32 = 50;
/// Before a neighbour that was thrown out comes back.
const RETURN: Duration = Duration::from_millis(20);
/// Between two bytes of a slow handshake.
const DRIP: Duration = Duration::from_millis(250);
/// Frames written at once.
const BURST: usize = 200;
/// What a bomb inflates to.
const BOMB_BYTES: usize = 16 << 20;
/// A mute socket waits for its end.
const FOR_EVER: Duration = Duration::from_secs(3_600);

/// Where they go and what they know.
#[derive(Clone, Debug)]
pub struct Aim {
    /// A port of this machine.
    pub port: u16,
    /// A token, for those who sign on.
    pub token: String,
    /// Rooms that are busy.
    pub rooms: Vec<RoomId>,
}

/// Neighbours who do not stop until they are dropped.
#[derive(Debug)]
pub struct Neighbours(#[expect(dead_code, reason = "dropping it ends them")] JoinSet<()>);

impl Neighbours {
    /// Lets them loose.
    #[must_use]
    pub fn start(kind: Kind, aim: &Aim) -> Self {
        let mut tasks = JoinSet::new();
        for index in 0..kind.count() {
            let aim = aim.clone();
            let address = if kind == Kind::ReconnectLoop { 0 } else { index / PER_ADDRESS };
            let source = Ipv4Addr::new(127, 0, 9, u8::try_from(address % 250).unwrap_or(0) + 1);
            tasks.spawn(async move {
                loop {
                    // To be thrown out is what they have coming; they come back.
                    behave(kind, source, &aim).await.ok();
                    tokio::time::sleep(RETURN).await;
                }
            });
        }
        Self(tasks)
    }
}

async fn behave(kind: Kind, source: Ipv4Addr, aim: &Aim) -> io::Result<()> {
    match kind {
        Kind::HalfOpen => {
            let mut stream = connect(source, aim.port).await?;
            // Until the node has enough of it.
            tokio::time::timeout(FOR_EVER, stream.read_u8()).await.map(drop)?;
            Ok(())
        }
        Kind::SlowHandshakes => {
            let mut stream = connect(source, aim.port).await?;
            for byte in wire::upgrade_request(aim.port, &aim.token).bytes() {
                stream.write_u8(byte).await?;
                tokio::time::sleep(DRIP).await;
            }
            Ok(())
        }
        Kind::ReconnectLoop => open(source, aim, false).await.map(drop),
        Kind::SlowReaders => {
            let mut stream = open(source, aim, false).await?;
            for (id, room) in aim.rooms.iter().enumerate() {
                let command = serde_json::json!({ "id": id + 1, "cmd": "room.subscribe", "room": room, "last": 1_000 });
                stream.write_all(&wire::text_frame(&command.to_string())).await?;
            }
            tokio::time::sleep(FOR_EVER).await;
            Ok(())
        }
        Kind::PingFloods => repeat(open(source, aim, false).await?, &wire::frame(PING, b"flood")).await,
        Kind::FragmentStorms => {
            let mut stream = open(source, aim, false).await?;
            stream.write_all(&unfinished(TEXT)).await?;
            repeat(stream, &unfinished(CONTINUATION)).await
        }
        Kind::CompressionBombs => {
            let mut stream = open(source, aim, true).await?;
            let mut frame = wire::frame(TEXT, &bomb()?);
            frame[0] |= COMPRESSED;
            stream.write_all(&frame).await?;
            let mut answer = [0; 256];
            while stream.read(&mut answer).await? != 0 {}
            Ok(())
        }
    }
}

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const PING: u8 = 9;
const FIN: u8 = 0x80;
const COMPRESSED: u8 = 0x40;

/// A frame of one byte that is not the last of its message.
fn unfinished(opcode: u8) -> Vec<u8> {
    let mut frame = wire::frame(opcode, b"x");
    frame[0] &= !FIN;
    frame
}

/// Zeros, as permessage-deflate sends them (RFC 7692 §7.2.1): without the last four bytes of the flush.
fn bomb() -> io::Result<Vec<u8>> {
    use std::io::Write as _;
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&vec![0; BOMB_BYTES])?;
    encoder.flush()?;
    let mut bytes = encoder.get_ref().clone();
    bytes.truncate(bytes.len().saturating_sub(4));
    Ok(bytes)
}

async fn repeat(mut stream: TcpStream, frame: &[u8]) -> io::Result<()> {
    let burst = frame.repeat(BURST);
    loop {
        stream.write_all(&burst).await?;
    }
}

async fn connect(source: Ipv4Addr, port: u16) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(4 << 10)?;
    socket.bind(SocketAddr::from((source, 0)))?;
    socket.connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await
}

/// An open WebSocket.
async fn open(source: Ipv4Addr, aim: &Aim, deflate: bool) -> io::Result<TcpStream> {
    let mut stream = connect(source, aim.port).await?;
    let mut request = wire::upgrade_request(aim.port, &aim.token);
    if deflate {
        request.truncate(request.len() - 2);
        request.push_str("Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n");
    }
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await?);
    }
    if answer.starts_with(b"HTTP/1.1 101") { Ok(stream) } else { Err(io::ErrorKind::ConnectionRefused.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bomb_is_small_and_inflates_to_megabytes() {
        use std::io::Read as _;
        let mut bytes = bomb().expect("deflated");
        assert!(bytes.len() < 64 << 10, "{} bytes", bytes.len());
        bytes.extend_from_slice(&[0, 0, 0xFF, 0xFF]);
        let mut inflated = Vec::new();
        // The stream has no last block, so its end is an error behind everything that it holds.
        flate2::read::DeflateDecoder::new(bytes.as_slice()).read_to_end(&mut inflated).ok();
        assert_eq!(inflated.len(), BOMB_BYTES);
    }
}

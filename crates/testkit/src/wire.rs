//! A bare WebSocket client that hides nothing: every frame as it came over one connection.
//!
//! Must never reconnect, retry or repair; whoever uses it records what it sees.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf as _, BytesMut};
use hubbub_protocol::Codec;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How long connecting and upgrading may take together, and one write.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Larger heads of answers are none of ours.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// What came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Frame {
    /// A text message.
    Text(String),
    /// A ping; answer it with [`Socket::pong`].
    Ping(Vec<u8>),
    /// A pong.
    Pong,
    /// The server says goodbye.
    Close {
        /// 1005 when it named none.
        code: u16,
        /// Its reason.
        reason: String,
    },
}

/// Why a connection did not come about or ended.
#[derive(Debug)]
pub enum Broken {
    /// The connection failed or ended.
    Lost(String),
    /// The upgrade was refused with this HTTP status and body.
    Refused {
        /// The status.
        status: u16,
        /// The body, as far as it came.
        body: String,
    },
}

impl Broken {
    /// What a person would call it, in words that can be counted.
    #[must_use]
    pub fn kind(&self) -> String {
        match self {
            Self::Lost(reason) if reason.starts_with("closed: ") => {
                let code = reason.split(' ').nth(1).unwrap_or("1005");
                format!("connection closed {code}")
            }
            Self::Lost(_) => "connection lost".to_owned(),
            Self::Refused { status, .. } => format!("upgrade refused {status}"),
        }
    }
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Lost(reason) => write!(f, "lost: {reason}"),
            Self::Refused { status, body } => write!(f, "refused with HTTP {status}: {body}"),
        }
    }
}

impl std::error::Error for Broken {}

impl From<std::io::Error> for Broken {
    fn from(error: std::io::Error) -> Self {
        Self::Lost(error.to_string())
    }
}

/// An open WebSocket without TLS, in JSON.
#[derive(Debug)]
pub struct Socket {
    stream: TcpStream,
    read: BytesMut,
    /// A text message whose last frame has not come yet.
    partial: Vec<u8>,
}

impl Socket {
    /// Connects to a port of this machine and signs on with a token in the header.
    ///
    /// # Errors
    /// When nobody answers in time, or the upgrade is refused.
    pub async fn open(port: u16, token: &str) -> Result<Self, Broken> {
        let opened = tokio::time::timeout(TIMEOUT, Self::upgrade(port, token)).await;
        opened.unwrap_or_else(|_| Err(Broken::Lost("no answer in time".to_owned())))
    }

    async fn upgrade(port: u16, token: &str) -> Result<Self, Broken> {
        let mut stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
        stream.set_nodelay(true)?;
        stream.write_all(upgrade_request(port, token).as_bytes()).await?;
        let mut read = BytesMut::with_capacity(4096);
        let head = loop {
            if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
                break read.split_to(end + 4);
            }
            if read.len() > HEAD_BYTES_MAX || stream.read_buf(&mut read).await? == 0 {
                return Err(Broken::Lost("no HTTP answer".to_owned()));
            }
        };
        let head = String::from_utf8_lossy(&head).into_owned();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        if status != 101 {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
            });
            while read.len() < length.unwrap_or(0).min(HEAD_BYTES_MAX) && stream.read_buf(&mut read).await? != 0 {}
            return Err(Broken::Refused { status, body: String::from_utf8_lossy(&read).into_owned() });
        }
        Ok(Self { stream, read, partial: Vec::new() })
    }

    /// Sends one text message.
    ///
    /// # Errors
    /// When the connection has ended or takes nothing for five seconds.
    pub async fn send(&mut self, text: &str) -> Result<(), Broken> {
        self.write(&frame(OPCODE_TEXT, text.as_bytes())).await
    }

    /// Sends a ping.
    ///
    /// # Errors
    /// As [`Socket::send`].
    pub async fn ping(&mut self) -> Result<(), Broken> {
        self.write(&frame(OPCODE_PING, b"")).await
    }

    /// Answers a ping.
    ///
    /// # Errors
    /// As [`Socket::send`].
    pub async fn pong(&mut self, payload: &[u8]) -> Result<(), Broken> {
        self.write(&frame(OPCODE_PONG, payload)).await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        match tokio::time::timeout(TIMEOUT, self.stream.write_all(bytes)).await {
            Ok(written) => Ok(written?),
            Err(_) => Err(Broken::Lost("it takes nothing".to_owned())),
        }
    }

    /// The next frame. Cancel safe.
    ///
    /// # Errors
    /// When the connection has ended.
    pub async fn next(&mut self) -> Result<Frame, Broken> {
        loop {
            if let Some(frame) = self.take()? {
                return Ok(frame);
            }
            if self.stream.read_buf(&mut self.read).await? == 0 {
                return Err(Broken::Lost("closed without goodbye".to_owned()));
            }
        }
    }

    fn take(&mut self) -> Result<Option<Frame>, Broken> {
        while let Some((first, header, length)) = header(&self.read)? {
            if self.read.len() < header + length {
                return Ok(None);
            }
            self.read.advance(header);
            let payload = self.read.split_to(length).to_vec();
            let frame = match first & 0x0F {
                OPCODE_CONTINUATION | OPCODE_TEXT => {
                    self.partial.extend_from_slice(&payload);
                    if first & FIN == 0 {
                        continue;
                    }
                    let text = String::from_utf8(std::mem::take(&mut self.partial));
                    Frame::Text(text.map_err(|_| Broken::Lost("text that is not UTF-8".to_owned()))?)
                }
                OPCODE_CLOSE => match payload.as_slice() {
                    [high, low, reason @ ..] => Frame::Close {
                        code: u16::from_be_bytes([*high, *low]),
                        reason: String::from_utf8_lossy(reason).into_owned(),
                    },
                    _ => Frame::Close { code: 1005, reason: String::new() },
                },
                OPCODE_PING => Frame::Ping(payload),
                OPCODE_PONG => Frame::Pong,
                other => return Err(Broken::Lost(format!("a frame of opcode {other}"))),
            };
            return Ok(Some(frame));
        }
        Ok(None)
    }
}

const FIN: u8 = 0x80;
const OPCODE_CONTINUATION: u8 = 0;
const OPCODE_TEXT: u8 = 1;
const OPCODE_CLOSE: u8 = 8;
const OPCODE_PING: u8 = 9;
const OPCODE_PONG: u8 = 10;

/// First byte, length of the header and of the payload, once they are there (RFC 6455 §5.2).
fn header(bytes: &[u8]) -> Result<Option<(u8, usize, usize)>, Broken> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    if first & 0x70 != 0 || second & 0x80 != 0 {
        return Err(Broken::Lost("a frame with reserved bits or a mask".to_owned()));
    }
    Ok(match (second, rest) {
        (126, [a, b, ..]) => Some((*first, 4, usize::from(u16::from_be_bytes([*a, *b])))),
        (127, [a, b, c, d, e, f, g, h, ..]) => {
            let length = u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]);
            Some((*first, 10, usize::try_from(length).map_err(|_| Broken::Lost("a huge frame".to_owned()))?))
        }
        (126 | 127, _) => None,
        (short, _) => Some((*first, 2, usize::from(*short))),
    })
}

/// One masked frame of a client. The mask guards proxies against clients (RFC 6455 §10.3); between a test and its
/// server a fixed one does.
#[must_use]
pub fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x5A, 0xA5, 0x3C, 0xC3];
    let mut bytes = vec![FIN | opcode];
    match payload.len() {
        short @ 0..=125 => bytes.push(0x80 | short as u8),
        middle @ 126..=0xFFFF => {
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&(middle as u16).to_be_bytes());
        }
        long => {
            bytes.push(0x80 | 127);
            bytes.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(&MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// One masked text frame.
#[must_use]
pub fn text_frame(text: &str) -> Vec<u8> {
    frame(OPCODE_TEXT, text.as_bytes())
}

/// The request that opens a WebSocket, signed on by header.
#[must_use]
pub fn upgrade_request(port: u16, token: &str) -> String {
    let key = STANDARD.encode(rand::random::<[u8; 16]>());
    format!(
        "GET /v1/ws HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Protocol: {}\r\n\
        Authorization: Bearer {token}\r\n\r\n",
        Codec::Json.subprotocol()
    )
}

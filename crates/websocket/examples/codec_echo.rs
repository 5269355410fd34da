//! Owns the smallest server around the codec: one thread per connection, every message sent back. It is there to run the
//! Autobahn suite against the codec alone; it must never be taken for the gateway, which has deadlines and bounds.
//!
//! `cargo run --release -p hubbub-websocket --example codec_echo -- 127.0.0.1:9001`

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

use hubbub_websocket::{
    Deflater, Incoming, Opcode, Parser, ParserConfig, close_frame, close_reply, encode_frame,
    handshake::{self, DeflateAgreement},
};

const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;
const HEAD_BYTES_MAX: usize = 16 * 1024;
const READ_BYTES: usize = 64 * 1024;
const DEFLATE_LEVEL: u32 = 1;

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| String::from("127.0.0.1:0"));
    let listener = TcpListener::bind(address)?;
    writeln!(io::stdout(), "listening on {}", listener.local_addr()?)?;
    for stream in listener.incoming() {
        let stream = stream?;
        thread::spawn(move || {
            if let Err(error) = serve(stream) {
                writeln!(io::stderr(), "connection: {error}").ok();
            }
        });
    }
    Ok(())
}

fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; READ_BYTES];
    let Some(opened) = open(&mut stream, &mut buffer)? else { return Ok(()) };
    let config = ParserConfig {
        frame_bytes_max: MESSAGE_BYTES_MAX,
        message_bytes_max: MESSAGE_BYTES_MAX,
        deflate: opened.deflate.is_some(),
    };
    let mut parser = Parser::new(config);
    let mut writer = Writer::new(opened.deflate.as_ref());
    let mut filled = opened.behind;
    loop {
        let mut input = &mut buffer[..filled];
        let mut out = Vec::new();
        let mut over = false;
        while !over {
            match parser.next(&mut input) {
                Ok(Some(incoming)) => over = writer.answer(incoming, &mut out),
                Ok(None) => break,
                Err(error) => {
                    out.extend_from_slice(&close_frame(error.close_code(), error.reason()));
                    over = true;
                }
            }
        }
        stream.write_all(&out)?;
        if over {
            return linger(&mut stream, &mut buffer);
        }
        filled = stream.read(&mut buffer)?;
        if filled == 0 {
            return Ok(());
        }
    }
}

/// Reads until the peer is done, so that bytes on their way do not turn the close into a reset.
fn linger(stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<()> {
    stream.shutdown(Shutdown::Write)?;
    stream.set_read_timeout(Some(std::time::Duration::from_secs(2)))?;
    while stream.read(buffer).is_ok_and(|read| read > 0) {}
    Ok(())
}

struct Writer {
    /// With the agreement's window, since it serves this connection only.
    deflater: Option<Deflater>,
}

impl Writer {
    fn new(agreement: Option<&DeflateAgreement>) -> Self {
        let window_bits = agreement.and_then(DeflateAgreement::compressor_window_bits);
        Self { deflater: window_bits.map(|bits| Deflater::with_window_bits(DEFLATE_LEVEL, bits)) }
    }

    /// Writes the answer to one message; true when the connection is over.
    fn answer(&mut self, incoming: Incoming<'_>, out: &mut Vec<u8>) -> bool {
        match incoming {
            Incoming::Text(text) => self.message(Opcode::Text, text.as_bytes(), out),
            Incoming::Binary(bytes) => self.message(Opcode::Binary, &bytes, out),
            Incoming::Ping(payload) => encode_frame(Opcode::Pong, &payload, out),
            Incoming::Pong(_) | Incoming::Fragment => {}
            Incoming::Close(close) => {
                out.extend_from_slice(&close_reply(close.map(|(code, _)| code)));
                return true;
            }
        }
        false
    }

    fn message(&mut self, opcode: Opcode, payload: &[u8], out: &mut Vec<u8>) {
        match &mut self.deflater {
            Some(deflater) => {
                deflater.compress_frame(opcode, payload, out);
            }
            None => encode_frame(opcode, payload, out),
        }
    }
}

struct Opened {
    deflate: Option<DeflateAgreement>,
    /// Bytes that came behind the request head, moved to the front of the buffer.
    behind: usize,
}

/// The opening handshake, as far as an echo server needs it.
fn open(stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<Option<Opened>> {
    let mut filled = 0;
    let head_len = loop {
        let read = stream.read(&mut buffer[filled..HEAD_BYTES_MAX])?;
        filled += read;
        if let Some(at) = buffer[..filled].windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if read == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&buffer[..head_len]).into_owned();
    buffer.copy_within(head_len..filled, 0);
    let values = |name: &'static str| {
        head.lines()
            .filter_map(|line| line.split_once(':'))
            .filter(move |(header, _)| header.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    };
    let Some(key) = values("Sec-WebSocket-Key").next().filter(|key| handshake::key_is_valid(key)) else {
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
        return Ok(None);
    };
    let deflate = handshake::negotiate_deflate(values("Sec-WebSocket-Extensions"));
    let mut response = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n",
        handshake::accept_key(key)
    );
    if let Some(agreement) = &deflate {
        response.push_str(&format!("Sec-WebSocket-Extensions: {}\r\n", agreement.response_header));
    }
    response.push_str("\r\n");
    stream.write_all(response.as_bytes())?;
    Ok(Some(Opened { deflate, behind: filled - head_len }))
}

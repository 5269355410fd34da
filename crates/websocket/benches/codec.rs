//! Reading masked client messages: this codec beside `fastwebsockets` and `tungstenite`, from memory, in reads of 64 KiB, with
//! unmasking and UTF-8 checks on all three. Then what only this codec does.
//!
//! `cargo bench -p hubbub-websocket --bench codec` prints time and throughput; compare within one run only.

use std::hint::black_box;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use flate2::{Compress, Compression, FlushCompress};
use hubbub_websocket::{Deflater, Incoming, Opcode, Parser, ParserConfig, encode_frame};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tungstenite::protocol::{Role, WebSocket, WebSocketConfig};

/// What the gateway reads at once.
const READ_BYTES: usize = 64 * 1024;

/// Bytes of one stream: enough that set-up costs nothing, little enough that it stays in the cache.
const STREAM_BYTES: usize = 4 * 1024 * 1024;

const CONFIG: ParserConfig = ParserConfig { frame_bytes_max: 2 << 20, message_bytes_max: 2 << 20, deflate: true };

/// Text as chat has it: mostly ASCII, with some of the rest.
fn text(len: usize) -> Vec<u8> {
    let mut text = "The quick brown fox says: salut à tous, привет, 你好 🦊. ".repeat(len / 40 + 1).into_bytes();
    text.truncate(len);
    text.iter_mut().rev().take_while(|byte| **byte >= 0x80).for_each(|byte| *byte = b'.');
    text
}

/// A masked client frame.
fn client_frame(first: u8, payload: &[u8], out: &mut Vec<u8>) {
    out.push(first);
    match payload.len() {
        len @ 0..=125 => out.push(0x80 | len as u8),
        len @ 126..=0xffff => {
            out.push(0xfe);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            out.push(0xff);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    let mask = [0x1b, 0xc4, 0x77, 0xe9];
    out.extend_from_slice(&mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
}

struct Stream {
    bytes: Vec<u8>,
    messages: usize,
}

fn stream(first: u8, payload: &[u8]) -> Stream {
    let messages = (STREAM_BYTES / payload.len()).max(1);
    let mut bytes = Vec::with_capacity(STREAM_BYTES + messages * 14);
    (0..messages).for_each(|_| client_frame(first, payload, &mut bytes));
    Stream { bytes, messages }
}

fn read_hubbub(stream: &Stream, buffer: &mut [u8]) -> usize {
    let mut parser = Parser::new(CONFIG);
    let mut messages = 0;
    for read in stream.bytes.chunks(READ_BYTES) {
        buffer[..read.len()].copy_from_slice(read);
        let mut input = &mut buffer[..read.len()];
        while let Some(incoming) = parser.next(&mut input).expect("legal") {
            messages += usize::from(matches!(incoming, Incoming::Text(_) | Incoming::Binary(_)));
            black_box(&incoming);
        }
    }
    messages
}

/// A socket that gives out a stream and swallows what is written.
struct Source<'s> {
    rest: &'s [u8],
}

impl io::Read for Source<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let out_len = out.len().min(READ_BYTES);
        self.rest.read(&mut out[..out_len])
    }
}

impl io::Write for Source<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncRead for Source<'_> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let (read, rest) = self.rest.split_at(self.rest.len().min(out.remaining()).min(READ_BYTES));
        out.put_slice(read);
        self.rest = rest;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Source<'_> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn read_fastwebsockets(runtime: &tokio::runtime::Runtime, stream: &Stream) -> usize {
    runtime.block_on(async {
        let source = Source { rest: &stream.bytes };
        let socket = fastwebsockets::WebSocket::after_handshake(source, fastwebsockets::Role::Server);
        let mut socket = fastwebsockets::FragmentCollector::new(socket);
        for _ in 0..stream.messages {
            let frame = socket.read_frame().await.expect("legal");
            // Its collector leaves the check of an unfragmented text to the caller.
            if frame.opcode == fastwebsockets::OpCode::Text {
                assert!(frame.is_utf8());
            }
            black_box(&frame);
        }
        stream.messages
    })
}

fn read_tungstenite(stream: &Stream) -> usize {
    let config = WebSocketConfig::default().read_buffer_size(READ_BYTES);
    let source = Source { rest: &stream.bytes };
    let mut socket = WebSocket::from_raw_socket(source, Role::Server, Some(config));
    for _ in 0..stream.messages {
        black_box(&socket.read().expect("legal"));
    }
    stream.messages
}

fn reading(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime without drivers");
    let mut buffer = vec![0; READ_BYTES];
    for (kind, first) in [("text", 0x81), ("binary", 0x82)] {
        let mut group = c.benchmark_group(format!("read {kind}"));
        for len in [64, 16 * 1024, 1024 * 1024] {
            let stream = stream(first, &text(len));
            group.throughput(Throughput::Elements(stream.messages as u64));
            group.bench_function(BenchmarkId::new("hubbub", len), |b| b.iter(|| read_hubbub(&stream, &mut buffer)));
            group.bench_function(BenchmarkId::new("fastwebsockets", len), |b| {
                b.iter(|| read_fastwebsockets(&runtime, &stream));
            });
            group.bench_function(BenchmarkId::new("tungstenite", len), |b| b.iter(|| read_tungstenite(&stream)));
        }
        group.finish();
    }
}

fn deflated(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + 64);
    Compress::new(Compression::fast(), false)
        .compress_vec(payload, &mut out, FlushCompress::Sync)
        .expect("room for all of it");
    out.truncate(out.len() - 4);
    out
}

fn compression(c: &mut Criterion) {
    let mut buffer = vec![0; READ_BYTES];
    let mut group = c.benchmark_group("deflate");
    for len in [256, 16 * 1024] {
        let payload = text(len);
        let stream = stream(0xc1, &deflated(&payload));
        group.throughput(Throughput::Elements(stream.messages as u64));
        group.bench_function(BenchmarkId::new("read", len), |b| b.iter(|| read_hubbub(&stream, &mut buffer)));
        group.throughput(Throughput::Elements(1));
        for level in [1, 6] {
            let mut deflater = Deflater::new(level);
            let mut out = Vec::with_capacity(len * 2);
            group.bench_function(BenchmarkId::new(format!("write level {level}"), len), |b| {
                b.iter(|| {
                    out.clear();
                    deflater.compress_frame(Opcode::Text, black_box(&payload), &mut out)
                });
            });
        }
    }
    group.finish();
}

fn writing(c: &mut Criterion) {
    let mut group = c.benchmark_group("write");
    for len in [64, 16 * 1024] {
        let payload = text(len);
        let mut out = Vec::with_capacity(len * 2);
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::new("plain", len), |b| {
            b.iter(|| {
                out.clear();
                encode_frame(Opcode::Text, black_box(&payload), &mut out);
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).warm_up_time(std::time::Duration::from_secs(1)).measurement_time(std::time::Duration::from_secs(2)).without_plots();
    targets = reading, writing, compression
}
criterion_main!(benches);

//! Streams of masked frames with arbitrary contents, so that the fuzzer need not find masks, lengths and DEFLATE by itself.

#![no_main]

mod replay;

use flate2::{Compress, Compression, FlushCompress};
use hubbub_websocket::ParserConfig;
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

#[derive(Debug, Arbitrary)]
struct Stream {
    deflate: bool,
    frame_bytes_max: u8,
    message_bytes_max: u16,
    reads: [u8; 3],
    frames: Vec<Frame>,
}

#[derive(Debug, Arbitrary)]
struct Frame {
    first: u8,
    kind: Kind,
    mask: [u8; 4],
    payload: Payload,
}

#[derive(Debug, Arbitrary)]
enum Kind {
    Raw,
    Whole,
    First,
    Middle,
    Last,
    Control,
}

#[derive(Debug, Arbitrary)]
enum Payload {
    Text(String),
    Bytes(Vec<u8>),
    Deflated(Vec<u8>, u8),
    Repeated(u8, u16),
}

impl Payload {
    fn bytes(self) -> Vec<u8> {
        match self {
            Self::Text(text) => text.into_bytes(),
            Self::Bytes(bytes) => bytes,
            Self::Repeated(byte, times) => vec![byte; usize::from(times) % 2000],
            Self::Deflated(bytes, times) => deflate(&bytes.repeat(usize::from(times % 8) + 1)),
        }
    }
}

fn deflate(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() * 2 + 64);
    if Compress::new(Compression::fast(), false).compress_vec(payload, &mut out, FlushCompress::Sync).is_ok() {
        out.truncate(out.len().saturating_sub(4));
    }
    out
}

impl Frame {
    fn encode(self, out: &mut Vec<u8>) {
        let data = self.first & 0x41 | 0x02 >> (self.first & 1);
        out.push(match self.kind {
            Kind::Raw => self.first,
            Kind::Whole => 0x80 | data,
            Kind::First => data,
            Kind::Middle => 0x00,
            Kind::Last => 0x80,
            Kind::Control => 0x88 + self.first % 3,
        });
        let payload = self.payload.bytes();
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
        out.extend_from_slice(&self.mask);
        out.extend(payload.iter().zip(self.mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    }
}

fuzz_target!(|stream: Stream| {
    let config = ParserConfig {
        frame_bytes_max: usize::from(stream.frame_bytes_max) * 16,
        message_bytes_max: usize::from(stream.message_bytes_max).max(1),
        deflate: stream.deflate,
    };
    let reads = stream.reads.map(usize::from);
    let mut bytes = Vec::new();
    stream.frames.into_iter().for_each(|frame| frame.encode(&mut bytes));
    replay::check(config, &bytes, &reads);
});

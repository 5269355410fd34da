//! `tungstenite` as the client at the other end, in memory: what it writes is read here, and the other way round.

use std::borrow::Cow;
use std::io::{self, Read, Write};

use hubbub_websocket::{Incoming, Opcode, close_frame, encode_frame};
use proptest::prelude::*;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};
use tungstenite::protocol::frame::{Frame, FrameHeader};
use tungstenite::protocol::{CloseFrame, Role, WebSocket};
use tungstenite::{Error, Message};

use crate::wire::{UNLIMITED, client_deflate, feed};

/// A socket made of two buffers.
#[derive(Debug, Default)]
struct Pipe {
    written: Vec<u8>,
    readable: io::Cursor<Vec<u8>>,
}

impl Read for Pipe {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self.readable.read(out)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            read => Ok(read),
        }
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.written.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn client(readable: Vec<u8>) -> WebSocket<Pipe> {
    WebSocket::from_raw_socket(Pipe { written: Vec::new(), readable: io::Cursor::new(readable) }, Role::Client, None)
}

/// One message as a client may send it.
#[derive(Debug, Clone)]
struct Sent {
    text: bool,
    payload: Vec<u8>,
    compressed: bool,
    /// Where the wire payload is cut into fragments.
    cuts: Vec<prop::sample::Index>,
    /// Pings sent before each of the first fragments.
    pings: Vec<Vec<u8>>,
}

fn payloads() -> impl Strategy<Value = (bool, Vec<u8>)> {
    let large = (any::<u8>(), 60_000usize..70_000).prop_map(|(byte, len)| vec![byte & 0x7f; len]);
    prop_oneof![
        4 => any::<String>().prop_map(|text| (true, text.into_bytes())),
        2 => "[a-zé\u{10ffff}]{100,300}".prop_map(|text| (true, text.into_bytes())),
        4 => proptest::collection::vec(any::<u8>(), 0..300).prop_map(|bytes| (false, bytes)),
        1 => large.prop_map(|bytes| (true, bytes)),
    ]
}

fn messages() -> impl Strategy<Value = Vec<Sent>> {
    let ping = proptest::collection::vec(any::<u8>(), 0..=125);
    let cuts = proptest::collection::vec(any::<prop::sample::Index>(), 0..5);
    let one = (payloads(), any::<bool>(), cuts, proptest::collection::vec(ping, 0..3));
    let one =
        one.prop_map(|((text, payload), compressed, cuts, pings)| Sent { text, payload, compressed, cuts, pings });
    proptest::collection::vec(one, 0..6)
}

fn write_frame(client: &mut WebSocket<Pipe>, opcode: OpCode, fin: bool, rsv1: bool, payload: &[u8]) {
    let header = FrameHeader { is_final: fin, rsv1, opcode, ..FrameHeader::default() };
    let frame = Frame::from_payload(header, payload.to_vec().into());
    client.write(Message::Frame(frame)).expect("a buffer takes all");
}

/// Has `client` write the message and returns what a server must make of it.
fn write_message(client: &mut WebSocket<Pipe>, sent: &Sent) -> Vec<Incoming<'static>> {
    let mut expected = Vec::new();
    let wire = if sent.compressed { client_deflate(&sent.payload) } else { sent.payload.clone() };
    let mut cuts: Vec<usize> = sent.cuts.iter().map(|cut| cut.index(wire.len() + 1)).collect();
    cuts.sort_unstable();
    cuts.push(wire.len());
    let mut from = 0;
    for (index, &until) in cuts.iter().enumerate() {
        if let Some(ping) = sent.pings.get(index) {
            write_frame(client, OpCode::Control(Control::Ping), true, false, ping);
            expected.push(Incoming::Ping(Cow::Owned(ping.clone())));
        }
        let data = match (index, sent.text) {
            (0, true) => Data::Text,
            (0, false) => Data::Binary,
            _ => Data::Continue,
        };
        let fin = index + 1 == cuts.len();
        write_frame(client, OpCode::Data(data), fin, sent.compressed && index == 0, &wire[from..until]);
        from = until;
        if !fin {
            expected.push(Incoming::Fragment);
        }
    }
    expected.push(if sent.text {
        Incoming::Text(String::from_utf8(sent.payload.clone()).expect("generated as text").into())
    } else {
        Incoming::Binary(Cow::Owned(sent.payload.clone()))
    });
    expected
}

proptest! {
    #[test]
    fn what_tungstenite_writes_is_read(
        sent in messages(),
        reads in proptest::collection::vec(prop_oneof![0usize..20, 0usize..5000], 0..40),
    ) {
        let mut client = client(Vec::new());
        let mut expected: Vec<_> = sent.iter().flat_map(|sent| write_message(&mut client, sent)).collect();
        client.close(Some(CloseFrame { code: 4321.into(), reason: "done".into() })).expect("a buffer takes all");
        expected.push(Incoming::Close(Some((4321, Cow::Borrowed("done")))));
        let stream = &client.get_ref().written;

        let outcome = feed(UNLIMITED, stream, reads);
        prop_assert_eq!(outcome.error, None);
        prop_assert_eq!(&outcome.incoming, &expected);
        let bytewise = feed(UNLIMITED, stream, std::iter::repeat_n(7, stream.len() / 7));
        prop_assert_eq!(&bytewise.incoming, &expected);
    }

    #[test]
    fn what_is_written_tungstenite_reads(
        sent in proptest::collection::vec((0u8..4, any::<String>(), 0usize..3), 0..12),
        code in prop_oneof![Just(1000u16), Just(1012), 3000u16..5000],
        reason in "\\PC{0,40}",
    ) {
        let mut stream = Vec::new();
        let mut expected = Vec::new();
        for (kind, text, large) in sent {
            let text = text.repeat(large * 2000 + 1);
            let short = &text.as_bytes()[..text.len().min(125)];
            let (opcode, payload) = match kind {
                0 => (Opcode::Text, text.as_bytes()),
                1 => (Opcode::Binary, text.as_bytes()),
                2 => (Opcode::Ping, short),
                _ => (Opcode::Pong, short),
            };
            encode_frame(opcode, payload, &mut stream);
            expected.push(match kind {
                0 => Message::Text(text.clone().into()),
                1 => Message::Binary(text.clone().into_bytes().into()),
                2 => Message::Ping(short.to_vec().into()),
                _ => Message::Pong(short.to_vec().into()),
            });
        }
        stream.extend_from_slice(&close_frame(code, &reason));
        let mut client = client(stream);
        for message in expected {
            prop_assert_eq!(client.read().expect("legal"), message);
        }
        let Message::Close(Some(close)) = client.read().expect("legal") else { panic!("no close") };
        prop_assert_eq!(u16::from(close.code), code);
        prop_assert!(reason.starts_with(close.reason.as_str()) && (close.reason.len() == reason.len() || reason.len() > 123));
        prop_assert!(matches!(client.read(), Err(Error::ConnectionClosed | Error::Io(_))));
    }
}

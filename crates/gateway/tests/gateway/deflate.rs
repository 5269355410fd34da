//! RFC 7692 on a chat connection: offered, declined, compressed and bombed.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use serde_json::{Value, json};

use crate::fixture::{Frame, Node, User};

const OFFER: &str = "permessage-deflate; client_max_window_bits";

async fn node() -> (Node, User) {
    let node = Node::plain().await;
    let ada = node.user("ada").await;
    (node, ada)
}

/// A message as RFC 7692 §7.2.1 wants it: flushed, without the four bytes at the end.
fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut compress = Compress::new(Compression::best(), false);
    let mut out = Vec::with_capacity(bytes.len() + 1024);
    compress.compress_vec(bytes, &mut out, FlushCompress::Sync).unwrap();
    out.truncate(out.len() - 4);
    out
}

fn inflate(frame: &Frame) -> Value {
    assert!(frame.is_compressed(), "{frame:?}");
    let mut bytes = frame.payload.clone();
    bytes.extend([0, 0, 0xff, 0xff]);
    let mut out = Vec::with_capacity(1 << 20);
    Decompress::new(false).decompress_vec(&bytes, &mut out, FlushDecompress::Sync).unwrap();
    serde_json::from_slice(&out).unwrap()
}

#[tokio::test]
async fn an_offer_is_answered_without_context_takeover_on_either_side() {
    let (node, ada) = node().await;
    for (offer, agreed) in [
        ("permessage-deflate", true),
        (OFFER, true),
        ("x-webkit-deflate-frame, permessage-deflate", true),
        ("permessage-deflate; no_such=1", false),
        ("permessage-deflate; server_max_window_bits=7", false),
        ("permessage-deflate; no_such=1, permessage-deflate", true),
        ("x-webkit-deflate-frame", false),
        ("permessage-deflate; \"", false),
    ] {
        let client = node.handshake().add("Sec-WebSocket-Extensions", offer).ready(&ada).await;
        match (&client.deflate, agreed) {
            (Some(answer), true) => {
                assert!(answer.contains("server_no_context_takeover"), "{answer}");
                assert!(answer.contains("client_no_context_takeover"), "{answer}");
            }
            (None, false) => {}
            (answer, _) => panic!("{offer}: {answer:?}"),
        }
    }
    let client = node.client(&ada).await;
    assert_eq!(client.deflate, None, "not offered");
}

#[tokio::test]
async fn it_can_be_switched_off() {
    let node = Node::start(|setup| setup.gateway.deflate = false).await;
    let ada = node.user("ada").await;
    let mut client = node.handshake().add("Sec-WebSocket-Extensions", OFFER).ready(&ada).await;
    assert_eq!(client.deflate, None);
    client.send_frame(0xc1, &deflate(br#"{"id":1,"cmd":"room.list"}"#)).await;
    assert_eq!(client.closed().await, 1002);
}

#[tokio::test]
async fn compressed_commands_and_events_pass() {
    let (node, ada) = node().await;
    let mut plain = node.client(&ada).await;
    let mut client = node.handshake().add("Sec-WebSocket-Extensions", OFFER).ready(&ada).await;
    plain.room("lobby", "public", &[]).await;
    let subscribe = json!({ "id": 1, "cmd": "room.subscribe", "room": "lobby" }).to_string();
    let squeezed = deflate(subscribe.as_bytes());
    let (one, two) = squeezed.split_at(squeezed.len() / 2);
    client.send_frame(0x41, one).await;
    client.send_frame(0x80, two).await;
    assert!(client.reply(1).await["ok"].is_object());
    plain.ok("room.subscribe", json!({ "room": "lobby" })).await;
    for body in ["again and again ".repeat(100), "more of it ".repeat(100)] {
        plain.say("lobby", &body).await;
        let event = inflate(&client.frame().await);
        assert_eq!(event["data"]["body"], body);
        assert_eq!(event, plain.event().await);
    }
    client.send_text(r#"{"id":2,"cmd":"room.list"}"#).await;
    assert!(client.reply(2).await["ok"].is_object(), "a message need not be compressed");
}

#[tokio::test]
async fn a_bomb_and_what_is_no_deflate_close() {
    let (node, ada) = node().await;
    let spaces = |count: usize| {
        let mut text = br#"{"id":1,"cmd":"room.list"}"#.to_vec();
        text.resize(count, b' ');
        deflate(&text)
    };
    let mut fine = node.handshake().add("Sec-WebSocket-Extensions", OFFER).ready(&ada).await;
    fine.send_frame(0xc1, &spaces(65_536)).await;
    assert!(fine.reply(1).await["ok"].is_object(), "inflated to just the limit");
    for (what, payload, code) in [
        ("one byte over", spaces(65_537), 1009),
        ("a bomb of 50 MB", spaces(50_000_000), 1009),
        ("noise", vec![0xff; 64], 1007),
        ("invalid UTF-8 inside", deflate(b"{\"id\":1,\xff"), 1007),
    ] {
        let mut client = node.handshake().add("Sec-WebSocket-Extensions", OFFER).ready(&ada).await;
        client.send_frame(0xc1, &payload).await;
        let closed = client.closed().await;
        assert!(closed == code || (what == "noise" && closed == 1002), "{what}: {closed}");
    }
}

//! CONTRACT §4-5, bad input: what a client may send, and what it costs.

use serde_json::{Value, json};

use crate::fixture::{Client, Node, OP_BINARY, OP_CLOSE, OP_CONTINUATION, OP_PING, OP_PONG, OP_TEXT, User};

async fn ready(node: &Node, ada: &User, protocol: &str) -> Client {
    node.handshake().protocols(protocol).ready(ada).await
}

async fn ada() -> (Node, User) {
    let node = Node::start(|setup| {
        setup.limits.connection_commands_per_10s = 0;
        setup.limits.connections_per_user = 0;
        setup.limits.connections_per_address = 0;
    })
    .await;
    let ada = node.user("ada").await;
    (node, ada)
}

#[tokio::test]
async fn after_a_frame_that_cannot_be_decoded_the_connection_goes_on() {
    let (node, ada) = ada().await;
    let mut client = node.client(&ada).await;
    let brackets = "[".repeat(60_000);
    let objects = format!("{{\"id\":9,\"cmd\":\"room.list\",\"x\":{}", "{\"a\":".repeat(10_000));
    for text in [
        "",
        " ",
        "{",
        "nonsense",
        "null",
        "7",
        "[]",
        "\"room.list\"",
        "{}",
        "{]",
        "\u{feff}{}",
        &brackets,
        &objects,
        r#"{"cmd":"room.list"}"#,
        r#"{"id":null,"cmd":"room.list"}"#,
        r#"{"id":0,"cmd":"room.list"}"#,
        r#"{"id":-1,"cmd":"room.list"}"#,
        r#"{"id":1.5,"cmd":"room.list"}"#,
        r#"{"id":"1","cmd":"room.list"}"#,
        r#"{"id":9007199254740992,"cmd":"room.list"}"#,
        r#"{"id":1e300,"cmd":"room.list"}"#,
        r#"{"id":1,"id":2,"cmd":"room.list"}"#,
    ] {
        client.send_text(text).await;
        let reply = client.next().await;
        let shown = &text[..text.len().min(60)];
        assert_eq!(reply["err"]["code"], 10001, "{shown}: {reply}");
        assert_eq!(reply["err"]["name"], "malformed");
        assert_eq!(reply["err"]["retry"], false);
        assert!(reply.get("re").is_some_and(|re| re.is_null() || re == 9), "{shown}: {reply}");
    }
    for (text, re, code) in [
        (r#"{"id":7}"#, json!(7), 10001),
        (r#"{"id":7,"cmd":5}"#, json!(7), 10001),
        (r#"{"id":7,"cmd":"room.list","cmd":"room.list"}"#, json!(7), 10001),
        (r#"{"id":7,"cmd":"room.list","limit":1,"limit":2}"#, json!(7), 10001),
        (r#"{"id":7,"cmd":"room.list"} x"#, json!(7), 10001),
        (r#"{"id":7,"cmd":"room.list","x":"\ud800"}"#, json!(7), 10001),
        (r#"{"id":7,"cmd":"no.such"}"#, json!(7), 10002),
        (r#"{"id":7,"cmd":""}"#, json!(7), 10002),
        (r#"{"id":7,"cmd":"ROOM.LIST"}"#, json!(7), 10002),
        (r#"{"id":7,"cmd":"room.show"}"#, json!(7), 10003),
        (r#"{"id":7,"cmd":"room.show","room":5}"#, json!(7), 10003),
        (r#"{"id":7,"cmd":"room.list","limit":"x"}"#, json!(7), 10003),
        (r#"{"id":7,"cmd":"room.list","limit":-1}"#, json!(7), 10003),
    ] {
        client.send_text(text).await;
        let reply = client.next().await;
        // The id of a frame that breaks off may or may not be found.
        assert!(reply["re"] == re || (code == 10001 && reply["re"].is_null()), "{text}: {reply}");
        assert_eq!(reply["err"]["code"], code, "{text}: {reply}");
    }
    client.send_text(r#"{"id":9007199254740991,"cmd":"room.list","unknown":{"is":["fine"]}}"#).await;
    let reply = client.next().await;
    assert_eq!(reply["re"], 9_007_199_254_740_991_u64);
    assert!(reply["ok"].is_object());
}

#[tokio::test]
async fn a_refusal_says_which_field_when_and_where_to_look() {
    let (node, ada) = ada().await;
    let mut client = node.client(&ada).await;
    let err = client.ask("room.show", json!({})).await["err"].take();
    assert_eq!((err["code"].as_u64(), err["name"].as_str()), (Some(10003), Some("invalid_field")));
    assert_eq!(err["field"], "room");
    assert!(err["message"].is_string() && err["retry"] == false);
    assert!(serde_json::from_value::<hubbub_protocol::Timestamp>(err["at"].clone()).is_ok());
    let other = client.ask("room.show", json!({})).await["err"]["trace"].take();
    assert!(err["trace"].is_string() && err["trace"] != other);
}

#[tokio::test]
async fn the_wrong_kind_of_frame_closes() {
    let (node, ada) = ada().await;
    let command = br#"{"id":1,"cmd":"room.list"}"#;
    let mut client = ready(&node, &ada, "hubbub.v1.json").await;
    client.send_frame(0x80 | OP_BINARY, command).await;
    assert_eq!(client.closed().await, 1003);
    let mut client = ready(&node, &ada, "hubbub.v1.msgpack").await;
    client.send_frame(0x80 | OP_TEXT, command).await;
    assert_eq!(client.closed().await, 1003);
}

#[tokio::test]
async fn a_broken_frame_layer_closes_with_its_code() {
    let (node, ada) = ada().await;
    let mut unmasked = vec![0x81, 26];
    unmasked.extend(br#"{"id":1,"cmd":"room.list"}"#);
    let frame = crate::fixture::masked;
    let cases: Vec<(&str, Vec<u8>, u16)> = vec![
        ("invalid UTF-8", frame(0x81, b"{\"id\":1,\xff"), 1007),
        ("a surrogate in UTF-8", frame(0x81, b"\xed\xa0\x80"), 1007),
        ("half a character at the end", frame(0x81, "é".as_bytes().split_at(1).0), 1007),
        ("no mask", unmasked, 1002),
        ("RSV1 without an extension", frame(0xc1, b"{}"), 1002),
        ("RSV2", frame(0xa1, b"{}"), 1002),
        ("an unknown opcode", frame(0x83, b"{}"), 1002),
        ("an unknown control opcode", frame(0x8b, b""), 1002),
        ("a fragmented ping", frame(OP_PING, b""), 1002),
        ("a ping of 126 bytes", frame(0x80 | OP_PING, &[0; 126]), 1002),
        ("a continuation of nothing", frame(0x80 | OP_CONTINUATION, b"x"), 1002),
        ("two beginnings", [frame(OP_TEXT, b"{"), frame(0x81, b"}")].concat(), 1002),
        ("a length with its highest bit", vec![0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0], 1002),
        ("10 MB announced", vec![0x81, 0xff, 0, 0, 0, 0, 0, 0x98, 0x96, 0x80, 0, 0, 0, 0], 1009),
        ("one byte over the limit", frame(0x81, &[b' '; 65_537]), 1009),
        ("one byte over by fragments", [frame(0x01, &[b' '; 65_536]), frame(0x80, b" ")].concat(), 1009),
        ("a close of one byte", frame(0x88, &[3]), 1002),
        ("a close whose reason is no UTF-8", frame(0x88, b"\x03\xe8\xff"), 1007),
    ];
    for (what, bytes, code) in cases {
        let mut client = node.client(&ada).await;
        client.send_bytes(&bytes).await;
        assert_eq!(client.closed().await, code, "{what}");
    }
}

#[tokio::test]
async fn ten_megabytes_really_sent_are_answered_with_a_close_frame_and_no_reset() {
    use tokio::io::AsyncWriteExt;
    let (node, ada) = ada().await;
    let mut client = node.client(&ada).await;
    let bytes = crate::fixture::masked(0x81, &vec![b' '; 10_000_000]);
    // The server stops reading after its lingering at the latest, so the write may fail; the close frame must come.
    let (mut reading, mut writing) =
        tokio::io::split(std::mem::replace(&mut client.stream, Box::new(tokio::io::empty())));
    let writer = tokio::spawn(async move { writing.write_all(&bytes).await.is_ok() });
    let mut head = [0; 4];
    crate::fixture::soon("a close frame", tokio::io::AsyncReadExt::read_exact(&mut reading, &mut head)).await.unwrap();
    assert_eq!((head[0], u16::from_be_bytes([head[2], head[3]])), (0x88, 1009));
    writer.abort();
}

#[tokio::test]
async fn a_message_of_just_the_limit_is_read_in_any_fragments_and_writes() {
    let (node, ada) = ada().await;
    let mut client = node.client(&ada).await;
    let head = br#"{"id":1,"cmd":"room.list"}"#;
    let mut text = head.to_vec();
    text.resize(65_536, b' ');
    client.send_frame(0x81, &text).await;
    assert!(client.reply(1).await["ok"].is_object());

    client.send_frame(OP_TEXT, &text[..10]).await;
    client.send_frame(0x80 | OP_PING, b"between").await;
    client.send_frame(OP_CONTINUATION, b"").await;
    client.send_frame(OP_CONTINUATION, &text[10..65_000]).await;
    client.send_frame(0x80 | OP_CONTINUATION, &text[65_000..]).await;
    assert!(client.reply(1).await["ok"].is_object());
    assert_eq!(client.pongs, [b"between"]);

    for byte in crate::fixture::masked(0x81, r#"{"id":2,"cmd":"room.list","x":"é漢🎈"}"#.as_bytes()) {
        client.send_bytes(&[byte]).await;
    }
    assert!(client.reply(2).await["ok"].is_object());
}

#[tokio::test]
async fn a_ping_is_answered_with_its_payload_and_a_pong_with_nothing() {
    let (node, ada) = ada().await;
    let mut client = node.client(&ada).await;
    client.send_frame(0x80 | OP_PONG, b"unasked").await;
    for payload in [&b""[..], b"x", &[0xff; 125]] {
        client.send_frame(0x80 | OP_PING, payload).await;
    }
    client.fence().await;
    assert_eq!(client.pongs, [&b""[..], b"x", &[0xff; 125]]);
}

#[tokio::test]
async fn closing_is_answered_with_the_same_code_or_refused_when_illegal() {
    let (node, ada) = ada().await;
    for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999_u16] {
        let mut client = node.client(&ada).await;
        client.send_frame(0x80 | OP_CLOSE, &[&code.to_be_bytes()[..], b"bye"].concat()).await;
        assert_eq!(client.closed().await, code);
    }
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535_u16] {
        let mut client = node.client(&ada).await;
        client.send_frame(0x80 | OP_CLOSE, &code.to_be_bytes()).await;
        assert_eq!(client.closed().await, 1002, "{code}");
    }
    let mut client = node.client(&ada).await;
    client.send_frame(0x80 | OP_CLOSE, b"").await;
    assert_eq!(client.closed().await, 1005, "an empty close is answered with an empty one");
}

#[tokio::test]
async fn what_came_before_a_close_is_done_and_what_comes_behind_it_is_not() {
    let (node, ada) = ada().await;
    let mut client = node.client(&ada).await;
    let room = client.room("lobby", "public", &[]).await;
    let say = |id: u64| json!({ "id": id, "cmd": "message.send", "room": room, "client_msg_id": id.to_string(), "body": "x" });
    let mut bytes = client.encode(&say(100));
    bytes.extend(crate::fixture::masked(0x88, &1000_u16.to_be_bytes()));
    bytes.extend(client.encode(&say(101)));
    client.send_bytes(&bytes).await;
    let (said, code) = client.farewell().await;
    assert_eq!(code, 1000);
    assert_eq!(said.len(), 1, "{said:?}");
    assert_eq!(said[0]["ok"]["seq"], 2);
    let mut client = node.client(&ada).await;
    assert_eq!(client.ok("room.show", json!({ "room": "lobby" })).await["head"], 2);
}

#[tokio::test]
async fn commands_are_answered_in_order_however_many_come_at_once() {
    let (node, ada) = ada().await;
    let mut client = node.client(&ada).await;
    client.room("lobby", "public", &[]).await;
    let mut bytes = Vec::new();
    for id in 1000..1200 {
        let cmd = if id % 2 == 0 { "room.show" } else { "no.such" };
        bytes.extend(client.encode(&json!({ "id": id, "cmd": cmd, "room": "lobby" })));
    }
    client.send_bytes(&bytes).await;
    for id in 1000..1200 {
        assert_eq!(client.next().await["re"], id);
    }
}

#[tokio::test]
async fn a_whole_session_works_in_message_pack() {
    let (node, ada) = ada().await;
    let bob = node.user("bob").await;
    let mut client = ready(&node, &ada, "hubbub.v1.msgpack").await;
    let mut json_client = node.client(&bob).await;
    let room = client.room("lobby", "public", &["bob"]).await;
    for each in [&mut client, &mut json_client] {
        each.ok("room.subscribe", json!({ "room": "lobby" })).await;
    }
    client.say(&room, "packed ✓").await;
    let (packed, plain): (Value, Value) = (client.event().await, json_client.event().await);
    assert_eq!(packed, plain, "the same shapes, ids and times as text");
    assert_eq!(packed["data"]["body"], "packed ✓");
    assert_eq!(packed["by"], ada.json());
    let page = client.ok("message.list", json!({ "room": "lobby" })).await;
    assert_eq!(page, json_client.ok("message.list", json!({ "room": "lobby" })).await);
    let resumed = client.ok("session.resume", json!({ "epoch": node.store.epoch(), "rooms": { "lobby": 0 } })).await;
    assert_eq!(resumed["rooms"]["lobby"]["replayed"], 2);
    assert_eq!(client.seqs(2).await, [1, 2]);

    client.send_frame(0x80 | OP_BINARY, &[0xc1]).await;
    assert_eq!(client.next().await["err"]["code"], 10001);
    client.send_frame(0x80 | OP_BINARY, b"").await;
    assert_eq!(client.next().await["err"]["code"], 10001);
    // An array that announces 4 billion entries.
    client.send_frame(0x80 | OP_BINARY, &[0xdd, 0xff, 0xff, 0xff, 0xff]).await;
    assert_eq!(client.next().await["err"]["code"], 10001);
    assert_eq!(client.code("no.such", json!({})).await, 10002);
    client.send_frame(0x80 | OP_CLOSE, &1000_u16.to_be_bytes()).await;
    assert_eq!(client.closed().await, 1000);
}

#[tokio::test]
async fn another_implementation_gets_along() {
    let (node, ada) = ada().await;
    let address = node.address;
    let token = ada.token.clone();
    let spoken = tokio::task::spawn_blocking(move || {
        use tungstenite::client::IntoClientRequest;
        let mut request = format!("ws://{address}/v1/ws").into_client_request().unwrap();
        let protocols = format!("hubbub.v1.json, bearer.{token}").parse().unwrap();
        request.headers_mut().insert("Sec-WebSocket-Protocol", protocols);
        let stream = std::net::TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(crate::fixture::DEADLINE)).unwrap();
        let (mut socket, _) = tungstenite::client(request, stream).unwrap();
        let ready = socket.read().unwrap().into_text().unwrap();
        assert!(ready.contains("session.ready"), "{ready}");
        socket.send(tungstenite::Message::text(r#"{"id":1,"cmd":"room.list"}"#)).unwrap();
        assert!(socket.read().unwrap().into_text().unwrap().contains(r#""re":1"#));
        socket.close(None).unwrap();
        while socket.read().is_ok() {}
        true
    });
    assert!(spoken.await.unwrap());
}

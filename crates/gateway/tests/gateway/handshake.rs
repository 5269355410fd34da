//! CONTRACT §4 and RFC 6455 §4.2: who may upgrade, and to what.

use serde_json::json;

use crate::fixture::Node;

#[tokio::test]
async fn a_right_handshake_is_answered_on_the_right_path_alone() {
    let node = Node::plain().await;
    for line in ["GET /v1/ws HTTP/1.1", "GET /v1/ws?v=1 HTTP/1.1"] {
        let mut client = node.handshake().line(line).open().await;
        assert_eq!(client.code("room.list", json!({})).await, 20001);
    }
    for path in ["/v1/ws/", "/v1/WS", "/v1/ws/x", "/ws", "//v1/ws", "/v1/ws%00", "/v1/%77s", "/v1/../v1/ws"] {
        let answer = node.handshake().line(&format!("GET {path} HTTP/1.1")).refused().await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.json()["err"]["code"].is_u64());
    }
}

#[tokio::test]
async fn what_is_no_handshake_of_version_13_is_told_so() {
    let node = Node::plain().await;
    let good = || node.handshake();
    let bad = [
        good().line("POST /v1/ws HTTP/1.1"),
        good().line("GET /v1/ws HTTP/1.0"),
        good().set("Sec-WebSocket-Version", "8"),
        good().set("Sec-WebSocket-Version", "13, 8"),
        good().add("Sec-WebSocket-Version", "13"),
        good().without("Sec-WebSocket-Version"),
        good().without("Connection"),
        good().set("Connection", "keep-alive"),
        good().without("Upgrade"),
        good().set("Upgrade", "h2c"),
    ];
    for handshake in bad {
        let sent = String::from_utf8(handshake.bytes()).unwrap();
        let answer = handshake.refused().await;
        assert_eq!(answer.status, 426, "{sent}");
        assert_eq!(answer.header("sec-websocket-version"), Some("13"));
        assert_eq!(answer.header("upgrade"), Some("websocket"));
        assert_eq!(answer.json()["err"]["code"], 10001);
    }
    good().set("Connection", "keep-alive, Upgrade").set("Upgrade", "h2c, WebSocket").open().await;
    good().set("Connection", "keep-alive").add("Connection", "UPGRADE").open().await;
}

#[tokio::test]
async fn a_key_is_16_bytes_in_base64_and_stands_once() {
    let node = Node::plain().await;
    let name = "Sec-WebSocket-Key";
    let bad = [
        node.handshake().without(name),
        node.handshake().set(name, ""),
        node.handshake().set(name, "dGhlIHNhbXBsZSBub25jZQ"),
        node.handshake().set(name, "dGhlIHNhbXBsZSBub25jZTE="),
        node.handshake().set(name, "dGhlIHNhbXBsZSBub25j"),
        node.handshake().set(name, "!!!!IHNhbXBsZSBub25jZQ=="),
        node.handshake().add(name, "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    for handshake in bad {
        assert_eq!(handshake.refused().await.refusal(), (400, 10001));
    }
}

#[tokio::test]
async fn the_first_known_sub_protocol_in_the_clients_order_is_chosen() {
    let node = Node::plain().await;
    for (offered, chosen) in [
        ("hubbub.v1.json", "hubbub.v1.json"),
        ("hubbub.v1.msgpack", "hubbub.v1.msgpack"),
        ("hubbub.v1.msgpack, hubbub.v1.json", "hubbub.v1.msgpack"),
        ("hubbub.v1.json,hubbub.v1.msgpack", "hubbub.v1.json"),
        ("hubbub.v9.json, mqtt , hubbub.v1.msgpack", "hubbub.v1.msgpack"),
    ] {
        let client = node.handshake().protocols(offered).open().await;
        assert_eq!(client.protocol.as_deref(), Some(chosen), "{offered}");
    }
    let client = node.handshake().protocols("mqtt").protocols("hubbub.v1.json").open().await;
    assert_eq!(client.protocol.as_deref(), Some("hubbub.v1.json"), "two lines are one list");

    for offered in ["mqtt", "hubbub.v2.json, HUBBUB.V1.JSON"] {
        let answer = node.handshake().protocols(offered).refused().await;
        assert_eq!(answer.refusal(), (400, 10005), "{offered}");
        assert_eq!(answer.json()["err"]["name"], "unsupported_protocol");
    }

    let ada = node.user("ada").await;
    let mut client = node.handshake().token(&ada.token).open().await;
    assert_eq!(client.protocol, None);
    assert_eq!(client.event().await["ev"], "session.ready", "JSON where none is offered");
}

#[tokio::test]
async fn a_page_may_connect_from_its_own_node_or_where_it_was_configured() {
    let node = Node::start(|setup| setup.gateway.allowed_origins = vec!["https://chat.example:8443".to_owned()]).await;
    let host = node.host();
    let own = [format!("https://{host}"), format!("http://{host}"), format!("HTTPS://{}", host.to_uppercase())];
    for origin in own.iter().map(String::as_str).chain(["https://chat.example:8443", "https://CHAT.example:8443"]) {
        node.handshake().add("Origin", origin).open().await;
        assert_eq!(node.get("/").header("Origin", origin).send().await.status, 200, "{origin}");
    }
    let foreign = [
        "null".to_owned(),
        String::new(),
        "https://localhost".to_owned(),
        "https://localhost:1".to_owned(),
        "https://evil.example".to_owned(),
        "https://chat.example".to_owned(),
        "http://chat.example:8443".to_owned(),
        "https://chat.example:8443.evil.example".to_owned(),
        host.clone(),
        format!("://{host}"),
        format!("https://{host}@evil.example"),
        format!("https://evil@{host}"),
        format!("https://{host}/"),
    ];
    for origin in &foreign {
        let answer = node.handshake().add("Origin", origin).refused().await;
        assert_eq!(answer.refusal(), (403, 20007), "{origin}");
        assert_eq!(answer.json()["err"]["name"], "origin_refused");
        let answer = node.get("/v1/rooms").header("Origin", origin).send().await;
        assert_eq!(answer.refusal(), (403, 20007), "{origin}");
    }
    let two = node.handshake().add("Origin", format!("https://{host}")).add("Origin", "https://evil.example");
    assert_eq!(two.refused().await.refusal(), (403, 20007));
}

#[tokio::test]
async fn a_request_that_proxies_could_read_in_two_ways_is_refused() {
    let node = Node::plain().await;
    let good = || node.handshake();
    let bad = [
        ("no Host", good().without("Host")),
        ("two Hosts", good().add("Host", "evil.example")),
        ("a body", good().add("Content-Length", "5").behind(b"hello")),
        ("a chunked body", good().add("Transfer-Encoding", "chunked").behind(b"5\r\nhello\r\n0\r\n\r\n")),
        ("two lengths", good().add("Content-Length", "0").add("Content-Length", "5").behind(b"hello")),
        ("a space before the colon", good().add("Content-Length ", "5").behind(b"hello")),
        ("a bare CR in a value", good().add("X", "a\rb")),
    ];
    for (what, handshake) in bad {
        assert_eq!(handshake.refused().await.status, 400, "{what}");
    }
    good().add("Content-Length", "0").open().await;
    let answer = node.get("/").header("Host", "evil.example").send().await;
    assert_eq!(answer.status, 400, "two Hosts are refused for every request");
}

#[tokio::test]
async fn a_handshake_may_follow_requests_on_the_same_socket() {
    use tokio::io::AsyncWriteExt;
    let node = Node::plain().await;
    let ada = node.user("ada").await;
    let mut stream = node.connect().await;
    let mut bytes = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", node.host()).into_bytes();
    bytes.extend(node.handshake().token(&ada.token).bytes());
    bytes.extend(crate::fixture::masked(0x81, br#"{"id":1,"cmd":"room.list"}"#));
    stream.write_all(&bytes).await.unwrap();
    crate::fixture::soon("both answers", async {
        for status in [200, 101] {
            let answer = crate::fixture::read_answer(&mut stream).await.unwrap().unwrap();
            assert_eq!(answer.status, status);
        }
    })
    .await;
    let mut client = crate::fixture::Client::over(stream);
    assert_eq!(client.event().await["ev"], "session.ready");
    assert!(client.reply(1).await["ok"]["rooms"].is_array(), "what came behind the handshake is read");
}

#[tokio::test]
async fn refused_handshakes_leave_a_usable_socket_and_count_nothing() {
    use tokio::io::AsyncWriteExt;
    let node = Node::start(|setup| setup.limits.connections_per_address = 1).await;
    let mut stream = node.connect().await;
    for _ in 0..3 {
        let bytes = node.handshake().token("bad").bytes();
        stream.write_all(&bytes).await.unwrap();
        let answer = crate::fixture::read_answer(&mut stream).await.unwrap().unwrap();
        assert_eq!(answer.refusal(), (401, 20002));
    }
    node.handshake().open().await;
}

//! What somebody sends who means harm: the node answers rightly or hangs up, and serves on.

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::fixture::{Client, Node, masked, read_answer, soon, until};

/// Numbers that look random and are the same each time.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next().to_le_bytes()[0]).collect()
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }
}

/// Nobody is left, and a newcomer is served.
async fn is_well(node: &Node) {
    until("everybody is gone", || async { node.metric("hubbub_connections").await == 0.0 }).await;
    let (_, tasks) = node.ops("/debug/tasks").await;
    let tasks: serde_json::Value = serde_json::from_str(&tasks).unwrap();
    assert_eq!(tasks["wheel_entries"], 0, "nothing is scheduled for those who went");
    let eve = node.user("a-newcomer").await;
    node.client(&eve).await.ok("room.list", json!({})).await;
}

async fn generous() -> Node {
    Node::start(|setup| {
        let limits = &mut setup.limits;
        (limits.connections_per_address, limits.connections_per_user) = (0, 0);
        (limits.connection_commands_per_10s, limits.connection_frames_per_10s) = (0, 0);
    })
    .await
}

#[tokio::test]
async fn requests_hidden_in_requests_are_not_served() {
    let node = Node::plain().await;
    let ada = node.user("ada").await;
    let hidden = format!(
        "POST /v1/rooms HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Length: 33\r\n\r\n{{\"name\":\"smuggled\",\"kind\":\"public\"}}",
        node.host(),
        ada.token
    );
    let head = |line: &str, headers: &str| format!("{line}\r\nHost: {}\r\n{headers}\r\n", node.host());
    let get = "GET / HTTP/1.1";
    let carriers = [
        head("POST /v1/nothing HTTP/1.1", &format!("Content-Length: 6\r\nContent-Length: {}\r\n", hidden.len())),
        head("POST /v1/nothing HTTP/1.1", "Content-Length: 5, 6\r\n"),
        head("POST /v1/nothing HTTP/1.1", "Content-Length: +6\r\n"),
        head("POST /v1/nothing HTTP/1.1", "Content-Length: -1\r\n"),
        head("POST /v1/nothing HTTP/1.1", "Transfer-Encoding: xchunked\r\n"),
        head("POST /v1/nothing HTTP/1.1", "Transfer-Encoding: chunked, identity\r\n"),
        head("POST /v1/nothing HTTP/1.0", "Transfer-Encoding: chunked\r\n"),
        head(get, "X: a\r\n b: folded\r\nContent-Length : 6\r\n"),
        head(get, "X\0: a\r\n"),
        head("GET / HTTP/1.1 HTTP/1.1", ""),
        head("GET  / HTTP/1.1", ""),
        head("GET / HTTP/3.0", ""),
        head("GET\t/ HTTP/1.1", ""),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        "\r\n\r\n\r\n\0".to_owned(),
    ];
    for carrier in carriers {
        let mut stream = node.tcp(None).await;
        stream.write_all(format!("{carrier}{hidden}").as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answers = Vec::new();
        // A server that hangs up on unread bytes resets; what matters is what it did.
        soon("the end", stream.read_to_end(&mut answers)).await.ok();
        let answers = String::from_utf8_lossy(&answers).into_owned();
        assert!(!answers.contains("smuggled") && !answers.contains("201 Created"), "{carrier:?}: {answers}");
    }
    let mut client = node.client(&ada).await;
    assert_eq!(client.ok("room.list", json!({})).await["rooms"], json!([]));
}

#[tokio::test]
async fn odd_targets_are_answered_and_not_believed() {
    let node = Node::plain().await;
    let ada = node.user("ada").await;
    for (line, allowed) in [
        ("GET http://evil.example/v1/rooms HTTP/1.1", &[200, 400, 401, 404][..]),
        ("OPTIONS * HTTP/1.1", &[400, 404, 405]),
        ("CONNECT evil.example:443 HTTP/1.1", &[400, 404, 405]),
        ("TRACE / HTTP/1.1", &[400, 404, 405]),
        ("GET /%00%0d%0aSet-Cookie:%20x HTTP/1.1", &[404]),
        ("GET /../../etc/passwd HTTP/1.1", &[404]),
        ("GET //evil.example/.. HTTP/1.1", &[404]),
        ("GET /v1/rooms/%2e%2e/%2e%2e/etc HTTP/1.1", &[404]),
        ("HEAD / HTTP/1.1", &[200]),
    ] {
        let mut stream = node.tcp(None).await;
        let request = format!("{line}\r\nHost: {}\r\nConnection: close\r\n\r\n", node.host());
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = [0; 12];
        soon("an answer", stream.read_exact(&mut head)).await.unwrap();
        let status: u16 = std::str::from_utf8(&head[9..]).unwrap().parse().unwrap();
        assert!(allowed.contains(&status), "{line}: {status}");
    }
    // The page's own Origin is told by the request's Host, wherever the request line points to.
    let line = "GET http://evil.example/v1/ws HTTP/1.1";
    let cookie = format!("__Host-hubbub={}", ada.token);
    let handshake = node.handshake().line(line).add("Origin", "http://evil.example").add("Cookie", cookie);
    assert_eq!(handshake.refused().await.status, 403);
}

#[tokio::test]
async fn half_closed_sockets_get_their_answers() {
    let node = generous().await;
    let ada = node.user("ada").await;
    let mut stream = node.tcp(None).await;
    let mut bytes = node.handshake().token(&ada.token).bytes();
    for id in 1..=20 {
        let text = json!({ "id": id, "cmd": "room.list" }).to_string();
        bytes.extend(masked(0x81, text.as_bytes()));
    }
    stream.write_all(&bytes).await.unwrap();
    assert_eq!(soon("an answer", read_answer(&mut stream)).await.unwrap().unwrap().status, 101);
    stream.shutdown().await.unwrap();
    let mut client = Client::over(Box::new(stream));
    assert_eq!(client.event().await["ev"], "session.ready");
    for id in 1..=20 {
        assert!(client.reply(id).await["ok"].is_object());
    }
    assert_eq!(client.raw_frame().await, None, "and then the end");
    is_well(&node).await;
}

#[tokio::test]
async fn sockets_that_break_at_any_byte_leave_nothing_behind() {
    let node = generous().await;
    let ada = node.user("ada").await;
    let mut setting = node.client(&ada).await;
    setting.room("lobby", "public", &[]).await;
    drop(setting);
    let mut bytes = node.handshake().token(&ada.token).bytes();
    let head = bytes.len();
    for (id, cmd) in [(1, "room.subscribe"), (2, "message.send"), (3, "session.resume")] {
        let rooms = json!({ "lobby": 0 });
        let command = json!({
            "id": id, "cmd": cmd, "room": "lobby", "client_msg_id": "1", "body": "x", "epoch": "e", "rooms": rooms,
        });
        bytes.extend(masked(0x81, command.to_string().as_bytes()));
    }
    for cut in (0..bytes.len()).step_by(7).chain(head - 2..head + 12) {
        for reset in [false, true] {
            let mut stream = node.tcp(None).await;
            stream.write_all(&bytes[..cut]).await.unwrap();
            if reset {
                stream.set_zero_linger().unwrap();
            }
        }
    }
    is_well(&node).await;
}

#[tokio::test]
async fn noise_is_survived() {
    let node = generous().await;
    let ada = node.user("ada").await;
    let mut noise = Noise(0x2545_f491_4f6c_dd1d);
    for _ in 0..100 {
        let mut stream = node.tcp(None).await;
        let mut bytes = if noise.below(2) == 0 { b"GET /v1/ws HTTP/1.1\r\n".to_vec() } else { Vec::new() };
        let count = noise.below(2_000);
        bytes.extend(noise.bytes(count));
        stream.write_all(&bytes).await.unwrap();
    }
    let commands = hubbub_protocol::Command::NAMES;
    for protocol in ["hubbub.v1.json", "hubbub.v1.msgpack"] {
        let offer = "permessage-deflate";
        for _ in 0..60 {
            let handshake = node.handshake().protocols(protocol).add("Sec-WebSocket-Extensions", offer);
            let mut client = handshake.ready(&ada).await;
            let mut bytes = Vec::new();
            for _ in 0..noise.below(12) {
                let cmd = commands[noise.below(commands.len())];
                let (id, junk) = (noise.next() >> noise.below(64), noise.next());
                let command =
                    json!({ "id": id, "cmd": cmd, "room": junk, "after": junk, "rooms": [junk], "name": null });
                let mut frame = client.encode(&command);
                // Most frames are whole; the rest has a wrong byte somewhere.
                if noise.below(3) == 0 {
                    let (at, bit) = (noise.below(frame.len()), noise.below(8));
                    frame[at] ^= 1 << bit;
                }
                bytes.extend(frame);
            }
            let count = noise.below(40);
            bytes.extend(noise.bytes(count));
            client.stream.write_all(&bytes).await.ok();
        }
    }
    is_well(&node).await;
}

#[tokio::test]
async fn coming_and_going_leaves_nothing_behind() {
    let node = generous().await;
    let ada = node.user("ada").await;
    let mut staying = node.client(&ada).await;
    staying.room("lobby", "public", &[]).await;
    for round in 0..60 {
        let mut client = node.client(&ada).await;
        client.ok("room.subscribe", json!({ "room": "lobby" })).await;
        client.ok("session.renew", json!({ "token": ada.token })).await;
        if round % 2 == 0 {
            client.send_frame(0x88, &1001_u16.to_be_bytes()).await;
            assert_eq!(client.closed().await, 1001);
        }
    }
    until("the room is empty", || async {
        let rooms: serde_json::Value = serde_json::from_str(&node.ops("/debug/rooms").await.1).unwrap();
        rooms["rooms"].as_array().unwrap().iter().all(|room| room["subscribers"] == 0)
    })
    .await;
    drop(staying);
    is_well(&node).await;
    assert_eq!(node.metric("hubbub_connects_total").await, 62.0);
}

//! CONTRACT §6: rates of commands, frames, sends and fetches, and the lengths of bodies and pages.

use serde_json::{Value, json};

use crate::fixture::{Node, OP_CONTINUATION, OP_PING, OP_TEXT};

#[tokio::test]
async fn the_51st_command_is_refused_and_closes_at_once() {
    let node = Node::plain().await;
    let ada = node.user("ada").await;
    let mut client = node.client(&ada).await;
    let mut bytes = Vec::new();
    for id in 1..=60 {
        // Good, refused, unknown and malformed ones all count.
        let command = match id % 4 {
            0 => json!({ "id": id, "cmd": "room.list" }),
            1 => json!({ "id": id, "cmd": "room.show", "room": "no-such-room" }),
            2 => json!({ "id": id, "cmd": "no.such" }),
            _ => json!({ "id": id }),
        };
        bytes.extend(client.encode(&command));
    }
    client.send_bytes(&bytes).await;
    let (said, code) = client.farewell().await;
    assert_eq!(code, 1008);
    assert_eq!(said.len(), 51);
    for (at, reply) in said.iter().enumerate() {
        assert_eq!(reply["re"], at + 1);
        assert_eq!(reply["err"]["code"] == 40001, at == 50, "{reply}");
    }
    let err = &said[50]["err"];
    assert_eq!((&err["name"], &err["retry"]), (&json!("rate_limited"), &json!(true)));
    assert!((1..=10_000).contains(&err["retry_after_ms"].as_u64().unwrap()), "{err}");
    assert!(node.metric(r#"hubbub_rate_limited_total{class="connection"}"#).await >= 1.0);
}

#[tokio::test]
async fn commands_before_authentication_count_too() {
    let node = Node::start(|setup| setup.limits.connection_commands_per_10s = 3).await;
    let mut client = node.handshake().open().await;
    for _ in 0..3 {
        assert_eq!(client.code("room.list", json!({})).await, 20001);
    }
    assert_eq!(client.code("room.list", json!({})).await, 40001);
    assert_eq!(client.closed().await, 1008);
}

#[tokio::test]
async fn too_many_frames_close_whatever_they_are() {
    for first in [0x80 | OP_PING, OP_CONTINUATION] {
        let node = Node::start(|setup| setup.limits.connection_frames_per_10s = 100).await;
        let mut client = node.handshake().open().await;
        if first == OP_CONTINUATION {
            client.send_frame(OP_TEXT, b"").await;
        }
        let flood: Vec<u8> = (0..200).flat_map(|_| crate::fixture::masked(first, b"")).collect();
        client.send_bytes(&flood).await;
        let (said, code) = client.farewell().await;
        assert_eq!(code, 1008);
        assert_eq!(said[0]["err"]["code"], 40001);
        assert!(said[0]["re"].is_null());
        assert!(client.pongs.len() <= 100);
    }
}

#[tokio::test]
async fn limits_of_nothing_are_none() {
    let node = Node::start(|setup| {
        let limits = &mut setup.limits;
        (limits.connection_commands_per_10s, limits.connection_frames_per_10s) = (0, 0);
        (limits.user_sends_per_minute, limits.user_fetches_per_minute) = (0, 0);
        (limits.connections_per_user, limits.connections_per_address) = (0, 0);
        (limits.subscriptions_per_connection, limits.body_chars_max, limits.page_max) = (0, 0, 0);
        (limits.frame_bytes_max, limits.message_bytes_max, limits.handshake_bytes_max) = (0, 0, 0);
        (limits.outbox_bytes_max, limits.replay_events_max) = (0, 0);
    })
    .await;
    let ada = node.user("ada").await;
    let mut client = node.handshake().add("X-Long", "x".repeat(20_000)).ready(&ada).await;
    client.room("lobby", "public", &[]).await;
    client.say("lobby", &"long ".repeat(30_000)).await;
    for _ in 0..60 {
        client.say("lobby", "more").await;
        client.ok("message.list", json!({ "room": "lobby", "limit": 1 })).await;
    }
    let page = client.ok("event.list", json!({ "room": "lobby", "after": 0, "limit": 1000 })).await;
    assert_eq!(page["events"].as_array().unwrap().len(), 62);
    let subscribed = client.ok("room.subscribe", json!({ "room": "lobby", "after": 0 })).await;
    assert_eq!((&subscribed["replayed"], &subscribed["gap"]), (&json!(62), &Value::Null));
    client.seqs(62).await;
    let rooms = node.get("/v1/rooms").token(&ada.token).send().await;
    assert_eq!((rooms.status, rooms.header("x-ratelimit-limit")), (200, None));
    let body = json!({ "client_msg_id": "http", "body": "x".repeat(100_000) });
    let sent = node.post("/v1/rooms/lobby/messages").token(&ada.token).json(&body).send().await;
    assert_eq!(sent.status, 201);
}

#[tokio::test]
async fn sends_are_limited_by_user_and_duplicates_are_free() {
    let node = Node::plain().await;
    let (ada, bob) = (node.user("ada").await, node.user("bob").await);
    let (mut one, mut two) = (node.client(&ada).await, node.client(&ada).await);
    one.room("lobby", "public", &["bob"]).await;
    let say = |id: &str| json!({ "room": "lobby", "client_msg_id": id, "body": "hi" });
    for at in 0..15 {
        one.ok("message.send", say(&format!("one-{at}"))).await;
        two.ok("message.send", say(&format!("two-{at}"))).await;
        // Free while there is a budget: otherwise the 30 would not be reached.
        assert_eq!(two.ok("message.send", say("one-0")).await["duplicate"], true);
    }
    for client in [&mut one, &mut two] {
        let reply = client.ask("message.send", say("over")).await;
        assert_eq!(reply["err"]["code"], 40001);
        assert!((1..=60_000).contains(&reply["err"]["retry_after_ms"].as_u64().unwrap()));
        let again = client.ok("message.send", say("one-3")).await;
        assert_eq!((&again["seq"], &again["duplicate"]), (&json!(8), &json!(true)), "free even now");
    }
    let http = node.post("/v1/rooms/lobby/messages").token(&ada.token).json(&say("over")).send().await;
    assert_eq!(http.refusal(), (429, 40001));
    assert!((1..=60).contains(&http.header("retry-after").unwrap().parse::<u64>().unwrap()));
    assert_eq!(http.header("x-ratelimit-limit"), Some("30"));
    assert_eq!(http.header("x-ratelimit-remaining"), Some("0"));
    assert!((1..=60).contains(&http.header("x-ratelimit-reset").unwrap().parse::<u64>().unwrap()));
    let again = node.post("/v1/rooms/lobby/messages").token(&ada.token).json(&say("two-3")).send().await;
    assert_eq!((again.status, &again.json()["duplicate"]), (200, &json!(true)));

    let mut other = node.client(&bob).await;
    other.ok("message.send", say("mine")).await;
    one.ok("room.list", json!({})).await;
    assert!(node.metric(r#"hubbub_rate_limited_total{class="sends"}"#).await >= 3.0);
}

#[tokio::test]
async fn fetches_are_limited_over_sockets_and_http_alike() {
    let node = Node::start(|setup| setup.limits.user_fetches_per_minute = 6).await;
    let ada = node.user("ada").await;
    let mut client = node.client(&ada).await;
    client.room("lobby", "public", &[]).await;
    client.ok("room.list", json!({})).await;
    client.ok("message.list", json!({ "room": "lobby" })).await;
    client.ok("event.list", json!({ "room": "lobby", "after": 0 })).await;
    for (path, remaining) in
        [("/v1/rooms", "2"), ("/v1/rooms/lobby/messages", "1"), ("/v1/rooms/lobby/events?after=0", "0")]
    {
        let answer = node.get(path).token(&ada.token).send().await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert_eq!(answer.header("x-ratelimit-limit"), Some("6"));
        assert_eq!(answer.header("x-ratelimit-remaining"), Some(remaining));
    }
    assert_eq!(client.code("room.list", json!({})).await, 40001);
    assert_eq!(client.code("message.list", json!({ "room": "lobby" })).await, 40001);
    assert_eq!(client.code("event.list", json!({ "room": "lobby", "after": 0 })).await, 40001);
    assert_eq!(node.get("/v1/rooms").token(&ada.token).send().await.refusal(), (429, 40001));
    // A replay is no fetch, nor is showing a room or sending.
    let subscribed = client.ok("room.subscribe", json!({ "room": "lobby", "after": 0 })).await;
    assert_eq!(subscribed["replayed"], 1);
    client.ok("room.show", json!({ "room": "lobby" })).await;
    client.say("lobby", "hi").await;
}

#[tokio::test]
async fn a_body_counts_characters_and_not_bytes() {
    let node = Node::plain().await;
    let ada = node.user("ada").await;
    let mut client = node.client(&ada).await;
    client.room("lobby", "public", &[]).await;
    for letter in ["x", "é", "漢", "🎈"] {
        client.say("lobby", &letter.repeat(2_000)).await;
        let send = json!({ "room": "lobby", "client_msg_id": letter.len().to_string(), "body": letter.repeat(2_001) });
        let reply = client.ask("message.send", send).await;
        assert_eq!((&reply["err"]["code"], &reply["err"]["field"]), (&json!(10003), &json!("body")), "{letter}");
    }
    let combined = "e\u{301}".repeat(1_000);
    client.say("lobby", &combined).await;
    let page = client.ok("message.list", json!({ "room": "lobby", "limit": 1 })).await;
    assert_eq!(page["messages"][0]["body"], combined, "stored as sent, in its own form");
}

#[tokio::test]
async fn a_body_has_something_in_it_and_no_control_characters() {
    let node = Node::start(|setup| setup.limits.connection_commands_per_10s = 0).await;
    let ada = node.user("ada").await;
    let mut client = node.client(&ada).await;
    client.room("lobby", "public", &[]).await;
    let send = |body: &str| json!({ "room": "lobby", "client_msg_id": "1", "body": body });
    for body in [
        "",
        " ",
        "\n\t ",
        "\u{a0}\u{2003}",
        "\0",
        "a\0b",
        "a\u{1b}[31m",
        "a\rb",
        "a\u{7f}",
        "a\u{80}",
        "a\u{9f}",
        "\u{85}",
    ] {
        let reply = client.ask("message.send", send(body)).await;
        assert_eq!((&reply["err"]["code"], &reply["err"]["field"]), (&json!(10003), &json!("body")), "{body:?}");
    }
    for (at, body) in
        ["a", "  a\n\tb  ", "\u{a0}a", "\u{200d}", "<script>", "\u{202e}abc", "a\u{ad}"].iter().enumerate()
    {
        let send = json!({ "room": "lobby", "client_msg_id": format!("good-{at}"), "body": body });
        client.ok("message.send", send).await;
        let page = client.ok("message.list", json!({ "room": "lobby", "limit": 1 })).await;
        assert_eq!(&page["messages"][0]["body"], body);
    }
}

#[tokio::test]
async fn a_page_is_cut_at_its_maximum_and_nothing_is_refused() {
    let node = Node::start(|setup| {
        setup.limits.page_max = 3;
        setup.limits.user_fetches_per_minute = 0;
    })
    .await;
    let ada = node.user("ada").await;
    let mut client = node.client(&ada).await;
    for at in 0..5 {
        client.room(&format!("room-{at}"), "public", &[]).await;
        client.say("room-0", "hi").await;
    }
    for (cmd, list, arguments) in [
        ("message.list", "messages", json!({ "room": "room-0" })),
        ("event.list", "events", json!({ "room": "room-0", "after": 0 })),
        ("room.list", "rooms", json!({})),
    ] {
        for (limit, length) in [(json!(null), 3), (json!(2), 2), (json!(3), 3), (json!(4), 3), (json!(1_000_000), 3)] {
            let mut arguments = arguments.clone();
            if !limit.is_null() {
                arguments["limit"] = limit.clone();
            }
            let page = client.ok(cmd, arguments).await;
            assert_eq!(page[list].as_array().unwrap().len(), length, "{cmd} {limit}");
        }
        let mut none = arguments.clone();
        none["limit"] = json!(0);
        let reply = client.ask(cmd, none).await;
        assert_eq!((&reply["err"]["code"], &reply["err"]["field"]), (&json!(10003), &json!("limit")), "{cmd}");
    }
}

#[tokio::test]
async fn subscriptions_are_limited_by_connection() {
    let node = Node::start(|setup| setup.limits.subscriptions_per_connection = 2).await;
    let ada = node.user("ada").await;
    let mut client = node.client(&ada).await;
    for name in ["one", "two", "three"] {
        client.room(name, "public", &[]).await;
    }
    client.ok("room.subscribe", json!({ "room": "one" })).await;
    client.ok("room.subscribe", json!({ "room": "two" })).await;
    assert_eq!(client.code("room.subscribe", json!({ "room": "three" })).await, 40005);
    client.ok("room.subscribe", json!({ "room": "one", "after": 0 })).await;
    assert_eq!(client.seqs(1).await, [1]);
    let rooms = json!({ "one": 0, "three": 0 });
    let resumed = client.ok("session.resume", json!({ "epoch": node.store.epoch(), "rooms": rooms })).await;
    assert_eq!(resumed["rooms"]["one"]["replayed"], 1);
    assert_eq!(resumed["rooms"]["three"]["err"]["code"], 40005);
    client.ok("room.unsubscribe", json!({ "room": "two" })).await;
    client.ok("room.subscribe", json!({ "room": "three" })).await;
    let mut other = node.client(&ada).await;
    other.ok("room.subscribe", json!({ "room": "two" })).await;
}

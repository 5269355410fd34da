//! DESIGN, invariant 11, and CONTRACT §6: nobody waits for a slow socket, and nobody holds one that is dead.

use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncReadExt;

use crate::fixture::{Client, Node, OP_CLOSE, OP_PING, OP_PONG, User, soon, until};

async fn busy(change: impl FnOnce(&mut hubbub_chat::Limits)) -> (Node, User) {
    let node = Node::start(|setup| {
        setup.gateway.deflate = false;
        let limits = &mut setup.limits;
        (limits.user_sends_per_minute, limits.user_fetches_per_minute) = (0, 0);
        (limits.connection_commands_per_10s, limits.connection_frames_per_10s) = (0, 0);
        // The kernel takes megabytes before anybody is slow.
        limits.body_chars_max = 20_000;
        change(limits);
    })
    .await;
    let ada = node.user("ada").await;
    (node, ada)
}

/// Sends until `done`; how many.
async fn flood(writer: &mut Client, mut done: impl AsyncFnMut() -> bool) -> usize {
    let body = "x".repeat(20_000);
    for round in 1.. {
        for _ in 0..50 {
            writer.say("lobby", &body).await;
        }
        if done().await {
            return round * 50;
        }
        assert!(round < 400, "never");
    }
    0
}

#[tokio::test]
async fn the_slowest_reader_is_shown_first() {
    let (node, ada) = busy(|limits| limits.outbox_bytes_max = 0).await;
    let mut writer = node.client(&ada).await;
    writer.room("lobby", "public", &[]).await;
    let mut slow = node.handshake().receive_buffer(4 << 10).ready(&ada).await;
    slow.ok("room.subscribe", json!({ "room": "lobby" })).await;
    let first = async || {
        let (_, page) = node.ops("/debug/connections?limit=1").await;
        serde_json::from_str::<serde_json::Value>(&page).unwrap()["connections"][0].clone()
    };
    flood(&mut writer, async || first().await["outbox_bytes"] != 0).await;
    let slowest = first().await;
    assert_eq!((&slowest["id"], &slowest["last_command"]["name"]), (&json!(2), &json!("room.subscribe")), "{slowest}");
    let (_, summary) = node.ops("/debug/node").await;
    let summary: serde_json::Value = serde_json::from_str(&summary).unwrap();
    assert_eq!(summary["outbox_bytes"], slowest["outbox_bytes"], "nothing waits for anybody else");
}

#[tokio::test]
async fn a_reader_that_does_not_read_is_closed_and_its_neighbour_gets_everything() {
    let (node, ada) = busy(|limits| limits.outbox_bytes_max = 100_000).await;
    let mut writer = node.client(&ada).await;
    writer.room("lobby", "public", &[]).await;
    let mut slow = node.handshake().receive_buffer(4 << 10).ready(&ada).await;
    let mut neighbour = node.client(&ada).await;
    for each in [&mut slow, &mut neighbour] {
        each.ok("room.subscribe", json!({ "room": "lobby" })).await;
    }
    let reading = tokio::spawn(async move {
        let mut expected = 2;
        loop {
            let event = neighbour.event().await;
            assert_eq!(event["seq"], expected);
            expected += 1;
            if event["data"]["body"] == "the end" {
                return expected;
            }
        }
    });
    flood(&mut writer, async || node.metric("hubbub_slow_closes_total").await >= 1.0).await;
    let last = writer.say("lobby", "the end").await;
    assert_eq!(soon("the neighbour", reading).await.unwrap(), last + 1);
    assert!(node.metric("hubbub_outbox_bytes").await <= 101_000.0);
    until("only the writer is left", || async { node.metric("hubbub_connections").await == 1.0 }).await;
    assert!(node.metric(r#"hubbub_disconnects_total{reason="too_slow"}"#).await >= 1.0);

    // What it reads in the end: whole events in order, then perhaps the close frame.
    let mut seq = 1;
    while let Ok(Ok(Some(frame))) = tokio::time::timeout(Duration::from_secs(5), slow.try_frame()).await {
        match frame.opcode() {
            OP_CLOSE => assert_eq!(frame.close_code(), 4000),
            OP_PING => {}
            _ => {
                let event: serde_json::Value = serde_json::from_slice(&frame.payload).unwrap();
                seq += 1;
                assert_eq!(event["seq"], seq);
            }
        }
    }
}

#[tokio::test]
async fn a_replay_waits_for_its_reader_however_long_it_takes() {
    let (node, ada) = busy(|limits| {
        limits.outbox_bytes_max = 64 << 10;
        limits.heartbeat_interval = Duration::from_secs(1);
    })
    .await;
    let mut writer = node.client(&ada).await;
    writer.room("lobby", "public", &[]).await;
    let body = "x".repeat(20_000);
    for _ in 0..1_000 {
        writer.say("lobby", &body).await;
    }
    drop(writer);
    let mut slow = node.handshake().receive_buffer(32 << 10).ready(&ada).await;
    slow.start("room.subscribe", json!({ "room": "lobby", "after": 0 })).await;
    // Far longer than two heartbeats for the whole, but never idle for one: 20 MB, of which the kernel holds some, in
    // steps of 64 kB.
    let (mut tail, mut step, last) = (Vec::<u8>::new(), vec![0; 64 << 10], b"\"seq\":1001,");
    while !tail.windows(last.len()).any(|window| window == last) {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let count = soon("more", slow.stream.read(&mut step)).await.unwrap();
        assert_ne!(count, 0, "closed before the last event");
        // What one read ended with may go on in the next.
        let keep = tail.len().saturating_sub(last.len());
        tail.drain(..keep);
        tail.extend(&step[..count]);
    }
    assert_eq!(node.metric("hubbub_slow_closes_total").await, 0.0);
}

#[tokio::test]
async fn a_socket_that_breaks_in_a_replay_leaves_nothing_behind() {
    let (node, ada) = busy(|_| {}).await;
    let mut writer = node.client(&ada).await;
    writer.room("lobby", "public", &[]).await;
    for _ in 0..6 {
        flood(&mut writer, async || true).await;
    }
    let tasks = || async {
        let (_, body) = node.ops("/debug/tasks").await;
        serde_json::from_str::<serde_json::Value>(&body).unwrap()["alive_tasks"].as_u64().unwrap()
    };
    let before = tasks().await;
    for _ in 0..5 {
        let mut slow = node.handshake().receive_buffer(4 << 10).ready(&ada).await;
        slow.ok("room.subscribe", json!({ "room": "lobby", "after": 0 })).await;
        drop(slow);
    }
    until("the connections are gone", || async { node.metric("hubbub_connections").await == 1.0 }).await;
    until("their tasks are gone", || async { tasks().await <= before }).await;
}

#[tokio::test]
async fn who_does_not_answer_two_heartbeats_is_stale() {
    let (node, ada) = busy(|limits| limits.heartbeat_interval = Duration::from_millis(150)).await;
    let mut mute = node.client(&ada).await;
    let mut pings = 0;
    let code = loop {
        let frame = mute.raw_frame().await.expect("a close frame before the end");
        match frame.opcode() {
            OP_PING => pings += 1,
            OP_CLOSE => break frame.close_code(),
            other => panic!("{other}"),
        }
    };
    assert_eq!((code, pings), (4001, 2));
    let mut alive = node.client(&ada).await;
    for _ in 0..10 {
        let ping = alive.raw_frame().await.unwrap();
        assert_eq!(ping.opcode(), OP_PING);
        alive.send_frame(0x80 | OP_PONG, &ping.payload).await;
    }
    // Any other frame is a sign of life as well.
    for _ in 0..10 {
        assert_eq!(alive.raw_frame().await.unwrap().opcode(), OP_PING);
        alive.send_frame(0x80 | OP_PONG, b"unasked").await;
    }
    assert!(node.metric(r#"hubbub_disconnects_total{reason="stale"}"#).await >= 1.0);
}

#[tokio::test]
async fn who_waits_for_a_slow_database_is_not_stale() {
    let (node, ada) = busy(|limits| limits.heartbeat_interval = Duration::from_millis(150)).await;
    let mut client = node.client(&ada).await;
    client.room("lobby", "public", &[]).await;
    let held = node.store.hold_writes().await.unwrap();
    let send = json!({ "id": 77, "cmd": "message.send", "room": "lobby", "client_msg_id": "k", "body": "patience" });
    client.send_frame(0x80 | crate::fixture::OP_TEXT, send.to_string().as_bytes()).await;
    // The answers lie unread as long as the command is at work.
    for _ in 0..8 {
        let ping = client.raw_frame().await.expect("a ping, not the end");
        assert_eq!(ping.opcode(), OP_PING);
        client.send_frame(0x80 | OP_PONG, &ping.payload).await;
    }
    drop(held);
    loop {
        let frame = client.raw_frame().await.expect("an ack, not the end");
        match frame.opcode() {
            OP_PING => client.send_frame(0x80 | OP_PONG, &frame.payload).await,
            OP_CLOSE => panic!("closed with {}", frame.close_code()),
            _ if String::from_utf8_lossy(&frame.payload).contains("\"re\":77,\"ok\"") => break,
            _ => {}
        }
    }
}

#[tokio::test]
async fn who_asks_and_never_reads_costs_little_and_hinders_nobody() {
    let (node, ada) = busy(|limits| limits.connection_frames_per_10s = 0).await;
    let mut writer = node.client(&ada).await;
    writer.room("lobby", "public", &[]).await;
    flood(&mut writer, async || true).await;
    let mut greedy = node.handshake().receive_buffer(4 << 10).ready(&ada).await;
    let ask = greedy.encode(&json!({ "id": 1, "cmd": "message.list", "room": "lobby", "limit": 50 }));
    // A megabyte for each question, until the server stops reading.
    let mut asked = 0;
    while tokio::time::timeout(Duration::from_millis(500), greedy.send_bytes(&ask.repeat(100))).await.is_ok() {
        asked += 100;
        assert!(asked < 1_000_000, "it reads on and on");
    }
    assert!(node.metric("hubbub_outbox_bytes").await < 400_000.0);
    writer.ok("room.list", json!({})).await;
    let pings = crate::fixture::masked(0x80 | OP_PING, &[7; 125]);
    let mut pinging = node.handshake().receive_buffer(4 << 10).ready(&ada).await;
    while tokio::time::timeout(Duration::from_millis(500), pinging.send_bytes(&pings.repeat(100))).await.is_ok() {}
    assert!(node.metric("hubbub_outbox_bytes").await < 600_000.0);
    writer.ok("room.list", json!({})).await;
}

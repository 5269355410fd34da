//! CONTRACT §4: following rooms, replays, gaps, resets, resuming.

use serde_json::{Value, json};

use crate::fixture::{Client, Node, User};

/// A room `lobby` whose log reaches to `head`, and a client that follows nothing yet.
async fn lobby(head: u64, change: impl FnOnce(&mut hubbub_chat::Limits)) -> (Node, User, Client, String) {
    let node = Node::start(|setup| {
        setup.limits.user_sends_per_minute = 0;
        setup.limits.user_fetches_per_minute = 0;
        setup.limits.connection_commands_per_10s = 0;
        change(&mut setup.limits);
    })
    .await;
    let ada = node.user("ada").await;
    node.user("bob").await;
    let mut client = node.client(&ada).await;
    let room = client.room("lobby", "public", &["bob"]).await;
    for at in 2..=head {
        client.say("lobby", &format!("body {at}")).await;
    }
    (node, ada, client, room)
}

fn range(from: u64, to: u64) -> Vec<u64> {
    (from..=to).collect()
}

#[tokio::test]
async fn an_event_is_whole_and_its_sender_gets_it_by_the_same_way() {
    let (node, ada, mut client, room) = lobby(1, |_| {}).await;
    let subscribed = client.ok("room.subscribe", json!({ "room": "lobby" })).await;
    let expected = json!({ "room": room, "head": 1, "epoch": node.store.epoch(), "replayed": 0 });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&subscribed[name], value, "{name}");
    }
    assert!(subscribed.get("gap").is_none_or(Value::is_null) && subscribed["reset"] != true, "{subscribed}");
    let send = json!({ "room": "lobby", "client_msg_id": "x", "body": "hello", "reply_to": "later", "thread": 7 });
    let sent = client.ok("message.send", send).await;
    let event = client.event().await;
    assert_eq!((&event["ev"], &event["room"], &event["seq"]), (&json!("message.sent"), &json!(room), &json!(2)));
    assert_eq!((&event["by"], &event["at"]), (&ada.json(), &sent["at"]));
    assert_eq!((&event["data"]["id"], &event["data"]["client_msg_id"]), (&sent["id"], &json!("x")));
    assert_eq!(event["data"]["body"], "hello");
    assert!(event.get("re").is_none() && event.get("id").is_none());
}

#[tokio::test]
async fn a_cursor_is_replayed_behind_the_reply_and_before_what_is_live() {
    let (_node, _, mut client, _) = lobby(10, |_| {}).await;
    for (arguments, replayed) in [
        (json!({}), range(1, 0)),
        (json!({ "after": 0 }), range(1, 10)),
        (json!({ "after": 7 }), range(8, 10)),
        (json!({ "after": 10 }), range(1, 0)),
        (json!({ "last": 0 }), range(1, 0)),
        (json!({ "last": 3 }), range(8, 10)),
        (json!({ "last": 99 }), range(1, 10)),
    ] {
        let mut arguments = arguments;
        arguments["room"] = json!("lobby");
        let subscribed = client.ok("room.subscribe", arguments.clone()).await;
        assert_eq!((&subscribed["head"], &subscribed["replayed"]), (&json!(10), &json!(replayed.len())), "{arguments}");
        assert_eq!(client.seqs(replayed.len()).await, replayed, "{arguments}");
        assert_eq!(client.fence().await, Vec::<Value>::new(), "{arguments}");
    }
    client.say("lobby", "live").await;
    assert_eq!(client.seqs(1).await, [11], "many subscriptions, one event");
    assert_eq!(client.fence().await, Vec::<Value>::new());
    for arguments in [
        json!({ "room": "lobby", "after": 1, "last": 1 }),
        json!({ "room": "lobby", "after": -1 }),
        json!({ "room": "lobby", "last": "x" }),
        json!({ "room": 5 }),
    ] {
        assert_eq!(client.code("room.subscribe", arguments.clone()).await, 10003, "{arguments}");
    }
}

#[tokio::test]
async fn what_is_further_behind_than_the_limit_is_a_gap_to_page_through() {
    let (_node, _, mut client, _) = lobby(20, |limits| limits.replay_events_max = 5).await;
    for (arguments, gap) in [
        (json!({ "after": 3 }), json!({ "from": 4, "to": 15 })),
        (json!({ "after": 0 }), json!({ "from": 1, "to": 15 })),
        (json!({ "after": 14 }), json!({ "from": 15, "to": 15 })),
        (json!({ "after": 15 }), Value::Null),
        (json!({ "last": 6 }), json!({ "from": 15, "to": 15 })),
    ] {
        let mut arguments = arguments;
        arguments["room"] = json!("lobby");
        let subscribed = client.ok("room.subscribe", arguments.clone()).await;
        assert_eq!((&subscribed["gap"], &subscribed["replayed"]), (&gap, &json!(5)), "{arguments}");
        assert_eq!(client.seqs(5).await, range(16, 20));
    }
    let mut seen = Vec::new();
    while seen.len() < 12 {
        let after = seen.last().copied().unwrap_or(3);
        let page = client.ok("event.list", json!({ "room": "lobby", "after": after, "limit": 5 })).await;
        seen.extend(page["events"].as_array().unwrap().iter().map(|event| event["seq"].as_u64().unwrap()));
    }
    assert_eq!(seen[..12], range(4, 15));
}

#[tokio::test]
async fn a_cursor_above_the_head_resets() {
    let (_node, _, mut client, _) = lobby(4, |_| {}).await;
    let subscribed = client.ok("room.subscribe", json!({ "room": "lobby", "after": 5 })).await;
    assert_eq!(
        (&subscribed["reset"], &subscribed["head"], &subscribed["replayed"]),
        (&json!(true), &json!(4), &json!(0))
    );
    client.say("lobby", "live").await;
    assert_eq!(client.seqs(1).await, [5], "subscribed all the same");
}

#[tokio::test]
async fn nothing_comes_after_unsubscribing() {
    let (node, ada, mut client, _) = lobby(1, |_| {}).await;
    let mut other = node.client(&ada).await;
    for each in [&mut client, &mut other] {
        each.ok("room.subscribe", json!({ "room": "lobby" })).await;
    }
    assert_eq!(client.ok("room.unsubscribe", json!({ "room": "lobby" })).await, json!({}));
    assert_eq!(client.ok("room.unsubscribe", json!({ "room": "lobby" })).await, json!({}), "twice is fine");
    other.say("lobby", "unheard").await;
    other.event().await;
    assert_eq!(client.fence().await, Vec::<Value>::new());
    let subscribed = client.ok("room.subscribe", json!({ "room": "lobby", "after": 1 })).await;
    assert_eq!(subscribed["replayed"], 1);
    assert_eq!(client.seqs(1).await, [2]);
    // Leaving and coming back while a long replay may still be on its way.
    for _ in 0..20 {
        client.start("room.subscribe", json!({ "room": "lobby", "after": 0 })).await;
        client.start("room.unsubscribe", json!({ "room": "lobby" })).await;
    }
    client.fence().await;
    other.say("lobby", "unheard").await;
    assert_eq!(other.event().await["seq"], 3);
    assert_eq!(client.fence().await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_resume_answers_each_room_in_its_place_under_the_key_as_sent() {
    let (node, ada, mut client, room) = lobby(6, |_| {}).await;
    let second = client.room("second", "public", &[]).await;
    let mut stranger = node.client(&node.user("eve").await).await;
    stranger.room("theirs", "public", &[]).await;
    stranger.room("hidden", "private", &[]).await;
    drop(client);
    let mut client = node.client(&ada).await;
    let rooms = json!({
        "lobby": 4, second.as_str(): 0, "theirs": 0, "hidden": 0, "nowhere": 0, "Not A Name": 0, "x": -1, "y": "z",
    });
    let resumed = client.ok("session.resume", json!({ "epoch": node.store.epoch(), "rooms": rooms })).await;
    let told = &resumed["rooms"];
    assert_eq!(told.as_object().unwrap().len(), 8, "{told}");
    assert_eq!((&told["lobby"]["room"], &told["lobby"]["replayed"]), (&json!(room), &json!(2)));
    assert_eq!(told[&second]["replayed"], 1);
    for (key, code) in
        [("theirs", 30002), ("hidden", 30001), ("nowhere", 30001), ("Not A Name", 10003), ("x", 10003), ("y", 10003)]
    {
        assert_eq!(told[key]["err"]["code"], code, "{key}: {told}");
    }
    let mut replayed = Vec::new();
    for _ in 0..3 {
        let event = client.event().await;
        replayed.push((event["room"] == *room, event["seq"].as_u64().unwrap()));
    }
    replayed.sort_unstable();
    assert_eq!(replayed, [(false, 1), (true, 5), (true, 6)]);
    client.say("lobby", "live").await;
    assert_eq!(client.seqs(1).await, [7]);
    for arguments in [
        json!({ "rooms": {} }),
        json!({ "epoch": node.store.epoch() }),
        json!({ "epoch": 5, "rooms": {} }),
        json!({ "epoch": node.store.epoch(), "rooms": ["lobby"] }),
    ] {
        assert_eq!(client.code("session.resume", arguments.clone()).await, 10003, "{arguments}");
    }
    assert_eq!(client.ok("session.resume", json!({ "epoch": "x", "rooms": {} })).await, json!({ "rooms": {} }));
}

#[tokio::test]
async fn a_foreign_epoch_resets_every_room() {
    let (_node, _, mut client, room) = lobby(4, |_| {}).await;
    let rooms = json!({ "lobby": 2, room.as_str(): 4, "nowhere": 1 });
    let resumed = client.ok("session.resume", json!({ "epoch": "another", "rooms": rooms })).await;
    for key in ["lobby", &room] {
        let told = &resumed["rooms"][key];
        assert_eq!((&told["reset"], &told["replayed"], &told["head"]), (&json!(true), &json!(0), &json!(4)), "{told}");
    }
    assert_eq!(resumed["rooms"]["nowhere"]["err"]["code"], 30001);
    client.say("lobby", "live").await;
    assert_eq!(client.seqs(1).await, [5]);
    assert_eq!(client.fence().await, Vec::<Value>::new(), "one room under two keys is followed once");
}

#[tokio::test]
async fn who_leaves_hears_of_it_as_the_last_thing() {
    let (node, _, mut client, room) = lobby(1, |_| {}).await;
    let bob = node.user("rob").await;
    let (mut one, mut two) = (node.client(&bob).await, node.client(&bob).await);
    one.ok("room.join", json!({ "room": "lobby" })).await;
    for each in [&mut one, &mut two] {
        each.ok("room.subscribe", json!({ "room": "lobby", "after": 1 })).await;
        assert_eq!(each.event().await["ev"], "member.joined");
    }
    client.ok("room.subscribe", json!({ "room": room })).await;
    one.ok("room.leave", json!({ "room": "lobby" })).await;
    client.say("lobby", "behind their back").await;
    assert_eq!(client.seqs(2).await, [3, 4]);
    for each in [&mut one, &mut two] {
        let last = each.event().await;
        assert_eq!((&last["ev"], &last["seq"], &last["data"]["user"]), (&json!("member.left"), &json!(3), &bob.json()));
        assert_eq!(each.fence().await, Vec::<Value>::new());
        assert_eq!(each.code("room.subscribe", json!({ "room": "lobby" })).await, 30002);
    }
    one.ok("room.join", json!({ "room": "lobby" })).await;
    one.ok("room.subscribe", json!({ "room": "lobby" })).await;
    client.say("lobby", "back again").await;
    assert_eq!(one.event().await["seq"], 6);
}

#[tokio::test]
async fn a_long_replay_comes_whole_and_in_order_while_others_write() {
    let (node, ada, mut client, _) = lobby(700, |_| {}).await;
    let mut writer = node.client(&ada).await;
    let writing = tokio::spawn(async move {
        for at in 701..=800 {
            assert_eq!(writer.say("lobby", "live").await, at);
        }
    });
    let subscribed = client.ok("room.subscribe", json!({ "room": "lobby", "after": 0 })).await;
    let head = subscribed["head"].as_u64().unwrap();
    assert_eq!(subscribed["replayed"], head);
    assert_eq!(client.seqs(800).await, range(1, 800));
    writing.await.unwrap();
    assert_eq!(client.fence().await, Vec::<Value>::new());
}

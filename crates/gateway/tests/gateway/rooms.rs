//! CONTRACT §4: rooms of all four kinds, who sees them, who may do what.

use hubbub_protocol::RoomId;
use serde_json::{Value, json};

use crate::fixture::{Client, Node, User};

/// Three users, each with a client and without limits that are in the way.
async fn three() -> (Node, [User; 3], [Client; 3]) {
    let node = Node::start(|setup| {
        setup.limits.connection_commands_per_10s = 0;
        setup.limits.user_fetches_per_minute = 0;
    })
    .await;
    let users = [node.user("ada").await, node.user("bob").await, node.user("eve").await];
    let clients = [node.client(&users[0]).await, node.client(&users[1]).await, node.client(&users[2]).await];
    (node, users, clients)
}

/// Every command that names a room.
fn all_about(room: &str) -> Vec<(&'static str, Value)> {
    vec![
        ("room.join", json!({ "room": room })),
        ("room.leave", json!({ "room": room })),
        ("room.show", json!({ "room": room })),
        ("room.subscribe", json!({ "room": room })),
        ("room.subscribe", json!({ "room": room, "after": 0 })),
        ("message.send", json!({ "room": room, "client_msg_id": "1", "body": "hi" })),
        ("message.list", json!({ "room": room })),
        ("event.list", json!({ "room": room, "after": 0 })),
    ]
}

async fn names(client: &mut Client) -> Vec<Value> {
    let page = client.ok("room.list", json!({})).await;
    page["rooms"].as_array().unwrap().iter().map(|room| room["name"].clone()).collect()
}

#[tokio::test]
async fn a_room_is_made_with_its_members_in_its_first_event() {
    let (node, [ada, bob, _], [mut client, mut second, _]) = three().await;
    for kind in ["public", "private", "announcement"] {
        let by_id = json!({ "name": kind, "kind": kind, "members": ["bob", bob.id, "ada", "bob"] });
        let room = client.ok("room.create", by_id).await;
        assert_eq!((&room["name"], &room["kind"]), (&json!(kind), &json!(kind)));
        assert_eq!((&room["members"], &room["head"]), (&json!(2), &json!(1)), "{room}");
        assert!(room["created_at"].is_string() && room.get("peers").is_none_or(Value::is_null));
        assert_eq!(second.ok("room.show", json!({ "room": kind })).await, room);

        let page = second.ok("event.list", json!({ "room": room["id"], "after": 0 })).await;
        let events = page["events"].as_array().unwrap();
        assert_eq!((events.len(), &page["head"]), (1, &json!(1)), "{page}");
        assert_eq!((&events[0]["ev"], &events[0]["seq"]), (&json!("room.created"), &json!(1)));
        assert_eq!(events[0]["by"], ada.json());
        let members = json!([{ "user": ada.json(), "role": "owner" }, { "user": bob.json(), "role": "member" }]);
        assert_eq!(events[0]["data"]["members"], members);
        assert_eq!(events[0]["data"]["room"], room);
    }
    drop(node);
}

#[tokio::test]
async fn what_cannot_be_made_is_refused() {
    let (node, [_, bob, _], [mut client, ..]) = three().await;
    let long = "x".repeat(65);
    for name in ["", "Lobby", "-lobby", ".x", "_x", "a b", "a/b", "lobbÿ", &long, &RoomId::new().to_string(), "a\n"] {
        let reply = client.ask("room.create", json!({ "name": name, "kind": "public" })).await;
        assert_eq!((&reply["err"]["code"], &reply["err"]["field"]), (&json!(10003), &json!("name")), "{name}");
    }
    for (arguments, field) in [
        (json!({ "kind": "public" }), "name"),
        (json!({ "name": "x" }), "kind"),
        (json!({ "name": "x", "kind": "secret" }), "kind"),
        (json!({ "name": "x", "kind": "direct", "members": ["bob"] }), "name"),
        (json!({ "kind": "direct" }), "members"),
        (json!({ "kind": "direct", "members": [] }), "members"),
        (json!({ "kind": "direct", "members": ["ada"] }), "members"),
        (json!({ "name": "x", "kind": "public", "members": ["nobody"] }), "members"),
        (json!({ "name": "x", "kind": "public", "members": [hubbub_protocol::UserId::new()] }), "members"),
        (json!({ "name": "x", "kind": "public", "members": "bob" }), "members"),
        (json!({ "name": "x", "kind": "public", "members": [7] }), "members"),
    ] {
        let reply = client.ask("room.create", arguments.clone()).await;
        assert_eq!(
            (&reply["err"]["code"], &reply["err"]["field"]),
            (&json!(10003), &json!(field)),
            "{arguments}: {reply}"
        );
    }
    for name in ["a", "0", "a.b_c-d", &"x".repeat(64)] {
        client.ok("room.create", json!({ "name": name, "kind": "public" })).await;
        for kind in ["public", "private"] {
            assert_eq!(client.code("room.create", json!({ "name": name, "kind": kind })).await, 30004, "{name}");
        }
    }
    node.store.set_disabled(bob.id, true).await.unwrap();
    let with_bob = json!({ "name": "late", "kind": "public", "members": ["bob"] });
    assert_eq!(client.code("room.create", with_bob).await, 10003);
}

#[tokio::test]
async fn joining_twice_makes_no_second_event_and_leaving_ends_it() {
    let (_node, [ada, bob, _], [mut client, mut second, _]) = three().await;
    for kind in ["public", "announcement"] {
        let room = client.room(kind, kind, &[]).await;
        let page = second.ask("message.list", json!({ "room": room })).await;
        assert_eq!(page["err"]["code"], 30002, "seen, but no member");
        for _ in 0..2 {
            let joined = second.ok("room.join", json!({ "room": kind })).await;
            assert_eq!((&joined["head"], &joined["members"]), (&json!(2), &json!(2)));
        }
        let log = client.ok("event.list", json!({ "room": room, "after": 1 })).await;
        let event = &log["events"][0];
        assert_eq!((&event["ev"], &event["by"]), (&json!("member.joined"), &bob.json()));
        assert_eq!(event["data"], json!({ "user": bob.json(), "role": "member" }));

        let left = second.ok("room.leave", json!({ "room": room })).await;
        assert_eq!((&left["head"], &left["members"]), (&json!(3), &json!(1)));
        assert_eq!(second.code("room.leave", json!({ "room": room })).await, 30002);
        for cmd in ["message.list", "room.subscribe"] {
            assert_eq!(second.code(cmd, json!({ "room": room })).await, 30002);
        }
        let send = json!({ "room": room, "client_msg_id": "1", "body": "hi" });
        assert_eq!(second.code("message.send", send).await, 30002);
        let log = client.ok("event.list", json!({ "room": room, "after": 2 })).await;
        assert_eq!(log["events"][0]["ev"], "member.left");
        assert_eq!(log["events"][0]["data"], json!({ "user": bob.json() }));
        assert_eq!(second.ok("room.join", json!({ "room": room })).await["head"], 4);
        assert_eq!(client.ok("room.show", json!({ "room": room })).await["members"], 2);
    }
    drop(ada);
}

#[tokio::test]
async fn a_private_room_is_not_there_for_others() {
    let (node, [_, _, eve], [mut client, mut second, mut third]) = three().await;
    let room = client.room("secret", "private", &["bob"]).await;
    let nowhere = RoomId::new().to_string();
    for name in [&room, "secret", &nowhere, "nowhere"] {
        for (cmd, arguments) in all_about(name) {
            let reply = third.ask(cmd, arguments).await;
            assert_eq!(reply["err"]["code"], 30001, "{cmd} {name}: {reply}");
            assert_eq!(reply["err"]["message"], "There is no such room, or none that you may see.");
        }
        let resumed = third.ok("session.resume", json!({ "epoch": node.store.epoch(), "rooms": { name: 0 } })).await;
        assert_eq!(resumed["rooms"][name]["err"]["code"], 30001);
        assert_eq!(third.ok("room.unsubscribe", json!({ "room": name })).await, json!({}));
        for (method, path) in [("GET", ""), ("POST", "/join"), ("GET", "/messages"), ("GET", "/events?after=0")] {
            let path = format!("/v1/rooms/{name}{path}");
            let answer = node.request(method, &path).token(&eve.token).send().await;
            assert_eq!(answer.refusal(), (404, 30001), "{method} {path}");
        }
    }
    assert_eq!(names(&mut third).await, Vec::<Value>::new());
    assert_eq!(names(&mut second).await, [json!("secret")]);
    for (cmd, arguments) in all_about("secret") {
        second.ok(cmd, arguments).await;
        if cmd == "room.leave" {
            // Whoever left a private room does not see it any more.
            assert_eq!(second.code("room.show", json!({ "room": room })).await, 30001);
            break;
        }
    }
}

#[tokio::test]
async fn a_spent_budget_does_not_tell_what_is_hidden() {
    let node = Node::start(|setup| setup.limits.user_sends_per_minute = 2).await;
    let (ada, eve) = (node.user("ada").await, node.user("eve").await);
    let mut client = node.client(&ada).await;
    client.room("secret", "private", &[]).await;
    let body = json!({ "client_msg_id": "1", "body": "hi" });
    let mut seen = Vec::new();
    for room in ["secret", "nowhere", "secret", "nowhere"] {
        let answer = node.post(&format!("/v1/rooms/{room}/messages")).token(&eve.token).json(&body).send().await;
        seen.push((answer.refusal(), answer.header("x-ratelimit-remaining").map(str::to_owned)));
    }
    assert_eq!((seen[0].0, seen[1].0), ((404, 30001), (404, 30001)));
    assert_eq!((seen[0].1.as_deref(), seen[1].1.as_deref()), (Some("1"), Some("0")));
    assert_eq!(seen[2], seen[3]);
    assert_eq!(seen[2].0, (429, 40001));
}

#[tokio::test]
async fn only_the_owner_writes_in_an_announcement_room() {
    let (node, [_, bob, _], [mut client, mut second, mut third]) = three().await;
    client.room("news", "announcement", &["bob"]).await;
    client.say("news", "hear, hear").await;
    let send = json!({ "room": "news", "client_msg_id": "1", "body": "hi" });
    assert_eq!(second.code("message.send", send.clone()).await, 20004);
    let answer = node.post("/v1/rooms/news/messages").token(&bob.token).json(&send).send().await;
    assert_eq!(answer.refusal(), (403, 20004));
    assert_eq!(third.code("message.send", send).await, 30002, "a stranger is told to join first");
    assert_eq!(second.ok("message.list", json!({ "room": "news" })).await["messages"][0]["body"], "hear, hear");
}

#[tokio::test]
async fn a_direct_room_is_the_same_for_the_same_people() {
    let (_node, [ada, bob, eve], [mut client, mut second, mut third]) = three().await;
    let create = |members: Value| json!({ "kind": "direct", "members": members });
    let room = client.ok("room.create", create(json!(["bob"]))).await;
    assert_eq!((&room["name"], &room["members"], &room["head"]), (&Value::Null, &json!(2), &json!(1)));
    let peers = room["peers"].as_array().unwrap();
    assert!(peers.contains(&bob.json()), "{room}");
    second.say(room["id"].as_str().unwrap(), "hi").await;
    for (by_ada, members) in [(true, json!([bob.id, "ada"])), (false, json!(["ada"])), (false, json!([ada.id, bob.id]))]
    {
        let client = if by_ada { &mut client } else { &mut second };
        let same = client.ok("room.create", create(members)).await;
        assert_eq!((&same["id"], &same["head"]), (&room["id"], &json!(2)));
    }
    let three = client.ok("room.create", create(json!(["bob", "eve"]))).await;
    assert_ne!(three["id"], room["id"]);
    assert_eq!(three["members"], 3);
    assert_eq!(third.ok("room.create", create(json!(["ada", "bob"]))).await["id"], three["id"]);

    for (cmd, arguments) in all_about(room["id"].as_str().unwrap()) {
        assert_eq!(third.code(cmd, arguments).await, 30001, "{cmd}");
    }
    assert_eq!(client.code("room.leave", json!({ "room": room["id"] })).await, 30004, "nobody leaves a direct room");
    assert_eq!(names(&mut third).await, [Value::Null]);
    drop(eve);
}

#[tokio::test]
async fn two_who_make_the_same_direct_room_at_once_get_one() {
    let (_node, _, [mut client, mut second, _]) = three().await;
    let (one, two) = futures_util::future::join(
        client.ok("room.create", json!({ "kind": "direct", "members": ["bob"] })),
        second.ok("room.create", json!({ "kind": "direct", "members": ["ada"] })),
    )
    .await;
    assert_eq!(one["id"], two["id"]);
    assert_eq!(one["head"], 1);
}

#[tokio::test]
async fn lists_go_on_where_a_page_ended() {
    let (_node, _, [mut client, mut second, _]) = three().await;
    for at in 0..7 {
        client.room(&format!("open-{at}"), "public", &[]).await;
        client.room(&format!("closed-{at}"), "private", if at == 3 { &["bob"] } else { &[] }).await;
    }
    let expected: Vec<String> =
        ["open-0", "open-1", "open-2", "open-3", "closed-3", "open-4", "open-5", "open-6"].map(str::to_owned).into();
    for limit in [1, 3, 8, 9] {
        let (mut seen, mut next) = (Vec::new(), None::<String>);
        loop {
            let mut arguments = json!({ "limit": limit });
            if let Some(next) = &next {
                arguments["after"] = json!(next);
            }
            let page = second.ok("room.list", arguments).await;
            let rooms = page["rooms"].as_array().unwrap();
            assert!(rooms.len() <= limit);
            seen.extend(rooms.iter().map(|room| room["name"].as_str().unwrap().to_owned()));
            next = page["next"].as_str().map(str::to_owned);
            if next.is_none() {
                break;
            }
        }
        let (mut sorted, mut wanted) = (seen.clone(), expected.clone());
        sorted.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(sorted, wanted, "limit {limit}");
    }
    let reply = second.ask("room.list", json!({ "after": "no such place" })).await;
    assert_eq!((&reply["err"]["code"], &reply["err"]["field"]), (&json!(10003), &json!("after")));
}

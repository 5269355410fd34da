//! The debug pages: what they show, in which order, how much of it, and what they refuse.

use serde_json::{Value, json};

use crate::fixture::{Client, Node, User, until};

async fn page(node: &Node, path: &str) -> Value {
    let (status, body) = node.ops(path).await;
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).unwrap_or_else(|_| panic!("no JSON: {body}"))
}

/// Status, code and field of a refusal.
async fn refusal(node: &Node, path: &str) -> (u16, u64, String) {
    let (status, body) = node.ops(path).await;
    let err = &serde_json::from_str::<Value>(&body).unwrap_or_else(|_| panic!("{path}: no JSON: {body}"))["err"];
    assert!(err["at"].is_string() && err["trace"].is_string(), "{path}: {body}");
    (status, err["code"].as_u64().unwrap(), err["field"].as_str().unwrap_or_default().to_owned())
}

fn ids(page: &Value) -> Vec<u64> {
    page["connections"].as_array().unwrap().iter().map(|row| row["id"].as_u64().unwrap()).collect()
}

/// Ada twice and bob once, all in the lobby, and a stranger; connections 1 to 4.
async fn crowd(node: &Node) -> (User, Vec<Client>, String) {
    let (ada, bob) = (node.user("ada").await, node.user("bob").await);
    let mut first = node.client(&ada).await;
    let room = first.room("lobby", "public", &[]).await;
    first.ok("room.subscribe", json!({ "room": "lobby" })).await;
    let mut clients = vec![first];
    for user in [&ada, &bob] {
        let mut client = node.client(user).await;
        client.ok("room.join", json!({ "room": "lobby" })).await;
        client.ok("room.subscribe", json!({ "room": "lobby" })).await;
        clients.push(client);
    }
    clients.push(node.handshake().open().await);
    (ada, clients, room)
}

#[tokio::test]
async fn connections_are_found_by_user_room_and_address() {
    let node = Node::plain().await;
    let (ada, _clients, room) = crowd(&node).await;
    let by = async |filter: &str| ids(&page(&node, &format!("/debug/connections?sort=age&{filter}")).await);
    assert_eq!(by("").await, [1, 2, 3, 4]);
    assert_eq!(by("user=ada").await, [1, 2]);
    assert_eq!(by(&format!("user={}", ada.id)).await, [1, 2]);
    assert!(by("user=nobody").await.is_empty());
    for lobby in ["lobby", &room] {
        assert_eq!(by(&format!("room={lobby}")).await, [1, 2, 3], "{lobby}");
        assert_eq!(by(&format!("room={lobby}&user=bob")).await, [3]);
    }
    assert_eq!(by("address=127.0.0.1&user=bob").await, [3]);
    assert!(by("address=::1").await.is_empty());
    let limited = page(&node, "/debug/connections?sort=age&limit=2").await;
    assert_eq!((ids(&limited), &limited["count"], &limited["matching"]), (vec![1, 2], &json!(4), &json!(4)));
}

#[tokio::test]
async fn a_connection_tells_what_it_did_to_the_byte() {
    let node = Node::plain().await;
    let mut stranger = node.handshake().open().await;
    stranger.send_frame(0x89, b"sixteen bytes...").await;
    until("a pong", || async { page(&node, "/debug/connections").await["connections"][0]["frames_out"] == 1 }).await;
    let row = page(&node, "/debug/connections").await["connections"][0].clone();
    // Two bytes of head, four of mask from clients alone, sixteen of payload.
    let counted = [&row["frames_in"], &row["bytes_in"], &row["frames_out"], &row["bytes_out"], &row["commands"]];
    assert_eq!(counted.map(Value::as_u64), [1, 22, 1, 18, 0].map(Some));
    assert_eq!((&row["user"], &row["last_command"], &row["tls"]), (&Value::Null, &Value::Null, &json!(false)));
    assert_eq!((&row["address"], &row["codec"]), (&json!("127.0.0.1"), &json!("hubbub.v1.json")));
    assert!(row["outbox_bytes"] == 0 && row["age_ms"].is_u64() && row["closing"] == false, "{row}");
    let ada = node.user("ada").await;
    let mut client = node.client(&ada).await;
    client.room("lobby", "public", &[]).await;
    client.ok("room.subscribe", json!({ "room": "lobby" })).await;
    for body in ["one", "two", "three"] {
        client.say("lobby", body).await;
    }
    client.start("no.such", json!({})).await;
    assert_eq!(client.fence().await.len(), 4, "three events and a refusal");
    let row = page(&node, "/debug/connections?user=ada").await["connections"][0].clone();
    assert_eq!((&row["commands"], &row["frames_in"]), (&json!(7), &json!(7)));
    // session.ready, a reply to each, and the events, however they were joined.
    assert_eq!(row["frames_out"], 1 + 7 + 3);
    assert_eq!((&row["last_command"]["name"], &row["subscriptions"]), (&json!("room.unsubscribe"), &json!(1)));
    assert_eq!(row["user"], ada.json());
}

#[tokio::test]
async fn a_room_shows_its_tail_and_its_subscribers_in_pages() {
    let node = Node::plain().await;
    let (_, mut clients, room) = crowd(&node).await;
    clients[0].room("small", "public", &[]).await;
    clients[0].ok("room.subscribe", json!({ "room": "small" })).await;
    clients[0].say("lobby", "a body that nobody else may see").await;
    let list = page(&node, "/debug/rooms").await;
    let names: Vec<_> = list["rooms"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!((names, &list["count"]), (vec!["lobby", "small"], &json!(2)), "the largest first");
    assert_eq!(page(&node, "/debug/rooms?limit=1").await["rooms"].as_array().unwrap().len(), 1);
    // Made, joined by bob, and the message.
    let first = page(&node, "/debug/rooms/lobby?limit=2").await;
    let tail = &first["tail"];
    assert_eq!((&first["room"], &tail["head"], &tail["known"]), (&json!(room), &json!(3), &json!(3)));
    assert_eq!((&tail["waiting"], &tail["holes"], &first["lanes"]), (&json!(0), &json!([]), &json!([3])));
    assert!(tail["first_kept"].as_u64() <= Some(3) && tail["kept_events"].as_u64() > Some(0), "{tail}");
    let connections = |page: &Value| -> Vec<u64> {
        page["subscribers"].as_array().unwrap().iter().map(|row| row["connection"].as_u64().unwrap()).collect()
    };
    assert_eq!((connections(&first), &first["count"]), (vec![1, 2], &json!(3)));
    let second = page(&node, &format!("/debug/rooms/{room}?limit=2&after={}", first["next"])).await;
    assert_eq!((connections(&second), &second["next"]), (vec![3], &Value::Null));
    assert_eq!(second["subscribers"][0]["state"], "live");
}

#[tokio::test]
async fn what_is_asked_wrongly_is_refused_by_its_name() {
    let node = Node::plain().await;
    let (_, _clients, _) = crowd(&node).await;
    for page in ["node", "config", "leases", "bus", "store", "tasks"] {
        assert_eq!(refusal(&node, &format!("/debug/{page}?x=1")).await, (400, 10003, "x".to_owned()));
    }
    for (path, field) in [
        ("connections?usr=ada", "usr"),
        ("connections?user=a%20b", "user"),
        ("connections?room=UPPER", "room"),
        ("connections?address=nowhere", "address"),
        ("connections?sort=name", "sort"),
        ("connections?limit=0", "limit"),
        ("connections?limit=ten", "limit"),
        ("connections?user=ada&user=bob", "user"),
        ("rooms?user=ada", "user"),
        ("rooms?sort=age", "sort"),
        ("rooms/UPPER", "room"),
        ("rooms/%ff", "room"),
        ("rooms/lobby?after=x", "after"),
        ("rooms/lobby?sort=age", "sort"),
        ("errors?limit=-1", "limit"),
    ] {
        assert_eq!(refusal(&node, &format!("/debug/{path}")).await, (400, 10003, field.to_owned()), "{path}");
    }
    for path in ["rooms/no-such", "rooms/01890a5d-ac96-774b-bcce-b302099a8057", "connections?room=no-such"] {
        assert_eq!(refusal(&node, &format!("/debug/{path}")).await.0, 404, "{path}");
    }
    assert_eq!(page(&node, "/debug/connections?room=01890a5d-ac96-774b-bcce-b302099a8057").await["matching"], 0);
}

#[tokio::test]
async fn the_parts_below_are_shown() {
    let node = Node::plain().await;
    let (_, mut clients, _) = crowd(&node).await;
    clients[0].say("lobby", "hi").await;
    let bus = page(&node, "/debug/bus").await;
    assert_eq!((&bus["shared"], &bus["up"], &bus["shards"]), (&json!(false), &json!(true), &json!([])));
    assert_eq!((&bus["rooms"], &bus["sessions"]), (&json!(1), &json!(3)));
    assert!(bus["published"].as_f64() >= Some(1.0), "{bus}");
    let leases = page(&node, "/debug/leases").await;
    assert_eq!((&leases["count"], &leases["nodes"][0]["instance"]), (&json!(1), &bus["instance"]));
    assert_eq!((&leases["nodes"][0]["sessions"], &leases["nodes"][0]["self"]), (&json!(3), &json!(true)));
    let store = page(&node, "/debug/store").await;
    assert_eq!(
        (&store["engine"], &store["up"], &store["circuit"]["open"]),
        (&json!("sqlite"), &json!(true), &json!(false))
    );
    assert_eq!((&store["queue"]["writes"], &store["replica"]), (&json!(0), &Value::Null));
    let pools: Vec<_> = store["pools"].as_array().unwrap().iter().map(|pool| pool["name"].as_str().unwrap()).collect();
    assert_eq!(pools, ["appends", "reads", "directory"]);
    assert!(store["calls"]["append"]["count"].as_u64() >= Some(1), "{store}");
    assert!(store["calls"]["append"]["p99_ms"].as_f64() > Some(0.0), "{store}");
    let tasks = page(&node, "/debug/tasks").await;
    assert_eq!(tasks["sockets"], 4, "{tasks}");
    let summary = page(&node, "/debug/node").await;
    let expected =
        json!({ "status": "ready", "node": "node-of-tests", "connections": 4, "rooms": 1, "draining": false });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&summary[name], value, "{name}");
    }
    assert_eq!((&summary["counters"]["connects"], &summary["instance"]), (&json!(4.0), &bus["instance"]));
    assert!(summary["delivery"]["buckets"].as_array().is_some_and(|buckets| buckets.len() > 10), "{summary}");
    assert!(summary["rss_bytes"].as_u64() > Some(1 << 20) && summary["uptime_ms"].is_u64(), "{summary}");
    assert!(page(&node, "/debug/errors").await["errors"].is_array());
}

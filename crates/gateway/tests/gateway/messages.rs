//! CONTRACT §4: sending once, whatever happens, and listing.

use serde_json::{Value, json};

use crate::fixture::{Client, Node, User};

async fn two() -> (Node, [User; 2], [Client; 2]) {
    let node = Node::start(|setup| {
        setup.limits.user_sends_per_minute = 0;
        setup.limits.user_fetches_per_minute = 0;
        setup.limits.connection_commands_per_10s = 0;
    })
    .await;
    let users = [node.user("ada").await, node.user("bob").await];
    let clients = [node.client(&users[0]).await, node.client(&users[1]).await];
    (node, users, clients)
}

fn say(id: &str, body: &str) -> Value {
    json!({ "room": "lobby", "client_msg_id": id, "body": body })
}

#[tokio::test]
async fn the_same_client_msg_id_again_gets_the_first_answer() {
    let (_node, _, [mut one, mut two]) = two().await;
    one.room("lobby", "public", &["bob"]).await;
    one.room("other", "public", &[]).await;
    let first = one.ok("message.send", say("x", "first")).await;
    assert_eq!((&first["seq"], &first["duplicate"]), (&json!(2), &json!(false)));
    assert!(first["id"].is_string() && first["at"].is_string());
    one.say("lobby", "between").await;
    for body in ["first", "another body"] {
        let again = one.ok("message.send", say("x", body)).await;
        assert_eq!((&again["seq"], &again["id"], &again["at"]), (&first["seq"], &first["id"], &first["at"]));
        assert_eq!(again["duplicate"], true);
    }
    let theirs = two.ok("message.send", say("x", "mine")).await;
    assert_eq!((&theirs["seq"], &theirs["duplicate"]), (&json!(4), &json!(false)), "the sender's own");
    let elsewhere = json!({ "room": "other", "client_msg_id": "x", "body": "x" });
    assert_eq!(one.ok("message.send", elsewhere).await["duplicate"], false, "the room's own");
    let page = one.ok("message.list", json!({ "room": "lobby" })).await;
    let bodies: Vec<_> = page["messages"].as_array().unwrap().iter().map(|message| &message["body"]).collect();
    assert_eq!(bodies, ["first", "between", "mine"]);
}

#[tokio::test]
async fn a_retry_answers_also_after_leaving_as_to_any_stranger() {
    let (_node, _, [mut one, mut two]) = two().await;
    one.room("lobby", "public", &["bob"]).await;
    two.ok("message.send", say("x", "hi")).await;
    two.ok("room.leave", json!({ "room": "lobby" })).await;
    let reply = two.ask("message.send", say("x", "hi")).await;
    assert!(reply["err"]["code"] == 30002 || reply["ok"]["duplicate"] == true, "{reply}");
    assert_eq!(two.code("message.send", say("y", "hi")).await, 30002);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn retries_at_once_over_several_connections_make_one_message() {
    let (node, [ada, _], [mut one, _]) = two().await;
    one.room("lobby", "public", &[]).await;
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(node.client(&ada).await);
    }
    for round in 0..10 {
        let id = format!("round-{round}");
        let answers =
            futures_util::future::join_all(clients.iter_mut().map(|client| client.ok("message.send", say(&id, "hi"))));
        let answers = answers.await;
        assert_eq!(answers.iter().filter(|answer| answer["duplicate"] == false).count(), 1, "{answers:?}");
        assert!(answers.iter().all(|answer| answer["seq"] == round + 2 && answer["id"] == answers[0]["id"]));
    }
}

#[tokio::test]
async fn a_client_msg_id_is_printable_and_has_64_characters_at_most() {
    let (_node, _, [mut one, _]) = two().await;
    one.room("lobby", "public", &[]).await;
    for id in ["", &"x".repeat(65), "ü", "a\nb", "a\u{7f}", "\t"] {
        let reply = one.ask("message.send", say(id, "hi")).await;
        let field = (&reply["err"]["code"], &reply["err"]["field"]);
        assert_eq!(field, (&json!(10003), &json!("client_msg_id")), "{id:?}");
    }
    for id in ["x", " ", "~!\"\\", &"x".repeat(64)] {
        one.ok("message.send", say(id, "hi")).await;
    }
    for missing in ["room", "client_msg_id", "body"] {
        let mut arguments = say("z", "hi");
        arguments.as_object_mut().unwrap().remove(missing);
        assert_eq!(one.ask("message.send", arguments).await["err"]["field"], missing);
    }
}

#[tokio::test]
async fn messages_are_listed_by_seq_in_either_direction() {
    let (_node, [ada, _], [mut one, _]) = two().await;
    let room = one.room("lobby", "public", &[]).await;
    for at in 2..=121 {
        assert_eq!(one.say("lobby", &format!("body {at}")).await, at);
    }
    let mut list = async |mut arguments: Value| {
        arguments["room"] = json!("lobby");
        let page = one.ok("message.list", arguments).await;
        assert_eq!(page["head"], 121);
        page["messages"].as_array().unwrap().clone()
    };
    let seqs = |page: &[Value]| page.iter().map(|message| message["seq"].as_u64().unwrap()).collect::<Vec<_>>();
    let range = |from: u64, to: u64| (from..=to).collect::<Vec<_>>();

    let newest = list(json!({})).await;
    assert_eq!(seqs(&newest), range(72, 121), "the newest 50");
    let message = &newest[0];
    assert_eq!((&message["room"], &message["by"], &message["body"]), (&json!(room), &ada.json(), &json!("body 72")));
    assert!(message["id"].is_string() && message["at"].is_string());
    assert_eq!(seqs(&list(json!({ "before": 72, "limit": 10 })).await), range(62, 71));
    assert_eq!(seqs(&list(json!({ "before": 5 })).await), range(2, 4));
    assert_eq!(seqs(&list(json!({ "before": 2 })).await), range(1, 0));
    assert_eq!(seqs(&list(json!({ "before": 1_000_000 })).await), range(72, 121));
    assert_eq!(seqs(&list(json!({ "after": 0, "limit": 3 })).await), range(2, 4));
    assert_eq!(seqs(&list(json!({ "after": 4, "limit": 3 })).await), range(5, 7));
    assert_eq!(seqs(&list(json!({ "after": 119 })).await), range(120, 121));
    assert_eq!(seqs(&list(json!({ "after": 121 })).await), range(1, 0));
    assert_eq!(seqs(&list(json!({ "after": 9_007_199_254_740_991_u64 })).await), range(1, 0));

    for arguments in [
        json!({ "room": "lobby", "before": 5, "after": 2 }),
        json!({ "room": "lobby", "before": -1 }),
        json!({ "room": "lobby", "after": "x" }),
        json!({ "room": "lobby", "after": 9_007_199_254_740_992_u64 }),
        json!({ "room": "lobby", "after": 1.5 }),
    ] {
        assert_eq!(one.code("message.list", arguments.clone()).await, 10003, "{arguments}");
    }
    let log = one.ok("event.list", json!({ "room": "lobby", "after": 0, "limit": 2 })).await;
    assert_eq!((&log["events"][0]["seq"], &log["events"][1]["seq"]), (&json!(1), &json!(2)));
    assert_eq!(log["events"][1]["data"]["body"], "body 2");
    assert_eq!(log["events"][1]["data"]["client_msg_id"].as_str().map(|id| id.starts_with("say-")), Some(true));
    assert_eq!(one.code("event.list", json!({ "room": "lobby" })).await, 10003, "`after` is required");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn all_see_one_order() {
    let (node, [ada, bob], [mut one, mut two]) = two().await;
    one.room("lobby", "public", &["bob"]).await;
    one.ok("room.subscribe", json!({ "room": "lobby" })).await;
    two.ok("room.subscribe", json!({ "room": "lobby" })).await;
    let mut senders = Vec::new();
    for at in 0..4 {
        senders.push((at, node.client(if at % 2 == 0 { &ada } else { &bob }).await));
    }
    let sending = senders.into_iter().map(|(at, mut client)| {
        tokio::spawn(async move {
            for round in 0..25 {
                client.ok("message.send", say(&format!("{at}-{round}"), &format!("{at} {round}"))).await;
            }
        })
    });
    for sent in futures_util::future::join_all(sending).await {
        sent.unwrap();
    }
    let (mut seen, mut last) = (Vec::new(), [-1; 4]);
    for seq in 2..=101 {
        let event = one.event().await;
        assert_eq!(event["seq"], seq);
        let body = event["data"]["body"].as_str().unwrap();
        let (at, round) = body.split_once(' ').unwrap();
        let (at, round): (usize, i32) = (at.parse().unwrap(), round.parse().unwrap());
        assert_eq!(round, last[at] + 1, "each sender's own order");
        last[at] = round;
        seen.push(event);
    }
    for event in seen {
        assert_eq!(two.event().await, event);
    }
}

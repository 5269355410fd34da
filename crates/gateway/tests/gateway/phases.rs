//! CONTRACT §4: a session from its first word to its last.

use std::time::Duration;

use hubbub_protocol::{Command, Timestamp};
use serde_json::json;
use tokio::io::AsyncWriteExt;

use crate::fixture::{Node, claims, read_answer, sign, soon};

#[tokio::test]
async fn before_authentication_every_other_command_is_refused() {
    let node = Node::plain().await;
    let ada = node.user("ada").await;
    let mut client = node.handshake().open().await;
    let arguments = json!({
        "token": ada.token, "room": "lobby", "epoch": "e", "rooms": {}, "kind": "public", "name": "lobby",
        "client_msg_id": "1", "body": "hi",
    });
    for cmd in Command::NAMES.iter().filter(|cmd| **cmd != "session.authenticate") {
        let mut arguments = arguments.clone();
        if *cmd == "event.list" {
            arguments["after"] = json!(0);
        }
        assert_eq!(client.code(cmd, arguments).await, 20001, "{cmd}");
    }
    assert_eq!(client.code("no.such", json!({})).await, 10002);
    assert_eq!(client.code("message.send", json!({})).await, 10003);
    client.ok("session.authenticate", json!({ "token": ada.token })).await;
    client.ok("room.list", json!({})).await;
}

#[tokio::test]
async fn a_session_is_told_where_it_stands() {
    let node = Node::start(|setup| {
        setup.limits.body_chars_max = 77;
        setup.limits.heartbeat_interval = Duration::from_millis(12_345);
    })
    .await;
    let ada = node.user("ada").await;
    let token = sign(&claims(ada.id, 900));
    let mut client = node.handshake().token(&token).open().await;
    let ready = client.event().await;
    assert_eq!(ready["ev"], "session.ready");
    assert!(ready.get("seq").is_none() && ready.get("room").is_none(), "{ready}");
    let data = &ready["data"];
    assert_eq!(data["user"], ada.json());
    assert_eq!(data["node"], "node-of-tests");
    assert_eq!(data["epoch"], json!(node.store.epoch()));
    assert_eq!(data["heartbeat_ms"], 12_345);
    assert_eq!(data["limits"]["body_chars_max"], 77);
    assert_eq!(data["limits"]["page_max"], 100);
    let expires_at: Timestamp = serde_json::from_value(data["expires_at"].clone()).unwrap();
    assert!((890..=901).contains(&expires_at.since(Timestamp::now()).as_secs()));
    assert_eq!(expires_at.millis() % 1000, 0);

    let mut other = node.handshake().open().await;
    let told = other.ok("session.authenticate", json!({ "token": token })).await;
    let names = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&told), names(data));
    assert_ne!(told["session"], data["session"], "each connection is a session of its own");
}

#[tokio::test]
async fn who_does_not_sign_on_in_time_is_closed() {
    let node = Node::start(|setup| setup.limits.authentication_timeout = Duration::from_millis(300)).await;
    let ada = node.user("ada").await;
    let mut signed_on = node.client(&ada).await;
    let mut late = node.handshake().open().await;
    late.code("room.list", json!({})).await;
    let (said, code) = late.farewell().await;
    assert_eq!(code, 4501);
    assert_eq!(said[0]["err"]["code"], 20008);
    assert!(said[0]["re"].is_null());
    signed_on.ok("room.list", json!({})).await;
}

#[tokio::test]
async fn no_time_limit_means_none() {
    let node = Node::start(|setup| {
        setup.limits.authentication_timeout = Duration::ZERO;
        setup.limits.handshake_timeout = Duration::ZERO;
        setup.limits.heartbeat_interval = Duration::ZERO;
    })
    .await;
    let ada = node.user("ada").await;
    let mut mute = node.connect().await;
    let mut idle = node.handshake().open().await;
    // Longer than any step of the node's clock; a limit of nothing at all would have struck by now.
    tokio::time::sleep(Duration::from_millis(400)).await;
    idle.ok("session.authenticate", json!({ "token": ada.token })).await;
    mute.write_all(&node.handshake().bytes()).await.unwrap();
    assert_eq!(soon("an answer", read_answer(&mut mute)).await.unwrap().unwrap().status, 101);
}

#[tokio::test]
async fn a_session_is_warned_a_minute_before_its_end() {
    let node = Node::plain().await;
    let ada = node.user("ada").await;
    let mut client = node.handshake().token(&sign(&claims(ada.id, 61))).open().await;
    let ready = client.event().await;
    let warning = client.event().await;
    assert_eq!(warning["ev"], "session.expiring");
    assert_eq!(warning["data"]["expires_at"], ready["data"]["expires_at"]);
    let at: Timestamp = serde_json::from_value(warning["at"].clone()).unwrap();
    let end: Timestamp = serde_json::from_value(ready["data"]["expires_at"].clone()).unwrap();
    assert!(end.since(at) <= Duration::from_secs(60));
}

#[tokio::test]
async fn a_session_ends_with_its_token_unless_it_is_renewed() {
    let node = Node::plain().await;
    let (ada, bob) = (node.user("ada").await, node.user("bob").await);
    let short = sign(&claims(ada.id, 2));
    let mut ending = node.handshake().token(&short).open().await;
    let mut renewed = node.handshake().token(&short).open().await;
    renewed.event().await;
    assert_eq!(renewed.code("session.renew", json!({ "token": bob.token })).await, 20002, "another user");
    assert_eq!(renewed.code("session.renew", json!({ "token": "x" })).await, 20002);
    assert_eq!(renewed.code("session.renew", json!({ "token": sign(&claims(ada.id, -60)) })).await, 20003);
    let longer = renewed.ok("session.renew", json!({ "token": sign(&claims(ada.id, 900)) })).await;
    let expires_at: Timestamp = serde_json::from_value(longer["expires_at"].clone()).unwrap();
    assert!(expires_at.since(Timestamp::now()) > Duration::from_secs(800));

    let (said, code) = ending.farewell().await;
    assert_eq!(code, 4502);
    assert_eq!(said.last().unwrap()["ev"], "session.closing");
    assert_eq!(said.last().unwrap()["data"]["reason"], "token_expired");
    assert!(said.last().unwrap()["data"]["retry_after_ms"].is_u64());
    renewed.ok("room.list", json!({})).await;
}

#[tokio::test]
async fn a_renewal_may_shorten_a_session() {
    let node = Node::plain().await;
    let ada = node.user("ada").await;
    let mut client = node.client(&ada).await;
    client.ok("session.renew", json!({ "token": sign(&claims(ada.id, 1)) })).await;
    assert_eq!(client.closed().await, 4502);
}

#[tokio::test]
async fn a_token_for_ever_is_fine() {
    let node = Node::plain().await;
    let ada = node.user("ada").await;
    let mut endless = claims(ada.id, 0);
    for exp in [253_402_300_799_i64, i64::MAX / 1000, i64::MAX] {
        endless["exp"] = json!(exp);
        let mut client = node.handshake().token(&sign(&endless)).open().await;
        assert_eq!(client.event().await["data"]["expires_at"].as_str().unwrap()[..4], *"9999");
        client.ok("room.list", json!({})).await;
    }
}

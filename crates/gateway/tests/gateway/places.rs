//! CONTRACT §6: how many connections a user, an address and a node may have.

use serde_json::json;

use crate::fixture::{Client, Node, User, until};

async fn crowd(node: &Node, user: &User, count: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..count {
        clients.push(node.client(user).await);
    }
    clients
}

#[tokio::test]
async fn a_user_has_ten_connections() {
    let node = Node::plain().await;
    let (ada, bob) = (node.user("ada").await, node.user("bob").await);
    let mut clients = crowd(&node, &ada, 10).await;
    let answer = node.handshake().token(&ada.token).refused().await;
    assert_eq!(answer.refusal(), (429, 40002));
    assert!(answer.header("retry-after").is_some());
    assert_eq!(answer.json()["err"]["retry"], true);

    let mut late = node.handshake().open().await;
    assert_eq!(late.code("session.authenticate", json!({ "token": ada.token })).await, 40002);
    assert_eq!(late.closed().await, 1013);
    let offered = format!("hubbub.v1.json, bearer.{}", ada.token);
    let (said, code) = node.handshake().protocols(&offered).open().await.farewell().await;
    assert_eq!((said[0]["err"]["code"].as_u64(), code), (Some(40002), 1013));

    node.client(&bob).await;
    assert_eq!(node.get("/v1/rooms").token(&ada.token).send().await.status, 200, "plain HTTP does not count");
    drop(clients.pop());
    until("a place", || async { node.handshake().token(&ada.token).answer().await.0.status == 101 }).await;
}

#[tokio::test]
async fn an_address_has_as_many_as_configured_whoever_they_are() {
    let node = Node::start(|setup| setup.limits.connections_per_address = 3).await;
    let ada = node.user("ada").await;
    let mute = node.handshake().open().await;
    let mut clients = crowd(&node, &ada, 2).await;
    let answer = node.handshake().refused().await;
    assert_eq!(answer.refusal(), (429, 40002), "sockets without a user count for their address");
    assert_eq!(node.get("/v1/rooms").token(&ada.token).send().await.status, 200, "plain HTTP does not count");
    drop(mute);
    until("a place", || async { node.handshake().answer().await.0.status == 101 }).await;
    clients[0].ok("room.list", json!({})).await;
}

#[tokio::test]
async fn a_full_node_says_so() {
    let node = Node::start(|setup| setup.limits.connections_per_node = 2).await;
    let ada = node.user("ada").await;
    assert_eq!(node.ops("/readyz").await.0, 200);
    let clients = crowd(&node, &ada, 2).await;
    let answer = node.handshake().token(&ada.token).refused().await;
    assert_eq!(answer.refusal(), (503, 90003));
    assert_eq!(answer.json()["err"]["name"], "overloaded");
    assert!(answer.header("retry-after").is_some());
    let (status, body) = node.ops("/readyz").await;
    assert_eq!(status, 503, "{body}");
    assert!(body.contains("overloaded"), "{body}");
    assert_eq!(node.get("/v1/rooms").token(&ada.token).send().await.status, 200);
    drop(clients);
    until("ready again", || async { node.ops("/readyz").await.0 == 200 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_rush_does_not_get_past_the_limits() {
    let node = Node::start(|setup| {
        setup.limits.connections_per_node = 5;
        setup.limits.connections_per_user = 0;
    })
    .await;
    let ada = node.user("ada").await;
    let rush = futures_util::future::join_all((0..40).map(|_| async {
        let (answer, stream) = node.handshake().token(&ada.token).answer().await;
        (answer.status, stream)
    }));
    let mut in_time: Vec<_> = rush.await;
    in_time.retain(|(status, _)| *status == 101);
    assert_eq!(in_time.len(), 5);
}

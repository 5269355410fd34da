//! A drain that nobody feels: its pace, its progress, what is under way, and how it is asked for.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use hubbub_gateway::{DrainConfig, TlsMode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::fixture::{Client, Node, User, read_answer, soon, until};

async fn draining(drain: DrainConfig) -> (Node, User) {
    let node = Node::start(|setup| {
        setup.gateway.drain = drain;
        (setup.limits.connections_per_user, setup.limits.connections_per_address) = (0, 0);
    })
    .await;
    let ada = node.user("ada").await;
    (node, ada)
}

fn quick() -> DrainConfig {
    DrainConfig { grace: Duration::ZERO, spread: Duration::ZERO, ..DrainConfig::default() }
}

async fn crowd(node: &Node, user: &User, count: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..count {
        clients.push(node.client(user).await);
    }
    clients
}

/// When and with which wait each was told to come back, by the node's own clock in milliseconds.
async fn farewells(clients: Vec<Client>) -> Vec<(u64, u64)> {
    let each = clients.into_iter().map(|mut client| async move {
        let (said, code) = client.farewell().await;
        assert_eq!(code, 1012);
        let told: &Value = said.last().unwrap();
        assert_eq!((&told["ev"], &told["data"]["reason"]), (&json!("session.closing"), &json!("restart")));
        let at: hubbub_protocol::Timestamp = serde_json::from_value(told["at"].clone()).unwrap();
        (u64::try_from(at.millis()).unwrap(), told["data"]["retry_after_ms"].as_u64().unwrap())
    });
    let mut told = futures_util::future::join_all(each).await;
    told.sort_unstable();
    told
}

#[tokio::test]
async fn closes_keep_to_the_pace_however_short_the_spread() {
    const CLIENTS: usize = 50;
    let (node, ada) = draining(DrainConfig { closes_per_second: 25, ..quick() }).await;
    let clients = crowd(&node, &ada, CLIENTS).await;
    let gateway = Arc::clone(&node.gateway);
    let drain = tokio::spawn(async move { gateway.drain().await });
    let progress = async {
        let left = || async { node.metric("hubbub_drain_connections_left").await };
        until("some are closed, not all", || async { (1.0..CLIENTS as f64).contains(&left().await) }).await;
        until("all are closed", || async { left().await == 0.0 }).await;
    };
    let (told, ()) = futures_util::future::join(farewells(clients), progress).await;
    // A pace is a lower bound of time, so that a slow machine breaks nothing; the node's stamps lie close behind its turns.
    let (first, last) = (told[0].0, told[CLIENTS - 1].0);
    assert!(last - first >= 1_800, "{CLIENTS} at 25 a second in {} ms", last - first);
    assert!(told.iter().all(|(_, wait)| *wait <= 1_000), "nobody is away for long: {told:?}");
    assert!(told.iter().map(|(_, wait)| wait).collect::<BTreeSet<_>>().len() > CLIENTS / 2, "spread: {told:?}");
    soon("the drain", drain).await.unwrap();
}

#[tokio::test]
async fn few_are_spread_evenly_too() {
    let (node, ada) = draining(DrainConfig { spread: Duration::from_secs(2), ..quick() }).await;
    let clients = crowd(&node, &ada, 4).await;
    let (told, ()) = futures_util::future::join(farewells(clients), node.gateway.drain()).await;
    for pair in told.windows(2) {
        assert!(pair[1].0 - pair[0].0 >= 400, "half a second apart: {told:?}");
    }
}

#[tokio::test]
async fn a_request_under_way_is_answered_and_its_connection_closed() {
    let (node, ada) = draining(quick()).await;
    let mut client = node.client(&ada).await;
    client.room("lobby", "public", &[]).await;
    let body = json!({ "client_msg_id": "slow", "body": "half before, half during the drain" }).to_string();
    let head = format!(
        "POST /v1/rooms/lobby/messages HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n",
        node.host(),
        ada.token,
        body.len()
    );
    let mut stream = node.connect().await;
    let (before, during) = body.split_at(10);
    stream.write_all(format!("{head}{before}").as_bytes()).await.unwrap();
    let gateway = Arc::clone(&node.gateway);
    let drain = tokio::spawn(async move { gateway.drain().await });
    assert_eq!(client.closed().await, 1012);
    until("the door is closed", || async { tokio::net::TcpStream::connect(node.address).await.is_err() }).await;
    assert!(!drain.is_finished(), "somebody is still being served");
    stream.write_all(during.as_bytes()).await.unwrap();
    let answer = soon("an answer", read_answer(&mut stream)).await.unwrap().unwrap();
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(soon("the end", stream.read(&mut [0; 1])).await.unwrap_or(0), 0);
    soon("the drain", drain).await.unwrap();
}

#[tokio::test]
async fn mute_sockets_do_not_hold_the_end_up() {
    for tls in [TlsMode::Off, TlsMode::SelfSigned { folder: None }] {
        let node = Node::start(|setup| {
            (setup.gateway.drain, setup.gateway.tls) = (quick(), tls);
            // Longer than this test may take.
            setup.limits.handshake_timeout = Duration::from_secs(600);
        })
        .await;
        let mut mute = vec![node.tcp(None).await, node.tcp(None).await];
        mute[1].write_all(b"\x16\x03\x01").await.unwrap();
        // Both were accepted: whoever comes later is served.
        assert_eq!(node.get("/").send().await.status, 200);
        soon("the drain", node.gateway.drain()).await;
        for mut stream in mute {
            let mut rest = Vec::new();
            soon("the end", stream.read_to_end(&mut rest)).await.ok();
        }
    }
}

#[tokio::test]
async fn who_is_refused_meanwhile_is_spread() {
    let (node, ada) = draining(DrainConfig { spread: Duration::from_secs(3), ..quick() }).await;
    let clients = crowd(&node, &ada, 3).await;
    let gateway = Arc::clone(&node.gateway);
    let drain = tokio::spawn(async move { gateway.drain().await });
    until("the door is closed", || async { node.ops("/readyz").await.1.contains(r#""refuses":"draining""#) }).await;
    let mut waits = BTreeSet::new();
    for _ in 0..20 {
        let answer = node.handshake().token(&ada.token).refused().await;
        assert_eq!(answer.refusal(), (503, 90003));
        let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=2).contains(&seconds), "another node takes them at once: {seconds}");
        waits.insert(answer.json()["err"]["retry_after_ms"].as_u64().unwrap());
    }
    assert!(waits.len() > 10, "{waits:?}");
    assert_eq!(node.metric(r#"hubbub_admission_refusals_total{reason="draining"}"#).await, 20.0);
    let (_, outcome) = futures_util::future::join(farewells(clients), soon("the drain", drain)).await;
    outcome.unwrap();
}

/// A request to the ops port with these headers.
async fn ops(node: &Node, request: &str, headers: &str) -> (u16, String) {
    soon("the ops listener", async {
        let mut stream = tokio::net::TcpStream::connect(node.ops).await.unwrap();
        let head =
            format!("{request} HTTP/1.1\r\nHost: ops\r\n{headers}Connection: close\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let answer = read_answer(&mut stream).await.unwrap().unwrap();
        (answer.status, answer.text())
    })
    .await
}

#[tokio::test]
async fn a_drain_is_asked_for_by_post_and_by_no_page() {
    let (node, ada) = draining(quick()).await;
    assert_eq!(ops(&node, "GET /drain", "").await.0, 405);
    assert_eq!(ops(&node, "POST /drain", "Origin: https://evil.example\r\n").await.0, 403);
    assert_eq!(node.ops("/readyz").await.0, 200, "neither did anything");
    for _ in 0..2 {
        assert_eq!(ops(&node, "POST /drain", "").await, (202, r#"{"status":"draining"}"#.to_owned()));
        assert_eq!(node.ops("/readyz").await.0, 503, "not ready at once");
    }
    soon("the process hears of it", node.health.drain_asked()).await;
    // Until the process begins, it serves on.
    node.client(&ada).await;
}

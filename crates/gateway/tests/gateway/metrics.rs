//! What is counted when people come, are refused, resume and go.

use hubbub_gateway::TlsMode;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::fixture::{Node, soon, until};

#[tokio::test]
async fn attempts_to_get_in_are_counted_by_how_they_end() {
    let node = Node::plain().await;
    let ada = node.user("ada").await;
    let _client = node.client(&ada).await;
    node.handshake().token("x").refused().await;
    node.handshake().without("Sec-WebSocket-Key").refused().await;
    let outcome = async |name: &str| node.metric(&format!("hubbub_handshakes_total{{outcome=\"{name}\"}}")).await;
    assert_eq!(outcome("accepted").await, 1.0);
    assert_eq!(outcome("unauthenticated").await, 1.0);
    assert_eq!(outcome("malformed").await, 1.0);
    assert_eq!(outcome("limited").await, 0.0);
    let upgrades = async |status: &str| {
        let labels = format!("{{method=\"GET\",route=\"/v1/ws\",status=\"{status}\"}}");
        node.metric(&format!("hubbub_http_requests_total{labels}")).await
    };
    assert_eq!((upgrades("1xx").await, upgrades("4xx").await), (1.0, 2.0));
}

#[tokio::test]
async fn what_people_are_told_is_counted_by_its_name_and_requests_by_their_route() {
    let node = Node::plain().await;
    let ada = node.user("ada").await;
    let mut client = node.client(&ada).await;
    client.code("room.show", json!({ "room": "nowhere" })).await;
    client.code("no.such", json!({})).await;
    assert_eq!(node.get("/v1/rooms/nowhere").token(&ada.token).send().await.status, 404);
    assert_eq!(node.get("/v1/rooms").token(&ada.token).send().await.status, 200);
    assert_eq!(node.get("/v1/made/up/by-somebody").send().await.status, 404);
    assert_eq!(node.get("/v1/rooms").token("x").send().await.status, 401);
    let errors = async |code: &str| node.metric(&format!("hubbub_errors_total{{code=\"{code}\"}}")).await;
    assert_eq!(errors("room_not_found").await, 2.0, "over WebSocket and over HTTP");
    assert_eq!(errors("unknown_command").await, 2.0);
    assert_eq!(errors("token_invalid").await, 1.0);
    assert_eq!(node.metric("hubbub_auth_failures_total{reason=\"token_invalid\"}").await, 1.0);
    let requests = async |route: &str, status: &str| {
        let labels = format!("{{method=\"GET\",route=\"{route}\",status=\"{status}\"}}");
        node.metric(&format!("hubbub_http_requests_total{labels}")).await
    };
    assert_eq!(requests("/v1/rooms/{room}", "4xx").await, 1.0);
    assert_eq!(requests("/v1/rooms", "2xx").await, 1.0);
    assert_eq!(requests("/v1/rooms", "4xx").await, 1.0);
    assert_eq!(requests("unmatched", "4xx").await, 1.0);
    assert!(!node.ops("/metrics").await.1.contains("by-somebody"), "a client cannot make labels");
}

#[tokio::test]
async fn a_resume_counts_what_it_replays_and_what_it_could_not() {
    let node = Node::start(|setup| setup.limits.replay_events_max = 2).await;
    let ada = node.user("ada").await;
    let mut client = node.client(&ada).await;
    client.room("lobby", "public", &[]).await;
    for body in ["a", "b", "c"] {
        client.say("lobby", body).await;
    }
    let followed = async |cmd: &str, outcome: &str| {
        node.metric(&format!("hubbub_subscribes_total{{cmd=\"{cmd}\",outcome=\"{outcome}\"}}")).await
    };
    let subscribed = client.ok("room.subscribe", json!({ "room": "lobby" })).await;
    assert_eq!(followed("room.subscribe", "live").await, 1.0);
    client.ok("room.subscribe", json!({ "room": "lobby", "after": 3 })).await;
    client.seqs(1).await;
    assert_eq!(followed("room.subscribe", "replayed").await, 1.0);
    client.code("room.subscribe", json!({ "room": "nowhere" })).await;
    assert_eq!(followed("room.subscribe", "refused").await, 1.0);

    let mut back = node.client(&ada).await;
    let resume = json!({ "epoch": subscribed["epoch"], "rooms": { "lobby": 1, "nowhere": 1 } });
    back.ok("session.resume", resume).await;
    back.seqs(2).await;
    assert_eq!(followed("session.resume", "gap").await, 1.0, "three are missing, two may be replayed");
    assert_eq!(followed("session.resume", "refused").await, 1.0);
    back.ok("session.resume", json!({ "epoch": "of-another-history", "rooms": { "lobby": 1 } })).await;
    assert_eq!(followed("session.resume", "reset").await, 1.0);
    let source = async |name: &str| node.metric(&format!("hubbub_replayed_events_total{{source=\"{name}\"}}")).await;
    assert_eq!(source("ring").await + source("log").await, 3.0);
}

#[tokio::test]
async fn the_gauges_are_as_of_the_scrape() {
    let node = Node::start(|setup| setup.limits.connections_per_node = 7).await;
    assert_eq!(node.metric("hubbub_connections_max").await, 7.0);
    assert_eq!(node.metric("hubbub_node_ready").await, 1.0);
    assert!(node.metric("hubbub_handshake_places_max").await > 0.0);
    let silent = node.handshake().open().await;
    assert_eq!(node.metric("hubbub_unauthenticated_connections").await, 1.0);
    drop(silent);
    until("the end of it", || async { node.metric("hubbub_unauthenticated_connections").await == 0.0 }).await;
    assert_eq!(node.metric("hubbub_outbox_bytes").await, 0.0);
    assert_eq!(node.metric("hubbub_outbox_connections").await, 0.0);
}

#[tokio::test]
async fn the_end_of_the_certificate_is_shown_where_there_is_one() {
    let node = Node::start(|setup| setup.gateway.tls = TlsMode::SelfSigned { folder: None }).await;
    // After 2030: the certificate that a node makes for itself outlives it.
    assert!(node.metric("hubbub_tls_certificate_expiry_timestamp_seconds").await > 1.9e9);
    // Half a word of TLS: nobody who only looked whether somebody listens.
    let mut tcp: TcpStream = node.tcp(None).await;
    tcp.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    until("a failed handshake", || async {
        node.metric("hubbub_handshakes_total{outcome=\"tls_failed\"}").await == 1.0
    })
    .await;
    let plain = Node::plain().await;
    assert!(!plain.ops("/metrics").await.1.contains("hubbub_tls_"), "there is none");
}

#[tokio::test]
async fn who_never_reads_the_metrics_holds_up_nobody() {
    let node = Node::plain().await;
    let mut silent = Vec::new();
    for _ in 0..32 {
        let mut tcp = TcpStream::connect(node.ops).await.unwrap();
        // Far more is asked for than any buffer holds.
        let request = "GET /metrics HTTP/1.1\r\nHost: ops\r\n\r\n".repeat(200);
        soon("asked", tcp.write_all(request.as_bytes())).await.unwrap();
        silent.push(tcp);
    }
    assert_eq!(node.ops("/readyz").await.0, 200);
    assert_eq!(node.ops("/metrics").await.0, 200);
    let ada = node.user("ada").await;
    let mut client = node.client(&ada).await;
    client.room("lobby", "public", &[]).await;
    client.say("lobby", "hi").await;
}

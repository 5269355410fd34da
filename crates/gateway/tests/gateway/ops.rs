//! CONTRACT §3 and §7: health, metrics and the debug pages.

use std::sync::Arc;

use hubbub_gateway::{Health, Ops, Stage};
use prometheus::Registry;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio_util::sync::CancellationToken;

use crate::fixture::{Node, read_answer, soon};

fn parse(body: &str) -> Value {
    serde_json::from_str(body).unwrap_or_else(|_| panic!("no JSON: {body}"))
}

#[tokio::test]
async fn a_process_that_starts_lives_and_is_not_ready() {
    let health = Health::new(Registry::new(), json!({}));
    let ops = Ops::bind(([127, 0, 0, 1], 0).into()).unwrap();
    let (address, stop) = (ops.address, CancellationToken::new());
    ops.start(Arc::clone(&health), stop.clone()).unwrap();
    health.set(Stage::Starting("the database".to_owned()));
    let get = async |path: &str| {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: ops\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        soon("an answer", read_answer(&mut stream)).await.unwrap().unwrap()
    };
    assert_eq!(get("/livez").await.status, 200);
    let ready = get("/readyz").await;
    assert_eq!((ready.status, &ready.json()["status"]), (503, &json!("starting")));
    assert!(ready.text().contains("the database"));
    for path in ["/metrics", "/debug/node", "/debug/rooms", "/debug/connections", "/debug/tasks", "/debug/config"] {
        assert_eq!(get(path).await.status, 200, "{path}");
    }
    stop.cancel();
}

#[tokio::test]
async fn a_probe_is_answered_although_others_hold_every_place_and_ask_nothing() {
    let health = Health::new(Registry::new(), json!({}));
    let ops = Ops::bind(([127, 0, 0, 1], 0).into()).unwrap();
    let (address, stop) = (ops.address, CancellationToken::new());
    ops.start(health, stop.clone()).unwrap();
    let request = b"GET /livez HTTP/1.1\r\nHost: ops\r\n\r\n";
    let mut held = Vec::new();
    for asks in [true, false].into_iter().cycle().take(200) {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        if asks {
            stream.write_all(request).await.unwrap();
        }
        held.push(stream);
    }
    let mut probe = tokio::net::TcpStream::connect(address).await.unwrap();
    probe.write_all(request).await.unwrap();
    let answer = soon("an answer", read_answer(&mut probe)).await.unwrap().unwrap();
    assert_eq!(answer.status, 200);
    drop(held);
    stop.cancel();
}

#[tokio::test]
async fn a_node_that_serves_is_ready_and_names_its_dependencies() {
    let node = Node::plain().await;
    assert_eq!(node.ops("/livez").await.0, 200);
    let (status, body) = node.ops("/readyz").await;
    assert_eq!(status, 200, "{body}");
    let body = parse(&body);
    assert_eq!((&body["status"], &body["degraded"]), (&json!("ready"), &json!([])));
    assert_eq!(body["dependencies"], json!({ "database": "up", "redis": "none" }));
    assert_eq!(node.ops("/").await.0, 404);
}

#[tokio::test]
async fn without_its_database_it_is_not_ready_and_refuses_as_unavailable() {
    let node = Node::plain().await;
    let ada = node.user("ada").await;
    let mut client = node.client(&ada).await;
    client.room("lobby", "public", &[]).await;
    node.store.close().await;
    let send = json!({ "room": "lobby", "client_msg_id": "1", "body": "hi" });
    let reply = client.ask("message.send", send.clone()).await;
    assert_eq!((&reply["err"]["code"], &reply["err"]["retry"]), (&json!(90002), &json!(true)), "{reply}");
    assert!(reply["err"]["retry_after_ms"].is_u64());
    let answer = node.post("/v1/rooms/lobby/messages").token(&ada.token).json(&send).send().await;
    assert_eq!(answer.refusal(), (503, 90002));
    assert!(answer.header("retry-after").is_some());
    assert!(!answer.text().contains("sql") && !answer.text().contains("pool"), "{}", answer.text());
}

#[tokio::test]
async fn every_metric_of_the_contract_is_there() {
    let node = Node::plain().await;
    let ada = node.user("zaphod").await;
    let mut client = node.client(&ada).await;
    client.room("lobby", "public", &[]).await;
    client.ok("room.subscribe", json!({ "room": "lobby" })).await;
    client.say("lobby", "hi").await;
    client.event().await;
    node.handshake().token("x").refused().await;
    let text = node.ops("/metrics").await.1;
    for name in [
        "connections",
        "connects_total",
        "disconnects_total",
        "commands_total",
        "command_seconds",
        "messages_appended_total",
        "deliveries_total",
        "delivery_seconds",
        "delivery_repairs_total",
        "outbox_bytes",
        "slow_closes_total",
        "bus_publish_total",
        "bus_lag_seconds",
        "bus_up",
        "store_seconds",
        "store_up",
        "store_circuit_open",
        "rate_limited_total",
        "auth_failures_total",
        "node_draining",
    ] {
        let is_there = text.lines().any(|line| line.starts_with(&format!("# TYPE hubbub_{name} ")));
        // A family whose labels nothing has touched yet is not shown.
        let untouched = ["disconnects_total"].contains(&name);
        assert!(is_there || untouched, "hubbub_{name} in:\n{text}");
    }
    assert!(node.metric(r#"hubbub_commands_total{cmd="message.send",outcome="ok"}"#).await == 1.0);
    assert_eq!(node.metric("hubbub_connections").await, 1.0);
    assert_eq!(node.metric("hubbub_deliveries_total").await, 1.0);
    assert!(!text.contains("zaphod") && !text.contains(&ada.id.to_string()), "no label names a user");
    for at in 0..50 {
        client.start(&format!("no.such-{at}"), json!({})).await;
    }
    let after = node.ops("/metrics").await.1;
    assert!(!after.contains("no.such"), "a client cannot make labels");
}

#[tokio::test]
async fn the_debug_pages_show_what_is_there_and_no_secret() {
    let config = json!({ "auth": { "token_secret": "***" } });
    let node = Node::start(|setup| setup.debug_config = config.clone()).await;
    let ada = node.user("ada").await;
    let mut client = node.client(&ada).await;
    let room = client.room("lobby", "public", &[]).await;
    client.ok("room.subscribe", json!({ "room": "lobby" })).await;
    client.say("lobby", "a body that nobody else may see").await;
    assert_eq!(parse(&node.ops("/debug/config").await.1), config);
    let rooms = parse(&node.ops("/debug/rooms").await.1);
    assert_eq!((&rooms["count"], &rooms["rooms"][0]["room"]), (&json!(1), &json!(room)));
    let connections = parse(&node.ops("/debug/connections").await.1);
    assert_eq!(connections["connections"][0]["user"], ada.json());
    assert_eq!(connections["connections"][0]["subscriptions"], 1);
    assert!(parse(&node.ops("/debug/tasks").await.1)["alive_tasks"].as_u64().unwrap() > 0);
    let pages = ["config", "node", "rooms", "rooms/lobby", "connections", "leases", "bus", "store", "tasks", "errors"];
    let pages = pages.map(|page| format!("/debug/{page}"));
    for path in pages.iter().map(String::as_str).chain(["/metrics", "/readyz"]) {
        let body = node.ops(path).await.1;
        for secret in [crate::fixture::SECRET, &ada.token, "a body that"] {
            assert!(!body.contains(secret), "{path}");
        }
    }
}

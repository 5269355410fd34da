//! One trace from a client's command to the sockets of another node, and receivers that are not there.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use hubbub_protocol::{ErrorCode, RoomId};
use hubbub_testkit::http;
use hubbub_testkit::process::Signal;
use hubbub_testkit::{Cluster, ClusterConfig};
use serde_json::json;

use crate::caller::Caller;
use crate::otlp::{Collector, Receiver, Seen, until};

/// What the client's own tracing made.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

/// Must not be in any span.
const BODY: &str = "a body that is nobody's business";

const END: Duration = Duration::from_secs(60);

/// Two nodes that record only what a client records, and what fails.
fn config(url: &str) -> ClusterConfig {
    let config = ClusterConfig { nodes: 2, ..ClusterConfig::default() };
    config.with("HUBBUB_TRACE_OTLP_URL", url).with("HUBBUB_TRACE_SAMPLE_ONE_IN", "0")
}

/// Two follow the room on node 1; somebody on node 0 sends one message that belongs to a trace.
async fn send_across(cluster: &Cluster) -> RoomId {
    let room = cluster.create_room("lobby").await.expect("room");
    let mut readers = Vec::new();
    for user in [1, 2] {
        let mut reader = Caller::open(cluster, user, 1).await.expect("connection");
        reader.follow(room).await.expect("followed");
        readers.push(reader);
    }
    let mut writer = Caller::open(cluster, 0, 0).await.expect("connection");
    let command = json!({
        "cmd": "message.send", "room": room, "client_msg_id": "traced", "body": BODY,
        "traceparent": format!("00-{TRACE}-{SPAN}-01"),
    });
    writer.ask(command).await.expect("acked");
    // One that is malformed, and one that its sender does not record: both are as good as untraced.
    for (number, traceparent) in ["00-x", &format!("00-{}-{SPAN}-00", "1".repeat(32))].into_iter().enumerate() {
        let id = format!("untraced-{number}");
        let command = json!({
            "cmd": "message.send", "room": room, "client_msg_id": id, "body": BODY, "traceparent": traceparent,
        });
        writer.ask(command).await.expect("acked");
    }
    room
}

/// Each span of the trace and the one above it; that of the command stands under the client's own.
const TREE: [(&str, &str); 6] = [
    ("chat.authorise", "message.send"),
    ("store.append", "message.send"),
    ("store.wait", "store.append"),
    ("store.commit", "store.append"),
    ("bus.publish", "store.append"),
    ("hub.deliver", "bus.publish"),
];

/// Each node sends its spans at its own time.
fn is_whole(seen: &[Seen]) -> bool {
    let has = |name: &str| seen.iter().any(|span| span.name == name);
    has("message.send") && TREE.iter().all(|(name, _)| has(name))
}

/// Command, append, publish, delivery: who stands under whom, and where.
fn check(seen: &[Seen], room: RoomId) {
    let one = |name: &str| {
        let mut found = seen.iter().filter(|span| span.name == name);
        let span = found.next().unwrap_or_else(|| panic!("no {name}: {seen:#?}"));
        assert!(found.next().is_none(), "two of {name}: {seen:#?}");
        span
    };
    // A hole may be repaired at any time; it is a trace of its own.
    let seen: Vec<Seen> = seen.iter().filter(|span| span.name != "hub.repair").cloned().collect();
    assert!(seen.iter().all(|span| span.trace == TRACE && !span.failed), "{seen:#?}");
    assert_eq!(one("message.send").parent, SPAN);
    for (child, parent) in TREE {
        assert_eq!(one(child).parent, one(parent).id, "{child} stands under {parent}: {seen:#?}");
    }
    let delivery = one("hub.deliver");
    assert_eq!(delivery.node, "node-1");
    assert_eq!(delivery.attributes["hubbub.sockets"], "2");
    assert_eq!(delivery.attributes["hubbub.room"], room.to_string());
    assert!(seen.iter().filter(|span| *span != delivery).all(|span| span.node == "node-0"), "{seen:#?}");
    assert_eq!(one("store.append").attributes["hubbub.seq"], delivery.attributes["hubbub.seq"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_one_trace_from_its_node_to_the_sockets_of_another() {
    let receiver = Receiver::start().await;
    let mut cluster = Cluster::start(config(&receiver.url())).await.expect("cluster");
    let room = send_across(&cluster).await;
    let seen = until(|| receiver.spans(), "one trace", is_whole).await;
    check(&seen, room);
    assert!(!receiver.has(BODY), "a body is in a span");
    assert!(!receiver.has(&cluster.users[0].token), "a token is in a span");
    // The buckets of both histograms name the trace to a scraper that asks for them.
    let latest = format!("trace_id=\"{TRACE}\"");
    for (node, histogram) in [(0, "hubbub_command_seconds_bucket"), (1, "hubbub_delivery_seconds_bucket")] {
        let text = scrape(cluster.members[node].node.ops_port).await;
        let named = text.lines().any(|line| line.starts_with(histogram) && line.contains(&latest));
        assert!(named, "no exemplar of {histogram}:\n{text}");
        let older = cluster.members[node].node.metrics().await.expect("metrics");
        assert!(!older.contains("trace_id") && !older.contains("# EOF"), "the older form has none");
    }
    // What was recorded last is sent before the node ends.
    let node = &mut cluster.members[0].node;
    node.signal(Signal::Terminate);
    node.wait_ended(END).await.expect("it ends");
    assert!(receiver.spans().iter().any(|span| span.name == "node.drain"), "{:#?}", receiver.spans());
}

/// As Prometheus asks.
async fn scrape(port: u16) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.expect("connected");
    let request = "GET /metrics HTTP/1.0\r\nAccept: application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1\r\n\r\n";
    stream.write_all(request.as_bytes()).await.expect("asked");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    assert!(answer.contains("application/openmetrics-text; version=1.0.0") && answer.ends_with("# EOF\n"), "{answer}");
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_recorded_afterwards_under_the_trace_that_its_error_and_the_log_name() {
    let receiver = Receiver::start().await;
    let config = ClusterConfig { nodes: 1, ..config(&receiver.url()) }.with("HUBBUB_LOG_LEVEL", "debug");
    let cluster = Cluster::start(config.unlimited()).await.expect("cluster");
    let room = cluster.create_room("lobby").await.expect("room");
    let mut caller = Caller::open(&cluster, 0, 0).await.expect("connection");
    cluster.members[0].postgres_link.cut();
    let refused = caller.send(room, "during").await.expect_err("refused");
    assert_eq!(refused.code, ErrorCode::Unavailable.code());
    let trace = refused.trace.to_string();
    let seen = until(|| receiver.spans(), "the failure", |seen| seen.iter().any(|span| span.trace == trace)).await;
    let span = seen.iter().find(|span| span.trace == trace).expect("it was waited for");
    assert_eq!((span.name.as_str(), span.failed, span.parent.as_str()), ("message.send", true, ""));
    assert_eq!(span.attributes["hubbub.recorded_for"], "failure");
    assert_eq!(span.attributes["hubbub.error_code"], ErrorCode::Unavailable.code().to_string());
    assert!(cluster.members[0].node.log_text().contains(&trace), "the log names {trace}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_not_there_costs_the_spans_and_nothing_else() {
    let port = hubbub_testkit::ports::free().expect("a port");
    let mut cluster = Cluster::start(config(&format!("http://127.0.0.1:{port}"))).await.expect("cluster");
    send_across(&cluster).await;
    let node = &mut cluster.members[0].node;
    let ops_port = node.ops_port;
    let counted = async || {
        let answer = http::get(ops_port, "/metrics").await;
        let samples = answer.map(|answer| http::samples(&answer.body)).unwrap_or_default();
        samples.get("hubbub_trace_spans_dropped_total{reason=\"export\"}").is_some_and(|count| *count >= 5.0)
    };
    node.wait_until("counting drops", counted).await.expect("counted");
    node.signal(Signal::Terminate);
    assert_eq!(node.wait_ended(END).await.expect("it ends").code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the receiver that `cargo xtask otlp` builds"]
async fn a_real_receiver_takes_the_trace_over_tls() {
    let program = PathBuf::from(std::env::var_os("HUBBUB_OTLP_RECEIVER").expect("HUBBUB_OTLP_RECEIVER"));
    let folder = tempfile::tempdir().expect("a folder");
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    fs::write(&certificate, made.cert.pem()).expect("written");
    fs::write(&key, made.signing_key.serialize_pem()).expect("written");
    let collector = Collector::start(&program, folder.path(), &certificate, &key).await;
    let config = config(&format!("https://localhost:{}", collector.port));
    let config = config.with("HUBBUB_TRACE_CA_FILE", &certificate.display().to_string());
    let cluster = Cluster::start(config).await.expect("cluster");
    let room = send_across(&cluster).await;
    let seen = until(|| collector.spans(), "one trace", is_whole).await;
    check(&seen, room);
}

//! The line that a connection leaves, and `hubbub top` for scripts.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};

use serde_json::Value;

use crate::support::{Place, Running, SECRET, address};

const VARIABLES: [(&str, &str); 4] = [
    ("HUBBUB_AUTH_TOKEN_SECRET", SECRET),
    ("HUBBUB_DRAIN_GRACE", "0s"),
    ("HUBBUB_DRAIN_SPREAD", "0s"),
    ("HUBBUB_NODE_NAME", "north"),
];

fn serving(place: &Place) -> (Running, SocketAddr, SocketAddr) {
    let mut node = place.serve(&VARIABLES);
    let line = node.wait_for("serving");
    let addresses = (address(&line, "listen"), address(&line, "ops"));
    (node, addresses.0, addresses.1)
}

/// A WebSocket past its handshake, with what came right behind it.
fn connect(listen: SocketAddr, headers: &str) -> TcpStream {
    let mut client = TcpStream::connect(listen).expect("connected");
    let upgrade = format!(
        "GET /v1/ws HTTP/1.1\r\nHost: node\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
    );
    client.write_all(upgrade.as_bytes()).expect("sent");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).expect("an answer");
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    client
}

#[test]
fn every_connection_leaves_one_line() {
    let place = Place::new();
    let (mut node, listen, _) = serving(&place);
    assert_eq!(place.run_with(&VARIABLES, &["user", "add", "ada", "--password-stdin"], "a long password").code, 0);
    let token = place.run_with(&VARIABLES, &["token", "mint", "--user", "ada"], "").stdout;
    let mut ada = connect(listen, &format!("Authorization: Bearer {}\r\n", token.trim()));
    // A masked close frame with code 1000, under a mask of zeros.
    ada.write_all(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8]).expect("sent");
    let line = node.wait_for("connection ended");
    let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
    assert_eq!(
        (text("user_name"), text("node"), text("reason"), text("address")),
        ("ada".into(), "north".into(), "normal".into(), "127.0.0.1".into()),
        "{line}"
    );
    assert!(text("user").len() == 36 && text("session").len() == 36 && text("level") == "INFO", "{line}");
    assert_eq!(
        (line["connection"].as_u64(), line["frames_in"].as_u64(), line["bytes_in"].as_u64()),
        (Some(1), Some(1), Some(8))
    );
    // session.ready, and perhaps the close frame already.
    assert!(line["frames_out"].as_u64() >= Some(1) && line["bytes_out"].as_u64() > Some(100), "{line}");
    assert!(line["lasted_ms"].is_u64() && line["commands"] == 0, "{line}");
    drop(connect(listen, ""));
    let line = node.wait_for("connection ended");
    assert_eq!((line["connection"].as_u64(), line["reason"].as_str()), (Some(2), Some("lost")), "{line}");
    assert!(line["user"].is_null() && line["session"].is_null() && line["user_name"].is_null(), "{line}");
    assert!(!line.to_string().contains(token.trim()));
}

#[test]
fn top_prints_a_snapshot_and_names_who_is_gone() {
    let place = Place::new();
    let (_node, listen, ops) = serving(&place);
    let _stranger = connect(listen, "");
    // Bound by this test and never answered; then free, so that nobody is there.
    let gone = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").to_string();
    let ops = ops.to_string();
    let outcome = place.run(&["top", "--json", "--interval", "1", &ops, &format!("http://{gone}")]);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    let snapshot: Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    let named =
        |name: &str| snapshot["nodes"].as_array().and_then(|nodes| nodes.iter().find(|node| node["name"] == name));
    let north = named("north").expect("the node");
    assert_eq!((north["state"].as_str(), north["connections"].as_u64()), (Some("ready"), Some(1)), "{north}");
    assert!(north["commands_per_s"].is_number() && north["cpu"].is_number(), "two looks make rates: {north}");
    let dead = named(&gone).expect("who is gone");
    assert_eq!(dead["state"].as_str(), Some("gone"), "{dead}");
    assert_eq!((snapshot["totals"]["nodes"].as_u64(), snapshot["totals"]["answering"].as_u64()), (Some(2), Some(1)));
    let text = place.run(&["top", "--once", "--interval", "1", &ops]);
    assert!(text.code == 0 && text.stdout.contains("north") && text.stdout.contains("ready"), "{}", text.stdout);
    let nobody = place.run(&["top", "--once", "--interval", "1", &gone]);
    assert_eq!((nobody.code, nobody.stderr.contains("no node answers")), (1, true), "{}", nobody.stderr);
}

#[test]
fn top_says_what_it_cannot_do() {
    let place = Place::new();
    let refused = |args: &[&str]| {
        let outcome = place.run(args);
        (outcome.code, outcome.stderr)
    };
    let (code, text) = refused(&["top", "127.0.0.1:1"]);
    assert!(code == 2 && text.contains("--once"), "no terminal: {text}");
    for args in [["top", "--once", "nowhere"], ["top", "--once", "https://a:1"], ["top", "--once", "--discover=pods"]] {
        assert_eq!(refused(&args).0, 2, "{args:?}");
    }
}

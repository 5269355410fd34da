//! A node from its start to its end: ports, signals, a database that is not there, and what its log must not hold.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Place, QUICK, Running, SECRET, address, http};

/// Longer than any test: only a signal ends it.
const SLOW: [(&str, &str); 2] = [("HUBBUB_DRAIN_GRACE", "5m"), ("HUBBUB_DRAIN_TIMEOUT", "10m")];

/// Enough to see that a node goes on trying and says so once.
const TRIES: usize = 3;

fn serving(place: &Place, variables: &[(&str, &str)]) -> (Running, Value) {
    let mut node = place.serve(variables);
    let line = node.wait_for("serving");
    (node, line)
}

#[test]
fn a_node_becomes_ready_and_ends_on_sigterm_and_on_sigint() {
    for signal in [Signal::TERM, Signal::INT] {
        let place = Place::new();
        let (node, line) = serving(&place, &QUICK);
        let ops = address(&line, "ops");
        assert_eq!(http(ops, "GET /livez", "").0, 200);
        let (status, body) = http(ops, "GET /readyz", "");
        assert_eq!(status, 200, "{body}");
        assert_eq!(place.run(&["health", &format!("http://{ops}")]).code, 0);
        let (_, metrics) = http(ops, "GET /metrics", "");
        for name in ["hubbub_build_info{version=", "process_resident_memory_bytes ", "process_open_fds "] {
            assert!(metrics.contains(name), "{name}");
        }
        node.signal(signal);
        let (code, log) = node.end();
        assert_eq!(code, Some(0), "{log}");
        assert!(log.contains("\"message\":\"stopped\""), "the last line is there: {log}");
    }
}

#[test]
fn a_draining_node_is_not_ready_and_a_second_signal_ends_it_at_once() {
    let place = Place::new();
    let (mut node, line) = serving(&place, &SLOW);
    node.signal(Signal::TERM);
    node.wait_for("draining");
    let ops = address(&line, "ops");
    assert_eq!(http(ops, "GET /readyz", "").0, 503);
    assert_eq!(http(ops, "GET /livez", "").0, 200);
    let health = place.run(&["health", &format!("http://{ops}"), "--json"]);
    assert_eq!(health.code, 1);
    assert_eq!(serde_json::from_str::<Value>(&health.stdout).expect("JSON")["answer"]["status"], "draining");
    node.signal(Signal::INT);
    let (code, log) = node.end();
    assert_eq!(code, Some(1), "{log}");
}

#[test]
fn a_client_that_stays_does_not_hold_the_end_up() {
    let place = Place::new();
    // Shorter than the two seconds that the server lingers after its close frame: the bound has to end it.
    let bound = [("HUBBUB_DRAIN_GRACE", "0s"), ("HUBBUB_DRAIN_SPREAD", "0s"), ("HUBBUB_DRAIN_TIMEOUT", "1s")];
    let (node, line) = serving(&place, &bound);
    place.run_with(&[], &["user", "add", "ada", "--password-stdin"], "correct horse");
    let token = place.run(&["token", "mint", "--user", "ada"]).stdout;
    let mut client = TcpStream::connect(address(&line, "listen")).expect("connected");
    let upgrade = "GET /v1/ws HTTP/1.1\r\nHost: node\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    write!(client, "{upgrade}Authorization: Bearer {}\r\n\r\n", token.trim()).expect("sent");
    let mut head = [0; 12];
    client.read_exact(&mut head).expect("answered");
    assert_eq!(&head, b"HTTP/1.1 101");
    node.signal(Signal::TERM);
    let (code, log) = node.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("connections are left over and dropped"), "{log}");
}

#[test]
fn a_port_that_is_taken_is_one_line_and_exit_1() {
    let place = Place::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("bound");
    let taken = taken.local_addr().expect("address").to_string();
    for (flag, other) in [("--listen", "--ops-listen"), ("--ops-listen", "--listen")] {
        let outcome = place.run(&["serve", flag, &taken, other, "127.0.0.1:0", "--log-level", "off"]);
        assert_eq!(outcome.code, 1, "{}", outcome.stderr);
        assert!(outcome.stderr.starts_with(&format!("hubbub: cannot listen on {taken}: ")), "{}", outcome.stderr);
        assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
    }
    assert!(!place.path("data/hubbub.db").exists(), "nothing is made before the ports are there");
}

#[test]
fn a_certificate_that_is_none_is_refused_as_configuration() {
    let place = Place::new();
    place.write("cert.pem", "no certificate");
    let files = ["--tls-mode", "files", "--tls-cert-file", "cert.pem", "--tls-key-file", "cert.pem"];
    let args: Vec<&str> = ["serve", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0", "--log-level", "off"]
        .iter()
        .chain(&files)
        .copied()
        .collect();
    let outcome = place.run(&args);
    assert_eq!(outcome.code, 78, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("cert.pem"), "{}", outcome.stderr);
    assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
}

#[test]
fn a_database_file_that_is_none_ends_the_start() {
    let place = Place::new();
    place.write("notes.db", "This is a text of some length and not a database at all, whatever its name may say.");
    let args = ["serve", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0", "--log-level", "off"];
    let outcome = place.run_with(&[("HUBBUB_DATABASE_URL", "sqlite://notes.db")], &args, "");
    assert!([1, 78].contains(&outcome.code), "{}: {}", outcome.code, outcome.stderr);
    assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
}

#[test]
fn without_postgresql_a_node_lives_says_why_once_and_can_be_stopped() {
    let place = Place::new();
    // Somebody who hangs up at once stands in for a server that is not there, and counts the tries.
    let nobody = TcpListener::bind("127.0.0.1:0").expect("bound");
    let url = format!("postgres://hubbub@{}/hubbub", nobody.local_addr().expect("address"));
    let mut node = place.serve(&[("HUBBUB_DATABASE_URL", &url), ("HUBBUB_AUTH_TOKEN_SECRET", SECRET)]);
    let ops = address(&node.wait_for("starting"), "ops");
    drop(nobody.accept().expect("a first try"));
    let waiting = node.wait_for("waiting for the database; not ready until it is there");
    assert!(waiting["reason"].is_string(), "{waiting}");
    for _ in 0..TRIES {
        drop(nobody.accept().expect("another try"));
    }
    assert_eq!(http(ops, "GET /livez", "").0, 200);
    let (status, body) = http(ops, "GET /readyz", "");
    assert_eq!(status, 503);
    assert!(body.contains("starting") && body.contains("database: "), "{body}");
    node.signal(Signal::TERM);
    let (code, log) = node.end();
    assert_eq!(code, Some(0), "{log}");
    assert_eq!(log.matches("waiting for the database").count(), 1, "{log}");
}

#[test]
fn without_redis_a_node_serves_degraded() {
    let place = Place::new();
    let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("bound").port();
    let url = format!("redis://127.0.0.1:{port}");
    let mut variables = QUICK.to_vec();
    variables.extend([("HUBBUB_REDIS_URL", url.as_str()), ("HUBBUB_AUTH_TOKEN_SECRET", SECRET)]);
    let (node, line) = serving(&place, &variables);
    let (status, body) = http(address(&line, "ops"), "GET /readyz", "");
    assert_eq!(status, 200, "{body}");
    let body: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(body["degraded"], serde_json::json!(["redis"]));
    node.signal(Signal::TERM);
    assert_eq!(node.end().0, Some(0));
}

#[test]
fn users_and_tokens_beside_a_running_node_and_nothing_secret_in_its_log() {
    let place = Place::new();
    let mut variables = QUICK.to_vec();
    variables.extend([("HUBBUB_AUTH_TOKEN_SECRET", SECRET), ("HUBBUB_LOG_LEVEL", "trace")]);
    let (node, line) = serving(&place, &variables);
    let password = "correct horse battery";
    let added = place.run_with(&variables, &["user", "add", "ada", "--password-stdin"], password);
    assert_eq!(added.code, 0, "{}", added.stderr);
    let listen = address(&line, "listen");
    let body = format!("{{\"name\":\"ada\",\"password\":\"{password}\"}}");
    let (status, answer) = http(listen, "POST /v1/auth/login", &body);
    assert_eq!(status, 200, "{answer}");
    let token =
        serde_json::from_str::<Value>(&answer).expect("JSON")["access_token"].as_str().expect("token").to_owned();
    let minted = place.run_with(&variables, &["token", "mint", "--user", "ada"], "").stdout;
    for token in [&token, minted.trim()] {
        let (status, answer) =
            http(listen, &format!("GET /v1/rooms HTTP/1.1\r\nAuthorization: Bearer {token}\r\nX-Rest:"), "");
        assert_eq!(status, 200, "{answer}");
    }
    let (status, config) = http(address(&line, "ops"), "GET /debug/config", "");
    assert_eq!(status, 200);
    assert!(!config.contains(SECRET), "{config}");
    node.signal(Signal::TERM);
    let (code, log) = node.end();
    assert_eq!(code, Some(0), "{log}");
    for secret in [password, SECRET, &token, minted.trim()] {
        assert!(!log.contains(secret), "{log}");
    }
}

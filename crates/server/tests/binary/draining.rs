//! The end of a node as a process: how it is asked for, what a second word means, and a pace that does not fit.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use rustix::process::Signal;

use crate::support::{Place, address, http};

const QUICK: [(&str, &str); 2] = [("HUBBUB_DRAIN_GRACE", "0s"), ("HUBBUB_DRAIN_SPREAD", "0s")];

/// Longer than any test: only a signal ends it.
const SLOW: [(&str, &str); 2] = [("HUBBUB_DRAIN_GRACE", "5m"), ("HUBBUB_DRAIN_TIMEOUT", "10m")];

#[test]
fn post_drain_ends_a_node_as_a_signal_does() {
    let place = Place::new();
    let mut node = place.serve(&QUICK);
    let ops = address(&node.wait_for("serving"), "ops");
    assert_eq!(http(ops, "GET /drain", "").0, 405);
    assert_eq!(http(ops, "POST /drain", ""), (202, r#"{"status":"draining"}"#.to_owned()));
    let (code, log) = node.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("\"POST /drain\""), "who asked is said: {log}");
}

#[test]
fn the_signal_behind_a_post_is_the_first_one_and_the_next_ends_it_at_once() {
    let place = Place::new();
    let mut node = place.serve(&SLOW);
    let ops = address(&node.wait_for("serving"), "ops");
    for _ in 0..2 {
        assert_eq!(http(ops, "POST /drain", "").0, 202);
        assert_eq!(http(ops, "GET /readyz", "").0, 503);
    }
    node.wait_for("draining");
    node.signal(Signal::TERM);
    node.wait_for("draining already; one more signal stops at once");
    assert_eq!(http(ops, "GET /livez", "").0, 200);
    node.signal(Signal::TERM);
    let (code, log) = node.end();
    assert_eq!(code, Some(1), "{log}");
    assert_eq!(log.matches("a drain was asked for").count(), 1, "the second changed nothing: {log}");
}

fn connect(listen: SocketAddr, token: &str) -> TcpStream {
    let mut client = TcpStream::connect(listen).expect("connected");
    let upgrade = "GET /v1/ws HTTP/1.1\r\nHost: node\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    write!(client, "{upgrade}Authorization: Bearer {token}\r\n\r\n").expect("sent");
    let mut head = [0; 12];
    client.read_exact(&mut head).expect("answered");
    assert_eq!(&head, b"HTTP/1.1 101");
    client
}

#[test]
fn a_pace_that_does_not_fit_the_timeout_is_said_once_and_kept() {
    const CLIENTS: usize = 8;
    let place = Place::new();
    let mut variables = QUICK.to_vec();
    variables.extend([("HUBBUB_DRAIN_CLOSES_PER_SECOND", "1"), ("HUBBUB_DRAIN_TIMEOUT", "5s")]);
    let mut node = place.serve(&variables);
    let listen = address(&node.wait_for("serving"), "listen");
    place.run_with(&[], &["user", "add", "ada", "--password-stdin"], "correct horse");
    let token = place.run(&["token", "mint", "--user", "ada"]).stdout;
    let clients: Vec<TcpStream> = (0..CLIENTS).map(|_| connect(listen, token.trim())).collect();
    node.signal(Signal::TERM);
    let message = "the pace of `drain.closes_per_second` does not fit `drain.timeout`: who is left then is dropped";
    let warned = node.wait_for(message);
    assert_eq!((warned["connections"].as_u64(), warned["closes_per_second"].as_u64()), (Some(8), Some(1)), "{warned}");
    let (code, log) = node.end();
    assert_eq!(code, Some(0), "{log}");
    assert_eq!(log.matches(message).count(), 1, "{log}");
    assert!(log.contains("connections are left over and dropped"), "{log}");
    let told = clients.into_iter().filter(|client| {
        let (mut client, mut words) = (client, Vec::new());
        // Who was dropped may see a reset.
        client.read_to_end(&mut words).ok();
        String::from_utf8_lossy(&words).contains("session.closing")
    });
    // One each second, and not one more to make the time.
    assert!((2..=5).contains(&told.count()));
}

//! The log of a node whose reader is slow, has gone, or has no disk left; and what its lines hold.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Stdio;

use rustix::process::Signal;

use crate::support::{Place, QUICK, address, http, metric};

/// Every request that is refused leaves a line, however many there are.
const TALKATIVE: [(&str, &str); 2] = [("HUBBUB_LOG_LEVEL", "debug"), ("HUBBUB_LOG_REPEATS_MAX", "0")];

/// More lines than the queue holds and a pipe takes.
const MANY: usize = 6_000;

/// Looks at a count that is about to change; nothing is measured by it.
const LOOKS: usize = 2_000;

/// Asks for nothing so many times, each of which is a line of the log.
fn make_lines(listen: SocketAddr, count: usize) {
    let mut stream = TcpStream::connect(listen).expect("connected");
    let mut asking = stream.try_clone().expect("cloned");
    let asker = std::thread::spawn(move || {
        for number in 1..=count {
            let end = if number == count { "Connection: close\r\n" } else { "" };
            write!(asking, "GET /v1/nothing HTTP/1.1\r\nHost: node\r\n{end}\r\n").expect("asked");
        }
    });
    let mut answers = Vec::new();
    stream.read_to_end(&mut answers).expect("answered");
    asker.join().expect("asked");
    let answers = String::from_utf8_lossy(&answers);
    assert_eq!(answers.matches("HTTP/1.1 404").count(), count);
}

#[test]
fn a_reader_that_does_not_read_costs_lines_and_nothing_else() {
    let place = Place::new();
    let mut node = place.serve_into(&TALKATIVE, Stdio::piped());
    make_lines(node.listen, MANY);
    assert!(metric(node.ops, "hubbub_log_lines_dropped_total{cause=\"full\"}") > 0.0);
    assert_eq!(http(node.ops, "GET /readyz", "").0, 200);
    // It reads again, and is told what it has missed.
    let mut log = node.child.stderr.take().expect("a pipe");
    let mut read = String::new();
    let mut part = [0; 1 << 16];
    while !read.contains("log lines were lost") {
        let count = log.read(&mut part).expect("read");
        assert!(count > 0, "the log has ended");
        read.push_str(&String::from_utf8_lossy(&part[..count]));
    }
}

#[test]
fn a_reader_that_has_gone_costs_lines_and_nothing_else() {
    let place = Place::new();
    let mut node = place.serve_into(&TALKATIVE, Stdio::piped());
    drop(node.child.stderr.take());
    make_lines(node.listen, 10);
    wait_for_lost(node.ops);
    assert_eq!(http(node.ops, "GET /readyz", "").0, 200);
}

#[test]
fn a_full_disk_costs_lines_and_nothing_else() {
    let place = Place::new();
    let full = File::options().write(true).open("/dev/full").expect("a device that has no space");
    let node = place.serve_into(&TALKATIVE, full.into());
    make_lines(node.listen, 10);
    wait_for_lost(node.ops);
    assert_eq!(http(node.ops, "GET /readyz", "").0, 200);
}

/// The thread that writes the log may be a moment behind.
fn wait_for_lost(ops: SocketAddr) {
    let lost = || metric(ops, "hubbub_log_lines_dropped_total{cause=\"sink\"}") > 0.0;
    let told = (0..LOOKS).any(|_| {
        lost() || {
            std::thread::sleep(std::time::Duration::from_millis(10));
            false
        }
    });
    assert!(told, "lines that could not be written are not counted");
}

#[test]
fn repeated_lines_are_counted_and_told_in_one() {
    let place = Place::new();
    let variables = [&QUICK[..], &[("HUBBUB_LOG_LEVEL", "debug"), ("HUBBUB_LOG_REPEATS_MAX", "3")]].concat();
    let mut node = place.serve(&variables);
    let line = node.wait_for("serving");
    make_lines(address(&line, "listen"), 10);
    let told = node.wait_for("lines of this place were left out: it repeats itself");
    assert_eq!((&told["lines"], &told["level"]), (&7.into(), &"DEBUG".into()));
    assert!(told["place"].as_str().is_some_and(|place| place.contains("respond.rs:")), "{told}");
    assert_eq!(metric(address(&line, "ops"), "hubbub_log_lines_suppressed_total"), 7.0);
    node.signal(Signal::TERM);
    let (_, log) = node.end();
    assert_eq!(log.matches("refused over HTTP").count(), 3, "{log}");
}

#[test]
fn a_line_says_for_whom_it_is() {
    let place = Place::new();
    let variables = [&QUICK[..], &[("HUBBUB_LOG_LEVEL", "debug"), ("HUBBUB_NODE_NAME", "one")]].concat();
    let mut node = place.serve(&variables);
    let line = node.wait_for("serving");
    assert_eq!(place.run_with(&[], &["user", "add", "ada", "--password-stdin"], "correct horse").code, 0);
    let token = place.run(&["token", "mint", "--user", "ada"]).stdout;
    let token = token.trim();
    let mut socket =
        crate::secrets::Socket::open(address(&line, "listen"), &format!("Authorization: Bearer {token}\r\n"));
    let ready = socket.read_until("session.ready");
    socket.text("{\"id\":1,\"cmd\":\"room.show\",\"room\":\"nowhere\"}");
    socket.read_until("room_not_found");
    let said = node.wait_for("refused");
    for (field, value) in [("node", "one"), ("command", "room.show"), ("room", "nowhere"), ("name", "room_not_found")] {
        assert_eq!(said[field], value, "{said}");
    }
    assert!(said["connection"].is_u64() && said["trace"].is_string(), "{said}");
    for field in ["session", "user"] {
        let id = said[field].as_str().unwrap_or_else(|| panic!("no {field} in {said}"));
        assert!(ready.contains(id), "{said} {ready}");
    }
    let request = format!("GET /v1/rooms/nowhere HTTP/1.1\r\nAuthorization: Bearer {token}\r\nX-Rest:");
    assert_eq!(http(address(&line, "listen"), &request, "").0, 404);
    let over_http = node.wait_for("refused over HTTP");
    for field in ["node", "command", "room", "name", "user"] {
        assert_eq!(over_http[field], said[field], "{over_http}");
    }
    assert!(over_http.get("connection").is_none());
}

//! Nodes of two versions side by side: what the first release put on the bus is read for ever.
//!
//! The bytes were written by that release; they are only ever added to. Must never be written anew to please a change.

use std::sync::Arc;

use hubbub_bus::envelope::{self, Envelope, EnvelopeError};
use hubbub_protocol::event::{MemberLeft, MessageSent};
use hubbub_protocol::{MessageId, RoomEvent, RoomEventData, RoomId, Timestamp, UserId, UserRef};
use serde_json::json;

use crate::redis_topologies::{Reply, Server};

/// `NAME HEX`, a line each.
const FIRST_RELEASE: &str = include_str!("envelopes-1.txt");

fn stored(name: &str) -> Vec<u8> {
    let line = FIRST_RELEASE.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).expect("it is there");
    let digits = |at: usize| u8::from_str_radix(&line[at..at + 2], 16).expect("hex");
    (0..line.len()).step_by(2).map(digits).collect()
}

fn events() -> [RoomEvent; 2] {
    let id = |last: &str| format!("01890a5d-ac96-774b-bcce-b302099a80{last}");
    let room: RoomId = id("01").parse().unwrap();
    let user: UserId = id("02").parse().unwrap();
    let message: MessageId = id("03").parse().unwrap();
    let by = UserRef { id: user, name: "ada".into() };
    let sent = MessageSent {
        id: message,
        client_msg_id: serde_json::from_value("c-1".into()).unwrap(),
        body: "hello \u{1F44B}".into(),
    };
    let event = |seq, data| RoomEvent {
        room,
        seq,
        at: Timestamp::from_millis(1_767_323_045_678),
        by: by.clone(),
        data,
        trace: None,
    };
    [event(1, sent.into()), event(2, RoomEventData::MemberLeft(MemberLeft { user: by.clone() }))]
}

#[test]
fn the_first_release_is_read() {
    let [sent, left] = events();
    let read = |name: &str, own: &str| envelope::decode(&stored(name), own).unwrap();
    assert_eq!(read("event", "other"), Envelope::Events(vec![Arc::new(sent.clone())]));
    assert_eq!(read("events", "other"), Envelope::Events(vec![Arc::new(sent), Arc::new(left)]));
    assert_eq!(read("pulse", "other"), Envelope::Pulse { number: 4_711 });
    assert_eq!(read("event", "instance"), Envelope::Echo);
    assert_eq!(read("events", "instance"), Envelope::Echo);
}

#[test]
fn this_build_writes_what_the_first_release_reads() {
    let [sent, left] = events();
    assert_eq!(envelope::encode_events(&[&sent], "instance", &[]).unwrap(), stored("event"));
    assert_eq!(envelope::encode_events(&[&sent, &left], "instance", &[]).unwrap(), stored("events"));
    assert_eq!(envelope::encode_pulse(4_711).unwrap(), stored("pulse"));
}

#[test]
fn what_a_later_release_may_send_is_skipped() {
    let written = |value: serde_json::Value| rmp_serde::to_vec_named(&value).unwrap();
    let later = written(json!({"v": 2, "k": "event", "n": "x", "d": {"of": "another shape"}, "z": [1, 2]}));
    assert!(matches!(envelope::decode(&later, "other"), Err(EnvelopeError::Version { version: 2 })));
    let unknown = written(json!({"v": 1, "k": "presence", "n": "x", "d": {"user": 1}}));
    assert!(matches!(envelope::decode(&unknown, "other"), Err(EnvelopeError::Kind)));
    let [sent, _] = events();
    let mut event = serde_json::to_value(&sent).unwrap();
    event["later"] = json!({"deep": [true]});
    let extended = written(json!({"v": 1, "k": "event", "n": "x", "later": 1, "d": event}));
    assert_eq!(envelope::decode(&extended, "other").unwrap(), Envelope::Events(vec![Arc::new(sent)]));
}

fn eval(server: &Server, script: &str, keys: &[&str], arguments: &[&str]) -> Reply {
    let count = keys.len().to_string();
    let command = [&["EVAL", script, &count], keys, arguments].concat();
    server.call(&command).unwrap()
}

/// A node of the first release runs its own text of a script, and this build's text meets what that left. So this build's
/// texts, called as the first release calls them, answer what it understands, on keys of the same form.
#[test]
fn scripts_are_called_and_answer_as_in_the_first_release() {
    let server = Server::start();
    let number = Reply::Number;
    let list = |texts: &[&str]| Reply::List(texts.iter().map(|text| Reply::Text((*text).to_owned())).collect());

    let take = hubbub_bus::gcra::SCRIPT;
    assert_eq!(
        eval(&server, take, &["cell"], &["30", "1"]),
        Reply::List(vec![number(1), Reply::Text("60000000".into())])
    );
    let cell = server.call(&["GET", "cell"]).unwrap().text();
    let (micros, rest) = cell.split_once(':').expect("micros:rest");
    assert!(micros.parse::<u64>().is_ok() && rest.parse::<u64>().is_ok(), "{cell}");
    assert_eq!(eval(&server, take, &["cell"], &["30", "-1"]).list()[0], number(1));

    let count = include_str!("../../src/link/count.lua");
    server.call(&["HSET", "scope", "other", "1"]).unwrap();
    let full = eval(&server, count, &["scope"], &["own", "1", "2", "3", "60000"]);
    assert_eq!(full, Reply::List(vec![number(1), list(&["other"])]));
    let without_the_dead = eval(&server, count, &["scope"], &["own", "2", "1", "3", "60000", "other"]);
    assert_eq!(without_the_dead, Reply::List(vec![number(1), list(&[])]));
    assert_eq!(server.call(&["HGETALL", "scope"]).unwrap(), list(&["own", "3"]));

    let renew = include_str!("../../src/link/renew.lua");
    let keys = ["{nodes}", "{nodes}:lease:own", "{nodes}:sessions:own"];
    server.call(&["ZADD", "{nodes}", "1", "dead"]).unwrap();
    let renewed = |held| Reply::List(vec![number(held), number(1), list(&["dead"])]);
    let arguments = ["own", "name", "10000", "60000", "4"];
    assert_eq!(eval(&server, renew, &keys, &arguments), renewed(0));
    assert_eq!(eval(&server, renew, &keys, &arguments), renewed(1));
    assert_eq!(server.call(&["GET", "{nodes}:lease:own"]).unwrap().text(), "name");

    let reap = include_str!("../../src/link/reap.lua");
    server.call(&["HSET", "{nodes}:sessions:dead", "session", "user"]).unwrap();
    let keys = ["{nodes}", "{nodes}:lease:dead", "{nodes}:sessions:dead"];
    assert_eq!(eval(&server, reap, &keys, &["dead", "500"]), Reply::List(vec![list(&["session", "user"]), number(0)]));
    assert_eq!(server.call(&["ZRANGE", "{nodes}", "0", "-1"]).unwrap(), list(&["own"]));
}

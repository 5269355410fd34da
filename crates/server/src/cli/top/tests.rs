//! From looks at nodes to rows, keys and screens.
//!
//! Must never need a terminal or a node.

mod screens;

use std::time::Duration;

use serde_json::{Value, json};

use super::answer::{ErrorsPage, LeasesPage, Snapshot};
use super::print;
use super::state::{Condition, Look, NodeRow, State};

/// A moment, in seconds since the start.
pub(super) fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A look at a node with this name, whose pages are as a node answers them.
pub(super) fn look(address: &str, seconds: u64, node: Value, rest: impl FnOnce(&mut Snapshot)) -> Look {
    let node = serde_json::from_value(node).expect("a page of a node");
    let mut snapshot = Snapshot { node, ..Snapshot::default() };
    rest(&mut snapshot);
    Look { address: address.to_owned(), at: at(seconds), outcome: Ok(Box::new(snapshot)) }
}

/// A look in vain.
pub(super) fn silence(address: &str, seconds: u64) -> Look {
    Look { address: address.to_owned(), at: at(seconds), outcome: Err("no answer: connection refused".into()) }
}

/// A node that has delivered so many events, 99 of 100 within 10 ms and the others within a second.
pub(super) fn page(name: &str, deliveries: u64) -> Value {
    let fast = deliveries * 99 / 100;
    json!({
        "node": name, "instance": format!("run-of-{name}"), "version": "0.1.0", "status": "ready", "degraded": [],
        "uptime_ms": 7_500_000, "connections": 1_203, "rooms": 12, "outbox_bytes": 0, "rss_bytes": 88_080_384,
        "counters": { "deliveries": deliveries, "commands": deliveries / 10, "connects": 1_250, "cpu_seconds": deliveries as f64 / 16_000.0 },
        "delivery": { "count": deliveries, "sum": 1.0, "buckets": [[0.001, 0], [0.01, fast], [1.0, deliveries]] },
        "bus": { "shared": true, "up": true, "lag_ms": 0.42 }, "store": { "up": true },
    })
}

pub(super) fn leases(names: &[&str]) -> Option<Vec<super::answer::Lease>> {
    let rows = names.iter().map(|name| json!({ "name": name, "instance": format!("run-of-{name}"), "sessions": 40 }));
    let page: LeasesPage = serde_json::from_value(json!({ "nodes": rows.collect::<Vec<_>>() })).expect("leases");
    Some(page.nodes)
}

fn names(rows: &[NodeRow<'_>]) -> Vec<String> {
    rows.iter().map(|row| row.name.clone()).collect()
}

#[test]
fn two_looks_make_rates() {
    let mut state = State::default();
    state.take(look("a:1", 10, page("north", 1_000), |_| {}));
    assert!(state.rows(at(10))[0].rates.is_none(), "one look makes none");
    state.take(look("a:1", 12, page("north", 5_000), |_| {}));
    let rates = state.rows(at(12))[0].rates.expect("rates");
    assert_eq!((rates.deliveries, rates.commands, rates.connects, rates.cpu), (2_000.0, 200.0, 0.0, Some(0.125)));
    let (p50, p99) = (rates.p50.expect("p50"), rates.p99.expect("p99"));
    assert!(p50 < 0.01 && (0.009..=0.011).contains(&p99), "{p50} {p99}");
    // A node that was started anew counts from 0.
    let mut restarted = page("north", 40);
    restarted["instance"] = json!("another run");
    state.take(look("a:1", 14, restarted, |_| {}));
    assert!(state.rows(at(14))[0].rates.is_none());
}

#[test]
fn who_does_not_answer_is_gone_and_not_forgotten() {
    let mut state = State::default();
    state.take(look("a:1", 1, page("north", 100), |_| {}));
    state.take(silence("b:1", 1));
    state.take(silence("a:1", 3));
    state.take(silence("a:1", 9));
    let rows = state.rows(at(10));
    assert_eq!(names(&rows), ["b:1", "north"]);
    assert_eq!((rows[1].condition, rows[1].gone_for, rows[1].connections()), (Condition::Gone, Some(at(7)), None));
    assert_eq!((state.totals(at(10)).nodes, state.totals(at(10)).answering), (2, 0));
    // A name that leads elsewhere now: who is gone stays for a while, who answers stays.
    let listed = ["b:1".to_owned()].into();
    state.list(&listed, at(20));
    assert_eq!(names(&state.rows(at(20))), ["b:1", "north"]);
    state.list(&listed, at(200));
    assert_eq!(names(&state.rows(at(200))), ["b:1"]);
    state.take(look("a:1", 201, page("north", 100), |_| {}));
    assert_eq!(state.rows(at(201))[1].condition, Condition::Ready, "it is back");
}

#[test]
fn one_node_under_two_addresses_is_one_row_and_leases_tell_of_the_others() {
    let mut state = State::default();
    state.take(look("10.0.0.1:1", 1, page("north", 1), |last| last.leases = leases(&["north", "south"])));
    state.take(look("[::1]:1", 1, page("north", 1), |_| {}));
    let rows = state.rows(at(1));
    assert_eq!(names(&rows), ["north", "south"]);
    assert_eq!((rows[1].condition, rows[1].address, rows[1].sessions), (Condition::Unasked, None, Some(40)));
    assert_eq!(state.totals(at(1)).connections, 1_203);
    // South is asked as well from now on, and answers; its lease adds no row.
    state.take(look("10.0.0.2:1", 2, page("south", 1), |_| {}));
    assert_eq!(names(&state.rows(at(2))), ["north", "south"]);
    // One that is gone is not shown as alive by a lease that has not run out yet.
    state.take(silence("10.0.0.2:1", 3));
    assert_eq!(state.rows(at(3))[1].condition, Condition::Gone);
}

#[test]
fn conditions_are_those_of_the_node() {
    for (status, degraded, expected) in [
        ("ready", json!([]), Condition::Ready),
        ("ready", json!(["redis"]), Condition::Degraded),
        ("starting", json!([]), Condition::Starting),
        ("draining", json!([]), Condition::Draining),
        ("overloaded", json!([]), Condition::Overloaded),
        ("unavailable", json!([]), Condition::Unavailable),
    ] {
        let mut node = page("north", 1);
        (node["status"], node["degraded"]) = (json!(status), degraded);
        let mut state = State::default();
        state.take(look("a:1", 1, node, |_| {}));
        assert_eq!(state.rows(at(1))[0].condition, expected, "{status}");
        assert!(expected.word().len() <= 8);
    }
}

#[test]
fn pages_of_other_versions_are_read_as_far_as_they_go() {
    let mut state = State::default();
    state.take(look("a:1", 1, json!({ "node": "old", "status": "ready", "new": { "field": 1 } }), |_| {}));
    state.take(look("a:1", 2, json!({ "node": "old", "counters": { "connects": null }, "rss_bytes": null }), |_| {}));
    let rows = state.rows(at(2));
    assert_eq!((rows[0].name.as_str(), rows[0].rates.expect("rates").cpu), ("old", None));
}

#[test]
fn errors_stay_between_the_rounds_that_ask_for_them() {
    let errors: ErrorsPage =
        serde_json::from_value(json!({ "errors": [{ "message": "Redis is gone" }] })).expect("errors");
    let mut state = State::default();
    state.take(look("a:1", 1, page("north", 1), |last| last.errors = Some(errors.errors)));
    state.take(look("a:1", 2, page("north", 1), |_| {}));
    let kept = state.node("a:1").and_then(|node| node.last.as_ref()).and_then(|last| last.errors.as_ref());
    assert_eq!(kept.map(|errors| errors[0].message.as_str()), Some("Redis is gone"));
}

#[test]
fn a_snapshot_for_programs_has_what_the_screen_has() {
    let state = screens::cluster();
    let snapshot = print::json(&state, at(14));
    assert_eq!(snapshot["nodes"].as_array().map(Vec::len), Some(4));
    assert_eq!(snapshot["nodes"][0]["state"], "ready");
    assert_eq!(snapshot["slow_connections"][0]["user"]["name"], "grace");
    assert_eq!(snapshot["large_rooms"][0]["name"], "lobby");
    insta::assert_snapshot!("once", print::text(&state, at(14)));
}

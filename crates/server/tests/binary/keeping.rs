//! Moving, backing up, restoring and checking, beside running nodes and after them.

use std::sync::Arc;

use hubbub_protocol::{RoomId, RoomKind, RoomMember, RoomRole, UserId, UserRef};
use hubbub_store::{NewRoom, Store, StoreConfig};
use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Outcome, Place, Running};

/// So that a test does not wait for a grace that nobody needs.
const QUICK: [(&str, &str); 2] = [("HUBBUB_DRAIN_GRACE", "0s"), ("HUBBUB_DRAIN_SPREAD", "0s")];

fn serving(place: &Place) -> Running {
    let mut node = place.serve(&QUICK);
    node.wait_for("serving");
    node
}

fn stop(node: Running) {
    node.signal(Signal::TERM);
    assert_eq!(node.end().0, Some(0));
}

fn add(place: &Place, name: &str) {
    let added = place.run_with(&[], &["user", "add", name, "--password-stdin"], "correct horse");
    assert_eq!(added.code, 0, "{}", added.stderr);
}

/// A refusal: exit code, one line, and what it says.
fn assert_refused(outcome: &Outcome, code: i32, reason: &str) {
    assert_eq!((outcome.code, outcome.stdout.as_str()), (code, ""), "{}", outcome.stderr);
    assert!(outcome.stderr.contains(reason), "{}", outcome.stderr);
    assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
}

fn json(outcome: &Outcome) -> Value {
    serde_json::from_str(&outcome.stdout).unwrap_or_else(|_| panic!("{}{}", outcome.stdout, outcome.stderr))
}

fn names(place: &Place, url: &str) -> Vec<Value> {
    let listed = place.run_with(&[("HUBBUB_DATABASE_URL", url)], &["user", "list", "--json"], "");
    json(&listed).as_array().expect("a list").iter().map(|user| user["name"].clone()).collect()
}

#[test]
fn a_database_moves_when_its_node_has_stopped() {
    let place = Place::new();
    let node = serving(&place);
    add(&place, "ada");
    let to = ["move", "--to", "sqlite://elsewhere.db"];
    assert_refused(&place.run(&to), 1, "the database is in use");
    add(&place, "bob");
    stop(node);
    let moved = place.run(&to);
    assert_eq!(moved.code, 0, "{}", moved.stderr);
    let users = moved.stdout.lines().find(|line| line.starts_with("users")).expect("a line");
    assert!(users.contains("2 rows  verified "), "{users}");
    assert_eq!(moved.stdout.lines().count(), 7, "a line for each table: {}", moved.stdout);
    assert!(moved.stderr.starts_with("moved with its history, epoch "), "{}", moved.stderr);
    assert_eq!(names(&place, "sqlite://elsewhere.db"), ["ada", "bob"]);
    assert_refused(&place.run(&to), 1, "the target is not empty: it has rows in `users`");

    let again = ["move", "--from", "sqlite://elsewhere.db", "--to", "sqlite://third.db", "--json"];
    let report = json(&place.run(&again));
    assert_eq!((&report["verified"], &report["rows"], &report["resumed"]), (&true.into(), &2.into(), &false.into()));
    assert_eq!(report["tables"][0]["checksum"].as_str().map(str::len), Some(64));
    assert!(moved.stderr.contains(report["epoch"].as_str().expect("an epoch")), "one history: {}", moved.stderr);
}

#[test]
fn a_backup_is_made_beside_a_node_and_restored_after_it() {
    let place = Place::new();
    let node = serving(&place);
    add(&place, "ada");
    let made = place.run(&["backup", "kept.db", "--json"]);
    assert_eq!(made.code, 0, "{}", made.stderr);
    add(&place, "bob");
    assert_refused(&place.run(&["backup", "kept.db"]), 1, "kept.db is there already: --replace replaces it");
    assert_refused(&place.run(&["restore", "kept.db", "--replace"]), 1, "the database is in use");
    assert_eq!(place.run(&["check"]).code, 0);
    stop(node);
    assert_refused(&place.run(&["restore", "kept.db"]), 1, "the target is not empty");
    assert_refused(&place.run(&["restore", "none.db"]), 1, "there is no backup at none.db");
    let restored = place.run(&["restore", "kept.db", "--replace", "--json"]);
    assert_eq!(restored.code, 0, "{}", restored.stderr);
    assert_ne!(json(&restored)["epoch"], json(&made)["epoch"]);
    assert_eq!(names(&place, "sqlite://data/hubbub.db"), ["ada"], "as it was");
    let again = place.run(&["backup", "kept.db", "--replace", "--json"]);
    assert_eq!(json(&again)["epoch"], json(&restored)["epoch"]);
    stop(serving(&place));
}

/// A room of people who are no users.
async fn strangers(url: String, count: usize) {
    let config = StoreConfig { pool_max: 2, ..StoreConfig::new(url) };
    let store = Store::open(&config, &prometheus::Registry::new(), Arc::new(|_| {})).await.expect("opened");
    let people: Vec<_> =
        (0..count).map(|at| UserRef { id: UserId::new(), name: format!("stranger-{at}").into() }).collect();
    let members = people.iter().map(|user| RoomMember { user: user.clone(), role: RoomRole::Member }).collect();
    let room = NewRoom {
        id: RoomId::new(),
        name: Some("strangers".parse().expect("a name")),
        kind: RoomKind::Public,
        creator: people[0].clone(),
        members,
    };
    store.create_room(room).await.expect("made");
    store.close().await;
}

#[test]
fn defects_are_named_counted_and_exit_1() {
    let place = Place::new();
    add(&place, "ada");
    let sound = place.run(&["check"]);
    assert_eq!((sound.code, sound.stdout.as_str()), (0, ""), "{}", sound.stderr);
    assert!(sound.stderr.starts_with("nothing is wrong: "), "{}", sound.stderr);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(strangers(format!("sqlite://{}", place.path("data/hubbub.db").display()), 5));

    let found = place.run(&["check"]);
    assert_eq!((found.code, found.stderr.trim()), (1, "hubbub: 5 defects found"));
    let lines: Vec<_> = found.stdout.lines().collect();
    assert_eq!(lines.len(), 6, "{}", found.stdout);
    assert!(lines[..5].iter().all(|line| line.starts_with("member_unknown room ")), "{}", found.stdout);
    assert_eq!(lines[5], "5 member_unknown: A member of a room is no user.");
    let few = place.run(&["check", "--limit", "2"]);
    assert_eq!(few.stdout.lines().nth(2), Some("and 3 more"));
    let found = json(&place.run(&["check", "--limit", "2", "--json"]));
    assert_eq!((&found["defects"], &found["counts"]["member_unknown"]), (&5.into(), &5.into()));
    assert_eq!(found["found"].as_array().map(Vec::len), Some(2));
    assert!(found["found"][0]["room"].is_string() && found["found"][0]["user"].is_string(), "{found}");
}

#[test]
fn wrong_usage_and_wrong_places_have_their_codes() {
    let place = Place::new();
    for (args, code) in [
        (&["move"][..], 2),
        (&["move", "--to", "mysql://localhost/x"], 2),
        (&["move", "--from", "data/hubbub.db", "--to", "sqlite://x.db"], 2),
        (&["backup"], 2),
        (&["restore"], 2),
        (&["check", "--limit", "many"], 2),
        (&["move", "--to", "sqlite://x.db"], 78),
        (&["backup", "x.db"], 78),
        (&["check"], 78),
        (&["restore", "x.db"], 1),
    ] {
        let outcome = place.run(args);
        assert_eq!((outcome.code, outcome.stdout.as_str()), (code, ""), "{args:?}: {}", outcome.stderr);
        assert!(!outcome.stderr.is_empty());
    }
    assert!(!place.path("x.db").exists() && !place.path("data/hubbub.db").exists(), "nothing was made");
}

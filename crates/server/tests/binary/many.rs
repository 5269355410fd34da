//! Many users and their tokens with one command each, for load tests.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::support::{Outcome, Place, SECRET, address, http};

/// More than one batch.
const MANY: usize = 1_200;

fn add(place: &Place, count: usize, args: &[&str]) -> Outcome {
    let count = count.to_string();
    let args: Vec<&str> = ["user", "add", "load", "--count", &count].iter().chain(args).copied().collect();
    place.run(&args)
}

fn mint(place: &Place, count: usize, args: &[&str]) -> Outcome {
    let count = count.to_string();
    let args: Vec<&str> = ["token", "mint", "--user", "load", "--count", &count].iter().chain(args).copied().collect();
    place.run_with(&[("HUBBUB_AUTH_TOKEN_SECRET", SECRET)], &args, "")
}

#[test]
fn many_users_are_added_once() {
    let place = Place::new();
    let first = add(&place, 20, &["--role", "admin"]);
    assert_eq!((first.code, first.stdout.as_str()), (0, ""), "{}", first.stderr);
    assert_eq!(first.stderr.trim(), "added 20 (admin), there already: 0");
    let more = add(&place, MANY, &["--json"]);
    assert_eq!(more.code, 0, "{}", more.stderr);
    let counted: Value = serde_json::from_str(&more.stdout).expect("JSON");
    assert_eq!(counted, json!({ "added": MANY - 20, "present": 20 }));
    let again = add(&place, MANY, &[]);
    assert_eq!((again.code, again.stderr.trim()), (0, "added 0 (user), there already: 1200"));

    let listed = place.run(&["user", "list", "--json"]);
    let listed: Value = serde_json::from_str(&listed.stdout).expect("JSON");
    let users = listed.as_array().expect("a list");
    assert_eq!(users.len(), MANY);
    let role = |name: &str| users.iter().find(|user| user["name"] == name).map(|user| user["role"].clone());
    assert_eq!((role("load-20"), role("load-21")), (Some("admin".into()), Some("user".into())));
    assert!(role("load-1").is_some() && role("load-1200").is_some());
}

#[test]
fn a_token_a_line_in_the_order_of_the_numbers() {
    let place = Place::new();
    add(&place, MANY, &[]);
    let minted = mint(&place, MANY, &["--ttl", "24h"]);
    assert_eq!((minted.code, minted.stderr.as_str()), (0, ""));
    let tokens: HashSet<&str> = minted.stdout.lines().collect();
    assert_eq!(tokens.len(), MANY, "each its own");
    assert!(tokens.iter().all(|token| token.matches('.').count() == 2));

    let lines = mint(&place, MANY, &["--json"]).stdout;
    let names: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")["user"]["name"].clone()).collect();
    assert_eq!(names, (1..=MANY).map(|number| Value::from(format!("load-{number}"))).collect::<Vec<_>>());
}

#[test]
fn the_tokens_of_many_are_good() {
    let place = Place::new();
    add(&place, 3, &[]);
    let token = mint(&place, 3, &[]).stdout.lines().nth(1).map(str::to_owned).expect("a token");
    let mut node = place.serve(&[("HUBBUB_AUTH_TOKEN_SECRET", SECRET)]);
    let listen = address(&node.wait_for("serving"), "listen");
    let (status, body) =
        http(listen, &format!("GET /v1/rooms HTTP/1.1\r\nAuthorization: Bearer {token}\r\nX-Rest:"), "");
    assert_eq!(status, 200, "{body}");
}

#[test]
fn one_who_is_missing_or_disabled_is_named_and_nobody_gets_a_token() {
    let place = Place::new();
    add(&place, 12, &[]);
    // In the order of the numbers, not of the texts: `load-13` comes before `load-2` there.
    let missing = mint(&place, 15, &[]);
    assert_eq!((missing.code, missing.stdout.as_str()), (1, ""));
    assert!(missing.stderr.contains("there is no user load-13"), "{}", missing.stderr);
    for name in ["load-10", "load-9"] {
        assert_eq!(place.run(&["user", "disable", name]).code, 0);
    }
    let disabled = mint(&place, 12, &[]);
    assert_eq!((disabled.code, disabled.stdout.as_str()), (1, ""));
    assert!(disabled.stderr.contains("load-9 may not sign on"), "{}", disabled.stderr);
    assert_eq!(mint(&place, 8, &[]).code, 0);
}

#[test]
fn wrong_counts_are_wrong_usage() {
    let place = Place::new();
    let long = "a".repeat(63);
    for args in [
        &["user", "add", "load", "--count", "0"][..],
        &["user", "add", "load", "--count", "1000001"],
        &["user", "add", "load", "--count", "many"],
        &["user", "add", "load", "--count", "5", "--password-stdin"],
        &["user", "add", &long, "--count", "5"],
        &["token", "mint", "--user", "load", "--count", "0"],
        &["token", "mint", "--user", "load", "--count", "1000001"],
        &["token", "mint", "--user", &long, "--count", "5"],
    ] {
        let outcome = place.run(args);
        assert_eq!((outcome.code, outcome.stdout.as_str()), (2, ""), "{args:?}");
        assert!(!outcome.stderr.is_empty());
    }
    assert!(!place.path("data").exists(), "nothing was opened");
}

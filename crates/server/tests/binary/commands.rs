//! Users, tokens, migrations, health and version: before the first start, on a database that is not there yet.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use crate::support::{Outcome, Place, SECRET};

fn add(place: &Place, name: &str, args: &[&str]) -> Outcome {
    let args: Vec<&str> = ["user", "add", name, "--password-stdin"].iter().chain(args).copied().collect();
    place.run_with(&[], &args, "correct horse\nsecond line\n")
}

fn users(place: &Place) -> Value {
    let outcome = place.run(&["user", "list", "--json"]);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    serde_json::from_str(&outcome.stdout).expect("JSON")
}

#[test]
fn users_are_added_listed_and_changed() {
    let place = Place::new();
    assert_eq!(users(&place), serde_json::json!([]));
    let added = add(&place, "ada", &["--role", "admin"]);
    assert_eq!(added.code, 0, "{}", added.stderr);
    let made: Value = serde_json::from_str(&add(&place, "bob", &["--json"]).stdout).expect("JSON");
    assert_eq!(made["role"], "user");
    let listed = users(&place);
    assert_eq!(listed[0]["id"], added.stdout.trim());
    assert_eq!(
        (&listed[0]["name"], &listed[0]["role"], &listed[0]["disabled"]),
        (&"ada".into(), &"admin".into(), &false.into())
    );
    assert_eq!(listed[1]["id"], made["id"]);
    for (args, field, expected) in [
        (&["user", "disable", "bob"][..], "disabled", Value::Bool(true)),
        (&["user", "enable", "bob"], "disabled", Value::Bool(false)),
        (&["user", "role", "bob", "admin"], "role", "admin".into()),
    ] {
        let outcome = place.run(args);
        assert_eq!(outcome.code, 0, "{}", outcome.stderr);
        assert_eq!(users(&place)[1][field], expected, "{args:?}");
    }
    let outcome = place.run_with(&[], &["user", "password", "bob", "--password-stdin"], "another password");
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
}

#[test]
fn refused_users_have_a_reason() {
    let place = Place::new();
    assert_eq!(add(&place, "ada", &[]).code, 0);
    for (args, input, code, reason) in [
        (&["user", "add", "ada", "--password-stdin"][..], "correct horse", 1, "there is a user ada already"),
        (&["user", "add", "bob", "--password-stdin"], "short", 1, "at least 8 characters"),
        (&["user", "add", "bob", "--password-stdin"], "", 1, "at least 8 characters"),
        (&["user", "add", "bob"], "correct horse", 2, "--password-stdin"),
        (&["user", "add", "Bob!", "--password-stdin"], "correct horse", 2, "a user name matches"),
        (&["user", "add", "bob", "--role", "king", "--password-stdin"], "", 2, "expected `user` or `admin`"),
        (&["user", "disable", "nobody"], "", 1, "there is no user nobody"),
        (&["user", "password", "nobody", "--password-stdin"], "correct horse", 1, "there is no user nobody"),
    ] {
        let outcome = place.run_with(&[], args, input);
        assert_eq!(outcome.code, code, "{args:?}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(reason), "{args:?}: {}", outcome.stderr);
        assert_eq!(outcome.stdout, "");
    }
    assert_eq!(users(&place).as_array().map(Vec::len), Some(1));
}

#[test]
fn what_the_node_makes_is_for_its_user_alone() {
    let place = Place::new();
    add(&place, "ada", &[]);
    place.run(&["token", "mint", "--user", "ada"]);
    let mode = |name: &str| fs::metadata(place.path(name)).expect(name).permissions().mode() & 0o777;
    assert_eq!(mode("data"), 0o700);
    assert_eq!(mode("data/token-secret"), 0o600);
    assert!(fs::read_to_string(place.path("data/token-secret")).expect("text").trim_end().len() >= 32);
}

#[test]
fn a_token_and_nothing_else() {
    let place = Place::new();
    add(&place, "ada", &[]);
    let minted = place.run(&["token", "mint", "--user", "ada", "--ttl", "24h"]);
    assert_eq!((minted.code, minted.stderr.as_str()), (0, ""));
    assert_eq!(minted.stdout.matches('.').count(), 2);
    assert_eq!(minted.stdout.lines().count(), 1);
    let json = place.run(&["token", "mint", "--user", "ada", "--json"]);
    let json: Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!(json["user"]["name"], "ada");
    assert!(json["token"].is_string() && json["expires_at"].is_string());
    place.run(&["user", "disable", "ada"]);
    for (args, code) in [
        (&["token", "mint", "--user", "ada"][..], 1),
        (&["token", "mint", "--user", "nobody"], 1),
        (&["token", "mint", "--user", "ada", "--ttl", "soon"], 2),
        (&["token", "mint", "--user", "ada", "--ttl", "0"], 2),
        (&["token", "mint"], 2),
    ] {
        let outcome = place.run(args);
        assert_eq!((outcome.code, outcome.stdout.as_str()), (code, ""), "{args:?}");
    }
}

#[test]
fn a_cluster_mints_with_its_own_secret_and_makes_none() {
    let place = Place::new();
    add(&place, "ada", &[]);
    let outcome = place.run_with(&[("HUBBUB_AUTH_TOKEN_SECRET", SECRET)], &["token", "mint", "--user", "ada"], "");
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    assert!(!place.path("data/token-secret").exists());
}

#[test]
fn migrations_are_checked_and_applied_once() {
    let place = Place::new();
    let check = place.run(&["migrate", "--check"]);
    assert_eq!(check.code, 1, "{}", check.stderr);
    assert!(!check.stdout.is_empty());
    let pending = place.run(&["migrate", "--check", "--json"]);
    let pending: Value = serde_json::from_str(&pending.stdout).expect("JSON");
    let count = pending["pending"].as_array().map(Vec::len);
    assert_eq!(count, Some(check.stdout.lines().count()));
    let applied = place.run(&["migrate", "--json"]);
    assert_eq!(applied.code, 0, "{}", applied.stderr);
    assert_eq!(
        serde_json::from_str::<Value>(&applied.stdout).expect("JSON")["applied"].as_u64(),
        count.map(|n| n as u64)
    );
    let again = place.run(&["migrate"]);
    assert_eq!((again.code, again.stderr.trim()), (0, "the database is up to date"));
    assert_eq!(place.run(&["migrate", "--check"]).code, 0);
}

#[test]
fn a_database_that_lacks_migrations_and_may_not_be_migrated() {
    let place = Place::new();
    let variables = [("HUBBUB_DATABASE_MIGRATE", "false")];
    let outcome = place.run_with(&variables, &["user", "list"], "");
    assert_eq!(outcome.code, 78, "{}", outcome.stderr);
    assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
}

#[test]
fn health_of_nothing() {
    let place = Place::new();
    // Bound and closed again: nobody listens there now.
    let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("bound").port();
    let url = format!("http://127.0.0.1:{port}");
    let outcome = place.run(&["health", &url]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (1, ""));
    assert!(outcome.stderr.contains("refused"), "{}", outcome.stderr);
    let own = place.run_with(&[("HUBBUB_OPS_LISTEN", &format!("0.0.0.0:{port}"))], &["health"], "");
    assert_eq!(own.code, 1);
    assert!(own.stderr.contains(&format!("127.0.0.1:{port}")), "{}", own.stderr);
    assert_eq!(place.run(&["health", "https://127.0.0.1:1"]).code, 2);
}

#[test]
fn wrong_usage_and_version() {
    let place = Place::new();
    for args in [&[][..], &["sing"], &["serve", "--loud"], &["config"], &["token", "mint", "--user"]] {
        assert_eq!(place.run(args).code, 2, "{args:?}");
    }
    let version = place.run(&["version"]);
    assert_eq!((version.code, version.stdout.trim()), (0, concat!("hubbub ", env!("CARGO_PKG_VERSION"))));
    let help = place.run(&["serve", "--help"]);
    assert_eq!(help.code, 0);
    for flag in ["--config", "--listen", "--database-url", "--redis-url", "--log-level"] {
        assert!(help.stdout.contains(flag), "{flag}");
    }
}

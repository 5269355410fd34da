//! `auth.jwks_url`: tokens of an issuer who publishes keys, changes them, and is not always there.

use std::time::Instant;

use rustix::process::Signal;
use serde_json::Value;

use crate::issuer::{Issuer, Key, set};
use crate::support::{Place, QUICK, Running, address, http, metric};

const WAITS: &str = "waiting for the key set at `auth.jwks_url`; not ready until it is there";

const UNCHANGED: &str = "the configuration was read again: nothing has changed";

const KEYS_CHANGED: &str = "the keys of `auth.jwks_url` have changed";

/// Between two fetches for tokens with unknown keys, in seconds.
const ASKED_EVERY_SECS: u64 = 5;

/// A node that trusts this issuer, with a user; the id of that one.
fn place(issuer: &Issuer) -> (Place, String) {
    let place = Place::new();
    place.write("hubbub.toml", &format!("auth.jwks_url = \"{}\"\n", issuer.url()));
    let added = place.run_with(&[], &["user", "add", "ada", "--password-stdin", "--json"], "correct horse");
    assert_eq!(added.code, 0, "{}", added.stderr);
    let user: Value = serde_json::from_str(&added.stdout).expect("JSON");
    (place, user["id"].as_str().expect("an id").to_owned())
}

/// The status that this token gets.
fn ask(line: &Value, token: &str) -> u16 {
    let request = format!("GET /v1/rooms HTTP/1.1\r\nAuthorization: Bearer {token}\r\nX-Rest:");
    http(address(line, "listen"), &request, "").0
}

fn fetches(line: &Value, outcome: &str) -> f64 {
    metric(address(line, "ops"), &format!("hubbub_jwks_refreshes_total{{outcome=\"{outcome}\"}}"))
}

fn serving(place: &Place) -> (Running, Value) {
    let mut node = place.serve(&QUICK);
    let line = node.wait_for("serving");
    (node, line)
}

#[test]
fn a_node_is_not_ready_before_it_has_the_keys() {
    let (issuer, key) = (Issuer::new(), Key::new("one"));
    let (place, ada) = place(&issuer);
    let mut node = place.serve(&QUICK);
    let ops = address(&node.wait_for("starting"), "ops");
    node.wait_for(WAITS);
    let (status, body) = http(ops, "GET /readyz", "");
    assert_eq!(status, 503);
    assert!(body.contains("starting"), "{body}");
    issuer.publish(200, &set(&[&key]));
    let line = node.wait_for("serving");
    assert_eq!(http(ops, "GET /readyz", "").0, 200);
    assert_eq!(metric(ops, "hubbub_jwks_keys"), 1.0);
    assert_eq!((ask(&line, &key.token(&ada)), ask(&line, &Key::new("one").token(&ada))), (200, 401));
    let body = "{\"name\":\"ada\",\"password\":\"correct horse\"}";
    assert_eq!(http(address(&line, "listen"), "POST /v1/auth/login", body).0, 403, "tokens are issued elsewhere");
    assert_ne!(place.run(&["token", "mint", "--user", "ada"]).code, 0);
    assert!(!place.path("data/token-secret").exists());
    node.signal(Signal::TERM);
    let (code, log) = node.end();
    assert_eq!((code, log.matches(WAITS).count()), (Some(0), 1), "{log}");
}

#[test]
fn a_new_key_is_fetched_for_the_first_token_that_names_it_and_not_for_each() {
    let (issuer, old, new) = (Issuer::new(), Key::new("old"), Key::new("new"));
    issuer.publish(200, &set(&[&old]));
    let (place, ada) = place(&issuer);
    let (_node, line) = serving(&place);
    assert_eq!(ask(&line, &old.token(&ada)), 200);
    issuer.publish(200, &set(&[&new]));
    assert_eq!(issuer.asked(), 1, "a known key is no reason to fetch");
    let began = Instant::now();
    assert_eq!(ask(&line, &new.token(&ada)), 200);
    assert_eq!(ask(&line, &old.token(&ada)), 401, "it was withdrawn");
    for _ in 0..20 {
        assert_eq!(ask(&line, &Key::new("unknown").token(&ada)), 401);
    }
    let most = 2 + began.elapsed().as_secs() / ASKED_EVERY_SECS;
    assert!(issuer.asked() <= most, "{} fetches, at most {most}", issuer.asked());
}

#[test]
fn old_keys_stay_while_there_are_no_good_new_ones() {
    let (issuer, old, new) = (Issuer::new(), Key::new("old"), Key::new("new"));
    issuer.publish(200, &set(&[&old]));
    let (place, ada) = place(&issuer);
    let (mut node, line) = serving(&place);
    let huge = set(&[&new]) + &" ".repeat(300 << 10);
    let bad = [
        None,
        Some((503, set(&[&new]))),
        Some((302, set(&[&new]))),
        Some((200, "garbage".to_owned())),
        Some((200, set(&[]))),
        Some((200, huge)),
    ];
    let mut failed = 0.0;
    for answer in bad {
        match &answer {
            None => issuer.go(),
            Some((status, body)) => issuer.publish(*status, body),
        }
        node.signal(Signal::HUP);
        node.wait_for(UNCHANGED);
        failed += 1.0;
        assert_eq!(fetches(&line, "failed"), failed, "{answer:.80?}");
        assert_eq!(ask(&line, &old.token(&ada)), 200, "{answer:.80?}");
    }
    issuer.publish(200, &set(&[&old, &new]));
    node.signal(Signal::HUP);
    node.wait_for(KEYS_CHANGED);
    // The answer to the signal comes when the new keys are in use.
    node.wait_for("tokens are made and checked with other keys or claims from now on");
    assert_eq!((ask(&line, &old.token(&ada)), ask(&line, &new.token(&ada))), (200, 200));
    assert_eq!((fetches(&line, "changed"), metric(address(&line, "ops"), "hubbub_jwks_keys")), (2.0, 2.0));
    node.signal(Signal::TERM);
    let (_, log) = node.end();
    assert_eq!(log.matches("cannot be had: the old ones stay in use").count(), 1, "said once: {log}");
}

#[test]
fn another_address_is_taken_over_when_it_has_keys() {
    let (one, other, old, new) = (Issuer::new(), Issuer::new(), Key::new("old"), Key::new("new"));
    one.publish(200, &set(&[&old]));
    let (place, ada) = place(&one);
    let (mut node, line) = serving(&place);
    place.write("hubbub.toml", &format!("auth.jwks_url = \"{}\"\n", other.url()));
    node.wait_for("the new configuration cannot be used");
    assert_eq!(ask(&line, &old.token(&ada)), 200);
    other.publish(200, &set(&[&new]));
    node.signal(Signal::HUP);
    node.wait_for("tokens are made and checked with other keys or claims from now on");
    assert_eq!((ask(&line, &old.token(&ada)), ask(&line, &new.token(&ada))), (401, 200));
}

#[test]
fn over_tls_only_a_trusted_issuer_is_believed() {
    let ((issuer, certificate), key) = (Issuer::with_tls(), Key::new("one"));
    issuer.publish(200, &set(&[&key]));
    let (place, ada) = place(&issuer);
    place.write("ca.pem", &certificate);
    let mut stranger = place.serve(&QUICK);
    let waiting = stranger.wait_for(WAITS);
    assert!(waiting["reason"].as_str().is_some_and(|reason| reason.contains("certificate")), "{waiting}");
    drop(stranger);
    let mut variables = QUICK.to_vec();
    variables.push(("SSL_CERT_FILE", "ca.pem"));
    let mut node = place.serve(&variables);
    let line = node.wait_for("serving");
    assert_eq!(ask(&line, &key.token(&ada)), 200);
}

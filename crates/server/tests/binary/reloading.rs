//! A configuration that changes under a running node: what follows at once, what waits, and what is refused.

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Place, QUICK, Running, SECRET, address, http, metric};

const CHANGED: &str = "a setting has changed";

const REFUSED: &str = "the new configuration is not possible: nothing has changed";

const WAITS: &str = "this setting changes at the next restart only: the node goes on with the old value";

/// A node with this file, where it listens and where its ops port is.
fn serving(place: &Place, file: &str, more: &[(&str, &str)]) -> (Running, Value) {
    place.write("hubbub.toml", file);
    let mut variables = QUICK.to_vec();
    variables.extend(more);
    let mut node = place.serve(&variables);
    let line = node.wait_for("serving");
    (node, line)
}

/// A token of ada, who is there from then on.
fn ada(place: &Place) -> String {
    assert_eq!(place.run_with(&[], &["user", "add", "ada", "--password-stdin"], "correct horse").code, 0);
    mint(place)
}

fn mint(place: &Place) -> String {
    let minted = place.run(&["token", "mint", "--user", "ada"]);
    assert_eq!(minted.code, 0, "{}", minted.stderr);
    minted.stdout.trim().to_owned()
}

/// The status of a request of the owner of this token.
fn ask(line: &Value, token: &str, request: &str, body: &str) -> u16 {
    let request = format!("{request} HTTP/1.1\r\nAuthorization: Bearer {token}\r\nX-Rest:");
    http(address(line, "listen"), &request, body).0
}

fn setting(line: &Value, key: &str) -> Value {
    let (_, shown) = http(address(line, "ops"), "GET /debug/config", "");
    serde_json::from_str::<Value>(&shown).expect("JSON")["settings"][key]["value"].take()
}

#[test]
fn a_limit_changes_with_the_file_alone() {
    let place = Place::new();
    let (mut node, line) = serving(&place, "limits.body_chars_max = 5\n", &[]);
    let ops = address(&line, "ops");
    let token = ada(&place);
    assert_eq!(ask(&line, &token, "POST /v1/rooms", "{\"name\":\"hall\",\"kind\":\"public\"}"), 201);
    let send = |id: u64| {
        let body = format!("{{\"client_msg_id\":\"{id}\",\"body\":\"hello!\"}}");
        ask(&line, &token, "POST /v1/rooms/hall/messages", &body)
    };
    assert_eq!(send(1), 400, "six signs are one too many");
    place.write("hubbub.toml", "limits.body_chars_max = 6\n");
    let said = node.wait_for(CHANGED);
    assert_eq!((&said["key"], &said["from"], &said["to"]), (&"limits.body_chars_max".into(), &"5".into(), &"6".into()));
    assert_ne!(said["cause"], "SIGHUP");
    assert_eq!(send(2), 201);
    assert_eq!(setting(&line, "limits.body_chars_max"), 6);
    assert_eq!(metric(ops, "hubbub_config_reloads_total{outcome=\"applied\"}"), 1.0);
    assert_eq!(metric(ops, "hubbub_config_reload_success"), 1.0);
}

#[test]
fn sighup_reads_the_configuration_again() {
    let place = Place::new();
    let (mut node, line) = serving(&place, "", &[]);
    node.signal(Signal::HUP);
    let said = node.wait_for("the configuration was read again: nothing has changed");
    assert_eq!(said["cause"], "SIGHUP");
    assert_eq!(metric(address(&line, "ops"), "hubbub_config_reloads_total{outcome=\"unchanged\"}"), 1.0);
    place.write("hubbub.toml", "auth.allowed_origins = [\"https://elsewhere.example\"]\n");
    let asks = || {
        let request = "GET /v1/openapi.json HTTP/1.1\r\nOrigin: https://elsewhere.example\r\nX-Rest:";
        http(address(&line, "listen"), request, "").0
    };
    assert_eq!(asks(), 403);
    node.signal(Signal::HUP);
    node.wait_for(CHANGED);
    assert_eq!(asks(), 200);
    node.signal(Signal::TERM);
    assert_eq!(node.end().0, Some(0));
}

#[test]
fn a_configuration_with_mistakes_changes_nothing_and_lists_them_all() {
    let place = Place::new();
    let (mut node, line) = serving(&place, "limits.page_max = 7\n", &[]);
    let ops = address(&line, "ops");
    place.write("hubbub.toml", "lisen = 1\nlimits.page_max = -1\n[limits]\nbody_chars_max = 9\n");
    node.signal(Signal::HUP);
    // The table was opened by its dotted key already: no TOML at all.
    assert_eq!(node.wait_for(REFUSED)["problems"], 1);
    place.write("hubbub.toml", "lisen = 1\n[limits]\npage_max = -1\nbody_chars_max = 9\n");
    node.signal(Signal::HUP);
    let unknown = node.wait_for("hubbub.toml:1:1: unknown key `lisen`; did you mean `listen`?");
    assert_eq!(unknown["level"], "ERROR");
    let wrong = "hubbub.toml:3:1: `limits.page_max`: expected a whole number from 0 to 1000000000; not -1";
    assert_eq!(node.wait_for(wrong)["place"], "hubbub.toml:3:1");
    assert_eq!(node.wait_for(REFUSED)["problems"], 2);
    assert_eq!(metric(ops, "hubbub_config_reload_success"), 0.0);
    assert_eq!(setting(&line, "limits.page_max"), 7);
    assert_eq!(setting(&line, "limits.body_chars_max"), 2_000, "not even what is right by itself");
    std::fs::remove_file(place.path("hubbub.toml")).expect("removed");
    node.signal(Signal::HUP);
    let gone = node.wait_for("the new configuration cannot be used");
    assert_eq!(gone["reason"], "hubbub.toml is not there any more");
    place.write("hubbub.toml", "limits.page_max = 8\n");
    assert_eq!(node.wait_for(CHANGED)["key"], "limits.page_max");
    assert_eq!(metric(ops, "hubbub_config_reload_success"), 1.0);
    node.signal(Signal::TERM);
    assert_eq!(node.end().0, Some(0));
}

#[test]
fn what_was_lost_is_not_made_anew_under_a_running_node() {
    let place = Place::new();
    let (mut node, line) = serving(&place, "limits.page_max = 7\n", &[]);
    let token = ada(&place);
    let secret = place.path("data").join("token-secret");
    let kept = std::fs::read(&secret).expect("the secret that the node made");
    std::fs::remove_file(&secret).expect("removed");
    node.signal(Signal::HUP);
    let said = node.wait_for("the new configuration cannot be used");
    assert!(said["reason"].as_str().is_some_and(|reason| reason.contains("token-secret")), "{said}");
    assert!(!secret.exists());
    assert_eq!(ask(&line, &token, "GET /v1/rooms", ""), 200, "the key stays");
    std::fs::write(&secret, kept).expect("restored");
    place.write("hubbub.toml", "");
    node.signal(Signal::HUP);
    let said = node.wait_for("the new configuration cannot be used");
    assert!(said["reason"].as_str().is_some_and(|reason| reason.contains("empty")), "{said}");
    assert_eq!(setting(&line, "limits.page_max"), 7);
    node.signal(Signal::TERM);
    assert_eq!(node.end().0, Some(0));
}

#[test]
fn a_file_without_an_end_is_refused_at_once_and_under_a_running_node() {
    let place = Place::new();
    place.write("secret", SECRET);
    let file = format!("auth.token_secret_file = \"{}\"\n", place.path("secret").display());
    let (mut node, line) = serving(&place, &file, &[]);
    let ops = address(&line, "ops");
    std::fs::remove_file(place.path("secret")).expect("removed");
    std::os::unix::fs::symlink("/dev/zero", place.path("secret")).expect("linked");
    node.signal(Signal::HUP);
    assert_eq!(node.wait_for(REFUSED)["problems"], 1);
    assert_eq!(metric(ops, "hubbub_config_reload_success"), 0.0);
    let checked = place.run(&["config", "check"]);
    assert_eq!(checked.code, 78);
    assert!(checked.stderr.contains("no regular file"), "{}", checked.stderr);
    node.signal(Signal::TERM);
    assert_eq!(node.end().0, Some(0));
}

#[test]
fn what_cannot_change_is_said_and_keeps_its_value() {
    let place = Place::new();
    let (mut node, line) = serving(&place, "node.name = \"one\"\n", &[]);
    let ops = address(&line, "ops");
    place.write("hubbub.toml", "node.name = \"two\"\nlimits.page_max = 9\n");
    assert_eq!(node.wait_for(CHANGED)["key"], "limits.page_max");
    let said = node.wait_for(WAITS);
    assert_eq!((&said["key"], &said["kept"]), (&"node.name".into(), &"\"one\"".into()));
    assert_eq!(setting(&line, "node.name"), "one");
    assert_eq!(metric(ops, "hubbub_config_needs_restart"), 1.0);
    let (_, shown) = http(ops, "GET /debug/config", "");
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(shown["needs_restart"], serde_json::json!(["node.name"]));
    place.write("hubbub.toml", "node.name = \"one\"\nlimits.page_max = 10\n");
    node.wait_for(CHANGED);
    assert_eq!(metric(ops, "hubbub_config_needs_restart"), 0.0);
}

#[test]
fn levels_of_the_log_change_by_module() {
    let place = Place::new();
    let (mut node, line) = serving(&place, "", &[]);
    let asks = || http(address(&line, "listen"), "GET /v1/nothing", "");
    asks();
    place.write("hubbub.toml", "log.level = \"info,hubbub_gateway::http=debug\"\n");
    node.wait_for(CHANGED);
    asks();
    assert_eq!(node.wait_for("refused over HTTP")["level"], "DEBUG");
    node.signal(Signal::TERM);
    let (_, log) = node.end();
    assert_eq!(log.matches("refused over HTTP").count(), 1, "the one before was not to be logged: {log}");
}

#[test]
fn a_secret_in_a_file_is_changed_at_once_or_without_anybody_noticing() {
    const NEW: &str = "fedcba9876543210fedcba9876543210";
    let place = Place::new();
    place.write("secret", SECRET);
    let file = "auth.token_secret_file = \"secret\"\n";
    let (mut node, line) = serving(&place, file, &[]);
    let told = "tokens are made and checked with other keys or claims from now on";
    let old = ada(&place);
    let get = |token: &str| ask(&line, token, "GET /v1/rooms", "");
    assert_eq!(get(&old), 200);
    // Only the file that holds the secret has changed.
    place.write("secret", NEW);
    node.wait_for(told);
    let new = mint(&place);
    assert_eq!((get(&old), get(&new)), (401, 200));
    place.write("old", SECRET);
    place.write("hubbub.toml", &format!("{file}auth.token_secret_other_file = \"old\"\n"));
    node.wait_for(told);
    assert_eq!((get(&old), get(&new)), (200, 200));
    let signed = {
        let body = "{\"name\":\"ada\",\"password\":\"correct horse\"}";
        let (status, answer) = http(address(&line, "listen"), "POST /v1/auth/login", body);
        assert_eq!(status, 200, "{answer}");
        serde_json::from_str::<Value>(&answer).expect("JSON")["access_token"].as_str().expect("a token").to_owned()
    };
    place.write("hubbub.toml", file);
    node.wait_for(told);
    assert_eq!((get(&old), get(&new), get(&signed)), (401, 200, 200), "the new secret signed");
    node.signal(Signal::TERM);
    let (_, log) = node.end();
    assert!(!log.contains(NEW) && !log.contains(SECRET), "{log}");
}

//! The screens as they are drawn, in 80 by 24 and in less.
//!
//! A snapshot that changes is looked at by a person before it is accepted.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use serde_json::json;

use super::super::answer::{ConnectionsPage, ErrorsPage, RoomsPage};
use super::super::draw;
use super::super::state::State;
use super::super::view::{Page, Panel, Then, View};
use super::{at, leases, look, page, silence};

/// Four nodes: one that is well, one that is slow and has lost Redis, one that is gone, one that nobody has asked.
pub(super) fn cluster() -> State {
    let connections: ConnectionsPage = serde_json::from_value(json!({ "matching": 1_203, "connections": [
        { "id": 1_207, "user": { "id": "u", "name": "grace" }, "address": "2001:db8:85a3::8a2e:370:7334",
          "codec": "hubbub.v1.json", "tls": true, "age_ms": 7_400_000, "subscriptions": 3, "outbox_bytes": 201_300,
          "last_command": { "name": "message.send", "ago_ms": 12_000 }, "bytes_in": 4_100, "bytes_out": 1_900_000 },
        { "id": 88, "user": null, "address": "10.1.2.3", "codec": "hubbub.v1.msgpack", "tls": false, "age_ms": 900,
          "subscriptions": 0, "outbox_bytes": 0, "closing": true, "last_command": null, "bytes_in": 6, "bytes_out": 2 },
    ]}))
    .expect("connections");
    let rooms: RoomsPage = serde_json::from_value(json!({ "rooms": [
        { "room": "01890a5d-ac96-774b-bcce-b302099a8057", "name": "lobby", "head": 120_331, "subscribers": 1_100,
          "replaying": 2, "waiting_behind_hole": 0 },
        { "room": "01890a5d-ac96-774b-bcce-b302099a8058", "name": null, "head": 7, "subscribers": 2,
          "waiting_behind_hole": 14 },
    ]}))
    .expect("rooms");
    let errors: ErrorsPage = serde_json::from_value(json!({ "errors": [
        { "at": "2026-11-21T23:59:01.250Z", "level": "WARN", "module": "hubbub_bus::link::shard", "times": 3,
          "message": "Redis is gone: chat goes on from the store, degraded", "fields": "redis=10.0.0.9:6379" },
    ]}))
    .expect("errors");
    let mut state = State::default();
    for (seconds, deliveries) in [(10, 100_000), (12, 131_000)] {
        state.take(look("10.0.0.1:9443", seconds, page("hubbub-7c9d8b7f6d-aaaaa", deliveries), |last| {
            last.leases = leases(&["hubbub-7c9d8b7f6d-aaaaa", "hubbub-7c9d8b7f6d-ddddd"]);
        }));
        let mut slow = page("hubbub-7c9d8b7f6d-bbbbb", deliveries / 2);
        (slow["degraded"], slow["bus"]["up"], slow["outbox_bytes"]) = (json!(["redis"]), json!(false), json!(201_300));
        slow["delivery"]["buckets"] = json!([[0.01, 0], [1.0, deliveries / 2]]);
        state.take(look("10.0.0.2:9443", seconds, slow, |last| {
            last.connections = connections.clone();
            last.rooms = rooms.rooms.clone();
            last.errors = Some(errors.errors.clone());
        }));
    }
    state.take(look("10.0.0.3:9443", 1, page("hubbub-7c9d8b7f6d-ccccc", 1), |_| {}));
    state.take(silence("10.0.0.3:9443", 3));
    state
}

fn drawn(state: &State, view: &View, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("terminal");
    terminal.draw(|frame| draw::draw(frame, state, view, at(14))).expect("drawn");
    let buffer = terminal.backend().buffer();
    let row = |y| (0..width).map(|x| buffer[(x, y)].symbol().to_owned()).collect::<String>().trim_end().to_owned();
    (0..height).map(row).collect::<Vec<_>>().join("\n")
}

fn press(view: &mut View, state: &State, keys: &[KeyCode]) -> Then {
    let take = |_, key: &KeyCode| view.take(KeyEvent::new(*key, KeyModifiers::NONE), state, at(14));
    keys.iter().fold(Then::Go, take)
}

#[test]
fn all_nodes() {
    let state = cluster();
    insta::assert_snapshot!(drawn(&state, &View::default(), 80, 24));
}

#[test]
fn a_node_in_detail_and_each_of_its_lists() {
    let state = cluster();
    let mut view = View::default();
    press(&mut view, &state, &[KeyCode::Down, KeyCode::Enter]);
    assert_eq!(view.page, Page::Node("10.0.0.2:9443".into()));
    insta::assert_snapshot!("detail_connections", drawn(&state, &view, 80, 24));
    let mut lists = String::new();
    for _ in 1..Panel::ALL.len() {
        press(&mut view, &state, &[KeyCode::Tab]);
        let screen = drawn(&state, &view, 80, 24);
        let lines: Vec<&str> = screen.lines().skip(6).take_while(|line| !line.is_empty()).collect();
        lists.push_str(&lines.join("\n"));
        lists.push_str("\n\n");
    }
    insta::assert_snapshot!("detail_lists", lists);
}

#[test]
fn a_node_that_is_gone_shows_what_was_known_last() {
    let state = cluster();
    let mut view = View::default();
    press(&mut view, &state, &[KeyCode::Down, KeyCode::Down, KeyCode::Enter]);
    let screen = drawn(&state, &view, 80, 24);
    assert!(
        screen.contains("gone for 11s: no answer: connection refused") && screen.contains("1,203 connections"),
        "{screen}"
    );
}

#[test]
fn little_room_cuts_and_never_breaks() {
    let state = cluster();
    for (width, height) in [(80, 24), (60, 15), (60, 14), (40, 10), (20, 5), (10, 2), (1, 1), (200, 60)] {
        let mut view = View::default();
        drawn(&state, &view, width, height);
        press(&mut view, &state, &[KeyCode::Enter, KeyCode::PageDown, KeyCode::Char('?')]);
        drawn(&state, &view, width, height);
    }
    drawn(&State::default(), &View::default(), 80, 24);
    let narrow = drawn(&state, &View::default(), 80, 12);
    assert!(narrow.contains("Slow connections") && narrow.contains("Large rooms"), "{narrow}");
}

#[test]
fn the_bar_stays_on_its_node_and_in_sight() {
    let mut state = State::default();
    for node in 0..40 {
        state.take(look(&format!("10.0.0.{node}:1"), 1, page(&format!("node-{node:02}"), 1), |_| {}));
    }
    let mut view = View::default();
    press(&mut view, &state, &[KeyCode::Down; 29]);
    assert!(drawn(&state, &view, 80, 24).contains("▸node-29"));
    state.take(look("10.0.1.1:1", 1, page("a-new-one", 1), |_| {}));
    assert!(drawn(&state, &view, 80, 24).contains("▸node-29"), "others come and go");
    press(&mut view, &state, &[KeyCode::Home]);
    assert!(drawn(&state, &view, 80, 24).contains("▸a-new-one"));
    // A node that came back elsewhere has the name of the one that is gone.
    state.take(look("10.0.1.2:1", 1, page("a-new-one", 1), |last| last.node.instance = "another".into()));
    press(&mut view, &state, &[KeyCode::Down, KeyCode::Down]);
    assert!(drawn(&state, &view, 80, 24).contains("▸node-00"), "names are not unique");
}

#[test]
fn keys_sort_filter_and_end() {
    let state = cluster();
    let mut view = View::default();
    let first = |view: &View| view.nodes(state.rows(at(14)))[0].name.clone();
    assert!(first(&view).ends_with("aaaaa"));
    // name, conns, dlv/s, p99, outbox
    press(&mut view, &state, &[KeyCode::Char('s'); 4]);
    assert!(first(&view).ends_with("bbbbb"), "the largest outbox first");
    let type_text = |view: &mut View, text: &str| {
        press(view, &state, &[KeyCode::Char('/')]);
        let keys: Vec<KeyCode> = text.chars().map(KeyCode::Char).collect();
        press(view, &state, &keys);
        press(view, &state, &[KeyCode::Enter]);
    };
    type_text(&mut view, "GONE");
    let gone = view.nodes(state.rows(at(14)));
    assert_eq!((gone.len(), gone[0].name.as_str()), (1, "hubbub-7c9d8b7f6d-ccccc"));
    press(&mut view, &state, &[KeyCode::Esc]);
    assert_eq!(view.nodes(state.rows(at(14))).len(), 4);
    // The filter of a detail is asked of its node, but not while it is typed.
    press(&mut view, &state, &[KeyCode::Enter]);
    press(&mut view, &state, &[KeyCode::Char('/'), KeyCode::Char('u')]);
    assert_eq!(view.question().filter, None);
    press(&mut view, &state, &[KeyCode::Esc]);
    type_text(&mut view, "user=grace q");
    let question = view.question();
    assert_eq!((question.filter, question.connection_sort), (Some(("user", "grace q".to_owned())), "outbox"));
    assert!(question.detail.is_some());
    assert_eq!(press(&mut view, &state, &[KeyCode::Char('s')]), Then::Go);
    assert_eq!(view.question().connection_sort, "age");
    assert_eq!(
        press(&mut view, &state, &[KeyCode::Esc, KeyCode::Char('?'), KeyCode::Char('q')]),
        Then::Go,
        "help is left by any key"
    );
    assert_eq!(press(&mut view, &state, &[KeyCode::Char('q')]), Then::Quit);
    let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(view.take(interrupt, &state, at(14)), Then::Quit);
}

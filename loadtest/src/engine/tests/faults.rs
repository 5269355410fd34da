//! What a server does wrong is found, with room, sender and number.

use super::*;
use crate::proof::{Example, Fault};

fn only(ran: &Ran, fault: Fault) -> Example {
    let examples = &ran.outcome.verdict.examples;
    assert_eq!(examples.iter().map(|example| example.fault).collect::<Vec<_>>(), [fault], "{examples:?}");
    examples[0].clone()
}

#[test]
fn one_lost_delivery_is_found() {
    // The first send goes to the five of a room: 7 is a delivery of the second one.
    let (ran, server) = run(Plan { drops: Some(7), ..Plan::default() });
    let verdict = &ran.outcome.verdict;
    assert_eq!((verdict.total.lost, verdict.total.expected), (1, server.hub().deliveries));
    let lost = only(&ran, Fault::Lost);
    assert_eq!(lost.number, 1);
    assert!(lost.sender < 2 && lost.room == format!("room-{}", lost.sender), "{lost:?}");
    assert_eq!(lost.connection % 2, lost.sender, "it follows the room");
    assert_eq!(verdict.rooms[&lost.room].lost, 1);
}

#[test]
fn a_doubled_one_and_a_swapped_one_are_found() {
    let (ran, _server) = run(Plan { doubles: Some(12), ..Plan::default() });
    assert_eq!(ran.outcome.verdict.total.lost, 0);
    assert_eq!(only(&ran, Fault::Doubled).number, 2);
    let (ran, _server) = run(Plan { swaps: Some(12), ..Plan::default() });
    assert_eq!(ran.outcome.verdict.total.lost, 0);
    assert_eq!(only(&ran, Fault::Reordered).number, 2);
}

#[test]
fn what_was_refused_must_not_be_heard() {
    let (ran, _server) = run(Plan { refuses: Some(3), ..Plan::default() });
    assert_eq!(ran.outcome.verdict.total.contradicted, 5, "{:?}", ran.outcome.verdict);
    assert_eq!(ran.counts.errors["wrong"], 1);
    assert!(!ran.outcome.verdict.is_clean());
}

#[test]
fn after_a_restart_everything_comes_back_by_resume_and_retry() {
    let plan = Plan { closes: Some((20, 1012)), has_history: true, ..Plan::default() };
    let server = Server::start(plan);
    let ran = Run { has_history: true, is_idempotent: true, ..Run::new(&server) }.go().expect("no worker failed");
    let verdict = &ran.outcome.verdict;
    assert!(verdict.is_clean(), "{verdict:?}");
    assert_eq!(verdict.total.away, 0);
    assert_eq!(ran.counts.dropped, 10);
    assert_eq!(ran.counts.errors["close 1012"], 10);
    assert_eq!(ran.timings.recover.count(), 10);
    assert_eq!(ran.counts.sent, ran.counts.acked, "the unanswered one was asked again");
    assert_eq!(server.hub().sends, ran.counts.sent, "and stored once");
    assert_eq!(server.hub().resumed, 10);
    assert_eq!(verdict.total.expected, ran.counts.sent * 5);
}

#[test]
fn without_history_the_time_away_is_not_judged() {
    let (ran, _server) = run(Plan { closes: Some((20, 1012)), ..Plan::default() });
    let verdict = &ran.outcome.verdict;
    assert!(verdict.is_clean(), "{verdict:?}");
    assert_eq!(ran.timings.recover.count(), 10);
    assert_eq!(ran.counts.acked + 1, ran.counts.sent, "nobody knows about one of them");
}

#[test]
fn who_is_closed_for_good_does_not_come_back() {
    let (ran, server) = run(Plan { closes: Some((20, 4_501)), ..Plan::default() });
    assert_eq!(server.hub().connections, 10 + 2, "the makers of rooms, and each once");
    assert_eq!(ran.counts.errors["close 4501"], 10);
    assert!(ran.outcome.verdict.is_clean());
}

#[test]
fn servers_that_do_not_do_are_told_in_a_line() {
    let failure = |plan: Plan| {
        let server = Server::start(plan);
        let run = Run::new(&server);
        (run.go().err().expect("it fails"), server)
    };
    let (reason, server) = failure(Plan { status: Some("503 Not now"), ..Plan::default() });
    assert_eq!(reason, format!("nobody can connect: ws://{}/ws: http 503", server.address));
    let (reason, _server) = failure(Plan { status: Some("401 Who"), ..Plan::default() });
    assert!(reason.ends_with("http 401"), "{reason}");
    let (reason, _server) = failure(Plan { garbage: Some(b"\xff\xff\xff\xff"), ..Plan::default() });
    assert!(reason.contains("protocol: "), "{reason}");
    let (reason, _server) = failure(Plan { bars_rooms: true, ..Plan::default() });
    assert!(reason.contains("nobody can follow a room: room room-") && reason.ends_with("forbidden"), "{reason}");
    let server = Server::start(Plan::default());
    let run = Run::new(&server);
    drop(server);
    let reason = run.go().err().expect("nobody is there");
    assert!(reason.ends_with(": refused"), "{reason}");
}

//! Runs against a server that is right.

use super::*;
use crate::scenario::{Stage, Storm};

fn is_clean(ran: &Ran) {
    assert!(ran.outcome.verdict.is_clean(), "{:?}", ran.outcome.verdict);
    assert!(ran.counts.errors.is_empty(), "{:?}", ran.counts.errors);
    assert_eq!(ran.counts.sent, ran.counts.acked);
}

#[test]
fn everything_that_is_sent_is_heard() {
    let server = Server::start(Plan::default());
    let mut run = Run { workers: 2, ..Run::new(&server) };
    run.scenario.actions = Actions { typing_per_second: 50.0, read_per_second: 50.0, page_per_second: 50.0 };
    let ran = run.go().expect("no worker failed");
    is_clean(&ran);
    // 100 a second for 0.7 s, to five connections each.
    assert_eq!(ran.counts.sent, 70);
    assert_eq!((ran.counts.delivered, ran.outcome.verdict.total.expected), (350, 350));
    assert_eq!((ran.counts.opened, server.hub().created), (10, 2));
    // Of the 0.6 s that are measured.
    assert_eq!((ran.timings.delivery.count(), ran.timings.ack.count(), ran.timings.lateness.count()), (300, 60, 60));
    assert_eq!((ran.timings.connect.count(), ran.timings.subscribe.count()), (10, 10));
    assert_eq!(ran.counts.actions, 35, "only typing is known");
    let mut left_out = ran.outcome.left_out.clone();
    left_out.dedup();
    assert!(left_out.iter().all(|name| name == "page" || name == "read"), "{left_out:?}");
    assert_eq!(ran.outcome.verdict.rooms["room-1"].delivered, 175);
}

#[test]
fn fragments_pings_and_deflate_are_understood() {
    let (ran, server) = run(Plan { fragments: Some(20), ..Plan::default() });
    is_clean(&ran);
    assert!(server.hub().pongs > 350, "each fragment was followed by a ping");
    let server = Server::start(Plan { is_deflated: true, fragments: Some(50), ..Plan::default() });
    let mut run = Run::new(&server);
    run.target.deflate = true;
    is_clean(&run.go().expect("no worker failed"));
}

#[test]
fn storm_churn_and_stages_lose_nothing() {
    let server = Server::start(Plan { has_history: true, ..Plan::default() });
    let mut run = Run { has_history: true, is_idempotent: true, ..Run::new(&server) };
    run.scenario.storm = Some(Storm { at: Duration::from_millis(200), share: 0.5, per_second: 100.0 });
    run.scenario.connections.churn_per_second = 20.0;
    let ran = run.go().expect("no worker failed");
    is_clean(&ran);
    assert_eq!(ran.counts.dropped, 0, "the server did nothing");
    assert!(ran.timings.recover.count() >= 5);

    let server = Server::start(Plan::default());
    let mut run = Run::new(&server);
    let stage = |connections| Stage {
        duration: Duration::from_millis(300),
        messages_per_second: None,
        connections: Some(connections),
    };
    run.scenario.stages = vec![stage(10), stage(4)];
    let ran = run.go().expect("no worker failed");
    is_clean(&ran);
    assert!(ran.counts.opened > 4, "{:?}", ran.counts);
}

#[test]
fn bad_neighbours_are_not_judged() {
    let server = Server::start(Plan::default());
    let mut run = Run::new(&server);
    run.scenario.hostile =
        Hostile { slow_readers: 2, slow_bytes_per_second: 1_000, flooders: 1, flood_per_second: 500.0, half_open: 2 };
    let ran = run.go().expect("no worker failed");
    is_clean(&ran);
    assert_eq!((ran.counts.opened, ran.counts.delivered), (10, 350));
    assert_eq!(server.hub().connections, 10 + 2 + 3, "makers and neighbours; half-open ones say nothing");
}

#[test]
fn wrong_targets_are_refused_before_the_first_packet() {
    let server = Server::start(Plan::default());
    let mut run = Run::new(&server);
    run.target.urls = vec!["http://127.0.0.1:1/".to_owned()];
    assert!(run.go().err().expect("no WebSocket URL").contains("ws://"));
    let mut run = Run::new(&server);
    run.target.ca_file = Some("/nowhere/ca.pem".into());
    assert!(run.go().err().expect("no such file").contains("/nowhere/ca.pem"));
}

#[test]
fn seconds_are_counted_from_the_measured_time() {
    let server = Server::start(Plan::default());
    let mut run = Run::new(&server);
    run.scenario.duration = Duration::from_millis(1_200);
    let ran = run.go().expect("no worker failed");
    is_clean(&ran);
    assert!(ran.busy.is_sorted(), "{:?}", ran.busy);
    assert!(ran.busy.contains(&0) && ran.busy.contains(&1), "{:?}", ran.busy);
}

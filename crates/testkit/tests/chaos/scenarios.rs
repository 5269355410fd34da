//! The quick half of the scenarios, each with a short fault and few clients. The others are commands:
//! `cargo xtask prove --list`.

use std::time::Duration;

use hubbub_testkit::prove::scenario::{self, Setup};

async fn proves(name: &str, seconds: u64) {
    const SEED: u64 = 5;
    let scenario = scenario::named(name).expect("in the table");
    let (lasts, calm) = (Some(Duration::from_secs(seconds)), Duration::from_secs(3));
    let setup = Setup { clients: 12, rate: 80.0, lasts, calm, ..Setup::of(SEED) };
    let outcome = scenario::run(scenario, &setup, Box::new(|_| {})).await.expect("a run");
    assert_eq!(
        (outcome.counted.lost, outcome.counted.doubled),
        (0, 0),
        "{name}, seed {SEED}: {:#?}",
        outcome.complaints
    );
    assert_eq!((outcome.counted.reordered, outcome.counted.contradicted), (0, 0), "{:#?}", outcome.complaints);
    assert!(outcome.counted.acks > 0 && outcome.counted.deliveries > 0, "{name} proved nothing");
    // How long it took is reported and not asserted: this machine has other things to do.
    let broken: Vec<&String> = outcome.complaints.iter().filter(|complaint| !complaint.contains("(limit ")).collect();
    assert!(broken.is_empty(), "{name}, seed {SEED}: {broken:#?}");
    let seen = outcome.seen.expect("a sign");
    assert!(seen.shown, "{name}: {} was {:?}", seen.metric, seen.value);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_redis_is_noticed_and_nothing_is_lost() {
    proves("redis-frozen", 7).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_postgresql_loses_nothing() {
    proves("postgres-restart", 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_of_postgresql_loses_nothing() {
    proves("postgres-failover", 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_direction_cut_loses_nothing() {
    proves("one-direction", 8).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frozen_clients_come_back_with_nothing_missing() {
    proves("clients-frozen", 12).await;
}

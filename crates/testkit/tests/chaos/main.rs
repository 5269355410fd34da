//! A short proof with a fixed seed, and the proof that the proof can fail.

mod scenarios;

use std::time::Duration;

use hubbub_testkit::Cluster;
use hubbub_testkit::checker::Fault;
use hubbub_testkit::prove::{self, FaultKind, ProveConfig};
use hubbub_testkit::swarm::mutation::Mutation;

fn config(seed: u64, seconds: u64) -> ProveConfig {
    let length = Duration::from_secs(seconds);
    ProveConfig { seed, length, clients: 12, rate: 40.0, faults: FaultKind::ALL.to_vec(), mutation: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_doubled_or_reordered_under_faults() {
    const SEED: u64 = 3;
    let mut cluster = Cluster::start(prove::cluster(SEED, 3)).await.expect("cluster");
    let report = prove::run(&mut cluster, &config(SEED, 25), |_| {}).await.expect("a run");
    assert!(report.proves(), "seed {SEED}: {:#?}\n{:#?}", report.verdict.findings, report.complaints);
    assert!(report.deliveries.len() > 3, "hardly any fault came: {:?}", report.deliveries.keys());
}

/// What each mutation has to be found as.
fn expected(mutation: Mutation) -> &'static [Fault] {
    match mutation {
        Mutation::AckBeforeCommit => &[Fault::Lost, Fault::Contradicted],
        Mutation::PublishLost => &[Fault::Lost],
        Mutation::AfterOffByOne => &[Fault::Lost, Fault::Doubled],
        Mutation::NoIdempotency => &[Fault::Doubled],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_mutation_is_found() {
    let mut cluster = Cluster::start(prove::cluster(1, 3)).await.expect("cluster");
    for mutation in Mutation::ALL {
        let faults = vec![FaultKind::Jump];
        let config = ProveConfig { mutation: Some(mutation), faults, rate: 80.0, ..config(1, 6) };
        let report = prove::run(&mut cluster, &config, |_| {}).await.expect("a run");
        let found = expected(mutation).iter().any(|fault| report.verdict.count(*fault) > 0);
        assert!(found && !report.proves(), "{} was not found: {:?}", mutation.name(), report.verdict);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_without_messages_proves_nothing() {
    let mut cluster = Cluster::start(prove::cluster(1, 1)).await.expect("cluster");
    let config = ProveConfig { clients: 2, rate: 0.0, faults: Vec::new(), ..config(1, 1) };
    let report = prove::run(&mut cluster, &config, |_| {}).await.expect("a run");
    assert!(report.verdict.is_clean() && !report.proves());
}

//! Random faults.
//!
//! Must never hide the seed: a run that fails is repeated with it.

use std::time::Duration;

use anyhow::Result;
use hubbub_testkit::Cluster;
use hubbub_testkit::checker::{Fault, Verdict};
use hubbub_testkit::prove::latency::Latency;
use hubbub_testkit::prove::{self, FaultKind, Progress, ProveConfig};

use crate::Run;
use crate::show::short;

/// How long faults come.
const SECONDS: u64 = 60;
/// Messages a second.
const RATE: f64 = 100.0;

pub(crate) fn run(options: &Run) -> Result<bool> {
    let seed = crate::seed(options.seed);
    let faults = match options.faults.as_slice() {
        [] => FaultKind::ALL.to_vec(),
        [none] if none == "none" => Vec::new(),
        names => names.iter().map(|name| name.parse().map_err(anyhow::Error::msg)).collect::<Result<_>>()?,
    };
    let length = Duration::from_secs(options.seconds.unwrap_or(SECONDS));
    let (rate, Run { clients, mutation, nodes, .. }) = (options.rate.unwrap_or(RATE), options);
    let config = ProveConfig { seed, length, clients: *clients, rate, faults, mutation: *mutation };
    let runtime = tokio::runtime::Runtime::new()?;
    let report = runtime.block_on(async {
        println!("seed {seed}: starting {nodes} nodes, {clients} clients, {rate} messages/s");
        let mut cluster = Cluster::start(prove::cluster(seed, *nodes)).await?;
        prove::run(&mut cluster, &config, show).await
    })?;
    print_verdict(&report.verdict);
    println!("repairs      {:>9}   (bus messages dropped on purpose: {})", report.repairs, report.dropped);
    println!("\n{:17} {:>9} {:>9} {:>9} {:>9}", "delivery during", "count", "p50", "p99", "worst");
    for (kind, latency) in &report.deliveries {
        print_latency(kind, latency);
    }
    print_latency("(ack)", &report.acks);
    for complaint in &report.complaints {
        println!("  {complaint}");
    }
    let mutation = config.mutation.map_or_else(String::new, |mutation| format!(" with mutation {}", mutation.name()));
    println!("\nseed {seed}{mutation}: {}", if report.proves() { "proved" } else { "NOT PROVED" });
    Ok(report.proves())
}

fn show(progress: &Progress) {
    let Progress { at, counts, faults, repairs } = progress;
    println!(
        "{:>4} s  sends {:>7}  acks {:>7}  unacked {:>4}  deliveries {:>9}  repairs {:>6}  {}",
        at.as_secs(),
        counts.sent,
        counts.acked,
        counts.unacked,
        counts.delivered,
        repairs,
        faults.join(" ")
    );
}

fn print_verdict(verdict: &Verdict) {
    println!("\nsends        {:>9}   (transmissions {})", verdict.sends, verdict.transmissions);
    println!("acks         {:>9}", verdict.acks);
    println!("refused      {:>9}", verdict.refusals);
    println!("deliveries   {:>9}", verdict.deliveries);
    for (name, fault) in [
        ("lost", Fault::Lost),
        ("doubled", Fault::Doubled),
        ("reordered", Fault::Reordered),
        ("contradicted", Fault::Contradicted),
    ] {
        println!("{name:12} {:>9}", verdict.count(fault));
    }
    for finding in &verdict.findings {
        println!("  {finding}");
    }
}

fn print_latency(name: &str, latency: &Latency) {
    let Latency { count, p50, p99, worst } = *latency;
    println!("{name:17} {count:>9} {:>9} {:>9} {:>9}", short(p50), short(p99), short(worst));
}

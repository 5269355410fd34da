//! `hubbub-prove`: real processes, random faults, and a verdict. `cargo xtask prove` builds everything and calls it.
//!
//! Must never exit with 0 unless something was proved.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Parser;
use hubbub_testkit::Cluster;
use hubbub_testkit::checker::{Fault, Verdict};
use hubbub_testkit::prove::latency::Latency;
use hubbub_testkit::prove::{self, FaultKind, Progress, ProveConfig, outage};
use hubbub_testkit::swarm::mutation::Mutation;

/// Proves that no acknowledged message is lost, doubled or reordered.
#[derive(Parser)]
struct Options {
    /// The schedule and every choice of a client follow from it; a random one unless given.
    #[arg(long)]
    seed: Option<u64>,
    /// How long faults come, or how long Redis is gone.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    #[arg(long, default_value_t = 3)]
    nodes: usize,
    #[arg(long, default_value_t = 24)]
    clients: usize,
    /// Messages a second, of all clients together.
    #[arg(long, default_value_t = 100.0)]
    rate: f64,
    /// Behave as a broken system would: ack-before-commit, publish-lost, after-off-by-one, no-idempotency.
    #[arg(long)]
    mutation: Option<Mutation>,
    /// Which faults, comma separated; all unless given, `none` for none.
    #[arg(long, value_delimiter = ',')]
    faults: Vec<String>,
    /// In place of random faults: `redis-outage`.
    #[arg(long)]
    scenario: Option<String>,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<bool> {
    let seed = options.seed.unwrap_or_else(|| rand::random::<u64>() % 1_000_000);
    let faults = match options.faults.as_slice() {
        [] => FaultKind::ALL.to_vec(),
        [none] if none == "none" => Vec::new(),
        names => names.iter().map(|name| name.parse().map_err(anyhow::Error::msg)).collect::<Result<_>>()?,
    };
    let length = Duration::from_secs(options.seconds);
    let Options { clients, rate, mutation, nodes, .. } = *options;
    let config = ProveConfig { seed, length, clients, rate, faults, mutation };
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        println!("seed {seed}: starting {nodes} nodes, {clients} clients, {rate} messages/s");
        let mut cluster = Cluster::start(prove::cluster(seed, nodes)).await?;
        match options.scenario.as_deref() {
            None => random(&mut cluster, &config).await,
            Some("redis-outage") => redis_outage(&mut cluster, &config).await,
            Some(other) => bail!("there is no scenario `{other}`; there is `redis-outage`"),
        }
    })
}

async fn random(cluster: &mut Cluster, config: &ProveConfig) -> Result<bool> {
    let report = prove::run(cluster, config, show).await?;
    print_verdict(&report.verdict);
    println!("repairs      {:>9}   (bus messages dropped on purpose: {})", report.repairs, report.dropped);
    println!("\n{:17} {:>9} {:>9} {:>9} {:>9}", "delivery during", "count", "p50", "p99", "worst");
    for (kind, latency) in &report.deliveries {
        print_latency(kind, latency);
    }
    print_latency("(ack)", &report.acks);
    Ok(conclude(config, report.proves(), &report.complaints))
}

async fn redis_outage(cluster: &mut Cluster, config: &ProveConfig) -> Result<bool> {
    let report = outage::run(cluster, config, |line| println!("{line}")).await?;
    print_verdict(&report.verdict);
    println!("\n{:17} {:>9} {:>9} {:>9} {:>9}", "delivery", "count", "p50", "p99", "worst");
    print_latency("before", &report.before);
    print_latency("during", &report.during);
    print_latency("after", &report.after);
    let goal = Duration::from_secs(2);
    let ratio = |took: Duration| took.as_secs_f64() / goal.as_secs_f64();
    println!(
        "\np99 during the outage  {:>9}   goal 2.0s   ratio {:.2}",
        short(report.during.p99),
        ratio(report.during.p99)
    );
    println!("bus back within        {:>9}   goal 2.0s   ratio {:.2}", short(report.returned), ratio(report.returned));
    println!("repairs: {} in the outage, {} in the 10 s behind it", report.repairs.0, report.repairs.1);
    Ok(conclude(config, report.proves(), &report.complaints))
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

fn short(time: Duration) -> String {
    match time.as_millis() {
        millis @ 0..=9_999 => format!("{millis}ms"),
        millis => format!("{}.{}s", millis / 1000, millis % 1000 / 100),
    }
}

fn conclude(config: &ProveConfig, proves: bool, complaints: &[String]) -> bool {
    for complaint in complaints {
        println!("  {complaint}");
    }
    let mutation = config.mutation.map_or_else(String::new, |mutation| format!(" with mutation {}", mutation.name()));
    println!("\nseed {}{mutation}: {}", config.seed, if proves { "proved" } else { "NOT PROVED" });
    proves
}

//! `rollout`: what is asked for, and its outcome.
//!
//! Must never run without saying how long it takes.

use std::path::PathBuf;

use anyhow::Result;
use hubbub_testkit::prove::rollout::{self, Event, RolloutConfig};

use crate::{results, show};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many clients; each takes two descriptors of HAProxy and one of the load.
    #[arg(long, default_value_t = 10_000)]
    clients: u32,
    /// Messages a second.
    #[arg(long, default_value_t = 500.0)]
    rate: f64,
    /// Closes a second of a drain (`drain.closes_per_second`) and of the rebalance; unless given, 100, and 200 for a
    /// scale-up.
    #[arg(long)]
    pace: Option<u32>,
    /// The build that the nodes begin with; unless given, the same one.
    #[arg(long, value_name = "BIN")]
    previous: Option<PathBuf>,
    /// Ends the nodes with `kill -9`.
    #[arg(long, conflicts_with = "scale_up")]
    kill: bool,
    /// Starts two more nodes beside two.
    #[arg(long)]
    scale_up: bool,
    /// Switches a protection of the nodes off (a build with the feature `mutations`).
    #[arg(long)]
    without: Option<String>,
    /// Adds the outcome to the results in this file.
    #[arg(long)]
    json: Option<PathBuf>,
}

pub(crate) fn run(options: &Options) -> Result<bool> {
    let Options { clients, rate, kill, scale_up, .. } = *options;
    let pace = options.pace.unwrap_or(if scale_up { 200 } else { 100 });
    let event = match (kill, scale_up) {
        (true, _) => Event::Kill,
        (_, true) => Event::ScaleUp,
        _ => Event::Rollout,
    };
    let how = [(kill, " --kill"), (scale_up, " --scale-up")].into_iter().filter(|(is, _)| *is);
    let how: String = how.map(|(_, flag)| flag).collect();
    let command = format!("cargo xtask prove --rollout{how} --clients {clients} --rate {rate} --pace {pace}");
    let previous = options.previous.as_deref().map(rollout::previous).transpose()?;
    let config = RolloutConfig { event, clients, rate, pace, previous, mutation: options.without.clone(), command };
    let runtime = tokio::runtime::Runtime::new()?;
    let began = std::time::Instant::now();
    let say = move |what: &str| println!("{:>6.1} s  {what}", began.elapsed().as_secs_f64());
    let outcome = runtime.block_on(rollout::run(&config, Box::new(say)))?;
    show::outcome(&outcome);
    results::keep(options.json.as_deref(), &outcome)?;
    Ok(outcome.proved)
}

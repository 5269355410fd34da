//! `soak`: what is asked for, and its outcome.
//!
//! Must never run without saying how long it takes.

use std::path::PathBuf;

use anyhow::Result;
use hubbub_testkit::prove::soak::{self, SoakConfig};

use crate::{results, show};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How long is measured.
    #[arg(long, default_value_t = 3_600)]
    seconds: u64,
    #[arg(long, default_value_t = 5_000)]
    clients: u32,
    /// Clients that leave and come back, a second.
    #[arg(long, default_value_t = 10.0)]
    churn: f64,
    /// Messages a second.
    #[arg(long, default_value_t = 100.0)]
    rate: f64,
    /// Adds the outcome to the results in this file.
    #[arg(long)]
    json: Option<PathBuf>,
}

pub(crate) fn run(options: &Options) -> Result<bool> {
    let Options { seconds, clients, churn, rate, .. } = *options;
    let command =
        format!("cargo xtask prove --soak --seconds {seconds} --clients {clients} --churn {churn} --rate {rate}");
    let config = SoakConfig { seconds, clients, churn, rate, command };
    let runtime = tokio::runtime::Runtime::new()?;
    let began = std::time::Instant::now();
    let say = move |what: &str| println!("{:>6.1} s  {what}", began.elapsed().as_secs_f64());
    let outcome = runtime.block_on(soak::run(&config, Box::new(say)))?;
    show::outcome(&outcome);
    results::keep(options.json.as_deref(), &outcome)?;
    Ok(outcome.proved)
}

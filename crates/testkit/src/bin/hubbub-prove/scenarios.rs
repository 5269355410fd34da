//! Scenarios one after another, each on a cluster of its own.
//!
//! Must never let one that could not be run count as one that was proved, or as one that was seen to fail.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use hubbub_protocol::mutation::Mutation;
use hubbub_testkit::prove::outcome::Outcome;
use hubbub_testkit::prove::scenario::{self, Scenario, Setup};

use crate::{Run, results, show};

/// Starting and settling, beside the fault and the calm around it.
const OVERHEAD: u64 = 10;

/// Names all, and how long each takes.
pub(crate) fn list() {
    for Scenario { name, what, lasts, mutations, .. } in scenario::ALL {
        let takes = lasts.as_secs() + 2 * 10 + OVERHEAD;
        let without = mutations.iter().map(|mutation| mutation.name()).collect::<Vec<_>>().join(", ");
        println!("{name:20} {takes:>4} s  {what}\n{:27} without: {without}", "");
    }
}

/// Runs those that were asked for.
pub(crate) fn run(options: &Run) -> Result<bool> {
    let scenarios: Vec<&Scenario> = match options.scenario.as_slice() {
        [all] if all == "all" => scenario::ALL.to_vec(),
        names => names.iter().map(|name| scenario::named(name)).collect::<Result<_>>()?,
    };
    let without = options.without.as_deref().map(|name| Mutation::named(name).context("no such protection"));
    let setup = Setup { mutation: without.transpose()?, ..setup(options) };
    let mut all_proved = true;
    for scenario in scenarios {
        match play(scenario, &setup, options) {
            Ok(outcome) => all_proved &= outcome.proved,
            Err(error) => {
                println!("{}: could not be run: {error:#}", scenario.name);
                all_proved = false;
            }
        }
    }
    Ok(all_proved)
}

/// Runs those that have a protection to be switched off, without it.
pub(crate) fn against_mutations(options: &Run) -> Result<bool> {
    let asked = |scenario: &&&Scenario| {
        options.scenario.is_empty() || options.scenario.iter().any(|name| name == scenario.name)
    };
    let mut all_found = true;
    for scenario in scenario::ALL.iter().filter(asked) {
        for mutation in scenario.mutations {
            let setup = Setup { mutation: Some(*mutation), ..setup(options) };
            match play(scenario, &setup, options) {
                Ok(outcome) if !outcome.proved => println!("{} notices {}", scenario.name, mutation.name()),
                Ok(_) => {
                    println!("{} did not notice {}", scenario.name, mutation.name());
                    all_found = false;
                }
                Err(error) => {
                    println!("{}: could not be run: {error:#}", scenario.name);
                    all_found = false;
                }
            }
        }
    }
    Ok(all_found)
}

fn setup(options: &Run) -> Setup {
    let mut setup = Setup::of(crate::seed(options.seed));
    setup.clients = options.clients;
    setup.rate = options.rate.unwrap_or(setup.rate);
    setup.lasts = options.seconds.map(Duration::from_secs);
    setup.calm = Duration::from_secs(options.calm);
    setup
}

fn play(scenario: &Scenario, setup: &Setup, options: &Run) -> Result<Outcome> {
    if setup.clients < 2 {
        bail!("a scenario takes at least two clients");
    }
    println!("\n{}: {} (seed {})", scenario.name, scenario.what, setup.seed);
    let runtime = tokio::runtime::Runtime::new()?;
    let began = std::time::Instant::now();
    let say = move |what: &str| println!("{:>6.1} s  {what}", began.elapsed().as_secs_f64());
    let outcome = runtime.block_on(scenario::run(scenario, setup, Box::new(say)))?;
    show::outcome(&outcome);
    results::keep(options.json.as_deref(), &outcome)?;
    Ok(outcome)
}

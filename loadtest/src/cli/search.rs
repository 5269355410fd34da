//! `search`: the highest rate or number of connections that holds.
//!
//! Must never take a run for good in which the driver was the limit.

use hubbub_load::assertion::Clause;
use hubbub_load::report::{self, Report};
use hubbub_load::scenario::Scenario;
use hubbub_load::target::Target;

use super::execute::{clauses, execute};
use super::interrupt::Interrupt;
use super::options::{DriveOptions, ResultOptions, TargetOptions, WatchOptions};
use super::watcher::announce;
use super::{Failure, execute, output, target};

/// Most runs of one search.
const TRIES_MAX: u32 = 40;

/// `hubbub-load search`
#[derive(clap::Args, Debug)]
pub(super) struct Search {
    /// A built-in name or the path of a TOML file
    scenario: String,
    /// What has to hold, such as "p99<100ms,lost=0"
    #[arg(long)]
    slo: String,
    /// What is raised
    #[arg(long, value_enum, default_value_t = Over::Rate)]
    over: Over,
    /// Where to begin
    #[arg(long)]
    from: f64,
    /// Where to end
    #[arg(long)]
    to: f64,
    /// How long each try is measured
    #[arg(long, default_value = "15s")]
    step_duration: String,
    /// How close the answer has to be, such as 5%
    #[arg(long, default_value = "5%", value_parser = share)]
    precision: f64,
    #[command(flatten)]
    target: TargetOptions,
    #[command(flatten)]
    drive: DriveOptions,
    #[command(flatten)]
    watch: WatchOptions,
    #[command(flatten)]
    results: ResultOptions,
}

/// What is raised.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum Over {
    /// Messages a second
    Rate,
    /// Connections
    Connections,
}

impl Over {
    const fn unit(self) -> &'static str {
        match self {
            Self::Rate => "messages/s",
            Self::Connections => "connections",
        }
    }
}

fn share(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').and_then(|number| number.parse::<f64>().ok()).map(|percent| percent / 100.0);
    number.filter(|share| (0.001..=0.5).contains(share)).ok_or_else(|| "0.1% to 50%".to_owned())
}

/// Where the search is.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Bounds {
    /// The highest that held.
    held: Option<f64>,
    /// The lowest that did not.
    gave_in: Option<f64>,
}

impl Bounds {
    /// What to try next: first doubled, then halved between; none when the answer is close enough.
    fn next(self, from: f64, to: f64, precision: f64) -> Option<f64> {
        match (self.held, self.gave_in) {
            (None, None) => Some(from),
            (None, Some(_)) => None,
            (Some(held), None) if held >= to => None,
            (Some(held), None) => Some((held * 2.0).min(to)),
            (Some(held), Some(gave_in)) if gave_in - held <= held * precision => None,
            (Some(held), Some(gave_in)) => Some(f64::midpoint(held, gave_in)),
        }
    }
}

/// Searches.
pub(super) fn run(options: &Search) -> Result<(), Failure> {
    if !(options.from > 0.0 && options.from <= options.to && options.to.is_finite()) {
        return Err(Failure::Usage("--from has to be above 0 and not above --to".to_owned()));
    }
    let clauses = clauses(std::slice::from_ref(&options.slo), "--slo")?;
    let target = target::target(&options.target)?;
    let interrupt = Interrupt::listen()?;
    let mut bounds = Bounds { held: None, gave_in: None };
    let (mut best, mut limit) = (None, None);
    for _ in 0..TRIES_MAX {
        let Some(value) = bounds.next(options.from, options.to, options.precision) else { break };
        let value = if options.over == Over::Connections { value.round() } else { value };
        if bounds.held.is_some_and(|held| value <= held) || bounds.gave_in.is_some_and(|gave_in| value >= gave_in) {
            break;
        }
        let (report, broken) = attempt(options, value, &target, &clauses, &interrupt)?;
        if report.validity.is_interrupted {
            output::tell("interrupted");
            break;
        }
        let unit = options.over.unit();
        match broken {
            None => {
                output::print(&format!("{value:.0} {unit}: holds"))?;
                (bounds.held, best) = (Some(value), Some(report));
            }
            Some(reason) => {
                output::print(&format!("{value:.0} {unit}: {reason}"))?;
                (bounds.gave_in, limit) = (Some(value), Some(reason));
            }
        }
    }
    conclude(options, bounds, best.as_ref(), limit.as_deref())
}

fn conclude(options: &Search, bounds: Bounds, best: Option<&Report>, limit: Option<&str>) -> Result<(), Failure> {
    let Some((held, report)) = bounds.held.zip(best) else {
        let reason = limit.unwrap_or("nothing was tried to its end");
        return Err(Failure::Failed(format!(
            "already {} {} did not hold: {reason}",
            options.from,
            options.over.unit()
        )));
    };
    execute::write(report, &options.results)?;
    output::tell(&report::summary(report));
    let unit = options.over.unit();
    output::print(&match (bounds.gave_in, limit) {
        (Some(gave_in), Some(reason)) => {
            format!("highest that held: {held:.0} {unit}; at {gave_in:.0} gave in first: {reason}")
        }
        _ => format!("highest that was tried held: {held:.0} {unit}; nothing gave in"),
    })
}

/// One run, and what did not hold in it.
fn attempt(
    options: &Search,
    value: f64,
    target: &Target,
    clauses: &[Clause],
    interrupt: &Interrupt,
) -> Result<(Report, Option<String>), Failure> {
    announce(&format!("trying {value:.0} {}", options.over.unit()), &options.results);
    let mut set = options.drive.set.clone();
    set.push(("duration".to_owned(), options.step_duration.clone()));
    match options.over {
        Over::Rate => set.push(("messages.per_second".to_owned(), value.to_string())),
        Over::Connections => set.push(("connections.count".to_owned(), format!("{value:.0}"))),
    }
    let scenario =
        flat(hubbub_load::scenario::open(&options.scenario, &set).map_err(|error| Failure::Usage(error.to_string()))?);
    let plan = target::plan(scenario, target.clone(), &options.drive, &options.results)?;
    let (report, failure) = execute(&plan, clauses, &options.watch, &options.results, interrupt.clone())?;
    let broken = failure.map(|reason| format!("the run failed: {reason}")).or_else(|| broken(&report));
    Ok((report, broken))
}

/// Stages would change what is searched for.
fn flat(scenario: Scenario) -> Scenario {
    Scenario { stages: Vec::new(), ..scenario }
}

/// What did not hold: the driver comes first, for the other figures mean nothing then.
fn broken(report: &Report) -> Option<String> {
    if let Some(reason) = report.validity.reasons.first() {
        return Some(format!("the driver: {reason}"));
    }
    let broken = report.assertions.iter().find(|(_, holds, _)| !holds);
    broken.map(|(clause, _, figure)| format!("{clause} did not hold: {figure}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_closes_in_on_the_limit() {
        for limit in [100.0, 101.0, 777.0, 5_000.0, 99_999.0] {
            let mut bounds = Bounds { held: None, gave_in: None };
            let mut tries = 0;
            while let Some(value) = bounds.next(100.0, 100_000.0, 0.05) {
                tries += 1;
                if value <= limit { bounds.held = Some(value) } else { bounds.gave_in = Some(value) }
            }
            let held = bounds.held.expect("the first held");
            assert!(held <= limit && limit <= held * 1.06, "{limit}: {held}");
            assert!(tries < TRIES_MAX, "{tries}");
        }
    }

    #[test]
    fn it_ends_where_nothing_or_everything_holds() {
        let nothing = Bounds { held: None, gave_in: Some(100.0) };
        assert_eq!(nothing.next(100.0, 1_000.0, 0.05), None);
        let everything = Bounds { held: Some(1_000.0), gave_in: None };
        assert_eq!(everything.next(100.0, 1_000.0, 0.05), None);
    }
}

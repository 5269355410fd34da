//! `run`: one run, its results, and what it means for the exit code.
//!
//! Must never call a run good that lost something or cannot be believed.

use hubbub_load::assertion::{self, Clause};
use hubbub_load::control::{self, RunPlan};
use hubbub_load::report::{self, Report};

use super::interrupt::Interrupt;
use super::options::{ResultOptions, Run, WatchOptions};
use super::watcher::Onlooker;
use super::{Failure, output, target};

/// `hubbub-load run`
pub(super) fn run(options: &Run) -> Result<(), Failure> {
    let clauses = clauses(&options.assertions, "--assert")?;
    let scenario = target::scenario(&options.scenario, &options.drive)?;
    let target = target::target(&options.target)?;
    let plan = target::plan(scenario, target, &options.drive, &options.results)?;
    let interrupt = Interrupt::listen()?;
    let (report, failure) = execute(&plan, &clauses, &options.watch, &options.results, interrupt)?;
    write(&report, &options.results)?;
    let is_on_stdout = options.results.json.as_deref().is_some_and(|path| path.as_os_str() == "-");
    if is_on_stdout {
        // Programs read stdout then; people read the rest.
        output::tell(&report::summary(&report));
    } else {
        output::print(&report::summary(&report))?;
    }
    match failure {
        Some(reason) => Err(Failure::Failed(reason)),
        None if is_good(&report) => Ok(()),
        None => Err(Failure::Said),
    }
}

/// Reads clauses.
pub(super) fn clauses(texts: &[String], option: &str) -> Result<Vec<Clause>, Failure> {
    let read = texts
        .iter()
        .map(|text| assertion::read(text).map_err(|mistake| Failure::Usage(format!("{option} \"{text}\": {mistake}"))));
    Ok(read.collect::<Result<Vec<_>, _>>()?.concat())
}

/// Carries a run out and completes its report.
pub(super) fn execute(
    plan: &RunPlan,
    clauses: &[Clause],
    watch: &WatchOptions,
    results: &ResultOptions,
    interrupt: Interrupt,
) -> Result<(Report, Option<String>), Failure> {
    let mut onlooker = Onlooker::new(plan, watch, results, interrupt)?;
    let finished = control::run(plan, control::threads, &mut onlooker);
    let mut report = finished.report;
    onlooker.finish(&mut report);
    report.assertions = clauses
        .iter()
        .map(|clause| {
            let (holds, figure) = clause.check(&report);
            (clause.to_string(), holds, figure)
        })
        .collect();
    Ok((report, finished.failure))
}

/// Writes the files that were asked for.
pub(super) fn write(report: &Report, results: &ResultOptions) -> Result<(), Failure> {
    if let Some(path) = &results.json {
        let json = serde_json::to_string(report).map_err(|error| Failure::Failed(error.to_string()))?;
        output::write(path, &json)?;
    }
    if let Some(path) = &results.report {
        output::write(path, &report::html(report))?;
    }
    Ok(())
}

/// Whether nothing was lost, the figures may be believed and everything holds.
pub(super) fn is_good(report: &Report) -> bool {
    report.verdict.is_clean()
        && report.validity.is_valid()
        && !report.validity.is_interrupted
        && report.assertions.iter().all(|(_, holds, _)| *holds)
}

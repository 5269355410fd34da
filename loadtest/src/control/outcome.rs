//! What a run brought, as a report.
//!
//! Must never put a token or a password into it.

use std::time::Duration;

use super::gather::{Gathered, Sums};
use super::message::Outcome;
use super::run::RunPlan;
use super::validity::{self, Figures};
use crate::report::{Machine, Report, Validity};

/// The version of the report's form.
const FORMAT: u32 = 1;

/// What the coordinator knows at the end.
pub(super) struct Ended {
    pub(super) workers: u32,
    pub(super) at: String,
    /// How long was measured; none: the measured time never began.
    pub(super) measured_for: Option<Duration>,
    pub(super) gathered: Gathered,
    pub(super) outcome: Outcome,
    pub(super) is_judged: bool,
    pub(super) is_interrupted: bool,
    pub(super) failure: Option<String>,
    pub(super) notes: Vec<String>,
}

/// Makes the report.
pub(super) fn report(plan: &RunPlan, ended: Ended) -> Report {
    let Ended { workers, at, measured_for, gathered, mut outcome, is_judged, is_interrupted, failure, mut notes } =
        ended;
    let connected_at_start = gathered.connected_at_start();
    let seconds = gathered.seconds();
    let time = measured_for.unwrap_or_default();
    let mut sums = Sums::default();
    for second in &seconds {
        sums.add(second, validity::is_measured(second, time));
    }
    let scenario = plan.task.scenario.clone();
    let mut reasons = Vec::new();
    if let Some(failure) = failure {
        reasons.push(format!("the run failed: {failure}"));
    }
    if measured_for.is_some() {
        let figures = Figures {
            scenario: &scenario,
            measured_for: time,
            connected_at_start,
            measured: &sums.measured,
            timings: &sums.timings,
            seconds: &seconds,
        };
        reasons.extend(validity::reasons(&figures));
    } else {
        notes.push("the measured time never began".to_owned());
    }
    if !is_judged {
        notes.push("nothing was proved: the run ended before deliveries could be compared with sends".to_owned());
    }
    if scenario.hostile.count() > 0 {
        notes.push(format!("{} hostile neighbours were there beside the connections", scenario.hostile.count()));
    }
    outcome.verdict.shorten();
    Report {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        label: plan.label.clone(),
        command: plan.command.clone(),
        at,
        machine: machine(),
        urls: plan.task.target.urls.clone(),
        peer: format!("{:?}", plan.task.target.peer).to_lowercase(),
        scenario,
        seed: plan.task.seed,
        workers,
        validity: Validity { reasons, is_interrupted },
        measured_seconds: time.as_secs_f64(),
        counts: sums.counts,
        timings: sums.timings,
        measured: sums.measured,
        seconds,
        verdict: outcome.verdict,
        left_out: outcome.left_out,
        observed: Vec::new(),
        metrics: std::collections::BTreeMap::new(),
        assertions: Vec::new(),
        notes,
    }
}

/// This machine, as far as it says what it is.
fn machine() -> Machine {
    let uname = rustix::system::uname();
    let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    let system = format!("{} {} {}", text(uname.sysname()), text(uname.release()), text(uname.machine()));
    let field = |file: &str, name: &str| -> Option<String> {
        let text = std::fs::read_to_string(file).ok()?;
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let kilobytes = field("/proc/meminfo", "MemTotal")
        .and_then(|total| total.split_whitespace().next().and_then(|number| number.parse::<u64>().ok()));
    Machine {
        system,
        processor: field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned()),
        processors: std::thread::available_parallelism().map_or(1, |count| count.get() as u32),
        memory_bytes: kilobytes.unwrap_or(0) * 1_024,
    }
}

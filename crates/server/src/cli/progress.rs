//! How far a long command has come, and the report at its end.
//!
//! Must never write progress to stdout, nor more often than somebody can read.

use std::fmt::Write;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use hubbub_store::{Progress, Report};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use serde_json::{Value, json};

use super::output::{print, print_json};
use crate::failure::Failure;

/// Pause between two lines where no bar can be drawn.
const LINE_PAUSE: Duration = Duration::from_secs(3);

/// How the bar looks.
const STYLE: &str = "{msg:20} {wide_bar} {human_pos} of {human_len} rows  {speed}";

/// Digits of a checksum that people compare; programs get all of them.
const CHECKSUM_DIGITS: usize = 16;

/// What shows progress: a bar on a terminal, else a line now and then.
pub(super) struct Shown {
    bar: Option<ProgressBar>,
    last: Option<(&'static str, &'static str)>,
    said: Instant,
}

impl Shown {
    pub(super) fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            // The style is a constant; were it wrong, there would be the usual bar.
            let style = ProgressStyle::with_template(STYLE).unwrap_or_else(|_| ProgressStyle::default_bar());
            bar.with_style(style.with_key("speed", speed))
        });
        Self { bar, last: None, said: Instant::now() }
    }

    pub(super) fn tell(&mut self, progress: Progress) {
        let doing = (progress.stage.as_str(), progress.table);
        if let Some(bar) = &self.bar {
            if self.last != Some(doing) {
                bar.set_message(format!("{} {}", doing.0, doing.1));
                bar.reset();
            }
            bar.set_length(progress.total.max(progress.rows));
            bar.set_position(progress.rows);
        } else if self.said.elapsed() >= LINE_PAUSE {
            eprintln!("{} {}: {} of {} rows", doing.0, doing.1, progress.rows, progress.total);
            self.said = Instant::now();
        }
        self.last = Some(doing);
    }

    /// Takes the bar away.
    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Whole rows: a part of one says nothing.
fn speed(state: &ProgressState, out: &mut dyn Write) {
    // There is nothing to do about a bar that cannot be drawn.
    write!(out, "{:.0}/s", state.per_sec()).unwrap_or_default();
}

/// Prints what was copied and verified: for people a line a table, for programs one object.
pub(super) fn print_report(report: &Report, json: bool) -> Result<(), Failure> {
    if json {
        return print_json(&report_json(report));
    }
    let width = report.tables.iter().map(|table| table.table.len()).max().unwrap_or(0);
    let lines = report.tables.iter().map(|table| {
        let checksum = table.checksum.get(..CHECKSUM_DIGITS).unwrap_or(&table.checksum);
        let (name, rows, seconds) = (table.table, table.rows, table.took.as_secs_f64());
        let speed = per_second(table.copied, table.took);
        let copied = if table.copied == rows { String::new() } else { format!("  ({} of them now)", table.copied) };
        format!("{name:width$}  {rows:>12} rows  verified {checksum}  {seconds:>8.2} s  {speed:>8} rows/s{copied}\n")
    });
    let text: String = lines.collect();
    print(&text)
}

fn report_json(report: &Report) -> Value {
    let tables = report.tables.iter().map(|table| {
        json!({
            "table": table.table,
            "rows": table.rows,
            "checksum": table.checksum,
            "copied": table.copied,
            "seconds": table.took.as_secs_f64(),
        })
    });
    json!({
        "epoch": report.epoch,
        "resumed": report.resumed,
        "verified": true,
        "rows": rows(report),
        "seconds": report.took.as_secs_f64(),
        "tables": tables.collect::<Vec<_>>(),
    })
}

/// All rows of a report.
fn rows(report: &Report) -> u64 {
    report.tables.iter().map(|table| table.rows).sum()
}

/// What was done, in words for the end of a sentence.
pub(super) fn summary(report: &Report) -> String {
    let copied = report.tables.iter().map(|table| table.copied).sum();
    let went_on = if report.resumed { ", going on with an earlier run" } else { "" };
    let (rows, seconds) = (rows(report), report.took.as_secs_f64());
    format!(
        "{rows} rows verified, {copied} copied now{went_on}, {seconds:.2} s, {} rows/s",
        per_second(copied, report.took)
    )
}

fn per_second(rows: u64, took: Duration) -> u64 {
    let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX).max(1);
    rows.saturating_mul(1_000) / millis
}

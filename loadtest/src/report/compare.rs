//! Runs side by side: each figure with its ratio to the first run's.
//!
//! Must never hide that two runs did different things: differences of the scenarios are named.

use std::collections::BTreeMap;

use serde_json::Value;

use super::charts::by_percentile;
use super::figures::{
    SHARES, connections_most, cpu_per_delivery, driver_busy_most, headline, memory_per_connection, per_second,
};
use super::html::{NARROW, WIDE, tone};
use super::model::Report;
use super::page::{Page, Tone};
use super::plot::{Bar, BarChart, Unit};
use super::units::{bytes, clock, count, micros, percent, ratio, short};

/// Widest column of the text table.
const COLUMN_MAX: usize = 26;

/// A figure of several runs.
struct Line {
    name: String,
    unit: Unit,
    values: Vec<Option<f64>>,
}

impl Line {
    fn new(name: &str, unit: Unit, reports: &[Report], value: impl Fn(&Report) -> Option<f64>) -> Self {
        Self { name: name.to_owned(), unit, values: reports.iter().map(value).collect() }
    }

    fn cell(&self, index: usize) -> String {
        let Some(value) = self.values[index] else { return "–".to_owned() };
        let text = match self.unit {
            Unit::Count if value.fract() == 0.0 && value >= 0.0 => count(value as u64),
            Unit::Count => short(value),
            Unit::Micros => micros(value),
            Unit::Bytes => bytes(value),
            Unit::Percent => percent(value),
            unit => unit.write(value),
        };
        match self.values[0] {
            Some(first) if index > 0 && first > 0.0 => format!("{text} ({})", ratio(value, first)),
            _ => text,
        }
    }
}

fn lines(reports: &[Report]) -> Vec<Line> {
    let line = |name: &str, unit, value: &dyn Fn(&Report) -> Option<f64>| Line::new(name, unit, reports, value);
    let number = |value: u64| Some(value as f64);
    let mut lines = vec![
        line("expected deliveries", Unit::Count, &|report| number(report.verdict.total.expected)),
        line("lost", Unit::Count, &|report| number(report.verdict.total.lost)),
        line("doubled", Unit::Count, &|report| number(report.verdict.total.doubled)),
        line("reordered", Unit::Count, &|report| number(report.verdict.total.reordered)),
        line("connections at most", Unit::Count, &|report| number(connections_most(report))),
        line("sent a second", Unit::Count, &|report| Some(per_second(report, report.measured.sent))),
        line("delivered a second", Unit::Count, &|report| Some(per_second(report, report.measured.delivered))),
    ];
    for (kind, of) in [("delivery", delivery as fn(&Report) -> &crate::stats::Times), ("ack", ack)] {
        for (name, share) in &SHARES[..4] {
            let value = |report: &Report| super::figures::quantile(of(report), *share).map(as_micros);
            lines.push(line(&format!("{kind} {name}"), Unit::Micros, &value));
        }
        let most = |report: &Report| (of(report).count() > 0).then(|| as_micros(of(report).max()));
        lines.push(line(&format!("{kind} max"), Unit::Micros, &most));
    }
    lines.push(line("errors", Unit::Count, &|report| number(report.counts.errors.values().sum())));
    lines.push(line("server CPU per delivery", Unit::Micros, &cpu_per_delivery));
    lines.push(line("server memory per connection", Unit::Bytes, &memory_per_connection));
    lines.push(line("driver’s busiest thread", Unit::Percent, &|report| Some(driver_busy_most(report))));
    lines.retain(|line| line.values.iter().any(Option::is_some));
    lines
}

fn delivery(report: &Report) -> &crate::stats::Times {
    &report.timings.delivery
}

fn ack(report: &Report) -> &crate::stats::Times {
    &report.timings.ack
}

fn as_micros(time: std::time::Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// The names of the runs, all different.
fn names(reports: &[Report]) -> Vec<String> {
    let mut seen = BTreeMap::<&str, u32>::new();
    let mut names = Vec::with_capacity(reports.len());
    for report in reports {
        let times = seen.entry(&report.label).or_default();
        *times += 1;
        names.push(if *times == 1 { report.label.clone() } else { format!("{} #{times}", report.label) });
    }
    names
}

/// What the runs did differently: the dotted key and each run's value.
fn differences(reports: &[Report]) -> Vec<(String, Vec<String>)> {
    let flat = |report: &Report| {
        let mut keys = BTreeMap::new();
        if let Ok(scenario) = serde_json::to_value(&report.scenario) {
            flatten("", &scenario, &mut keys);
        }
        keys.insert("seed".to_owned(), report.seed.to_string());
        keys.insert("workers".to_owned(), report.workers.to_string());
        keys.insert("machine".to_owned(), format!("{}, {}", report.machine.processor, report.machine.processors));
        keys.insert("measured".to_owned(), clock(report.measured_seconds));
        keys
    };
    let runs: Vec<_> = reports.iter().map(flat).collect();
    let mut keys: Vec<_> = runs.iter().flat_map(|run| run.keys().cloned()).collect();
    keys.sort();
    keys.dedup();
    let row = |key: String| {
        let values: Vec<_> = runs.iter().map(|run| run.get(&key).cloned().unwrap_or_else(|| "–".to_owned())).collect();
        values.windows(2).any(|pair| pair[0] != pair[1]).then_some((key, values))
    };
    keys.into_iter().filter_map(row).collect()
}

fn flatten(key: &str, value: &Value, keys: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(fields) => match (fields.get("secs").and_then(Value::as_f64), fields.get("nanos")) {
            (Some(seconds), Some(_)) => drop(keys.insert(key.to_owned(), clock(seconds))),
            _ => {
                for (name, field) in fields {
                    let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                    flatten(&key, field, keys);
                }
            }
        },
        Value::String(text) => drop(keys.insert(key.to_owned(), text.clone())),
        Value::Null => {}
        other => drop(keys.insert(key.to_owned(), other.to_string())),
    }
}

/// Runs side by side as text.
#[must_use]
pub fn compare_table(reports: &[Report]) -> String {
    let mut rows = vec![std::iter::once(String::new()).chain(names(reports)).collect::<Vec<_>>()];
    for line in lines(reports) {
        let cells = (0..reports.len()).map(|index| line.cell(index));
        rows.push(std::iter::once(line.name.clone()).chain(cells).collect());
    }
    let mut text = align(&rows);
    for (name, report) in names(reports).iter().zip(reports) {
        text.push_str(&format!("\n{name}: {}", headline(report)));
    }
    let differences = differences(reports);
    text.push('\n');
    if !differences.is_empty() {
        text.push_str("\nNot the same:\n");
        let rows = differences.into_iter().map(|(key, values)| std::iter::once(key).chain(values).collect());
        text.push_str(&align(&rows.collect::<Vec<_>>()));
    }
    text
}

/// Columns under each other: the first to the left, the others to the right.
fn align(rows: &[Vec<String>]) -> String {
    let cut = |cell: &String| -> String {
        if cell.chars().count() <= COLUMN_MAX {
            return cell.clone();
        }
        cell.chars().take(COLUMN_MAX - 1).chain(['…']).collect()
    };
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let longest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
        if column == 0 { longest } else { longest.min(COLUMN_MAX) }
    };
    let widths: Vec<_> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = format!("{:<width$}", row.first().map_or("", String::as_str), width = widths[0]);
        for (cell, width) in row.iter().zip(&widths).skip(1) {
            line.push_str(&format!("  {:>width$}", cut(cell)));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Runs side by side as one HTML file without scripts.
#[must_use]
pub fn compare_html(reports: &[Report]) -> String {
    let names = names(reports);
    let mut page = Page::new(&format!("Comparison: {}", names.join(", ")));
    page.heading(1, &format!("{} runs side by side", reports.len()));
    page.soft("Ratios are to the first run. Absolute figures drift with the machine: compare runs of one sitting.");
    for (name, report) in names.iter().zip(reports) {
        let small = [format!("{} · {} · {}", report.scenario.name, report.at, report.urls.join(", "))];
        page.verdict(tone(report), &format!("{name}: {}", headline(report)), &small);
    }
    page.heading(2, "Plots");
    let mut plots = vec![percentile_plot("Delivery latency by percentile", reports, &names, delivery, WIDE)];
    let bars = [
        ("Delivered a second", "delivered a second", Unit::Count),
        ("Delivery p99", "delivery p99", Unit::Micros),
        ("Server CPU per delivery", "server CPU per delivery", Unit::Micros),
        ("Server memory per connection", "server memory per connection", Unit::Bytes),
    ];
    let lines = lines(reports);
    for (title, name, unit) in bars {
        plots.extend(lines.iter().find(|line| line.name == name).map(|line| bar_plot(title, unit, line, &names)));
    }
    page.plots(&plots, WIDE);
    page.heading(2, "Figures");
    let mut head = vec![""];
    head.extend(names.iter().map(String::as_str));
    let row = |line: &Line| {
        let cells = (0..reports.len()).map(|index| line.cell(index));
        let is_fault = ["lost", "doubled", "reordered"].contains(&line.name.as_str());
        let is_bad = is_fault && line.values.iter().any(|value| value.unwrap_or(0.0) > 0.0);
        (if is_bad { Tone::Bad } else { Tone::Plain }, std::iter::once(line.name.clone()).chain(cells).collect())
    };
    page.table("", &head, &lines.iter().map(row).collect::<Vec<_>>());
    page.heading(2, "What was not the same");
    let rows: Vec<_> = differences(reports)
        .into_iter()
        .map(|(key, values)| (Tone::Plain, std::iter::once(key).chain(values).collect()))
        .collect();
    if rows.is_empty() {
        page.soft("Nothing: scenario, seed, workers and machine were the same.");
    } else {
        page.table("", &head, &rows);
    }
    page.heading(2, "Commands");
    for (name, report) in names.iter().zip(reports) {
        page.heading(3, name);
        page.code(&report.command.join(" "));
    }
    page.finish(&format!("hubbub-load {}", env!("CARGO_PKG_VERSION")))
}

fn percentile_plot(
    title: &str,
    reports: &[Report],
    names: &[String],
    of: fn(&Report) -> &crate::stats::Times,
    width: f64,
) -> String {
    let curves: Vec<_> = names.iter().cloned().zip(reports.iter().map(of)).collect();
    let mut chart = by_percentile(title, &curves);
    (chart.width, chart.height) = (width, 400.0);
    chart.svg()
}

fn bar_plot(title: &str, unit: Unit, line: &Line, names: &[String]) -> String {
    let bar = |(index, name): (usize, &String)| {
        let value = line.values[index].unwrap_or(f64::NAN);
        let note = match line.values[0] {
            Some(first) if index > 0 && value.is_finite() => ratio(value, first),
            _ => String::new(),
        };
        Bar { name: name.clone(), value, note, colour: index }
    };
    let bars = names.iter().enumerate().map(bar).collect();
    BarChart { title: title.to_owned(), unit, bars, width: NARROW }.svg()
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn figures_stand_beside_their_ratio_to_the_first() {
        let mut other = sample::run("other", 2.0);
        other.scenario.messages.per_second = 300.0;
        other.observed.clear();
        let table = compare_table(&[sample::clean(), other, sample::clean()]);
        let line = |name: &str| table.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
        let cells: Vec<_> = line("delivery p50").split_whitespace().map(str::to_owned).collect();
        assert_eq!(cells.iter().filter(|cell| cell.contains('×')).count(), 2, "{table}");
        assert!(cells.contains(&"(2×)".to_owned()), "{table}");
        assert!(line("server CPU per delivery").contains('–'), "{table}");
        assert!(line("messages.per_second").contains("300"), "{table}");
        assert!(table.contains("hubbub #2"), "{table}");
        assert!(!table.contains("rooms.count"), "what is the same is not told: {table}");
    }

    #[test]
    fn the_page_stands_alone() {
        let page = compare_html(&[sample::clean(), sample::lossy()]);
        assert!(!page.contains("<script") && !page.contains("href=") && !page.contains("NaN"));
        assert!(page.contains("LOST 3") && page.contains("storm.share"));
    }
}

//! A sheet as a table of Markdown.
//!
//! Must never round a miss into a hit: the verdict is the bench's.

use std::fmt::Write as _;

use super::plots;
use crate::sheet::{Better, Row, Sheet, places};

/// The table, its plots below, and where and with what it was measured.
pub(super) fn of(sheet: &Sheet) -> String {
    let Sheet { title, command, rows, .. } = sheet;
    let mut text =
        format!("{title}. `{command}`\n\n| | | measured | goal | | |\n| --- | --- | ---: | ---: | --- | --- |\n");
    for row in rows {
        let Row { row: what, subject, measured, unit, goal, better, hit, note, .. } = row;
        let sign = if *better == Better::Lower { "≤" } else { "≥" };
        let goal = goal.map(|goal| format!("{sign} {}", figure(goal, unit))).unwrap_or_default();
        let verdict = match hit {
            None => "",
            Some(true) => "HIT",
            Some(false) => "MISS",
        };
        let cells =
            [what, subject, &figure(*measured, unit), &goal, verdict, note].map(|cell| cell.replace('|', "\\|"));
        // Writing to a string cannot fail.
        writeln!(text, "| {} |", cells.join(" | ")).ok();
    }
    text.push('\n');
    if !sheet.doubts.is_empty() {
        writeln!(text, "Not judged, since the load was the limit: {}.\n", sheet.doubts.join("; ")).ok();
    }
    for (name, _) in plots::of(sheet) {
        writeln!(text, "![{title}](performance/{name}.svg)\n").ok();
    }
    text + &origin(sheet) + "\n"
}

fn origin(sheet: &Sheet) -> String {
    let Sheet { date, commit, machine, versions, .. } = sheet;
    let versions: Vec<String> = versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
    let memory = machine.memory_bytes as f64 / f64::from(1 << 30);
    let place = format!("{} × {}, {memory:.0} GiB, {}", machine.processors, machine.processor, machine.system);
    format!("<sub>{date}, commit {commit}; {place}; {}</sub>\n", versions.join(", "))
}

/// A figure with thousands set apart.
fn figure(measured: f64, unit: &str) -> String {
    if !measured.is_finite() {
        return "not measured".to_owned();
    }
    let whole = measured.fract() == 0.0;
    let places = if whole { 0 } else { places(measured) };
    let text = format!("{measured:.places$}");
    let (digits, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |digits| ("-", digits));
    let mut grouped = String::from(sign);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if !fraction.is_empty() {
        grouped = format!("{grouped}.{fraction}");
    }
    match unit {
        "" => grouped,
        "times" => format!("{grouped}×"),
        unit if unit.starts_with('/') => format!("{grouped}{unit}"),
        unit => format!("{grouped} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_written_for_people() {
        assert_eq!(figure(4_000_000.0, "/s"), "4,000,000/s");
        assert_eq!(figure(1.234, "times"), "1.23×");
        assert_eq!(figure(-1234.5, "B"), "-1,234 B");
        assert_eq!(figure(0.0, ""), "0");
        assert_eq!(figure(f64::NAN, "ms"), "not measured");
    }

    #[test]
    fn a_table_says_where_it_comes_from() {
        let text = of(&super::super::tests::sheet());
        assert!(text.contains("| CPU \\| of a delivery | hubbub | 3 µs | ≤ 2.50 µs | MISS | a note |"), "{text}");
        assert!(text.contains("2026-01-31, commit 0123456789ab; 2 × A processor, 24 GiB, Linux 6.1; hubbub 0.1.0"));
    }
}

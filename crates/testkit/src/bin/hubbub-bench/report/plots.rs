//! A sheet as plots: bars of what was measured beside its goal and its floor, curves of what was varied.
//!
//! Must never draw figures of different units along one axis.

use hubbub_load::report::plot::{Axis, Bar, BarChart, LineChart, Series, Unit};

use crate::sheet::{Better, Row, Sheet};

/// As wide as a page of text.
const WIDTH: f64 = 720.0;
/// Hubbub, what it is compared with, and goals, as colours of the palette.
const OWN: usize = 0;
const OTHER: usize = 7;
const GOAL: usize = 1;

/// The plots of a sheet: name of the file without its ending, text of the SVG.
pub(super) fn of(sheet: &Sheet) -> Vec<(String, String)> {
    let mut plots = Vec::new();
    for (index, (_, rows)) in groups(&sheet.rows).iter().enumerate() {
        let name = if index == 0 { sheet.name.clone() } else { format!("{}-{}", sheet.name, index + 1) };
        plots.push((name, bars(&sheet.title, rows)));
    }
    for (index, (x, y)) in axes(sheet).into_iter().enumerate() {
        let name =
            format!("{}-curve{}", sheet.name, if index == 0 { String::new() } else { format!("-{}", index + 1) });
        plots.push((name, curves(sheet, &x, &y)));
    }
    plots
}

/// Rows of one unit that have something beside them: a goal above zero, or the same figure of somebody else.
fn groups(rows: &[Row]) -> Vec<(&str, Vec<&Row>)> {
    let mut groups: Vec<(&str, Vec<&Row>)> = Vec::new();
    // A ratio says in the table what the bars beside it show.
    let has_bars = |row: &Row| row.measured.is_finite() && !["", "times"].contains(&row.unit.as_str());
    let is_compared = |row: &Row| {
        row.goal.is_some_and(|goal| goal > 0.0)
            || rows.iter().any(|other| other.row == row.row && other.subject != row.subject)
    };
    for row in rows.iter().filter(|row| has_bars(row) && is_compared(row)) {
        match groups.iter_mut().find(|(unit, _)| *unit == row.unit) {
            Some((_, group)) => group.push(row),
            None => groups.push((&row.unit, vec![row])),
        }
    }
    groups
}

fn bars(title: &str, rows: &[&Row]) -> String {
    let unit = rows.first().map_or("", |row| row.unit.as_str());
    let mut bars = Vec::new();
    for row in rows {
        let verdict = match row.hit {
            None => "",
            Some(true) => "hit",
            Some(false) => "miss",
        };
        let colour = if row.subject == "hubbub" { OWN } else { OTHER };
        let value = row.measured * scale(unit);
        bars.push(Bar { name: format!("{}: {}", row.subject, row.row), value, note: verdict.to_owned(), colour });
        if let Some(goal) = row.goal.filter(|goal| *goal > 0.0) {
            let most = if row.better == Better::Lower { "at most" } else { "at least" };
            let name = format!("goal: {most}");
            bars.push(Bar { name, value: goal * scale(unit), note: String::new(), colour: GOAL });
        }
    }
    let title = if unit.is_empty() { title.to_owned() } else { format!("{title} ({unit})") };
    BarChart { title, unit: unit_of(unit), bars, width: WIDTH }.svg()
}

/// The pairs of axes, in the order of the curves.
fn axes(sheet: &Sheet) -> Vec<(String, String)> {
    let mut axes = Vec::new();
    for series in &sheet.series {
        let pair = (series.x.clone(), series.y.clone());
        if !axes.contains(&pair) {
            axes.push(pair);
        }
    }
    axes
}

fn curves(sheet: &Sheet, x: &str, y: &str) -> String {
    // Time goes evenly, amounts by their size.
    let below = if x == "seconds" { Axis::linear(x, Unit::Count) } else { Axis::log(x, Unit::Count) };
    let unit = y.split(' ').next().unwrap_or("");
    let mut chart = LineChart::new(&format!("{}: {y} over {x}", sheet.name), below, Axis::linear(y, unit_of(unit)));
    for series in sheet.series.iter().filter(|series| series.x == x && series.y == y) {
        let points = series.points.iter().map(|(x, y)| (*x, *y * scale(unit))).collect();
        chart = chart.with(Series::new(&series.name, points));
    }
    chart.svg()
}

/// How the figures of a unit are written.
fn unit_of(unit: &str) -> Unit {
    match unit {
        "µs" | "ms" | "s" => Unit::Micros,
        "B" | "MB" => Unit::Bytes,
        _ => Unit::Count,
    }
}

/// From the unit of a row to that of the plot.
fn scale(unit: &str) -> f64 {
    match unit {
        "ms" => 1e3,
        "s" | "MB" => 1e6,
        _ => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_alone_is_not_drawn() {
        let mut sheet = super::super::tests::sheet();
        sheet.rows.push(Row::new("alone", "hubbub", 1.0, "ms"));
        let names: Vec<String> = of(&sheet).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["a", "a-curve"]);
        sheet.point("a curve", ("nodes", "µs"), (1.0, 1.0));
        assert_eq!(of(&sheet).len(), 3, "rooms and nodes do not share an axis");
    }
}

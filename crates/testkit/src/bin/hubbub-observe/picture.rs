//! Panels as a page: each where the dashboard has it, drawn as plots.
//!
//! Pure. Must never ask anybody anything.

use hubbub_load::report::plot::{Axis, LineChart, Series, Unit, escape};

/// Pixels of a column and of a line of the dashboard's grid.
const COLUMN: u64 = 60;
const LINE: u64 = 36;

/// Left free between panels.
const GAP: u64 = 14;

/// Longer names are ids of rooms; so much of them is shown.
const NAME_CHARS_MAX: usize = 30;
const SHOWN_OF_IDS: usize = 6;

/// A curve and its name in the legend.
pub(crate) struct Curve {
    pub(crate) name: String,
    /// Seconds and values.
    pub(crate) points: Vec<(f64, f64)>,
}

/// What is known of a panel.
pub(crate) struct Panel {
    pub(crate) title: String,
    pub(crate) about: String,
    /// Grafana's name of it.
    pub(crate) unit: String,
    pub(crate) is_row: bool,
    pub(crate) is_stat: bool,
    pub(crate) is_stacked: bool,
    /// Left, top, width, height on the grid.
    pub(crate) place: (u64, u64, u64, u64),
    pub(crate) curves: Vec<Curve>,
}

/// The whole page.
pub(crate) fn page(panels: &[Panel]) -> String {
    let bottom = panels.iter().map(|panel| panel.place.1 + panel.place.3).max().unwrap_or_default();
    let boxes: String = panels.iter().map(boxed).collect();
    format!(
        "<!doctype html><meta charset=\"utf-8\"><title>Hubbub</title>\n<style>body {{ font: 14px sans-serif; margin: 0; \
         color: #333 }} div {{ position: absolute; overflow: hidden }} h2 {{ margin: 6px 0; border-bottom: 1px solid #ccc }} \
         b {{ font-size: 34px; font-weight: 500 }}</style>\n<main style=\"position: relative; width: {}px; height: \
         {}px\">\n{boxes}</main>\n",
        24 * COLUMN,
        bottom * LINE
    )
}

fn boxed(panel: &Panel) -> String {
    let (left, top, width, height) = panel.place;
    let (left, top, width, height) = (left * COLUMN, top * LINE, width * COLUMN - GAP, height * LINE - GAP / 2);
    let inside = match panel {
        Panel { is_row: true, .. } => format!("<h2>{}</h2>", escape(&panel.title)),
        Panel { is_stat: true, .. } => figure(panel),
        _ => chart(panel, width as f64, height as f64),
    };
    let about = escape(&panel.about);
    let style = format!("left: {left}px; top: {top}px; width: {width}px; height: {height}px");
    format!("<div style=\"{style}\" title=\"{about}\">{inside}</div>\n")
}

/// The newest value.
fn figure(panel: &Panel) -> String {
    let points = panel.curves.iter().flat_map(|curve| curve.points.iter().rev());
    let newest = points.map(|(_, value)| *value).find(|value| value.is_finite());
    let (unit, scale) = unit(&panel.unit);
    let shown = newest.map_or_else(|| "no value".to_owned(), |value| unit.write(value * scale));
    format!("{}<br><b>{}</b>", escape(&panel.title), escape(&shown))
}

fn chart(panel: &Panel, width: f64, height: f64) -> String {
    let (unit, scale) = unit(&panel.unit);
    let axes = (Axis::linear("", Unit::Elapsed), Axis::linear(&panel.unit, unit));
    let mut chart = LineChart::new(&panel.title, axes.0, axes.1);
    (chart.width, chart.height) = (width, height);
    let mut below: Vec<f64> = Vec::new();
    for curve in &panel.curves {
        let mut points: Vec<(f64, f64)> = curve.points.iter().map(|(at, value)| (*at, value * scale)).collect();
        if panel.is_stacked {
            below.resize(points.len(), 0.0);
            for (point, below) in points.iter_mut().zip(&mut below) {
                if point.1.is_finite() {
                    *below += point.1;
                    point.1 = *below;
                }
            }
        }
        let series = Series::new(&shortened(&curve.name), points);
        chart = chart.with(if panel.is_stacked { series.filled() } else { series });
    }
    chart.svg()
}

/// Ids would leave no room for the lines: their ends differ, their beginnings are times.
fn shortened(name: &str) -> String {
    let end = name.char_indices().rev().nth(SHOWN_OF_IDS - 1).map_or(0, |(at, _)| at);
    if name.chars().count() > NAME_CHARS_MAX { format!("…{}", &name[end..]) } else { name.to_owned() }
}

/// How Grafana's unit is written, and what its values are multiplied with for it.
fn unit(name: &str) -> (Unit, f64) {
    match name {
        "s" => (Unit::Micros, 1e6),
        "bytes" => (Unit::Bytes, 1.0),
        "percentunit" => (Unit::Percent, 1.0),
        _ => (Unit::Count, 1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panel(is_stat: bool, values: &[f64]) -> Panel {
        let points = values.iter().enumerate().map(|(second, value)| (second as f64, *value)).collect();
        Panel {
            title: "Send <p99>".to_owned(),
            about: String::new(),
            unit: "s".to_owned(),
            is_row: false,
            is_stat,
            is_stacked: true,
            place: (8, 1, 8, 8),
            curves: vec![Curve { name: "one".to_owned(), points }],
        }
    }

    #[test]
    fn a_panel_stands_in_its_place_with_its_newest_value() {
        let page = page(&[panel(true, &[0.5, 0.25, f64::NAN])]);
        assert!(page.contains("left: 480px; top: 36px; width: 466px"), "{page}");
        assert!(page.contains("250 ms") && page.contains("Send &lt;p99&gt;"), "{page}");
    }

    #[test]
    fn long_names_are_shown_by_their_ends() {
        assert_eq!(shortened("01a200aa-c4ea-724b-9972-2206cdaca540"), "…aca540");
        assert_eq!(shortened("127.0.0.1:17233"), "127.0.0.1:17233");
    }

    #[test]
    fn a_panel_without_values_says_so() {
        assert!(page(&[panel(true, &[f64::NAN])]).contains("no value"));
        assert!(page(&[panel(false, &[f64::NAN])]).contains("nothing was measured"));
    }
}

//! The report of one run as a page that is one file.
//!
//! Must never hold a script, or anything that is fetched.

use super::charts::{all_over_time, by_percentile};
use super::figures::{
    Standing, connections_most, cpu_per_delivery, headline, memory_per_connection, per_second, quantile, standing,
};
use super::model::Report;
use super::page::{Page, Tone};
use super::sections;
use super::units::{bytes, clock, count, micros, plural, rate, time};
use crate::stats::Times;

/// The width of a chart over the whole page, and of one of two beside each other.
pub(super) const WIDE: f64 = 1_098.0;
pub(super) const NARROW: f64 = 526.0;

/// Most notes that are shown.
const NOTES_MAX: usize = 50;

/// The report of a run as one HTML file without scripts.
#[must_use]
pub fn html(report: &Report) -> String {
    let mut page = Page::new(&format!("{} · {}", report.scenario.name, report.label));
    head(&mut page, report);
    tiles(&mut page, report);
    page.heading(2, "Latency and throughput");
    plots(&mut page, report);
    sections::percentiles(&mut page, report);
    sections::proof(&mut page, report);
    sections::problems(&mut page, report);
    sections::server(&mut page, report);
    sections::carried_out(&mut page, report);
    page.finish(&format!("hubbub-load {}, report form {}", report.version, report.format))
}

fn head(page: &mut Page, report: &Report) {
    page.heading(1, &format!("Load test “{}” against {}", report.scenario.name, report.label));
    page.soft(&format!(
        "{} · {} measured · {} · {}",
        report.at,
        clock(report.measured_seconds),
        plural(u64::from(report.scenario.connections.count), "connection", "connections"),
        report.urls.join(", ")
    ));
    page.verdict(tone(report), &headline(report), &below(report));
}

/// The colour of a verdict.
pub(super) fn tone(report: &Report) -> Tone {
    match standing(report) {
        Standing::Clean if report.validity.is_interrupted => Tone::Warn,
        Standing::Clean => Tone::Good,
        Standing::Unproved => Tone::Warn,
        Standing::Failed | Standing::Invalid | Standing::Faulty => Tone::Bad,
    }
}

/// What else there is to know about the verdict.
fn below(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    if standing(report) == Standing::Faulty && !report.validity.is_valid() {
        lines.push(format!("Also invalid: {}", report.validity.reasons.join("; ")));
    }
    let failed: Vec<_> = report.assertions.iter().filter(|(_, held, _)| !held).collect();
    for (clause, _, figure) in &failed {
        lines.push(format!("✗ {clause} does not hold: {figure}"));
    }
    if failed.is_empty() && !report.assertions.is_empty() {
        let held = plural(report.assertions.len() as u64, "assertion holds", "assertions hold");
        lines.push(format!("✓ {held}: {}", clauses(report)));
    }
    if !report.left_out.is_empty() {
        lines.push(format!("Left out, because {} knows no such thing: {}", report.peer, report.left_out.join(", ")));
    }
    lines.extend(report.notes.iter().take(NOTES_MAX).map(|note| format!("Note: {note}")));
    let rest = report.notes.len().saturating_sub(NOTES_MAX) as u64;
    if rest > 0 {
        lines.push(format!("Further notes stand in the JSON report: {}", count(rest)));
    }
    lines
}

fn clauses(report: &Report) -> String {
    let clauses: Vec<_> = report.assertions.iter().map(|(clause, _, figure)| format!("{clause} ({figure})")).collect();
    clauses.join(", ")
}

fn tiles(page: &mut Page, report: &Report) {
    let proof = &report.verdict.total;
    let plain = |figure: String, name: &str| (figure, name.to_owned(), Tone::Plain);
    let mut tiles = vec![(
        count(proof.lost),
        format!("lost of {} expected", count(proof.expected)),
        if proof.lost == 0 { if proof.expected > 0 { Tone::Good } else { Tone::Plain } } else { Tone::Bad },
    )];
    let shown = |times: &Times, share| quantile(times, share).map_or_else(|| "–".to_owned(), time);
    tiles.push(plain(shown(&report.timings.delivery, 0.5), "delivery p50"));
    tiles.push(plain(shown(&report.timings.delivery, 0.99), "delivery p99"));
    tiles.push(plain(shown(&report.timings.ack, 0.99), "ack p99"));
    tiles.push(plain(rate(per_second(report, report.measured.delivered)), "delivered"));
    tiles.push(plain(rate(per_second(report, report.measured.sent)), "sent"));
    tiles.push(plain(count(connections_most(report)), "connections at most"));
    let errors: u64 = report.counts.errors.values().sum();
    tiles.push((count(errors), "errors".to_owned(), if errors == 0 { Tone::Plain } else { Tone::Warn }));
    tiles.extend(cpu_per_delivery(report).map(|cpu| plain(micros(cpu), "server CPU per delivery")));
    tiles.extend(memory_per_connection(report).map(|memory| plain(bytes(memory), "server memory per connection")));
    page.tiles(&tiles);
}

fn plots(page: &mut Page, report: &Report) {
    let timings = &report.timings;
    let curves = [
        ("delivery".to_owned(), &timings.delivery),
        ("ack".to_owned(), &timings.ack),
        ("action".to_owned(), &timings.action),
    ];
    let mut first = by_percentile("Latency by percentile", &curves);
    (first.width, first.height) = (WIDE, 380.0);
    let mut plots = vec![first.svg()];
    let charts = all_over_time(report);
    let (count, is_odd) = (charts.len(), charts.len() % 2 == 1);
    plots.extend(charts.into_iter().enumerate().map(|(index, mut chart)| {
        // The last one of an odd number has a row of its own.
        let is_wide = is_odd && index + 1 == count;
        chart.width = if is_wide { WIDE } else { NARROW };
        chart.height = chart.height.min(if is_wide { 220.0 } else { 280.0 });
        chart.svg()
    }));
    page.plots(&plots, WIDE);
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn the_page_stands_alone_and_says_what_happened() {
        for report in [sample::clean(), sample::lossy()] {
            let page = html(&report);
            for forbidden in ["<script", "<link", "@import", "src=", "href=", "url(", "NaN", "<error>"] {
                assert!(!page.contains(forbidden), "{forbidden}");
            }
            assert_eq!(page.matches("<div").count(), page.matches("</div>").count());
            assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
            assert!(page.contains("prefers-color-scheme:dark"));
        }
        let mut lossy = sample::lossy();
        lossy.notes.push("--at `a < b`: it is still running".to_owned());
        let page = html(&lossy);
        assert!(page.contains("Note: --at `a &lt; b`: it is still running"));
        for expected in
            ["LOST 3 of 120,000", "load-7", "345", "p99&lt;20ms", "internal &lt;error&gt; &amp; more", "seed"]
        {
            assert!(page.contains(expected), "{expected}");
        }
    }

    #[test]
    fn a_run_that_measured_nothing_has_a_page() {
        let mut report = sample::clean();
        report.seconds.clear();
        report.observed.clear();
        report.timings = crate::stats::Timings::default();
        report.measured_seconds = 0.0;
        let page = html(&report);
        assert!(!page.contains("NaN") && !page.contains("inf"), "no division by nothing");
    }
}

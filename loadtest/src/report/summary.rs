//! The summary for a terminal after a run: the verdict first, no more lines than a small screen has.
//!
//! Must never print: it returns text.

use super::figures::{
    SHARES, Standing, connections_most, cpu_per_delivery, driver_busy_most, example, headline, memory_per_connection,
    per_second, standing,
};
use super::model::Report;
use super::units::{bytes, clock, count, micros, percent, plural, rate, time};
use crate::stats::Times;

/// Most lines of a summary.
const LINES_MAX: usize = 25;
/// Most examples, kinds of error and assertions in it; the HTML report has all.
const EXAMPLES_MAX: usize = 3;
const ERRORS_MAX: usize = 3;
const ASSERTIONS_MAX: usize = 4;
/// Most notes, and the signs of one.
const NOTES_MAX: usize = 4;
const NOTE_CHARS_MAX: usize = 96;

/// The summary without colours.
#[must_use]
pub fn summary(report: &Report) -> String {
    summary_coloured(report, false)
}

/// The summary, with colours if asked for.
#[must_use]
pub fn summary_coloured(report: &Report, with_colours: bool) -> String {
    let paint = Paint { with_colours };
    let mut lines = vec![paint.verdict(report)];
    if standing(report) == Standing::Faulty {
        if !report.validity.is_valid() {
            lines.push(paint.red(&format!("  and INVALID: {}", report.validity.reasons.join("; "))));
        }
        let examples = &report.verdict.examples;
        lines.extend(examples.iter().take(EXAMPLES_MAX).map(|shown| format!("  {}", example(shown))));
    }
    lines.push(run_line(report));
    lines.push(String::new());
    counts(report, &mut lines);
    lines.push(String::new());
    latencies(report, &mut lines);
    rest(report, &paint, &mut lines);
    lines.truncate(LINES_MAX);
    lines.join("\n") + "\n"
}

fn run_line(report: &Report) -> String {
    let scenario = &report.scenario;
    format!(
        "  {} against {} ({}), {} measured, {}, seed {}",
        scenario.name,
        report.label,
        report.urls.first().map_or("", String::as_str),
        clock(report.measured_seconds),
        plural(u64::from(report.workers), "worker", "workers"),
        report.seed
    )
}

fn counts(report: &Report, lines: &mut Vec<String>) {
    let (all, measured, proof) = (&report.counts, &report.measured, &report.verdict.total);
    let refused = if all.refused > 0 { format!(", {} refused", count(all.refused)) } else { String::new() };
    lines.push(format!(
        "messages     {} sent, {} acked{refused}, {} delivered",
        count(all.sent),
        count(all.acked),
        count(all.delivered)
    ));
    let away = if proof.away > 0 { format!(", {} sent while away", count(proof.away)) } else { String::new() };
    lines.push(format!(
        "proof        {} expected: {} lost, {} doubled, {} reordered{away}",
        count(proof.expected),
        count(proof.lost),
        count(proof.doubled),
        count(proof.reordered)
    ));
    lines.push(format!(
        "connections  {} at most, {} opened, {} failed, {} dropped",
        count(connections_most(report)),
        count(all.opened),
        count(all.failed),
        count(all.dropped)
    ));
    lines.push(format!(
        "throughput   {} sent, {} delivered; {}/s in, {}/s out",
        rate(per_second(report, measured.sent)),
        rate(per_second(report, measured.delivered)),
        bytes(per_second(report, measured.bytes_in)),
        bytes(per_second(report, measured.bytes_out))
    ));
}

fn latencies(report: &Report, lines: &mut Vec<String>) {
    let head: String = SHARES[..4].iter().map(|(name, _)| format!("{name:>10}")).collect();
    lines.push(format!("{:<12}{head}{:>10}", "latency", "max"));
    let timings = &report.timings;
    let named = [
        ("delivery", &timings.delivery),
        ("ack", &timings.ack),
        ("connect", &timings.connect),
        ("subscribe", &timings.subscribe),
        ("recover", &timings.recover),
        ("action", &timings.action),
    ];
    lines.extend(named.iter().filter(|(_, times)| times.count() > 0).map(|(name, times)| latency(name, times)));
}

fn latency(name: &str, times: &Times) -> String {
    let shares: String = SHARES[..4].iter().map(|(_, share)| format!("{:>10}", time(times.quantile(*share)))).collect();
    format!("  {name:<10}{shares}{:>10}", time(times.max()))
}

fn rest(report: &Report, paint: &Paint, lines: &mut Vec<String>) {
    let mut cost = Vec::new();
    cost.extend(cpu_per_delivery(report).map(|cpu| format!("{} CPU per delivery", micros(cpu))));
    cost.extend(memory_per_connection(report).map(|memory| format!("{} per connection", bytes(memory))));
    if !cost.is_empty() {
        lines.push(format!("server       {}", cost.join(", ")));
    }
    let late = &report.timings.lateness;
    let lateness = if late.count() > 0 { format!(", p99 late {}", time(late.quantile(0.99))) } else { String::new() };
    lines.push(format!("driver       busiest thread {} at most{lateness}", percent(driver_busy_most(report))));
    if !report.counts.errors.is_empty() {
        lines.push(format!("errors       {}", errors(report)));
    }
    if !report.left_out.is_empty() {
        lines.push(format!("left out     {} ({} knows no such thing)", report.left_out.join(", "), report.peer));
    }
    // What failed must not be cut off.
    let mut assertions: Vec<_> = report.assertions.iter().collect();
    assertions.sort_by_key(|(_, held, _)| *held);
    for (clause, held, figure) in assertions.iter().take(ASSERTIONS_MAX) {
        let line = format!("{} {clause}  ({figure})", if *held { "✓" } else { "✗" });
        lines.push(if *held { paint.green(&line) } else { paint.red(&line) });
    }
    notes(&report.notes, lines);
}

fn notes(notes: &[String], lines: &mut Vec<String>) {
    // Whatever is cut off here stands in the HTML report.
    let room = LINES_MAX.saturating_sub(lines.len()).min(NOTES_MAX);
    for note in notes.iter().take(room) {
        let (line, is_cut) =
            note.char_indices().nth(NOTE_CHARS_MAX).map_or((note.as_str(), false), |(end, _)| (&note[..end], true));
        let line: String = line.chars().map(|sign| if sign.is_control() { ' ' } else { sign }).collect();
        lines.push(format!("note         {line}{}", if is_cut { "…" } else { "" }));
    }
}

fn errors(report: &Report) -> String {
    let mut kinds: Vec<_> = report.counts.errors.iter().collect();
    kinds.sort_by_key(|(_, number)| std::cmp::Reverse(**number));
    let shown: Vec<_> =
        kinds.iter().take(ERRORS_MAX).map(|(kind, number)| format!("{} × {kind}", count(**number))).collect();
    let more = kinds.len().saturating_sub(ERRORS_MAX);
    if more > 0 {
        format!("{}, {} more", shown.join(", "), plural(more as u64, "kind", "kinds"))
    } else {
        shown.join(", ")
    }
}

struct Paint {
    with_colours: bool,
}

impl Paint {
    fn verdict(&self, report: &Report) -> String {
        let text = headline(report);
        if !self.with_colours {
            return text;
        }
        let colour = if standing(report).is_good() { 32 } else { 31 };
        format!("\x1b[1;{colour}m{text}\x1b[0m")
    }

    fn red(&self, text: &str) -> String {
        if self.with_colours { format!("\x1b[31m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn green(&self, text: &str) -> String {
        if self.with_colours { format!("\x1b[32m{text}\x1b[0m") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn the_verdict_comes_first() {
        let clean = summary(&sample::clean());
        assert!(clean.starts_with("CLEAN: all 119,"), "{clean}");
        let lossy = summary(&sample::lossy());
        assert!(lossy.starts_with("LOST 3 of 120,000, DOUBLED 1\n"), "{lossy}");
        assert!(lossy.contains("lost: room load-7, sender 12, number 345, at connection 40"), "{lossy}");
        let mut late = sample::clean();
        late.validity.reasons.push("the driver fell behind by 1.2 s".to_owned());
        assert!(summary(&late).starts_with("INVALID: the driver fell behind by 1.2 s\n"));
        let mut both = sample::lossy();
        both.validity.reasons.push("the driver fell behind".to_owned());
        assert!(summary(&both).contains("and INVALID: the driver fell behind"));
        let mut idle = sample::clean();
        idle.verdict = crate::proof::Verdict::default();
        assert!(summary(&idle).starts_with("NOTHING TO PROVE"));
    }

    #[test]
    fn notes_are_told_and_cut() {
        let mut report = sample::clean();
        report.notes = vec!["metrics: no answer".to_owned(), "ä".repeat(300), "a\nb\x1b".to_owned()];
        let text = summary(&report);
        assert!(text.contains("\nnote         metrics: no answer\n"), "{text}");
        assert!(text.contains("ä…\nnote         a b \n"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 110), "{text}");
        report.notes = vec!["again".to_owned(); 100];
        assert!(summary(&report).lines().count() <= LINES_MAX);
    }

    #[test]
    fn it_fits_a_small_screen() {
        let text = summary(&sample::lossy());
        assert!(text.lines().count() <= LINES_MAX, "{text}");
        assert!(text.contains("✗ p99<20ms"), "a failed assertion is always there: {text}");
        assert!(!text.contains('\x1b'));
        assert!(text.lines().all(|line| line.chars().count() <= 110), "{text}");
        assert!(summary_coloured(&sample::lossy(), true).contains("\x1b[1;31mLOST"));
    }
}

//! The results of runs as tables of a document, between its marks.
//!
//! Must never touch the prose around the marks, and never show the better of two seeds.

use std::fmt::Write as _;

use anyhow::{Context as _, Result, bail};

use super::felt::{Felt, Times};
use super::outcome::{Outcome, Phases, Results};
use super::scenario;

const END: &str = "<!-- /prove -->";

/// The text with new tables between its marks, `<!-- prove:NAME -->` and `<!-- /prove -->`.
///
/// `scenarios` and `mutations` are tables over all; any other name is that of one outcome and its figures.
///
/// # Errors
/// When a mark has no end.
pub fn fill(text: &str, results: &Results) -> Result<String> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("<!-- prove:") {
        let (name, behind) = behind.split_once(" -->").context("a mark does not end")?;
        let Some((_, after)) = behind.split_once(END) else { bail!("the mark of {name} has no {END}") };
        let table = match name {
            "scenarios" => scenarios(results),
            "mutations" => mutations(results),
            name => figures(name, results),
        };
        let table = if table.is_empty() { "Not run yet.\n".to_owned() } else { table };
        write!(filled, "{before}<!-- prove:{name} -->\n{table}{END}")?;
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

/// The outcomes of this name without a mutation, by seed.
fn of<'a>(results: &'a Results, name: &str) -> Vec<&'a Outcome> {
    results.0.values().filter(|outcome| outcome.name == name && outcome.mutation.is_none()).collect()
}

fn scenarios(results: &Results) -> String {
    let mut text = String::new();
    for scenario in scenario::ALL {
        let outcomes = of(results, scenario.name);
        if !outcomes.is_empty() {
            text.push_str(&row(scenario.what, &outcomes));
        }
    }
    if text.is_empty() {
        return text;
    }
    let head = "| scenario | seeds | lost, doubled, reordered, contradicted | errors felt | ack p99, worst | delivery p50, \
                p99, worst before | during | behind | healed after | what shows it | |\n\
                | --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- | --- |\n";
    format!("{head}{text}\n{}", origin(results))
}

fn row(what: &str, outcomes: &[&Outcome]) -> String {
    let Some(first) = outcomes.first() else { return String::new() };
    let seeds: Vec<String> = outcomes.iter().map(|outcome| outcome.seed.to_string()).collect();
    let sum = |count: fn(&Outcome) -> u64| outcomes.iter().map(|outcome| count(outcome)).sum::<u64>();
    let counted = [
        sum(|outcome| outcome.counted.lost),
        sum(|outcome| outcome.counted.doubled),
        sum(|outcome| outcome.counted.reordered),
        sum(|outcome| outcome.counted.contradicted),
    ];
    let phases: Vec<&Phases> = outcomes.iter().filter_map(|outcome| outcome.phases.as_ref()).collect();
    let errors = phases.iter().map(|phases| phases.during.errors_total() + phases.after.errors_total()).max();
    let acks = worst(&phases, |phases| phases.during.acks);
    let healed: Option<u64> = phases.iter().map(|phases| phases.healed_ms).collect::<Option<Vec<_>>>().and_then(max);
    let seen = first.seen.as_ref().map_or_else(String::new, |seen| {
        format!("`{}` {} {}", seen.metric, seen.how, seen.value.map_or_else(|| "unknown".to_owned(), number))
    });
    let failed = outcomes.iter().filter(|outcome| !outcome.proved).count();
    let verdict = if failed == 0 { "proved".to_owned() } else { format!("**NOT PROVED** in {failed}") };
    let delivery = |part: fn(&Phases) -> &Felt| times(worst(&phases, |phases| part(phases).deliveries));
    format!(
        "| `{}`: {what} | {} | {} | {} | {}, {} | {} | {} | {} | {} | {seen} | {verdict} |\n",
        first.name,
        seeds.join(", "),
        counted.map(|count| count.to_string()).join(", "),
        errors.unwrap_or(0),
        millis(acks.p99_ms),
        millis(acks.worst_ms),
        delivery(|phases| &phases.before),
        delivery(|phases| &phases.during),
        delivery(|phases| &phases.after),
        healed.map_or_else(|| "never".to_owned(), millis),
    )
}

fn max(all: Vec<u64>) -> Option<u64> {
    all.into_iter().max()
}

/// The worst of each over the seeds.
fn worst(phases: &[&Phases], part: impl Fn(&Phases) -> Times) -> Times {
    phases.iter().map(|phases| part(phases)).fold(Times::default(), |worst, one| Times {
        count: worst.count + one.count,
        p50_ms: worst.p50_ms.max(one.p50_ms),
        p99_ms: worst.p99_ms.max(one.p99_ms),
        worst_ms: worst.worst_ms.max(one.worst_ms),
    })
}

fn times(times: Times) -> String {
    format!("{}, {}, {}", millis(times.p50_ms), millis(times.p99_ms), millis(times.worst_ms))
}

/// Milliseconds for people.
#[must_use]
pub fn millis(ms: u64) -> String {
    if ms < 10_000 { format!("{ms} ms") } else { format!("{}.{} s", ms / 1000, ms % 1000 / 100) }
}

fn number(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

/// Each figure of an outcome, a column for each seed.
fn figures(name: &str, results: &Results) -> String {
    let outcomes = of(results, name);
    let Some(first) = outcomes.first() else { return String::new() };
    let mut text = format!("{}\n\n| |", first.what);
    for outcome in &outcomes {
        write!(text, " seed {} |", outcome.seed).ok();
    }
    text.push_str("\n| --- |");
    text.push_str(&" ---: |".repeat(outcomes.len()));
    text.push('\n');
    for figure in &first.figures {
        write!(text, "| {} |", figure.name).ok();
        for outcome in &outcomes {
            let found = outcome.figures.iter().find(|other| other.name == figure.name);
            write!(text, " {} |", found.map_or_else(|| "—".to_owned(), super::outcome::Figure::text)).ok();
        }
        text.push('\n');
    }
    text.push_str("| verdict |");
    for outcome in &outcomes {
        write!(text, " {} |", if outcome.proved { "proved" } else { "**NOT PROVED**" }).ok();
    }
    let notes: Vec<&str> = first.notes.iter().map(String::as_str).collect();
    let notes = if notes.is_empty() { String::new() } else { format!("\n{}.\n", notes.join("; ")) };
    format!("{text}\n{notes}\n<sub>`{}`; {}, commit {}</sub>\n", first.command, first.date, first.commit)
}

fn mutations(results: &Results) -> String {
    let mut text = String::new();
    for outcome in results.0.values() {
        let Some(mutation) = &outcome.mutation else { continue };
        let found = outcome.complaints.first().map_or("nothing", String::as_str);
        let verdict = if outcome.proved { "**NOT FOUND**" } else { "found" };
        writeln!(text, "| `{}` | `{mutation}` | {verdict} | {} |", outcome.name, found.replace('|', "\\|")).ok();
    }
    if text.is_empty() {
        return text;
    }
    format!("| scenario | switched off | | by what, first of all |\n| --- | --- | --- | --- |\n{text}\n")
}

/// Where the tables come from: the days and commits of what is in them.
fn origin(results: &Results) -> String {
    let mut origins: Vec<String> =
        results.0.values().map(|outcome| format!("{}, commit {}", outcome.date, outcome.commit)).collect();
    origins.sort_unstable();
    origins.dedup();
    format!("<sub>`cargo xtask prove --scenario NAME --seed N`; {}</sub>\n", origins.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prove::outcome::Figure;

    #[test]
    fn tables_stand_between_their_marks() {
        let mut results = Results::default();
        let mut outcome = Outcome::new("redis-outage", "what", 1, "a command");
        let slow =
            Felt { deliveries: Times { count: 9, p50_ms: 80, p99_ms: 900, worst_ms: 12_345 }, ..Felt::default() };
        outcome.phases = Some(Phases { during: slow, healed_ms: Some(250), ..Phases::default() });
        outcome.conclude();
        results.take(Outcome { seed: 2, proved: false, ..outcome.clone() });
        results.take(outcome);
        let mut rollout = Outcome::new("rollout", "a rollout", 1, "another command");
        rollout.figures.push(Figure::new("lost", 0.0, "").at_most(0.0));
        results.take(rollout);
        let text = "# Prose\n<!-- prove:scenarios -->\nold\n<!-- /prove -->\nmore\n<!-- prove:rollout --><!-- /prove -->\n\
                    <!-- prove:soak --><!-- /prove -->\nend\n";
        let filled = fill(text, &results).expect("marks in order");
        assert!(filled.contains("| 1, 2 | 0, 0, 0, 0 |"), "{filled}");
        assert!(filled.contains("| 80 ms, 900 ms, 12.3 s |") && filled.contains("| 250 ms |"), "{filled}");
        assert!(filled.contains("**NOT PROVED** in 1"), "{filled}");
        assert!(filled.contains("| lost | 0 (limit ≤ 0) |"), "{filled}");
        assert!(filled.contains("<!-- prove:soak -->\nNot run yet.\n<!-- /prove -->\nend\n"), "{filled}");
        assert!(!filled.contains("old"), "{filled}");
        assert_eq!(fill(&filled, &results).expect("marks in order"), filled, "twice is as once");
        assert!(fill("<!-- prove:scenarios -->", &results).is_err(), "no end");
    }
}

//! The tables below the plots of a report.
//!
//! Must never be longer than a person reads: what is cut is counted.

use std::time::Duration;

use super::figures::{SHARES, cpu_per_delivery, driver_busy_most, fault, memory_most, timings};
use super::model::Report;
use super::page::{Page, Tone};
use super::units::{bytes, clock, count, micros, percent, plural, short, time};
use crate::proof::RoomProof;
use crate::scenario::{Arrivals, Popularity, Scenario, Sizes};

/// Most rooms of the table, and how many of them are told though they have no fault.
const ROOMS_MAX: usize = 20;
const CLEAN_ROOMS_MAX: usize = 5;
/// Most metrics of one group.
const METRICS_MAX: usize = 60;

pub(super) fn percentiles(page: &mut Page, report: &Report) {
    page.heading(2, "Timings");
    let mut head = vec!["timing", "count", "mean"];
    head.extend(SHARES.iter().map(|(name, _)| *name));
    head.push("max");
    let rows: Vec<_> = timings(&report.timings)
        .into_iter()
        .filter(|(_, _, times)| times.count() > 0)
        .map(|(name, _, times)| {
            let mut cells = vec![name.to_owned(), count(times.count()), time(times.mean())];
            cells.extend(SHARES.iter().map(|(_, share)| time(times.quantile(*share))));
            cells.push(time(times.max()));
            (Tone::Plain, cells)
        })
        .collect();
    page.table("", &head, &rows);
    let meanings = timings(&report.timings);
    let shown = meanings.iter().filter(|(_, _, times)| times.count() > 0);
    let text: Vec<_> = shown.map(|(name, meaning, _)| format!("{name}: {meaning}")).collect();
    page.soft(&format!(
        "{}. Counted from the intended moment, so a server that stalls cannot hide it.",
        text.join(" · ")
    ));
}

pub(super) fn proof(page: &mut Page, report: &Report) {
    page.heading(2, "Proof");
    let head = ["room", "expected", "delivered", "lost", "doubled", "reordered", "though refused", "while away"];
    let mut rooms: Vec<_> = report.verdict.rooms.iter().collect();
    rooms.sort_by_key(|(_, proof)| std::cmp::Reverse((faults(proof), proof.expected)));
    let faulty = rooms.iter().filter(|(_, proof)| faults(proof) > 0).count();
    let shown = faulty.saturating_add(CLEAN_ROOMS_MAX).min(ROOMS_MAX).min(rooms.len());
    let mut rows = vec![proof_row("all rooms", &report.verdict.total)];
    rows.extend(rooms.iter().take(shown).map(|(name, proof)| proof_row(name, proof)));
    page.table("", &head, &rows);
    let rest = (rooms.len() - shown) as u64;
    if rest > 0 {
        let rest_is_clean = rooms[shown..].iter().all(|(_, proof)| faults(proof) == 0);
        let verdict = if rest_is_clean { ", all without faults" } else { "" };
        page.soft(&format!("The worst rooms come first; {} more{verdict}.", plural(rest, "room", "rooms")));
    }
    if report.verdict.is_inexact {
        page.soft("There were more holes than are kept: the counts are close, not exact.");
    }
    if !report.verdict.examples.is_empty() {
        page.heading(3, "The first faults");
        let rows = report.verdict.examples.iter().map(|example| {
            let numbers = [example.sender, example.number, example.connection].map(|number| number.to_string());
            let mut cells = vec![fault(example.fault).to_owned(), example.room.clone()];
            cells.extend(numbers);
            (Tone::Plain, cells)
        });
        page.table("", &["fault", "room", "sender", "number", "at connection"], &rows.collect::<Vec<_>>());
    }
}

fn faults(proof: &RoomProof) -> u64 {
    proof.lost + proof.doubled + proof.reordered + proof.contradicted
}

fn proof_row(name: &str, proof: &RoomProof) -> (Tone, Vec<String>) {
    let RoomProof { expected, delivered, lost, doubled, reordered, contradicted, away } = *proof;
    let mut cells = vec![name.to_owned()];
    cells.extend([expected, delivered, lost, doubled, reordered, contradicted, away].map(count));
    (if faults(proof) > 0 { Tone::Bad } else { Tone::Plain }, cells)
}

pub(super) fn problems(page: &mut Page, report: &Report) {
    page.heading(2, "Connections and errors");
    let all = &report.counts;
    let named = [
        ("opened", all.opened),
        ("failed to connect", all.failed),
        ("dropped without being asked to", all.dropped),
        ("messages sent", all.sent),
        ("acked", all.acked),
        ("refused", all.refused),
        ("delivered", all.delivered),
        ("other actions answered", all.actions),
    ];
    let mut facts: Vec<_> = named.iter().map(|(name, number)| ((*name).to_owned(), count(*number))).collect();
    facts.push((
        "bytes in / out".to_owned(),
        format!("{} / {}", bytes(all.bytes_in as f64), bytes(all.bytes_out as f64)),
    ));
    page.raw("<div class=\"two\"><div>");
    page.heading(3, "The whole run");
    page.facts(&facts);
    page.raw("</div><div>");
    page.heading(3, "Errors by kind");
    let mut kinds: Vec<_> = all.errors.iter().collect();
    kinds.sort_by_key(|(_, number)| std::cmp::Reverse(**number));
    if kinds.is_empty() {
        page.soft("None.");
    } else {
        let rows: Vec<_> =
            kinds.iter().map(|(kind, number)| (Tone::Plain, vec![(*kind).clone(), count(**number)])).collect();
        page.table("", &["kind", "count"], &rows);
    }
    page.raw("</div></div>");
}

pub(super) fn server(page: &mut Page, report: &Report) {
    if report.observed.is_empty() && report.metrics.is_empty() {
        return;
    }
    page.heading(2, "The server");
    if !report.observed.is_empty() {
        let row = |observed: &super::model::Observed| {
            let busy = if report.measured_seconds > 0.0 { observed.cpu_seconds / report.measured_seconds } else { 0.0 };
            let cpu = time(Duration::from_secs_f64(observed.cpu_seconds.max(0.0)));
            let cells = [observed.name.clone(), observed.pid.to_string(), cpu, percent(busy)];
            (Tone::Plain, cells.into_iter().chain([bytes(memory_most(observed) as f64)]).collect::<Vec<_>>())
        };
        let rows: Vec<_> = report.observed.iter().map(row).collect();
        page.table("", &["process", "pid", "CPU, measured time", "of one processor", "memory at most"], &rows);
        if let Some(cpu) = cpu_per_delivery(report) {
            page.soft(&format!("All watched processes together: {} CPU per delivery.", micros(cpu)));
        }
    }
    let (own, others): (Vec<_>, Vec<_>) = report.metrics.iter().partition(|(name, _)| name.starts_with("hubbub_"));
    for (title, metrics) in
        [("Its metrics: counters over the measured time, gauges at its end", own), ("Further metrics", others)]
    {
        if metrics.is_empty() {
            continue;
        }
        page.heading(3, title);
        let row = |(name, value): &(&String, &f64)| (Tone::Plain, vec![(*name).clone(), metric(name, **value)]);
        let rows: Vec<_> = metrics.iter().take(METRICS_MAX).map(row).collect();
        page.table("", &["metric", "value"], &rows);
        let rest = metrics.len().saturating_sub(METRICS_MAX);
        if rest > 0 {
            page.soft(&format!("{rest} more stand in the JSON."));
        }
    }
}

fn metric(name: &str, value: f64) -> String {
    match name.split('{').next().unwrap_or(name) {
        name if name.ends_with("_bytes") => bytes(value),
        name if name.contains("_seconds")
            && !name.ends_with("_count")
            && !name.ends_with("_bucket")
            && value < 86_400.0 =>
        {
            micros(value * 1e6)
        }
        _ => short(value),
    }
}

pub(super) fn carried_out(page: &mut Page, report: &Report) {
    page.heading(2, "How it was carried out");
    page.heading(3, "Command");
    page.code(&report.command.join(" "));
    page.raw("<div class=\"two\"><div>");
    page.heading(3, "Scenario");
    page.facts(&scenario(&report.scenario));
    page.raw("</div><div>");
    page.heading(3, "Driver");
    let machine = &report.machine;
    let validity = if report.validity.is_valid() { "valid".to_owned() } else { report.validity.reasons.join("; ") };
    let facts = [
        (
            "machine",
            format!("{}, {}", machine.processor, plural(u64::from(machine.processors), "processor", "processors")),
        ),
        ("memory", bytes(machine.memory_bytes as f64)),
        ("system", machine.system.clone()),
        ("began", report.at.clone()),
        ("measured", clock(report.measured_seconds)),
        ("worker threads", report.workers.to_string()),
        ("busiest thread", percent(driver_busy_most(report))),
        ("seed", report.seed.to_string()),
        ("validity", validity),
        ("stopped early", if report.validity.is_interrupted { "yes" } else { "no" }.to_owned()),
        ("peer", report.peer.clone()),
        ("addresses", report.urls.join(", ")),
        ("version", report.version.clone()),
    ];
    page.facts(&facts.map(|(name, fact)| (name.to_owned(), fact)));
    page.raw("</div></div>");
}

/// A scenario in words, without what it does not do.
pub(super) fn scenario(scenario: &Scenario) -> Vec<(String, String)> {
    let Scenario { connections, rooms, messages, .. } = scenario;
    let popularity = match rooms.popularity {
        Popularity::Uniform => "of one size".to_owned(),
        Popularity::Zipf { exponent } => format!("sizes by Zipf, exponent {exponent}"),
    };
    let arrivals = match messages.arrivals {
        Arrivals::Even => "evenly",
        Arrivals::Poisson => "as a Poisson process",
    };
    let body = match messages.body {
        Sizes::Fixed(size) => format!("{size} bytes"),
        Sizes::Uniform { min, max } => format!("{min} to {max} bytes"),
    };
    let senders = if messages.senders_per_room == 0 {
        "everybody".to_owned()
    } else {
        format!("{} in each room", messages.senders_per_room)
    };
    let mut facts = vec![
        ("scenario", format!("{}: {}", scenario.name, scenario.about)),
        (
            "time",
            format!(
                "{} warm-up, {} measured, at most {} for stragglers",
                span(scenario.warmup),
                span(scenario.duration),
                span(scenario.settle)
            ),
        ),
        (
            "connections",
            format!(
                "{}, {} opened a second, at most {} handshakes at once",
                count(connections.count.into()),
                short(connections.per_second),
                connections.handshakes_max
            ),
        ),
        (
            "rooms",
            format!("{} {popularity}; each connection follows {}", count(rooms.count.into()), rooms.per_connection),
        ),
        ("messages", format!("{} a second, {arrivals}; {senders} sends", short(messages.per_second))),
        ("message text", body),
    ];
    besides(scenario, &mut facts);
    facts.into_iter().map(|(name, fact)| (name.to_owned(), fact)).collect()
}

fn span(duration: Duration) -> String {
    clock(duration.as_secs_f64())
}

/// What happens besides messages.
fn besides(scenario: &Scenario, facts: &mut Vec<(&'static str, String)>) {
    let Scenario { connections, actions, hostile, .. } = scenario;
    if connections.churn_per_second > 0.0 {
        facts.push(("churn", format!("{} a second leave and come back", short(connections.churn_per_second))));
    }
    let others = [
        ("typing", actions.typing_per_second),
        ("read marks", actions.read_per_second),
        ("history pages", actions.page_per_second),
    ];
    let others: Vec<_> =
        others.iter().filter(|(_, rate)| *rate > 0.0).map(|(name, rate)| format!("{} {name}", short(*rate))).collect();
    if !others.is_empty() {
        facts.push(("besides, a second", others.join(", ")));
    }
    for stage in &scenario.stages {
        let mut goals = Vec::new();
        goals.extend(stage.messages_per_second.map(|rate| format!("{} messages a second", short(rate))));
        goals.extend(stage.connections.map(|number| format!("{} connections", count(number.into()))));
        facts.push(("stage", format!("over {} to {}", span(stage.duration), goals.join(" and "))));
    }
    if let Some(storm) = &scenario.storm {
        let pace = if storm.per_second > 0.0 {
            format!("{} a second", short(storm.per_second))
        } else {
            "as fast as they can".to_owned()
        };
        facts.push((
            "storm",
            format!("after {} {} are cut and come back, {pace}", span(storm.at), percent(storm.share)),
        ));
    }
    if hostile.count() > 0 {
        facts.push((
            "hostile",
            format!(
                "{} slow readers ({}/s), {} flooders ({} frames a second each), {} half-open",
                hostile.slow_readers,
                bytes(hostile.slow_bytes_per_second.into()),
                hostile.flooders,
                short(hostile.flood_per_second),
                hostile.half_open
            ),
        ));
    }
}

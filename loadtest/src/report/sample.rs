//! Reports that were never measured, for tests and for looking at the pages.
//!
//! Must never be shown to people as results.

use std::collections::BTreeMap;
use std::time::Duration;

use super::model::{Machine, Observed, Report, Sample, Validity};
use crate::proof::{Example, Fault, RoomProof, Verdict};
use crate::scenario::{Actions, Arrivals, Connections, Hostile, Messages, Popularity, Rooms, Scenario, Sizes, Storm};
use crate::stats::{Counts, Second, Timings};

const SECONDS: i64 = 60;
const WARMUP: i64 = 8;

/// A run without faults.
pub(super) fn clean() -> Report {
    run("hubbub", 1.0)
}

/// A run like [`clean`], so many times slower.
pub(super) fn run(label: &str, slowness: f64) -> Report {
    let seconds: Vec<_> = (-WARMUP..SECONDS).map(|at| second(at, slowness)).collect();
    let (mut counts, mut measured, mut timings) = (Counts::default(), Counts::default(), Timings::default());
    for second in &seconds {
        counts.follow(&second.counts);
        if second.at >= 0 {
            measured.follow(&second.counts);
            timings.merge(&second.timings);
        } else {
            timings.connect.merge(&second.timings.connect);
            timings.subscribe.merge(&second.timings.subscribe);
        }
    }
    let mut verdict = Verdict::default();
    for room in 0..40 {
        let name = format!("load-{room}");
        let proof = RoomProof { expected: 2_999, delivered: 2_999, ..RoomProof::default() };
        verdict.rooms.insert(name, proof);
    }
    verdict.total = RoomProof { expected: 40 * 2_999, delivered: 40 * 2_999, ..RoomProof::default() };
    Report {
        notes: Vec::new(),
        format: 1,
        version: "0.1.0".to_owned(),
        label: label.to_owned(),
        command: [
            "hubbub-load",
            "run",
            "chat",
            "--url",
            "wss://127.0.0.1:8443/v1/ws",
            "--insecure",
            "--report",
            "out.html",
        ]
        .map(str::to_owned)
        .to_vec(),
        at: "2025-03-04T10:20:30Z".to_owned(),
        machine: machine(),
        urls: vec!["wss://127.0.0.1:8443/v1/ws".to_owned(), "wss://127.0.0.1:8444/v1/ws".to_owned()],
        peer: label.to_owned(),
        scenario: scenario(),
        seed: 42,
        workers: 2,
        validity: Validity::default(),
        measured_seconds: SECONDS as f64,
        counts,
        timings,
        measured,
        seconds,
        verdict,
        left_out: Vec::new(),
        observed: vec![observed("node-1", 4_711, slowness), observed("node-2", 4_712, slowness * 0.8)],
        metrics: metrics(),
        assertions: vec![
            ("lost=0".to_owned(), true, "0".to_owned()),
            ("p99<50ms".to_owned(), true, "12.3 ms".to_owned()),
        ],
    }
}

/// A run that went wrong in every way.
pub(super) fn lossy() -> Report {
    let mut report = run("hubbub", 2.5);
    let verdict = &mut report.verdict;
    let proof = RoomProof { expected: 3_039, delivered: 3_037, lost: 3, doubled: 1, ..RoomProof::default() };
    verdict.rooms.insert("load-7".to_owned(), proof);
    verdict.total = RoomProof { expected: 120_000, delivered: 119_998, lost: 3, doubled: 1, ..RoomProof::default() };
    let example = |fault, number| Example { fault, room: "load-7".to_owned(), sender: 12, number, connection: 40 };
    verdict.examples = vec![
        example(Fault::Lost, 345),
        example(Fault::Lost, 346),
        example(Fault::Lost, 347),
        example(Fault::Doubled, 9),
    ];
    for (kind, number) in
        [("rate_limited", 1_234), ("internal <error> & more", 3), ("connection reset", 77), ("timeout", 2)]
    {
        report.counts.errors.insert(kind.to_owned(), number);
        report.seconds[30].counts.errors.insert(kind.to_owned(), number);
    }
    report.counts.refused = 1_234;
    report.left_out = vec!["typing".to_owned(), "read".to_owned()];
    report.assertions.push(("p99<20ms".to_owned(), false, "61.4 ms".to_owned()));
    report.scenario.storm = Some(Storm { at: Duration::from_secs(30), share: 0.5, per_second: 500.0 });
    report
}

fn second(at: i64, slowness: f64) -> Second {
    let mut second = Second { at, driver_busy: 0.31 + 0.05 * (at as f64 / 3.0).sin(), ..Second::default() };
    let (counts, timings) = (&mut second.counts, &mut second.timings);
    counts.connected = ((at + WARMUP) as u64 * 250).min(1_000);
    if at < -WARMUP + 4 {
        counts.opened = 250;
        for step in 1..=250_u64 {
            timings.connect.record(Duration::from_micros(900 + step * step / 9));
            timings.subscribe.record(Duration::from_micros(300 + step * 7));
        }
    }
    if at >= -4 {
        (counts.sent, counts.acked, counts.delivered, counts.actions) = (200, 200, 2_000, 40);
        (counts.bytes_in, counts.bytes_out) = (420_000, 38_000);
        let wave = (1.0 + 0.4 * (at as f64 / 7.0).sin()) * slowness;
        let hiccup = if at == 30 { 12.0 } else { 1.0 };
        for step in 0..2_000_u32 {
            let share = f64::from(step) / 2_000.0;
            let micros = (650.0 + 300.0 / (1.000_4 - share)) * wave * if share > 0.97 { hiccup } else { 1.0 };
            timings.delivery.record(Duration::from_micros(micros as u64));
            if step % 10 == 0 {
                timings.ack.record(Duration::from_micros((micros * 0.7) as u64));
                timings.lateness.record(Duration::from_micros(20 + u64::from(step) / 40));
            }
        }
    }
    second
}

fn machine() -> Machine {
    Machine {
        system: "Linux 6.12.0".to_owned(),
        processor: "Some Processor 3000 @ 2.5 GHz".to_owned(),
        processors: 2,
        memory_bytes: 24 << 30,
    }
}

fn observed(name: &str, pid: u32, slowness: f64) -> Observed {
    let samples = (-WARMUP..=SECONDS).map(|at| {
        let age = (at + WARMUP) as f64;
        let memory_bytes = (21 << 20) + (age.min(4.0) * 250.0 * 8_000.0 * slowness) as u64;
        Sample { at: at as f64, cpu_seconds: 1.0 + age * 0.21 * slowness, memory_bytes }
    });
    Observed { name: name.to_owned(), pid, samples: samples.collect(), cpu_seconds: 0.21 * slowness * SECONDS as f64 }
}

fn metrics() -> BTreeMap<String, f64> {
    let named = [
        ("hubbub_deliveries_total", 120_000.0),
        ("hubbub_connections", 1_000.0),
        ("hubbub_repairs_total{reason=\"hole\"}", 3.0),
        ("hubbub_append_seconds_sum", 1.25),
        ("process_resident_memory_bytes", 88_080_384.0),
        ("process_cpu_seconds_total", 12.6),
    ];
    named.map(|(name, value)| (name.to_owned(), value)).into_iter().collect()
}

fn scenario() -> Scenario {
    Scenario {
        name: "chat".to_owned(),
        about: "Many rooms of people who type, read and page through the history.".to_owned(),
        duration: Duration::from_secs(60),
        warmup: Duration::from_secs(5),
        settle: Duration::from_secs(10),
        connections: Connections { count: 1_000, per_second: 250.0, handshakes_max: 64, churn_per_second: 2.0 },
        rooms: Rooms { count: 100, per_connection: 1, popularity: Popularity::Zipf { exponent: 0.8 } },
        messages: Messages {
            per_second: 200.0,
            senders_per_room: 0,
            arrivals: Arrivals::Poisson,
            body: Sizes::Uniform { min: 20, max: 280 },
        },
        actions: Actions { typing_per_second: 20.0, read_per_second: 15.0, page_per_second: 5.0 },
        stages: Vec::new(),
        storm: None,
        hostile: Hostile::default(),
    }
}

/// Writes pages of invented runs to the folder that `HUBBUB_LOAD_PAGES` names.
#[test]
#[ignore = "for looking at the pages"]
fn pages_are_written_to_be_looked_at() {
    let folder =
        std::path::PathBuf::from(std::env::var_os("HUBBUB_LOAD_PAGES").expect("HUBBUB_LOAD_PAGES is a folder"));
    let mut runs = vec![clean(), run("centrifugo", 1.6), run("socketio", 3.1), run("bare, joined", 0.6)];
    runs[2].observed.clear();
    runs[1].seed = 7;
    let pages = [
        ("clean.html", super::html(&clean())),
        ("lossy.html", super::html(&lossy())),
        ("compare.html", super::compare_html(&runs)),
        ("summary.txt", super::summary(&clean()) + "\n" + &super::summary(&lossy())),
        ("compare.txt", super::compare_table(&runs)),
    ];
    for (name, page) in pages {
        std::fs::write(folder.join(name), page).expect("written");
    }
}

#[test]
fn a_report_survives_its_json_and_fields_of_newer_versions() {
    let report = lossy();
    let mut json = serde_json::to_value(&report).expect("json");
    for place in [
        "",
        "/scenario",
        "/scenario/connections",
        "/verdict",
        "/verdict/total",
        "/machine",
        "/counts",
        "/seconds/3",
        "/timings",
    ] {
        let fields = json.pointer_mut(place).and_then(serde_json::Value::as_object_mut).expect(place);
        fields.insert("added_later".to_owned(), serde_json::json!({"any": ["thing"]}));
    }
    let read: Report = serde_json::from_str(&json.to_string()).expect("read");
    assert_eq!(super::summary(&read), super::summary(&report));
    // Times are whole numbers and survive exactly; shares and seconds may differ in their seventeenth digit.
    for (before, after) in [(&report.timings, &read.timings), (&report.seconds[9].timings, &read.seconds[9].timings)] {
        assert_eq!(serde_json::to_value(after).expect("json"), serde_json::to_value(before).expect("json"));
    }
    assert_eq!(
        (&read.verdict, &read.scenario, &read.assertions),
        (&report.verdict, &report.scenario, &report.assertions)
    );
    let table = super::compare_table(&[report, read]);
    assert!(!table.contains("Not the same"), "{table}");
}

//! An outcome for people.
//!
//! Must never leave out what was not as promised.

use std::time::Duration;

use hubbub_testkit::prove::felt::{Felt, Times};
use hubbub_testkit::prove::outcome::{Counted, Outcome};
use hubbub_testkit::prove::report::millis;

/// A time in few letters.
pub(crate) fn short(time: Duration) -> String {
    millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

/// Prints all of it.
pub(crate) fn outcome(outcome: &Outcome) {
    let Outcome { name, seed, counted, phases, repairs, seen, figures, notes, complaints, proved, .. } = outcome;
    let Counted { sends, acks, deliveries, lost, doubled, reordered, contradicted } = counted;
    println!("\n{name}, seed {seed}");
    if let Some(phases) = phases {
        println!("  {sends} sends, {acks} acks, {deliveries} deliveries, {repairs} repairs");
        println!("  lost {lost}, doubled {doubled}, reordered {reordered}, contradicted {contradicted}");
        println!("\n  {:8} {:>8}   {:>32}   {:>32}", "", "errors", "ack p50 p99 worst", "delivery p50 p99 worst");
        for (name, felt) in [("before", &phases.before), ("during", &phases.during), ("behind", &phases.after)] {
            let Felt { acks, deliveries, .. } = felt;
            println!("  {name:8} {:>8}   {:>32}   {:>32}", felt.errors_total(), times(acks), times(deliveries));
        }
        for (kind, count) in &phases.during.errors {
            println!("  felt {count:>6} × {kind}");
        }
    }
    for figure in figures {
        println!("  {}: {}", figure.name, figure.text());
    }
    if let Some(seen) = seen {
        let value = seen.value.map_or_else(|| "never told".to_owned(), |value| value.to_string());
        println!("  seen by {}: {} {value}", seen.metric, seen.how);
    }
    for note in notes {
        println!("  # {note}");
    }
    for complaint in complaints {
        println!("  ! {complaint}");
    }
    println!("{name}, seed {seed}: {}", if *proved { "proved" } else { "NOT PROVED" });
}

fn times(times: &Times) -> String {
    [times.p50_ms, times.p99_ms, times.worst_ms].map(millis).join("  ")
}

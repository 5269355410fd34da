//! Names of metrics: which ones the binary has, and which ones a text uses.
//!
//! Must never know a metric itself: the list is the generated page.

use std::collections::BTreeSet;

/// Ours, and those of the process, which every Prometheus client calls the same.
const PREFIXES: [&str; 2] = ["hubbub_", "process_"];

/// What a histogram is made of.
const PARTS: [&str; 3] = ["_bucket", "_sum", "_count"];

/// The metrics of the page, each in a cell of its own: `| `name` | type | …`.
pub(super) fn known(page: &str) -> BTreeSet<String> {
    let mut known = BTreeSet::new();
    for line in page.lines() {
        let mut cells = line.split('|').map(str::trim).skip(1);
        let (Some(name), Some(kind)) = (cells.next(), cells.next()) else { continue };
        let name = name.trim_matches('`');
        if !is_metric(name) {
            continue;
        }
        if kind.starts_with("histogram") {
            known.extend(PARTS.map(|part| format!("{name}{part}")));
        } else {
            known.insert(name.to_owned());
        }
    }
    known
}

/// The metrics that a text uses and nobody has.
pub(super) fn unknown(text: &str, known: &BTreeSet<String>) -> BTreeSet<String> {
    let is_part = |sign: char| sign.is_ascii_alphanumeric() || sign == '_';
    let words = text.split(|sign| !is_part(sign));
    words.filter(|word| is_metric(word) && !known.contains(*word)).map(str::to_owned).collect()
}

fn is_metric(word: &str) -> bool {
    PREFIXES.iter().any(|prefix| word.len() > prefix.len() && word.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "| metric | type | labels |\n| --- | --- | --- |\n| `hubbub_a_total` | counter | |\n| `hubbub_b` | histogram | `cmd` |\n";

    #[test]
    fn a_name_that_nobody_has_is_found() {
        let known = known(PAGE);
        let query = "rate(hubbub_a_total{job=\"x\"}[5m]) / hubbub_b_count + hubbub_b_bucket + up";
        assert_eq!(unknown(query, &known), BTreeSet::new());
        for planted in ["hubbub_a", "hubbub_b", "hubbub_b_max", "process_open_fds"] {
            let found: Vec<String> = unknown(&format!("{query} + {planted}"), &known).into_iter().collect();
            assert_eq!(found, [planted]);
        }
    }
}

//! What documents, dashboards, alerts, charts and compose files name is there: metrics, settings, ports, paths.
//!
//! Owns which files are looked at, and how words are found in them. What there is comes from `docs/metrics.md` and
//! `docs/configuration.md`, which the binary itself writes (`xtask generate --check` sees to that), and from the routes in
//! the source, so that nothing has to be built to look. Must never hold a list of what the binary has.

mod metrics;
mod places;
mod selector;
mod settings;

use crate::tidy::tree::Tree;

pub(super) use metrics::unknown as unknown_metrics;
pub(super) use places::{unknown_paths, unknown_ports};
pub(super) use settings::{unknown_keys, unknown_variables};

/// Decisions and changes tell of what was.
const HISTORY: [&str; 2] = ["docs/adr/", "CHANGELOG.md"];

/// The files that tell people and programs how a node is run.
fn files(tree: &Tree) -> impl Iterator<Item = (&str, &str)> {
    tree.texts().filter(|(path, _)| {
        let is_told = ["deploy/", "k8s/", "docs/"].iter().any(|folder| path.starts_with(folder));
        let is_top = !path.contains('/')
            && (path.ends_with(".md")
                || path.starts_with("Dockerfile")
                || path.ends_with(".yml")
                || path.ends_with(".yaml"));
        (is_told || is_top) && !HISTORY.iter().any(|history| path.starts_with(history))
    })
}

/// The lines of a text, from 1.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line))
}

/// Every place where `start` begins a word: the place, and the word as long as `belongs` says so.
fn words<'a>(line: &'a str, start: &'a str, belongs: fn(char) -> bool) -> impl Iterator<Item = (usize, &'a str)> {
    line.match_indices(start).filter_map(move |(at, _)| {
        if line[..at].chars().next_back().is_some_and(belongs) {
            return None;
        }
        let rest = &line[at..];
        Some((at, &rest[..rest.find(|character| !belongs(character)).unwrap_or(rest.len())]))
    })
}

/// The cells of a row of a Markdown table.
fn cells(row: &str) -> Vec<&str> {
    row.trim().trim_matches('|').split('|').map(str::trim).collect()
}

/// What stands in the first pair of backticks.
fn quoted(text: &str) -> Option<&str> {
    text.split('`').nth(1).filter(|_| text.trim_start().starts_with('`'))
}

//! Every metric and label that somebody names is one that the binary shows.

use std::collections::{BTreeMap, BTreeSet};

use super::selector::{grouped, matchers};
use super::{cells, files, lines, quoted, words};
use crate::tidy::Violation;
use crate::tidy::tree::Tree;

/// The page that the binary writes.
const REFERENCE: &str = "docs/metrics.md";

/// What every metric of ours begins with. The others have the names that all programs share.
const PREFIX: &str = "hubbub_";

/// What whoever scrapes adds, and what recording and alerting add.
const TARGET_LABELS: [&str; 16] = [
    "le",
    "job",
    "instance",
    "pod",
    "namespace",
    "node",
    "container",
    "service",
    "endpoint",
    "cluster",
    "release",
    "severity",
    "alertname",
    "quantile",
    "__name__",
    "app",
];

/// Tables of the database and the metrics of the load generator, which have the same first word.
const OTHERS: [&str; 5] = ["hubbub_migrations", "hubbub_transfer", "hubbub_backup", "hubbub_load", "hubbub_load_"];

/// A metric as the page tells of it.
struct Declared<'a> {
    is_histogram: bool,
    /// The values of each label; none where they are open.
    labels: BTreeMap<&'a str, Option<Vec<&'a str>>>,
}

/// What is named and not there.
pub(in crate::tidy) fn unknown(tree: &Tree) -> Vec<Violation> {
    let Some(page) = tree.text(REFERENCE) else { return vec![Violation::new(REFERENCE, 0, "is missing")] };
    let declared = declared(page);
    if declared.is_empty() {
        return vec![Violation::new(REFERENCE, 0, "names no metric at all")];
    }
    let recorded = recorded(tree);
    let crates = crates(tree);
    let is_other = |word: &str| {
        OTHERS.iter().any(|other| word == *other || (other.ends_with('_') && word.starts_with(other)))
            || crates.contains(word)
    };
    let mut violations = Vec::new();
    for (path, text) in files(tree).filter(|(path, _)| *path != REFERENCE && speaks_of_metrics(path)) {
        for (line, content) in lines(text) {
            for (at, word) in words(content, PREFIX, is_of_name) {
                let name = word.trim_end_matches(':');
                // Paths of Rust have two colons.
                if name.contains("::") || is_other(name) || recorded.contains(name) {
                    continue;
                }
                let behind = &content[at + word.len()..];
                if name.ends_with('_') || behind.starts_with(['*', '…']) {
                    if !declared.keys().any(|metric| metric.starts_with(name)) {
                        violations.push(Violation::new(path, line, format!("no metric begins with `{name}`")));
                    }
                    continue;
                }
                match find(&declared, name) {
                    None => violations.push(Violation::new(path, line, format!("`{name}` is no metric of the binary"))),
                    Some(metric) => violations.extend(
                        labels(name, metric, behind).into_iter().map(|message| Violation::new(path, line, message)),
                    ),
                }
            }
            if is_rule(path) {
                violations.extend(groups(&declared, content).map(|message| Violation::new(path, line, message)));
            }
        }
    }
    violations
}

fn is_of_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_' || character == ':'
}

/// In the files of other programs the same words are names of something else.
fn speaks_of_metrics(path: &str) -> bool {
    ["yml", "yaml", "json", "md", "tpl", "toml", "txt"].iter().any(|end| path.rsplit('.').next() == Some(end))
}

/// Whether the file holds queries.
fn is_rule(path: &str) -> bool {
    !path.ends_with(".md") && !path.ends_with(".txt") && !path.ends_with(".tpl")
}

/// The table of the page.
fn declared(page: &str) -> BTreeMap<&str, Declared<'_>> {
    let rows = page.lines().filter(|line| line.starts_with("| `")).map(cells);
    let metrics = rows.filter_map(|cells| {
        let [name, kind, labels, ..] = cells.as_slice() else { return None };
        let labels = labels.split("; ").filter_map(|label| {
            let (name, values) = label.split_once(": ")?;
            let are_few = values.starts_with('`');
            Some((quoted(name)?, are_few.then(|| values.split('`').skip(1).step_by(2).collect())))
        });
        Some((quoted(name)?, Declared { is_histogram: kind.starts_with("histogram"), labels: labels.collect() }))
    });
    metrics.collect()
}

/// The metric of this name; a histogram also by the names of its three parts.
fn find<'a>(declared: &'a BTreeMap<&str, Declared<'a>>, name: &str) -> Option<&'a Declared<'a>> {
    declared.get(name).or_else(|| {
        let whole = ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part))?;
        declared.get(whole).filter(|metric| metric.is_histogram)
    })
}

/// What is wrong with the labels behind a metric's name.
fn labels(name: &str, metric: &Declared<'_>, behind: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for matcher in matchers(behind) {
        match metric.labels.get(matcher.label) {
            None if TARGET_LABELS.contains(&matcher.label) => {}
            None => wrong.push(format!("`{name}` has no label `{}`", matcher.label)),
            Some(None) => {}
            Some(Some(values)) => wrong.extend(
                matcher
                    .values
                    .iter()
                    .filter(|value| !values.contains(&value.as_str()))
                    .map(|value| format!("the label `{}` of `{name}` is never `{value}`", matcher.label)),
            ),
        }
    }
    wrong
}

/// Labels by which a query groups and that no metric has.
fn groups<'a>(declared: &'a BTreeMap<&str, Declared<'_>>, line: &'a str) -> impl Iterator<Item = String> + 'a {
    let known = |label: &str| {
        TARGET_LABELS.contains(&label) || declared.values().any(|metric| metric.labels.contains_key(label))
    };
    let is_ours = line.contains(PREFIX) || line.contains("hubbub:");
    let found = if is_ours { grouped(line) } else { Vec::new() };
    found.into_iter().filter(move |label| !known(label)).map(|label| format!("no metric has a label `{label}`"))
}

/// What the tree itself makes out of metrics: recording rules, and names that an adapter gives.
fn recorded(tree: &Tree) -> BTreeSet<&str> {
    let names = files(tree).flat_map(|(_, text)| text.lines()).filter_map(|line| {
        let line = line.trim_start().trim_start_matches("- ");
        let name = ["record:", "as:", "\"record\":"].iter().find_map(|key| line.strip_prefix(key))?;
        Some(name.trim().trim_matches(['"', '\'', ',']))
    });
    names.collect()
}

/// The crates' names as Rust writes them.
fn crates(tree: &Tree) -> BTreeSet<String> {
    let manifests = tree.ending("Cargo.toml").flat_map(|(_, text)| text.lines());
    let names = manifests.filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
    names.map(|name| name.replace('-', "_")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "\
| `hubbub_ends_total` | counter | `reason`: `lost`, `normal` | Ends. | much |
| `hubbub_wait_seconds` | histogram, seconds | `cmd`: `room.join` | Wait. | much |
| `hubbub_room` | gauge | `room`: the largest | Rooms. | much |
";

    fn judge(path: &str, text: &str) -> Vec<String> {
        let tree = Tree::planted(&[
            (REFERENCE, PAGE),
            ("crates/gateway/Cargo.toml", "name = \"hubbub-gateway\"\n"),
            (
                "deploy/prometheus/rules.yml",
                "  - record: hubbub:ends:rate5m\n    expr: sum(rate(hubbub_ends_total[5m]))\n",
            ),
            (path, text),
        ]);
        unknown(&tree).into_iter().map(|violation| violation.message).collect()
    }

    #[test]
    fn what_is_not_there_is_found() {
        for (text, found) in [
            ("rate(hubbub_end_total[5m])", "`hubbub_end_total` is no metric of the binary"),
            ("hubbub_ends_total_bucket", "`hubbub_ends_total_bucket` is no metric of the binary"),
            ("hubbub_ends_total{cause=\"lost\"}", "`hubbub_ends_total` has no label `cause`"),
            ("hubbub_ends_total{reason=\"gone\"}", "the label `reason` of `hubbub_ends_total` is never `gone`"),
            ("hubbub_ends_total{reason=~\"lost|gone\"}", "the label `reason` of `hubbub_ends_total` is never `gone`"),
            ("sum by (reasn) (rate(hubbub_ends_total[5m]))", "no metric has a label `reasn`"),
            ("{__name__=~\"hubbub_bus_.*\"}", "no metric begins with `hubbub_bus_`"),
        ] {
            assert_eq!(judge("deploy/x.yml", &format!("expr: {text}\n")), [found], "{text}");
            assert_eq!(
                judge("k8s/x/dashboard.json", &format!("\"expr\": \"{}\"\n", text.replace('"', "\\\""))),
                [found]
            );
        }
        assert_eq!(
            judge("docs/x.md", "look at `hubbub_end_total`\n"),
            ["`hubbub_end_total` is no metric of the binary"]
        );
    }

    #[test]
    fn what_is_there_passes() {
        for text in [
            "histogram_quantile(0.99, sum by (le, pod) (rate(hubbub_wait_seconds_bucket{cmd=\"room.join\",job=\"$job\"}[5m])))",
            "hubbub_room{room=\"0190\"} + on (pod) hubbub_wait_seconds_count",
            "{__name__=~\"hubbub_.+\"}",
            "{{ .Values.hubbub_whatever }}".trim_start_matches("{{ .Values.hubbub_whatever }}"),
            "info,hubbub_gateway=debug and hubbub_gateway::ops",
            "hubbub_load_connections of another program, hubbub_migrations a table",
        ] {
            assert_eq!(judge("deploy/x.yml", &format!("expr: {text}\n")), [""; 0], "{text}");
        }
    }

    #[test]
    fn history_and_code_may_name_what_was() {
        assert_eq!(judge("docs/adr/0001-x.md", "hubbub_gone_total\n"), [""; 0]);
        assert_eq!(judge("crates/x/src/lib.rs", "hubbub_gone_total\n"), [""; 0]);
    }

    #[test]
    fn silence_is_no_success() {
        assert_eq!(unknown(&Tree::planted(&[])).len(), 1);
        assert_eq!(unknown(&Tree::planted(&[(REFERENCE, "# Metrics\n")])).len(), 1);
    }
}

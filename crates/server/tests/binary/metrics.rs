//! What a node shows at `/metrics` is what `hubbub metrics reference` says that it can show.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::support::{Place, address, http};

/// Where a node is unlike the one of this test, which has a SQLite file and leaves TLS to a proxy.
const ELSEWHERE: [&str; 2] = ["where the node speaks TLS itself", "with `database.replica_url`"];

/// The series of a metric, each with its labels.
type Series = BTreeMap<String, Vec<BTreeMap<String, String>>>;

/// The types of all families, and their series; those of a histogram under the name of the whole.
fn read(text: &str) -> (BTreeMap<String, String>, Series) {
    let (mut types, mut series) = (BTreeMap::new(), Series::new());
    for line in text.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            types.insert(name.to_owned(), kind.to_owned());
        } else if !line.starts_with('#') {
            let (name, rest) = line.split_at(line.find(['{', ' ']).expect("a value"));
            // Of a histogram the sums stand for all.
            let whole = name.strip_suffix("_sum").filter(|whole| types.contains_key(*whole)).unwrap_or(name);
            let labels = rest.strip_prefix('{').map_or("", |rest| &rest[..rest.find('}').expect("an end")]);
            let pairs = labels.split("\",").filter_map(|pair| pair.split_once("=\""));
            let pairs = pairs.map(|(name, value)| (name.to_owned(), value.trim_end_matches('"').to_owned()));
            series.entry(whole.to_owned()).or_default().push(pairs.collect());
        }
    }
    (types, series)
}

#[test]
fn a_node_shows_every_metric_that_is_declared_and_no_other() {
    let place = Place::new();
    let reference = place.run(&["metrics", "reference", "--json"]);
    assert_eq!(reference.code, 0, "{}", reference.stderr);
    let declared: Vec<Value> = serde_json::from_str(&reference.stdout).expect("JSON");
    let mut node = place.serve(&[]);
    let (status, text) = http(address(&node.wait_for("serving"), "ops"), "GET /metrics", "");
    assert_eq!(status, 200, "{text}");
    let (types, series) = read(&text);

    let names: BTreeSet<&str> = declared.iter().map(|metric| metric["name"].as_str().expect("a name")).collect();
    for name in types.keys() {
        assert!(names.contains(name.as_str()), "{name} is shown and not declared");
    }
    for metric in &declared {
        let (name, labels) = (metric["name"].as_str().expect("a name"), metric["labels"].as_object().expect("labels"));
        let is_open = labels.values().any(Value::is_null);
        let is_elsewhere = metric["only"].as_str().is_some_and(|there| ELSEWHERE.contains(&there));
        let shown = series.get(name).map_or(&[][..], Vec::as_slice);
        if shown.is_empty() {
            assert!(is_elsewhere || is_open || metric["sparse"] == true, "{name} is declared and not shown");
            continue;
        }
        assert_eq!(types[name], metric["type"].as_str().expect("a type"), "{name}");
        for one in shown {
            assert_eq!(one.keys().collect::<BTreeSet<_>>(), labels.keys().collect(), "the labels of {name}");
            for (label, value) in one {
                let known = labels[label].as_array().is_none_or(|values| values.contains(&value.as_str().into()));
                assert!(known, "{name} says {label}={value}");
            }
        }
        if !is_open && metric["sparse"] == false {
            let all: usize = labels.values().map(|values| values.as_array().expect("values").len()).product();
            assert_eq!(shown.len(), all, "every series of {name} is shown from the start");
        }
    }
}

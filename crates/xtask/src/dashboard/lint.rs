//! What every panel of a dashboard must have, whoever wrote it.
//!
//! Pure: looks at Grafana's JSON alone. Must never know how it was made, so that it also finds mistakes of the maker.

use std::collections::BTreeSet;

use serde_json::Value;

/// Grafana's grid has so many columns.
const COLUMNS: u64 = 24;

/// Variables that Grafana fills in by itself.
const BUILT_IN: [&str; 2] = ["__rate_interval", "__range"];

/// A place on the grid: left, top, width, height.
type Place = (u64, u64, u64, u64);

/// What is wrong with a dashboard, a line each.
pub(crate) fn lint(dashboard: &Value) -> Vec<String> {
    let mut complaints = Vec::new();
    for field in ["uid", "title", "description"] {
        if text(&dashboard[field]).is_empty() {
            complaints.push(format!("the dashboard has no {field}"));
        }
    }
    let variables = variables(dashboard);
    let mut ids = BTreeSet::new();
    let mut titles = BTreeSet::new();
    let mut places: Vec<(String, Place)> = Vec::new();
    for panel in panels(dashboard) {
        let title = text(&panel["title"]).to_owned();
        let mut complain = |what: String| complaints.push(format!("`{title}`: {what}"));
        if title.is_empty() {
            complain("no title".to_owned());
        }
        if !ids.insert(panel["id"].as_u64()) {
            complain("its id is another panel's too".to_owned());
        }
        match place(panel) {
            None => complain("no place on the grid".to_owned()),
            Some(place) => {
                if let Some((other, _)) = places.iter().find(|(_, other)| overlap(place, *other)) {
                    complain(format!("covers `{other}`"));
                }
                if place.0 + place.2 > COLUMNS {
                    complain("is wider than the grid".to_owned());
                }
                places.push((title.clone(), place));
            }
        }
        if panel["type"] == "row" {
            continue;
        }
        if !titles.insert(title.clone()) {
            complain("its title is another panel's too".to_owned());
        }
        let unit = &panel["fieldConfig"]["defaults"]["unit"];
        for (name, value) in [("description", &panel["description"]), ("unit", unit)] {
            if text(value).is_empty() {
                complain(format!("no {name}"));
            }
        }
        targets(panel, &variables).into_iter().for_each(complain);
    }
    complaints
}

/// Every query of a dashboard with the title of its panel.
pub(crate) fn queries(dashboard: &Value) -> Vec<(String, String)> {
    let all = panels(dashboard).into_iter().flat_map(|panel| {
        let title = text(&panel["title"]).to_owned();
        list(&panel["targets"]).iter().map(move |target| (title.clone(), text(&target["expr"]).to_owned()))
    });
    let marks = list(&dashboard["annotations"]["list"]).iter();
    all.chain(marks.map(|mark| (text(&mark["name"]).to_owned(), text(&mark["expr"]).to_owned()))).collect()
}

fn targets(panel: &Value, variables: &BTreeSet<String>) -> Vec<String> {
    let mut complaints = Vec::new();
    let targets = list(&panel["targets"]);
    if targets.is_empty() {
        complaints.push("no query".to_owned());
    }
    let mut refs = BTreeSet::new();
    for target in targets {
        let query = text(&target["expr"]);
        if query.is_empty() {
            complaints.push("an empty query".to_owned());
        }
        if text(&target["legendFormat"]).is_empty() {
            complaints.push(format!("no legend for {query}"));
        }
        if !refs.insert(text(&target["refId"])) {
            complaints.push(format!("two queries are called {}", target["refId"]));
        }
        if text(&target["datasource"]["uid"]) != "${datasource}" {
            complaints.push("a query is bound to one Prometheus".to_owned());
        }
        let used = query.split('$').skip(1).map(|rest| {
            rest.chars().take_while(|sign| sign.is_ascii_alphanumeric() || *sign == '_').collect::<String>()
        });
        complaints.extend(
            used.filter(|name| !BUILT_IN.contains(&name.as_str()) && !variables.contains(name))
                .map(|name| format!("there is no variable ${name}")),
        );
    }
    complaints
}

fn variables(dashboard: &Value) -> BTreeSet<String> {
    list(&dashboard["templating"]["list"]).iter().map(|variable| text(&variable["name"]).to_owned()).collect()
}

/// The panels, and those inside of collapsed rows.
fn panels(dashboard: &Value) -> Vec<&Value> {
    let top = list(&dashboard["panels"]);
    top.iter().flat_map(|panel| std::iter::once(panel).chain(list(&panel["panels"]))).collect()
}

fn place(panel: &Value) -> Option<Place> {
    let field = |name: &str| panel["gridPos"][name].as_u64();
    let place = (field("x")?, field("y")?, field("w")?, field("h")?);
    (place.2 > 0 && place.3 > 0).then_some(place)
}

fn overlap(one: Place, other: Place) -> bool {
    let meet = |from: u64, length: u64, other_from: u64, other_length: u64| {
        from < other_from + other_length && other_from < from + length
    };
    meet(one.0, one.2, other.0, other.2) && meet(one.1, one.3, other.1, other.3)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn good() -> Value {
        json!({
            "uid": "u", "title": "t", "description": "d",
            "templating": { "list": [{ "name": "node" }] },
            "panels": [
                { "id": 1, "type": "row", "title": "Row", "gridPos": { "x": 0, "y": 0, "w": 24, "h": 1 } },
                {
                    "id": 2, "type": "stat", "title": "One", "description": "d",
                    "gridPos": { "x": 0, "y": 1, "w": 12, "h": 8 },
                    "fieldConfig": { "defaults": { "unit": "s" } },
                    "targets": [{
                        "refId": "A", "expr": "up{instance=~\"$node\"}", "legendFormat": "l",
                        "datasource": { "uid": "${datasource}" },
                    }],
                },
            ],
        })
    }

    /// The complaints after something was planted at this place of the second panel.
    fn planted(pointer: &str, value: Value) -> Vec<String> {
        let mut dashboard = good();
        let place = dashboard.pointer_mut(&format!("/panels/1{pointer}")).expect("a place");
        *place = value;
        lint(&dashboard)
    }

    #[test]
    fn planted_mistakes_are_found() {
        assert_eq!(lint(&good()), Vec::<String>::new());
        for (pointer, value, complaint) in [
            ("/description", json!(""), "`One`: no description"),
            ("/fieldConfig/defaults/unit", json!(null), "`One`: no unit"),
            ("/title", json!(" "), "``: no title"),
            ("/id", json!(1), "`One`: its id is another panel's too"),
            ("/gridPos/y", json!(0), "`One`: covers `Row`"),
            ("/gridPos/x", json!(13), "`One`: is wider than the grid"),
            ("/gridPos", json!({}), "`One`: no place on the grid"),
            ("/targets", json!([]), "`One`: no query"),
            ("/targets/0/legendFormat", json!(""), "`One`: no legend for up{instance=~\"$node\"}"),
            ("/targets/0/expr", json!("up{a=\"$pod\"}"), "`One`: there is no variable $pod"),
            ("/targets/0/datasource/uid", json!("abc"), "`One`: a query is bound to one Prometheus"),
        ] {
            assert_eq!(planted(pointer, value), [complaint], "{pointer}");
        }
    }

    #[test]
    fn queries_are_listed_with_their_panels() {
        assert_eq!(queries(&good()), [("One".to_owned(), "up{instance=~\"$node\"}".to_owned())]);
    }
}

//! `cargo xtask dashboard`: the Grafana dashboard, made of its short form in `deploy/grafana/dashboard.toml`.
//!
//! Owns the short form: what a row, a panel and a query may say and what is filled in. Must never hold a query itself.

mod lint;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use toml::Table;

use crate::project::Project;

pub(crate) use lint::{lint, queries};

/// The short form.
pub(crate) const SOURCE: &str = "deploy/grafana/dashboard.toml";

/// What Grafana reads.
pub(crate) const DASHBOARD: &str = "deploy/grafana/hubbub.json";

/// Grafana's grid has so many columns.
const COLUMNS: u64 = 24;

/// A panel's width unless it says another, and the height of all.
const WIDTH: u64 = 8;
const HEIGHT: u64 = 8;

/// A row of figures needs less.
const STAT_HEIGHT: u64 = 4;

/// The cluster and the nodes that were chosen above the dashboard, and the interval of rates that fits the zoom.
const SELECTED: &str = "namespace=~\"$namespace\", job=~\"$job\", instance=~\"$node\"";
const INTERVAL: &str = "$__rate_interval";

/// The dashboard as text: the file as `cargo xtask generate` writes it.
pub(crate) fn text(project: &Project) -> Result<String> {
    let source = std::fs::read_to_string(project.path(SOURCE)).with_context(|| format!("cannot read {SOURCE}"))?;
    let dashboard = compose(&source).with_context(|| format!("in {SOURCE}"))?;
    Ok(serde_json::to_string_pretty(&dashboard)?)
}

/// The dashboard of a short form.
///
/// # Errors
/// When something is missing, of the wrong kind, or not known.
fn compose(source: &str) -> Result<Value> {
    let source: Table = source.parse()?;
    let mut panels = Vec::new();
    let mut top = 0;
    for row in tables(&source, "row")? {
        let title = text_of(row, "title")?;
        let position = json!({ "x": 0, "y": top, "w": COLUMNS, "h": 1 });
        let id = panels.len() + 1;
        panels.push(json!({ "id": id, "type": "row", "title": title, "collapsed": false, "gridPos": position, "panels": [] }));
        top += 1;
        let (mut left, mut height) = (0, 0);
        for panel in tables(row, "panel").with_context(|| format!("row `{title}`"))? {
            let name = text_of(panel, "title")?;
            let (width, own_height, mut drawn) = draw(panel).with_context(|| format!("panel `{name}`"))?;
            if left + width > COLUMNS {
                (left, top, height) = (0, top + height, 0);
            }
            drawn["id"] = (panels.len() + 1).into();
            drawn["gridPos"] = json!({ "x": left, "y": top, "w": width, "h": own_height });
            (left, height) = (left + width, height.max(own_height));
            panels.push(drawn);
        }
        top += height;
    }
    Ok(frame(panels))
}

/// A panel without its place: how wide and high it is, and what Grafana calls it.
fn draw(panel: &Table) -> Result<(u64, u64, Value)> {
    let known = ["title", "about", "kind", "unit", "width", "legend", "queries"];
    if let Some(unknown) = panel.keys().find(|key| !known.contains(&key.as_str())) {
        bail!("`{unknown}` is not known");
    }
    let kind = choice(panel, "kind", &["lines", "areas", "stat"])?;
    let is_right = choice(panel, "legend", &["bottom", "right"])? == "right";
    let width = match panel.get("width").map(toml::Value::as_integer) {
        None => WIDTH,
        Some(width) => width.and_then(|width| u64::try_from(width).ok()).context("`width` is a number")?,
    };
    ensure!((1..=COLUMNS).contains(&width), "`width` is 1 to {COLUMNS}");
    let (kind_of_panel, height, custom, options) = match kind {
        "stat" => ("stat", STAT_HEIGHT, json!({}), stat()),
        _ => ("timeseries", HEIGHT, lines(kind == "areas"), around(is_right)),
    };
    let drawn = json!({
        "type": kind_of_panel,
        "title": text_of(panel, "title")?,
        "description": text_of(panel, "about")?,
        "datasource": source_of_figures(),
        "targets": targets(panel, kind == "stat")?,
        "fieldConfig": { "defaults": { "unit": text_of(panel, "unit")?, "min": 0, "custom": custom }, "overrides": [] },
        "options": options,
    });
    Ok((width, height, drawn))
}

fn targets(panel: &Table, is_newest_alone: bool) -> Result<Vec<Value>> {
    let queries = panel.get("queries").and_then(toml::Value::as_array).context("no `queries`")?;
    let mut targets = Vec::new();
    for (query, name) in queries.iter().zip('A'..='Z') {
        let pair: Option<Vec<&str>> = query.as_array().and_then(|pair| pair.iter().map(toml::Value::as_str).collect());
        let Some([legend, query]) = pair.as_deref() else { bail!("a query is [legend, PromQL]") };
        targets.push(json!({
            "refId": name,
            "datasource": source_of_figures(),
            "expr": expand(query),
            "legendFormat": legend,
            "instant": is_newest_alone,
            "range": !is_newest_alone,
        }));
    }
    ensure!(targets.len() == queries.len(), "too many queries");
    Ok(targets)
}

fn stat() -> Value {
    json!({ "colorMode": "none", "graphMode": "none", "reduceOptions": { "calcs": ["lastNotNull"] } })
}

/// Points are shown where there are few, or what lasted for a moment would not be seen.
fn lines(is_stacked: bool) -> Value {
    json!({
        "fillOpacity": if is_stacked { 25 } else { 0 },
        "lineWidth": 1,
        "showPoints": "auto",
        "spanNulls": false,
        "stacking": { "mode": if is_stacked { "normal" } else { "none" } },
    })
}

/// Long names stand beside the lines, in a table with the newest values.
fn around(is_right: bool) -> Value {
    let legend = if is_right {
        json!({ "displayMode": "table", "placement": "right", "showLegend": true, "calcs": ["lastNotNull"] })
    } else {
        json!({ "displayMode": "list", "placement": "bottom", "showLegend": true, "calcs": [] })
    };
    json!({ "legend": legend, "tooltip": { "mode": "multi", "sort": "desc" } })
}

/// What stands around the panels: variables, the time shown, alerts as marks.
fn frame(panels: Vec<Value>) -> Value {
    let chosen = |name: &str, label: &str, query: &str| {
        json!({
            "name": name, "label": label, "type": "query", "datasource": source_of_figures(),
            "query": { "query": query, "refId": name }, "definition": query,
            "refresh": 2, "sort": 1, "includeAll": true, "multi": true, "allValue": ".*",
            "current": { "text": ["All"], "value": ["$__all"] },
        })
    };
    let alerts = "ALERTS{namespace=~\"$namespace\", job=~\"$job\", alertname=~\"Hubbub.+\", alertstate=\"firing\"}";
    json!({
        "uid": "hubbub",
        "title": "Hubbub",
        "description": "A Hubbub cluster: what people feel first, then what it comes from.",
        "tags": ["hubbub"],
        "schemaVersion": 39,
        "version": 1,
        "editable": true,
        "graphTooltip": 1,
        "refresh": "30s",
        "timezone": "browser",
        "time": { "from": "now-1h", "to": "now" },
        "templating": { "list": [
            { "name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus" },
            chosen("namespace", "Namespace", "label_values(hubbub_build_info, namespace)"),
            chosen("job", "Job", "label_values(hubbub_build_info{namespace=~\"$namespace\"}, job)"),
            chosen("node", "Node", "label_values(hubbub_build_info{namespace=~\"$namespace\", job=~\"$job\"}, instance)"),
        ] },
        "annotations": { "list": [{
            "name": "Alerts", "enable": true, "iconColor": "red", "datasource": source_of_figures(),
            "expr": alerts, "titleFormat": "{{alertname}}", "textFormat": "{{severity}} {{instance}}",
        }] },
        "panels": panels,
    })
}

fn source_of_figures() -> Value {
    json!({ "type": "prometheus", "uid": "${datasource}" })
}

/// `{@}` and `[@]` in full.
fn expand(query: &str) -> String {
    query.replace("{@", &format!("{{{SELECTED}")).replace("[@]", &format!("[{INTERVAL}]"))
}

fn tables<'a>(table: &'a Table, key: &str) -> Result<Vec<&'a Table>> {
    let list = table.get(key).and_then(toml::Value::as_array).with_context(|| format!("no `{key}`"))?;
    list.iter().map(|entry| entry.as_table().with_context(|| format!("`{key}` is no table"))).collect()
}

fn text_of<'a>(table: &'a Table, key: &str) -> Result<&'a str> {
    let text = table.get(key).and_then(toml::Value::as_str).with_context(|| format!("no `{key}`"))?;
    ensure!(!text.trim().is_empty(), "`{key}` is empty");
    Ok(text)
}

/// One of a few words; the first of them unless said.
fn choice<'a>(table: &'a Table, key: &str, words: &[&'a str]) -> Result<&'a str> {
    let Some(value) = table.get(key) else { return Ok(words[0]) };
    let known = value.as_str().filter(|value| words.contains(value));
    known.with_context(|| format!("`{key}` is one of {}", words.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panel(more: &str) -> String {
        format!("[[row]]\ntitle = 'Row'\n[[row.panel]]\ntitle = 'T'\nabout = 'A'\nunit = 's'\nqueries = [['l', 'up{{@, a=\"b\"}}[@]']]\n{more}\n")
    }

    #[test]
    fn panels_stand_from_left_to_right_and_queries_are_expanded() {
        let more = "[[row.panel]]\ntitle = 'U'\nabout = 'A'\nunit = 's'\nwidth = 17\nqueries = []";
        let dashboard = compose(&panel(more)).expect("composed");
        assert_eq!(dashboard["panels"][1]["gridPos"], json!({ "x": 0, "y": 1, "w": 8, "h": 8 }));
        assert_eq!(dashboard["panels"][2]["gridPos"], json!({ "x": 0, "y": 9, "w": 17, "h": 8 }), "no room on the right");
        let query = &dashboard["panels"][1]["targets"][0];
        assert_eq!(query["expr"], format!("up{{{SELECTED}, a=\"b\"}}[{INTERVAL}]"));
        assert_eq!(query["legendFormat"], "l");
    }

    #[test]
    fn what_is_wrong_in_the_short_form_is_told_with_its_panel() {
        for (more, complaint) in [
            ("colour = 'red'", "`colour` is not known"),
            ("kind = 'pie'", "one of lines, areas, stat"),
            ("legend = 'top'", "one of bottom, right"),
            ("width = 25", "1 to 24"),
        ] {
            let error = format!("{:#}", compose(&panel(more)).expect_err(more));
            assert!(error.contains("panel `T`") && error.contains(complaint), "{error}");
        }
        compose("[[row]]\ntitle = 'Row'\n[[row.panel]]\ntitle = 'T'\n").expect_err("no unit, no queries");
    }
}

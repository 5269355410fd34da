//! `cargo xtask rules`: the alerts and the dashboard, checked in seconds without a server.
//!
//! Alerts are played by `promtool`, their pages and cases are counted, every query has to parse and to name metrics that
//! the binary has. Must never start a Prometheus: `cargo xtask observe` does.

mod alerts;
mod names;

use std::fs;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use xshell::cmd;

use crate::dashboard;
use crate::project::Project;
use crate::tools;

const ALERTS: &str = "deploy/prometheus/alerts.yml";
const CASES: &str = "deploy/prometheus/alerts_test.yml";
const RUNBOOK: &str = "docs/runbook";

/// What the binary has; `cargo xtask generate --check` holds it against the binary.
const METRICS: &str = "docs/metrics.md";

/// Checks everything and fails with all that is wrong.
pub(crate) fn run(project: &Project) -> Result<()> {
    tools::ensure(project, &[tools::PROMTOOL])?;
    let read = |path: &str| fs::read_to_string(project.path(path)).with_context(|| format!("cannot read {path}"));
    let (rules, cases, metrics) = (read(ALERTS)?, read(CASES)?, read(METRICS)?);
    let board: Value = serde_json::from_str(&read(dashboard::DASHBOARD)?).context(dashboard::DASHBOARD)?;

    let shell = &project.shell;
    cmd!(shell, "promtool check rules --lint=all --lint-fatal {ALERTS}").quiet().ignore_stdout().run()?;
    cmd!(shell, "promtool test rules {CASES}").quiet().ignore_stdout().run()?;
    let queries = dashboard::queries(&board);
    check_queries(project, &queries)?;

    let alerts = alerts::read(&rules);
    let page = |name: &str| fs::read_to_string(project.path(&format!("{RUNBOOK}/{name}.md"))).ok();
    let mut complaints = alerts::complaints(&alerts, &cases, &read(&format!("{RUNBOOK}/README.md"))?, page);
    complaints.extend(alerts::orphans(&alerts, &pages(project)?));
    complaints.extend(dashboard::lint(&board).into_iter().map(|what| format!("{}: {what}", dashboard::DASHBOARD)));
    let known = names::known(&metrics);
    for (path, text) in [(ALERTS, &rules), (CASES, &cases)] {
        complaints.extend(names::unknown(text, &known).into_iter().map(|name| format!("{path}: no metric `{name}`")));
    }
    for (panel, query) in &queries {
        let unknown = names::unknown(query, &known).into_iter();
        complaints.extend(unknown.map(|name| format!("{}: `{panel}`: no metric `{name}`", dashboard::DASHBOARD)));
    }
    for complaint in &complaints {
        println!("{complaint}");
    }
    if !complaints.is_empty() {
        bail!("rules: {} complaints", complaints.len());
    }
    println!("rules: {} alerts, {} cases, {} queries", alerts.len(), alerts::cases(&cases).len(), queries.len());
    Ok(())
}

/// Lets promtool parse the dashboard's queries: each becomes a rule of a file that nobody loads. JSON is YAML.
fn check_queries(project: &Project, queries: &[(String, String)]) -> Result<()> {
    let rules: Vec<Value> = queries
        .iter()
        .enumerate()
        .map(|(index, (_, query))| json!({ "record": format!("dashboard:query:{index}"), "expr": fill_in(query) }))
        .collect();
    let folder = project.target.join("rules");
    fs::create_dir_all(&folder)?;
    let file = folder.join("dashboard.json");
    fs::write(&file, serde_json::to_string_pretty(&json!({ "groups": [{ "name": "dashboard", "rules": rules }] }))?)?;
    let shell = &project.shell;
    cmd!(shell, "promtool check rules {file}").quiet().ignore_stdout().run().context(dashboard::DASHBOARD)
}

/// A query as it is when everything was chosen.
fn fill_in(query: &str) -> String {
    let query = query.replace("$__rate_interval", "1m").replace("$__range", "1h");
    ["$namespace", "$job", "$node"].iter().fold(query, |query, variable| query.replace(variable, ".*"))
}

/// The names of the runbook's pages.
fn pages(project: &Project) -> Result<Vec<String>> {
    let entries = fs::read_dir(project.path(RUNBOOK)).with_context(|| format!("cannot list {RUNBOOK}"))?;
    let files = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let files: Vec<String> = files.collect::<std::io::Result<_>>()?;
    Ok(files
        .iter()
        .filter_map(|file| file.strip_suffix(".md"))
        .filter(|name| *name != "README")
        .map(str::to_owned)
        .collect())
}

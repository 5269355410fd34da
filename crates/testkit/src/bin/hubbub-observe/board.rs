//! `dashboard`: two nodes under load, Redis frozen for a while, a node drained; then every panel as it would be drawn.
//!
//! Owns what happens while it is watched, and the questions to Prometheus. Must never draw.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use hubbub_testkit::load::{self, Background};
use hubbub_testkit::process::Signal;
use hubbub_testkit::servers::Prometheus;
use hubbub_testkit::{Cluster, ClusterConfig};
use serde_json::Value;

use crate::picture::{self, Curve, Panel};

const DASHBOARD: &str = "deploy/grafana/hubbub.json";

/// Who talks while it is watched.
const SCENARIO: &str = r#"
about = "People in rooms of all sizes, for the panels of the dashboard"
duration = "110s"
warmup = "5s"
connections = { count = 400, per_second = 100, churn_per_second = 4 }
rooms = { size = 20, per_connection = 2, popularity = { zipf = 0.8 } }
messages = { per_second = 60, body = { min = 48, max = 400 } }
actions = { typing_per_second = 10, read_per_second = 10, page_per_second = 5 }
"#;
const PEOPLE: u32 = 400;

/// Low enough that some of them meet it.
const SENDS_PER_MINUTE: &str = "6";

const BEFORE: Duration = Duration::from_secs(30);
const FROZEN: Duration = Duration::from_secs(10);
const BETWEEN: Duration = Duration::from_secs(20);
const DRAIN_LIMIT: Duration = Duration::from_secs(30);
const LOAD_LIMIT: Duration = Duration::from_secs(300);

/// A point every so often, and the interval of rates that fits a scrape a second.
const STEP: &str = "1";
const RATE_INTERVAL: &str = "5s";

/// The time shown: longer than it takes.
const RANGE: &str = "10m";

/// Plays it and writes the page.
pub(crate) async fn run(root: &Path, out: &Path) -> Result<()> {
    let text = fs::read_to_string(root.join(DASHBOARD)).with_context(|| format!("cannot read {DASHBOARD}"))?;
    let dashboard: Value = serde_json::from_str(&text).context(DASHBOARD)?;
    let config = ClusterConfig { nodes: 2, users: 0, ..ClusterConfig::default() };
    let config = config.unlimited().with("HUBBUB_LIMITS_USER_SENDS_PER_MINUTE", SENDS_PER_MINUTE);
    let mut cluster = Cluster::start(config).await?;
    let ports: Vec<u16> = cluster.members.iter().map(|member| member.node.ops_port).collect();
    let prometheus = Prometheus::start(cluster.folder(), &ports, Some(&root.join("deploy/prometheus/alerts.yml"))).await?;
    let (from, began) = (now()?, Instant::now());
    play(&mut cluster, began).await?;
    let (to, mut panels, mut empty) = (now()?, Vec::new(), Vec::new());
    for panel in dashboard["panels"].as_array().context("no panels")? {
        let panel = ask(&prometheus, panel, (from, to)).await?;
        if panel.curves.is_empty() && !panel.is_row {
            empty.push(panel.title.clone());
        }
        panels.push(panel);
    }
    if let Some(folder) = out.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(out, picture::page(&panels))?;
    println!("{}: {} panels", out.display(), panels.iter().filter(|panel| !panel.is_row).count());
    println!("without any series, as nothing of the kind happened or is there: {}", empty.join(", "));
    Ok(())
}

async fn play(cluster: &mut Cluster, began: Instant) -> Result<()> {
    let say = |what: &str| println!("{:>6.1} s  {what}", began.elapsed().as_secs_f64());
    let tokens = cluster.folder().join("tokens.txt");
    load::sign_up(&cluster.members[0].node, PEOPLE, &tokens)?;
    let urls: Vec<String> = (0..cluster.members.len()).map(|node| cluster.url(node)).collect();
    let mut load = Background::start(cluster.folder(), SCENARIO, &urls, (&tokens, 1), BEFORE)?;
    say(&format!("{PEOPLE} people talk"));
    load.reached_mark(LOAD_LIMIT).await?;
    cluster.redis.signal(Signal::Stop);
    say("Redis is frozen");
    tokio::time::sleep(FROZEN).await;
    cluster.redis.signal(Signal::Continue);
    say("Redis goes on");
    tokio::time::sleep(BETWEEN).await;
    let node = &mut cluster.members[1].node;
    node.signal(Signal::Terminate);
    say("a node drains");
    node.wait_ended(DRAIN_LIMIT).await?;
    node.start().await?;
    say("it is back");
    let report = load.finish(LOAD_LIMIT).await?;
    ensure!(report.lost()? == 0.0, "the load lost messages");
    say("the load is over, nothing was lost");
    Ok(())
}

/// Everything that a panel shows, from Prometheus.
async fn ask(prometheus: &Prometheus, panel: &Value, (from, to): (f64, f64)) -> Result<Panel> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let number = |name: &str| panel["gridPos"][name].as_u64().unwrap_or_default();
    let defaults = &panel["fieldConfig"]["defaults"];
    let mut drawn = Panel {
        title: text(&panel["title"]),
        about: text(&panel["description"]),
        unit: text(&defaults["unit"]),
        is_row: panel["type"] == "row",
        is_stat: panel["type"] == "stat",
        is_stacked: defaults["custom"]["stacking"]["mode"] == "normal",
        place: (number("x"), number("y"), number("w"), number("h")),
        curves: Vec::new(),
    };
    let (start, end) = (from.to_string(), to.to_string());
    for target in panel["targets"].as_array().into_iter().flatten() {
        let query = fill_in(target["expr"].as_str().unwrap_or_default());
        let question = [("query", query.as_str()), ("start", &start), ("end", &end), ("step", STEP)];
        let answer = prometheus.ask("/api/v1/query_range", &question).await.with_context(|| drawn.title.clone())?;
        for series in answer["result"].as_array().into_iter().flatten() {
            let name = legend(target["legendFormat"].as_str().unwrap_or_default(), &series["metric"]);
            drawn.curves.push(Curve { name, points: points(series, from, to) });
        }
    }
    Ok(drawn)
}

/// Seconds since the start, one point a second; none where the series has no value.
fn points(series: &Value, from: f64, to: f64) -> Vec<(f64, f64)> {
    let mut points: Vec<(f64, f64)> = (0..=(to - from) as u32).map(|second| (f64::from(second), f64::NAN)).collect();
    for pair in series["values"].as_array().into_iter().flatten() {
        let at = pair[0].as_f64().map(|at| (at - from).round());
        let value = pair[1].as_str().and_then(|value| value.parse::<f64>().ok());
        if let (Some(at), Some(value)) = (at, value)
            && let Some(point) = points.get_mut(at as usize)
        {
            point.1 = value;
        }
    }
    points
}

/// A legend with the labels of a series filled in.
fn legend(format: &str, labels: &Value) -> String {
    let mut parts = format.split("{{");
    let mut legend = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (label, rest) = part.split_once("}}").unwrap_or((part, ""));
        legend.push_str(labels[label.trim()].as_str().unwrap_or_default());
        legend.push_str(rest);
    }
    legend
}

/// A query as it is when everything was chosen.
fn fill_in(query: &str) -> String {
    let query = query.replace("$__rate_interval", RATE_INTERVAL).replace("$__range", RANGE);
    ["$namespace", "$job", "$node"].iter().fold(query, |query, variable| query.replace(variable, ".*"))
}

fn now() -> Result<f64> {
    Ok(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn legends_are_filled_in() {
        let labels = json!({ "op": "append", "job": "hubbub" });
        assert_eq!(legend("{{op}} p99 of {{ job }}", &labels), "append p99 of hubbub");
        assert_eq!(legend("p50", &labels), "p50");
        assert_eq!(legend("{{gone}}!", &labels), "!");
    }

    #[test]
    fn a_series_has_gaps_where_it_has_no_value() {
        let series = json!({ "values": [[100.0, "1.5"], [102.0, "NaN"], [103.0, "2"]] });
        let points = points(&series, 100.0, 103.4);
        let is_gap: Vec<bool> = points.iter().map(|(_, value)| value.is_nan()).collect();
        assert_eq!(is_gap, [false, true, true, false]);
        assert_eq!(points[3], (3.0, 2.0));
    }
}

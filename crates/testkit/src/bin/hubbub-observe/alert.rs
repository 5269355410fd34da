//! `alert`: from a fault to its alert, to the page of the runbook, and to the end of the alert.
//!
//! Owns the faults and what each has to be seen as. Must never change a rule but for how long it waits (`for`).

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use hubbub_testkit::process::Signal;
use hubbub_testkit::servers::Prometheus;
use hubbub_testkit::{Cluster, ClusterConfig, http};
use serde_json::Value;

/// The rules, and where a `runbook_url` leads in a checkout.
const RULES: &str = "deploy/prometheus/alerts.yml";
const PAGES: (&str, &str) = ("/blob/main/", "docs/runbook/");

/// Long enough for a scrape, two looks at the rules, and a busy machine.
const LIMIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(200);

/// What stands in place of every `for:`.
const FOR: &str = "2s";

/// A fault and how it has to be seen.
struct Fault {
    what: &'static str,
    alert: &'static str,
    start: fn(&mut Cluster),
    end: fn(&mut Cluster) -> Result<()>,
    /// What an operator sees at the first node while it lasts: a path of the ops port and a part of the answer.
    seen: (&'static str, &'static str),
}

const FAULTS: [Fault; 3] = [
    Fault {
        what: "Redis is frozen",
        alert: "HubbubDegraded",
        start: |cluster| cluster.redis.signal(Signal::Stop),
        end: |cluster| {
            cluster.redis.signal(Signal::Continue);
            Ok(())
        },
        seen: ("/readyz", "\"degraded\":[\"redis\"]"),
    },
    Fault {
        what: "a node is killed",
        alert: "HubbubNodeGone",
        start: |cluster| cluster.members[1].node.kill(),
        end: |cluster| cluster.members[1].node.launch(),
        seen: ("/metrics", "hubbub_bus_nodes 1"),
    },
    Fault {
        what: "PostgreSQL is cut off",
        alert: "HubbubDatabaseDown",
        start: |cluster| cluster.members.iter().for_each(|member| member.postgres_link.cut()),
        end: |cluster| {
            cluster.members.iter().for_each(|member| member.postgres_link.heal());
            Ok(())
        },
        seen: ("/readyz", "\"database\":\"down\""),
    },
];

/// Plays every fault; fails at the first that is not seen as it has to be.
pub(crate) async fn run(root: &Path) -> Result<()> {
    let began = Instant::now();
    let say = |what: &str| println!("{:>6.1} s  {what}", began.elapsed().as_secs_f64());
    let rules = fs::read_to_string(root.join(RULES)).with_context(|| format!("cannot read {RULES}"))?;
    let mut cluster = Cluster::start(ClusterConfig { nodes: 2, ..ClusterConfig::default() }).await?;
    let file = cluster.folder().join("alerts.yml");
    fs::write(&file, impatient(&rules))?;
    let ports: Vec<u16> = cluster.members.iter().map(|member| member.node.ops_port).collect();
    let prometheus = Prometheus::start(cluster.folder(), &ports, Some(&file)).await?;
    say(&format!("two nodes, Prometheus with {RULES}; every `for` is {FOR}"));
    wait("both nodes are scraped", async || {
        let up = prometheus.ask("/api/v1/query", &[("query", "sum(up)")]).await?;
        Ok((up["result"][0]["value"][1] == "2").then_some(()))
    })
    .await?;
    calm(&prometheus).await?;
    say("nothing fires");
    for fault in &FAULTS {
        play(&mut cluster, &prometheus, fault, root, &say).await.context(fault.what)?;
    }
    println!("{} faults, each seen, explained and ended", FAULTS.len());
    Ok(())
}

async fn play(
    cluster: &mut Cluster,
    prometheus: &Prometheus,
    fault: &Fault,
    root: &Path,
    say: &impl Fn(&str),
) -> Result<()> {
    (fault.start)(cluster);
    say(fault.what);
    let alert = wait(&format!("{} fires", fault.alert), async || {
        let firing = prometheus.firing().await?;
        Ok(firing.into_iter().find(|alert| alert["labels"]["alertname"] == fault.alert))
    })
    .await?;
    let severity = alert["labels"]["severity"].as_str().unwrap_or_default();
    let description = alert["annotations"]["description"].as_str().context("it has no description")?;
    say(&format!("{} fires ({severity}): {description}", fault.alert));
    say(&format!("its page: {}", page(root, &alert)?));
    let (path, part) = fault.seen;
    let ops_port = cluster.members[0].node.ops_port;
    wait(&format!("{path} shows {part}"), async || Ok(http::get(ops_port, path).await?.body.contains(part).then_some(())))
        .await?;
    say(&format!("the first node's {path} has {part}"));
    (fault.end)(cluster)?;
    say("over");
    calm(prometheus).await?;
    say("nothing fires any more");
    Ok(())
}

/// The title of the page to which an alert leads.
fn page(root: &Path, alert: &Value) -> Result<String> {
    let url = alert["annotations"]["runbook_url"].as_str().context("it has no runbook_url")?;
    let (_, file) = url.split_once(PAGES.0).with_context(|| format!("{url} leads out of the repository"))?;
    ensure!(file.starts_with(PAGES.1), "{url} is no page of the runbook");
    let text = fs::read_to_string(root.join(file)).with_context(|| format!("{url}: no {file}"))?;
    Ok(format!("{file}, `{}`", text.lines().next().unwrap_or_default()))
}

async fn calm(prometheus: &Prometheus) -> Result<()> {
    wait("nothing fires", async || Ok(prometheus.firing().await?.is_empty().then_some(()))).await
}

/// Asks until there is an answer.
async fn wait<T>(what: &str, mut ask: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(answer) = ask().await.with_context(|| what.to_owned())? {
            return Ok(answer);
        }
        if Instant::now() > deadline {
            bail!("not within {LIMIT:?}: {what}");
        }
        tokio::time::sleep(POLL).await;
    }
}

/// The same rules with every `for` shortened.
fn impatient(rules: &str) -> String {
    let line = |line: &str| match line.split_once("for: ") {
        Some((indent, _)) if indent.trim().is_empty() => format!("{indent}for: {FOR}\n"),
        _ => format!("{line}\n"),
    };
    rules.lines().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_waiting_is_shortened() {
        let rules = "      - alert: A\n        expr: x > 5 # for: 1\n        for: 10m\n";
        assert_eq!(impatient(rules), "      - alert: A\n        expr: x > 5 # for: 1\n        for: 2s\n");
    }
}

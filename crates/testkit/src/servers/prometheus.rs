//! A Prometheus that scrapes nodes and plays rules, for looking at alerts and dashboards.
//!
//! Must never be used to judge chat: tests read the nodes' metrics themselves.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::START_LIMIT;
use crate::process::{Process, find_program};
use crate::{http, ports};

/// How often nodes are scraped and rules are looked at.
pub const INTERVAL: Duration = Duration::from_secs(1);

/// A running Prometheus with its files in a folder.
#[derive(Debug)]
pub struct Prometheus {
    /// Where it listens.
    pub port: u16,
    /// Ended when dropped.
    _process: Process,
}

impl Prometheus {
    /// Starts one that scrapes these ops ports as the job `hubbub`, and plays the rules of a file.
    ///
    /// # Errors
    /// When it is missing or does not come up, i.e. refuses the rules.
    pub async fn start(folder: &Path, ops_ports: &[u16], rules: Option<&Path>) -> Result<Self> {
        let port = ports::free()?;
        let file = folder.join("prometheus.json");
        fs::write(&file, configuration(ops_ports, rules))?;
        let mut command = Command::new(find_program("prometheus", "prometheus", &[])?);
        command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
        command.arg(format!("--config.file={}", file.display()));
        command.arg(format!("--storage.tsdb.path={}", folder.join("prometheus").display()));
        let mut process = Process::start("prometheus", command, &folder.join("prometheus.log"))?;
        let answers = async || http::get(port, "/-/ready").await.is_ok_and(|answer| answer.status == 200);
        process.wait_until(START_LIMIT, "ready", answers).await?;
        Ok(Self { port, _process: process })
    }

    /// The `data` of an answer of its API, such as of `/api/v1/alerts`.
    ///
    /// # Errors
    /// When it does not answer, or refuses; its reason is told.
    pub async fn ask(&self, path: &str, arguments: &[(&str, &str)]) -> Result<Value> {
        let arguments: Vec<String> = arguments
            .iter()
            .map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)))
            .collect();
        let answer = http::get(self.port, &format!("{path}?{}", arguments.join("&"))).await?;
        let mut body: Value = serde_json::from_str(&answer.body).with_context(|| format!("{path}: no JSON"))?;
        ensure!(body["status"] == "success", "{path}: {}", body["error"]);
        Ok(body["data"].take())
    }

    /// The alerts that fire, each with its labels and annotations.
    ///
    /// # Errors
    /// As [`Prometheus::ask`].
    pub async fn firing(&self) -> Result<Vec<Value>> {
        let mut alerts = self.ask("/api/v1/alerts", &[]).await?;
        let Value::Array(alerts) = alerts["alerts"].take() else { return Ok(Vec::new()) };
        Ok(alerts.into_iter().filter(|alert| alert["state"] == "firing").collect())
    }
}

/// JSON is YAML.
fn configuration(ops_ports: &[u16], rules: Option<&Path>) -> String {
    let targets: Vec<String> = ops_ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    let interval = format!("{}s", INTERVAL.as_secs());
    serde_json::json!({
        "global": { "scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval },
        "rule_files": rules.into_iter().collect::<Vec<_>>(),
        "scrape_configs": [{ "job_name": "hubbub", "static_configs": [{ "targets": targets }] }],
    })
    .to_string()
}

//! One GET, for probes and metrics of nodes.
//!
//! Must never follow, retry or keep a connection.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How long one answer may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// An answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body as text.
    pub body: String,
}

/// Asks a port of this machine for a path.
///
/// # Errors
/// When nothing answers within five seconds, or something other than HTTP.
pub async fn get(port: u16, path: &str) -> Result<Answer> {
    tokio::time::timeout(TIMEOUT, exchange(port, path)).await.context("no answer in time")?
}

async fn exchange(port: u16, path: &str) -> Result<Answer> {
    let mut stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
    // HTTP/1.0, so that the body is neither chunked nor followed by anything.
    let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await?;
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").context("no HTTP")?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("no HTTP status")?;
    Ok(Answer { status, body: body.to_owned() })
}

/// Samples of Prometheus text by name and labels, as written.
#[must_use]
pub fn samples(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.rsplit_once(' ').and_then(|(name, value)| Some((name.to_owned(), value.parse().ok()?))))
        .collect()
}

/// The sum of a metric over its labels.
#[must_use]
pub fn sum(samples: &BTreeMap<String, f64>, metric: &str) -> f64 {
    let own = samples.iter().filter(|(name, _)| name.split('{').next() == Some(metric));
    own.map(|(_, value)| value).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_summed_over_labels() {
        let text = "# HELP x y\nx_total{cause=\"a b\"} 2\nx_total{cause=\"c\"} 3\nx_total_other 7\n";
        assert_eq!(sum(&samples(text), "x_total"), 5.0);
    }
}

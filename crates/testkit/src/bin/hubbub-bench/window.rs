//! What PostgreSQL and Redis spend while messages flow: samples of their CPU time and of the nodes' deliveries.
//!
//! Must never count the making of rooms or the waiting at the end: only the middle of the flow is looked at. All figures
//! are of the same samples, so that no clock of another program has to agree with ours.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use hubbub_testkit::http;

use crate::subject::cpu_of;

/// How often is looked.
const PERIOD: Duration = Duration::from_millis(500);

/// The part of all deliveries that lies in the middle: warm-up and end are left out.
const MIDDLE: (f64, f64) = (0.25, 0.95);

struct Sample {
    deliveries: f64,
    /// CPU seconds of each server with its children, in their order.
    cpu: Vec<f64>,
}

/// The servers being watched.
pub(crate) struct Watch {
    servers: Arc<[(&'static str, u32)]>,
    thread: JoinHandle<Vec<Sample>>,
    /// Dropped to end the thread.
    end: Sender<()>,
}

/// What they spent.
#[derive(Debug)]
pub(crate) struct Window {
    per_delivery: BTreeMap<&'static str, f64>,
}

impl Window {
    /// Watches servers (name, process) and the nodes with these ports for operators.
    pub(crate) fn open(servers: Vec<(&'static str, u32)>, ports: Vec<u16>) -> Watch {
        let (end, ended) = channel();
        let servers: Arc<[_]> = servers.into();
        let watched = Arc::clone(&servers);
        let thread = std::thread::spawn(move || watch(&watched, &ports, &ended));
        Watch { servers, thread, end }
    }

    /// CPU of a server per delivery, in µs; none when it did not run or nothing flowed.
    pub(crate) fn per_delivery(&self, server: &str) -> Option<f64> {
        self.per_delivery.get(server).copied()
    }
}

impl Watch {
    pub(crate) fn close(self) -> Result<Window> {
        drop(self.end);
        let Ok(samples) = self.thread.join() else { bail!("the watch panicked") };
        let mut per_delivery = BTreeMap::new();
        if let Some((first, last)) = middle(&samples) {
            let deliveries = last.deliveries - first.deliveries;
            for (index, (name, _)) in self.servers.iter().enumerate() {
                per_delivery.insert(*name, (last.cpu[index] - first.cpu[index]) * 1e6 / deliveries);
            }
        }
        Ok(Window { per_delivery })
    }
}

fn middle(samples: &[Sample]) -> Option<(&Sample, &Sample)> {
    let total = samples.last()?.deliveries;
    let first = samples.iter().find(|sample| sample.deliveries >= total * MIDDLE.0)?;
    let last = samples.iter().rev().find(|sample| sample.deliveries <= total * MIDDLE.1)?;
    (last.deliveries > first.deliveries).then_some((first, last))
}

fn watch(servers: &[(&'static str, u32)], ports: &[u16], ended: &Receiver<()>) -> Vec<Sample> {
    let mut samples = Vec::new();
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return samples };
    while ended.recv_timeout(PERIOD) == Err(RecvTimeoutError::Timeout) {
        // A node that is too busy to answer is asked again at the next look.
        if let Ok(sample) = runtime.block_on(look(servers, ports)) {
            samples.push(sample);
        }
    }
    samples
}

async fn look(servers: &[(&'static str, u32)], ports: &[u16]) -> Result<Sample> {
    let mut deliveries = 0.0;
    for port in ports {
        let answer = http::get(*port, "/metrics").await?;
        deliveries += http::sum(&http::samples(&answer.body), "hubbub_deliveries_total");
    }
    let cpu = servers.iter().map(|(_, pid)| with_children(*pid)).collect::<Result<_>>()?;
    Ok(Sample { deliveries, cpu })
}

/// CPU seconds of a process and of its children; PostgreSQL has one for each session.
fn with_children(pid: u32) -> Result<f64> {
    let own = cpu_of(pid)?.as_secs_f64();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).context("no children are told")?;
    // A session that ends just now is gone.
    let times = children.split_whitespace().filter_map(|child| cpu_of(child.parse().ok()?).ok());
    Ok(own + times.map(|time| time.as_secs_f64()).sum::<f64>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_middle_of_the_flow_counts() {
        let flow = [0.0, 0.0, 10.0, 30.0, 50.0, 90.0, 100.0, 100.0];
        let samples: Vec<Sample> = flow.iter().map(|sum| Sample { deliveries: *sum, cpu: vec![*sum] }).collect();
        let (first, last) = middle(&samples).expect("something flowed");
        assert_eq!((first.deliveries, last.deliveries), (30.0, 90.0));
        assert!(middle(&samples[..2]).is_none(), "nothing flowed");
        assert!(middle(&[]).is_none());
    }
}

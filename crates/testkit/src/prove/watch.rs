//! The metrics of the nodes over a run, looked at four times a second.
//!
//! Must never take a missing node for a zero, nor a counter that began anew for one that fell.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hubbub_protocol::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

use crate::cluster::Cluster;
use crate::http;

/// Events that the bus did not bring.
pub const REPAIRS: &str = "hubbub_delivery_repairs_total";
/// Whether a node reaches Redis.
pub const BUS_UP: &str = "hubbub_bus_up";

/// Between two looks at a node.
const PERIOD: Duration = Duration::from_millis(250);
/// More looks than the longest run takes; later ones are not kept.
const LOOKS_MAX: usize = 200_000;

/// Which samples of a metric are meant: those of a name, or only those with such a label.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// A label as it is written, such as `reason="stale"`; empty: all.
    pub label: &'static str,
}

impl Metric {
    /// All samples of this name together.
    #[must_use]
    pub const fn of(name: &'static str) -> Self {
        Self { name, label: "" }
    }

    /// Those with this label.
    #[must_use]
    pub const fn labelled(name: &'static str, label: &'static str) -> Self {
        Self { name, label }
    }

    fn is(&self, sample: &str) -> bool {
        let name = sample.split('{').next().unwrap_or_default();
        // A histogram is told as its sum, its count and its buckets.
        let is_own = name.strip_prefix(self.name).is_some_and(|rest| matches!(rest, "" | "_sum" | "_count"));
        is_own && sample.contains(self.label)
    }

    /// As people write it.
    #[must_use]
    pub fn text(&self) -> String {
        let Self { name, label } = self;
        if label.is_empty() { (*name).to_owned() } else { format!("{name}{{{label}}}") }
    }
}

/// How a metric shows that something is wrong.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Shows {
    /// On some node it fell to this or below.
    Below(f64),
    /// On some node it rose to this or above.
    Above(f64),
    /// Over all nodes it grew by this or more.
    Grew(f64),
    /// On some node the mean of what this histogram took in rose to this or above.
    Mean(f64),
}

/// The metric by which an operator sees a fault.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Sign {
    /// Which.
    pub metric: Metric,
    /// How.
    pub shows: Shows,
}

/// What a sign came to.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Seen {
    /// The metric, with its label.
    pub metric: String,
    /// `lowest`, `highest` or `growth`.
    pub how: String,
    /// The value; none when no node told any.
    pub value: Option<f64>,
    /// Whether it showed what was wrong.
    pub shown: bool,
}

/// One look at one node.
#[derive(Clone, Debug)]
struct Look {
    at: Timestamp,
    node: usize,
    values: BTreeMap<String, f64>,
}

/// Looks at every node until it is dropped.
#[derive(Debug)]
pub struct Watch {
    looks: Arc<Mutex<Vec<Look>>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Watch {
    /// Begins to look at all nodes for these metrics.
    #[must_use]
    pub fn start(cluster: &Cluster, metrics: Vec<Metric>) -> Self {
        let ports: Vec<u16> = cluster.members.iter().map(|member| member.node.ops_port).collect();
        let looks = Arc::new(Mutex::new(Vec::new()));
        let follow = |(node, port)| {
            let (looks, metrics) = (Arc::clone(&looks), metrics.clone());
            tokio::spawn(async move {
                loop {
                    // A node that does not answer tells nothing.
                    if let Ok(answer) = http::get(port, "/metrics").await {
                        let values = http::samples(&answer.body).into_iter();
                        let values = values.filter(|(name, _)| metrics.iter().any(|metric| metric.is(name))).collect();
                        let look = Look { at: Timestamp::now(), node, values };
                        let mut looks = looks.lock().unwrap_or_else(PoisonError::into_inner);
                        if looks.len() < LOOKS_MAX {
                            looks.push(look);
                        }
                    }
                    tokio::time::sleep(PERIOD).await;
                }
            })
        };
        let tasks = ports.into_iter().enumerate().map(follow).collect();
        Self { looks, tasks }
    }

    /// What a sign came to between two moments.
    #[must_use]
    pub fn seen(&self, sign: Sign, from: Timestamp, to: Timestamp) -> Seen {
        let Sign { metric, shows } = sign;
        let sums = self.sums(metric, from, to);
        let values = sums.iter().map(|(_, value)| *value);
        let (how, value, shown) = match shows {
            Shows::Below(limit) => {
                let lowest = values.reduce(f64::min);
                ("lowest", lowest, lowest.is_some_and(|lowest| lowest <= limit))
            }
            Shows::Above(limit) => {
                let highest = values.reduce(f64::max);
                ("highest", highest, highest.is_some_and(|highest| highest >= limit))
            }
            Shows::Mean(limit) => {
                let highest = self.highest_mean(metric, from, to);
                ("highest mean", highest, highest.is_some_and(|highest| highest >= limit))
            }
            Shows::Grew(limit) => {
                let growth = self.growth(metric, from, to);
                ("growth", Some(growth), growth >= limit)
            }
        };
        Seen { metric: metric.text(), how: how.to_owned(), value, shown }
    }

    /// By how much a counter grew over all nodes between two moments.
    #[must_use]
    pub fn growth(&self, metric: Metric, from: Timestamp, to: Timestamp) -> f64 {
        self.growths(|name| metric.is(name), from, to).values().sum()
    }

    /// Of the nodes' means of a histogram between two moments the highest.
    fn highest_mean(&self, metric: Metric, from: Timestamp, to: Timestamp) -> Option<f64> {
        let part = |ending: &str| {
            let whole = format!("{}{ending}", metric.name);
            self.growths(|name| name.split('{').next() == Some(whole.as_str()) && name.contains(metric.label), from, to)
        };
        let (sums, counts) = (part("_sum"), part("_count"));
        let means = counts.iter().filter(|(_, count)| **count > 0.0);
        means.filter_map(|(node, count)| Some(sums.get(node)? / count)).reduce(f64::max)
    }

    /// By how much counters grew on each node.
    fn growths(&self, is_meant: impl Fn(&str) -> bool, from: Timestamp, to: Timestamp) -> BTreeMap<usize, f64> {
        let looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        let mut last: HashMap<(usize, &str), f64> = HashMap::new();
        let mut growths = BTreeMap::new();
        for look in looks.iter() {
            for (name, value) in look.values.iter().filter(|(name, _)| is_meant(name)) {
                let last = last.insert((look.node, name), *value);
                // A counter that was not there yet, or began anew, grew by all that it shows.
                let grown = last.filter(|last| value >= last).map_or(*value, |last| value - last);
                let is_first = last.is_none() && look.at < from;
                if !is_first && (from..=to).contains(&look.at) {
                    *growths.entry(look.node).or_insert(0.0) += grown;
                }
            }
        }
        growths
    }

    /// The sums over the labels of each look, with its node.
    fn sums(&self, metric: Metric, from: Timestamp, to: Timestamp) -> Vec<(usize, f64)> {
        let looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        let within = looks.iter().filter(|look| (from..=to).contains(&look.at));
        let summed = within.filter_map(|look| {
            let own: Vec<f64> =
                look.values.iter().filter(|(name, _)| metric.is(name)).map(|(_, value)| *value).collect();
            (!own.is_empty()).then(|| (look.node, own.iter().sum()))
        });
        summed.collect()
    }
}

/// Whether all nodes say that their bus is up.
pub async fn bus_is_up(cluster: &Cluster) -> bool {
    for member in &cluster.members {
        let up = member.node.metrics().await.is_ok_and(|text| http::sum(&http::samples(&text), BUS_UP) >= 1.0);
        if !up {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(looks: &[(i64, usize, &str, f64)]) -> Watch {
        let looks = looks.iter().map(|(at, node, name, value)| Look {
            at: Timestamp::from_millis(*at),
            node: *node,
            values: BTreeMap::from([((*name).to_owned(), *value)]),
        });
        Watch { looks: Arc::new(Mutex::new(looks.collect())), tasks: Vec::new() }
    }

    #[test]
    fn counters_grow_over_restarts_and_gauges_are_those_of_single_nodes() {
        let name = "x_total{reason=\"stale\"}";
        let watch = watch(&[
            (1, 0, name, 100.0),
            (5, 0, name, 103.0),
            (6, 1, name, 0.0),
            (7, 0, name, 2.0),
            (8, 1, name, 4.0),
            (20, 1, name, 50.0),
        ]);
        let (from, to) = (Timestamp::from_millis(2), Timestamp::from_millis(10));
        assert_eq!(watch.growth(Metric::of("x_total"), from, to), 3.0 + 2.0 + 4.0);
        assert_eq!(watch.growth(Metric::labelled("x_total", "reason=\"slow\""), from, to), 0.0);
        let sign = |shows| Sign { metric: Metric::of("x_total"), shows };
        let lowest = watch.seen(sign(Shows::Below(0.0)), from, to);
        assert_eq!((lowest.value, lowest.shown), (Some(0.0), true));
        let highest = watch.seen(sign(Shows::Above(200.0)), from, to);
        assert_eq!((highest.value, highest.shown), (Some(103.0), false));
        let nothing = watch.seen(Sign { metric: Metric::of("y"), shows: Shows::Below(0.0) }, from, to);
        assert_eq!((nothing.value, nothing.shown), (None, false), "what nobody tells shows nothing");
    }
}

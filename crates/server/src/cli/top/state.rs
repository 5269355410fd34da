//! What is known of every node: the last answer of each, what has changed since the one before, who is gone.
//!
//! A pure state machine: looks come in, rows go out. Must never forget a node because it does not answer.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use serde::Serialize;

use super::answer::{Connection, Lease, NodePage, Room, Snapshot};
use super::rates::{self, Rates};

/// A node whose address is no longer listed is shown as gone for this long, then not at all.
const GONE_SHOWN: Duration = Duration::from_secs(120);

/// What one look at one address has brought. `at` is counted from the start of this program.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) address: String,
    pub(super) at: Duration,
    pub(super) outcome: Result<Box<Snapshot>, String>,
}

/// A node that was asked.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// The last answer; none before the first.
    pub(super) last: Option<Snapshot>,
    pub(super) rates: Option<Rates>,
    /// Since when it has not answered, and why.
    pub(super) gone: Option<(Duration, String)>,
    at: Duration,
    /// It is no longer among those that were named or found.
    unlisted: bool,
}

/// How a node is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Condition {
    /// It does not answer.
    Gone,
    /// Its database is gone.
    Unavailable,
    /// It refuses newcomers.
    Overloaded,
    /// It serves without something that it needs.
    Degraded,
    Starting,
    Draining,
    Ready,
    /// Its lease stands, and nobody has told where its ops port is.
    Unasked,
}

impl Condition {
    /// In at most eight columns.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Unavailable => "no db",
            Self::Overloaded => "overload",
            Self::Degraded => "degraded",
            Self::Starting => "starting",
            Self::Draining => "draining",
            Self::Ready => "ready",
            Self::Unasked => "unasked",
        }
    }
}

/// A row of the table of nodes.
#[derive(Clone, Debug)]
pub(super) struct NodeRow<'s> {
    /// Tells it from others of its name: where it is asked, or its run.
    pub(super) key: &'s str,
    /// Where it is asked; none for one that only a lease tells of.
    pub(super) address: Option<&'s str>,
    pub(super) name: String,
    pub(super) condition: Condition,
    pub(super) page: Option<&'s NodePage>,
    pub(super) rates: Option<Rates>,
    /// For how long it has not answered.
    pub(super) gone_for: Option<Duration>,
    /// Why it does not answer.
    pub(super) reason: Option<&'s str>,
    /// Sessions under its lease, where nothing else is known.
    pub(super) sessions: Option<u64>,
}

impl NodeRow<'_> {
    /// Connections, of a node that answers.
    pub(super) fn connections(&self) -> Option<u64> {
        self.live().map(|page| page.connections)
    }

    /// The last answer of a node that still answers.
    pub(super) fn live(&self) -> Option<&NodePage> {
        self.page.filter(|_| self.gone_for.is_none())
    }
}

/// Sums over the nodes that answer.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize)]
pub(super) struct Totals {
    pub(super) nodes: usize,
    pub(super) answering: usize,
    pub(super) connections: u64,
    pub(super) connects_per_s: f64,
    pub(super) commands_per_s: f64,
    pub(super) deliveries_per_s: f64,
    /// The worst of all nodes, in seconds.
    pub(super) delivery_p99_s: Option<f64>,
    pub(super) outbox_bytes: u64,
    pub(super) cpu: f64,
    pub(super) rss_bytes: u64,
}

/// Everything that is known.
#[derive(Debug, Default)]
pub(super) struct State {
    nodes: BTreeMap<String, Node>,
    leases: Vec<Lease>,
}

impl State {
    /// Takes what a look has brought.
    pub(super) fn take(&mut self, look: Look) {
        let node = self.nodes.entry(look.address).or_default();
        match look.outcome {
            Ok(mut snapshot) => {
                let before = node.last.as_ref().map(|last| (&last.node, node.at));
                node.rates = before.and_then(|before| rates::between(before, (&snapshot.node, look.at)));
                if let Some(leases) = &snapshot.leases {
                    self.leases.clone_from(leases);
                }
                // What is not asked for each time stays.
                let errors = node.last.take().and_then(|last| last.errors);
                snapshot.errors = snapshot.errors.take().or(errors);
                (node.last, node.at, node.gone) = (Some(*snapshot), look.at, None);
            }
            Err(reason) => {
                node.rates = None;
                let since = node.gone.take().map_or(look.at, |(since, _)| since);
                node.gone = Some((since, reason));
            }
        }
    }

    /// Learns which addresses there are: the others stay for a while if they are gone.
    pub(super) fn list(&mut self, addresses: &HashSet<String>, at: Duration) {
        for (address, node) in &mut self.nodes {
            node.unlisted = !addresses.contains(address);
        }
        self.nodes.retain(|_, node| {
            let long_gone = node.gone.as_ref().is_some_and(|(since, _)| at.saturating_sub(*since) > GONE_SHOWN);
            !(node.unlisted && long_gone)
        });
    }

    /// The node at an address.
    pub(super) fn node(&self, address: &str) -> Option<&Node> {
        self.nodes.get(address)
    }

    /// Whether an address is still of interest.
    pub(super) fn knows(&self, address: &str) -> bool {
        self.nodes.contains_key(address)
    }

    /// The leases as some node told them last.
    pub(super) fn leases(&self) -> &[Lease] {
        &self.leases
    }

    /// A row for each node, by name.
    pub(super) fn rows(&self, now: Duration) -> Vec<NodeRow<'_>> {
        let mut seen = HashSet::new();
        let mut rows = Vec::new();
        // Those that answer come first, so that of two addresses of one node the good one is shown.
        let (live, gone): (Vec<_>, Vec<_>) = self.nodes.iter().partition(|(_, node)| node.gone.is_none());
        for (address, node) in live.into_iter().chain(gone) {
            let page = node.last.as_ref().map(|last| &last.node);
            let instance = page.map_or("", |page| page.instance.as_str());
            if !instance.is_empty() && !seen.insert(instance) {
                continue;
            }
            let name = page.map(|page| page.node.as_str()).filter(|name| !name.is_empty()).unwrap_or(address);
            rows.push(NodeRow {
                key: address,
                address: Some(address),
                name: name.to_owned(),
                condition: condition(node),
                page,
                rates: node.rates,
                gone_for: node.gone.as_ref().map(|(since, _)| now.saturating_sub(*since)),
                reason: node.gone.as_ref().map(|(_, reason)| reason.as_str()),
                sessions: None,
            });
        }
        for lease in self.leases.iter().filter(|lease| !seen.contains(lease.instance.as_str())) {
            rows.push(NodeRow {
                key: &lease.instance,
                address: None,
                name: lease.name.clone(),
                condition: if lease.draining { Condition::Draining } else { Condition::Unasked },
                page: None,
                rates: None,
                gone_for: None,
                reason: None,
                sessions: Some(lease.sessions),
            });
        }
        rows.sort_by(|one, other| (&one.name, one.key).cmp(&(&other.name, other.key)));
        rows
    }

    /// Sums over all nodes.
    pub(super) fn totals(&self, now: Duration) -> Totals {
        let rows = self.rows(now);
        let mut totals = Totals { nodes: rows.len(), ..Totals::default() };
        for (page, rates) in rows.iter().filter_map(|row| Some((row.live()?, row.rates))) {
            let rates = rates.unwrap_or_default();
            totals.answering += 1;
            totals.connections += page.connections;
            totals.connects_per_s += rates.connects;
            totals.commands_per_s += rates.commands;
            totals.deliveries_per_s += rates.deliveries;
            totals.delivery_p99_s = rates.p99.into_iter().chain(totals.delivery_p99_s).reduce(f64::max);
            totals.outbox_bytes += page.outbox_bytes;
            totals.cpu += rates.cpu.unwrap_or(0.0);
            totals.rss_bytes += page.rss_bytes.unwrap_or(0);
        }
        totals
    }

    /// Connections for whom something waits, the most first, each with its node's name.
    pub(super) fn slow_connections(&self) -> Vec<(&str, &Connection)> {
        let mut all: Vec<_> = self.live().flat_map(|(name, last)| named(name, &last.connections.connections)).collect();
        all.retain(|(_, connection)| connection.outbox_bytes > 0);
        all.sort_by_key(|(_, connection)| std::cmp::Reverse(connection.outbox_bytes));
        all
    }

    /// Rooms that most connections follow, each with its node's name.
    pub(super) fn large_rooms(&self) -> Vec<(&str, &Room)> {
        let mut all: Vec<_> = self.live().flat_map(|(name, last)| named(name, &last.rooms)).collect();
        all.sort_by(|(_, one), (_, other)| (other.subscribers, &one.room).cmp(&(one.subscribers, &other.room)));
        all
    }

    fn live(&self) -> impl Iterator<Item = (&str, &Snapshot)> {
        let mut seen = HashSet::new();
        let live = self.nodes.values().filter(|node| node.gone.is_none());
        let live = live.filter_map(|node| node.last.as_ref());
        live.filter(move |last| seen.insert(&last.node.instance)).map(|last| (last.node.node.as_str(), last))
    }
}

fn named<'s, T>(name: &'s str, rows: &'s [T]) -> impl Iterator<Item = (&'s str, &'s T)> {
    rows.iter().map(move |row| (name, row))
}

fn condition(node: &Node) -> Condition {
    let page = match (&node.gone, &node.last) {
        (Some(_), _) => return Condition::Gone,
        (None, None) => return Condition::Starting,
        (None, Some(last)) => &last.node,
    };
    match page.status.as_str() {
        "starting" => Condition::Starting,
        "draining" => Condition::Draining,
        "unavailable" => Condition::Unavailable,
        "overloaded" => Condition::Overloaded,
        _ if !page.degraded.is_empty() => Condition::Degraded,
        _ => Condition::Ready,
    }
}

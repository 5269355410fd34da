//! `/debug/node`: one node in one object, as `hubbub top` asks for it every few seconds.
//!
//! Counters only grow while `instance` stays the same, so that two looks make rates. Must never cost what a scrape of all
//! metrics does not cost.

use std::time::Instant;

use hubbub_protocol::Timestamp;
use serde_json::{Value, json};

use super::figures::Figures;
use crate::node::Node;

/// What stands under `counters`, and the metric that it is the sum of.
const COUNTERS: &[(&str, &str)] = &[
    ("connects", "hubbub_connects_total"),
    ("disconnects", "hubbub_disconnects_total"),
    ("commands", "hubbub_commands_total"),
    ("deliveries", "hubbub_deliveries_total"),
    ("repairs", "hubbub_delivery_repairs_total"),
    ("slow_closes", "hubbub_slow_closes_total"),
    ("messages_appended", "hubbub_messages_appended_total"),
    ("auth_failures", "hubbub_auth_failures_total"),
    ("rate_limited", "hubbub_rate_limited_total"),
    ("admission_refusals", "hubbub_admission_refusals_total"),
    ("bus_published", "hubbub_bus_publish_total"),
    ("bus_received", "hubbub_bus_received_total"),
    ("bus_dropped", "hubbub_bus_dropped_total"),
    ("cpu_seconds", "process_cpu_seconds_total"),
];

/// The page. `ready` is what `/readyz` says. Looks at every connection once.
pub(super) fn show(node: Option<&Node>, ready: Value, started: Instant, figures: &Figures) -> Value {
    let mut page = ready;
    let counters = COUNTERS.iter().map(|(name, metric)| ((*name).to_owned(), json!(figures.sum(metric))));
    let mut counters: serde_json::Map<String, Value> = counters.collect();
    for (name, outcome) in [("commands_refused", "refused"), ("commands_failed", "failed")] {
        counters.insert(name.to_owned(), figures.sum_of("hubbub_commands_total", "outcome", outcome).into());
    }
    page["counters"] = counters.into();
    page["at"] = json!(Timestamp::now());
    page["version"] = env!("CARGO_PKG_VERSION").into();
    page["uptime_ms"] = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX).into();
    page["rss_bytes"] = json!(crate::memory::resident_bytes());
    page["open_files"] = json!(figures.sum("process_open_fds"));
    page["delivery"] = json!(figures.spread("hubbub_delivery_seconds"));
    let Some(node) = node else { return page };
    let waiting: usize = node.connections.iter().map(|link| link.outbox.waiting_bytes()).sum();
    let bus = node.chat.bus();
    page["instance"] = bus.instance().into();
    page["draining"] = node.draining.is_cancelled().into();
    page["connections"] = node.connections.len().into();
    page["rooms"] = node.hub.room_count().into();
    page["outbox_bytes"] = waiting.into();
    page["bus"] = json!({
        "shared": bus.is_shared(),
        "up": bus.is_up(),
        "lag_ms": figures.sum("hubbub_bus_lag_seconds").map(|seconds| seconds * 1e3),
        "nodes_seen": bus.nodes_seen(),
    });
    page["store"] = json!({ "up": node.chat.store_is_up() });
    page
}

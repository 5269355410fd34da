//! `/debug/leases`, `/debug/bus` and `/debug/store`: what the node stands on, and who stands beside it.
//!
//! Must never show an address with its password.

use std::sync::Arc;
use std::time::Duration;

use hubbub_protocol::{ErrorCode, Refusal};
use serde_json::{Map, Value, json};

use super::asked::ROWS_MAX;
use super::figures::Figures;
use super::spread::Spread;
use crate::node::Node;

/// How long the other nodes are waited for.
const LEASES_TIMEOUT: Duration = Duration::from_secs(2);

/// The node, once it has begun.
///
/// # Errors
/// 90002 before.
pub(super) fn begun(node: Option<&Arc<Node>>) -> Result<&Arc<Node>, Refusal> {
    node.ok_or_else(|| Refusal::new(ErrorCode::Unavailable).because("The node is still starting."))
}

/// Every node of the cluster whose lease stands, by name.
///
/// # Errors
/// 90002 while they cannot be asked for.
pub(super) async fn leases(node: &Node) -> Result<Value, Refusal> {
    let bus = node.chat.bus();
    let asked = tokio::time::timeout(LEASES_TIMEOUT, bus.nodes()).await;
    let unknown =
        || Refusal::new(ErrorCode::Unavailable).because("The bus is down: the other nodes cannot be asked for.");
    let mut nodes = asked.ok().and_then(Result::ok).ok_or_else(unknown)?;
    let count = nodes.len();
    nodes.sort_unstable_by(|one, other| (&one.name, &one.instance).cmp(&(&other.name, &other.instance)));
    let rows = nodes.iter().take(ROWS_MAX).map(|lease| {
        json!({
            "name": lease.name,
            "instance": lease.instance,
            "sessions": lease.sessions,
            "draining": lease.draining,
            "self": lease.instance == bus.instance(),
        })
    });
    Ok(json!({ "count": count, "nodes": rows.collect::<Vec<_>>() }))
}

/// The state of the bus and what it has done so far.
pub(super) fn bus(node: &Node, figures: &Figures) -> Value {
    let mut page = json!(node.chat.bus().state());
    let count = |name: &str| figures.sum(name);
    page["lag_ms"] = json!(count("hubbub_bus_lag_seconds").map(|seconds| seconds * 1e3));
    page["published"] = json!(count("hubbub_bus_publish_total"));
    page["received"] = json!(count("hubbub_bus_received_total"));
    page["unknown"] = json!(count("hubbub_bus_unknown_total"));
    let calls = figures.spreads("hubbub_bus_command_seconds", "op").into_iter();
    page["calls"] = calls.map(|(op, spread)| (op, times(&spread))).collect::<Map<_, _>>().into();
    page["link_losses"] = json!(count("hubbub_bus_link_losses_total"));
    let dropped = figures.by("hubbub_bus_dropped_total", "reason");
    page["dropped"] = dropped.into_iter().map(|(reason, count)| (reason, json!(count))).collect::<Map<_, _>>().into();
    page
}

/// The state of the store, and how long its calls have taken since the start.
pub(super) fn store(node: &Node, figures: &Figures) -> Value {
    let mut page = json!(node.chat.store_state());
    page["up"] = node.chat.store_is_up().into();
    let calls = figures.spreads("hubbub_store_seconds", "op").into_iter();
    page["calls"] = calls.map(|(op, spread)| (op, times(&spread))).collect::<Map<_, _>>().into();
    page
}

/// How often, and how long in milliseconds.
fn times(spread: &Spread) -> Value {
    let millis = |seconds: Option<f64>| seconds.map(|seconds| (seconds * 1e6).round() / 1e3);
    json!({
        "count": spread.count,
        "mean_ms": millis(spread.mean()),
        "p50_ms": millis(spread.quantile(0.5)),
        "p99_ms": millis(spread.quantile(0.99)),
    })
}

//! The debug pages: what is inside a node, for operators and for `hubbub top`. docs/debugging.md shows each.
//!
//! Owns their routes. Every list has an end, every page answers from memory but for names and leases. Must never change
//! anything, nor show a body, a token or a password.

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use axum::routing::get;
use http::StatusCode;
use hubbub_protocol::Refusal;
use serde_json::{Value, json};

use super::Health;
use super::asked::Asked;
use super::complaints::COMPLAINTS;
use super::figures::Figures;
use super::{connections, dependencies, node, rooms};
use crate::http::respond;

type Page = Result<Value, Refusal>;
type Shown = State<Arc<Health>>;

/// Every debug page.
pub(super) fn routes() -> Router<Arc<Health>> {
    Router::new()
        .route("/debug/node", get(async |State(health): Shown, RawQuery(query)| answer(of_node(&health, query))))
        .route("/debug/config", get(async |State(health): Shown, RawQuery(query)| answer(config(&health, query))))
        .route(
            "/debug/connections",
            get(async |State(health): Shown, RawQuery(query)| answer(connection_list(&health, query).await)),
        )
        .route(
            "/debug/rooms",
            get(async |State(health): Shown, RawQuery(query)| {
                answer(rooms::list(health.node.get(), query.as_deref()).await)
            }),
        )
        .route(
            "/debug/rooms/{room}",
            get(async |State(health): Shown, path: RoomPath, RawQuery(query)| answer(room(&health, path, query).await)),
        )
        .route("/debug/leases", get(async |State(health): Shown, RawQuery(query)| answer(leases(&health, query).await)))
        .route("/debug/bus", get(async |State(health): Shown, RawQuery(query)| answer(bus(&health, query))))
        .route("/debug/store", get(async |State(health): Shown, RawQuery(query)| answer(store(&health, query))))
        .route("/debug/tasks", get(async |State(health): Shown, RawQuery(query)| answer(tasks(&health, query))))
        .route("/debug/errors", get(async |RawQuery(query)| answer(errors(query))))
}

fn answer(page: Page) -> Response {
    match page {
        Ok(page) => respond::json(StatusCode::OK, &page),
        Err(refusal) => respond::refused(&refusal),
    }
}

fn of_node(health: &Health, query: Option<String>) -> Page {
    Asked::nothing(query.as_deref())?;
    let (_, ready) = health.ready();
    let figures = Figures::gather(&health.registry);
    Ok(node::show(health.node.get().map(|node| &**node), ready, health.started, &figures))
}

async fn connection_list(health: &Health, query: Option<String>) -> Page {
    let wanted = connections::wanted(health.node.get(), query.as_deref()).await?;
    Ok(health.node.get().map_or_else(connections::nobody, |node| connections::show(node, &wanted)))
}

type RoomPath = Result<Path<String>, PathRejection>;

async fn room(health: &Health, room: RoomPath, query: Option<String>) -> Page {
    // A name that is no UTF-8 is no room's.
    let Ok(Path(room)) = room else { return Err(Refusal::field("room", "not UTF-8")) };
    rooms::show(health.node.get(), &room, query.as_deref()).await
}

async fn leases(health: &Health, query: Option<String>) -> Page {
    Asked::nothing(query.as_deref())?;
    dependencies::leases(dependencies::begun(health.node.get())?).await
}

fn bus(health: &Health, query: Option<String>) -> Page {
    Asked::nothing(query.as_deref())?;
    let node = dependencies::begun(health.node.get())?;
    Ok(dependencies::bus(node, &Figures::gather(&health.registry)))
}

fn store(health: &Health, query: Option<String>) -> Page {
    Asked::nothing(query.as_deref())?;
    let node = dependencies::begun(health.node.get())?;
    Ok(dependencies::store(node, &Figures::gather(&health.registry)))
}

fn config(health: &Health, query: Option<String>) -> Page {
    Asked::nothing(query.as_deref())?;
    Ok(Value::clone(&health.config.load()))
}

fn errors(query: Option<String>) -> Page {
    let mut asked = Asked::of(query.as_deref())?;
    let limit = asked.limit()?;
    asked.end()?;
    Ok(json!({ "errors": COMPLAINTS.newest(limit) }))
}

fn tasks(health: &Health, query: Option<String>) -> Page {
    Asked::nothing(query.as_deref())?;
    let Some(pulse) = health.pulse.get() else { return Ok(json!({})) };
    let runtime = pulse.runtime().metrics();
    let node = health.node.get();
    let busy = (0..runtime.num_workers()).map(|worker| runtime.worker_total_busy_duration(worker).as_secs_f64());
    Ok(json!({
        "workers": runtime.num_workers(),
        "worker_busy_seconds": busy.collect::<Vec<_>>(),
        "alive_tasks": runtime.num_alive_tasks(),
        "queued_tasks": runtime.global_queue_depth(),
        "sockets": node.map_or(0, |node| node.sockets.len()),
        "wheel_entries": node.map_or(0, |node| node.wheel.len()),
    }))
}

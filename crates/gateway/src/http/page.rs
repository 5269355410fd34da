//! `GET /`: one small honest page, until the browser client comes.
//!
//! Must never need anything from elsewhere: no script, no font, no picture.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{Html, IntoResponse, Response};
use http::HeaderValue;
use http::header::CONTENT_SECURITY_POLICY;

use crate::node::Node;

/// Shows what this is, which node, how it is, and how to connect.
pub(super) async fn show(State(node): State<Arc<Node>>) -> Response {
    let state = match (node.admission.refuses().is_some(), node.chat.store_is_up(), node.chat.bus().is_up()) {
        (true, ..) => "about to stop, or full",
        (_, false, _) => "without its database: reading what is remembered, refusing writes",
        (_, _, false) => "serving, without Redis: somewhat slower between nodes",
        _ => "serving",
    };
    let page = TEMPLATE
        .replace("{version}", env!("CARGO_PKG_VERSION"))
        .replace("{node}", &escape(&node.config().node))
        .replace("{state}", state);
    let mut response = Html(page).into_response();
    let policy = HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'");
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    response
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

const TEMPLATE: &str = include_str!("page.html");

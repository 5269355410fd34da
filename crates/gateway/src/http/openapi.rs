//! `GET /v1/openapi.json`: the HTTP API as a document, made from the same types as the frames.
//!
//! Must never name a route that [`super::api`] does not have: a test compares them.

use std::sync::LazyLock;

use axum::response::Response;
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::respond;

/// One operation: method, path, command (or none), what it answers, its query parameters.
pub(super) const OPERATIONS: &[(&str, &str, &str, &str, &[&str])] = &[
    ("post", "/v1/auth/login", "Sign on by name and password.", "Login", &[]),
    ("get", "/v1/rooms", "List the public rooms and one's own.", "RoomPage", &["after", "limit"]),
    ("post", "/v1/rooms", "Make a room.", "Room", &[]),
    ("get", "/v1/rooms/{room}", "Show a room.", "Room", &[]),
    ("post", "/v1/rooms/{room}/join", "Become a member.", "Room", &[]),
    ("post", "/v1/rooms/{room}/leave", "Stop being a member.", "Room", &[]),
    ("get", "/v1/rooms/{room}/messages", "List messages.", "MessagePage", &["before", "after", "limit"]),
    ("post", "/v1/rooms/{room}/messages", "Send a message.", "Sent", &[]),
    ("get", "/v1/rooms/{room}/events", "List the log of a room.", "EventPage", &["after", "limit"]),
];

static DOCUMENT: LazyLock<Value> = LazyLock::new(document);

/// Shows the document.
pub(super) async fn show() -> Response {
    respond::json(StatusCode::OK, &*DOCUMENT)
}

fn document() -> Value {
    let mut paths = Map::new();
    for (method, path, summary, answer, query) in OPERATIONS {
        let entry = paths.entry(*path).or_insert_with(|| json!({}));
        entry[*method] = operation(method, path, summary, answer, query);
    }
    json!({
        "openapi": "3.1.0",
        "info": { "title": "Hubbub", "version": env!("CARGO_PKG_VERSION"), "license": { "name": "Apache-2.0" } },
        "security": [{ "bearer": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": { "bearer": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" } },
            "schemas": schemas(),
        },
    })
}

fn operation(method: &str, path: &str, summary: &str, answer: &str, query: &[&str]) -> Value {
    let mut parameters: Vec<Value> = query
        .iter()
        .map(|name| json!({ "name": name, "in": "query", "schema": { "type": ["integer", "string"] } }))
        .collect();
    if path.contains("{room}") {
        let description = "A room by id or name.";
        parameters.push(json!({
            "name": "room", "in": "path", "required": true, "description": description, "schema": { "type": "string" },
        }));
    }
    let content = |schema: &str| json!({ "application/json": { "schema": { "$ref": format!("#/components/schemas/{schema}") } } });
    let mut operation = json!({
        "summary": summary,
        "parameters": parameters,
        "responses": {
            "200": { "description": "Done.", "content": content(answer) },
            "default": { "description": "Refused.", "content": content("ErrorBody") },
        },
    });
    if let Some(body) = request_body(method, path) {
        operation["requestBody"] = json!({ "required": true, "content": content(body) });
        if path != "/v1/auth/login" {
            operation["responses"]["201"] = json!({ "description": "Created.", "content": content(answer) });
        }
    }
    if path == "/v1/auth/login" {
        operation["security"] = json!([]);
    }
    operation
}

fn request_body(method: &str, path: &str) -> Option<&'static str> {
    match (method, path) {
        ("post", "/v1/auth/login") => Some("Credentials"),
        ("post", "/v1/rooms") => Some("RoomCreate"),
        ("post", "/v1/rooms/{room}/messages") => Some("MessageSend"),
        _ => None,
    }
}

/// The objects, with their references moved to where OpenAPI keeps them.
fn schemas() -> Value {
    let mut document = hubbub_protocol::schema::document();
    let mut definitions = document["$defs"].take();
    if let Some(definitions) = definitions.as_object_mut() {
        // Frames are the socket's; HTTP has only what stands in them.
        definitions.retain(|name, _| !name.contains("Frame"));
    }
    let mut schemas: Value =
        serde_json::from_str(&definitions.to_string().replace("#/$defs/", "#/components/schemas/")).unwrap_or_default();
    schemas["ErrorBody"] = json!({
        "type": "object",
        "properties": { "err": { "$ref": "#/components/schemas/WireError" } },
        "required": ["err"],
    });
    schemas["Credentials"] = json!({
        "type": "object",
        "properties": { "name": { "type": "string" }, "password": { "type": "string" } },
        "required": ["name", "password"],
    });
    schemas["Login"] = json!({
        "type": "object",
        "properties": {
            "access_token": { "type": "string" },
            "token_type": { "const": "Bearer" },
            "expires_in": { "type": "integer", "description": "Seconds." },
            "user": { "$ref": "#/components/schemas/UserRef" },
        },
        "required": ["access_token", "token_type", "expires_in", "user"],
    });
    schemas
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_leads_somewhere() {
        let text = DOCUMENT.to_string();
        for reference in text.split("#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(DOCUMENT["components"]["schemas"].get(name).is_some(), "{name}");
        }
    }
}

//! `POST /v1/auth/login`: a name and a password for an access token.
//!
//! Must never log or echo the password.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::header::SET_COOKIE;
use http::{HeaderValue, StatusCode};
use hubbub_chat::LoggedIn;
use hubbub_protocol::{ErrorCode, Refusal};
use serde_json::{Value, json};

use super::{api, identify, respond};
use crate::node::Node;

/// The cookie that gets a newer token later.
const REFRESH_COOKIE: &str = "__Host-hubbub-refresh";

/// Signs on.
pub(super) async fn log_in(State(node): State<Arc<Node>>, request: Request) -> Response {
    let address = request.extensions().get::<IpAddr>().copied();
    match try_log_in(&node, request).await {
        Ok(logged_in) => respond_with(&logged_in),
        Err(refusal) => {
            if refusal.code == ErrorCode::CredentialsWrong {
                node.metrics.auth_failed(refusal.code.name());
                identify::not_signed_on(address, &refusal);
            }
            respond::refused(&refusal)
        }
    }
}

async fn try_log_in(node: &Arc<Node>, request: Request) -> Result<LoggedIn, Refusal> {
    let (parts, body) = request.into_parts();
    let body = api::read_body(node, &parts.headers, body).await?;
    let body: Value = serde_json::from_slice(&body).map_err(|_| Refusal::new(ErrorCode::Malformed))?;
    if !body.is_object() {
        return Err(Refusal::new(ErrorCode::Malformed).because("The body is an object."));
    }
    let field = |name: &'static str| match &body[name] {
        Value::String(text) => Ok(text.clone()),
        _ => Err(Refusal::field(name, format!("`{name}` is a text"))),
    };
    let (name, password) = (field("name")?, field("password")?);
    node.chat.log_in(&name, password).await
}

fn respond_with(logged_in: &LoggedIn) -> Response {
    let body = json!({
        "access_token": logged_in.access_token,
        "token_type": "Bearer",
        "expires_in": logged_in.lifetime.as_secs(),
        "user": logged_in.user,
    });
    let mut response = respond::json(StatusCode::OK, &body);
    let (secret, age) = (&logged_in.refresh_secret, logged_in.refresh_lifetime.as_secs());
    let cookie = format!("{REFRESH_COOKIE}={secret}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age={age}");
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
}

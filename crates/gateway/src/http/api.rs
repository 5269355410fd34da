//! The HTTP forms of the commands: the same nouns, the same rules, the same errors.
//!
//! Owns the routes. A request becomes a [`Command`] and goes through the same table as a frame. Must never do what
//! a command does itself.

use std::borrow::Cow;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{MatchedPath, Path, Request, State};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Method, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hubbub_chat::Caller;
use hubbub_protocol::value::Value;
use hubbub_protocol::{Command, ErrorCode, Refusal, frame};
use hubbub_trace::Entry;
use hyper::body::Incoming;
use tower::ServiceExt;

use super::{identify, login, openapi, page, respond};
use crate::admission::Knock;
use crate::context::{self, Context};
use crate::dispatch;
use crate::metrics::CommandOutcome;
use crate::node::Node;
use crate::traced::{self, Answered};

/// A request and its answer take no longer than this.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

static ROUTES: LazyLock<Router<Arc<Node>>> = LazyLock::new(|| {
    Router::new()
        .route("/", get(page::show))
        .route("/v1/openapi.json", get(openapi::show))
        .route("/v1/auth/login", post(login::log_in))
        .route("/v1/rooms", get(room_list).post(room_create))
        .route("/v1/rooms/{room}", get(room_show))
        .route("/v1/rooms/{room}/join", post(room_join))
        .route("/v1/rooms/{room}/leave", post(room_leave))
        .route("/v1/rooms/{room}/messages", get(message_list).post(message_send))
        .route("/v1/rooms/{room}/events", get(event_list))
        .fallback(nothing_here)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn(note_route))
});

/// Notes at the answer which route it comes from.
async fn note_route(route: Option<MatchedPath>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if let Some(route) = route {
        response.extensions_mut().insert(route);
    }
    response
}

/// Serves one request, in the trace that it names.
pub(super) async fn serve(node: Arc<Node>, request: http::Request<Incoming>) -> Response {
    let given = traced::given(request.headers());
    hubbub_trace::within(given, serve_within(node, request)).await
}

async fn serve_within(node: Arc<Node>, request: http::Request<Incoming>) -> Response {
    let entry = Entry::begin("http.request", Instant::now());
    let method = traced::method(request.method());
    let response = route(node, request).await;
    let status = response.status();
    let answered = response.extensions().get::<Answered>().copied();
    let refused = answered.and_then(|answered| answered.refused);
    let failed = status.is_server_error().then(|| traced::failure(refused).unwrap_or("internal"));
    entry.end(failed, |span| {
        span.set("http.request.method", method);
        span.set("http.response.status_code", u64::from(status.as_u16()));
        if let Some(answered) = answered {
            span.set("hubbub.cmd", answered.cmd);
        }
        traced::note_refusal(span, refused);
    });
    response
}

async fn route(node: Arc<Node>, request: http::Request<Incoming>) -> Response {
    if let Err(refusal) = identify::check_origin(&node, request.headers(), request.uri()) {
        return respond::refused(&refusal);
    }
    let routed = ROUTES.clone().with_state(node).oneshot(request.map(Body::new));
    match tokio::time::timeout(REQUEST_TIMEOUT, routed).await {
        Ok(Ok(response)) => response,
        Ok(Err(never)) => match never {},
        Err(_) => StatusCode::REQUEST_TIMEOUT.into_response(),
    }
}

async fn room_list(State(node): State<Arc<Node>>, request: Request) -> Response {
    run(&node, "room.list", request, Vec::new()).await
}

async fn room_create(State(node): State<Arc<Node>>, request: Request) -> Response {
    run(&node, "room.create", request, Vec::new()).await
}

type Room = Result<Path<String>, PathRejection>;

macro_rules! room_route {
    ($($handler:ident = $cmd:literal;)*) => {
        $(async fn $handler(State(node): State<Arc<Node>>, room: Room, request: Request) -> Response {
            // A name that is no UTF-8 is no room's.
            let Ok(Path(room)) = room else { return nothing_here().await };
            run(&node, $cmd, request, vec![("room".into(), Value::Text(room.into()))]).await
        })*
    };
}

room_route! {
    room_show = "room.show";
    room_join = "room.join";
    room_leave = "room.leave";
    message_list = "message.list";
    message_send = "message.send";
    event_list = "event.list";
}

async fn nothing_here() -> Response {
    let mut response = respond::refused(&Refusal::new(ErrorCode::UnknownCommand).because("There is nothing here."));
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}

async fn wrong_method() -> Response {
    let refusal = Refusal::new(ErrorCode::UnknownCommand).because("This method does nothing here.");
    let mut response = respond::refused(&refusal);
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    response
}

/// One request as one command.
async fn run(
    node: &Arc<Node>,
    cmd: &'static str,
    request: Request,
    fields: Vec<(Cow<'_, str>, Value<'_>)>,
) -> Response {
    let started = Instant::now();
    // What the path names is the first field.
    let room = match fields.first() {
        Some((_, Value::Text(room))) => room.parse().ok(),
        _ => None,
    };
    let context = Context { connection: None, session: None, user: None, command: cmd, room };
    let answering = pin!(async {
        match command(node, cmd, request, fields).await {
            Ok(response) => (response, CommandOutcome::Ok, None),
            Err((refusal, rate)) => {
                let mut response = respond::refused(&refusal);
                if let Some(rate) = rate {
                    respond::add_rate(response.headers_mut(), &rate);
                }
                let failed = refusal.code.http_status() >= 500;
                let outcome = if failed { CommandOutcome::Failed } else { CommandOutcome::Refused };
                (response, outcome, Some(refusal.code))
            }
        }
    });
    let (mut response, outcome, refused) = context.during(answering).await;
    node.metrics.commanded(cmd, outcome, started.elapsed().as_secs_f64());
    response.extensions_mut().insert(Answered { cmd, refused });
    response
}

type Refused = (Refusal, Option<hubbub_chat::RateVerdict>);

async fn command(
    node: &Arc<Node>,
    cmd: &'static str,
    request: Request,
    mut fields: Vec<(Cow<'_, str>, Value<'_>)>,
) -> Result<Response, Refused> {
    let early = |refusal| (refusal, None);
    let (parts, body) = request.into_parts();
    let mut caller = caller(node, &parts).await.map_err(early)?;
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let body = if parts.method == Method::GET {
        let asked = query_fields(&query).map_err(early)?;
        // The path says which room.
        let named: Vec<_> =
            asked.into_iter().filter(|(name, _)| fields.iter().all(|(known, _)| known != name)).collect();
        fields.extend(named);
        Bytes::new()
    } else {
        read_body(node, &parts.headers, body).await.map_err(early)?
    };
    let command: Command = frame::decode_request(cmd, &body, fields).map_err(early)?;
    let ok = dispatch::answer(&node.chat, &mut caller, command).await.map_err(|refusal| (refusal, caller.rate))?;
    let status = if caller.created { StatusCode::CREATED } else { StatusCode::OK };
    let mut response = respond::json(status, &ok);
    if let Some(rate) = &caller.rate {
        respond::add_rate(response.headers_mut(), rate);
    }
    Ok(response)
}

async fn caller(node: &Arc<Node>, request: &http::request::Parts) -> Result<Caller, Refusal> {
    let proved = async {
        let presented = identify::presented(&request.headers)?;
        identify::authenticate_all(node, &presented.tokens).await
    };
    let identity = proved.await.inspect_err(|refusal| {
        node.metrics.auth_failed(refusal.code);
        identify::not_signed_on(request.extensions.get::<IpAddr>().copied(), refusal);
    })?;
    if let Some(knock) = request.extensions.get::<Knock>() {
        knock.is_known();
    }
    context::signed_on(identity.user.id, None);
    Ok(Caller::new(&identity))
}

/// Most arguments in a query; no command has as many.
const QUERY_FIELDS_MAX: usize = 32;

/// The arguments in a query. What is written in digits is a number.
///
/// # Errors
/// 10001 for too many, or for one that stands twice, as in a frame.
fn query_fields(query: &str) -> Result<Vec<(Cow<'static, str>, Value<'static>)>, Refusal> {
    let decode =
        |text: &str| percent_encoding::percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let mut fields: Vec<(Cow<'static, str>, Value<'static>)> = Vec::new();
    for pair in pairs {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (decode(name), decode(value));
        let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
        let value = match value.parse() {
            Ok(number) if digits => Value::Unsigned(number),
            _ => Value::Text(value.into()),
        };
        if fields.len() >= QUERY_FIELDS_MAX || fields.iter().any(|(known, _)| *known == name) {
            return Err(Refusal::new(ErrorCode::Malformed).because("Each argument stands once in a query."));
        }
        fields.push((name.into(), value));
    }
    Ok(fields)
}

/// The whole body, if it is no larger than a message may be and comes within `limits.handshake_timeout`: like a request's
/// head it holds one of the places of `admission.handshakes_max`.
pub(super) async fn read_body(node: &Node, headers: &HeaderMap, body: Body) -> Result<Bytes, Refusal> {
    let max = match usize::try_from(node.chat.limits().message_bytes_max) {
        Ok(0) | Err(_) => usize::MAX,
        Ok(max) => max,
    };
    let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > max) {
        return Err(ErrorCode::TooLarge.into());
    }
    let timeout = node.chat.limits().handshake_timeout;
    let timeout = if timeout.is_zero() { REQUEST_TIMEOUT } else { timeout };
    match tokio::time::timeout(timeout, Limited::new(body, max).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(ErrorCode::TooLarge.into()),
        Ok(Err(_)) => Err(Refusal::new(ErrorCode::Malformed).because("The body broke off.")),
        Err(_) => Err(Refusal::new(ErrorCode::Malformed).because("The body did not come in time.")),
    }
}

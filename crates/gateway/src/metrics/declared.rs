//! The gateway's metrics: name, labels, what each is and what it tells.
//!
//! Must never have a label whose values clients can choose.

use hubbub_metrics::{LATENCY, Metric, few, metrics, open};
use hubbub_protocol::{CloseCode, Command, ErrorCode};

use super::{Followed, Handshake, ReplaySource, UNKNOWN};
use crate::admission::Reason;
use crate::hub::Cause;
use crate::proxies::Unreadable;

/// The close code of who ended a connection without one, and of codes that only clients use.
pub(super) const LOST: &str = "lost";
pub(super) const OTHER: &str = "other";

/// The templates of the HTTP routes, and where every other path is counted.
pub(super) const ROUTES: [&str; 10] = [
    "/",
    "/v1/openapi.json",
    "/v1/auth/login",
    "/v1/rooms",
    "/v1/rooms/{room}",
    "/v1/rooms/{room}/join",
    "/v1/rooms/{room}/leave",
    "/v1/rooms/{room}/messages",
    "/v1/rooms/{room}/events",
    "/v1/ws",
];
pub(super) const UNMATCHED: &str = "unmatched";

/// Methods that have a label of their own.
pub(super) const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"];

/// The classes of HTTP status, by their first digit.
pub(super) const STATUSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

fn commands() -> Vec<&'static str> {
    Command::NAMES.iter().copied().chain([UNKNOWN]).collect()
}

fn close_reasons() -> Vec<&'static str> {
    CloseCode::ALL.iter().map(|code| code.name()).chain([LOST, OTHER]).collect()
}

fn error_names() -> Vec<&'static str> {
    ErrorCode::ALL.iter().map(|code| code.name()).collect()
}

fn identity_errors() -> Vec<&'static str> {
    ErrorCode::ALL.iter().filter(|code| super::is_of_identity(**code)).map(|code| code.name()).collect()
}

metrics! {
    /// Every metric of the gateway.
    pub METRICS:
    static CONNECTIONS = Metric::gauge(
        "hubbub_connections", "Open WebSockets.",
        "How the load lies over the nodes; a sudden fall is a broken network, node or balancer.");
    static CONNECTIONS_MAX = Metric::gauge(
        "hubbub_connections_max", "The limit `limits.connections_per_node`; 0: none.",
        "How much room is left: `hubbub_connections` beside it.");
    static UNAUTHENTICATED = Metric::gauge(
        "hubbub_unauthenticated_connections", "Open WebSockets that nobody has signed on over yet.",
        "A rise without a rise of connects is a client that cannot sign on, or somebody who holds sockets.");
    static CONNECTS = Metric::counter(
        "hubbub_connects_total", "WebSockets that were opened.",
        "Churn: a rate far above its usual one is a crowd that reconnects.");
    static DISCONNECTS = Metric::counter(
        "hubbub_disconnects_total", "WebSockets that ended, by the name of the close code.",
        "Why people are cut off. `lost`: no close frame came; `other`: a code that only clients use.")
        .by(&[few("reason", close_reasons)]);
    static HANDSHAKES = Metric::counter(
        "hubbub_handshakes_total", "Attempts to open a WebSocket, by how they ended.",
        "Whether people get in at all. `tls_failed` after a new certificate: clients do not trust it.")
        .by(&[few("outcome", || Handshake::NAMES.to_vec())]);
    static HANDSHAKE_PLACES_TAKEN = Metric::gauge(
        "hubbub_handshake_places_taken", "Sockets that are in their handshake or speak HTTP.",
        "Near the maximum newcomers wait in the kernel's queue.");
    static HANDSHAKE_PLACES_MAX = Metric::gauge(
        "hubbub_handshake_places_max", "The limit `admission.handshakes_max`; 0: none.",
        "The bound of `hubbub_handshake_places_taken`.");
    static ADMISSION_REFUSALS = Metric::counter(
        "hubbub_admission_refusals_total", "Sockets refused so that those who are in go on.",
        "Which bound of `admission` or `limits` keeps people out.")
        .by(&[few("reason", || Reason::ALL.map(Reason::name).to_vec())]);
    static ADMISSION_WAITS = Metric::counter(
        "hubbub_admission_waits_total", "Pauses of accepting, while sockets wait in the kernel's queue.",
        "Whether the pace of accepting is what newcomers wait for.")
        .by(&[few("reason", || vec!["rate", "handshakes"])]);
    static MEMORY_MARK = Metric::gauge(
        "hubbub_memory_mark_bytes", "The memory mark of the node, over which nobody new is let in; 0: none.",
        "How far `process_resident_memory_bytes` is from it.");
    static AUTH_FAILURES = Metric::counter(
        "hubbub_auth_failures_total", "Refused proofs of identity, by the name of the error.",
        "`credentials_wrong` in numbers is somebody who guesses passwords; `token_invalid` everywhere a wrong secret.")
        .by(&[few("reason", identity_errors)]);
    static CERTIFICATE_EXPIRY = Metric::gauge(
        "hubbub_tls_certificate_expiry_timestamp_seconds",
        "When the certificate of the public listener ends, in seconds since 1970.",
        "How many days are left: `(… - time()) / 86400`.")
        .only("where the node speaks TLS itself");
    static COMMANDS = Metric::counter(
        "hubbub_commands_total", "Commands by name and outcome, over WebSocket and HTTP.",
        "What is asked of the node; `failed` is a fault of ours, `refused` a rule.")
        .by(&[few("cmd", commands), few("outcome", || vec!["ok", "refused", "failed"])]);
    static COMMAND_SECONDS = Metric::histogram(
        "hubbub_command_seconds", "From a command to its reply.",
        "Which command is slow: `message.send` contains the commit.", LATENCY)
        .by(&[few("cmd", commands)]);
    static ERRORS = Metric::counter(
        "hubbub_errors_total", "Refusals that clients were told, by the name of the error.",
        "`internal`, `unavailable` and `overloaded` are ours; a new `invalid_field` is a client that changed.")
        .by(&[few("code", error_names)]);
    static HTTP_REQUESTS = Metric::counter(
        "hubbub_http_requests_total", "Answered HTTP requests by route, method and class of status.",
        "What is asked over HTTP; `1xx` on `/v1/ws` is a WebSocket that was opened.")
        .by(&[
            few("route", || ROUTES.into_iter().chain([UNMATCHED]).collect()),
            few("method", || METHODS.into_iter().chain([OTHER]).collect()),
            few("status", || STATUSES.to_vec()),
        ])
        .sparse();
    static DELIVERIES = Metric::counter(
        "hubbub_deliveries_total", "Events that reached a socket.",
        "The work of the node: messages times listeners.");
    static DELIVERY_SECONDS = Metric::histogram(
        "hubbub_delivery_seconds", "From the commit of an event to the sockets of this node.",
        "What people feel. Clocks of nodes that differ show here.", LATENCY);
    static REPAIRS = Metric::counter(
        "hubbub_delivery_repairs_total", "Events that the bus did not bring and that were read from the database.",
        "Whether the bus loses: `hole` and `head` while it is up, `outage` while it is down.")
        .by(&[few("cause", || Cause::ALL.map(Cause::name).to_vec())]);
    static OUTBOX_BYTES = Metric::gauge(
        "hubbub_outbox_bytes", "Bytes that wait for slow sockets.",
        "Memory that slow readers cost.");
    static OUTBOX_LARGEST = Metric::gauge(
        "hubbub_outbox_largest_bytes", "Bytes that wait for the slowest socket.",
        "How near somebody is to `limits.outbox_bytes_max`.");
    static OUTBOX_CONNECTIONS = Metric::gauge(
        "hubbub_outbox_connections", "Connections for which something waits.",
        "One slow reader, or all of them: then it is the network of the node.");
    static OUTBOX_DROPS = Metric::counter(
        "hubbub_outbox_drops_total", "Ephemeral events that were dropped since their reader was slow.",
        "Signs of typing and presence that somebody did not see; messages are never dropped.");
    static SLOW_CLOSES = Metric::counter(
        "hubbub_slow_closes_total", "Connections closed as too slow.",
        "Clients that do not keep up and resume; many at once is a network or a room that is too busy.");
    static SUBSCRIPTIONS = Metric::gauge(
        "hubbub_subscriptions", "Rooms that connections follow, each counted for each connection. Counted every ten seconds or so.",
        "The fan-out that a message may have.");
    static SUBSCRIBES = Metric::counter(
        "hubbub_subscribes_total", "Rooms that connections began to follow, by command and by what came of it.",
        "What resumes cost and lose: `gap` had to leave old events out, `reset` had to begin anew.")
        .by(&[
            few("cmd", || vec!["room.subscribe", "session.resume"]),
            few("outcome", || Followed::NAMES.to_vec()),
        ]);
    static REPLAYED = Metric::counter(
        "hubbub_replayed_events_total", "Events that were replayed behind a cursor.",
        "`log` is a page read from the database, `ring` is memory: after a restart it should be mostly `ring`.")
        .by(&[few("source", || ReplaySource::NAMES.to_vec())]);
    static ROOM_CONNECTIONS = Metric::gauge(
        "hubbub_room_connections", "Connections that follow a room, for the largest rooms.",
        "Which room is large here.")
        .by(&[open("room", "ids of the ten largest rooms of the node")]);
    static PROXY_REFUSALS = Metric::counter(
        "hubbub_proxy_refusals_total", "Sockets of trusted proxies closed for their PROXY header.",
        "A proxy that is set in another way than `proxy.protocol` says.")
        .by(&[few("reason", || Unreadable::ALL.map(Unreadable::name).to_vec())]);
    static PROXY_UNNAMED = Metric::counter(
        "hubbub_proxy_unnamed_clients_total",
        "WebSockets of trusted proxies that did not name the client, which is then not counted by address.",
        "A proxy that adds no `X-Forwarded-For`: limits by address do not hold there.");
    static NODE_READY = Metric::gauge(
        "hubbub_node_ready", "1 while `/readyz` answers 200.",
        "Whether balancers send anybody here.");
    static NODE_DRAINING = Metric::gauge(
        "hubbub_node_draining", "1 while the node drains.",
        "A planned end; without one, somebody ended it.");
    static DRAIN_LEFT = Metric::gauge(
        "hubbub_drain_connections_left", "WebSockets that a drain has to close yet.",
        "Whether the drain comes to its end in time.");
    static REBALANCE_CLOSES = Metric::counter(
        "hubbub_rebalance_closes_total", "Connections closed so that another node gets them.",
        "Whether nodes are giving clients away, and for how long.");
}

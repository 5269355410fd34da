//! The table of keys: the one place that knows each key's name, form, bounds, flag and meaning.
//!
//! The check of the file, the environment, the flags, `config show` and `config reference` all read this
//! table. Must never hold a default: those are the values of [`Config::default`].

use super::field::Field;
use super::value::{Kind, Value};
use super::{Config, LogFormat, Pooler, TlsMode};

/// One key.
pub(crate) struct Key {
    /// The path in the file, such as `auth.token_secret`.
    pub(crate) path: &'static str,
    pub(crate) kind: Kind,
    /// For people, in Markdown.
    pub(crate) doc: &'static str,
    /// Masked when shown, and also taken from a file that `<path>_file` names.
    pub(crate) secret: bool,
    /// A running node takes over a new value at once; the others at their next start.
    pub(crate) live: bool,
    /// Without its dashes.
    pub(crate) flag: Option<&'static str>,
    /// What the default is where it cannot stand in the configuration itself.
    pub(crate) default_words: Option<&'static str>,
    pub(crate) read: fn(&Config) -> Option<Value>,
    pub(crate) write: fn(&mut Config, Value) -> Result<(), Value>,
    /// Takes over what another configuration has here, none included.
    pub(crate) copy: fn(&mut Config, &Config),
}

impl Key {
    const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    const fn live(mut self) -> Self {
        self.live = true;
        self
    }

    const fn flag(mut self, name: &'static str) -> Self {
        self.flag = Some(name);
        self
    }

    const fn default_words(mut self, words: &'static str) -> Self {
        self.default_words = Some(words);
        self
    }

    /// When a running node takes over a new value.
    pub(crate) fn changes(&self) -> &'static str {
        if self.live { "at once" } else { "at restart" }
    }

    /// The path of the key that names a file to read this one from; none where it is no secret.
    pub(crate) fn twin(&self) -> Option<String> {
        self.secret.then(|| format!("{}_file", self.path))
    }
}

/// What all variables begin with.
pub(crate) const PREFIX: &str = "HUBBUB_";

/// The variable for the key of this path: the prefix and the path in capitals joined by `_`.
pub(crate) fn variable(path: &str) -> String {
    format!("{PREFIX}{}", path.to_ascii_uppercase().replace('.', "_"))
}

/// The key of this path, and whether the path is that of its file twin.
pub(crate) fn find(path: &str) -> Option<(&'static Key, bool)> {
    KEYS.iter().find_map(|key| match path.strip_prefix(key.path) {
        Some("") => Some((key, false)),
        Some("_file") if key.secret => Some((key, true)),
        _ => None,
    })
}

/// Every path that the file may hold, twins included.
pub(crate) fn paths() -> Vec<String> {
    KEYS.iter().flat_map(|key| [Some(key.path.to_owned()), key.twin()]).flatten().collect()
}

macro_rules! key {
    ($first:ident $(. $rest:ident)*, $kind:expr, $doc:expr) => {
        Key {
            path: concat!(stringify!($first) $(, ".", stringify!($rest))*),
            kind: $kind,
            doc: $doc,
            secret: false,
            live: false,
            flag: None,
            default_words: None,
            read: |config| Field::read(&config.$first$(.$rest)*),
            write: |config, value| Field::write(&mut config.$first$(.$rest)*, value),
            copy: |to, from| to.$first$(.$rest)*.clone_from(&from.$first$(.$rest)*),
        }
    };
}

/// Counts beyond this are mistakes; every consumer fits it.
const COUNT_MAX: u64 = 1_000_000_000;

const COUNT: Kind = Kind::Number { min: 0, max: COUNT_MAX };

/// Buffers of this size and more would be mistakes.
const SIZE: Kind = Kind::Size { min: 0, max: 1 << 30 };

const DAY_MS: u64 = 24 * 3_600_000;

const DURATION: Kind = Kind::Duration { min_ms: 0, max_ms: DAY_MS };

/// The keys, in the order of the reference. The part before the first dot is the key's group.
pub(crate) static KEYS: &[Key] = &[
    key!(listen, Kind::Address, "Where clients connect: WebSocket, HTTP API, browser client. Port 0: any free one.")
        .flag("listen"),
    key!(ops_listen, Kind::Address, "Where operators look: health, metrics, debug. Plain HTTP, never for the public.")
        .flag("ops-listen"),
    key!(
        public_url,
        Kind::Url,
        "How clients reach the node or its balancer, `https://host[:port]`: for links and cookies."
    )
    .flag("public-url")
    .default_words("from `listen`"),
    key!(data_folder, Kind::Path, "Where the node keeps what it makes by itself: token secret, certificate, SQLite.")
        .flag("data-folder"),
    key!(
        tls.mode,
        Kind::Choice(TlsMode::NAMES),
        "`self-signed`: a certificate made at the first start and kept in the data folder. `files`: from \
         `tls.cert_file` and `tls.key_file`, read again when they change. `off`: behind a proxy that terminates TLS."
    )
    .flag("tls-mode"),
    key!(tls.cert_file, Kind::Path, "Certificate chain in PEM, the node's own first.").flag("tls-cert-file"),
    key!(tls.key_file, Kind::Path, "The private key in PEM.").flag("tls-key-file"),
    key!(database.url, Kind::Url, "`sqlite://path`, or `postgres://user:password@host/name`.")
        .secret()
        .flag("database-url")
        .default_words("`\"sqlite://data/hubbub.db\"`, in `data_folder`"),
    key!(
        database.migrate,
        Kind::Bool,
        "Create and migrate the database at start. With `false` a database that lacks migrations stops the start: \
         run `hubbub migrate` before."
    ),
    key!(
        database.pool_max,
        Kind::Number { min: 1, max: 1_000 },
        "Most connections of this node to PostgreSQL, or most readers of the SQLite file."
    ),
    key!(
        database.pooler,
        Kind::Choice(Pooler::NAMES),
        "`transaction`: `database.url` leads to a pooler in transaction mode, such as PgBouncer, which sets its \
         connections as docs/postgresql.md says. `none`: to the server, or to a pooler in session mode."
    ),
    key!(
        database.replica_url,
        Kind::Url,
        "A PostgreSQL server that follows the database: history is read there while it is not behind."
    )
    .secret(),
    key!(
        redis.url,
        Kind::Url,
        "What nodes share; without it a node is alone. `redis://user:password@host:port/db`; Sentinel: \
         `redis+sentinel://user:password@host:port,host/NAME/db`; Cluster: `redis+cluster://user:password@host:port,host`; \
         over TLS each with `rediss` in place of `redis`."
    )
    .secret()
    .flag("redis-url"),
    key!(
        redis.publish_urls,
        Kind::List,
        "In place of `redis.url`: several independent servers, `redis://` or `rediss://` each. Rooms and counters are \
         spread over them by hash, leases are on the first; the same list in the same order on every node."
    )
    .secret(),
    key!(redis.ca_file, Kind::Path, "Authorities to trust for `rediss`, in PEM, in place of the system's."),
    key!(redis.sentinel_user, Kind::Text, "The Sentinels' own ACL user: the one in the URL is for the servers."),
    key!(redis.sentinel_password, Kind::Text, "The Sentinels' own password.").secret(),
    key!(
        redis.prefix,
        Kind::Text,
        "First part of every key and channel, 1 to 64 bytes without spaces and braces: for several clusters of nodes \
         on one Redis."
    ),
    key!(
        auth.token_secret,
        Kind::Text,
        "Signs and checks access tokens (HS256): the bytes of this text, at least 32. Required in a cluster, the same \
         on every node."
    )
    .secret()
    .default_words("made in the data folder on one node")
    .live(),
    key!(
        auth.token_secret_other,
        Kind::Text,
        "Tokens that this secret has signed are accepted too, and none are signed with it: for a change of the secret, see \
         above."
    )
    .secret()
    .live(),
    key!(
        auth.token_public_key_file,
        Kind::Path,
        "In place of the secret: a public key in PEM (Ed25519: EdDSA, RSA: RS256) of whoever issues the tokens, or up to four \
         of them one behind the other. Such a node checks tokens and issues none."
    )
    .live(),
    key!(
        auth.jwks_url,
        Kind::Url,
        "In place of the secret: where whoever issues the tokens publishes its keys (a JSON Web Key Set; RS256, ES256, EdDSA), over \
         `https://`; `http://` for this machine alone. Such a node checks tokens and issues none, and is not ready before it has \
         the keys. It fetches them again every few minutes, at SIGHUP and for a token that names an unknown key."
    )
    .live(),
    key!(auth.token_issuer, Kind::Text, "The `iss` of tokens.")
    .live(),
    key!(auth.token_audience, Kind::Text, "The `aud` of tokens.")
    .live(),
    key!(
        auth.token_lifetime,
        Kind::Duration { min_ms: 1_000, max_ms: 366 * DAY_MS },
        "How long a token from a login is good."
    )
    .live(),
    key!(
        auth.allowed_origins,
        Kind::List,
        "Origins of browser clients beside the node's own, as `scheme://host[:port]`."
    )
    .live(),
    key!(node.name, Kind::Text, "Shown in metrics, logs and `session.ready`.")
        .flag("node-name")
        .default_words("host name and a random part"),
    key!(
        websocket.deflate,
        Kind::Bool,
        "Agree to `permessage-deflate` when a client offers it, without context takeover on either side."
    )
    .live(),
    key!(
        websocket.tick,
        Kind::Duration { min_ms: 0, max_ms: 1_000 },
        "In the busiest rooms, events of so long a time go out in one write; a quiet room delivers at once. 0: never joined."
    ),
    key!(drain.grace, DURATION, "After SIGTERM: not ready any more, but serving on for this long.")
    .live(),
    key!(drain.spread, DURATION, "Then connections are closed, spread over this time.")
    .live(),
    key!(
        drain.closes_per_second,
        COUNT,
        "Never more closes than this over any second, however short the spread; 0: no limit. With 500 a node of 10,000 \
         is closed in 21 s. Where the pace does not fit `drain.timeout`, the log says so and the rest is dropped then."
    )
    .live(),
    key!(drain.timeout, DURATION, "From the signal to the end of the process at most; more than grace and spread together.")
    .live(),
    key!(
        proxy.trusted,
        Kind::List,
        "Addresses and networks (`10.0.0.0/8`, `2001:db8::/32`) of the proxies and balancers before the node that are believed \
         about where clients come from, with every hop between the first and the node. See deploy/README.md."
    )
    .live(),
    key!(
        proxy.protocol,
        Kind::Bool,
        "Every socket from a trusted proxy begins with a PROXY header, version 1 or 2, before TLS; without one it is closed. \
         From anybody else it is no header, but a request that cannot be read."
    )
    .live(),
    key!(
        proxy.forwarded_for,
        Kind::Bool,
        "Requests of trusted proxies are from whom `X-Forwarded-For` says: the last address in it that is not trusted itself."
    )
    .live(),
    key!(
        admission.accepts_per_second,
        COUNT,
        "Sockets accepted over any second; over it new ones wait in the kernel's queue, so that a storm leaves time to chat."
    )
    .live(),
    key!(
        admission.handshakes_max,
        COUNT,
        "Sockets that are no WebSockets, or not yet, at a time; over it new ones wait in the kernel's queue. With a quarter \
         left HTTP connections are not kept for a next request."
    )
    .live(),
    key!(
        admission.unauthenticated_max,
        COUNT,
        "WebSockets that nobody has signed on over yet, at a time; over it upgrades without a token: 90003, HTTP 503."
    )
    .live(),
    key!(
        admission.unauthenticated_per_address,
        COUNT,
        "Of one address on this node: sockets without a token so far, plain HTTP too, and WebSockets that nobody has signed \
         on over; over it: 90003, HTTP 503. Never fewer than `limits.connections_per_address`, and not counted where that is 0."
    )
    .live(),
    key!(
        admission.memory_max,
        Kind::Size { min: 0, max: 1 << 50 },
        "While more memory of the process than this is in RAM: not ready, and upgrades are refused with 90003, HTTP 503; \
         those who are in go on."
    )
    .default_words("nine tenths of the container's limit, if there is one")
    .live(),
    key!(
        rebalance.enabled,
        Kind::Bool,
        "A node that has more than its share of the cluster's sessions closes some with 4002, which then connect elsewhere."
    )
    .live(),
    key!(
        rebalance.closes_per_second,
        Kind::Number { min: 1, max: COUNT_MAX },
        "Never more of those closes than this over any second, by all nodes together, and none while a node drains. With \
         200, two nodes of 5,000 that become four are even within 40 s."
    )
    .live(),
    key!(limits.body_chars_max, COUNT, "Longest message body, in Unicode scalar values; over it: 10003.")
    .live(),
    key!(limits.frame_bytes_max, SIZE, "Largest WebSocket frame; over it: close 1009.")
    .live(),
    key!(
        limits.message_bytes_max,
        SIZE,
        "Largest WebSocket message, reassembled and inflated (over it: close 1009), and largest HTTP body (413)."
    )
    .live(),
    key!(
        limits.handshake_timeout,
        DURATION,
        "From the connection to the end of the request's head, TLS included; over it: HTTP 408, a mute socket is closed. A body has as long again."
    )
    .live(),
    key!(limits.handshake_bytes_max, SIZE, "Largest request line and headers; over it: HTTP 431.")
    .live(),
    key!(
        limits.connection_commands_per_10s,
        COUNT,
        "Commands of a connection in 10 seconds, refused ones too; over it: 40001, close 1008."
    )
    .live(),
    key!(
        limits.connection_frames_per_10s,
        COUNT,
        "Frames of a connection in 10 seconds, fragments and control frames too; over it: close 1008."
    )
    .live(),
    key!(limits.user_sends_per_minute, COUNT, "Sends of a user over the whole cluster; over it: 40001.")
    .live(),
    key!(limits.user_fetches_per_minute, COUNT, "Lists and searches of a user over the whole cluster; over it: 40001.")
    .live(),
    key!(limits.user_typing_per_minute, COUNT, "Typing signals of a user over the whole cluster; over it: 40001.")
    .live(),
    key!(limits.connections_per_user, COUNT, "Connections of a user over the whole cluster; over it: 40002, HTTP 429.")
    .live(),
    key!(
        limits.connections_per_address,
        COUNT,
        "Connections from an address over the whole cluster; over it: 40002, HTTP 429. Behind a proxy set `proxy.trusted`; a \
         trusted proxy that does not name the client is not counted."
    )
    .live(),
    key!(limits.connections_per_node, COUNT, "Connections of this node; over it: 90003, HTTP 503.")
    .live(),
    key!(limits.subscriptions_per_connection, COUNT, "Rooms that a connection may follow; over it: 40005.")
    .live(),
    key!(limits.authentication_timeout, DURATION, "From the upgrade to a valid token; over it: 20008, close 4501.")
    .live(),
    key!(
        limits.heartbeat_interval,
        DURATION,
        "How often the node pings; any frame back is life, two missed: close 4001."
    )
    .live(),
    key!(limits.outbox_bytes_max, SIZE, "What may wait for one slow socket; over it: close 4000.")
    .live(),
    key!(limits.page_max, COUNT, "Longest page of a list; longer ones are cut.")
    .live(),
    key!(limits.replay_events_max, COUNT, "Most events replayed on a subscription; what is older is named in `gap`.")
    .live(),
    key!(
        log.level,
        Kind::Text,
        "`error`, `warn`, `info`, `debug`, `trace` or `off`; also by crate, such as `info,hubbub_gateway=debug`. \
         Bodies, tokens and passwords are never logged at any level."
    )
    .flag("log-level")
    .live(),
    key!(
        log.repeats_max,
        COUNT,
        "Lines from one place of the program in 10 seconds; further ones are counted and told in one line at their end. 0: no \
         limit."
    )
    .live(),
    key!(log.format, Kind::Choice(LogFormat::NAMES), "`auto`: pretty on a terminal, JSON elsewhere.")
        .flag("log-format"),
    key!(
        trace.otlp_url,
        Kind::Url,
        "Where spans are sent (OTLP over HTTP, protobuf): `http://` or `https://host:port`, then `/v1/traces` unless a path \
         stands there. Without it nothing is traced. See docs/tracing.md."
    ),
    key!(
        trace.otlp_headers,
        Kind::List,
        "Headers for the receiver, `name=value` each, such as the token that it wants."
    )
    .secret(),
    key!(trace.ca_file, Kind::Path, "Authorities to trust for an `https` receiver, in PEM, in place of the system's."),
    key!(
        trace.sample_one_in,
        COUNT,
        "Of the commands and requests that name no trace (`traceparent`), one in so many is recorded; 1: all, 0: none. One \
         that names a trace is recorded when its sender records it."
    ),
    key!(
        trace.per_second_max,
        COUNT,
        "Over any second no more traces than this begin on this node, whatever clients ask for, and as many again for what fails or is slow; 0: none."
    ),
    key!(
        trace.slow,
        DURATION,
        "What takes longer, or fails with 90xxx, is recorded afterwards as one span if it was not from the start; 0: only \
         what fails."
    ),
];

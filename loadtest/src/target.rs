//! Where the load goes, and as whom: only what stood on the command line.
//!
//! Must never be filled from a scenario or by a server's answer.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Where the load goes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Target {
    /// What speaks there.
    pub peer: PeerKind,
    /// `ws://` or `wss://` with host, port and path; connections take them in turn.
    pub urls: Vec<String>,
    /// Where the connections that send go instead; empty: as all.
    pub sender_urls: Vec<String>,
    /// Whom to trust besides the system's certificates: a PEM file.
    pub ca_file: Option<PathBuf>,
    /// Trust whoever answers.
    pub insecure: bool,
    /// Addresses that connections go out from, in turn; empty: the kernel's choice, or spread over 127.0.0.0/8 when the
    /// target is there.
    pub source_addresses: Vec<IpAddr>,
    /// Whether a source address is picked from 127.0.0.0/8 when the target is there.
    pub spread_loopback: bool,
    /// Access tokens; connection `i` takes the `i`-th, round about. Empty: nobody has to prove anything.
    pub tokens: Vec<String>,
    /// Begins the names of rooms.
    pub room_prefix: String,
    /// The wire form, where the peer has several.
    pub codec: Codec,
    /// Whether permessage-deflate is offered.
    pub deflate: bool,
    /// The templates of [`PeerKind::Raw`].
    pub raw: RawTemplates,
}

/// What speaks there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum PeerKind {
    /// Hubbub.
    Hubbub,
    /// Centrifugo, version 4 and later, JSON protocol.
    Centrifugo,
    /// Socket.IO 4 with the server of `loadtest/peers/socketio`.
    Socketio,
    /// Any server that echoes or broadcasts text, by templates; also `hubbub-load bare`.
    Raw,
}

impl PeerKind {
    /// Where such a server takes WebSockets as it comes out of the box: for URLs that end behind the port.
    #[must_use]
    pub const fn usual_path(self) -> &'static str {
        match self {
            Self::Hubbub => "/v1/ws",
            Self::Centrifugo => "/connection/websocket",
            Self::Socketio => "/socket.io/",
            Self::Raw => "/",
        }
    }
}

/// How messages are written.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Codec {
    /// Text frames.
    #[default]
    Json,
    /// Binary frames.
    Msgpack,
}

/// What a raw peer is sent: `{room}`, `{body}` and `{id}` stand for the room's name, the stamped text and the number of
/// the command. An empty template sends nothing.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct RawTemplates {
    /// Behind the upgrade.
    pub open: String,
    /// To follow a room.
    pub subscribe: String,
    /// To say something.
    pub send: String,
}

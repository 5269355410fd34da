//! Every frame of the wire as a typed value with its name: what the golden files hold.
//!
//! The name of a golden file is `command.`, `reply.`, `event.` or `error.`, the noun and verb (or the error's
//! name), and where there are several of them what is special about this one. Must never be random: ids and times
//! are constants.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part of the samples")]

pub mod commands;
pub mod events;
pub mod replies;

use std::path::{Path, PathBuf};
use std::str::FromStr;

use hubbub_protocol::{Codec, MessageId, Room, RoomId, RoomKind, SessionId, Timestamp, TraceId, UserId, UserRef};
use serde::Serialize;
use serde_json::Value;

pub fn parsed<T: FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| panic!("{text} is sound"))
}

pub fn general() -> RoomId {
    parsed("01993a5e-7c00-7a31-9d0e-5b6f0c1d2e3f")
}

pub fn direct_room() -> RoomId {
    parsed("01993a61-2f40-7c05-8b1a-6e7d8c9fa0b1")
}

pub fn message_id() -> MessageId {
    parsed("01993b02-51d8-7e42-a3b4-c5d6e7f80912")
}

pub fn session_id() -> SessionId {
    parsed("01993b00-0a10-7b53-9c64-d7e8f9a0b1c2")
}

pub fn ada() -> UserRef {
    UserRef { id: parsed::<UserId>("01993a5d-1000-7111-8222-933344445555"), name: "ada".into() }
}

pub fn grace() -> UserRef {
    UserRef { id: parsed::<UserId>("01993a5d-2000-7222-8333-a44455556666"), name: "grace".into() }
}

pub fn at(text: &str) -> Timestamp {
    serde_json::from_value(Value::from(text)).unwrap()
}

pub fn trace() -> TraceId {
    serde_json::from_value(Value::from("4bf92f3577b34da6a3ce929d0e0e4736")).unwrap()
}

pub fn epoch() -> hubbub_protocol::Epoch {
    hubbub_protocol::Epoch::from_text("9f86d081884c7d65".to_owned())
}

pub fn room() -> Room {
    Room {
        id: general(),
        name: Some(parsed("general")),
        kind: RoomKind::Public,
        head: 42,
        members: 2,
        created_at: at("2026-01-02T03:04:05.678Z"),
        peers: None,
    }
}

pub fn room_of_two() -> Room {
    Room {
        id: direct_room(),
        name: None,
        kind: RoomKind::Direct,
        head: 7,
        members: 2,
        created_at: at("2026-01-02T04:00:00.000Z"),
        peers: Some(vec![ada(), grace()]),
    }
}

/// One frame under the name of its golden file, in both forms.
pub struct Sample {
    pub name: String,
    pub json: Vec<u8>,
    pub messagepack: Vec<u8>,
}

impl Sample {
    pub fn new(name: &str, frame: &impl Serialize) -> Self {
        Self { name: name.to_owned(), json: Codec::Json.encode(frame), messagepack: Codec::MessagePack.encode(frame) }
    }

    /// As the golden file shows it: indented, in the order of the fields on the wire.
    pub fn pretty(&self) -> String {
        let tree: Value = serde_json::from_slice(&self.json).unwrap();
        format!("{}\n", serde_json::to_string_pretty(&tree).unwrap())
    }
}

pub fn golden_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

/// The golden files by name without `.json`, sorted.
pub fn golden_files() -> Vec<(String, String)> {
    let mut files: Vec<_> = std::fs::read_dir(golden_folder())
        .expect("the golden files lie beside the sources")
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read_to_string(&path).unwrap())
        })
        .collect();
    files.sort();
    files
}

/// What the server sends.
pub fn server_samples() -> Vec<Sample> {
    let mut samples = replies::samples();
    samples.extend(replies::errors());
    samples.extend(events::samples());
    samples
}

/// Every frame there is.
pub fn samples() -> Vec<Sample> {
    let mut samples: Vec<_> = commands::commands()
        .iter()
        .map(|(name, id, command)| Sample::new(name, &hubbub_protocol::CommandFrame { id: *id, command }))
        .collect();
    samples.extend(server_samples());
    samples
}

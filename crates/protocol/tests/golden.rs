//! The golden files are exactly what the types write and read, in both codecs, and none is missing.
//!
//! `UPDATE_GOLDEN=1 cargo test -p hubbub-protocol --test golden` writes the files anew; read the difference before
//! committing it, since clients of other people rely on it.

mod samples;

use std::collections::{BTreeMap, BTreeSet};

use hubbub_protocol::server::{self, ServerFrame};
use hubbub_protocol::{Codec, Command, ErrorCode, RoomEventData, SessionEventData, frame};
use samples::{Sample, commands, events, golden_files, golden_folder, replies, server_samples};
use serde_json::Value;

#[test]
fn every_frame_is_written_as_its_golden_file() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let files: BTreeMap<_, _> = golden_files().into_iter().collect();
    let samples = samples::samples();
    for sample in &samples {
        let name = &sample.name;
        if update {
            std::fs::write(golden_folder().join(format!("{name}.json")), sample.pretty()).unwrap();
        } else {
            assert_eq!(files.get(name), Some(&sample.pretty()), "golden/{name}.json");
        }
    }
    let names: BTreeSet<_> = samples.iter().map(|sample| &sample.name).collect();
    assert_eq!(names.len(), samples.len(), "two samples have one name");
    let stray: Vec<_> = files.keys().filter(|name| !names.contains(name)).collect();
    assert!(stray.is_empty(), "no sample has the name of {stray:?}");
}

#[test]
fn every_name_of_the_tables_has_a_golden_file() {
    let files: BTreeSet<_> = golden_files().into_iter().map(|(name, _)| name).collect();
    let wanted = Command::NAMES
        .iter()
        .flat_map(|name| [format!("command.{name}"), format!("reply.{name}")])
        .chain(RoomEventData::NAMES.iter().chain(SessionEventData::NAMES).map(|name| format!("event.{name}")))
        .chain(ErrorCode::ALL.iter().map(|code| format!("error.{}", code.name())));
    let missing: Vec<_> = wanted.filter(|name| !files.contains(name)).collect();
    assert!(missing.is_empty(), "no golden file for {missing:?}");
}

#[test]
fn commands_decode_from_both_forms_of_their_golden_file() {
    let files: BTreeMap<_, _> = golden_files().into_iter().collect();
    for (name, id, command) in commands::commands() {
        let text = &files[name];
        let tree: Value = serde_json::from_str(text).unwrap();
        let packed = rmp_serde::to_vec(&tree).unwrap();
        for (codec, bytes) in [(Codec::Json, text.as_bytes()), (Codec::MessagePack, &packed)] {
            let decoded = frame::decode(codec, bytes);
            assert_eq!(decoded.id, Some(id), "{name} as {codec:?}");
            assert_eq!(decoded.command.as_ref(), Ok(&command), "{name} as {codec:?}");
            assert_eq!(Some(command.name()), tree["cmd"].as_str());
        }
    }
}

/// Both forms hold the same tree: named fields, and ids and times as text in MessagePack too.
#[test]
fn messagepack_holds_the_tree_of_the_json() {
    for Sample { name, json, messagepack } in samples::samples() {
        let json: Value = serde_json::from_slice(&json).unwrap();
        let messagepack: Value = rmp_serde::from_slice(&messagepack).unwrap();
        assert_eq!(messagepack, json, "{name}");
    }
}

#[test]
fn fields_have_the_order_of_the_documents() {
    for (name, first) in [("reply.message.send", r#"{"re":"#), ("event.message.sent", r#"{"ev":"#)] {
        let sample = server_samples().into_iter().find(|sample| sample.name == name).unwrap();
        assert!(sample.json.starts_with(first.as_bytes()), "{name}");
    }
}

#[test]
fn clients_read_every_server_frame_in_both_codecs() {
    for Sample { name, json, messagepack } in server_samples() {
        let from_json = server::decode(Codec::Json, &json).unwrap_or_else(|error| panic!("{name}: {error}"));
        let packed = server::decode(Codec::MessagePack, &messagepack).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(from_json, packed, "{name}");
        match from_json {
            ServerFrame::Reply { re, outcome } => {
                let tree: Value = serde_json::from_slice(&json).unwrap();
                assert_eq!(re, tree["re"].as_u64(), "{name}");
                assert_eq!(outcome.is_ok(), name.starts_with("reply."), "{name}");
            }
            ServerFrame::Room(event) => assert_eq!(name, format!("event.{}", event.data.name())),
            ServerFrame::Session(_) => assert!(name.starts_with("event.session."), "{name}"),
            ServerFrame::Unknown => panic!("{name} is not known"),
        }
    }
}

#[test]
fn clients_read_what_the_server_typed() {
    for (name, event) in events::room_events() {
        let read = server::decode(Codec::MessagePack, &Codec::MessagePack.encode(&event)).unwrap();
        assert_eq!(read, ServerFrame::Room(event), "{name}");
    }
    for (name, event) in events::session_events() {
        let read = server::decode(Codec::Json, &Codec::Json.encode(&event)).unwrap();
        assert_eq!(read, ServerFrame::Session(event.event), "{name}");
    }
    let resumed = serde_json::to_value(replies::resumed()).unwrap();
    assert_eq!(serde_json::from_value::<hubbub_protocol::reply::Resumed>(resumed).unwrap(), replies::resumed());
}

#[test]
fn clients_pass_over_what_a_newer_server_says() {
    let unknown = br#"{"ev":"presence.changed","room":"r","at":"2026-01-02T03:04:05.678Z","data":{}}"#;
    assert_eq!(server::decode(Codec::Json, unknown).unwrap(), ServerFrame::Unknown);
    let session = br#"{"ev":"session.moved","at":"2026-01-02T03:04:05.678Z","data":{"to":"node-2"}}"#;
    assert_eq!(server::decode(Codec::Json, session).unwrap(), ServerFrame::Unknown);

    let (_, event) = events::room_events().remove(2);
    let mut tree = serde_json::to_value(&event).unwrap();
    tree["ev"] = "message.starred".into();
    let Ok(ServerFrame::Room(read)) = server::decode(Codec::Json, tree.to_string().as_bytes()) else {
        panic!("a new kind of room event still has a room and a seq");
    };
    assert_eq!((read.seq, read.data.name()), (event.seq, "message.starred"));
    assert_eq!(serde_json::to_value(&read).unwrap(), tree, "passed on as it came");
}

#[test]
fn known_frames_of_a_wrong_shape_are_unreadable() {
    for frame in [
        r#"{"re":1}"#,
        r#"{"re":1,"err":{"code":1}}"#,
        r#"{"ev":"session.ready","at":"2026-01-02T03:04:05.678Z","data":{}}"#,
        r#"{"ev":"message.sent","room":"x","seq":1}"#,
        "[",
    ] {
        assert!(server::decode(Codec::Json, frame.as_bytes()).is_err(), "{frame}");
    }
}

//! Every reply: the `ok` of each command, and refusals with every optional field.

use hubbub_protocol::command::*;
use hubbub_protocol::error::Refusal;
use hubbub_protocol::reply::{
    Empty, EventPage, Gap, MessagePage, Outcome, Renewed, Reply, Resumed, ResumedRoom, RoomPage, Sent, Subscribed,
};
use hubbub_protocol::{ErrorCode, Message, Room, WireError};
use serde::Serialize;

use super::{Sample, ada, at, direct_room, epoch, events, general, message_id, parsed, room, room_of_two, trace};

pub fn subscribed() -> Subscribed {
    Subscribed { room: general(), head: 42, epoch: epoch(), replayed: 0, gap: None, reset: false }
}

pub fn message() -> Message {
    Message {
        id: message_id(),
        room: general(),
        seq: 42,
        by: ada(),
        at: at("2026-01-02T09:30:00.250Z"),
        client_msg_id: parsed("7f3a-0001"),
        body: "Good morning 👋\nTea is ready.".to_owned(),
    }
}

pub fn resumed() -> Resumed {
    let missed = Subscribed { replayed: 2, head: 44, ..subscribed() };
    let direct = Subscribed { room: direct_room(), head: 7, replayed: 7, ..subscribed() };
    let refused = ResumedRoom::Refused { err: error(&Refusal::new(ErrorCode::RoomNotFound)) };
    Resumed {
        rooms: vec![
            (general().to_string(), ResumedRoom::Subscribed(missed)),
            (direct_room().to_string(), ResumedRoom::Subscribed(direct)),
            ("lost-and-found".to_owned(), refused),
        ],
    }
}

/// The `ok` of a command `C`: the compiler sees to it that it has the type that the command promises.
fn ok<C: Arguments<Ok: Serialize>>(re: u64, special: &str, ok: C::Ok) -> Sample {
    let name = format!("reply.{}{special}", C::NAME);
    Sample::new(&name, &Reply { re: Some(re), outcome: Outcome::Ok(ok) })
}

pub fn samples() -> Vec<Sample> {
    let mut all = session();
    all.extend(rooms());
    all.extend(messages());
    all
}

fn session() -> Vec<Sample> {
    vec![
        ok::<SessionAuthenticate>(1, "", events::ready()),
        ok::<SessionRenew>(31, "", Renewed { expires_at: at("2026-01-02T11:30:00.000Z") }),
        ok::<SessionResume>(2, "", resumed()),
    ]
}

fn rooms() -> Vec<Sample> {
    let made = Room { head: 1, members: 1, ..room() };
    let gap = Some(Gap { from: 41, to: 4_000 });
    vec![
        ok::<RoomCreate>(3, "", made),
        ok::<RoomCreate>(4, ".direct", room_of_two()),
        ok::<RoomJoin>(6, "", room()),
        ok::<RoomLeave>(7, "", Room { head: 43, members: 1, ..room() }),
        ok::<RoomShow>(8, "", room()),
        ok::<RoomList>(9, "", RoomPage { rooms: vec![room(), room_of_two()], next: None }),
        ok::<RoomList>(10, ".page", RoomPage { rooms: vec![room()], next: Some("general".to_owned()) }),
        ok::<RoomSubscribe>(11, "", subscribed()),
        ok::<RoomSubscribe>(12, ".replay", Subscribed { replayed: 2, ..subscribed() }),
        ok::<RoomSubscribe>(12, ".gap", Subscribed { head: 5_000, replayed: 1_000, gap, ..subscribed() }),
        ok::<RoomSubscribe>(12, ".reset", Subscribed { reset: true, ..subscribed() }),
        ok::<RoomUnsubscribe>(14, "", Empty {}),
    ]
}

fn messages() -> Vec<Sample> {
    let sent = Sent { seq: 42, id: message_id(), at: at("2026-01-02T09:30:00.250Z"), duplicate: false };
    let log = events::room_events().into_iter().map(|(_, event)| event).collect();
    vec![
        ok::<MessageSend>(15, "", sent.clone()),
        ok::<MessageSend>(15, ".duplicate", Sent { duplicate: true, ..sent }),
        ok::<MessageList>(16, "", MessagePage { messages: vec![message()], head: 42 }),
        ok::<EventList>(19, "", EventPage { events: log, head: 43 }),
    ]
}

/// A refusal with the time and trace of the golden files.
pub fn error(refusal: &Refusal) -> WireError {
    WireError { at: at("2026-01-02T09:30:01.000Z"), ..refusal.clone().traced(trace()).to_wire() }
}

pub fn errors() -> Vec<Sample> {
    let refused = |special: &str, re: Option<u64>, refusal: Refusal| {
        let name = format!("error.{}{special}", refusal.code.name());
        Sample::new(&name, &Reply::<()> { re, outcome: Outcome::Err(&error(&refusal)) })
    };
    let mut all = vec![
        refused(".no_id", None, Refusal::new(ErrorCode::Malformed).because("not JSON")),
        refused(".no_command", None, Refusal::new(ErrorCode::AuthenticationTimeout)),
    ];
    all.extend(ErrorCode::ALL.iter().map(|&code| {
        let refusal = match code {
            ErrorCode::InvalidField => Refusal::field("limit", "an integer of at least 1 is expected"),
            ErrorCode::RateLimited => Refusal::new(code).retry_after(1_800),
            ErrorCode::Unavailable => Refusal::new(code).retry_after(1_000),
            _ => Refusal::new(code),
        };
        refused("", Some(20), refusal)
    }));
    all
}

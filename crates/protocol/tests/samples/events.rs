//! Every event: those of rooms and those of the session.

use hubbub_protocol::event::{
    MemberJoined, MemberLeft, MessageSent, RoomCreated, RoomEventData, SessionEvent, SessionEventData, SessionReady,
};
use hubbub_protocol::limit::ClientLimits;
use hubbub_protocol::object::{RoomMember, RoomRole};
use hubbub_protocol::{Room, RoomEvent};

use super::{Sample, ada, at, epoch, general, grace, message_id, parsed, room, session_id};

pub fn limits() -> ClientLimits {
    ClientLimits {
        body_chars_max: 2_000,
        frame_bytes_max: 65_536,
        message_bytes_max: 65_536,
        connection_commands_per_10s: 50,
        user_sends_per_minute: 30,
        user_fetches_per_minute: 100,
        subscriptions_per_connection: 1_000,
        page_max: 100,
        replay_events_max: 1_000,
    }
}

pub fn ready() -> SessionReady {
    SessionReady {
        session: session_id(),
        user: ada(),
        node: "node-1".to_owned(),
        epoch: epoch(),
        heartbeat_ms: 25_000,
        expires_at: at("2026-01-02T10:30:00.000Z"),
        limits: limits(),
    }
}

fn room_event(seq: u64, time: &str, data: impl Into<RoomEventData>) -> RoomEvent {
    RoomEvent { room: general(), seq, at: at(time), by: ada(), data: data.into(), trace: None }
}

pub fn room_events() -> Vec<(&'static str, RoomEvent)> {
    let made = Room { head: 1, members: 1, ..room() };
    let owner = RoomMember { user: ada(), role: RoomRole::Owner };
    let joined = RoomEvent {
        by: grace(),
        ..room_event(2, "2026-01-02T03:05:00.000Z", MemberJoined { user: grace(), role: RoomRole::Member })
    };
    let left = RoomEvent { by: grace(), ..room_event(43, "2026-01-02T18:00:00.000Z", MemberLeft { user: grace() }) };
    let sent = MessageSent {
        id: message_id(),
        client_msg_id: parsed("7f3a-0001"),
        body: "Good morning 👋\nTea is ready.".to_owned(),
    };
    vec![
        (
            "event.room.created",
            room_event(1, "2026-01-02T03:04:05.678Z", RoomCreated { room: made, members: vec![owner] }),
        ),
        ("event.member.joined", joined),
        ("event.message.sent", room_event(42, "2026-01-02T09:30:00.250Z", sent)),
        ("event.member.left", left),
    ]
}

pub fn session_events() -> Vec<(&'static str, SessionEvent)> {
    let event = |event| SessionEvent { event, at: at("2026-01-02T09:29:00.000Z") };
    vec![
        ("event.session.ready", event(SessionEventData::Ready(Box::new(ready())))),
        ("event.session.expiring", event(SessionEventData::Expiring { expires_at: at("2026-01-02T09:30:00.000Z") })),
        (
            "event.session.closing",
            event(SessionEventData::Closing { reason: "restart".to_owned(), retry_after_ms: 3_200 }),
        ),
    ]
}

pub fn samples() -> Vec<Sample> {
    let rooms = room_events();
    let session = session_events();
    let rooms = rooms.iter().map(|(name, event)| Sample::new(name, event));
    let session = session.iter().map(|(name, event)| Sample::new(name, event));
    rooms.chain(session).collect()
}

//! Every command with realistic arguments.

use hubbub_protocol::command::*;
use hubbub_protocol::{Command, RoomKind};

use super::{direct_room, epoch, general, grace, parsed};

/// Not a token: it has the shape of one, which is what the documents need.
const TOKEN: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIwMTk5M2E1ZCJ9.c2lnbmF0dXJl";

/// The name of the golden file, the id and the command.
pub fn commands() -> Vec<(&'static str, u64, Command)> {
    let mut all = session();
    all.extend(rooms());
    all.extend(messages());
    all
}

fn session() -> Vec<(&'static str, u64, Command)> {
    let rooms = Cursors(vec![
        (general().to_string(), Ok(42)),
        (direct_room().to_string(), Ok(0)),
        ("lost-and-found".to_owned(), Ok(3)),
    ]);
    vec![
        ("command.session.authenticate", 1, SessionAuthenticate { token: Token(TOKEN.to_owned()) }.into()),
        ("command.session.renew", 31, SessionRenew { token: Token(TOKEN.to_owned()) }.into()),
        ("command.session.resume", 2, SessionResume { epoch: epoch(), rooms }.into()),
    ]
}

fn rooms() -> Vec<(&'static str, u64, Command)> {
    let by_name = || parsed("general");
    vec![
        (
            "command.room.create",
            3,
            RoomCreate { name: Some(parsed("general")), kind: RoomKind::Public, members: vec![] }.into(),
        ),
        (
            "command.room.create.direct",
            4,
            RoomCreate { name: None, kind: RoomKind::Direct, members: vec![grace().id.into()] }.into(),
        ),
        (
            "command.room.create.private",
            5,
            RoomCreate { name: Some(parsed("plans")), kind: RoomKind::Private, members: vec![parsed("grace")] }.into(),
        ),
        ("command.room.join", 6, RoomJoin { room: by_name() }.into()),
        ("command.room.leave", 7, RoomLeave { room: general().into() }.into()),
        ("command.room.show", 8, RoomShow { room: by_name() }.into()),
        ("command.room.list", 9, RoomList::default().into()),
        (
            "command.room.list.page",
            10,
            RoomList { after: Some("general".to_owned()), limit: Some(PageLimit(100)) }.into(),
        ),
        ("command.room.subscribe", 11, RoomSubscribe { room: by_name(), after: None, last: None }.into()),
        (
            "command.room.subscribe.after",
            12,
            RoomSubscribe { room: general().into(), after: Some(Cursor(40)), last: None }.into(),
        ),
        (
            "command.room.subscribe.last",
            13,
            RoomSubscribe { room: general().into(), after: None, last: Some(Cursor(50)) }.into(),
        ),
        ("command.room.unsubscribe", 14, RoomUnsubscribe { room: general().into() }.into()),
    ]
}

fn messages() -> Vec<(&'static str, u64, Command)> {
    let list = |before: Option<u64>, after: Option<u64>| MessageList {
        room: general().into(),
        before: before.map(Cursor),
        after: after.map(Cursor),
        limit: before.or(after).map(|_| PageLimit(20)),
    };
    vec![
        (
            "command.message.send",
            15,
            MessageSend {
                room: general().into(),
                client_msg_id: parsed("7f3a-0001"),
                body: "Good morning 👋\nTea is ready.".to_owned(),
            }
            .into(),
        ),
        ("command.message.list", 16, list(None, None).into()),
        ("command.message.list.before", 17, list(Some(42), None).into()),
        ("command.message.list.after", 18, list(None, Some(42)).into()),
        (
            "command.event.list",
            19,
            EventList { room: general().into(), after: Cursor(1041), limit: Some(PageLimit(100)) }.into(),
        ),
    ]
}

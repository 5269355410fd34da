//! What holds for all commands and for all bytes.

use hubbub_protocol::command::*;
use hubbub_protocol::{
    ClientMsgId, Codec, Command, CommandFrame, Epoch, ErrorCode, RoomId, RoomKind, RoomName, RoomSelector, SEQ_MAX,
    UserId, UserName, UserSelector, frame, server,
};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value;

const NAME: &str = "[a-z0-9][a-z0-9._-]{0,63}";

fn room_name() -> impl Strategy<Value = RoomName> {
    NAME.prop_filter_map("a UUID is no name", |name| name.parse().ok())
}

fn room() -> impl Strategy<Value = RoomSelector> {
    prop_oneof![
        any::<u128>().prop_map(|id| RoomSelector::Id(RoomId::from_uuid(uuid::Uuid::from_u128(id)))),
        room_name().prop_map(RoomSelector::Name),
    ]
}

fn user() -> impl Strategy<Value = UserSelector> {
    prop_oneof![
        any::<u128>().prop_map(|id| UserSelector::Id(UserId::from_uuid(uuid::Uuid::from_u128(id)))),
        NAME.prop_filter_map("a UUID is no name", |name| name.parse::<UserName>().ok()).prop_map(UserSelector::Name),
    ]
}

fn cursor() -> impl Strategy<Value = Cursor> {
    (0..=SEQ_MAX).prop_map(Cursor)
}

fn limit() -> impl Strategy<Value = Option<PageLimit>> {
    option::of((1..=u64::MAX).prop_map(PageLimit))
}

fn session() -> impl Strategy<Value = Command> {
    let token = any::<String>().prop_map(Token);
    let cursors = btree_map(any::<String>(), (0..=SEQ_MAX).prop_map(Ok), 0..20);
    let cursors = cursors.prop_map(|cursors| Cursors(cursors.into_iter().collect()));
    prop_oneof![
        token.clone().prop_map(|token| SessionAuthenticate { token }.into()),
        token.prop_map(|token| SessionRenew { token }.into()),
        ("[ -~]{0,64}", cursors)
            .prop_map(|(epoch, rooms)| SessionResume { epoch: Epoch::from_text(epoch), rooms }.into()),
    ]
}

fn rooms() -> impl Strategy<Value = Command> {
    let named = select(vec![RoomKind::Public, RoomKind::Private, RoomKind::Announcement]);
    prop_oneof![
        (room_name(), named, vec(user(), 0..5)).prop_map(|(name, kind, members)| RoomCreate {
            name: Some(name),
            kind,
            members
        }
        .into()),
        vec(user(), 0..5).prop_map(|members| RoomCreate { name: None, kind: RoomKind::Direct, members }.into()),
        room().prop_map(|room| RoomJoin { room }.into()),
        room().prop_map(|room| RoomLeave { room }.into()),
        room().prop_map(|room| RoomShow { room }.into()),
        (option::of(any::<String>()), limit()).prop_map(|(after, limit)| RoomList { after, limit }.into()),
        (room(), option::of(cursor())).prop_map(|(room, after)| RoomSubscribe { room, after, last: None }.into()),
        (room(), option::of(cursor())).prop_map(|(room, last)| RoomSubscribe { room, after: None, last }.into()),
        room().prop_map(|room| RoomUnsubscribe { room }.into()),
    ]
}

fn messages() -> impl Strategy<Value = Command> {
    let client_msg_id = "[ -~]{1,64}".prop_map(|id| id.parse::<ClientMsgId>().unwrap());
    prop_oneof![
        (room(), client_msg_id, any::<String>()).prop_map(|(room, client_msg_id, body)| MessageSend {
            room,
            client_msg_id,
            body
        }
        .into()),
        (room(), option::of(cursor()), limit()).prop_map(|(room, before, limit)| MessageList {
            room,
            before,
            after: None,
            limit
        }
        .into()),
        (room(), option::of(cursor()), limit()).prop_map(|(room, after, limit)| MessageList {
            room,
            before: None,
            after,
            limit
        }
        .into()),
        (room(), cursor(), limit()).prop_map(|(room, after, limit)| EventList { room, after, limit }.into()),
    ]
}

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![session(), rooms(), messages()]
}

fn any_tree() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        select(Command::NAMES).prop_map(Value::from),
    ];
    let key = prop_oneof![
        any::<String>(),
        select(vec!["id", "cmd", "room", "after", "limit", "body", "rooms", "epoch", "kind", "traceparent"])
            .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(4, 40, 8, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..8).prop_map(Value::from),
            vec((key.clone(), inner), 0..8).prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn every_command_round_trips(id in 1..=SEQ_MAX, command in command()) {
        for codec in Codec::ALL {
            let bytes = codec.encode(&CommandFrame { id, command: &command });
            let decoded = frame::decode(codec, &bytes);
            prop_assert_eq!(decoded.id, Some(id));
            prop_assert_eq!(decoded.command.as_ref(), Ok(&command));
        }
    }

    /// Cut or changed at any place, a command is refused or is some command: never a panic.
    #[test]
    fn damaged_commands_never_panic(
        command in command(),
        cut in any::<prop::sample::Index>(),
        place in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        for codec in Codec::ALL {
            let mut bytes = codec.encode(&CommandFrame { id: 7, command: &command });
            let _cut = frame::decode(codec, &bytes[..cut.index(bytes.len())]);
            let place = place.index(bytes.len());
            bytes[place] = byte;
            let _changed = frame::decode(codec, &bytes);
        }
    }

    #[test]
    fn any_bytes_never_panic(bytes in vec(any::<u8>(), 0..400)) {
        for codec in Codec::ALL {
            // Any outcome is fine; the test is that there is one.
            let _command = frame::decode(codec, &bytes);
            let _outcome = server::decode(codec, &bytes);
        }
    }

    /// One tree, two forms: both are accepted, or both refused by the same rule, for the same field, with the same id.
    #[test]
    fn both_codecs_judge_alike(tree in any_tree()) {
        let [json, packed] = Codec::ALL.map(|codec| frame::decode(codec, &codec.encode(&tree)));
        prop_assert_eq!(json.id, packed.id);
        match (json.command, packed.command) {
            (Ok(json), Ok(packed)) => prop_assert_eq!(json, packed),
            (Err(json), Err(packed)) => {
                prop_assert_eq!((json.code, json.field), (packed.code, packed.field));
            }
            (json, packed) => prop_assert!(false, "{:?} but {:?}", json, packed),
        }
    }

    /// A refusal is one of the three that CONTRACT §5 knows for frames, and says which field only for 10003.
    #[test]
    fn refusals_name_their_rule(tree in any_tree()) {
        let decoded = frame::decode(Codec::Json, &Codec::Json.encode(&tree));
        if let Err(refusal) = decoded.command {
            prop_assert_eq!(refusal.field.as_ref().is_some_and(|field| !field.is_empty()), refusal.code == ErrorCode::InvalidField);
            prop_assert!(matches!(refusal.code, ErrorCode::Malformed | ErrorCode::UnknownCommand | ErrorCode::InvalidField));
        }
    }
}

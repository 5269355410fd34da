//! Followed rooms: each event once and in order, over everything that can happen to a connection.

use hubbub_client::protocol::{ErrorCode, Refusal};
use hubbub_client::{Client, ClientConfig, ClientError, Cursor, Delivery, FollowFrom, RoomStream};
use serde_json::json;

use crate::fake::{Connection, FakeServer, OTHER_ROOM, ROOM, event, events, soon, subscribed};

async fn follow(client: &Client, connection: &mut Connection, from: FollowFrom, after: u64, head: u64) -> RoomStream {
    let (room, ()) = tokio::join!(client.follow("general", from), async {
        let asked = connection.expect("room.subscribe").await;
        connection.subscribe(&asked, after, head).await;
    });
    room.unwrap()
}

async fn seqs(room: &mut RoomStream, count: usize) -> Vec<u64> {
    let mut seqs = Vec::new();
    while seqs.len() < count {
        match soon(room.next()).await {
            Some(Delivery::Event(event)) => seqs.push(event.seq),
            other => panic!("{other:?} after {seqs:?}"),
        }
    }
    seqs
}

#[tokio::test]
async fn history_then_live() {
    let server = FakeServer::start().await;
    let client = server.client();
    let mut connection = server.accept().await;
    let (room, asked) = tokio::join!(client.follow("general", FollowFrom::Last(3)), async {
        let asked = connection.expect("room.subscribe").await;
        connection.subscribe(&asked, 7, 10).await;
        asked
    });
    assert_eq!(asked.frame["last"], 3);
    let mut room = room.unwrap();
    assert_eq!(room.room().to_string(), ROOM);
    connection.events([11, 11, 10, 12]).await;
    connection.send(event(OTHER_ROOM, 1)).await;
    assert_eq!(seqs(&mut room, 5).await, [8, 9, 10, 11, 12]);
    assert_eq!(room.cursor().seq, 12);
}

#[tokio::test]
async fn a_lost_connection_is_resumed_from_the_cursor() {
    let server = FakeServer::start().await;
    let client = server.client();
    let mut connection = server.accept().await;
    let mut room = follow(&client, &mut connection, FollowFrom::Now, 7, 7).await;
    connection.events([8, 9]).await;
    assert_eq!(seqs(&mut room, 2).await, [8, 9]);
    drop(connection);

    let mut connection = server.accept().await;
    let asked = connection.expect("session.resume").await;
    assert_eq!((&asked.frame["epoch"], &asked.frame["rooms"]), (&json!("e1"), &json!({ ROOM: 9 })));
    // A server that replays too much, and twice.
    connection.ok(&asked, json!({ "rooms": { ROOM: subscribed(12, 4) } })).await;
    connection.events([8, 9, 10, 10, 11, 12, 13, 12]).await;
    assert_eq!(seqs(&mut room, 4).await, [10, 11, 12, 13]);
    soon(client.online()).await.unwrap();
}

#[tokio::test]
async fn a_gap_is_paged_before_what_follows() {
    let server = FakeServer::start().await;
    let client = server.client();
    let mut connection = server.accept().await;
    let (room, ()) = tokio::join!(client.follow("general", FollowFrom::After(0)), async {
        let asked = connection.expect("room.subscribe").await;
        let answer = json!({
            "room": ROOM, "head": 7, "epoch": "e1", "replayed": 2, "gap": { "from": 1, "to": 5 },
        });
        connection.ok(&asked, answer).await;
        connection.events([6, 7, 8]).await;
        let asked = connection.expect("event.list").await;
        assert_eq!(asked.frame["after"], 0);
        // A fetch over the limit comes again when it may.
        connection.err(&asked, Refusal::new(ErrorCode::RateLimited).retry_after(1)).await;
        let asked = connection.expect("event.list").await;
        connection.ok(&asked, json!({ "events": events(1..=3), "head": 8 })).await;
        let asked = connection.expect("event.list").await;
        assert_eq!(asked.frame["after"], 3);
        connection.ok(&asked, json!({ "events": events(4..=8), "head": 8 })).await;
    });
    assert_eq!(seqs(&mut room.unwrap(), 8).await, [1, 2, 3, 4, 5, 6, 7, 8]);
}

#[tokio::test]
async fn a_hole_in_live_events_is_repaired_and_never_skipped() {
    let server = FakeServer::start().await;
    let client = server.client();
    let mut connection = server.accept().await;
    let mut room = follow(&client, &mut connection, FollowFrom::Now, 7, 7).await;
    connection.events([8, 10]).await;
    let asked = connection.expect("event.list").await;
    assert_eq!((&asked.frame["after"], &asked.frame["room"]), (&json!(8), &json!(ROOM)));
    connection.events([11]).await;
    // A page that does not know of it yet is asked for again.
    connection.ok(&asked, json!({ "events": [], "head": 8 })).await;
    let asked = connection.expect("event.list").await;
    connection.ok(&asked, json!({ "events": events(9..=10), "head": 11 })).await;
    assert_eq!(seqs(&mut room, 4).await, [8, 9, 10, 11]);
}

#[tokio::test]
async fn a_hole_that_cannot_be_filled_costs_the_connection_not_the_order() {
    let server = FakeServer::start().await;
    let client = server.client();
    let mut connection = server.accept().await;
    let mut room = follow(&client, &mut connection, FollowFrom::Now, 7, 7).await;
    connection.events([9]).await;
    let blind = async {
        // However often it is asked, this server does not have event 8.
        while let Some(frame) = connection.frame().await {
            let Ok(frame) = serde_json::from_slice::<serde_json::Value>(&frame.payload) else { return };
            connection.send(json!({ "re": frame["id"], "ok": { "events": [], "head": 9 } })).await;
        }
    };
    let ((), mut next) = tokio::join!(blind, server.accept());
    let asked = next.expect("session.resume").await;
    assert_eq!(asked.frame["rooms"], json!({ ROOM: 7 }));
    next.resume(&asked, 7, 9).await;
    assert_eq!(seqs(&mut room, 2).await, [8, 9]);
}

#[tokio::test]
async fn a_reset_is_told_and_starts_fresh() {
    let server = FakeServer::start().await;
    let client = server.client();
    let mut connection = server.accept().await;
    let mut room = follow(&client, &mut connection, FollowFrom::Now, 7, 7).await;
    drop(connection);
    let mut connection = server.accept().await;
    let asked = connection.expect("session.resume").await;
    let answer = json!({ "room": ROOM, "head": 3, "epoch": "e2", "replayed": 0, "reset": true });
    connection.ok(&asked, json!({ "rooms": { ROOM: answer } })).await;
    connection.events([4]).await;
    let Some(Delivery::Reset { epoch, head }) = soon(room.next()).await else { panic!("a reset") };
    assert_eq!((epoch.as_str(), head), ("e2", 3));
    assert_eq!(seqs(&mut room, 1).await, [4]);
    drop(connection);
    let asked = server.accept().await.expect("session.resume").await;
    assert_eq!((&asked.frame["epoch"], &asked.frame["rooms"]), (&json!("e2"), &json!({ ROOM: 4 })));
}

#[tokio::test]
async fn a_kept_cursor_goes_on_in_its_own_epoch() {
    let server = FakeServer::start().await;
    let client = server.client();
    let mut connection = server.accept().await;
    let cursor = Cursor { epoch: serde_json::from_value(json!("e1")).unwrap(), seq: 5 };
    let (room, ()) = tokio::join!(client.follow("general", FollowFrom::Cursor(cursor)), async {
        let asked = connection.expect("session.resume").await;
        assert_eq!(asked.frame["rooms"], json!({ "general": 5 }));
        connection.ok(&asked, json!({ "rooms": { "general": subscribed(6, 1) } })).await;
        connection.events([6]).await;
    });
    assert_eq!(seqs(&mut room.unwrap(), 1).await, [6]);
}

#[tokio::test]
async fn a_subscription_that_was_lost_is_asked_for_again() {
    let server = FakeServer::start().await;
    let client = server.client();
    let script = async {
        let mut connection = server.accept().await;
        connection.expect("room.subscribe").await;
        drop(connection);
        let mut connection = server.accept().await;
        let asked = connection.expect("room.subscribe").await;
        assert_eq!(asked.frame["last"], 2);
        connection.subscribe(&asked, 0, 2).await;
        connection
    };
    let (room, _connection) = tokio::join!(client.follow("general", FollowFrom::Last(2)), script);
    assert_eq!(seqs(&mut room.unwrap(), 2).await, [1, 2]);
}

#[tokio::test]
async fn a_room_that_may_not_be_followed_is_refused_or_ends() {
    let server = FakeServer::start().await;
    let client = server.client();
    let mut connection = server.accept().await;
    let (refused, ()) = tokio::join!(client.follow("general", FollowFrom::Now), async {
        let asked = connection.expect("room.subscribe").await;
        connection.err(&asked, ErrorCode::NotAMember).await;
    });
    assert_eq!(refused.unwrap_err().code(), Some(ErrorCode::NotAMember.code()));

    let mut room = follow(&client, &mut connection, FollowFrom::Now, 7, 7).await;
    drop(connection);
    let mut connection = server.accept().await;
    let asked = connection.expect("session.resume").await;
    let err = Refusal::new(ErrorCode::NotAMember).to_wire();
    connection.ok(&asked, json!({ "rooms": { ROOM: { "err": err } } })).await;
    let Some(Delivery::Ended { error: ClientError::Refused(error) }) = soon(room.next()).await else {
        panic!("the end of the room")
    };
    assert_eq!(error.code, ErrorCode::NotAMember.code());
    assert_eq!(soon(room.next()).await, None);
    soon(client.online()).await.unwrap();
}

#[tokio::test]
async fn a_room_that_cannot_be_resumed_yet_is_tried_again() {
    let server = FakeServer::start().await;
    let client = server.client();
    let mut connection = server.accept().await;
    let mut room = follow(&client, &mut connection, FollowFrom::Now, 7, 7).await;
    drop(connection);
    let mut connection = server.accept().await;
    let asked = connection.expect("session.resume").await;
    let err = Refusal::new(ErrorCode::Unavailable).retry_after(1).to_wire();
    connection.ok(&asked, json!({ "rooms": { ROOM: { "err": err } } })).await;
    let asked = connection.expect("session.resume").await;
    connection.resume(&asked, 7, 8).await;
    assert_eq!(seqs(&mut room, 1).await, [8]);
}

#[tokio::test]
async fn a_slow_caller_leaves_the_room_and_misses_nothing() {
    let server = FakeServer::start().await;
    let client = Client::start(ClientConfig { room_buffer: 4, ..server.config() }).unwrap();
    let mut connection = server.accept().await;
    let mut room = follow(&client, &mut connection, FollowFrom::Now, 0, 0).await;
    connection.events(1..=6).await;
    let asked = connection.expect("room.unsubscribe").await;
    connection.ok(&asked, json!({})).await;
    // Late frames of the subscription that was left.
    connection.events([7]).await;
    assert_eq!(seqs(&mut room, 2).await, [1, 2]);
    let asked = connection.expect("session.resume").await;
    assert_eq!(asked.frame["rooms"], json!({ ROOM: 4 }));
    connection.ok(&asked, json!({ "rooms": { ROOM: subscribed(8, 4) } })).await;
    let (given, ()) = tokio::join!(seqs(&mut room, 4), connection.events([5, 6]));
    assert_eq!(given, [3, 4, 5, 6]);
    connection.events([7, 8]).await;
    assert_eq!(seqs(&mut room, 2).await, [7, 8]);
}

#[tokio::test]
async fn a_dropped_stream_is_unsubscribed_and_can_be_followed_anew() {
    let server = FakeServer::start().await;
    let client = server.client();
    let mut connection = server.accept().await;
    let room = follow(&client, &mut connection, FollowFrom::Now, 7, 7).await;
    let twice = soon(client.follow("general", FollowFrom::Now)).await.unwrap_err();
    assert_eq!(twice, ClientError::AlreadyFollowed);
    drop(room);
    let asked = connection.expect("room.unsubscribe").await;
    connection.ok(&asked, json!({})).await;
    let mut room = follow(&client, &mut connection, FollowFrom::After(7), 7, 9).await;
    assert_eq!(seqs(&mut room, 2).await, [8, 9]);
}

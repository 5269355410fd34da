//! Requests: typed answers, and what is repeated when a connection is lost.

use hubbub_client::protocol::command::SessionResume;
use hubbub_client::protocol::{Epoch, ErrorCode, Refusal, RoomKind};
use hubbub_client::{Client, ClientConfig, ClientError, Page};
use serde_json::{Value, json};

use crate::fake::{FakeServer, ROOM, events, soon};

fn room() -> Value {
    json!({
        "id": ROOM, "name": "general", "kind": "public", "head": 3, "members": 2,
        "created_at": "2026-01-02T03:04:05.678Z",
    })
}

#[tokio::test]
async fn every_method_has_its_command() {
    let server = FakeServer::start().await;
    let client = server.client();
    let mut connection = server.accept().await;
    let script = async {
        for (cmd, ok) in [
            ("room.create", room()),
            ("room.join", room()),
            ("room.leave", room()),
            ("room.show", room()),
            ("room.list", json!({ "rooms": [room()], "next": "x" })),
            ("message.list", json!({ "messages": [], "head": 3 })),
            ("event.list", json!({ "events": events(1..=3), "head": 3 })),
        ] {
            let asked = connection.expect(cmd).await;
            connection.ok(&asked, ok).await;
        }
    };
    let calls = async {
        client.create_room("general", RoomKind::Public, &["bob"]).await.unwrap();
        client.join("general").await.unwrap();
        client.leave("general").await.unwrap();
        assert_eq!(client.show(ROOM).await.unwrap().members, 2);
        assert_eq!(client.rooms(None, Some(10)).await.unwrap().next.as_deref(), Some("x"));
        assert_eq!(client.messages("general", Page::Before(9), None).await.unwrap().head, 3);
        assert_eq!(client.events("general", 0, Some(5)).await.unwrap().events.len(), 3);
    };
    soon(async { tokio::join!(script, calls) }).await;
}

#[tokio::test]
async fn what_can_be_repeated_is_repeated_and_the_rest_is_told() {
    let server = FakeServer::start().await;
    let client = server.client();
    let script = async {
        let mut connection = server.accept().await;
        connection.expect("room.show").await;
        connection.expect("room.create").await;
        drop(connection);
        let mut connection = server.accept().await;
        let asked = connection.expect("room.show").await;
        connection.err(&asked, Refusal::new(ErrorCode::Unavailable).retry_after(1)).await;
        let asked = connection.expect("room.show").await;
        connection.ok(&asked, room()).await;
        connection
    };
    let (shown, created, _connection) =
        tokio::join!(client.show("general"), client.create_room("new", RoomKind::Public, &[]), script);
    assert_eq!(shown.unwrap().members, 2);
    assert_eq!(created.unwrap_err(), ClientError::ConnectionLost);
}

#[tokio::test]
async fn a_request_without_an_answer_times_out_and_is_not_repeated() {
    let server = FakeServer::start().await;
    let request_timeout = std::time::Duration::from_millis(50);
    let client = Client::start(ClientConfig { request_timeout, ..server.config() }).unwrap();
    let mut connection = server.accept().await;
    let (refused, asked) = tokio::join!(client.show("general"), connection.expect("room.show"));
    assert!(matches!(refused, Err(ClientError::TimedOut { .. })));
    drop((asked, connection));
    let mut connection = server.accept().await;
    let (_, asked) = tokio::join!(client.join("general"), connection.expect("room.join"));
    assert_eq!(asked.id, 2);
}

#[tokio::test]
async fn the_clients_own_commands_are_reserved() {
    let server = FakeServer::start().await;
    let client = server.client();
    let resume = SessionResume { epoch: Epoch::new(), rooms: Default::default() };
    let refused = soon(client.request(resume)).await.unwrap_err();
    assert_eq!(refused, ClientError::Reserved("session.resume"));
}

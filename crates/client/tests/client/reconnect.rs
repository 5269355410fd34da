//! Lost connections: what the client does after each kind of end.

use fastwebsockets::{Frame, OpCode, Payload};
use hubbub_client::protocol::ErrorCode;
use hubbub_client::{Client, ClientConfig, ClientError, CloseReason, FollowFrom, State};
use serde_json::json;

use crate::fake::{FakeServer, soon};

#[tokio::test]
async fn connects_with_the_token_and_says_where_it_is_online() {
    let server = FakeServer::start().await;
    let (client, connection) = tokio::join!(Client::connect(server.config()), server.accept());
    let (client, mut connection) = (client.unwrap(), connection);
    assert!(connection.head.starts_with("GET /v1/ws HTTP/1.1"), "{}", connection.head);
    assert!(connection.head.to_lowercase().contains("\r\nauthorization: bearer t1\r\n"));
    assert!(client.state().borrow().is_online());
    assert_eq!(client.session().unwrap().user.name.as_ref(), "ada");
    let goodbye = async {
        let frame = connection.frame().await.unwrap();
        assert_eq!((frame.opcode, &frame.payload[..2]), (OpCode::Close, &1000u16.to_be_bytes()[..]));
        connection.send_raw(Frame::close(1000, b"")).await;
    };
    tokio::join!(client.close(), goodbye);
    assert_eq!(*client.state().borrow(), State::Closed { reason: CloseReason::ByCaller });
    assert!(matches!(client.show("general").await, Err(ClientError::Closed(CloseReason::ByCaller))));
}

#[tokio::test]
async fn comes_back_after_every_code_that_allows_it() {
    let server = FakeServer::start().await;
    let client = server.client();
    for code in [1012, 4000, 4001, 4002, 1002, 1000] {
        server.accept().await.close(code).await;
    }
    let connection = server.accept().await;
    drop(connection);
    let mut connection = server.accept().await;
    let (refused, ()) = tokio::join!(client.show("general"), async {
        let asked = connection.expect("room.show").await;
        connection.err(&asked, ErrorCode::RoomNotFound).await;
    });
    assert_eq!(refused.unwrap_err().code(), Some(ErrorCode::RoomNotFound.code()));
}

#[tokio::test]
async fn stays_away_after_a_code_that_forbids_it() {
    for code in [4500, 4501, 4502, 4503, 4504, 4999] {
        let server = FakeServer::start().await;
        let client = server.client();
        server.accept().await.close(code).await;
        let mut state = client.state();
        let closed = soon(state.wait_for(|state| matches!(state, State::Closed { .. }))).await.unwrap();
        assert!(
            matches!(&*closed, State::Closed { reason: CloseReason::Server { code: found, .. } } if *found == code)
        );
    }
}

#[tokio::test]
async fn an_announced_wait_is_kept() {
    let server = FakeServer::start().await;
    let client = server.client();
    let mut connection = server.accept().await;
    let data = json!({ "reason": "restart", "retry_after_ms": 60_000 });
    connection.send(json!({ "ev": "session.closing", "at": "2026-01-02T03:04:05.678Z", "data": data })).await;
    connection.close(1012).await;
    let mut state = client.state();
    let waiting = soon(state.wait_for(|state| matches!(state, State::Waiting { .. }))).await.unwrap();
    let State::Waiting { until, cause } = &*waiting else { panic!("waiting") };
    assert_eq!(cause, "restart");
    assert!(*until > tokio::time::Instant::now() + std::time::Duration::from_secs(30), "far beyond the backoff's cap");
}

#[tokio::test]
async fn a_mute_server_is_left() {
    let mut server = FakeServer::start().await;
    server.heartbeat_ms = 20;
    let client = server.client();
    // The connection stays open and says nothing, until the next one is there.
    let mute = server.accept().await;
    let next = server.accept().await;
    drop((mute, next, client));
}

#[tokio::test]
async fn pings_are_answered() {
    let server = FakeServer::start().await;
    let client = server.client();
    let mut connection = server.accept().await;
    for beat in 0..3u8 {
        connection.send_raw(Frame::new(true, OpCode::Ping, None, Payload::Owned(vec![beat]))).await;
        assert_eq!(connection.pong().await, [beat]);
    }
    let (_, asked) = tokio::join!(client.show("general"), async {
        let asked = connection.expect("room.show").await;
        connection.err(&asked, ErrorCode::RoomNotFound).await;
        asked
    });
    assert_eq!(asked.id, 1, "the first command, on the first connection");
}

#[tokio::test]
async fn addresses_are_tried_in_turn() {
    let (first, second) = (FakeServer::start().await, FakeServer::start().await);
    let config = ClientConfig { urls: vec![first.url(), second.url()], ..first.config() };
    let client = Client::start(config).unwrap();
    first.accept().await.close(4002).await;
    second.accept().await.close(4002).await;
    let connection = first.accept().await;
    drop((connection, client));
}

#[tokio::test]
async fn refusals_in_the_handshake_follow_their_code() {
    let server = FakeServer::start().await;
    let client = server.client();
    server.request().await.refuse(ErrorCode::Overloaded).await;
    server.request().await.answer(502, "Retry-After: 0\r\n", &json!("a balancer")).await;
    server.request().await.refuse(ErrorCode::TokenInvalid).await;
    let refused = soon(client.online()).await.unwrap_err();
    assert_eq!(refused.code(), Some(ErrorCode::TokenInvalid.code()));
}

#[tokio::test]
async fn what_is_no_hubbub_is_told_at_once() {
    let server = FakeServer::start().await;
    let client = server.client();
    server.request().await.answer(404, "", &json!("nothing here")).await;
    let refused = soon(client.online()).await.unwrap_err();
    assert!(matches!(refused, ClientError::Closed(CloseReason::NotHubbub(_))), "{refused}");
}

#[tokio::test]
async fn connecting_gives_up_with_the_last_reason() {
    let server = FakeServer::start().await;
    let config = ClientConfig { ready_within: std::time::Duration::from_millis(100), ..server.config() };
    drop(server);
    let ClientError::TimedOut { last: Some(last) } = soon(Client::connect(config)).await.unwrap_err() else {
        panic!("timed out with a reason")
    };
    assert!(!last.is_empty());
}

#[tokio::test]
async fn dropping_the_client_says_goodbye() {
    let server = FakeServer::start().await;
    let client = server.client();
    let mut connection = server.accept().await;
    soon(client.online()).await.unwrap();
    drop(client);
    assert_eq!(connection.frame().await.unwrap().opcode, OpCode::Close);
}

#[tokio::test]
async fn streams_end_with_the_client() {
    let server = FakeServer::start().await;
    let client = server.client();
    let mut connection = server.accept().await;
    let (room, ()) = tokio::join!(client.follow("general", FollowFrom::Now), async {
        let asked = connection.expect("room.subscribe").await;
        connection.subscribe(&asked, 7, 7).await;
    });
    let mut room = room.unwrap();
    connection.close(4504).await;
    assert_eq!(soon(room.next()).await, None);
    let refused = client.send("general", "hello").await.unwrap_err();
    assert!(matches!(refused, ClientError::Closed(CloseReason::Server { code: 4504, .. })), "{refused}");
}

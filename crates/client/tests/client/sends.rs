//! Sends: one ack each, the same `client_msg_id` over everything that happens in between.

use hubbub_client::protocol::{ErrorCode, Refusal};
use hubbub_client::{Client, ClientConfig, ClientError};

use crate::fake::{FakeServer, sent, soon};

#[tokio::test]
async fn a_send_is_acked() {
    let server = FakeServer::start().await;
    let client = server.client();
    let mut connection = server.accept().await;
    let (ack, asked) = tokio::join!(client.send("general", "hello"), async {
        let asked = connection.expect("message.send").await;
        connection.ok(&asked, sent(42, false)).await;
        asked
    });
    assert_eq!(ack.unwrap().seq, 42);
    assert_eq!((asked.frame["body"].as_str(), asked.frame["room"].as_str()), (Some("hello"), Some("general")));
}

#[tokio::test]
async fn an_unacked_send_is_repeated_with_its_id_and_a_duplicate_is_its_ack() {
    let server = FakeServer::start().await;
    let client = server.client();
    let script = async {
        let mut connection = server.accept().await;
        let first = connection.expect("message.send").await;
        // Committed, but the answer is lost with the node.
        drop(connection);
        let mut connection = server.accept().await;
        let second = connection.expect("message.send").await;
        assert_eq!(first.frame["client_msg_id"], second.frame["client_msg_id"]);
        assert_eq!(first.frame["body"], second.frame["body"]);
        connection.ok(&second, sent(42, true)).await;
        connection
    };
    let (ack, _connection) = tokio::join!(client.send("general", "hello"), script);
    let ack = ack.unwrap();
    assert_eq!((ack.seq, ack.duplicate), (42, true));
}

#[tokio::test]
async fn a_retryable_refusal_is_repeated_with_its_id() {
    let server = FakeServer::start().await;
    let client = server.client();
    let mut connection = server.accept().await;
    let script = async {
        let mut ids = Vec::new();
        for code in [ErrorCode::RateLimited, ErrorCode::Unavailable, ErrorCode::Overloaded, ErrorCode::Internal] {
            let asked = connection.expect("message.send").await;
            ids.push(asked.frame["client_msg_id"].clone());
            connection.err(&asked, Refusal::new(code).retry_after(1)).await;
        }
        let asked = connection.expect("message.send").await;
        connection.ok(&asked, sent(1, false)).await;
        ids.push(asked.frame["client_msg_id"].clone());
        ids.dedup();
        ids.len()
    };
    let (ack, ids) = tokio::join!(client.send("general", "hello"), script);
    assert_eq!((ack.unwrap().seq, ids), (1, 1));
}

#[tokio::test]
async fn a_limited_send_holds_back_the_next_but_no_other_command() {
    let server = FakeServer::start().await;
    let client = server.client();
    let mut connection = server.accept().await;
    let first = tokio::spawn({
        let client = client.clone();
        async move { client.send("general", "first").await }
    });
    let asked = connection.expect("message.send").await;
    connection.err(&asked, Refusal::new(ErrorCode::RateLimited).retry_after(600_000)).await;
    // Once this is answered the refusal before it has been read, so that the second send is held back.
    let (_, ()) = tokio::join!(client.show("general"), async {
        let asked = connection.expect("room.show").await;
        connection.err(&asked, ErrorCode::RoomNotFound).await;
    });
    let second = tokio::spawn({
        let client = client.clone();
        async move { client.send("general", "second").await }
    });
    for _ in 0..3 {
        let (_, ()) = tokio::join!(client.show("general"), async {
            let asked = connection.expect("room.show").await;
            connection.err(&asked, ErrorCode::RoomNotFound).await;
        });
    }
    assert!(!first.is_finished() && !second.is_finished());
}

#[tokio::test]
async fn a_final_refusal_is_told() {
    let server = FakeServer::start().await;
    let client = server.client();
    let mut connection = server.accept().await;
    let (refused, ()) = tokio::join!(client.send("general", ""), async {
        let asked = connection.expect("message.send").await;
        connection.err(&asked, Refusal::field("body", "empty")).await;
    });
    assert_eq!(refused.unwrap_err().code(), Some(ErrorCode::InvalidField.code()));
}

#[tokio::test]
async fn what_the_server_would_hang_up_on_is_not_sent() {
    let server = FakeServer::start().await;
    let client = server.client();
    let connection = server.accept().await;
    let refused = soon(client.send("general", "x".repeat(70_000))).await.unwrap_err();
    assert!(matches!(refused, ClientError::Invalid { field: "body", .. }), "{refused}");
    let refused = soon(client.send("No Room", "hello")).await.unwrap_err();
    assert!(matches!(refused, ClientError::Invalid { field: "room", .. }), "{refused}");
    drop(connection);
}

#[tokio::test]
async fn sends_in_flight_are_bounded_and_keep_their_order() {
    let server = FakeServer::start().await;
    let client = Client::start(ClientConfig { in_flight_max: 2, ..server.config() }).unwrap();
    let mut connection = server.accept().await;
    let mut sends = Vec::new();
    for body in ["a", "b", "c"] {
        let client = client.clone();
        sends.push(tokio::spawn(async move { client.send("general", body).await }));
        tokio::task::yield_now().await;
    }
    let first = connection.expect("message.send").await;
    let second = connection.expect("message.send").await;
    assert_eq!((&first.frame["body"], &second.frame["body"]), (&"a".into(), &"b".into()));
    // The third comes only when there is a place for it: anything else that was written would stand before.
    connection.ok(&first, sent(1, false)).await;
    let third = connection.expect("message.send").await;
    assert_eq!(third.frame["body"], "c");
    connection.ok(&second, sent(2, false)).await;
    connection.ok(&third, sent(3, false)).await;
    for (send, seq) in sends.into_iter().zip(1..) {
        assert_eq!(soon(send).await.unwrap().unwrap().seq, seq);
    }
}

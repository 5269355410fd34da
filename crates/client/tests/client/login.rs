//! Tokens: had with name and password, renewed before they end, asked for again when refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use hubbub_client::protocol::ErrorCode;
use hubbub_client::{Client, ClientConfig, ClientError, CloseReason, Credentials, TokenFuture};
use serde_json::json;

use crate::fake::{Connection, FakeServer, Request, soon};

fn config(server: &FakeServer) -> ClientConfig {
    let credentials = Credentials::Password { name: "ada".into(), password: "secret".into() };
    ClientConfig { credentials, ..server.config() }
}

async fn login(server: &FakeServer, token: &str, expires_in: u64) {
    let request: Request = server.request().await;
    assert!(request.head.starts_with("POST /v1/auth/login HTTP/1.1"), "{}", request.head);
    let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(body, json!({ "name": "ada", "password": "secret" }));
    let answer = json!({ "access_token": token, "token_type": "Bearer", "expires_in": expires_in });
    request.answer(200, "Content-Type: application/json\r\n", &answer).await;
}

fn bearer(connection: &Connection) -> String {
    crate::fake::header(&connection.head, "authorization").unwrap()
}

#[tokio::test]
async fn a_password_is_turned_into_a_token_that_is_used_while_it_lasts() {
    let server = FakeServer::start().await;
    let client = Client::start(config(&server)).unwrap();
    login(&server, "a", 900).await;
    let connection = server.accept().await;
    assert_eq!(bearer(&connection), "Bearer a");
    connection.close(4001).await;
    // No second login: the token is young.
    let connection = server.accept().await;
    assert_eq!(bearer(&connection), "Bearer a");
    // An expired token is replaced, although 4502 forbids to come back with the same.
    connection.close(4502).await;
    login(&server, "b", 0).await;
    let connection = server.accept().await;
    assert_eq!(bearer(&connection), "Bearer b");
    // This one has no life left for another connection.
    connection.close(4001).await;
    login(&server, "c", 900).await;
    assert_eq!(bearer(&server.accept().await), "Bearer c");
    drop(client);
}

#[tokio::test]
async fn a_session_that_expires_is_renewed_on_the_same_connection() {
    let server = FakeServer::start().await;
    let client = Client::start(config(&server)).unwrap();
    login(&server, "a", 900).await;
    let mut connection = server.accept().await;
    let at = "2026-01-02T03:04:05.678Z";
    connection.send(json!({ "ev": "session.expiring", "at": at, "data": { "expires_at": at } })).await;
    login(&server, "b", 900).await;
    let asked = connection.expect("session.renew").await;
    assert_eq!(asked.frame["token"], "b");
    connection.ok(&asked, json!({ "expires_at": at })).await;
    drop(client);
}

#[tokio::test]
async fn a_refused_token_is_replaced_once() {
    let server = FakeServer::start().await;
    let client = Client::start(config(&server)).unwrap();
    login(&server, "a", 900).await;
    server.accept().await.close(4000).await;
    // The kept token is refused, the new one as well: then it is not the token.
    server.request().await.refuse(ErrorCode::TokenInvalid).await;
    login(&server, "b", 900).await;
    server.request().await.refuse(ErrorCode::TokenInvalid).await;
    let mut state = client.state();
    soon(state.wait_for(|state| matches!(state, hubbub_client::State::Closed { .. }))).await.unwrap();
}

#[tokio::test]
async fn a_wrong_password_ends_the_client_and_a_busy_login_does_not() {
    let server = FakeServer::start().await;
    let client = Client::start(config(&server)).unwrap();
    server.request().await.refuse(ErrorCode::RateLimited).await;
    server.request().await.refuse(ErrorCode::CredentialsWrong).await;
    let refused = soon(client.online()).await.unwrap_err();
    let ClientError::Closed(CloseReason::Refused(error)) = &refused else { panic!("{refused}") };
    assert_eq!(error.code, ErrorCode::CredentialsWrong.code());
    assert!(!format!("{refused:?} {:?}", config(&server)).contains("secret"));
}

#[tokio::test]
async fn a_source_is_asked_for_every_connection() {
    let server = FakeServer::start().await;
    let asked = Arc::new(AtomicU32::new(0));
    let source = {
        let asked = Arc::clone(&asked);
        move || -> TokenFuture {
            let number = asked.fetch_add(1, Ordering::Relaxed);
            Box::pin(async move { if number == 0 { Err("not yet".into()) } else { Ok(format!("t{number}")) } })
        }
    };
    let config = ClientConfig { credentials: Credentials::Source(Arc::new(source)), ..server.config() };
    let client = Client::start(config).unwrap();
    let connection = server.accept().await;
    assert_eq!(bearer(&connection), "Bearer t1");
    connection.close(4000).await;
    assert_eq!(bearer(&server.accept().await), "Bearer t2");
    drop(client);
}

//! CONTRACT §4, proof of identity: every way to present one, and every way to fail.

use hubbub_protocol::{SessionId, Timestamp, UserId};
use hubbub_store::NewLogin;
use serde_json::{Value, json};

use crate::fixture::{Client, Node, User, claims, sign};

/// Bad tokens of a user, with the code of the refusal and of the close frame.
async fn bad_tokens(node: &Node, ada: &User) -> Vec<(String, u64, u16)> {
    let mallory = node.user("mallory").await;
    node.store.set_disabled(mallory.id, true).await.unwrap();
    let login = SessionId::new();
    let expires_at = Timestamp::from_secs(Timestamp::now().secs() + 600);
    let started = NewLogin { id: login, user: ada.id, refresh_hash: vec![7; 32], expires_at };
    node.store.start_login(started).await.unwrap();
    node.store.end_login(login).await.unwrap();
    let with = |name: &str, value: Value| {
        let mut claims = claims(ada.id, 600);
        claims[name] = value;
        sign(&claims)
    };
    let mut forged = ada.token.clone();
    forged.replace_range(forged.len() - 3.., "AAA");
    vec![
        ("x".to_owned(), 20002, 4500),
        (forged, 20002, 4500),
        (with("iss", json!("else")), 20002, 4500),
        (with("aud", json!("else")), 20002, 4500),
        (with("nbf", json!(Timestamp::now().secs() + 600)), 20002, 4500),
        (with("sub", json!(UserId::new())), 20002, 4500),
        (mallory.token, 20002, 4500),
        (sign(&claims(ada.id, -60)), 20003, 4502),
        (with("sid", json!(login)), 20005, 4503),
    ]
}

#[tokio::test]
async fn the_authorization_header_signs_on_or_is_refused_by_http() {
    let node = Node::plain().await;
    let ada = node.user("ada").await;
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let handshake = node.handshake().add("Authorization", format!("{scheme} {}", ada.token));
        assert_eq!(handshake.open().await.event().await["data"]["user"], ada.json());
    }
    for (token, code, _) in bad_tokens(&node, &ada).await {
        let answer = node.handshake().token(&token).refused().await;
        assert_eq!(answer.refusal(), (401, code), "{token}");
    }
    for value in ["", "Bearer", "Bearer ", "Basic YWRhOmFkYQ==", &ada.token] {
        let answer = node.handshake().add("Authorization", value).refused().await;
        assert_eq!(answer.refusal(), (401, 20002), "{value}");
    }
}

#[tokio::test]
async fn a_token_among_the_sub_protocols_signs_on_or_is_refused_on_the_socket() {
    let node = Node::plain().await;
    let ada = node.user("ada").await;
    for (offered, chosen) in [
        (format!("hubbub.v1.json, bearer.{}", ada.token), Some("hubbub.v1.json")),
        (format!("bearer.{}, hubbub.v1.msgpack", ada.token), Some("hubbub.v1.msgpack")),
        (format!("bearer.{}", ada.token), None),
    ] {
        let mut client = node.handshake().protocols(&offered).open().await;
        assert_eq!(client.protocol.as_deref(), chosen);
        assert_eq!(client.event().await["data"]["user"], ada.json());
    }
    let only_unknown = format!("mqtt, bearer.{}", ada.token);
    assert_eq!(node.handshake().protocols(&only_unknown).refused().await.refusal(), (400, 10005));

    for (token, code, close) in bad_tokens(&node, &ada).await {
        let offered = format!("hubbub.v1.json, bearer.{token}");
        let (said, closed) = node.handshake().protocols(&offered).open().await.farewell().await;
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].get("re").is_some_and(Value::is_null), "{}", said[0]);
        assert_eq!((said[0]["err"]["code"].as_u64().unwrap(), closed), (code, close), "{token}");
    }
}

#[tokio::test]
async fn the_first_command_signs_on_or_is_refused_and_closed() {
    let node = Node::plain().await;
    let ada = node.user("ada").await;
    for codec in ["hubbub.v1.json", "hubbub.v1.msgpack"] {
        let mut client = node.handshake().protocols(codec).open().await;
        let ready = client.ok("session.authenticate", json!({ "token": ada.token })).await;
        assert_eq!(ready["user"], ada.json());
        assert_eq!(client.fence().await, Vec::<Value>::new(), "no event besides");
    }
    for (token, code, close) in bad_tokens(&node, &ada).await {
        let mut client = node.handshake().open().await;
        assert_eq!(client.code("session.authenticate", json!({ "token": token })).await, code, "{token}");
        assert_eq!(client.closed().await, close, "{token}");
    }
    let mut client = node.handshake().open().await;
    assert_eq!(client.code("session.authenticate", json!({})).await, 10003);
    assert_eq!(client.code("session.authenticate", json!({ "token": 7 })).await, 10003);
    client.ok("session.authenticate", json!({ "token": ada.token })).await;
}

#[tokio::test]
async fn a_cookie_counts_only_with_an_allowed_origin() {
    let node = Node::start(|setup| setup.gateway.allowed_origins = vec!["https://chat.example".to_owned()]).await;
    let ada = node.user("ada").await;
    let cookie = format!("theme=dark; __Host-hubbub={}; lang=en", ada.token);
    for origin in [format!("https://{}", node.host()), "https://chat.example".to_owned()] {
        let handshake = node.handshake().add("Cookie", &cookie).add("Origin", &origin);
        assert_eq!(handshake.open().await.event().await["data"]["user"], ada.json());
        let answer = node.get("/v1/rooms").header("Cookie", &cookie).header("Origin", &origin).send().await;
        assert_eq!(answer.status, 200);
    }
    assert_eq!(node.handshake().add("Cookie", &cookie).refused().await.refusal(), (403, 20007));
    for origin in ["null", "https://evil.example"] {
        let handshake = node.handshake().add("Cookie", &cookie).add("Origin", origin);
        assert_eq!(handshake.refused().await.refusal(), (403, 20007));
    }
    let own = format!("https://{}", node.host());
    for (value, code) in [
        ("__Host-hubbub=x".to_owned(), 20002),
        ("__Host-hubbub=".to_owned(), 20002),
        (format!("__Host-hubbub={}", sign(&claims(ada.id, -60))), 20003),
        (format!("__Host-hubbub={}; __Host-hubbub=x", ada.token), 20002),
    ] {
        let answer = node.handshake().add("Cookie", &value).add("Origin", &own).refused().await;
        assert_eq!(answer.refusal(), (401, code), "{value}");
    }
    // Another cookie is nobody's proof.
    for value in [format!("hubbub={}", ada.token), format!("x__Host-hubbub={}", ada.token), "=;;\"".to_owned()] {
        let mut client = node.handshake().add("Cookie", &value).add("Origin", &own).open().await;
        assert_eq!(client.code("room.list", json!({})).await, 20001, "{value}");
    }
}

#[tokio::test]
async fn two_different_identities_at_once_are_refused() {
    let node = Node::plain().await;
    let (ada, bob) = (node.user("ada").await, node.user("bob").await);
    let own = format!("https://{}", node.host());
    let (bearer, cookie) = (format!("hubbub.v1.json, bearer.{}", bob.token), format!("__Host-hubbub={}", bob.token));
    let good = || node.handshake();
    let both = [
        good().token(&ada.token).protocols(&bearer),
        good().token(&ada.token).token(&bob.token),
        good().token(&ada.token).add("Cookie", &cookie).add("Origin", &own),
        good().add("Cookie", format!("__Host-hubbub={}; {cookie}", ada.token)).add("Origin", &own),
    ];
    for handshake in both {
        assert_eq!(handshake.refused().await.refusal(), (401, 20002));
    }
    let two = format!("hubbub.v1.json, bearer.{}, bearer.{}", ada.token, bob.token);
    let (said, closed) = good().protocols(&two).open().await.farewell().await;
    assert_eq!((said[0]["err"]["code"].as_u64(), closed), (Some(20002), 4500));

    let other = sign(&claims(bob.id, 60));
    let mut client = good().token(&other).protocols(&bearer).open().await;
    assert_eq!(client.event().await["data"]["user"], bob.json(), "the same one twice is one");
}

#[tokio::test]
async fn a_query_parameter_proves_nothing() {
    let node = Node::plain().await;
    let ada = node.user("ada").await;
    for name in ["token", "access_token", "bearer"] {
        let line = format!("GET /v1/ws?{name}={} HTTP/1.1", ada.token);
        let mut client = node.handshake().line(&line).open().await;
        assert_eq!(client.code("room.list", json!({})).await, 20001);
        let answer = node.get(&format!("/v1/rooms?{name}={}", ada.token)).send().await;
        assert_eq!(answer.refusal(), (401, 20001));
    }
}

#[tokio::test]
async fn authenticating_again_is_for_the_same_user_alone() {
    let node = Node::plain().await;
    let (ada, bob) = (node.user("ada").await, node.user("bob").await);
    let mut client: Client = node.client(&ada).await;
    assert_eq!(client.code("session.authenticate", json!({ "token": bob.token })).await, 20002);
    let ready = client.ok("session.authenticate", json!({ "token": ada.token })).await;
    assert_eq!(ready["user"], ada.json());
    client.ok("room.list", json!({})).await;
}

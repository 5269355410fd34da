//! CONTRACT §3: the HTTP forms of the commands.

use serde_json::{Value, json};

use crate::fixture::{Answer, Node, User, read_answer, sign, soon};

async fn ada() -> (Node, User) {
    let node = Node::start(|setup| setup.limits.user_fetches_per_minute = 0).await;
    let hash = hubbub_chat::passwords::hash("correct horse".to_owned()).await.unwrap();
    let ada = node.user_with("ada", Some(hash)).await;
    (node, ada)
}

fn login(name: &str, password: &str) -> Value {
    json!({ "name": name, "password": password })
}

#[tokio::test]
async fn a_right_password_gets_a_token_and_a_refresh_cookie() {
    let (node, ada) = ada().await;
    let answer = node.post("/v1/auth/login").json(&login("ada", "correct horse")).send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let body = answer.json();
    assert_eq!((&body["token_type"], &body["expires_in"]), (&json!("Bearer"), &json!(3600)));
    assert_eq!(body["user"], ada.json());
    assert_eq!(body.as_object().unwrap().len(), 4, "and nothing else");
    let cookie = answer.header("set-cookie").unwrap();
    let (pair, attributes) = cookie.split_once("; ").unwrap();
    let (name, secret) = pair.split_once('=').unwrap();
    assert!(name.starts_with("__Host-") && name != "__Host-hubbub" && secret.len() > 40, "{cookie}");
    for attribute in ["Path=/", "Secure", "HttpOnly", "SameSite=Strict"] {
        assert!(attributes.split("; ").any(|known| known == attribute), "{cookie}");
    }
    assert!(!attributes.contains("Domain"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));

    let token = body["access_token"].as_str().unwrap();
    let mut client = node.handshake().token(token).open().await;
    assert_eq!(client.event().await["data"]["user"], ada.json());
    let claims: Value = {
        let part = token.split('.').nth(1).unwrap();
        let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::HS256);
        validation.set_audience(&["hubbub"]);
        let key = jsonwebtoken::DecodingKey::from_secret(crate::fixture::SECRET.as_bytes());
        assert!(!part.is_empty());
        jsonwebtoken::decode(token, &key, &validation).unwrap().claims
    };
    let login = claims["sid"].as_str().unwrap().parse().unwrap();
    assert!(node.store.end_login(login).await.unwrap());
    assert_eq!(node.handshake().token(token).refused().await.refusal(), (401, 20005));
    assert_ne!(secret, token);
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_user_answer_alike() {
    let (node, _) = ada().await;
    node.user("tokens-only").await;
    let gone = node.user_with("gone", Some(hubbub_chat::passwords::hash("correct horse".into()).await.unwrap())).await;
    node.store.set_disabled(gone.id, true).await.unwrap();
    let mut messages = Vec::new();
    for (name, password) in [
        ("ada", "correct horsf"),
        ("ada", ""),
        ("ada", "correct horse\0"),
        ("ada", &"x".repeat(5_000)),
        ("nobody", "correct horse"),
        ("Not A Name", "correct horse"),
        ("", ""),
        ("tokens-only", "correct horse"),
        ("gone", "correct horse"),
    ] {
        let answer = node.post("/v1/auth/login").json(&login(name, password)).send().await;
        assert_eq!(answer.refusal(), (401, 20006), "{name} {password}");
        assert_eq!(answer.header("set-cookie"), None);
        messages.push(answer.json()["err"]["message"].clone());
        assert!(!answer.text().contains("correct"));
    }
    messages.dedup();
    assert_eq!(messages.len(), 1);
    for body in ["", "x", "[]", "null", "\"ada\"", "{\"name\":\"ada\""] {
        assert_eq!(node.post("/v1/auth/login").body(body).send().await.refusal(), (400, 10001), "{body}");
    }
    for body in [json!({}), json!({ "name": "ada" }), json!({ "name": 7, "password": "x" })] {
        assert_eq!(node.post("/v1/auth/login").json(&body).send().await.refusal(), (400, 10003), "{body}");
    }
    assert!(node.metric(r#"hubbub_auth_failures_total{reason="credentials_wrong"}"#).await >= 9.0);
}

#[tokio::test]
async fn rooms_and_messages_work_without_a_socket() {
    let (node, ada) = ada().await;
    let bob = node.user("bob").await;
    let get = async |path: &str| node.get(path).token(&ada.token).send().await;
    let post = async |path: &str, body: Value| node.post(path).token(&ada.token).json(&body).send().await;
    let made = post("/v1/rooms", json!({ "name": "lobby", "kind": "public", "members": [] })).await;
    assert_eq!((made.status, &made.json()["name"]), (201, &json!("lobby")));
    assert_eq!(made.header("content-type"), Some("application/json"));
    let id = made.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(post("/v1/rooms", json!({ "name": "lobby", "kind": "public" })).await.refusal(), (409, 30004));
    assert_eq!(post("/v1/rooms", json!({ "name": "L", "kind": "public" })).await.refusal(), (400, 10003));
    let direct = json!({ "kind": "direct", "members": ["bob"] });
    assert_eq!(post("/v1/rooms", direct.clone()).await.status, 201);
    assert_eq!(post("/v1/rooms", direct).await.status, 200, "it was there");

    for name in ["lobby", &id] {
        assert_eq!(get(&format!("/v1/rooms/{name}")).await.json()["id"], id.as_str());
    }
    assert_eq!(node.get("/v1/rooms/lobby/messages").token(&bob.token).send().await.refusal(), (403, 30002));
    let joined = node.post("/v1/rooms/lobby/join").token(&bob.token).send().await;
    assert_eq!((joined.status, &joined.json()["members"]), (200, &json!(2)), "no body is needed");

    let say = |id: &str| json!({ "client_msg_id": id, "body": "hi ✓", "room": "ignored" });
    let sent = post("/v1/rooms/lobby/messages", say("1")).await;
    assert_eq!((sent.status, &sent.json()["seq"], &sent.json()["duplicate"]), (201, &json!(3), &json!(false)));
    let again = post("/v1/rooms/lobby/messages", say("1")).await;
    assert_eq!((again.status, &again.json()["duplicate"]), (200, &json!(true)));
    assert_eq!(again.json()["id"], sent.json()["id"]);
    for at in 2..6 {
        post("/v1/rooms/lobby/messages", say(&at.to_string())).await;
    }
    let seqs = |answer: Answer, list: &str| {
        assert_eq!(answer.status, 200, "{}", answer.text());
        let body = answer.json();
        assert_eq!(body["head"], 7);
        body[list].as_array().unwrap().iter().map(|row| row["seq"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(seqs(get("/v1/rooms/lobby/messages").await, "messages"), [3, 4, 5, 6, 7]);
    assert_eq!(seqs(get("/v1/rooms/lobby/messages?before=6&limit=2").await, "messages"), [4, 5]);
    assert_eq!(seqs(get("/v1/rooms/lobby/messages?after=5").await, "messages"), [6, 7]);
    assert_eq!(seqs(get("/v1/rooms/lobby/messages?limit=1000&x=y").await, "messages"), [3, 4, 5, 6, 7]);
    assert_eq!(seqs(get("/v1/rooms/lobby/events?after=5").await, "events"), [6, 7]);
    assert_eq!(seqs(get("/v1/rooms/lobby/events?after=0&limit=2").await, "events"), [1, 2]);
    for query in
        ["before=1&after=1", "limit=0", "limit=x", "limit=-1", "limit=", "before=1.5", "after=99999999999999999999"]
    {
        assert_eq!(get(&format!("/v1/rooms/lobby/messages?{query}")).await.refusal(), (400, 10003), "{query}");
    }
    for query in ["limit=1&limit=2", &(0..40).map(|at| format!("x{at}=1&")).collect::<String>()] {
        assert_eq!(get(&format!("/v1/rooms/lobby/messages?{query}")).await.refusal(), (400, 10001), "{query}");
    }
    assert_eq!(get("/v1/rooms/lobby/events").await.refusal(), (400, 10003), "`after` is required");

    let page = get("/v1/rooms?limit=1").await.json();
    let next = page["next"].as_str().unwrap();
    let rest = get(&format!("/v1/rooms?limit=1&after={next}")).await.json();
    assert_ne!(page["rooms"][0]["id"], rest["rooms"][0]["id"]);
    assert!(rest.get("next").is_none_or(Value::is_null));
}

#[tokio::test]
async fn the_path_says_which_room_and_nothing_else_does() {
    let (node, ada) = ada().await;
    let mut client = node.client(&ada).await;
    let lobby = client.room("lobby", "public", &[]).await;
    client.room("other", "public", &[]).await;
    let shown = node.get("/v1/rooms/lobby?room=other").token(&ada.token).send().await;
    assert_eq!(shown.json()["id"], lobby.as_str());
    let body = json!({ "room": "other", "client_msg_id": "1", "body": "hi" });
    node.post("/v1/rooms/lobby/messages").token(&ada.token).json(&body).send().await;
    assert_eq!(client.ok("room.show", json!({ "room": "lobby" })).await["head"], 2);
    assert_eq!(node.get("/v1/rooms/%6cobby").token(&ada.token).send().await.json()["id"], lobby.as_str());
    for (room, status) in [
        ("%00", 400),
        ("lobby%00", 400),
        ("lobby%0d%0aX:%20y", 400),
        ("..%2flobby", 400),
        ("%ff", 404),
        ("LOBBY", 400),
        ("%2e%2e", 400),
        ("..", 400),
        ("lobby%20", 400),
        ("nowhere", 404),
        ("%F0%9F%8E%88", 400),
    ] {
        let answer = node.get(&format!("/v1/rooms/{room}")).token(&ada.token).send().await;
        assert_eq!(answer.refusal().0, status, "{room}: {}", answer.text());
    }
}

#[tokio::test]
async fn refusals_have_the_status_of_their_code_and_one_body() {
    let (node, ada) = ada().await;
    let token = &ada.token;
    let cases = [
        (node.get("/v1/rooms").send().await, (401, 20001)),
        (node.get("/v1/rooms").token("x").send().await, (401, 20002)),
        (node.get("/v1/rooms").header("Authorization", "Basic eDp5").send().await, (401, 20002)),
        (node.get("/v1/rooms").token(&sign(&crate::fixture::claims(ada.id, -60))).send().await, (401, 20003)),
        (node.get("/v1/rooms").token(token).header("Origin", "https://evil.example").send().await, (403, 20007)),
        (node.get("/v1/rooms/nowhere").token(token).send().await, (404, 30001)),
        (node.post("/v1/rooms").token(token).body("{").send().await, (400, 10001)),
        (node.post("/v1/rooms").token(token).body("[]").send().await, (400, 10001)),
        (node.post("/v1/rooms").token(token).body("[".repeat(60_000)).send().await, (400, 10001)),
        (node.post("/v1/rooms").token(token).send().await, (400, 10003)),
        (node.post("/v1/rooms").token(token).body("x".repeat(65_537)).send().await, (413, 10004)),
        (node.post("/v1/auth/login").body("x".repeat(65_537)).send().await, (413, 10004)),
        (node.post("/v1/auth/login").header("Origin", "null").body("{}").send().await, (403, 20007)),
    ];
    for (answer, expected) in cases {
        assert_eq!(answer.refusal(), expected, "{}", answer.text());
        let body = answer.json();
        assert_eq!(body.as_object().unwrap().len(), 1);
        for name in ["name", "message", "retry", "at", "trace"] {
            assert!(!body["err"][name].is_null(), "{name}: {body}");
        }
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
    let mut fine = json!({ "name": "x", "kind": "public" }).to_string();
    fine.push_str(&" ".repeat(65_536 - fine.len()));
    assert_eq!(node.post("/v1/rooms").token(token).body(fine).send().await.status, 201, "just the limit");
}

#[tokio::test]
async fn a_chunked_body_is_limited_as_it_comes() {
    use tokio::io::AsyncWriteExt;
    let (node, ada) = ada().await;
    let mut stream = node.connect().await;
    let head = format!(
        "POST /v1/rooms HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nTransfer-Encoding: chunked\r\n\r\n",
        node.host(),
        ada.token
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("4000\r\n{}\r\n", " ".repeat(0x4000));
    for _ in 0..5 {
        stream.write_all(chunk.as_bytes()).await.unwrap();
    }
    let answer = soon("an answer", read_answer(&mut stream)).await.unwrap().unwrap();
    assert_eq!(answer.refusal(), (413, 10004));
}

#[tokio::test]
async fn what_is_not_there_says_so_in_the_same_form() {
    let (node, ada) = ada().await;
    for path in
        ["/v1", "/v1/", "/v1/nothing", "/v1/rooms/", "/v1/rooms/a/b", "/metrics", "/readyz", "/debug/config", "/x"]
    {
        let answer = node.get(path).token(&ada.token).send().await;
        assert_eq!(answer.refusal().0, 404, "{path}");
    }
    for (method, path) in [("DELETE", "/v1/rooms"), ("PUT", "/v1/rooms/x"), ("GET", "/v1/auth/login"), ("POST", "/")] {
        let answer = node.request(method, path).token(&ada.token).send().await;
        assert_eq!(answer.refusal().0, 405, "{method} {path}");
    }
}

#[tokio::test]
async fn every_route_of_the_document_is_there() {
    let (node, ada) = ada().await;
    let mut client = node.client(&ada).await;
    client.room("lobby", "public", &[]).await;
    let document = node.get("/v1/openapi.json").send().await;
    assert_eq!(document.status, 200);
    let document = document.json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3."));
    let mut count = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            let method = if method == "get" { "GET" } else { "POST" };
            let path = path.replace("{room}", "lobby");
            let answer = node.request(method, &path).send().await;
            assert!(![404, 405].contains(&answer.status), "{method} {path}: {}", answer.status);
            count += 1;
        }
    }
    assert!(count >= 9);
}

#[tokio::test]
async fn the_page_at_the_root_is_honest_and_needs_nothing_from_elsewhere() {
    let node = Node::start(|setup| setup.gateway.node = "<script>alert(1)</script>".to_owned()).await;
    let answer = node.get("/").send().await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").unwrap().starts_with("text/html"));
    assert!(answer.header("content-security-policy").unwrap().contains("default-src 'none'"));
    let page = answer.text();
    for word in ["Hubbub", "Version", "serving", "hubbub chat", "/v1/ws", "&lt;script&gt;"] {
        assert!(page.contains(word), "{word}");
    }
    assert!(!page.contains("<script") && !page.contains("https://"));
}

//! A storm at the door: each bound of `admission.*` holds, who is refused is told so, and those who are in chat on.

use std::time::{Duration, Instant};

use futures_util::FutureExt;
use hubbub_gateway::{TlsMode, memory};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::fixture::{Answer, Node, read_answer, soon, until};

/// Of a refusal: the code, and when to come back.
fn assert_overloaded(answer: &Answer) {
    assert_eq!(answer.refusal(), (503, 90003), "{}", answer.text());
    let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=5).contains(&seconds), "{seconds}");
}

async fn refusals(node: &Node, reason: &str) -> f64 {
    node.metric(&format!("hubbub_admission_refusals_total{{reason=\"{reason}\"}}")).await
}

#[tokio::test]
async fn over_the_accept_rate_sockets_wait_and_nobody_is_refused() {
    const SOCKETS: usize = 40;
    let node = Node::start(|setup| setup.gateway.admission.accepts_per_second = 20).await;
    let began = Instant::now();
    let asked = (0..SOCKETS).map(|_| async { node.get("/").send().await.status });
    let answers = futures_util::future::join_all(asked).await;
    assert!(answers.iter().all(|status| *status == 200), "{answers:?}");
    // A rate is a lower bound of time: a slow machine breaks nothing.
    assert!(began.elapsed() >= Duration::from_millis(1_700), "{:?}", began.elapsed());
    assert!(node.metric(r#"hubbub_admission_waits_total{reason="rate"}"#).await >= 10.0);
}

#[tokio::test]
async fn with_every_handshake_taken_newcomers_wait_and_chat_goes_on() {
    let node = Node::start(|setup| setup.gateway.admission.handshakes_max = 3).await;
    let ada = node.user("ada").await;
    let mut client = node.client(&ada).await;
    client.room("lobby", "public", &[]).await;
    let mut mute = Vec::new();
    for _ in 0..3 {
        mute.push(node.tcp(None).await);
    }
    let waits = || async { node.metric(r#"hubbub_admission_waits_total{reason="handshakes"}"#).await >= 1.0 };
    until("every place is taken", waits).await;
    // The kernel takes the socket and the request; nobody answers.
    let mut late = node.connect().await;
    late.write_all(format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", node.host()).as_bytes()).await.unwrap();
    for at in 0..5 {
        client.say("lobby", &format!("still here {at}")).await;
    }
    let mut answer = Box::pin(read_answer(&mut late));
    assert!((&mut answer).now_or_never().is_none(), "answered although every place is taken");
    mute.pop();
    assert_eq!(soon("a place", answer).await.unwrap().unwrap().status, 200);
}

#[tokio::test]
async fn while_few_places_are_left_nobody_keeps_one_by_asking_on_and_on() {
    let node = Node::start(|setup| {
        setup.gateway.admission.handshakes_max = 3;
        setup.limits.connections_per_address = 0;
    })
    .await;
    let request = format!("GET /nope HTTP/1.1\r\nHost: {}\r\n\r\n", node.host());
    let asking = (0..3).map(|_| {
        Box::pin(async {
            let mut stream = node.connect().await;
            while stream.write_all(request.as_bytes()).await.is_ok() {
                match read_answer(&mut stream).await {
                    Ok(Some(answer)) if answer.header("connection") == Some("close") => return,
                    Ok(Some(_)) => tokio::time::sleep(Duration::from_millis(20)).await,
                    Ok(None) | Err(_) => return,
                }
            }
        })
    });
    // Those who are left go on asking while others are served.
    let ((), _, left) = soon("a place", futures_util::future::select_all(asking)).await;
    let others = async {
        for _ in 0..5 {
            assert_eq!(node.get("/").send().await.status, 200);
        }
    };
    let asking_on = futures_util::future::join(futures_util::future::join_all(left), std::future::pending::<()>());
    tokio::select! {
        () = others => {}
        _ = asking_on => {}
    }
}

#[tokio::test]
async fn idle_sockets_make_room_while_few_places_are_left() {
    for line in ["GET / HTTP/1.1", "GET /v1/ws HTTP/1.1"] {
        let node = Node::start(|setup| {
            setup.gateway.admission.handshakes_max = 4;
            setup.limits.handshake_timeout = Duration::ZERO;
        })
        .await;
        let mut idle = node.connect().await;
        idle.write_all(format!("{line}\r\nHost: {}\r\n\r\n", node.host()).as_bytes()).await.unwrap();
        let answer = soon("an answer", read_answer(&mut idle)).await.unwrap().unwrap();
        assert_eq!(answer.header("connection"), None, "there is room");
        let _mute = [node.connect().await, node.connect().await];
        assert_eq!(soon("its end", idle.read(&mut [0; 1])).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn a_node_that_answers_nobody_new_is_not_ready() {
    let node = Node::start(|setup| {
        setup.gateway.admission.handshakes_max = 2;
        setup.limits.handshake_timeout = Duration::ZERO;
    })
    .await;
    let mut mute = vec![node.connect().await, node.connect().await];
    until("not ready", || async { node.ops("/readyz").await.0 == 503 }).await;
    let ready = node.ops("/readyz").await.1;
    assert!(ready.contains(r#""status":"overloaded""#) && ready.contains(r#""refuses":"handshakes""#), "{ready}");
    mute.pop();
    until("ready again", || async { node.ops("/readyz").await.0 == 200 }).await;
}

#[tokio::test]
async fn unauthenticated_websockets_are_bounded_and_a_token_passes() {
    let node = Node::start(|setup| setup.gateway.admission.unauthenticated_max = 3).await;
    let ada = node.user("ada").await;
    let mut unknown = Vec::new();
    for _ in 0..3 {
        unknown.push(node.handshake().open().await);
    }
    assert_overloaded(&node.handshake().refused().await);
    assert_eq!(refusals(&node, "unauthenticated").await, 1.0);
    assert_eq!(node.ops("/readyz").await.0, 200, "who has a token is welcome");
    let mut client = node.client(&ada).await;
    client.room("lobby", "public", &[]).await;
    assert_overloaded(&node.handshake().refused().await);
    // Who signs on makes room, and so does who goes.
    unknown[0].ok("session.authenticate", json!({ "token": ada.token })).await;
    unknown.push(node.handshake().open().await);
    assert_overloaded(&node.handshake().refused().await);
    drop(unknown.pop());
    until("a place", || async { node.handshake().answer().await.0.status == 101 }).await;
    client.say("lobby", "hi").await;
}

async fn narrow(tls: TlsMode) -> Node {
    Node::start(|setup| {
        setup.gateway.tls = tls;
        setup.gateway.admission.unauthenticated_per_address = 4;
        setup.limits.connections_per_address = 4;
    })
    .await
}

#[tokio::test]
async fn mute_sockets_of_one_address_are_bounded_over_tls_too() {
    for tls in [TlsMode::Off, TlsMode::SelfSigned { folder: None }] {
        let node = narrow(tls).await;
        let ada = node.user("ada").await;
        let mut client = node.client(&ada).await;
        client.room("lobby", "public", &[]).await;
        let mut mute = Vec::new();
        for _ in 0..4 {
            mute.push(node.connect().await);
        }
        assert_overloaded(&node.get("/").send().await);
        assert_overloaded(&node.handshake().token(&ada.token).refused().await);
        assert_eq!(refusals(&node, "address").await, 2.0);
        // One too many has little time to say what it wants, and counts although it never does.
        let mut one_more = node.connect().await;
        assert_eq!(soon("its end", one_more.read(&mut [0; 1])).await.unwrap_or(0), 0);
        assert_eq!(refusals(&node, "address").await, 3.0);
        client.say("lobby", "still here").await;
        mute.pop();
        until("a place", || async { node.get("/").send().await.status == 200 }).await;
    }
}

#[tokio::test]
async fn who_has_shown_a_token_is_no_stranger() {
    let node = narrow(TlsMode::Off).await;
    let ada = node.user("ada").await;
    let host = node.host();
    let request = format!("GET /v1/rooms HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {}\r\n\r\n", ada.token);
    let mut kept = Vec::new();
    for _ in 0..10 {
        let mut stream = node.connect().await;
        for _ in 0..2 {
            stream.write_all(request.as_bytes()).await.unwrap();
            assert_eq!(soon("an answer", read_answer(&mut stream)).await.unwrap().unwrap().status, 200);
        }
        kept.push(stream);
    }
    // WebSockets without a user go on counting; those with one do not.
    let mut unknown = Vec::new();
    for _ in 0..4 {
        unknown.push(node.handshake().open().await);
    }
    assert_overloaded(&node.get("/").send().await);
    unknown[0].ok("session.authenticate", json!({ "token": ada.token })).await;
    assert_eq!(node.get("/").send().await.status, 200);
}

#[tokio::test]
async fn who_asks_on_and_on_without_a_token_goes_on_counting() {
    let node = narrow(TlsMode::Off).await;
    let mut kept = Vec::new();
    for path in ["/nope", "/", "/v1/rooms", "/v1/ws"] {
        let mut stream = node.connect().await;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", node.host());
        for _ in 0..2 {
            stream.write_all(request.as_bytes()).await.unwrap();
            soon("an answer", read_answer(&mut stream)).await.unwrap().unwrap();
        }
        kept.push(stream);
    }
    assert_overloaded(&node.get("/").send().await);
    assert_eq!(refusals(&node, "address").await, 1.0);
    kept.pop();
    until("a place", || async { node.get("/").send().await.status == 200 }).await;
}

#[tokio::test]
async fn over_the_memory_mark_nobody_new_comes_in_and_chat_goes_on() {
    const HALF: usize = 512 << 20;
    let mark = memory::resident_bytes().unwrap() + HALF as u64;
    let node = Node::start(|setup| setup.gateway.admission.memory_max = Some(mark)).await;
    let ada = node.user("ada").await;
    let mut client = node.client(&ada).await;
    client.room("lobby", "public", &[]).await;
    assert_eq!(node.ops("/readyz").await.0, 200);
    // Touched, so that it is in RAM.
    let ballast = vec![1_u8; 2 * HALF];
    until("not ready", || async { node.ops("/readyz").await.0 == 503 }).await;
    let ready = node.ops("/readyz").await.1;
    assert!(ready.contains(r#""status":"overloaded""#) && ready.contains(r#""refuses":"memory""#), "{ready}");
    assert_overloaded(&node.handshake().token(&ada.token).refused().await);
    assert_eq!(refusals(&node, "memory").await, 1.0);
    client.say("lobby", "still here").await;
    assert_eq!(node.get("/v1/rooms").token(&ada.token).send().await.status, 200, "and so is who chats over HTTP");
    drop(std::hint::black_box(ballast));
    until("ready again", || async { node.ops("/readyz").await.0 == 200 }).await;
    node.client(&ada).await;
}

//! CONTRACT §3, SIGTERM: not ready at once, serve on, refuse upgrades, tell and spread, close.

use std::sync::Arc;
use std::time::Duration;

use hubbub_gateway::DrainConfig;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::fixture::{Node, read_answer, soon, until};

async fn ending(grace: Duration, spread: Duration) -> Node {
    Node::start(|setup| {
        setup.gateway.drain = DrainConfig { grace, spread, ..DrainConfig::default() };
        setup.limits.connections_per_user = 0;
        setup.limits.handshake_timeout = Duration::from_secs(1);
    })
    .await
}

#[tokio::test]
async fn a_node_is_not_ready_first_then_takes_nobody_and_tells_everybody() {
    // As long as this test needs to look at each step.
    let node = ending(Duration::from_secs(2), Duration::from_millis(800)).await;
    let ada = node.user("ada").await;
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(node.client(&ada).await);
    }
    clients[0].room("lobby", "public", &[]).await;
    let mut unknown = node.handshake().open().await;
    assert_eq!(node.ops("/readyz").await.0, 200);
    let gateway = Arc::clone(&node.gateway);
    let draining = tokio::spawn(async move { gateway.drain().await });
    until("not ready", || async { node.ops("/readyz").await.0 == 503 }).await;
    assert!(node.ops("/readyz").await.1.contains("draining"));
    assert_eq!(node.ops("/livez").await.0, 200);
    assert_eq!(node.metric("hubbub_node_draining").await, 1.0);
    // In the grace it serves on, newcomers too.
    clients[0].say("lobby", "still here").await;
    clients.push(node.client(&ada).await);

    let until_closed = clients.into_iter().map(|mut client| async move {
        let (said, code) = client.farewell().await;
        assert_eq!(code, 1012);
        let told = said.last().unwrap();
        assert_eq!((&told["ev"], &told["data"]["reason"]), (&json!("session.closing"), &json!("restart")));
        told["data"]["retry_after_ms"].as_u64().unwrap()
    });
    let refused = async {
        until("refused", || async {
            match node.handshake().answer().await {
                (answer, _) if answer.status == 503 => {
                    assert_eq!(answer.refusal(), (503, 90003));
                    true
                }
                (answer, _) => {
                    assert_eq!(answer.status, 101);
                    false
                }
            }
        })
        .await;
    };
    let (waits, (), (_, code)) =
        futures_util::future::join3(futures_util::future::join_all(until_closed), refused, unknown.farewell()).await;
    assert_eq!(code, 1012);
    assert!(waits.iter().any(|wait| *wait != waits[0]), "spread: {waits:?}");
    soon("the end of the drain", draining).await.unwrap();
    assert!(tokio::net::TcpStream::connect(node.address).await.is_err(), "the port is free");
    assert_eq!(node.ops("/livez").await.0, 200, "the ops listener is the process's own");
}

#[tokio::test]
async fn an_empty_node_refuses_in_words_too_before_it_closes_its_port() {
    let node = ending(Duration::from_secs(1), Duration::ZERO).await;
    let gateway = Arc::clone(&node.gateway);
    let draining = tokio::spawn(async move { gateway.drain().await });
    until("a closed door", || async { node.ops("/readyz").await.1.contains(r#""refuses":"draining""#) }).await;
    let answer = node.handshake().refused().await;
    assert_eq!(answer.refusal(), (503, 90003));
    assert!(answer.header("retry-after").is_some());
    soon("the end of the drain", draining).await.unwrap();
    assert!(tokio::net::TcpStream::connect(node.address).await.is_err(), "the port is free");
}

#[tokio::test]
async fn when_the_drain_is_over_every_last_word_is_with_the_kernel() {
    let node = ending(Duration::ZERO, Duration::ZERO).await;
    let ada = node.user("ada").await;
    let mut sockets = Vec::new();
    for _ in 0..5 {
        let mut stream = node.tcp(None).await;
        stream.write_all(&node.handshake().token(&ada.token).bytes()).await.unwrap();
        assert_eq!(soon("an answer", read_answer(&mut stream)).await.unwrap().unwrap().status, 101);
        sockets.push(stream);
    }
    // Nobody reads or answers before it is over.
    soon("the drain", node.gateway.drain()).await;
    for stream in sockets {
        // From here on no task of the node runs any more, as in a process that ends.
        let (mut stream, mut words) = (stream.into_std().unwrap(), Vec::new());
        std::io::Read::read_to_end(&mut stream, &mut words).unwrap();
        let words = String::from_utf8_lossy(&words).into_owned();
        assert!(words.contains("session.closing") && words.ends_with("restart"), "{words}");
    }
}

#[tokio::test]
async fn a_command_on_its_way_is_answered_before_the_close() {
    let node = ending(Duration::ZERO, Duration::ZERO).await;
    let ada = node.user("ada").await;
    let mut client = node.client(&ada).await;
    client.room("lobby", "public", &[]).await;
    for at in 0..20 {
        client.start("message.send", json!({ "room": "lobby", "client_msg_id": at.to_string(), "body": "x" })).await;
    }
    soon("the drain", node.gateway.drain()).await;
    let (said, code) = client.farewell().await;
    assert_eq!(code, 1012);
    let acked = said.iter().filter(|reply| reply["ok"]["seq"].is_u64()).count() as u64;
    let room = node.store.room(&"lobby".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(json!(room.head), json!(acked + 1), "what was committed is acked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_slips_through_the_closing_door() {
    let node = Arc::new(ending(Duration::from_millis(100), Duration::ZERO).await);
    let ada = node.user("ada").await;
    let rush = (0..16).map(|_| {
        let (node, ada) = (Arc::clone(&node), ada.clone());
        tokio::spawn(async move {
            loop {
                let bytes = node.handshake().token(&ada.token).bytes();
                let Ok(mut stream) = tokio::net::TcpStream::connect(node.address).await else { return };
                if stream.write_all(&bytes).await.is_err() {
                    return;
                }
                match read_answer(&mut stream).await {
                    Ok(Some(answer)) if answer.status == 101 => {
                        let mut client = crate::fixture::Client::over(Box::new(stream));
                        let before_the_drain = !node.ops("/readyz").await.1.contains("draining");
                        if !before_the_drain {
                            assert_eq!(client.closed().await, 1012);
                        }
                    }
                    Ok(Some(answer)) => assert!([503, 429].contains(&answer.status), "{}", answer.status),
                    // The listener is gone.
                    Ok(None) | Err(_) => return,
                }
            }
        })
    });
    let rush: Vec<_> = rush.collect();
    soon("the drain", node.gateway.drain()).await;
    for one in rush {
        soon("its end", one).await.unwrap();
    }
}

#[tokio::test]
async fn idle_and_busy_http_connections_do_not_hold_the_end_up() {
    let node = ending(Duration::ZERO, Duration::from_millis(500)).await;
    let request = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", node.host());
    let mut busy = node.connect().await;
    let mut idle = node.connect().await;
    for stream in [&mut busy, &mut idle] {
        stream.write_all(request.as_bytes()).await.unwrap();
        read_answer(stream).await.unwrap().unwrap();
    }
    let asking = tokio::spawn(async move {
        // A proxy that reuses its connection for ever.
        while busy.write_all(request.as_bytes()).await.is_ok() {
            match read_answer(&mut busy).await {
                Ok(Some(_)) => {}
                _ => return,
            }
        }
    });
    soon("the drain", node.gateway.drain()).await;
    soon("the busy one", asking).await.unwrap();
    assert_eq!(soon("the idle one", idle.read(&mut [0; 1])).await.unwrap_or(0), 0);
}

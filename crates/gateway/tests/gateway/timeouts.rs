//! CONTRACT §6: what a handshake may take, in time and in bytes.

use std::time::Duration;

use hubbub_gateway::TlsMode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::fixture::{Node, read_answer, soon};

async fn hurried() -> Node {
    Node::start(|setup| setup.limits.handshake_timeout = Duration::from_millis(300)).await
}

#[tokio::test]
async fn a_mute_socket_is_closed_without_a_word() {
    let node = hurried().await;
    let mut mute = node.tcp(None).await;
    assert_eq!(soon("the end", mute.read(&mut [0; 1])).await.unwrap(), 0);
}

#[tokio::test]
async fn half_a_request_is_answered_with_408() {
    let node = hurried().await;
    for part in ["G", "GET /v1/ws HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: x\r\nX: y"] {
        let mut stream = node.tcp(None).await;
        stream.write_all(part.as_bytes()).await.unwrap();
        let answer = soon("an answer", read_answer(&mut stream)).await.unwrap().unwrap();
        assert_eq!(answer.refusal(), (408, 10001), "{part}");
        assert_eq!(soon("the end", stream.read(&mut [0; 1])).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn a_request_that_drips_is_not_waited_for() {
    let node = hurried().await;
    let mut stream = node.tcp(None).await;
    let dripping = async {
        let (mut reading, mut writing) = stream.split();
        let drip = async {
            for byte in node.handshake().bytes().into_iter().cycle() {
                if writing.write_all(&[byte]).await.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            () = drip => None,
            answer = read_answer(&mut reading) => answer.unwrap(),
        }
    };
    assert_eq!(soon("an answer", dripping).await.unwrap().status, 408);
}

#[tokio::test]
async fn tls_that_does_not_come_to_its_end_is_closed() {
    let node = Node::start(|setup| {
        setup.limits.handshake_timeout = Duration::from_millis(300);
        setup.gateway.tls = TlsMode::SelfSigned { folder: None };
    })
    .await;
    // Nothing; the head of a record; half a record that announces 16 kB; HTTP in plain.
    let beginnings: [&[u8]; 4] = [b"", b"\x16\x03\x01", b"\x16\x03\x01\x40\x00\x01", b"GET / HTTP/1.1\r\n\r\n"];
    for beginning in beginnings {
        let mut stream = node.tcp(None).await;
        stream.write_all(beginning).await.unwrap();
        let mut rest = Vec::new();
        // An alert may come before the end.
        soon("the end", stream.read_to_end(&mut rest)).await.unwrap();
        assert!(rest.len() < 16, "{rest:?}");
    }
    let mut mute = node.connect().await;
    let mut rest = Vec::new();
    soon("the end", mute.read_to_end(&mut rest)).await.unwrap();
    assert!(rest.is_empty(), "TLS done, and then not a word");
}

#[tokio::test]
async fn a_connection_that_is_kept_for_a_next_request_ends_too() {
    let node = hurried().await;
    let mut stream = node.tcp(None).await;
    let request = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", node.host());
    for _ in 0..2 {
        stream.write_all(request.as_bytes()).await.unwrap();
        assert_eq!(soon("an answer", read_answer(&mut stream)).await.unwrap().unwrap().status, 200);
    }
    assert_eq!(soon("the end", stream.read(&mut [0; 1])).await.unwrap(), 0);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let node = hurried().await;
    let head = format!("POST /v1/auth/login HTTP/1.1\r\nHost: {}\r\nContent-Length: 10\r\n\r\n{{", node.host());
    let began = std::time::Instant::now();
    let mut stream = node.tcp(None).await;
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = soon("an answer", read_answer(&mut stream)).await.unwrap().unwrap();
    assert_eq!(answer.refusal(), (400, 10001));
    assert!(began.elapsed() >= Duration::from_millis(300), "it has as long as a head");
    assert_eq!(soon("the end", stream.read(&mut [0; 1])).await.unwrap(), 0);
}

#[tokio::test]
async fn a_head_of_just_the_limit_passes_and_one_byte_more_is_431() {
    let node = Node::plain().await;
    let sized = |bytes: usize| {
        let bare = node.handshake().add("X-Pad", "").bytes().len();
        node.handshake().add("X-Pad", "x".repeat(bytes - bare))
    };
    sized(16_384).open().await;
    for bytes in [16_385, 20_000, 500_000] {
        let mut stream = node.tcp(None).await;
        // The server may answer and hang up before it has been told everything.
        stream.write_all(&sized(bytes).bytes()).await.ok();
        let mut head = [0; 12];
        let read = soon("an answer", stream.read_exact(&mut head)).await;
        if bytes < 100_000 {
            read.unwrap();
            assert_eq!(&head, b"HTTP/1.1 431");
        }
    }
    let long_path = node.handshake().line(&format!("GET /v1/ws?{} HTTP/1.1", "x".repeat(17_000)));
    assert_eq!(long_path.refused().await.status, 431);
}

#[tokio::test]
async fn many_headers_are_431() {
    let node = Node::plain().await;
    let with = |count: usize| (0..count).fold(node.handshake(), |handshake, at| handshake.add(&format!("X-{at}"), "y"));
    with(40).open().await;
    assert_eq!(with(200).refused().await.status, 431);
}

#[tokio::test]
async fn who_fills_the_waiting_room_does_not_keep_others_out() {
    let node = Node::start(|setup| {
        setup.limits.handshake_timeout = Duration::from_millis(300);
        // The neighbours share an address with them here.
        setup.gateway.admission.unauthenticated_per_address = 0;
    })
    .await;
    let mut mute = Vec::new();
    for at in 0..300 {
        let mut stream = node.tcp(None).await;
        if at % 2 == 0 {
            stream.write_all(b"GET / HT").await.unwrap();
        }
        mute.push(stream);
    }
    assert_eq!(node.get("/").send().await.status, 200);
    for stream in &mut mute {
        let mut rest = Vec::new();
        // A reset is as good an end as any here.
        soon("the end", stream.read_to_end(&mut rest)).await.ok();
    }
}

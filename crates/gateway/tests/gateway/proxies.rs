//! Issue 6, item 1: the PROXY protocol and `X-Forwarded-For`, from trusted hops only.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use hubbub_gateway::{ProxyConfig, TlsMode};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::fixture::{Answer, Client, Node, Setup, User, read_answer, soon, until};

/// The one proxy that is trusted: tests connect from it unless they say otherwise.
const PROXY: &str = "127.0.0.1/32";

/// Somebody whom nobody trusts.
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

const V1: &[u8] = b"PROXY TCP4 198.51.100.7 203.0.113.1 4711 443\r\n";

fn trusting(setup: &mut Setup, protocol: bool, forwarded_for: bool) {
    let trusted = vec![PROXY.parse().unwrap()];
    setup.gateway.proxy = ProxyConfig { trusted, protocol, forwarded_for }.into();
}

async fn behind_proxy_protocol() -> Node {
    Node::start(|setup| trusting(setup, true, false)).await
}

/// Version 2 with the client 198.51.100.7 and so many bytes of padding (a TLV of type 4).
fn v2(padding: u16) -> Vec<u8> {
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n\x21\x11".to_vec();
    bytes.extend((12 + if padding == 0 { 0 } else { 3 + padding }).to_be_bytes());
    bytes.extend([198, 51, 100, 7, 203, 0, 113, 1, 0x12, 0x67, 1, 0xbb]);
    if padding > 0 {
        bytes.push(4);
        bytes.extend(padding.to_be_bytes());
        bytes.resize(bytes.len() + usize::from(padding), 0);
    }
    bytes
}

const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";

async fn connect_from(node: &Node, address: Ipv4Addr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((address, 0))).unwrap();
    let stream = soon("a connection", socket.connect(node.address)).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// A request for a WebSocket of this user with these headers behind what was sent before.
async fn ask_upgrade(node: &Node, stream: &mut TcpStream, user: &User, headers: &[(&str, &str)]) -> Answer {
    let handshake = node.handshake().token(&user.token);
    let handshake = headers.iter().fold(handshake, |handshake, (name, value)| handshake.add(name, *value));
    stream.write_all(&handshake.bytes()).await.unwrap();
    soon("an answer", read_answer(stream)).await.unwrap().expect("an answer")
}

/// A connection that begins with these bytes and becomes a WebSocket.
async fn open(node: &Node, user: &User, header: &[u8], headers: &[(&str, &str)]) -> Result<TcpStream, Answer> {
    let mut stream = node.tcp(None).await;
    stream.write_all(header).await.unwrap();
    let answer = ask_upgrade(node, &mut stream, user, headers).await;
    if answer.status == 101 { Ok(stream) } else { Err(answer) }
}

/// Where the node's only connection comes from.
async fn only_address(node: &Node) -> String {
    let body: Value = serde_json::from_str(&node.ops("/debug/connections").await.1).unwrap();
    assert_eq!(body["count"], 1, "{body}");
    body["connections"][0]["address"].as_str().unwrap().to_owned()
}

/// Waits until the last connection is forgotten.
async fn empty(node: &Node) {
    until("nobody", || async { node.metric("hubbub_connections").await == 0.0 }).await;
}

async fn refusals(node: &Node, reason: &str) -> f64 {
    node.metric(&format!("hubbub_proxy_refusals_total{{reason=\"{reason}\"}}")).await
}

/// The node hangs up without a word.
async fn hangs_up(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    // Bytes that were never read make a reset of it.
    soon("the end", stream.read_to_end(&mut rest)).await.ok();
    assert_eq!(rest, b"", "{}", String::from_utf8_lossy(&rest));
}

#[tokio::test]
async fn the_client_that_a_trusted_proxy_names_is_the_one_that_is_seen() {
    let node = behind_proxy_protocol().await;
    let ada = node.user("ada").await;
    let mapped = b"PROXY TCP6 ::ffff:198.51.100.7 ::1 1 2\r\n".to_vec();
    for header in [V1.to_vec(), v2(0), v2(600), v2(4_000), mapped] {
        let stream = open(&node, &ada, &header, &[]).await.expect("upgraded");
        assert_eq!(only_address(&node).await, "198.51.100.7");
        let mut client = Client::over(Box::new(stream));
        assert_eq!(client.event().await["ev"], "session.ready", "nothing behind the header was lost");
        drop(client);
        empty(&node).await;
    }
    let own = b"PROXY TCP6 2001:db8::7 2001:db8::1 1 2\r\n";
    let _open = open(&node, &ada, own, &[("X-Forwarded-For", "192.0.2.1")]).await.expect("upgraded");
    assert_eq!(only_address(&node).await, "2001:db8::7", "nobody asked for `X-Forwarded-For`");
}

#[tokio::test]
async fn what_a_proxy_that_names_nobody_passes_on_is_the_clients_own_word() {
    let node = Node::start(|setup| trusting(setup, true, true)).await;
    let ada = node.user("ada").await;
    let said = [("X-Forwarded-For", "192.0.2.66")];
    for header in [&b"PROXY UNKNOWN\r\n"[..], LOCAL] {
        let stream = open(&node, &ada, header, &said).await.expect("upgraded");
        assert_eq!(only_address(&node).await, "127.0.0.1", "{header:?}");
        drop(stream);
        empty(&node).await;
    }
}

#[tokio::test]
async fn a_header_may_come_in_any_pieces() {
    let node = behind_proxy_protocol().await;
    let ada = node.user("ada").await;
    for header in [V1.to_vec(), v2(3)] {
        let mut stream = node.tcp(None).await;
        for byte in header {
            stream.write_all(&[byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        assert_eq!(ask_upgrade(&node, &mut stream, &ada, &[]).await.status, 101);
        assert_eq!(only_address(&node).await, "198.51.100.7");
        drop(stream);
        empty(&node).await;
    }
    // And in one with what follows.
    let mut stream = node.tcp(None).await;
    stream.write_all(&[V1, &node.handshake().token(&ada.token).bytes()].concat()).await.unwrap();
    assert_eq!(soon("an answer", read_answer(&mut stream)).await.unwrap().unwrap().status, 101);
    assert_eq!(only_address(&node).await, "198.51.100.7");
}

#[tokio::test]
async fn tls_begins_behind_the_header() {
    let node = Node::start(|setup| {
        trusting(setup, true, false);
        setup.gateway.tls = TlsMode::SelfSigned { folder: None };
    })
    .await;
    let ada = node.user("ada").await;
    for header in [V1.to_vec(), v2(600)] {
        let mut tcp = node.tcp(None).await;
        tcp.write_all(&header).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let connector = TlsConnector::from(node.tls_client(&["http/1.1"]));
        let mut stream = soon("TLS", connector.connect(name, tcp)).await.unwrap();
        stream.write_all(&node.handshake().token(&ada.token).bytes()).await.unwrap();
        assert_eq!(soon("an answer", read_answer(&mut stream)).await.unwrap().unwrap().status, 101);
        assert_eq!(only_address(&node).await, "198.51.100.7");
        drop(stream);
        empty(&node).await;
    }
    // Within TLS it would be the client's word.
    let mut inside = node.tcp(None).await;
    inside.write_all(b"\x16\x03\x01\x02\x00").await.unwrap();
    hangs_up(&mut inside).await;
    assert_eq!(refusals(&node, "malformed").await, 1.0);
}

#[tokio::test]
async fn a_header_of_anybody_else_is_a_bad_request() {
    let node = behind_proxy_protocol().await;
    let ada = node.user("ada").await;
    for header in [V1.to_vec(), v2(0)] {
        let mut stream = connect_from(&node, STRANGER).await;
        stream.write_all(&[header, node.handshake().token(&ada.token).bytes()].concat()).await.unwrap();
        let answer = soon("an answer", read_answer(&mut stream)).await.unwrap().unwrap();
        assert_eq!(answer.status, 400);
    }
    // Without one they are served, under their own address.
    let mut stream = connect_from(&node, STRANGER).await;
    assert_eq!(ask_upgrade(&node, &mut stream, &ada, &[("X-Forwarded-For", "192.0.2.1")]).await.status, 101);
    assert_eq!(only_address(&node).await, STRANGER.to_string());
    let all = ["malformed", "too_large", "cut", "late"];
    for reason in all {
        assert_eq!(refusals(&node, reason).await, 0.0, "{reason}: strangers are no broken proxies");
    }
}

#[tokio::test]
async fn a_proxy_without_a_good_header_is_hung_up_on_and_counted() {
    let node = Node::start(|setup| {
        trusting(setup, true, false);
        setup.limits.handshake_timeout = Duration::from_millis(300);
    })
    .await;
    let oversized_v1 = [&b"PROXY TCP4 "[..], &[b'1'; 200]].concat();
    for (reason, bytes) in [
        ("malformed", &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..]),
        ("malformed", b"PROXY TCP4 198.51.100.7\r\n"),
        ("malformed", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x04\x01\x02\x03\x04"),
        ("too_large", &oversized_v1),
        ("too_large", &v2(5_000)),
        ("late", b"PROXY TCP4 198.51"),
        ("late", b""),
        ("late", &v2(600)[..40]),
    ] {
        let before = refusals(&node, reason).await;
        let mut stream = node.tcp(None).await;
        stream.write_all(bytes).await.unwrap();
        hangs_up(&mut stream).await;
        assert_eq!(refusals(&node, reason).await, before + 1.0, "{reason}: {bytes:?}");
    }
    let mut cut = node.tcp(None).await;
    cut.write_all(b"PROXY ").await.unwrap();
    cut.shutdown().await.unwrap();
    hangs_up(&mut cut).await;
    assert_eq!(refusals(&node, "cut").await, 1.0);
    // A balancer that looks whether the port is open has not done anything wrong.
    let mut look = node.tcp(None).await;
    look.shutdown().await.unwrap();
    hangs_up(&mut look).await;
    assert_eq!(refusals(&node, "cut").await, 1.0);
}

#[tokio::test]
async fn clients_of_one_proxy_count_each_for_themselves_and_the_proxy_for_nobody() {
    let node = Node::start(|setup| {
        trusting(setup, true, false);
        setup.limits.connections_per_address = 2;
        setup.limits.connections_per_user = 0;
    })
    .await;
    let ada = node.user("ada").await;
    let header = |client: &str| format!("PROXY TCP4 {client} 203.0.113.1 1 2\r\n").into_bytes();
    let mut inside = Vec::new();
    for client in ["198.51.100.7", "198.51.100.8", "198.51.100.7"] {
        inside.push(open(&node, &ada, &header(client), &[]).await.expect(client));
    }
    let refused = open(&node, &ada, &header("198.51.100.7"), &[]).await.unwrap_err();
    assert_eq!(refused.refusal(), (429, 40002));
    // Whoever the proxy does not name: any number of people.
    for _ in 0..5 {
        inside.push(open(&node, &ada, LOCAL, &[]).await.expect("not counted"));
        inside.push(open(&node, &ada, b"PROXY UNKNOWN\r\n", &[]).await.expect("not counted"));
    }
    assert_eq!(node.metric("hubbub_proxy_unnamed_clients_total").await, 10.0);
    // A stranger who comes past the proxy is one address like any other.
    let mut direct = Vec::new();
    for status in [101, 101, 429] {
        let mut stream = connect_from(&node, STRANGER).await;
        assert_eq!(ask_upgrade(&node, &mut stream, &ada, &[]).await.status, status);
        direct.push(stream);
    }
}

#[tokio::test]
async fn the_last_address_that_no_trusted_proxy_has_is_the_client() {
    let node = Node::start(|setup| trusting(setup, false, true)).await;
    let ada = node.user("ada").await;
    for (lists, expected) in [
        (&["198.51.100.7"][..], "198.51.100.7"),
        (&["1.1.1.1, 198.51.100.7"], "198.51.100.7"),
        (&["1.1.1.1, 198.51.100.7, 127.0.0.1"], "198.51.100.7"),
        (&["127.0.0.1", "198.51.100.7"], "198.51.100.7"),
        (&["::ffff:198.51.100.7"], "198.51.100.7"),
        (&["1.1.1.1, who knows"], "127.0.0.1"),
        (&[], "127.0.0.1"),
    ] {
        let headers: Vec<_> = lists.iter().map(|list| ("X-Forwarded-For", *list)).collect();
        let stream = open(&node, &ada, b"", &headers).await.expect("upgraded");
        assert_eq!(only_address(&node).await, expected, "{lists:?}");
        drop(stream);
        empty(&node).await;
    }
    let mut stream = connect_from(&node, STRANGER).await;
    let spoofed = [("X-Forwarded-For", "198.51.100.7"), ("Forwarded", "for=198.51.100.7")];
    assert_eq!(ask_upgrade(&node, &mut stream, &ada, &spoofed).await.status, 101);
    assert_eq!(only_address(&node).await, STRANGER.to_string());
}

#[tokio::test]
async fn one_connection_of_a_proxy_carries_the_requests_of_many() {
    let node = Node::start(|setup| {
        trusting(setup, false, true);
        setup.limits.connections_per_address = 1;
        setup.limits.connections_per_user = 0;
        setup.gateway.admission.unauthenticated_per_address = 1;
    })
    .await;
    let ada = node.user("ada").await;
    let mut kept = node.tcp(None).await;
    for at in 0..20 {
        let request = format!("GET / HTTP/1.1\r\nHost: {}\r\nX-Forwarded-For: 198.51.100.{at}\r\n\r\n", node.host());
        kept.write_all(request.as_bytes()).await.unwrap();
        let answer = soon("an answer", read_answer(&mut kept)).await.unwrap().unwrap();
        assert_eq!(answer.status, 200, "{at}");
    }
    let client = [("X-Forwarded-For", "198.51.100.1")];
    assert_eq!(ask_upgrade(&node, &mut kept, &ada, &client).await.status, 101);
    assert_eq!(open(&node, &ada, b"", &client).await.unwrap_err().refusal(), (429, 40002));
    // One stranger of this address waits already; of another there is none.
    let mute = node.handshake().add("X-Forwarded-For", "198.51.100.2").open().await;
    assert_eq!(node.handshake().add("X-Forwarded-For", "198.51.100.2").refused().await.refusal(), (503, 90003));
    let other = node.handshake().add("X-Forwarded-For", "198.51.100.3").open().await;
    drop((mute, other));
}

#[tokio::test]
async fn both_together_go_on_from_whom_the_header_names() {
    let node = Node::start(|setup| {
        let trusted = vec![PROXY.parse().unwrap(), "10.0.0.0/8".parse().unwrap()];
        setup.gateway.proxy = ProxyConfig { trusted, protocol: true, forwarded_for: true }.into();
    })
    .await;
    let ada = node.user("ada").await;
    let forwarded = [("X-Forwarded-For", "198.51.100.9")];
    for (named, expected) in [("10.1.2.3", "198.51.100.9"), ("198.51.100.7", "198.51.100.7")] {
        let header = format!("PROXY TCP4 {named} 203.0.113.1 1 2\r\n");
        let stream = open(&node, &ada, header.as_bytes(), &forwarded).await.expect("upgraded");
        assert_eq!(only_address(&node).await, expected);
        drop(stream);
        empty(&node).await;
    }
}

//! Issue 3, item 4: TLS 1.2 and 1.3, resumption, certificates that change.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use hubbub_gateway::TlsMode;
use serde_json::json;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, HandshakeKind, ProtocolVersion};

use crate::fixture::{Client, Node, masked, read_answer, soon, until};

async fn node() -> Node {
    Node::start(|setup| setup.gateway.tls = TlsMode::SelfSigned { folder: None }).await
}

type Stream = tokio_rustls::client::TlsStream<tokio::net::TcpStream>;

async fn connect(node: &Node, config: &Arc<ClientConfig>) -> std::io::Result<Stream> {
    let name = ServerName::try_from("localhost").unwrap();
    let tcp = node.tcp(None).await;
    soon("TLS", TlsConnector::from(Arc::clone(config)).connect(name, tcp)).await
}

/// Reads an answer, so that the tickets that come before it have been read.
async fn ask(stream: &mut Stream, node: &Node) {
    use tokio::io::AsyncWriteExt;
    let request = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", node.host());
    stream.write_all(request.as_bytes()).await.unwrap();
    assert_eq!(soon("an answer", read_answer(stream)).await.unwrap().unwrap().status, 200);
}

#[tokio::test]
async fn a_whole_session_works_over_tls() {
    let node = node().await;
    let ada = node.user("ada").await;
    let mut client = node.client(&ada).await;
    let mut reader = node.client(&ada).await;
    client.room("lobby", "public", &[]).await;
    reader.ok("room.subscribe", json!({ "room": "lobby" })).await;
    for size in [1, 100, 2_000] {
        let body = "é".repeat(size);
        client.say("lobby", &body).await;
        assert_eq!(reader.event().await["data"]["body"], body);
    }
    client.send_frame(0x88, &1000_u16.to_be_bytes()).await;
    assert_eq!(client.closed().await, 1000);
    assert_eq!(node.get("/v1/rooms").token(&ada.token).send().await.status, 200);
}

#[tokio::test]
async fn both_versions_are_spoken_and_sessions_resumed() {
    let node = node().await;
    for version in [&tokio_rustls::rustls::version::TLS12, &tokio_rustls::rustls::version::TLS13] {
        let mut config = ClientConfig::clone(&node.tls_client(&["http/1.1"]));
        let provider = config.crypto_provider().clone();
        let roots = Arc::new(config_roots(&node));
        config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let config = Arc::new(config);
        let mut first = connect(&node, &config).await.unwrap();
        assert_eq!(first.get_ref().1.protocol_version(), Some(version.version));
        assert_eq!(first.get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
        ask(&mut first, &node).await;
        let mut second = connect(&node, &config).await.unwrap();
        ask(&mut second, &node).await;
        assert_eq!(second.get_ref().1.handshake_kind(), Some(HandshakeKind::Resumed), "{version:?}");
        assert_ne!(second.get_ref().1.protocol_version(), Some(ProtocolVersion::TLSv1_1));
    }
}

fn config_roots(node: &Node) -> tokio_rustls::rustls::RootCertStore {
    use tokio_rustls::rustls::pki_types::CertificateDer;
    use tokio_rustls::rustls::pki_types::pem::PemObject;
    let mut roots = tokio_rustls::rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(node.folder.path().join("cert.pem")).unwrap()).unwrap();
    roots
}

#[tokio::test]
async fn another_protocol_than_http_is_refused_in_the_handshake() {
    let node = node().await;
    assert!(connect(&node, &node.tls_client(&["h2"])).await.is_err());
    let stream = connect(&node, &node.tls_client(&["h2", "http/1.1"])).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    assert!(connect(&node, &node.tls_client(&[])).await.is_ok());
}

#[tokio::test]
async fn what_comes_in_one_breath_with_the_handshake_is_read() {
    use tokio::io::AsyncWriteExt;
    let node = Node::start(|setup| {
        setup.gateway.tls = TlsMode::SelfSigned { folder: None };
        setup.limits.connection_commands_per_10s = 0;
    })
    .await;
    let ada = node.user("ada").await;
    let mut bytes = node.handshake().token(&ada.token).bytes();
    for id in 1..=200 {
        let text = json!({ "id": id, "cmd": "no.such", "x": "y".repeat(200) }).to_string();
        bytes.extend(masked(0x81, text.as_bytes()));
    }
    let mut stream = connect(&node, &node.tls_client(&["http/1.1"])).await.unwrap();
    stream.write_all(&bytes).await.unwrap();
    stream.flush().await.unwrap();
    assert_eq!(soon("an answer", read_answer(&mut stream)).await.unwrap().unwrap().status, 101);
    let mut client = Client::over(Box::new(stream));
    assert_eq!(client.event().await["ev"], "session.ready");
    for id in 1..=200 {
        assert_eq!(client.next().await["re"], id);
    }
}

fn write_certificate(folder: &Path) -> Vec<u8> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let mut key = std::fs::File::create(folder.join("key.pem")).unwrap();
    key.write_all(made.signing_key.serialize_pem().as_bytes()).unwrap();
    std::fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
    made.cert.der().to_vec()
}

#[tokio::test]
async fn files_are_loaded_anew_when_they_change_and_a_broken_one_does_not_hurt() {
    let files = tempfile::TempDir::new().unwrap();
    write_certificate(files.path());
    let (cert_file, key_file) = (files.path().join("cert.pem"), files.path().join("key.pem"));
    let node = Node::start(|setup| {
        setup.gateway.tls = TlsMode::Files { cert_file: cert_file.clone(), key_file: key_file.clone() };
    })
    .await;
    let trust = || {
        std::fs::copy(&cert_file, node.folder.path().join("cert.pem")).unwrap();
        node.tls_client(&["http/1.1"])
    };
    let old = trust();
    let mut open = connect(&node, &old).await.unwrap();
    ask(&mut open, &node).await;

    std::fs::write(&cert_file, "half a certif").unwrap();
    // Longer than the files may go unseen.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert!(connect(&node, &fresh(&old)).await.is_ok(), "the old one serves on");

    write_certificate(files.path());
    let new = trust();
    until("the new certificate", || async { connect(&node, &fresh(&new)).await.is_ok() }).await;
    assert!(connect(&node, &fresh(&old)).await.is_err(), "the old one is gone");
    ask(&mut open, &node).await;
}

/// The same trust without the memory of former sessions, which need no certificate.
fn fresh(config: &Arc<ClientConfig>) -> Arc<ClientConfig> {
    let mut config = ClientConfig::clone(config);
    config.resumption = tokio_rustls::rustls::client::Resumption::disabled();
    Arc::new(config)
}

#[tokio::test]
async fn a_self_signed_certificate_is_kept_and_its_key_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::TempDir::new().unwrap();
    let mode = TlsMode::SelfSigned { folder: Some(folder.path().join("made")) };
    let stop = tokio_util::sync::CancellationToken::new();
    hubbub_gateway::tls::Tls::start(&mode, stop.clone()).unwrap();
    let read = || std::fs::read(folder.path().join("made/cert.pem")).unwrap();
    let first = read();
    hubbub_gateway::tls::Tls::start(&mode, stop).unwrap();
    assert_eq!(read(), first);
    let key = std::fs::metadata(folder.path().join("made/key.pem")).unwrap();
    assert_eq!(key.permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn files_that_cannot_be_used_stop_the_start_with_their_name() {
    let folder = tempfile::TempDir::new().unwrap();
    write_certificate(folder.path());
    let stop = tokio_util::sync::CancellationToken::new();
    let start = |cert: &str, key: &str| {
        let mode = TlsMode::Files { cert_file: folder.path().join(cert), key_file: folder.path().join(key) };
        hubbub_gateway::tls::Tls::start(&mode, stop.clone()).err().map(|error| error.to_string())
    };
    assert_eq!(start("cert.pem", "key.pem"), None);
    for (cert, key, named) in [
        ("none.pem", "key.pem", "none.pem"),
        ("cert.pem", "none.pem", "none.pem"),
        ("key.pem", "key.pem", "key.pem"),
        ("cert.pem", "cert.pem", "cert.pem"),
    ] {
        let error = start(cert, key).expect("refused");
        assert!(error.contains(named) && !error.contains("PRIVATE"), "{error}");
    }
}

//! TLS: whom a client trusts, and that it stops at once when it does not.

use std::io::Write;
use std::sync::Arc;

use hubbub_client::{Client, ClientConfig, ClientError, CloseReason, Tls};
use rustls_pki_types::PrivateKeyDer;

use crate::fake::{FakeServer, soon};

async fn server() -> (FakeServer, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    (FakeServer::start().await.with_tls(config), made.cert.pem())
}

#[tokio::test]
async fn a_self_signed_certificate_stops_the_client() {
    let (server, _) = server().await;
    let client = server.client();
    server.refused_tls().await;
    let refused = soon(client.online()).await.unwrap_err();
    assert!(matches!(refused, ClientError::Closed(CloseReason::Certificate(_))), "{refused}");
}

#[tokio::test]
async fn it_is_trusted_by_file_or_when_asked_to_trust_anybody() {
    let (server, pem) = server().await;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(pem.as_bytes()).unwrap();
    for tls in [Tls::WithPem(file.path().to_owned()), Tls::Insecure] {
        let client = Client::start(ClientConfig { tls, ..server.config() }).unwrap();
        let connection = server.accept().await;
        soon(client.online()).await.unwrap();
        drop(connection);
    }
}

#[tokio::test]
async fn a_file_without_certificates_is_told_before_anything_is_dialled() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let (server, _) = server().await;
    let config = ClientConfig { tls: Tls::WithPem(file.path().to_owned()), ..server.config() };
    assert!(matches!(Client::start(config), Err(ClientError::Config(_))));
}

#[tokio::test]
async fn plain_text_where_tls_is_expected_is_told() {
    let server = FakeServer::start().await;
    let url = server.url().replace("ws://", "wss://");
    let client = Client::start(ClientConfig { urls: vec![url], ..server.config() }).unwrap();
    server.speak(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    let refused = soon(client.online()).await.unwrap_err();
    assert!(matches!(refused, ClientError::Closed(CloseReason::NotHubbub(_))), "{refused}");
}

//! TLS, with certificates that are trusted and others.

use std::io::Write as _;

use rustls::crypto::aws_lc_rs;
use rustls_pki_types::PrivateKeyDer;

use super::*;

/// A server with a certificate of its own, and that as PEM.
fn server() -> (Server, String) {
    let signed = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::try_from(signed.signing_key.serialize_der()).expect("a key");
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![signed.cert.der().clone()], key)
        .expect("a certificate and its key");
    (Server::start(Plan { tls: Some(Arc::new(config)), ..Plan::default() }), signed.cert.pem())
}

fn run_to(server: &Server) -> Run {
    let mut run = Run::new(server);
    run.target.urls = vec![format!("wss://{}/ws", server.address)];
    run
}

#[test]
fn a_known_certificate_is_trusted() {
    let (server, pem) = server();
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(pem.as_bytes()).expect("written");
    let mut run = run_to(&server);
    run.target.ca_file = Some(file.path().to_owned());
    let ran = run.go().expect("no worker failed");
    assert!(ran.outcome.verdict.is_clean() && ran.counts.errors.is_empty(), "{:?}", ran.counts);
    assert_eq!(ran.counts.delivered, 350);
}

#[test]
fn an_unknown_one_is_not_unless_that_is_asked_for() {
    let (server, _) = server();
    let reason = run_to(&server).go().err().expect("nobody knows it");
    assert!(reason.contains(": certificate: "), "{reason}");
    let mut run = run_to(&server);
    run.target.insecure = true;
    assert_eq!(run.go().expect("no worker failed").counts.delivered, 350);
}

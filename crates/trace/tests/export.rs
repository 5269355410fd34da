//! Recorded by rule, bounded, and sent to a receiver over TLS. One process has one tracer, so all of it is one story.
#![cfg(feature = "otlp")]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hubbub_protocol::TraceContext;
use hubbub_trace::{Entry, Export, ExportConfig, Kind, Metrics, Sampling, Span, child, id, read_headers, task, within};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message as _;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

/// Traces of one second.
const PER_SECOND_MAX: u64 = 3;

/// Takes one request for each connection, turns down one span of each, and passes on the names of all.
async fn receive(listener: TcpListener, acceptor: TlsAcceptor, names: mpsc::UnboundedSender<String>) {
    loop {
        let (tcp, _) = listener.accept().await.unwrap();
        let Ok(mut stream) = acceptor.accept(tcp).await else { continue };
        let mut bytes = Vec::new();
        let request = loop {
            assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "the request is whole");
            let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
            let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            if bytes.len() == end + 4 + length.parse::<usize>().unwrap() {
                assert!(head.starts_with("post /custom?x=1 http/1.1\r\n"), "{head}");
                assert!(head.contains("authorization: bearer of tests"), "{head}");
                break ExportTraceServiceRequest::decode(&bytes[end + 4..]).unwrap();
            }
        };
        let spans =
            request.resource_spans.iter().flat_map(|resource| &resource.scope_spans).flat_map(|scope| &scope.spans);
        spans.for_each(|span| names.send(span.name.clone()).unwrap());
        let partial_success =
            Some(ExportTracePartialSuccess { rejected_spans: 1, error_message: "one too many".to_owned() });
        let body = ExportTraceServiceResponse { partial_success }.encode_to_vec();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(&[head.as_bytes(), &body].concat()).await.unwrap();
        stream.shutdown().await.ok();
    }
}

/// A server for `localhost`, whose certificate is written to a file.
fn server(ca_file: &Path) -> TlsAcceptor {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(ca_file, made.cert.pem()).unwrap();
    let certificate = CertificateDer::from_pem_slice(made.cert.pem().as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(made.signing_key.serialize_pem().as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let server = server.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
    TlsAcceptor::from(Arc::new(server))
}

/// A client that records its trace is followed; one that does not is not; what failed is recorded afterwards.
async fn obey_the_rules(parent: TraceContext) {
    within(Some(parent), async {
        let entry = Entry::begin("followed", Instant::now());
        let part = child("part", Kind::Internal).context().expect("recorded");
        assert_eq!(part.trace(), parent.trace());
        assert_eq!(id(), parent.id());
        entry.end(None, |_| {});
    })
    .await;
    within(Some(parent.next_span(false)), async {
        let entry = Entry::begin("not followed", Instant::now());
        assert!(!child("not a part", Kind::Internal).is_recorded());
        entry.end(None, |_| panic!("nobody looks at it"));
    })
    .await;
    let failing = async {
        let entry = Entry::begin("failed", Instant::now());
        // The error and the log name it before it is known that it will be recorded.
        let named = id();
        assert_eq!(named, id(), "one command has one trace");
        entry.end(Some("internal"), |span: &mut Span| assert_eq!(span.context().unwrap().id(), named));
        named
    };
    assert_ne!(within(None, failing).await, parent.id());
}

/// Whatever a client asks for, no second has more traces than the bound.
async fn flood(parent: TraceContext, began: Instant) {
    let described = AtomicUsize::new(0);
    for _ in 0..1_000 {
        let entry = within(Some(parent), async { Entry::begin("flood", Instant::now()) }).await;
        entry.end(None, |_| {
            described.fetch_add(1, Ordering::Relaxed);
        });
    }
    let tasks = async { (0..1_000).filter(|_| task("task").is_recorded()).count() };
    let recorded = described.load(Ordering::Relaxed) + within(Some(parent), tasks).await;
    assert!(recorded as u64 <= PER_SECOND_MAX * (began.elapsed().as_secs() + 1), "{recorded} of two thousand");
}

#[tokio::test]
async fn what_the_rules_record_is_sent_and_what_is_recorded_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    let acceptor = server(&ca_file);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (names, mut received) = mpsc::unbounded_channel();
    let receiver = tokio::spawn(receive(listener, acceptor, names));

    let metrics = Metrics::register(&prometheus::Registry::new()).unwrap();
    let sampling = Sampling { one_in: 0, per_second_max: PER_SECOND_MAX, slow: Duration::from_secs(3600) };
    let config = ExportConfig {
        url: format!("https://localhost:{port}/custom?x=1"),
        headers: read_headers(["authorization=Bearer of tests"]).unwrap(),
        ca_file: Some(ca_file),
        node: "node".to_owned(),
        version: "1",
        sampling,
    };
    assert!(child("before", Kind::Internal).context().is_none(), "nothing is recorded before there is a tracer");
    let began = Instant::now();
    let export = Export::start(config.clone(), metrics.clone()).unwrap();
    Export::start(config, metrics.clone()).expect_err("a second tracer");

    let parent = TraceContext::new_root(true);
    obey_the_rules(parent).await;
    flood(parent, began).await;

    export.finish(tokio::time::Instant::now() + Duration::from_secs(60)).await;
    receiver.abort();
    let mut names = Vec::new();
    while let Ok(name) = received.try_recv() {
        names.push(name);
    }
    for name in ["followed", "part", "failed"] {
        assert!(names.iter().any(|other| other == name), "{name}: {names:?}");
    }
    assert!(names.iter().all(|name| !name.starts_with("not")), "{names:?}");
    // Each request had one span turned down.
    let rejected = metrics.dropped_export.get();
    assert!(rejected >= 1);
    assert_eq!(metrics.exported.get() + rejected, names.len() as u64);
    // Whatever is recorded from here on is dropped and counted.
    let late = within(Some(parent), async { child("late", Kind::Internal) });
    drop(late.await);
    assert_eq!(metrics.dropped_full.get(), 1);
}

#[test]
fn what_can_never_work_is_refused_without_being_repeated() {
    let config = |url: &str, ca_file: Option<&str>| ExportConfig {
        url: url.to_owned(),
        headers: Vec::new(),
        ca_file: ca_file.map(Into::into),
        node: "node".to_owned(),
        version: "1",
        sampling: Sampling { one_in: 1, per_second_max: 1, slow: Duration::ZERO },
    };
    for good in ["http://collector:4318", "https://[::1]:4318/v1/traces", "http://10.0.0.1/x"] {
        config(good, None).check().unwrap_or_else(|error| panic!("{good}: {error}"));
    }
    for bad in
        ["collector:4318", "grpc://collector:4317", "http://", "http://user:secret@host", "https://", "/v1/traces"]
    {
        let error = config(bad, None).check().expect_err(bad);
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    let missing = config("https://collector", Some("/nowhere/ca.pem")).check().expect_err("no such file");
    assert!(missing.to_string().contains("/nowhere/ca.pem"), "{missing}");
    for bad in ["no-sign", "a b=c", "a=\u{1}secret"] {
        let error = read_headers([bad]).expect_err(bad);
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

//! OTLP receivers: one inside the test, which decodes protobuf, and a real one, which writes JSON to a file.
//!
//! The one inside takes whatever comes and answers at once. Must never retry or judge.

use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hubbub_testkit::ports;
use hubbub_testkit::process::Process;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use prost::Message as _;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Anything that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(60);

/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// A span as it arrived.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Seen {
    /// `service.instance.id` of its sender.
    pub(crate) node: String,
    pub(crate) name: String,
    pub(crate) trace: String,
    pub(crate) id: String,
    /// Empty for a root.
    pub(crate) parent: String,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) failed: bool,
}

/// Waits until the spans that have come suffice.
pub(crate) async fn until(spans: impl Fn() -> Vec<Seen>, what: &str, suffices: impl Fn(&[Seen]) -> bool) -> Vec<Seen> {
    let looking = async {
        loop {
            let seen = spans();
            if suffices(&seen) {
                return seen;
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    match tokio::time::timeout(LIMIT, looking).await {
        Ok(seen) => seen,
        Err(_) => panic!("{what}: only these came: {:#?}", spans()),
    }
}

#[derive(Default)]
struct Received {
    spans: Vec<Seen>,
    /// Every head and body, to be searched for what must not be there.
    raw: Vec<u8>,
}

/// The receiver inside the test.
pub(crate) struct Receiver {
    port: u16,
    received: Arc<Mutex<Received>>,
    task: JoinHandle<()>,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let received = Arc::new(Mutex::new(Received::default()));
        let into = Arc::clone(&received);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                take(stream, &into).await;
            }
        });
        Self { port, received, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn spans(&self) -> Vec<Seen> {
        self.received.lock().expect("the receiver is well").spans.clone()
    }

    /// Whether these bytes came in any request.
    pub(crate) fn has(&self, text: &str) -> bool {
        let received = self.received.lock().expect("the receiver is well");
        received.raw.windows(text.len()).any(|window| window == text.as_bytes())
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One POST on one connection.
async fn take(mut stream: TcpStream, received: &Mutex<Received>) {
    let mut bytes = Vec::new();
    let (head_end, length) = loop {
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        assert!(head.starts_with("post /v1/traces http/1.1\r\n"), "{head}");
        assert!(head.contains("content-type: application/x-protobuf"), "{head}");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
        break (end + 4, length.parse::<usize>().expect("a number"));
    };
    while bytes.len() < head_end + length {
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let request = ExportTraceServiceRequest::decode(&bytes[head_end..]).expect("protobuf of OTLP");
    {
        let mut received = received.lock().expect("the receiver is well");
        received.raw.extend_from_slice(&bytes);
        received.spans.extend(seen(request));
    }
    // A sender that is gone meanwhile was heard all the same.
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.ok();
}

fn seen(request: ExportTraceServiceRequest) -> Vec<Seen> {
    let mut all = Vec::new();
    for resource in request.resource_spans {
        let node = attributes(resource.resource.unwrap_or_default().attributes).remove("service.instance.id");
        for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            all.push(Seen {
                node: node.clone().expect("a node has a name"),
                name: span.name,
                trace: hex(&span.trace_id),
                id: hex(&span.span_id),
                parent: hex(&span.parent_span_id),
                attributes: attributes(span.attributes),
                failed: span.status.is_some_and(|status| status.code() == StatusCode::Error),
            });
        }
    }
    all
}

fn attributes(pairs: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |pair: KeyValue| match pair.value.and_then(|value| value.value) {
        Some(any_value::Value::StringValue(text)) => (pair.key, text),
        Some(any_value::Value::IntValue(number)) => (pair.key, number.to_string()),
        other => panic!("{}: {other:?}", pair.key),
    };
    pairs.into_iter().map(text).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A real receiver: the OpenTelemetry Collector's own, over TLS.
pub(crate) struct Collector {
    pub(crate) port: u16,
    file: PathBuf,
    _process: Process,
}

impl Collector {
    /// Starts `program`, which `cargo xtask otlp` has built.
    pub(crate) async fn start(program: &Path, folder: &Path, certificate: &Path, key: &Path) -> Self {
        let (port, file) = (ports::free().expect("a port"), folder.join("spans.json"));
        let mut command = Command::new(program);
        command.args(["-listen", &format!("127.0.0.1:{port}"), "-file"]).arg(&file);
        command.arg("-cert").arg(certificate).arg("-key").arg(key);
        let mut process = Process::start("otlp-receiver", command, &folder.join("otlp-receiver.log")).expect("started");
        let listens = async || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_ok();
        process.wait_until(LIMIT, "listening", listens).await.expect("it listens");
        Self { port, file, _process: process }
    }

    /// What it has written so far.
    pub(crate) fn spans(&self) -> Vec<Seen> {
        let text = fs::read_to_string(&self.file).unwrap_or_default();
        // The last line may be half written.
        text.lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .flat_map(|value| in_json(&value))
            .collect()
    }
}

fn in_json(request: &Value) -> Vec<Seen> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let pairs = |value: &Value| -> BTreeMap<String, String> {
        list(value)
            .iter()
            .map(|pair| {
                let value = &pair["value"];
                let shown = value["stringValue"].as_str().or(value["intValue"].as_str()).expect("a text or a number");
                (text(&pair["key"]), shown.to_owned())
            })
            .collect()
    };
    let mut all = Vec::new();
    for resource in list(&request["resourceSpans"]) {
        let node = pairs(&resource["resource"]["attributes"]).remove("service.instance.id").expect("a name");
        for span in list(&resource["scopeSpans"]).iter().flat_map(|scope| list(&scope["spans"])) {
            all.push(Seen {
                node: node.clone(),
                name: text(&span["name"]),
                trace: text(&span["traceId"]),
                id: text(&span["spanId"]),
                parent: text(&span["parentSpanId"]),
                attributes: pairs(&span["attributes"]),
                failed: span["status"]["code"] == 2,
            });
        }
    }
    all
}

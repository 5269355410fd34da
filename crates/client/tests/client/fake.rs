//! A server in the hands of a test: it accepts one connection at a time and does what the script says.
//!
//! Must never answer by itself, except pings and logins that a script asked for.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fastwebsockets::{Frame, OpCode, Payload, Role, WebSocket};
use hubbub_client::protocol::{ErrorCode, Refusal};
use hubbub_client::{Backoff, Client, ClientConfig, Credentials, UrlOrder};
use serde_json::{Value, json};
use sha1::{Digest, Sha1};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// Scripts that wait longer hang.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const ROOM: &str = "0190b7a0-0000-7000-8000-000000000001";
pub(crate) const OTHER_ROOM: &str = "0190b7a0-0000-7000-8000-000000000002";
const ADA: &str = "0190b7a0-0000-7000-8000-00000000000a";
const AT: &str = "2026-01-02T03:04:05.678Z";

/// Waits for what must come.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what).await.expect("what the script waits for does not come")
}

pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

pub(crate) struct FakeServer {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    pub(crate) heartbeat_ms: u64,
    pub(crate) epoch: &'static str,
}

/// An HTTP request that came in, not answered yet.
pub(crate) struct Request {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    stream: Box<dyn Stream>,
}

impl FakeServer {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { listener, tls: None, heartbeat_ms: 25_000, epoch: "e1" }
    }

    pub(crate) fn with_tls(mut self, config: rustls::ServerConfig) -> Self {
        self.tls = Some(TlsAcceptor::from(Arc::new(config)));
        self
    }

    pub(crate) fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "wss" } else { "ws" };
        format!("{scheme}://localhost:{}", self.listener.local_addr().unwrap().port())
    }

    /// A configuration that comes back at once.
    pub(crate) fn config(&self) -> ClientConfig {
        let backoff = Backoff { base: Duration::from_millis(1), cap: Duration::from_millis(10) };
        let config = ClientConfig::new(self.url(), Credentials::Token("t1".into()));
        ClientConfig { backoff, order: UrlOrder::InTurn, ..config }
    }

    pub(crate) fn client(&self) -> Client {
        Client::start(self.config()).unwrap()
    }

    /// The next connection's stream; one whose TLS handshake fails is passed over.
    async fn stream(&self) -> Box<dyn Stream> {
        loop {
            let (tcp, _) = soon(self.listener.accept()).await.unwrap();
            match &self.tls {
                None => return Box::new(tcp),
                Some(tls) => {
                    if let Ok(stream) = tls.accept(tcp).await {
                        return Box::new(stream);
                    }
                }
            }
        }
    }

    /// The next connection's first bytes fail a TLS handshake: why.
    pub(crate) async fn refused_tls(&self) -> std::io::Error {
        let (tcp, _) = soon(self.listener.accept()).await.unwrap();
        soon(self.tls.as_ref().unwrap().accept(tcp)).await.map(drop).expect_err("a refused handshake")
    }

    /// Says something to the next connection and reads until it ends.
    pub(crate) async fn speak(&self, bytes: &[u8]) {
        let (mut tcp, _) = soon(self.listener.accept()).await.unwrap();
        tcp.write_all(bytes).await.unwrap();
        let mut rest = Vec::new();
        // However it ends, it ends.
        let _ended = soon(tcp.read_to_end(&mut rest)).await;
    }

    /// The next request, of any kind.
    pub(crate) async fn request(&self) -> Request {
        let mut stream = self.stream().await;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(soon(stream.read_u8()).await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        let length = header(&head, "content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        soon(stream.read_exact(&mut body)).await.unwrap();
        Request { head, body, stream }
    }

    /// The next connection, up to and with `session.ready`.
    pub(crate) async fn accept(&self) -> Connection {
        let mut connection = self.request().await.upgrade().await;
        connection.ready(self.heartbeat_ms, self.epoch).await;
        connection
    }
}

pub(crate) fn header(head: &str, name: &str) -> Option<String> {
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    })
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        header(&self.head, name)
    }

    /// Answers and hangs up.
    pub(crate) async fn answer(mut self, status: u16, headers: &str, body: &Value) {
        let body = body.to_string();
        let length = body.len();
        let answer =
            format!("HTTP/1.1 {status} X\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}");
        self.stream.write_all(answer.as_bytes()).await.unwrap();
        self.stream.shutdown().await.unwrap();
    }

    pub(crate) async fn refuse(self, code: ErrorCode) {
        let error = json!({ "err": Refusal::new(code).to_wire() });
        self.answer(code.http_status(), "", &error).await;
    }

    pub(crate) async fn upgrade(mut self) -> Connection {
        let key = self.header("sec-websocket-key").expect("a WebSocket handshake");
        let accept = Sha1::new().chain_update(key).chain_update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11").finalize();
        let answer = format!(
            "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n\
             Sec-WebSocket-Protocol: {}\r\n\r\n",
            STANDARD.encode(accept),
            self.header("sec-websocket-protocol").unwrap(),
        );
        self.stream.write_all(answer.as_bytes()).await.unwrap();
        let mut socket = WebSocket::after_handshake(self.stream, Role::Server);
        socket.set_auto_close(false);
        Connection { socket, head: self.head }
    }
}

/// One WebSocket of the server.
pub(crate) struct Connection {
    socket: WebSocket<Box<dyn Stream>>,
    pub(crate) head: String,
}

/// A command that came in.
pub(crate) struct Asked {
    pub(crate) id: u64,
    pub(crate) cmd: String,
    pub(crate) frame: Value,
}

impl Connection {
    pub(crate) async fn send(&mut self, frame: Value) {
        let payload = Payload::Owned(frame.to_string().into_bytes());
        soon(self.socket.write_frame(Frame::text(payload))).await.unwrap();
    }

    pub(crate) async fn send_raw(&mut self, frame: Frame<'static>) {
        soon(self.socket.write_frame(frame)).await.unwrap();
    }

    pub(crate) async fn ready(&mut self, heartbeat_ms: u64, epoch: &str) {
        let limits = json!({
            "body_chars_max": 2000, "frame_bytes_max": 65536, "message_bytes_max": 65536,
            "connection_commands_per_10s": 0, "user_sends_per_minute": 30, "user_fetches_per_minute": 100,
            "subscriptions_per_connection": 1000, "page_max": 100, "replay_events_max": 1000,
        });
        let data = json!({
            "session": ADA, "user": { "id": ADA, "name": "ada" }, "node": "fake", "epoch": epoch,
            "heartbeat_ms": heartbeat_ms, "expires_at": AT, "limits": limits,
        });
        self.send(json!({ "ev": "session.ready", "at": AT, "data": data })).await;
    }

    /// The next frame that is no pong.
    pub(crate) async fn frame(&mut self) -> Option<Frame<'static>> {
        loop {
            let frame = soon(self.socket.read_frame()).await.ok()?;
            if frame.opcode != OpCode::Pong {
                return Some(frame);
            }
        }
    }

    /// The payload of the next frame, which must be a pong.
    pub(crate) async fn pong(&mut self) -> Vec<u8> {
        let frame = soon(self.socket.read_frame()).await.unwrap();
        assert_eq!(frame.opcode, OpCode::Pong);
        frame.payload.into()
    }

    /// The next command, which must be `cmd`.
    pub(crate) async fn expect(&mut self, cmd: &str) -> Asked {
        let frame = self.frame().await.expect("a command, but the connection ended");
        assert_eq!(frame.opcode, OpCode::Text, "{:?}", frame.payload);
        let frame: Value = serde_json::from_slice(&frame.payload).unwrap();
        let asked = Asked { id: frame["id"].as_u64().unwrap(), cmd: frame["cmd"].as_str().unwrap().into(), frame };
        assert_eq!(asked.cmd, cmd, "{}", asked.frame);
        asked
    }

    pub(crate) async fn ok(&mut self, asked: &Asked, ok: Value) {
        self.send(json!({ "re": asked.id, "ok": ok })).await;
    }

    pub(crate) async fn err(&mut self, asked: &Asked, refusal: impl Into<Refusal>) {
        self.send(json!({ "re": asked.id, "err": refusal.into().to_wire() })).await;
    }

    /// Answers a subscription from `after` with a replay up to `head`.
    pub(crate) async fn subscribe(&mut self, asked: &Asked, after: u64, head: u64) {
        self.ok(asked, subscribed(head, head - after)).await;
        self.events(after + 1..=head).await;
    }

    /// Answers `session.resume` of [`ROOM`] alone.
    pub(crate) async fn resume(&mut self, asked: &Asked, after: u64, head: u64) {
        self.ok(asked, json!({ "rooms": { ROOM: subscribed(head, head - after) } })).await;
        self.events(after + 1..=head).await;
    }

    pub(crate) async fn events(&mut self, seqs: impl IntoIterator<Item = u64>) {
        for seq in seqs {
            self.send(event(ROOM, seq)).await;
        }
    }

    pub(crate) async fn close(mut self, code: u16) {
        self.send_raw(Frame::close(code, b"")).await;
        while let Some(frame) = self.frame().await {
            if frame.opcode == OpCode::Close {
                return;
            }
        }
    }
}

pub(crate) fn event(room: &str, seq: u64) -> Value {
    let data = json!({ "id": ADA, "client_msg_id": format!("m{seq}"), "body": format!("body {seq}") });
    json!({ "ev": "message.sent", "room": room, "seq": seq, "at": AT, "by": { "id": ADA, "name": "ada" }, "data": data })
}

pub(crate) fn events(seqs: impl IntoIterator<Item = u64>) -> Vec<Value> {
    seqs.into_iter().map(|seq| event(ROOM, seq)).collect()
}

pub(crate) fn subscribed(head: u64, replayed: u64) -> Value {
    json!({ "room": ROOM, "head": head, "epoch": "e1", "replayed": replayed })
}

pub(crate) fn sent(seq: u64, duplicate: bool) -> Value {
    json!({ "seq": seq, "id": ADA, "at": AT, "duplicate": duplicate })
}

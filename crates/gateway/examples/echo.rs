//! An echo server on the gateway's own connection loop, for the Autobahn suite and for benches:
//! `cargo run --release --example echo -- 127.0.0.1:9001`. Messages up to 64 MiB, permessage-deflate on.
//!
//! Owns nothing but the echo: reading, writing, closing are those of the gateway. Must never be used as a gateway.

// An example tells where it listens.
#![allow(clippy::print_stderr)]

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::header::{SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY};
use http::{HeaderValue, Request, Response, StatusCode};
use hubbub_gateway::connection::{Connection, Handler, Message, Sorted};
use hubbub_gateway::link::Link;
use hubbub_gateway::outbox::{Class, Outbox};
use hubbub_gateway::transport::Transport;
use hubbub_protocol::Codec;
use hubbub_websocket::{Deflater, Opcode, ParserConfig, frame, handshake};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};

/// The largest message of the Autobahn suite is 16 MiB; with room to spare.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// Fast: an echo is measured by its codec.
const DEFLATE_LEVEL: u32 = 1;

static NEXT: AtomicU64 = AtomicU64::new(1);

thread_local! {
    static DEFLATERS: RefCell<Vec<(u8, Deflater)>> = const { RefCell::new(Vec::new()) };
}

/// Sends every message back as it came.
struct Echo {
    /// The window to compress with; none: not at all.
    window_bits: Option<u8>,
}

impl Echo {
    fn encode(&self, opcode: Opcode, payload: &[u8]) -> Bytes {
        let Some(bits) = self.window_bits else { return frame(opcode, payload) };
        let mut out = BytesMut::with_capacity(payload.len() / 2 + 16);
        DEFLATERS.with_borrow_mut(|deflaters| {
            let at = deflaters.iter().position(|(known, _)| *known == bits).unwrap_or_else(|| {
                deflaters.push((bits, Deflater::with_window_bits(DEFLATE_LEVEL, bits)));
                deflaters.len() - 1
            });
            deflaters[at].1.compress_frame(opcode, payload, &mut out);
        });
        out.freeze()
    }
}

impl Handler for Echo {
    type Work = Infallible;

    fn sort(&mut self, link: &Link, message: Message<'_>) -> Sorted<Infallible> {
        let frame = match message {
            Message::Text(text) => self.encode(Opcode::Text, text.as_bytes()),
            Message::Binary(bytes) => self.encode(Opcode::Binary, bytes),
        };
        link.outbox.push(frame, Class::Paced);
        Sorted::Done
    }

    async fn handle(&mut self, _: &Arc<Link>, work: Infallible) {
        match work {}
    }

    fn ended(&mut self, _: &Arc<Link>, _: &'static str) {}
}

/// What the handshake agreed to.
#[derive(Default)]
struct Agreed {
    upgraded: bool,
    deflate: bool,
    window_bits: Option<u8>,
}

fn answer(request: &Request<Incoming>) -> (Response<Body>, Agreed) {
    let mut response = Response::new(Body::empty());
    let key = request.headers().get(SEC_WEBSOCKET_KEY).and_then(|key| key.to_str().ok());
    let Some(key) = key.filter(|key| handshake::key_is_valid(key)) else {
        *response.status_mut() = StatusCode::UPGRADE_REQUIRED;
        return (response, Agreed::default());
    };
    let offers = request.headers().get_all(SEC_WEBSOCKET_EXTENSIONS).iter();
    let agreement = handshake::negotiate_deflate(offers.filter_map(|offer| offer.to_str().ok()));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert("connection", HeaderValue::from_static("upgrade"));
    headers.insert("upgrade", HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::from_str(&handshake::accept_key(key)) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    let mut agreed = Agreed { upgraded: true, ..Agreed::default() };
    if let Some(agreement) = agreement
        && let Ok(extensions) = HeaderValue::from_str(&agreement.response_header)
    {
        headers.insert(SEC_WEBSOCKET_EXTENSIONS, extensions);
        agreed = Agreed { upgraded: true, deflate: true, window_bits: agreement.compressor_window_bits() };
    }
    (response, agreed)
}

async fn serve(tcp: TcpStream) {
    let Ok(peer) = tcp.peer_addr() else { return };
    tcp.set_nodelay(true).ok();
    let slot = Arc::new(Mutex::new(Agreed::default()));
    let filled = Arc::clone(&slot);
    let service = service_fn(move |request| {
        let (response, agreed) = answer(&request);
        *filled.lock() = agreed;
        std::future::ready(Ok::<_, Infallible>(response))
    });
    let mut http = http1::Builder::new().serve_connection(TokioIo::new(tcp), service);
    if poll_fn(|context| http.poll_without_shutdown(context)).await.is_err() {
        return;
    }
    let parts = http.into_parts();
    let agreed = std::mem::take(&mut *slot.lock());
    if !agreed.upgraded {
        return;
    }
    let outbox = Outbox::new(Transport::plain(parts.io.into_inner()), 0);
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    let link = Arc::new(Link::new(id, Codec::Json, agreed.deflate, peer.ip(), outbox));
    let parser = ParserConfig {
        frame_bytes_max: MESSAGE_BYTES_MAX,
        message_bytes_max: MESSAGE_BYTES_MAX,
        deflate: agreed.deflate,
    };
    let echo = Echo { window_bits: agreed.window_bits };
    Connection::new(link, parser, 0, echo).run(parts.read_buf.to_vec()).await;
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let listener = TcpListener::bind(&address).await?;
    eprintln!("echo on ws://{}", listener.local_addr()?);
    loop {
        let (tcp, _) = listener.accept().await?;
        tokio::spawn(serve(tcp));
    }
}

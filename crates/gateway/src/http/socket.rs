//! One accepted socket from its first byte: TLS, then HTTP, then perhaps a WebSocket.
//!
//! Owns the time and size limits of the handshake. Must never serve a request itself.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::MatchedPath;
use bytes::Bytes;
use http::{Method, Request, Response};
use hubbub_protocol::ErrorCode;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::patient::Patient;
use super::upgrade::{self, Accepted};
use super::{identify, respond};
use crate::admission::{self, Knock, Reason};
use crate::connection::Connection;
use crate::link::Link;
use crate::metrics::Handshake;
use crate::node::Node;
use crate::outbox::Outbox;
use crate::proxies::{self, Client, Named, ProxyConfig, Unreadable};
use crate::session::{Seating, Visitor};
use crate::transport::Transport;

/// Most header lines of a request.
const HEADERS_MAX: usize = 64;

/// What hyper needs at least as its buffer, in bytes.
const BUFFER_BYTES_MIN: usize = 8 << 10;

/// An idle keep-alive connection is closed later than the handshake's own time limit would answer.
const KEEP_ALIVE_EXTRA: Duration = Duration::from_secs(1);

/// How long an answer may wait for a peer that does not read it.
const WRITE_TIMEOUT: Duration = Duration::from_secs(20);

/// How long somebody has who will be refused: from an address with no place left, or by a node that is about to stop.
const REFUSED_TIMEOUT: Duration = Duration::from_secs(2);

/// A time limit of none: longer than any process runs.
const NO_TIMEOUT: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// A socket that HTTP was spoken on and that can be had back.
trait Socket: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    fn into_transport(self) -> Transport;
}

impl Socket for TcpStream {
    fn into_transport(self) -> Transport {
        Transport::plain(self)
    }
}

impl Socket for TlsStream<TcpStream> {
    fn into_transport(self) -> Transport {
        let (tcp, tls) = self.into_inner();
        Transport::tls(tcp, tls)
    }
}

/// Serves one socket until HTTP is over; a WebSocket goes on in a task of its own. Who comes from an address that has no
/// place for one more stranger has little time to ask, and is refused.
pub(crate) async fn serve(node: Arc<Node>, mut tcp: TcpStream, address: IpAddr, tls: Option<Arc<ServerConfig>>) {
    let timeout = node.chat.limits().handshake_timeout;
    let timeout = if timeout.is_zero() { NO_TIMEOUT } else { timeout };
    let came = Instant::now();
    let mut proxies = Arc::clone(&node.config().proxy);
    let hop = proxies.client(address);
    let client = if proxies.protocol && hop.is_proxy {
        let Some(client) = named(&node, &proxies, &mut tcp, hop, came + timeout).await else { return };
        if client == hop {
            // A proxy that names nobody passes on what it does not read: headers of requests are the client's own words.
            proxies = Arc::new(ProxyConfig { forwarded_for: false, ..ProxyConfig::clone(&proxies) });
        }
        client
    } else {
        hop
    };
    let knock = node.admission.knock(client);
    let deadline = came + if knock.is_none() { timeout.min(REFUSED_TIMEOUT) } else { timeout };
    let peer = Peer { client, proxies, knock: Knock::new(knock), deadline };
    match tls {
        None => serve_http(node, tcp, peer).await,
        Some(config) => {
            let accepting = TlsAcceptor::from(config).accept(tcp);
            // A peer that fails or never ends its TLS handshake is simply closed: nothing could be read by it.
            tokio::select! {
                accepted = accepting => match accepted {
                    Ok(stream) => serve_http(node, stream, peer).await,
                    // Whoever goes away without a word only looked whether somebody listens.
                    Err(error) if error.kind() == ErrorKind::UnexpectedEof => {}
                    Err(_) => node.metrics.handshake(Handshake::TlsFailed),
                },
                () = too_late(&node, deadline) => node.metrics.handshake(Handshake::TimedOut),
            }
        }
    }
}

/// Whose connection this trusted proxy passes on, by the header before its first byte; none: there is nothing to serve.
async fn named(node: &Node, proxies: &ProxyConfig, tcp: &mut TcpStream, hop: Client, by: Instant) -> Option<Client> {
    let named = tokio::select! {
        named = proxies::read(tcp) => named,
        () = too_late(node, by) => Err(Unreadable::Late),
    };
    match named {
        Ok(Named::Client(address)) => Some(proxies.client(address)),
        Ok(Named::Nobody) => Some(hop),
        Ok(Named::Gone) => None,
        Err(reason) => {
            node.metrics.proxy.refused(reason, hop.address);
            None
        }
    }
}

/// Who is at the other end, before the first request.
struct Peer {
    client: Client,
    proxies: Arc<ProxyConfig>,
    knock: Knock,
    /// By when its first request has come.
    deadline: Instant,
}

/// The front of the HTTP service: tells upgrades from requests.
struct Front {
    node: Arc<Node>,
    client: Client,
    proxies: Arc<ProxyConfig>,
    seen: Arc<AtomicBool>,
    /// The last request was no upgrade: the connection is kept for a next one.
    kept: Arc<AtomicBool>,
    knock: Knock,
    accepted: Arc<Mutex<Option<Accepted>>>,
}

impl Front {
    /// Who asks, and where they stand with the bound of their address. One connection of a proxy carries requests of many.
    fn asker(&self, request: &Request<Incoming>) -> (Client, Knock) {
        let client = self.proxies.forwarded(self.client, request.headers());
        let own = client == self.client;
        (client, if own { self.knock.clone() } else { Knock::new(self.node.admission.knock(client)) })
    }
}

impl hyper::service::Service<Request<Incoming>> for Front {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        self.seen.store(true, Ordering::Release);
        let (node, slot) = (Arc::clone(&self.node), Arc::clone(&self.accepted));
        let (client, knock) = self.asker(&request);
        let method = request.method().clone();
        let is_upgrade = request.uri().path() == upgrade::PATH;
        if knock.is_refused() {
            let refusal = admission::refusal(Reason::Address);
            return Box::pin(async move {
                Ok(respond::last(counted(&node, &method, is_upgrade, respond::refused(&refusal))))
            });
        }
        self.kept.store(!is_upgrade, Ordering::Release);
        let kept = Arc::clone(&self.kept);
        Box::pin(async move {
            if let Err(refusal) = identify::check_host(&request) {
                return Ok(counted(&node, &method, is_upgrade, respond::refused(&refusal)));
            }
            if !is_upgrade {
                request.extensions_mut().insert(knock);
                request.extensions_mut().insert(client.address);
                let response = super::api::serve(Arc::clone(&node), request).await;
                return Ok(keep_if_there_is_room(&node, counted(&node, &method, false, response)));
            }
            let (response, accepted) = upgrade::answer(&node, &request, client, &knock).await;
            let response = counted(&node, &method, true, response);
            if accepted.is_none() {
                kept.store(true, Ordering::Release);
                return Ok(keep_if_there_is_room(&node, response));
            }
            *slot.lock() = accepted;
            Ok(response)
        })
    }
}

/// Counts an answer: its route, and what the client was told.
fn counted(node: &Node, method: &Method, is_upgrade: bool, response: Response<Body>) -> Response<Body> {
    let matched = response.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    node.metrics.requested(if is_upgrade { Some(upgrade::PATH) } else { matched }, method, response.status());
    if let Some(code) = response.extensions().get::<ErrorCode>() {
        node.metrics.told(*code);
    }
    response
}

/// While few places are left, an answer is the last one on its connection.
fn keep_if_there_is_room(node: &Node, response: Response<Body>) -> Response<Body> {
    if node.places.are_scarce() { respond::last(response) } else { response }
}

/// How HTTP is read: `limits.handshake_bytes_max` and `limits.handshake_timeout` hold for every head.
fn builder(node: &Node) -> http1::Builder {
    let limits = node.chat.limits();
    let head_bytes_max = usize::try_from(limits.handshake_bytes_max).unwrap_or(usize::MAX);
    let timeout = limits.handshake_timeout;
    let header_timeout = (!timeout.is_zero()).then(|| timeout + KEEP_ALIVE_EXTRA);
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(header_timeout).max_headers(HEADERS_MAX).half_close(false);
    if head_bytes_max != 0 {
        builder.max_header_size(head_bytes_max).max_buf_size(head_bytes_max.max(BUFFER_BYTES_MIN));
    }
    builder
}

async fn serve_http<S: Socket>(node: Arc<Node>, socket: S, peer: Peer) {
    let seen = Arc::new(AtomicBool::new(false));
    let Peer { client, proxies, knock, deadline } = peer;
    let kept = Arc::new(AtomicBool::new(false));
    let front = Front {
        node: Arc::clone(&node),
        client,
        proxies,
        seen: Arc::clone(&seen),
        kept: Arc::clone(&kept),
        knock,
        accepted: Arc::default(),
    };
    let socket = Patient::new(socket, WRITE_TIMEOUT);
    let mut connection = Box::new(builder(&node).serve_connection(TokioIo::new(socket), front));
    let mut ending = Some(Box::pin(node.admission.door_closed()));
    let mut is_ending = false;
    let mut scarce = Box::pin(node.places.scarce());
    let mut is_last = false;
    let serving = poll_fn(|context| {
        if ending.as_mut().is_some_and(|ending| ending.as_mut().poll(context).is_ready()) {
            (ending, is_ending) = (None, true);
        }
        let served = connection.poll_without_shutdown(context);
        if served.is_ready() || is_last {
            return served;
        }
        // A node that ends keeps no connection for a next request, but answers the first one; nor does one with few places.
        let ends = is_ending && seen.load(Ordering::Acquire);
        is_last = ends || (kept.load(Ordering::Acquire) && scarce.as_mut().poll(context).is_ready());
        if !is_last {
            return served;
        }
        Pin::new(&mut *connection).graceful_shutdown();
        connection.poll_without_shutdown(context)
    });
    let in_time = tokio::select! {
        outcome = serving => Some(outcome),
        () = unseen(&node, &seen, deadline) => None,
    };
    let parts = connection.into_parts();
    let mut socket = parts.io.into_inner();
    match in_time {
        Some(Ok(())) => {
            let accepted = parts.service.accepted.lock().take();
            if let Some(accepted) = accepted {
                begin(&node, socket.into_inner().into_transport(), accepted, parts.read_buf);
                return;
            }
            // The peer may be gone already; there is nothing left to say.
            socket.shutdown().await.ok();
        }
        // Hyper has answered what can be answered.
        Some(Err(_)) => {
            socket.shutdown().await.ok();
        }
        None => {
            node.metrics.handshake(Handshake::TimedOut);
            if !parts.read_buf.is_empty() {
                socket.write_all(&respond::timed_out()).await.ok();
            }
            socket.shutdown().await.ok();
        }
    }
}

/// Resolves when no request head has come in time.
async fn unseen(node: &Node, seen: &AtomicBool, deadline: Instant) {
    too_late(node, deadline).await;
    if seen.load(Ordering::Acquire) {
        std::future::pending::<()>().await;
    }
}

/// Resolves at the deadline, or soon after the door was closed: nobody who has said nothing yet holds up the end of a node.
async fn too_late(node: &Node, deadline: Instant) {
    tokio::select! {
        () = tokio::time::sleep_until(deadline) => {}
        () = node.admission.door_closed() => {
            tokio::time::sleep_until(deadline.min(Instant::now() + REFUSED_TIMEOUT)).await;
        }
    }
}

/// The upgrade is answered: from here on the socket is a WebSocket with a lean task of its own.
fn begin(node: &Arc<Node>, transport: Transport, accepted: Accepted, first: Bytes) {
    let limits = node.chat.limits();
    let outbox = Outbox::new(transport, usize::try_from(limits.outbox_bytes_max).unwrap_or(usize::MAX))
        .counting_drops(node.metrics.outbox_drops.clone());
    let (codec, deflate) = (accepted.codec, accepted.compress);
    let link = Arc::new(Link::new(node.next_connection(), codec, deflate, accepted.client.address, outbox));
    node.connections.insert(link.id, Arc::clone(&link));
    node.metrics.connections.inc();
    node.metrics.connects.inc();
    let Accepted { parser, proof, place, seat, unauthenticated, .. } = accepted;
    let visitor = Visitor::begin(Arc::clone(node), &link, proof, Seating::new(place, seat, unauthenticated));
    let connection = Connection::new(link, parser, limits.connection_frames_per_10s, visitor);
    node.sockets.spawn(connection.run(first.to_vec()));
}

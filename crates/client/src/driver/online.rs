//! One connection's life, from `session.ready` to its end.
//!
//! Must never decide what follows from an end: that is `policy`.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use hubbub_protocol::command::{CommandFrame, SessionRenew, Token as WireToken};
use hubbub_protocol::event::SessionReady;
use hubbub_protocol::server::{self, ServerFrame};
use hubbub_protocol::{CloseCode, Codec, SessionEventData};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::{Instant, sleep_until, timeout};

use super::calls::{Next, Purpose};
use super::rooms::Need;
use super::{Ask, Driver};
use crate::error::ClientError;
use crate::login::{self, Token};
use crate::pace::Pace;
use crate::policy::End;
use crate::socket::{Incoming, Outgoing, Socket};
use crate::state::State;

/// No frame for so many heartbeats, in halves, means that the connection is dead.
const STALE_HALF_BEATS: u32 = 5;
/// How long the server may take to answer a closing handshake.
const CLOSE_WAIT: Duration = Duration::from_secs(2);
/// With nothing to wait for, the loop still looks up that often.
const IDLE: Duration = Duration::from_secs(60);

type Renewal = Pin<Box<dyn Future<Output = Result<Token, End>> + Send>>;

/// An open connection that said `session.ready`.
pub(super) struct Link {
    pub(super) ready: Arc<SessionReady>,
    pub(super) since: Instant,
    codec: Codec,
    socket: Socket,
    pace: Pace,
    last_frame: Instant,
    /// The wait of `session.closing`.
    announced: Option<Duration>,
    renewal: Option<Renewal>,
    /// The socket's queue is full: nothing is written until it drains.
    blocked: bool,
    /// All rooms that were followed before this connection are live.
    settled: bool,
}

impl Link {
    /// Waits for the server's greeting.
    pub(super) async fn greeted(mut socket: Socket, codec: Codec) -> Result<Self, End> {
        let mut refusal = None;
        loop {
            match socket.incoming.recv().await {
                Some(Incoming::Message(bytes)) => match read(codec, &bytes)? {
                    ServerFrame::Session(SessionEventData::Ready(ready)) => {
                        let pace = Pace::new(ready.limits.connection_commands_per_10s);
                        let since = Instant::now();
                        let (ready, last_frame) = (Arc::from(ready), since);
                        return Ok(Self {
                            ready,
                            since,
                            codec,
                            socket,
                            pace,
                            last_frame,
                            announced: None,
                            renewal: None,
                            blocked: false,
                            settled: false,
                        });
                    }
                    // The reason stands before the close that follows.
                    ServerFrame::Reply { outcome: Err(error), .. } => refusal = Some(error.name),
                    _ => {}
                },
                Some(Incoming::Close { code, reason }) => {
                    let reason = refusal.unwrap_or(reason);
                    return Err(End::Closed { code, reason, announced: None });
                }
                Some(Incoming::Broken(reason)) => return Err(End::Lost(reason)),
                Some(Incoming::Ping(_) | Incoming::Pong) => {}
                None => return Err(End::Lost("the connection ended".into())),
            }
        }
    }

    /// When silence becomes too long; `None` when the server sends no heartbeats.
    fn stale_at(&self) -> Option<Instant> {
        let beat = Duration::from_millis(self.ready.heartbeat_ms);
        if beat.is_zero() { None } else { self.last_frame.checked_add(beat * STALE_HALF_BEATS / 2) }
    }

    /// Renames a broken connection whose end the server had announced.
    fn lost(&self, reason: String) -> End {
        match self.announced {
            Some(_) => End::Closed { code: CloseCode::Restart.code(), reason, announced: self.announced },
            None => End::Lost(reason),
        }
    }
}

fn read(codec: Codec, bytes: &[u8]) -> Result<ServerFrame, End> {
    server::decode(codec, bytes).map_err(|error| End::Lost(error.to_string()))
}

impl Driver {
    /// Serves one connection to its end.
    pub(super) async fn serve(&mut self, mut link: Link) -> End {
        let needs = self.rooms.connected();
        self.need(needs);
        loop {
            self.tell_state(&mut link);
            let now = Instant::now();
            let wake = match self.write(&mut link, now) {
                Ok(wake) => wake,
                Err(end) => return end,
            };
            let stale_at = link.stale_at();
            let until = [wake, stale_at].into_iter().flatten().min().unwrap_or(now + IDLE);
            tokio::select! {
                incoming = link.socket.incoming.recv() => {
                    link.last_frame = Instant::now();
                    match self.take_frame(&mut link, incoming) {
                        Ok(()) => {}
                        Err(end) => {
                            link.socket.linger();
                            return end;
                        }
                    }
                }
                Some(ask) = self.asks.recv() => self.take_ask(ask),
                _ = self.closing.recv() => {
                    goodbye(link).await;
                    return End::ByCaller;
                }
                Some(watched) = self.rooms.watches.next() => {
                    let need = self.rooms.watched(watched);
                    self.need(need);
                }
                token = renewed(&mut link.renewal) => {
                    link.renewal = None;
                    self.take_token(token);
                }
                () = drained(&link.socket.outgoing), if link.blocked => link.blocked = false,
                () = sleep_until(until) => {
                    if stale_at.is_some_and(|stale_at| stale_at <= Instant::now()) {
                        return link.lost("the server has been silent for too long".into());
                    }
                }
            }
        }
    }

    fn tell_state(&mut self, link: &mut Link) {
        let node = || link.ready.node.clone();
        if link.settled {
            return;
        }
        link.settled = !self.rooms.are_resuming();
        let state = if link.settled { State::Online { node: node() } } else { State::Resuming { node: node() } };
        self.state.send_if_modified(|known| {
            let changed = *known != state;
            *known = state;
            changed
        });
    }

    pub(super) fn need(&mut self, needs: impl IntoIterator<Item = Need>) {
        for (command, purpose) in needs {
            self.calls.push(command, purpose);
        }
    }

    fn take_ask(&mut self, ask: Ask) {
        match ask {
            Ask::Command { command, reply, place } => {
                self.calls.push(command, Purpose::Caller { reply, _place: place });
            }
            Ask::Follow { room, from, reply, place } => {
                let need = self.rooms.follow(room, from, reply, place);
                self.need(need);
            }
        }
    }

    /// Writes what may go. Returns when to look again, if only time is missing.
    fn write(&mut self, link: &mut Link, now: Instant) -> Result<Option<Instant>, End> {
        while !link.blocked {
            let id = match self.calls.next(now) {
                Next::Call(id) => id,
                Next::At(at) => return Ok(Some(at)),
                Next::Nothing => return Ok(None),
            };
            let place = match link.socket.outgoing.try_reserve() {
                Ok(place) => place,
                Err(TrySendError::Full(())) => {
                    link.blocked = true;
                    break;
                }
                Err(TrySendError::Closed(())) => return Err(link.lost("the connection cannot be written".into())),
            };
            let Some(command) = self.calls.command(id) else { continue };
            let bytes = link.codec.encode(&CommandFrame { id, command });
            // A frame above the limit costs the connection (close 1009), and would again after every reconnect.
            let limits = &link.ready.limits;
            let fits = |limit: u64| limit == 0 || bytes.len() as u64 <= limit;
            if !fits(limits.frame_bytes_max) || !fits(limits.message_bytes_max) {
                let rule = format!("the command has {} bytes, more than the server takes", bytes.len());
                if let Some(call) = self.calls.withdraw(id) {
                    self.fail(call.purpose, ClientError::Invalid { field: "body", rule });
                }
                continue;
            }
            if let Err(at) = link.pace.take(now) {
                return Ok(Some(at));
            }
            place.send(Outgoing::Message(bytes));
            self.calls.written(id);
        }
        Ok(None)
    }

    fn take_frame(&mut self, link: &mut Link, incoming: Option<Incoming>) -> Result<(), End> {
        match incoming {
            Some(Incoming::Message(bytes)) => match read(link.codec, &bytes)? {
                ServerFrame::Reply { re: Some(id), outcome } => return self.take_answer(id, outcome),
                ServerFrame::Reply { re: None, outcome } => tracing::debug!(?outcome, "an answer to nothing"),
                ServerFrame::Room(event) => {
                    let needs = self.rooms.event(event);
                    self.need(needs);
                }
                ServerFrame::Session(event) => self.take_session_event(link, event),
                ServerFrame::Unknown => {}
            },
            Some(Incoming::Ping(payload)) => {
                // With a full queue the frames in it are the sign of life.
                if link.socket.outgoing.try_send(Outgoing::Pong(payload)).is_err() {
                    tracing::trace!("no room for a pong");
                }
            }
            Some(Incoming::Pong) => {}
            Some(Incoming::Close { code, reason }) => {
                // 1005 and 1006 are never sent (RFC 6455 §7.4.1).
                let answer = if matches!(code, 1005 | 1006) { CloseCode::Normal.code() } else { code };
                if link.socket.outgoing.try_send(Outgoing::Close { code: answer }).is_err() {
                    tracing::trace!("no room for the answer to a close");
                }
                return Err(End::Closed { code, reason, announced: link.announced });
            }
            Some(Incoming::Broken(reason)) => return Err(link.lost(reason)),
            None => return Err(link.lost("the connection ended".into())),
        }
        Ok(())
    }

    fn take_session_event(&self, link: &mut Link, event: SessionEventData) {
        match event {
            SessionEventData::Expiring { .. } if self.config.credentials.are_renewable() => {
                if link.renewal.is_none() {
                    let connector = self.connector.clone();
                    let address = self.addresses[self.current].clone();
                    let credentials = self.config.credentials.clone();
                    let limit = self.config.connect_timeout;
                    link.renewal = Some(Box::pin(async move {
                        let token = timeout(limit, login::token(&connector, &address, &credentials)).await;
                        token.unwrap_or_else(|_| Err(End::Lost("no new token in time".into())))
                    }));
                }
            }
            SessionEventData::Closing { reason, retry_after_ms } => {
                tracing::debug!(reason, retry_after_ms, "the server is about to close this connection");
                link.announced = Some(Duration::from_millis(retry_after_ms));
            }
            SessionEventData::Expiring { .. } | SessionEventData::Ready(_) => {}
        }
    }

    /// A token for this session. Without one the session ends with 4502, and a new connection asks again.
    fn take_token(&mut self, token: Result<Token, End>) {
        match token {
            Ok(token) => {
                let renew = SessionRenew { token: WireToken(token.text.clone()) };
                self.calls.push(renew.into(), Purpose::Nobody);
                self.token = Some(token);
            }
            Err(end) => tracing::debug!(?end, "cannot renew the token"),
        }
    }
}

/// Resolves when a renewal is under way and done.
async fn renewed(renewal: &mut Option<Renewal>) -> Result<Token, End> {
    match renewal {
        Some(renewal) => renewal.await,
        None => std::future::pending().await,
    }
}

/// Resolves when the socket takes frames again, or is broken: the next write tells which.
async fn drained(outgoing: &mpsc::Sender<Outgoing>) {
    if outgoing.reserve().await.is_err() {
        tracing::trace!("the socket's writer has ended");
    }
}

/// The closing handshake of the caller's close.
async fn goodbye(mut link: Link) {
    if link.socket.outgoing.try_send(Outgoing::Close { code: CloseCode::Normal.code() }).is_err() {
        return;
    }
    let answered = timeout(CLOSE_WAIT, async {
        while let Some(incoming) = link.socket.incoming.recv().await {
            if matches!(incoming, Incoming::Close { .. } | Incoming::Broken(_)) {
                return;
            }
        }
    });
    if answered.await.is_err() {
        tracing::debug!("the server did not answer the close");
    }
}

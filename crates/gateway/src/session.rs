//! The phases of a connection after its upgrade, and what is kept of who signed on.
//!
//! `Connecting` lies before this (the HTTP handshake), `Closing` is the outbox's. Must never decide what a command
//! does: that is [`crate::dispatch`].

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hubbub_chat::{Identity, Place};
use hubbub_protocol::event::SessionReady;
use hubbub_protocol::frame::Decoded;
use hubbub_protocol::reply::{Outcome, Reply, ReplyOk};
use hubbub_protocol::{
    CloseCode, Codec, Command, ErrorCode, Refusal, RoomId, SessionEvent, SessionEventData, SessionId, frame,
};
use hubbub_trace::{Entry, Span};

use crate::admission::{Seat, Unauthenticated};
use crate::budget::Budget;
use crate::connection::{Handler, Message, Sorted};
use crate::context::{self, Context, RECORDS};
use crate::dispatch::{self, Answer};
use crate::http::identify::not_signed_on;
use crate::hub::lane::SubscriptionId;
use crate::link::Link;
use crate::metrics::{CommandOutcome, UNKNOWN};
use crate::node::Node;
use crate::traced;

/// Where a connection stands.
enum Phase {
    /// Nobody has signed on yet.
    Authenticating,
    /// Somebody has.
    Ready(Box<Session>),
}

/// Somebody who signed on, on one connection.
pub(crate) struct Session {
    /// Names this connection to its user.
    pub id: SessionId,
    /// Who.
    pub identity: Identity,
    /// Rooms that this connection follows.
    pub subscriptions: HashMap<RoomId, SubscriptionId>,
    /// Counts for the user over the whole cluster until dropped.
    _place: Place,
}

/// One command on its way, or a refusal that ends the connection.
pub(crate) enum Work {
    /// A command as it came.
    Command(Decoded),
    /// One command too many: answered, then closed.
    TooMany(Option<u64>, Duration),
    /// The wrong kind of frame for the codec.
    WrongFrame,
}

/// How a connection proved who it is before its first command.
pub(crate) enum Proof {
    /// Not at all: it has some time for `session.authenticate`.
    None,
    /// In the handshake.
    Identity(Identity, Place),
    /// In the handshake, but in vain and in a way that a browser can only read from the socket.
    Refused(Refusal),
}

/// The handler of one chat connection.
pub(crate) struct Visitor {
    node: Arc<Node>,
    commands: Budget,
    phase: Phase,
    seating: Seating,
}

/// What a connection counts for.
pub(crate) struct Seating {
    /// For the address over the whole cluster until dropped.
    _place: Place,
    /// For the node until dropped.
    _seat: Seat,
    /// For those who have not signed on, until somebody has. Boxed, since most connections do without.
    unauthenticated: Option<Box<Unauthenticated>>,
}

impl Seating {
    /// Counts for all of these.
    pub(crate) fn new(place: Place, seat: Seat, unauthenticated: Option<Unauthenticated>) -> Self {
        Self { _place: place, _seat: seat, unauthenticated: unauthenticated.map(Box::new) }
    }
}

impl Visitor {
    /// Begins: tells the client where it stands.
    #[must_use]
    pub(crate) fn begin(node: Arc<Node>, link: &Arc<Link>, proof: Proof, seating: Seating) -> Self {
        let limits = node.chat.limits();
        let commands = Budget::per_10s(limits.connection_commands_per_10s);
        let timeout = matches!(proof, Proof::None).then_some(limits.authentication_timeout);
        node.wheel.connected(link, limits.heartbeat_interval, timeout);
        let mut visitor = Self { node, commands, phase: Phase::Authenticating, seating };
        match proof {
            Proof::None => {}
            Proof::Identity(identity, place) => {
                let ready = visitor.sign_on(link, identity, place);
                link.push(&SessionEvent::now(SessionEventData::Ready(Box::new(ready))));
            }
            Proof::Refused(refusal) => refuse(&visitor.node, link, None, &refusal),
        }
        visitor
    }

    fn sign_on(&mut self, link: &Arc<Link>, identity: Identity, place: Place) -> SessionReady {
        let id = SessionId::new();
        let node = &self.node;
        let ready = session_ready(node, id, &identity);
        link.sign_on(&identity.user, identity.expires_at);
        context::signed_on(identity.user.id, Some(id));
        node.wheel.signed_on(link, identity.expires_at);
        node.chat.bus().session_started(id, identity.user.id);
        drop(self.seating.unauthenticated.take());
        self.phase = Phase::Ready(Box::new(Session { id, identity, subscriptions: HashMap::new(), _place: place }));
        ready
    }

    async fn authenticate(&mut self, link: &Arc<Link>, re: Option<u64>, token: &str) {
        let outcome = async {
            let identity = self.node.chat.authenticate(token).await?;
            let place = self.node.chat.enter_user(identity.user.id).await?;
            Ok::<_, Refusal>((identity, place))
        };
        match outcome.await {
            Ok((identity, place)) => {
                let ready = self.sign_on(link, identity, place);
                link.push(&Reply { re, outcome: Outcome::Ok(ready) });
            }
            Err(refusal) => {
                self.node.metrics.auth_failed(refusal.code);
                not_signed_on(Some(link.address), &refusal);
                refuse(&self.node, link, re, &refusal);
            }
        }
    }

    fn context(&self, link: &Link, decoded: &Decoded) -> Context {
        let (session, user) = match &self.phase {
            Phase::Authenticating => (None, None),
            Phase::Ready(session) => (Some(session.id), Some(session.identity.user.id)),
        };
        let command = decoded.command.as_ref().ok();
        Context {
            connection: Some(link.id),
            session,
            user,
            command: command.map_or(UNKNOWN, Command::name),
            room: command.and_then(Context::room_of),
        }
    }

    async fn command(&mut self, link: &Arc<Link>, decoded: Decoded) {
        let started = Instant::now();
        let re = decoded.id;
        let name = decoded.command.as_ref().map_or(UNKNOWN, Command::name);
        link.received.note_command(name, started.saturating_duration_since(link.since));
        let entry = Entry::begin(name, started);
        let outcome = match (decoded.command, &mut self.phase) {
            (Err(refusal), _) => Err(refusal),
            (Ok(Command::SessionAuthenticate(command)), Phase::Authenticating) => {
                return self.authenticate(link, re, &command.token.0).await;
            }
            (Ok(_), Phase::Authenticating) => Err(ErrorCode::Unauthenticated.into()),
            (Ok(command), Phase::Ready(session)) => dispatch::dispatch(&self.node, link, session, command).await,
        };
        self.node.metrics.commanded(name, outcome_label(&outcome), started.elapsed().as_secs_f64());
        let refused = outcome.as_ref().err().map(|refusal| refusal.code);
        entry.end(traced::failure(refused), |span| self.describe(span, link, refused));
        match outcome {
            Ok(Answer { ok, beginnings }) => {
                link.push(&Reply { re, outcome: Outcome::Ok(ok) });
                for beginning in beginnings {
                    self.node.hub.begin(beginning);
                }
            }
            Err(refusal) => {
                self.node.metrics.told(refusal.code);
                link.push_refusal(re, &refusal);
            }
        }
    }
}

impl Visitor {
    fn describe(&self, span: &mut Span, link: &Link, refused: Option<ErrorCode>) {
        span.set("hubbub.connection", link.id);
        span.set("hubbub.codec", link.codec.subprotocol());
        if let Phase::Ready(session) = &self.phase {
            span.set("hubbub.session", session.id);
            span.set("user.id", session.identity.user.id);
        }
        traced::note_refusal(span, refused);
    }
}

impl Handler for Visitor {
    type Work = Work;

    fn sort(&mut self, link: &Link, message: Message<'_>) -> Sorted<Work> {
        let bytes = match (link.codec, message) {
            (Codec::Json, Message::Text(text)) => text.as_bytes(),
            (Codec::MessagePack, Message::Binary(bytes)) => bytes,
            _ => return Sorted::Last(Work::WrongFrame),
        };
        let decoded = frame::decode(link.codec, bytes);
        match self.commands.take(Instant::now()) {
            Ok(()) => Sorted::Work(Work::Command(decoded)),
            Err(wait) => Sorted::Last(Work::TooMany(decoded.id, wait)),
        }
    }

    async fn handle(&mut self, link: &Arc<Link>, work: Work) {
        if link.outbox.closing().is_some() {
            return;
        }
        match work {
            Work::Command(decoded) => {
                let (context, trace) = (self.context(link, &decoded), decoded.trace);
                let work = hubbub_trace::within(trace, self.command(link, decoded));
                context.during(pin!(work)).await;
            }
            Work::TooMany(re, wait) => {
                self.node.chat.bus().count_limited("connection");
                self.node.metrics.told(ErrorCode::RateLimited);
                let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
                link.push_refusal(re, &Refusal::new(ErrorCode::RateLimited).retry_after(wait));
                link.outbox.close(None, CloseCode::Policy);
            }
            Work::WrongFrame => {
                link.outbox.close(None, CloseCode::UnsupportedFrame);
            }
        }
    }

    fn too_many_frames(&mut self) {
        self.node.chat.bus().count_limited("frames");
        self.node.metrics.told(ErrorCode::RateLimited);
    }

    fn ended(&mut self, link: &Arc<Link>, reason: &'static str) {
        self.node.connections.remove(&link.id);
        self.node.wheel.forget(link);
        self.node.metrics.connections.dec();
        self.node.metrics.disconnected(reason);
        let phase = std::mem::replace(&mut self.phase, Phase::Authenticating);
        log_end(link, &phase, reason);
        if let Phase::Ready(session) = phase {
            self.node.chat.bus().session_ended(session.id);
            for (room, subscription) in &session.subscriptions {
                if let Some(room) = self.node.hub.room(*room) {
                    room.abandon(*subscription, link);
                }
            }
        }
    }
}

/// The one line that each connection leaves in the log.
fn log_end(link: &Link, phase: &Phase, reason: &'static str) {
    let session = match phase {
        Phase::Ready(session) => Some(session),
        Phase::Authenticating => None,
    };
    let user = session.map(|session| &session.identity.user);
    let written = link.outbox.written();
    tracing::info!(
        target: RECORDS,
        connection = link.id,
        session = session.map(|session| tracing::field::display(session.id)),
        user = user.map(|user| tracing::field::display(user.id)),
        user_name = user.map(|user| &*user.name),
        address = %link.address,
        reason,
        lasted_ms = u64::try_from(link.since.elapsed().as_millis()).unwrap_or(u64::MAX),
        commands = link.received.commands(),
        frames_in = link.received.frames(),
        frames_out = written.frames,
        bytes_in = link.received.bytes(),
        bytes_out = written.bytes,
        "connection ended"
    );
}

/// Who this connection is to its user, and what holds for it.
pub(crate) fn session_ready(node: &Node, id: SessionId, identity: &Identity) -> SessionReady {
    let limits = node.chat.limits();
    SessionReady {
        session: id,
        user: identity.user.clone(),
        node: node.config().node.clone(),
        epoch: node.chat.epoch(),
        heartbeat_ms: u64::try_from(limits.heartbeat_interval.as_millis()).unwrap_or(u64::MAX),
        expires_at: identity.expires_at,
        limits: limits.for_client(),
    }
}

/// Answers a proof of identity that failed, and closes with the code that says what to do.
fn refuse(node: &Node, link: &Arc<Link>, re: Option<u64>, refusal: &Refusal) {
    node.metrics.told(refusal.code);
    link.push_refusal(re, refusal);
    link.outbox.close(None, close_code(refusal.code));
}

fn close_code(code: ErrorCode) -> CloseCode {
    match code {
        ErrorCode::TokenExpired => CloseCode::TokenExpired,
        ErrorCode::SessionRevoked => CloseCode::SessionRevoked,
        ErrorCode::TooManyConnections | ErrorCode::Unavailable | ErrorCode::Overloaded | ErrorCode::Internal => {
            CloseCode::TryLater
        }
        _ => CloseCode::Unauthenticated,
    }
}

fn outcome_label(outcome: &Result<Answer, Refusal>) -> CommandOutcome {
    match outcome {
        Ok(_) => CommandOutcome::Ok,
        Err(refusal) if refusal.code.http_status() >= 500 => CommandOutcome::Failed,
        Err(_) => CommandOutcome::Refused,
    }
}

impl From<ReplyOk> for Answer {
    fn from(ok: ReplyOk) -> Self {
        Self { ok, beginnings: Vec::new() }
    }
}

//! The one task that owns the connection and everything that survives it: calls, rooms, cursors, the token.
//!
//! Must never wait for a caller: a full buffer makes a room lag, an abandoned call is dropped.

mod answers;
mod calls;
mod online;
mod rooms;

use std::sync::Arc;
use std::time::Duration;

use hubbub_protocol::event::SessionReady;
use hubbub_protocol::{Command, RoomSelector};
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, timeout};

use crate::address::Address;
use crate::config::{ClientConfig, Tls, UrlOrder};
use crate::connector::Connector;
use crate::error::{ClientError, CloseReason};
use crate::login::{self, Token};
use crate::policy::{self, Decision, End, Standing};
use crate::room::{FollowFrom, RoomStream};
use crate::socket::Socket;
use crate::state::State;
use crate::{backoff, handshake, tls};
use calls::Calls;
use online::Link;
use rooms::Rooms;

/// A connection that was online for so long counts as a success: the next backoff starts from the beginning.
const STABLE: Duration = Duration::from_secs(10);

/// What a handle asks of the driver. The place is given back when the ask is answered.
#[derive(Debug)]
pub(crate) enum Ask {
    /// Sends a command and passes on its answer.
    Command { command: Command, reply: oneshot::Sender<Result<Value, ClientError>>, place: OwnedSemaphorePermit },
    /// Follows a room.
    Follow {
        room: RoomSelector,
        from: FollowFrom,
        reply: oneshot::Sender<Result<RoomStream, ClientError>>,
        place: OwnedSemaphorePermit,
    },
}

/// The handle's ends of the driver's channels.
pub(crate) struct Ends {
    pub(crate) asks: mpsc::Sender<Ask>,
    pub(crate) closing: mpsc::Sender<()>,
    pub(crate) state: watch::Receiver<State>,
    pub(crate) ready: watch::Receiver<Option<Arc<SessionReady>>>,
}

/// Commands that only the driver may send, since they change what it keeps track of.
pub(crate) const fn is_reserved(command: &Command) -> bool {
    matches!(
        command,
        Command::SessionAuthenticate(_)
            | Command::SessionRenew(_)
            | Command::SessionResume(_)
            | Command::RoomSubscribe(_)
            | Command::RoomUnsubscribe(_)
    )
}

/// Checks the configuration and starts the driver.
pub(crate) fn spawn(config: ClientConfig) -> Result<Ends, ClientError> {
    let addresses = config.urls.iter().map(|url| Address::parse(url)).collect::<Result<Vec<_>, _>>();
    let addresses = addresses.map_err(ClientError::Config)?;
    if addresses.is_empty() {
        return Err(ClientError::Config("no address to connect to".into()));
    }
    // Without TLS nothing of the system is read.
    let tls = if addresses.iter().any(|address| address.tls) { &config.tls } else { &Tls::Insecure };
    let connector = Connector { tls: tls::configure(tls).map_err(ClientError::Config)? };
    let (asks, asked) = mpsc::channel(config.in_flight_max.max(1));
    let (closing, close) = mpsc::channel(1);
    let current = match config.order {
        UrlOrder::InTurn => 0,
        UrlOrder::Random => rand::random_range(0..addresses.len()),
    };
    let connecting = State::Connecting { attempt: 1, url: addresses[current].url() };
    let (state, state_seen) = watch::channel(connecting);
    let (ready, ready_seen) = watch::channel(None);
    let driver = Driver {
        rooms: Rooms::new(config.room_buffer.max(1)),
        calls: Calls::new(config.backoff),
        config,
        connector,
        addresses,
        current,
        asks: asked,
        closing: close,
        state,
        ready,
        token: None,
        fresh_token: false,
    };
    tokio::spawn(driver.run());
    Ok(Ends { asks, closing, state: state_seen, ready: ready_seen })
}

struct Driver {
    config: ClientConfig,
    connector: Connector,
    addresses: Vec<Address>,
    /// Index of the address that is tried or connected.
    current: usize,
    asks: mpsc::Receiver<Ask>,
    /// Says, or by its end tells, that the caller closes.
    closing: mpsc::Receiver<()>,
    state: watch::Sender<State>,
    ready: watch::Sender<Option<Arc<SessionReady>>>,
    calls: Calls,
    rooms: Rooms,
    token: Option<Token>,
    /// The token was had for this attempt.
    fresh_token: bool,
}

impl Driver {
    async fn run(mut self) {
        let (mut failures, mut attempt) = (0u32, 1u32);
        loop {
            let url = self.addresses[self.current].url();
            self.state.send_replace(State::Connecting { attempt, url });
            attempt = attempt.saturating_add(1);
            let end = match self.connect().await {
                Ok(link) => {
                    attempt = 1;
                    let since = link.since;
                    let end = self.serve(link).await;
                    self.calls.connection_lost();
                    self.rooms.connection_lost();
                    if since.elapsed() >= STABLE {
                        failures = 0;
                    }
                    end
                }
                Err(end) => end,
            };
            let standing = Standing {
                renewable: self.config.credentials.are_renewable(),
                fresh_token: self.fresh_token,
                proven: self.ready.borrow().is_some(),
            };
            let (wait, cause) = match policy::decide(end, standing) {
                Decision::Stop(reason) => return self.finish(reason),
                Decision::RetryAfter { wait, cause } => (wait, cause),
                Decision::Retry { floor, cause, new_token } => {
                    if new_token {
                        self.token = None;
                    }
                    (floor + backoff::wait(self.config.backoff, failures, rand::random()), cause)
                }
            };
            tracing::debug!(%cause, ?wait, "the connection ended");
            self.state.send_replace(State::Waiting { until: Instant::now() + wait, cause });
            failures = failures.saturating_add(1);
            self.turn();
            tokio::select! {
                () = sleep(wait) => {}
                _ = self.closing.recv() => return self.finish(CloseReason::ByCaller),
            }
        }
    }

    /// Chooses the next address.
    fn turn(&mut self) {
        let count = self.addresses.len();
        let step = match self.config.order {
            UrlOrder::InTurn => 1,
            // Any but the one that was just lost.
            UrlOrder::Random if count > 1 => rand::random_range(1..count),
            UrlOrder::Random => 0,
        };
        self.current = (self.current + step) % count;
    }

    /// One attempt, from the token to `session.ready`.
    async fn connect(&mut self) -> Result<Link, End> {
        let now = Instant::now();
        let kept = self.token.clone().filter(|token| token.is_usable(now));
        self.fresh_token = kept.is_none();
        let Self { connector, config, addresses, current, closing, .. } = self;
        let address = &addresses[*current];
        let attempt = timeout(config.connect_timeout, async {
            let token = match kept {
                Some(token) => token,
                None => login::token(connector, address, &config.credentials).await?,
            };
            let io = handshake::open(connector, address, config.codec, &token.text).await?;
            let socket = Socket::open(io, config.codec, config.message_bytes_max);
            Ok((token, Link::greeted(socket, config.codec).await?))
        });
        let outcome = tokio::select! {
            outcome = attempt => outcome,
            _ = closing.recv() => return Err(End::ByCaller),
        };
        let late = || Err(End::Lost(format!("no answer from {} in time", address.url())));
        let (token, link) = outcome.unwrap_or_else(|_| late())?;
        self.token = Some(token);
        self.ready.send_replace(Some(Arc::clone(&link.ready)));
        Ok(link)
    }

    /// Tells everybody why it is over. The state comes first: whoever finds a channel closed looks there.
    fn finish(self, reason: CloseReason) {
        self.state.send_replace(State::Closed { reason: reason.clone() });
        self.calls.finish(&reason);
        self.rooms.finish(&reason);
    }
}

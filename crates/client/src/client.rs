//! The caller's side: a handle that asks the driver and waits for its answers.
//!
//! Must never touch a socket, and never hold more than its bounded share of unanswered calls.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use hubbub_protocol::command::{
    Cursor as WireCursor, EventList, MessageList, MessageSend, PageLimit, RoomCreate, RoomJoin, RoomLeave, RoomList,
    RoomShow,
};
use hubbub_protocol::event::SessionReady;
use hubbub_protocol::reply::{EventPage, MessagePage, RoomPage, Sent};
use hubbub_protocol::{ClientMsgId, Command, Room, RoomKind, RoomSelector, UserSelector};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::timeout;
use uuid::Uuid;

use crate::config::ClientConfig;
use crate::driver::{self, Ask};
use crate::error::{ClientError, CloseReason};
use crate::room::{FollowFrom, RoomStream};
use crate::state::State;

/// A client that stays signed on. Cheap to clone; ends when it is closed or its last clone is dropped.
#[derive(Clone, Debug)]
pub struct Client {
    asks: mpsc::Sender<Ask>,
    closing: mpsc::Sender<()>,
    state: watch::Receiver<State>,
    ready: watch::Receiver<Option<Arc<SessionReady>>>,
    places: Arc<Semaphore>,
    request_timeout: Duration,
}

/// Which messages of a room to list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Page {
    /// The newest ones.
    Newest,
    /// Those before this seq.
    Before(u64),
    /// Those after this seq.
    After(u64),
}

impl Client {
    /// Starts a client and waits until it is online; failures that may pass are tried again meanwhile.
    ///
    /// # Errors
    /// [`ClientError::Config`]; [`ClientError::Closed`] when no retry helps (identity, certificate, no Hubbub node);
    /// [`ClientError::TimedOut`] after [`ClientConfig::ready_within`]. The client has ended then.
    pub async fn connect(config: ClientConfig) -> Result<Self, ClientError> {
        let within = config.ready_within;
        let client = Self::start(config)?;
        match timeout(within, client.online()).await {
            Ok(online) => online.map(|()| client),
            Err(_) => {
                let last = match &*client.state.borrow() {
                    State::Waiting { cause, .. } => Some(cause.clone()),
                    State::Connecting { url, .. } => Some(format!("no answer yet from {url}")),
                    _ => None,
                };
                client.close().await;
                Err(ClientError::TimedOut { last })
            }
        }
    }

    /// Starts a client and returns at once; [`Client::state`] tells how it fares, and calls wait until it is online.
    ///
    /// # Errors
    /// [`ClientError::Config`].
    pub fn start(config: ClientConfig) -> Result<Self, ClientError> {
        let request_timeout = config.request_timeout;
        let places = Arc::new(Semaphore::new(config.in_flight_max.max(1)));
        let ends = driver::spawn(config)?;
        Ok(Self {
            asks: ends.asks,
            closing: ends.closing,
            state: ends.state,
            ready: ends.ready,
            places,
            request_timeout,
        })
    }

    /// How the client stands, now and from now on.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// Waits until the client is online.
    ///
    /// # Errors
    /// [`ClientError::Closed`] when it ended instead.
    pub async fn online(&self) -> Result<(), ClientError> {
        let mut state = self.state.clone();
        let settled = state.wait_for(|state| matches!(state, State::Online { .. } | State::Closed { .. })).await;
        match settled.as_deref() {
            Ok(State::Closed { reason }) => Err(ClientError::Closed(reason.clone())),
            Ok(_) => Ok(()),
            Err(_) => Err(ClientError::Closed(CloseReason::ByCaller)),
        }
    }

    /// Who is signed on, where, and with which limits; from the latest connection, `None` before the first.
    #[must_use]
    pub fn session(&self) -> Option<Arc<SessionReady>> {
        self.ready.borrow().clone()
    }

    /// Follows a room that one is a member of, by name or id.
    ///
    /// # Errors
    /// [`ClientError::Refused`] (`not_a_member`, `room_not_found`, …), [`ClientError::AlreadyFollowed`],
    /// [`ClientError::TimedOut`], [`ClientError::Closed`].
    pub async fn follow(&self, room: impl Display, from: FollowFrom) -> Result<RoomStream, ClientError> {
        let room = selector(&room)?;
        self.within(async {
            let place = self.place().await?;
            let (reply, answer) = oneshot::channel();
            self.ask(Ask::Follow { room, from, reply, place }).await?;
            answer.await.unwrap_or_else(|_| Err(self.closed()))
        })
        .await
    }

    /// Sends a message under a new `client_msg_id` and waits for its ack, as long as that takes: over reconnects,
    /// and over refusals that say that a retry may help. Dropping the future stops the retries, not a send under way.
    ///
    /// # Errors
    /// [`ClientError::Refused`] when no retry helps, [`ClientError::Invalid`], [`ClientError::Closed`].
    pub async fn send(&self, room: impl Display, body: impl Into<String>) -> Result<Sent, ClientError> {
        self.send_as(room, Uuid::new_v4(), body).await
    }

    /// As [`Client::send`], with the caller's own `client_msg_id`: for retries over restarts of the caller.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn send_as(
        &self,
        room: impl Display,
        client_msg_id: impl Display,
        body: impl Into<String>,
    ) -> Result<Sent, ClientError> {
        let client_msg_id: ClientMsgId = client_msg_id
            .to_string()
            .parse()
            .map_err(|rule: &str| ClientError::Invalid { field: "client_msg_id", rule: rule.into() })?;
        let command = MessageSend { room: selector(&room)?, client_msg_id, body: body.into() };
        typed(self.command(command.into()).await?)
    }

    /// Asks anything that has no method of its own, and waits up to [`ClientConfig::request_timeout`]. What can be
    /// repeated is repeated after a reconnect and after refusals that say that a retry may help.
    ///
    /// # Errors
    /// [`ClientError::Reserved`] for `session.*` and subscriptions; [`ClientError::Refused`],
    /// [`ClientError::TimedOut`], [`ClientError::ConnectionLost`] for `room.create`, [`ClientError::Closed`].
    pub async fn request(&self, command: impl Into<Command>) -> Result<Value, ClientError> {
        let command = command.into();
        self.within(self.command(command)).await
    }

    /// Makes a room; the caller owns it. `members` are further first members, by name or id.
    ///
    /// # Errors
    /// As [`Client::request`]; `conflict` when the name is taken.
    pub async fn create_room(&self, name: &str, kind: RoomKind, members: &[&str]) -> Result<Room, ClientError> {
        let invalid = |field| move |rule: &str| ClientError::Invalid { field, rule: rule.into() };
        let name = match kind {
            RoomKind::Direct => None,
            _ => Some(name.parse().map_err(invalid("name"))?),
        };
        let members = members.iter().map(|member| member.parse::<UserSelector>());
        let members = members.collect::<Result<_, _>>().map_err(invalid("members"))?;
        self.typed(RoomCreate { name, kind, members }).await
    }

    /// Becomes a member of an open room; joining twice is fine.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn join(&self, room: impl Display) -> Result<Room, ClientError> {
        self.typed(RoomJoin { room: selector(&room)? }).await
    }

    /// Stops being a member.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn leave(&self, room: impl Display) -> Result<Room, ClientError> {
        self.typed(RoomLeave { room: selector(&room)? }).await
    }

    /// Shows one room.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn show(&self, room: impl Display) -> Result<Room, ClientError> {
        self.typed(RoomShow { room: selector(&room)? }).await
    }

    /// One page of the public rooms and one's own; `after` is the `next` of the page before.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn rooms(&self, after: Option<String>, limit: Option<u64>) -> Result<RoomPage, ClientError> {
        self.typed(RoomList { after, limit: limit.map(PageLimit) }).await
    }

    /// One page of messages in their present state, ascending.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn messages(
        &self,
        room: impl Display,
        page: Page,
        limit: Option<u64>,
    ) -> Result<MessagePage, ClientError> {
        let (before, after) = match page {
            Page::Newest => (None, None),
            Page::Before(seq) => (Some(WireCursor(seq)), None),
            Page::After(seq) => (None, Some(WireCursor(seq))),
        };
        self.typed(MessageList { room: selector(&room)?, before, after, limit: limit.map(PageLimit) }).await
    }

    /// One page of the log after a seq, ascending.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn events(&self, room: impl Display, after: u64, limit: Option<u64>) -> Result<EventPage, ClientError> {
        let after = WireCursor(after);
        self.typed(EventList { room: selector(&room)?, after, limit: limit.map(PageLimit) }).await
    }

    /// Says goodbye to the server and ends the client. Unanswered calls end with [`ClientError::Closed`].
    pub async fn close(&self) {
        // A full or closed channel means that the client is closing or closed already.
        if self.closing.try_send(()).is_err() {
            tracing::trace!("the client is closing already");
        }
        let mut state = self.state.clone();
        if state.wait_for(|state| matches!(state, State::Closed { .. })).await.is_err() {
            tracing::trace!("the client had ended already");
        }
    }

    async fn typed<T: DeserializeOwned>(&self, command: impl Into<Command>) -> Result<T, ClientError> {
        typed(self.request(command).await?)
    }

    async fn within<T>(&self, call: impl Future<Output = Result<T, ClientError>>) -> Result<T, ClientError> {
        timeout(self.request_timeout, call).await.unwrap_or(Err(ClientError::TimedOut { last: None }))
    }

    async fn command(&self, command: Command) -> Result<Value, ClientError> {
        if driver::is_reserved(&command) {
            return Err(ClientError::Reserved(command.name()));
        }
        let place = self.place().await?;
        let (reply, answer) = oneshot::channel();
        self.ask(Ask::Command { command, reply, place }).await?;
        answer.await.unwrap_or_else(|_| Err(self.closed()))
    }

    async fn place(&self) -> Result<tokio::sync::OwnedSemaphorePermit, ClientError> {
        let mut state = self.state.clone();
        tokio::select! {
            place = Arc::clone(&self.places).acquire_owned() => place.map_err(|_| self.closed()),
            _ = state.wait_for(|state| matches!(state, State::Closed { .. })) => Err(self.closed()),
        }
    }

    async fn ask(&self, ask: Ask) -> Result<(), ClientError> {
        self.asks.send(ask).await.map_err(|_| self.closed())
    }

    fn closed(&self) -> ClientError {
        match &*self.state.borrow() {
            State::Closed { reason } => ClientError::Closed(reason.clone()),
            _ => ClientError::Closed(CloseReason::ByCaller),
        }
    }
}

fn selector(room: &impl Display) -> Result<RoomSelector, ClientError> {
    room.to_string().parse().map_err(|rule: &str| ClientError::Invalid { field: "room", rule: rule.into() })
}

fn typed<T: DeserializeOwned>(value: Value) -> Result<T, ClientError> {
    serde_json::from_value(value).map_err(|error| ClientError::Unreadable(error.to_string()))
}

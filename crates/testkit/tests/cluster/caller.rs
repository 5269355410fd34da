//! A bare connection with questions and answers, and streams read with a limit.

use std::collections::VecDeque;
use std::time::Duration;

use hubbub_client::{Delivery, RoomStream};
use hubbub_protocol::reply::{Sent, ServerFrame};
use hubbub_protocol::{Codec, RoomEvent, RoomEventData, RoomId, SessionEventData, WireError};
use hubbub_testkit::Cluster;
use hubbub_testkit::wire::{Broken, Frame, Socket};
use serde_json::{Value, json};

/// Anything that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(60);

/// A bare connection that keeps what comes between its questions and their answers.
pub(crate) struct Caller {
    socket: Socket,
    next_id: u64,
    pub(crate) events: VecDeque<RoomEvent>,
    pub(crate) session: VecDeque<SessionEventData>,
    /// The close frame, once it came.
    pub(crate) closed: Option<u16>,
}

impl Caller {
    /// A user's connection to a node.
    pub(crate) async fn open(cluster: &Cluster, user: usize, node: usize) -> Result<Self, Broken> {
        let socket = Socket::open(cluster.members[node].client_link.port, &cluster.users[user].token).await?;
        let (events, session) = Default::default();
        Ok(Self { socket, next_id: 1, events, session, closed: None })
    }

    /// Sends a command and waits for its answer.
    pub(crate) async fn ask(&mut self, mut command: Value) -> Result<Value, WireError> {
        self.next_id += 1;
        let id = self.next_id;
        command["id"] = id.into();
        self.socket.send(&command.to_string()).await.expect("the command is taken");
        loop {
            match self.next().await.expect("an answer comes") {
                Some((re, outcome)) if re == Some(id) => return outcome,
                _ => {}
            }
        }
    }

    pub(crate) async fn send(&mut self, room: RoomId, client_msg_id: &str) -> Result<Sent, WireError> {
        let command =
            json!({ "cmd": "message.send", "room": room, "client_msg_id": client_msg_id, "body": client_msg_id });
        self.ask(command).await.map(|ok| serde_json::from_value(ok).expect("an ack"))
    }

    pub(crate) async fn follow(&mut self, room: RoomId) -> Result<Value, WireError> {
        self.ask(json!({ "cmd": "room.subscribe", "room": room })).await
    }

    /// Reads until the connection ends.
    pub(crate) async fn drain(&mut self) {
        while self.next().await.is_ok() {}
    }

    /// Takes one frame in; a reply is returned.
    async fn next(&mut self) -> Result<Option<(Option<u64>, Result<Value, WireError>)>, Broken> {
        let frame = tokio::time::timeout(LIMIT, self.socket.next()).await.expect("something comes")?;
        let text = match frame {
            Frame::Text(text) => text,
            Frame::Ping(payload) => return self.socket.pong(&payload).await.map(|()| None),
            Frame::Pong => return Ok(None),
            Frame::Close { code, .. } => {
                self.closed = Some(code);
                return Err(Broken::Lost("closed".to_owned()));
            }
        };
        match hubbub_protocol::server::decode(Codec::Json, text.as_bytes()).expect("readable") {
            ServerFrame::Reply { re, outcome } => return Ok(Some((re, outcome))),
            ServerFrame::Room(event) => self.events.push_back(event),
            ServerFrame::Session(event) => self.session.push_back(event),
            ServerFrame::Unknown => {}
        }
        Ok(None)
    }
}

/// The body of a message.
pub(crate) fn body(event: &RoomEvent) -> Option<&str> {
    match &event.data {
        RoomEventData::MessageSent(sent) => Some(&sent.body),
        _ => None,
    }
}

/// The next messages of a room that the SDK delivers, as seq and body.
pub(crate) async fn messages(stream: &mut RoomStream, count: usize) -> Vec<(u64, String)> {
    let mut messages = Vec::new();
    while messages.len() < count {
        let delivery = tokio::time::timeout(LIMIT, stream.next()).await.expect("a delivery comes");
        match delivery {
            Some(Delivery::Event(event)) => messages.extend(body(&event).map(|body| (event.seq, body.to_owned()))),
            other => panic!("not an event: {other:?}"),
        }
    }
    messages
}

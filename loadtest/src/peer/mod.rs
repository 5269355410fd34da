//! What servers speak: one small file for each, behind one trait.
//!
//! A peer is sans I/O: it is given whole messages and puts whole messages. Must never know sockets, time or rates.

mod centrifugo;
mod hubbub;
mod raw;
mod socketio;

pub use raw::{DEFAULT_SEND, DEFAULT_SUBSCRIBE};

use crate::target::{PeerKind, Target};

/// The names by which a peer knows our rooms.
#[derive(Clone, Debug)]
pub struct RoomNames {
    prefix: String,
}

impl RoomNames {
    /// Names that begin so.
    #[must_use]
    pub fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// The name of a room.
    #[must_use]
    pub fn name(&self, room: u32) -> String {
        format!("{}-{room}", self.prefix)
    }

    /// The number of a room's name.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u32> {
        name.strip_prefix(&self.prefix)?.strip_prefix('-')?.parse().ok()
    }
}

/// What the upgrade request says beside the usual.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Upgrade {
    /// Added to the path of the URL, with its `?`.
    pub query: String,
    /// `Sec-WebSocket-Protocol`, if any.
    pub protocols: Option<String>,
    /// Further headers.
    pub headers: Vec<(&'static str, String)>,
}

/// What is asked of the server, over one connection.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Ask<'a> {
    /// Make a room; one that is there already is fine.
    Create {
        /// Its number.
        room: u32,
    },
    /// Become a member of a room; a member already is fine.
    Join {
        /// Its number.
        room: u32,
    },
    /// Follow a room.
    Subscribe {
        /// Its number.
        room: u32,
        /// Bring what came behind this, where the peer keeps a history.
        after: Option<u64>,
    },
    /// Say something.
    Send {
        /// Where.
        room: u32,
        /// The stamped text; needs no escaping in JSON.
        body: &'a str,
        /// The same for each retry of one message, different otherwise: printable ASCII, at most 64 signs.
        key: &'a str,
    },
    /// Say that one types.
    Typing {
        /// Where.
        room: u32,
    },
    /// Mark a room as read.
    Read {
        /// Where.
        room: u32,
        /// Up to here.
        seq: u64,
    },
    /// Ask for a page of a room's history.
    Page {
        /// Of which room.
        room: u32,
        /// What comes before this; none: the newest.
        before: Option<u64>,
    },
}

/// What becomes of an ask.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asked {
    /// An answer with its number will come.
    Waiting,
    /// No answer will come: it counts as done.
    Done,
    /// The peer knows no such thing.
    Unknown,
}

/// Something that a message of the server told.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Told<'a> {
    /// The connection is ready for asks.
    Ready,
    /// The ask with this number is done.
    Done {
        /// Its number.
        id: u64,
        /// The head of the room behind a subscription, where the peer has such; else 0.
        head: u64,
        /// Events of the room that are missing and will not come by themselves: both ends inside.
        gap: Option<(u64, u64)>,
    },
    /// The ask with this number is refused.
    Refused {
        /// Its number.
        id: u64,
        /// The peer's code or name of the error.
        code: &'a str,
        /// Whether trying again makes sense.
        is_retryable: bool,
        /// Not before, in milliseconds; 0 when not said.
        retry_after_ms: u64,
    },
    /// A message of a room came. `bytes` hold the stamped text.
    Message {
        /// The peer's number of it in the room; 0 where it has none.
        seq: u64,
        /// Where the stamp is to be found.
        bytes: &'a [u8],
    },
    /// Another numbered event of a room came: its number is used up.
    Passed {
        /// Its room.
        room: u32,
        /// Its number.
        seq: u64,
    },
    /// The server says that it will close, and when to come back.
    Closing {
        /// Not before, in milliseconds.
        retry_after_ms: u64,
    },
    /// The server said something against the connection as a whole.
    Failed {
        /// The peer's code or name of the error.
        code: &'a str,
    },
}

/// A WebSocket message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Message<'a> {
    /// A text frame. Not checked to be UTF-8: that would cost more than everything else.
    Text(&'a [u8]),
    /// A binary frame.
    Binary(&'a [u8]),
}

/// Takes messages that are to be sent.
pub trait Outgoing {
    /// Sends a text frame.
    fn text(&mut self, text: &str);
    /// Sends a binary frame.
    fn binary(&mut self, bytes: &[u8]);
}

/// A kind of server.
pub trait Peer: Send + Sync {
    /// What the upgrade request of a connection says. The token is empty when there is none.
    fn upgrade(&self, token: &str) -> Upgrade;

    /// One connection, before its upgrade. The token is the one of [`Peer::upgrade`]: some peers want it in a message.
    fn dialogue(&self, token: &str) -> Box<dyn Dialogue>;

    /// Whether it brings back what was missed when a room is followed again with `after`. Some peers tell only in their
    /// answers: ask again after the first subscriptions.
    fn has_history(&self) -> bool;

    /// Whether a send with the same key is stored once only.
    fn has_idempotent_sends(&self) -> bool;
}

/// One connection's half of the conversation. It is one of many: a few hundred bytes at the most.
pub trait Dialogue: Send {
    /// The upgrade is done.
    fn opened(&mut self, out: &mut dyn Outgoing, told: &mut dyn FnMut(Told<'_>));

    /// Asks something under a number of the caller's, from 1, never used before on this connection.
    fn ask(&mut self, id: u64, ask: &Ask<'_>, out: &mut dyn Outgoing) -> Asked;

    /// Takes a message. What it tells is told in order; several messages in one frame are told one by one.
    fn receive(&mut self, message: Message<'_>, out: &mut dyn Outgoing, told: &mut dyn FnMut(Told<'_>));
}

/// The peer of this target.
#[must_use]
pub fn of(target: &Target) -> Box<dyn Peer> {
    match target.peer {
        PeerKind::Hubbub => Box::new(hubbub::Hubbub::new(target)),
        PeerKind::Centrifugo => Box::new(centrifugo::Centrifugo::new(target)),
        PeerKind::Socketio => Box::new(socketio::Socketio::new(target)),
        PeerKind::Raw => Box::new(raw::Raw::new(target)),
    }
}

#[cfg(test)]
mod testing {
    //! What a dialogue said and was told, for the tests of all peers.

    use super::{Ask, Asked, Dialogue, Message, Outgoing, Told};

    #[derive(Default)]
    pub(super) struct Sent(pub(super) Vec<Vec<u8>>);

    impl Outgoing for Sent {
        fn text(&mut self, text: &str) {
            self.0.push(text.as_bytes().to_vec());
        }
        fn binary(&mut self, bytes: &[u8]) {
            self.0.push(bytes.to_vec());
        }
    }

    impl Sent {
        pub(super) fn texts(&self) -> Vec<&str> {
            self.0.iter().map(|sent| std::str::from_utf8(sent).expect("UTF-8")).collect()
        }
    }

    /// What is sent when the upgrade is done, and what is told.
    pub(super) fn open(dialogue: &mut dyn Dialogue) -> (Sent, Vec<String>) {
        let (mut sent, mut told) = (Sent::default(), Vec::new());
        dialogue.opened(&mut sent, &mut |one| told.push(show(&one)));
        (sent, told)
    }

    /// What is sent for an ask.
    pub(super) fn ask(dialogue: &mut dyn Dialogue, id: u64, ask: &Ask<'_>) -> (Asked, Sent) {
        let mut sent = Sent::default();
        (dialogue.ask(id, ask, &mut sent), sent)
    }

    /// What a message tells, and what is sent back.
    pub(super) fn receive(dialogue: &mut dyn Dialogue, message: Message<'_>) -> (Vec<String>, Sent) {
        let (mut sent, mut told) = (Sent::default(), Vec::new());
        dialogue.receive(message, &mut sent, &mut |one| told.push(show(&one)));
        (told, sent)
    }

    /// What a text tells.
    pub(super) fn told(dialogue: &mut dyn Dialogue, text: &str) -> Vec<String> {
        receive(dialogue, Message::Text(text.as_bytes())).0
    }

    fn show(told: &Told<'_>) -> String {
        match told {
            Told::Message { seq, bytes } => format!("message {seq} {}", String::from_utf8_lossy(bytes)),
            other => format!("{other:?}"),
        }
    }
}

//! The two forms of a frame: JSON in text frames, MessagePack with named maps in binary frames.
//!
//! Must never know which types it encodes.

use serde::Serialize;

/// How frames are written on a connection, agreed by the WebSocket sub-protocol.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Codec {
    /// `hubbub.v1.json`: text frames.
    Json,
    /// `hubbub.v1.msgpack`: binary frames, the same shapes, ids and times as text.
    MessagePack,
}

impl Codec {
    /// Every codec, in the order in which the server prefers none: the client's order decides.
    pub const ALL: [Self; 2] = [Self::Json, Self::MessagePack];

    /// The WebSocket sub-protocol.
    #[must_use]
    pub const fn subprotocol(self) -> &'static str {
        match self {
            Self::Json => "hubbub.v1.json",
            Self::MessagePack => "hubbub.v1.msgpack",
        }
    }

    /// The codec of this sub-protocol.
    #[must_use]
    pub fn from_subprotocol(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.subprotocol() == name)
    }

    /// Encodes anything of this crate.
    ///
    /// # Panics
    /// Never for the types of this crate: they hold nothing that either form cannot write.
    #[must_use]
    pub fn encode<T: Serialize + ?Sized>(self, value: &T) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(256);
        self.encode_into(value, &mut bytes);
        bytes
    }

    /// Appends the encoding of `value` to `bytes`.
    ///
    /// # Panics
    /// As [`Codec::encode`].
    pub fn encode_into<T: Serialize + ?Sized>(self, value: &T, bytes: &mut Vec<u8>) {
        match self {
            Self::Json => serde_json::to_writer(bytes, value).expect("wire types are JSON"),
            Self::MessagePack => {
                let mut serializer = rmp_serde::Serializer::new(bytes).with_struct_map();
                value.serialize(&mut serializer).expect("wire types are MessagePack");
            }
        }
    }
}

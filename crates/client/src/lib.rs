//! Hubbub's Rust SDK: one [`Client`] stays signed on to a cluster, over lost connections and lost nodes.
//!
//! Owns reconnecting, resuming, retrying and the order of what is delivered. Must never know a server crate: all it
//! relies on is the wire (`hubbub-protocol` and CONTRACT §4-6).
//!
//! ```no_run
//! # async fn example() -> Result<(), hubbub_client::ClientError> {
//! use hubbub_client::{Client, ClientConfig, Credentials, Delivery, FollowFrom};
//!
//! let credentials = Credentials::Token("eyJ…".into());
//! let client = Client::connect(ClientConfig::new("wss://chat.example:8443", credentials)).await?;
//! let mut room = client.follow("general", FollowFrom::Last(50)).await?;
//! client.send("general", "hello").await?;
//! while let Some(delivery) = room.next().await {
//!     if let Delivery::Event(event) = delivery {
//!         // Each event once, in the order of `event.seq`, whatever happens to the connection.
//!         assert_eq!(event.room, room.room());
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Promises
//! - **Each event once and in order.** The client holds the cursor of every followed room. After a reconnect it
//!   resumes from there; what is at or below the cursor is dropped; a `gap` or a hole is filled with `event.list`
//!   before anything later is delivered.
//! - **A send ends with its ack.** It keeps its `client_msg_id` over retries and reconnects, so it is in the room
//!   once. Sends that are awaited one after the other keep their order; concurrent ones may pass each other.
//! - **Slow callers cost nobody else.** Each [`RoomStream`] has a bounded buffer. When it is full the client stops
//!   following that room, and resumes it from its cursor when half of the buffer is read. Other rooms go on.
//! - **Nothing waits for ever** but a send, which waits for the cluster as long as its caller does.

mod address;
mod backoff;
mod client;
mod config;
mod connector;
mod driver;
mod error;
mod feed;
mod handshake;
mod login;
mod pace;
mod policy;
mod room;
mod socket;
mod state;
mod tls;

pub use client::{Client, Page};
pub use config::{Backoff, ClientConfig, Credentials, Tls, TokenFuture, TokenSource, UrlOrder};
pub use error::{ClientError, CloseReason};
pub use hubbub_protocol as protocol;
pub use room::{Cursor, Delivery, FollowFrom, RoomStream};
pub use state::State;

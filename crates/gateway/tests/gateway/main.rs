//! The gateway from outside: real sockets, hostile input, every sentence of the contract that it reaches.
//!
//! One binary, since linking takes longer than running. Must never reach into the gateway but through its sockets.

mod fixture;

mod admission;
mod attack;
mod debug;
mod deflate;
mod drain;
mod events;
mod frames;

mod handshake;
mod http;
mod identity;
mod keys;
mod limits;
mod messages;
mod ops;
mod phases;
mod places;
mod planned;
mod proxies;
mod pulse;
mod restore;
mod rooms;
mod slow;
mod timeouts;
mod tls;

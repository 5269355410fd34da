//! The gateway from outside: real sockets, hostile input, every sentence of the contract that it reaches.
//!
//! One binary, since linking takes longer than running. Must never reach into the gateway but through its sockets.

mod fixture;

mod deflate;
mod frames;

mod handshake;
mod identity;
mod limits;
mod phases;
mod places;

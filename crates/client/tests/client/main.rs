//! The client against a scripted server: every test says what the server does and what the client must answer.
//!
//! Must never sleep to let something happen: scripts wait for frames.

mod fake;
mod login;
mod reconnect;
mod requests;
mod rooms;
mod sends;
mod tls;

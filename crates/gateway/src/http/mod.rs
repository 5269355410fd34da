//! HTTP on the public listener: the WebSocket handshake, the API, the page at `/`.
//!
//! Must never decide who may do what.

mod api;
pub(crate) mod identify;
mod login;
mod openapi;
mod page;
mod patient;
pub(crate) mod respond;
pub(crate) mod socket;
mod upgrade;

//! The hub from inside: a real store, a real bus, real sockets, and events that are lost, late or too many.
//!
//! One binary, since linking takes longer than running. Must never wait without a deadline.

mod fixture;

mod epoch;
mod joining;
mod lane_model;
mod lanes;
mod members;
mod outbox;
mod repair;
mod replay;
mod subscribing;

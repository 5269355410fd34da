//! Hubbub's rules: who may do what, and what follows from it. One module per noun.
//!
//! Owns authorisation and validation. Must never know sockets or HTTP.

pub mod limits;

pub use limits::Limits;

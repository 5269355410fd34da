//! Owns the tests of the codec from outside. They must never reach for what is not public.

mod deflate;
mod distances;
mod encoding;
mod limits;
mod negotiation;
mod peers;
mod rules;
mod splitting;
mod utf8;
mod wire;

//! The binary as its users meet it: exit codes, what stands on stdout and stderr, files, signals.
//!
//! Must never look inside: every test starts the real program in a folder of its own.

mod commands;
mod compose;
mod deployed;
mod draining;
mod issuer;
mod jwks;
mod keeping;
mod kubernetes;
mod logging;
mod many;
mod metrics;
mod precedence;
mod refusals;
mod reloading;
mod secrets;
mod serving;
mod shipped;
mod shown;
mod shut_in;
mod support;
mod top;

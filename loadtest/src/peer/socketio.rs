//! Stub.

use super::{Dialogue, Peer, Upgrade};
use crate::target::Target;

pub(super) struct Socketio;

impl Socketio {
    pub(super) fn new(_target: &Target) -> Self {
        Self
    }
}

impl Peer for Socketio {
    fn upgrade(&self, _token: &str) -> Upgrade {
        Upgrade::default()
    }
    fn dialogue(&self) -> Box<dyn Dialogue> {
        unreachable!()
    }
    fn has_history(&self) -> bool {
        false
    }
    fn has_idempotent_sends(&self) -> bool {
        false
    }
}

//! Stub.

use super::{Dialogue, Peer, Upgrade};
use crate::target::Target;

pub(super) struct Hubbub;

impl Hubbub {
    pub(super) fn new(_target: &Target) -> Self {
        Self
    }
}

impl Peer for Hubbub {
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

//! Ways in which a cluster could be broken, shown to the bare clients as such a cluster would show itself.
//!
//! They stand between the socket and the record. Must never touch a run that asks for none.

use std::str::FromStr;

/// How the system behaves wrongly.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mutation {
    /// Acks go out before the commit: now and then the node dies between the two.
    AckBeforeCommit,
    /// The bus loses messages and nothing reconciles.
    PublishLost,
    /// A resume begins one event too late or too early.
    AfterOffByOne,
    /// A retry is taken for a new message.
    NoIdempotency,
}

impl Mutation {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::AckBeforeCommit, Self::PublishLost, Self::AfterOffByOne, Self::NoIdempotency];

    /// The name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AckBeforeCommit => "ack-before-commit",
            Self::PublishLost => "publish-lost",
            Self::AfterOffByOne => "after-off-by-one",
            Self::NoIdempotency => "no-idempotency",
        }
    }
}

impl FromStr for Mutation {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let names = || Self::ALL.map(Self::name).join(", ");
        Self::ALL.into_iter().find(|one| one.name() == text).ok_or_else(|| format!("expected one of {}", names()))
    }
}

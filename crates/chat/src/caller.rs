//! On whose behalf something is done, and what it used of their budget.
//!
//! Must never outlive one command or request.

use hubbub_bus::{RateClass, RateVerdict};
use hubbub_protocol::{ErrorCode, Refusal, UserRef};

use crate::Chat;
use crate::identity::Identity;

/// The user of one command.
#[derive(Debug)]
pub struct Caller {
    /// Who.
    pub user: UserRef,
    /// Whether they administer the whole cluster.
    pub admin: bool,
    /// What the command used of a rate, for the `X-RateLimit` headers.
    pub rate: Option<RateVerdict>,
    /// Whether the command made something that was not there before.
    pub created: bool,
}

impl Caller {
    /// A caller for one command of this identity.
    #[must_use]
    pub fn new(identity: &Identity) -> Self {
        Self { user: identity.user.clone(), admin: identity.admin, rate: None, created: false }
    }
}

impl Chat {
    /// Takes one of the caller's budget; `Err` holds the refusal.
    pub(crate) async fn take(&self, caller: &mut Caller, class: RateClass) -> Result<(), Refusal> {
        let per_minute = self.per_minute(class);
        if per_minute == 0 {
            return Ok(());
        }
        let verdict = self.bus.take(class, caller.user.id, per_minute).await;
        let refusal = (!verdict.allowed).then(|| {
            let wait = u64::try_from(verdict.retry_after.as_millis()).unwrap_or(u64::MAX).max(1);
            Refusal::new(ErrorCode::RateLimited).retry_after(wait)
        });
        caller.rate = Some(verdict);
        refusal.map_or(Ok(()), Err)
    }

    /// Gives back what a free command (a duplicate send) had taken.
    pub(crate) fn give_back(&self, caller: &Caller, class: RateClass) {
        let per_minute = self.per_minute(class);
        if per_minute != 0 {
            self.bus.give_back(class, caller.user.id, per_minute);
        }
    }

    fn per_minute(&self, class: RateClass) -> u64 {
        match class {
            RateClass::Sends => self.limits().user_sends_per_minute,
            RateClass::Fetches => self.limits().user_fetches_per_minute,
            RateClass::Typing => self.limits().user_typing_per_minute,
        }
    }
}

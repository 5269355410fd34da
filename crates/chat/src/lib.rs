//! Hubbub's rules: who may do what, and what follows from it. One module per noun.
//!
//! Owns authorisation and validation. Must never know sockets or HTTP.

mod caller;
mod events;
mod facts;
pub mod identity;
mod keyset;
pub mod limits;
mod members;
mod messages;
mod newer;
pub mod passwords;
mod refuse;
mod rooms;
pub mod tokens;
mod users;

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use hubbub_bus::Bus;
use hubbub_protocol::Refusal;
use hubbub_store::Store;

pub use caller::Caller;
pub use hubbub_bus::{Full, Notice, Place, RateVerdict, Scope};
pub use identity::{Identity, LoggedIn};
pub use keyset::{KeySet, KeySetError, SET_KEYS_MAX};
pub use limits::Limits;
pub use refuse::from_store;
pub use tokens::{TokenConfig, TokenKey, Tokens};

/// What the rules are told at start, and again when the configuration changes.
#[derive(Clone)]
pub struct ChatConfig {
    /// Every limit.
    pub limits: Limits,
    /// How tokens are made and checked.
    pub tokens: TokenConfig,
}

/// The rules over one store and one bus. Cheap to share.
pub struct Chat {
    store: Store,
    bus: Bus,
    limits: ArcSwap<Limits>,
    tokens: ArcSwap<Tokens>,
    newer_keys: newer::NewerKeys,
    users: users::Users,
    facts: facts::Facts,
}

impl Chat {
    /// The rules over `store` and `bus`.
    ///
    /// # Errors
    /// When the token key cannot be used.
    pub fn new(store: Store, bus: Bus, config: ChatConfig) -> Result<Arc<Self>, tokens::TokenConfigError> {
        let tokens = ArcSwap::from_pointee(Tokens::new(&config.tokens)?);
        let limits = ArcSwap::from_pointee(config.limits);
        let newer_keys = newer::NewerKeys::default();
        let (users, facts) = (users::Users::default(), facts::Facts::default());
        Ok(Arc::new(Self { store, bus, limits, tokens, newer_keys, users, facts }))
    }

    /// The limits as they are now. Not to be kept over an `await`: they may change.
    #[must_use]
    pub fn limits(&self) -> Guard<Arc<Limits>> {
        self.limits.load()
    }

    /// From now on these limits hold, and tokens are made and checked so. Nothing changes on an error.
    ///
    /// # Errors
    /// When the token key cannot be used.
    pub fn change(&self, config: ChatConfig) -> Result<(), tokens::TokenConfigError> {
        self.change_tokens(&config.tokens)?;
        self.limits.store(Arc::new(config.limits));
        Ok(())
    }

    /// As [`Self::change`], for the tokens alone.
    ///
    /// # Errors
    /// When the token key cannot be used.
    pub fn change_tokens(&self, tokens: &TokenConfig) -> Result<(), tokens::TokenConfigError> {
        self.tokens.store(Arc::new(Tokens::new(tokens)?));
        Ok(())
    }

    /// What nodes share: subscriptions, places, leases.
    #[must_use]
    pub fn bus(&self) -> &Bus {
        &self.bus
    }

    /// Whether the database answers.
    #[must_use]
    pub fn store_is_up(&self) -> bool {
        self.store.is_up()
    }

    /// The state of the store, for operators.
    #[must_use]
    pub fn store_state(&self) -> hubbub_store::StoreState {
        self.store.state()
    }

    /// Asks the database which history it holds; [`Chat::epoch`] tells it from then on.
    ///
    /// # Errors
    /// 90002 while the database does not answer.
    pub async fn look_at_epoch(&self) -> Result<hubbub_protocol::Epoch, Refusal> {
        self.store.ping().await.map_err(from_store)?;
        Ok(self.store.epoch())
    }

    /// Forgets everything that was remembered of another history: its rooms and users may never have been.
    pub fn forget(&self) {
        self.users.forget();
        self.facts.forget();
    }

    /// Names the present history of the database.
    #[must_use]
    pub fn epoch(&self) -> hubbub_protocol::Epoch {
        self.store.epoch()
    }
}

//! Who somebody is: from a token or a password to an [`Identity`].
//!
//! Owns the order of the checks. Must never tell which of name and password was wrong.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hubbub_bus::{Place, Scope};
use hubbub_protocol::{ErrorCode, Refusal, SessionId, Timestamp, UserId, UserName, UserRef};
use hubbub_store::{NewLogin, User, UserRole};
use sha2::{Digest, Sha256};

use crate::refuse::from_store;
use crate::tokens::TokenSubject;
use crate::{Chat, passwords};

/// How long the refresh secret of a login lives.
const REFRESH_LIFETIME: std::time::Duration = std::time::Duration::from_secs(30 * 24 * 3600);

/// How long a client waits that has too many connections, in milliseconds.
const FULL_RETRY_AFTER_MS: u64 = 5_000;

/// Somebody who has proved who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Who.
    pub user: UserRef,
    /// Whether they administer the whole cluster.
    pub admin: bool,
    /// The login that their token came from.
    pub login: Option<SessionId>,
    /// When their token ends.
    pub expires_at: Timestamp,
}

/// What a login answers.
pub struct LoggedIn {
    /// Who.
    pub user: UserRef,
    /// The access token.
    pub access_token: String,
    /// How long it lives.
    pub lifetime: std::time::Duration,
    /// The secret that gets a newer token later; for a cookie that scripts cannot read.
    pub refresh_secret: String,
    /// How long the refresh secret lives.
    pub refresh_lifetime: std::time::Duration,
}

impl Chat {
    /// Checks a token and that its user and login still stand.
    ///
    /// # Errors
    /// 20002 for a bad token or a user who is gone or disabled, 20003 when it has ended, 20005 when its login was
    /// ended, 90002 when the database cannot be asked.
    pub async fn authenticate(&self, token: &str) -> Result<Identity, Refusal> {
        let subject = self.verify(token).await?;
        let user = self.users.find(&self.store, subject.user).await?.filter(|user| !user.disabled);
        let Some(user) = user else {
            return Err(Refusal::new(ErrorCode::TokenInvalid).because("The token names nobody."));
        };
        if let Some(login) = subject.login {
            let ended = self.store.login(login).await.map_err(from_store)?.is_some_and(|login| login.ended);
            if ended {
                return Err(ErrorCode::SessionRevoked.into());
            }
        }
        Ok(identity(&user, subject.login, subject.expires_at))
    }

    /// Checks a token; once more with newer keys, if it may be of one.
    async fn verify(&self, token: &str) -> Result<TokenSubject, Refusal> {
        let tokens = self.tokens.load_full();
        let refusal = match tokens.verify(token) {
            Ok(subject) => return Ok(subject),
            Err(refusal) => refusal,
        };
        if !tokens.names_unknown_key(token) {
            return Err(refusal);
        }
        self.newer_keys.wait().await;
        self.tokens.load().verify(token)
    }

    /// Counts one more connection of a user over all nodes.
    ///
    /// # Errors
    /// 40002 when they have as many as they may.
    pub async fn enter_user(&self, user: UserId) -> Result<Place, Refusal> {
        let max = self.limits().connections_per_user;
        self.enter(Scope::User(user), max).await
    }

    /// Counts one more connection from an address over all nodes.
    ///
    /// # Errors
    /// 40002 when there are as many as may be.
    pub async fn enter_address(&self, address: IpAddr) -> Result<Place, Refusal> {
        let max = self.limits().connections_per_address;
        self.enter(Scope::Address(address), max).await
    }

    async fn enter(&self, scope: Scope, max: u64) -> Result<Place, Refusal> {
        let full = |_| Refusal::new(ErrorCode::TooManyConnections).retry_after(FULL_RETRY_AFTER_MS);
        self.bus.enter(scope, max).await.map_err(full)
    }

    /// Signs on by name and password.
    ///
    /// # Errors
    /// 20006 for a wrong name or password, 90003 when too many sign on at once.
    pub async fn log_in(&self, name: &str, password: String) -> Result<LoggedIn, Refusal> {
        let known = match name.parse::<UserName>() {
            Ok(name) => self.store.password_hash(&name).await.map_err(from_store)?,
            Err(_) => None,
        };
        let (user, hash) = known.map_or((None, None), |(user, hash)| (Some(user), hash));
        let right = passwords::verify(password, hash).await?;
        let Some(user) = user.filter(|user| right && !user.disabled) else {
            return Err(ErrorCode::CredentialsWrong.into());
        };
        let login = SessionId::new();
        let secret = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
        let started = NewLogin {
            id: login,
            user: user.id,
            refresh_hash: Sha256::digest(secret.as_bytes()).to_vec(),
            expires_at: Timestamp::now().plus(REFRESH_LIFETIME),
        };
        self.store.start_login(started).await.map_err(from_store)?;
        let minted = self.tokens.load().mint(user.id, Some(login), None)?;
        Ok(LoggedIn {
            user: user_ref(&user),
            access_token: minted.token,
            lifetime: minted.lifetime,
            refresh_secret: format!("{login}.{secret}"),
            refresh_lifetime: REFRESH_LIFETIME,
        })
    }
}

fn user_ref(user: &User) -> UserRef {
    UserRef { id: user.id, name: user.name.as_str().into() }
}

fn identity(user: &User, login: Option<SessionId>, expires_at: Timestamp) -> Identity {
    Identity { user: user_ref(user), admin: user.role == UserRole::Admin, login, expires_at }
}

//! The store's calls for users and logins.
//!
//! Must never see a password or a secret, only hashes.

use hubbub_protocol::{SessionId, Timestamp, UserId, UserName, UserSelector};

use crate::circuit::{CALL_TIMEOUT, Settled};
use crate::directory::{Login, NewLogin, NewUser, User, UserRole};
use crate::engine::{Engine, Lease, pooled, postgres, sqlite};
use crate::error::{StoreError, StoreErrorKind};
use crate::metrics::Op;
use crate::store::{Store, call};

/// Users in one bulk statement: enough to make the way there and back cheap, few enough to end in milliseconds.
const USERS_PER_STATEMENT: usize = 1_000;

impl Store {
    /// Makes a user.
    ///
    /// # Errors
    /// `Conflict` when the name is taken, or why the store failed.
    pub async fn create_user(&self, new: NewUser) -> Result<User, StoreError> {
        let user = User {
            id: UserId::new(),
            name: new.name.clone(),
            role: new.role,
            disabled: false,
            created_at: Timestamp::now(),
        };
        let result = call!(self, CreateUser, directory, users::create(&new, &user));
        match result {
            Err(error) if error.kind() == StoreErrorKind::Conflict => {
                // An attempt whose answer was lost may have made this very user.
                let there = self.user(&UserSelector::Name(user.name.clone())).await?;
                if there.is_some_and(|there| there.id == user.id) { Ok(user) } else { Err(error) }
            }
            result => result.map(|()| user),
        }
    }

    /// Makes users, a thousand in a statement, and returns how many it made. Whose name is taken is skipped, so the
    /// same call again makes only what is missing.
    ///
    /// # Errors
    /// When the store fails. What was made until then stays.
    pub async fn create_users(&self, new: &[NewUser]) -> Result<u64, StoreError> {
        let mut made = 0;
        for new in new.chunks(USERS_PER_STATEMENT) {
            // The ids are the same in every attempt: they tell what an attempt made whose answer was lost.
            let ids: Vec<UserId> = new.iter().map(|_| UserId::new()).collect();
            let at = Timestamp::now();
            made += call!(self, CreateUsers, directory, users::create_many(new, &ids, at))?;
        }
        Ok(made)
    }

    /// The users that have one of these names, a thousand in a query, in no order.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn users_named(&self, names: &[UserName]) -> Result<Vec<User>, StoreError> {
        let mut found = Vec::with_capacity(names.len());
        for names in names.chunks(USERS_PER_STATEMENT) {
            found.extend(call!(self, UsersNamed, reads, users::users_named(names))?);
        }
        Ok(found)
    }

    /// The user of this id or name.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn user(&self, user: &UserSelector) -> Result<Option<User>, StoreError> {
        call!(self, User, reads, users::user(user))
    }

    /// A page of users by name.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn users(&self, after: Option<UserName>, limit: u64) -> Result<Vec<User>, StoreError> {
        call!(self, Users, reads, users::users(after.as_ref(), limit))
    }

    /// The user of this name and the hash of their password, if they have one.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn password_hash(&self, name: &UserName) -> Result<Option<(User, Option<String>)>, StoreError> {
        call!(self, PasswordHash, reads, users::password_hash(name))
    }

    /// Sets or removes a password; false when there is no such user.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn set_password_hash(&self, user: UserId, hash: Option<String>) -> Result<bool, StoreError> {
        call!(self, SetUser, directory, users::set_password_hash(user, hash.as_deref()))
    }

    /// Forbids or allows signing on; false when there is no such user.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn set_disabled(&self, user: UserId, disabled: bool) -> Result<bool, StoreError> {
        call!(self, SetUser, directory, users::set_disabled(user, disabled))
    }

    /// Sets what a user may do; false when there is no such user.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn set_user_role(&self, user: UserId, role: UserRole) -> Result<bool, StoreError> {
        call!(self, SetUser, directory, users::set_role(user, role))
    }

    /// Starts a login. The same login again changes nothing.
    ///
    /// # Errors
    /// `Conflict` when there is no such user or the id is another login's, or why the store failed.
    pub async fn start_login(&self, login: NewLogin) -> Result<(), StoreError> {
        let result = call!(self, StartLogin, directory, users::start_login(&login));
        match result {
            Err(error) if error.kind() == StoreErrorKind::Conflict => {
                let there = self.login(login.id).await?;
                let same = |there: Login| there.user == login.user && there.refresh_hash == login.refresh_hash;
                if there.is_some_and(same) { Ok(()) } else { Err(error) }
            }
            result => result,
        }
    }

    /// The login behind a `sid`.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn login(&self, id: SessionId) -> Result<Option<Login>, StoreError> {
        call!(self, Login, reads, users::login(id))
    }

    /// Ends a login; false when there is none or it has ended before.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn end_login(&self, id: SessionId) -> Result<bool, StoreError> {
        call!(self, EndLogin, directory, users::end_login(id))
    }

    /// Ends all logins of a user and returns those that were open.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn end_logins_of(&self, user: UserId) -> Result<Vec<SessionId>, StoreError> {
        call!(self, EndLogin, directory, users::end_logins_of(user))
    }

    /// Replaces the refresh secret if it is still the old one and the login is open; false otherwise.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn rotate_refresh(
        &self,
        id: SessionId,
        old_hash: &[u8],
        new_hash: &[u8],
        expires_at: Timestamp,
    ) -> Result<bool, StoreError> {
        call!(self, RotateRefresh, directory, users::rotate_refresh(id, old_hash, new_hash, expires_at))
    }
}

//! The directory's nouns: users and their logins.
//!
//! Must never show a password's or a secret's hash in its `Debug` text.

use std::fmt;

use hubbub_protocol::{SessionId, Timestamp, UserId, UserName};

/// What a user may do on the whole cluster.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum UserRole {
    /// Chats.
    User,
    /// Runs the cluster.
    Admin,
}

impl UserRole {
    /// The name in storage and on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Admin => "admin",
        }
    }

    /// The role with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::User, Self::Admin].into_iter().find(|role| role.as_str() == name)
    }
}

/// A user to be made. Its id is made by the store.
#[derive(Clone)]
pub struct NewUser {
    /// The name, unique in the cluster.
    pub name: UserName,
    /// The password, hashed by the caller; none for somebody who signs on by token alone.
    pub password_hash: Option<String>,
    /// What they may do.
    pub role: UserRole,
}

impl fmt::Debug for NewUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewUser").field("name", &self.name).field("role", &self.role).finish_non_exhaustive()
    }
}

/// A user.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct User {
    /// Who.
    pub id: UserId,
    /// Their name.
    pub name: UserName,
    /// What they may do.
    pub role: UserRole,
    /// They may not sign on.
    pub disabled: bool,
    /// When they were made.
    pub created_at: Timestamp,
}

/// A login to be started.
#[derive(Clone)]
pub struct NewLogin {
    /// The `sid` of its tokens.
    pub id: SessionId,
    /// Whose.
    pub user: UserId,
    /// Hash of the refresh secret.
    pub refresh_hash: Vec<u8>,
    /// When the refresh secret ends.
    pub expires_at: Timestamp,
}

impl fmt::Debug for NewLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewLogin").field("id", &self.id).field("user", &self.user).finish_non_exhaustive()
    }
}

/// A login: what stands behind the `sid` of a token.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The `sid` of its tokens.
    pub id: SessionId,
    /// Whose.
    pub user: UserId,
    /// Hash of the refresh secret.
    pub refresh_hash: Vec<u8>,
    /// When the refresh secret ends.
    pub expires_at: Timestamp,
    /// It was ended before its time: its tokens answer 20005.
    pub ended: bool,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut login = f.debug_struct("Login");
        login.field("id", &self.id).field("user", &self.user).field("ended", &self.ended).finish_non_exhaustive()
    }
}

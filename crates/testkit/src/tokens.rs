//! Access tokens signed with the cluster's secret (CONTRACT §4, proof of identity).
//!
//! Must never be used where the minting of tokens itself is tested.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use hubbub_protocol::UserId;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;

/// A token of this user for so long.
///
/// # Errors
/// When the clock stands before 1970.
pub fn sign(secret: &str, user: UserId, lifetime: Duration) -> Result<String> {
    let end = SystemTime::now().duration_since(UNIX_EPOCH)? + lifetime;
    let claims = json!({ "iss": "hubbub", "aud": "hubbub", "sub": user, "exp": end.as_secs() });
    Ok(jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(secret.as_bytes()))?)
}

//! Access tokens: JWTs that name a user for a while.
//!
//! Owns what a token must hold (CONTRACT §4, proof of identity). Must never ask the store: whether the user is
//! still there is the business of [`crate::identity`].

use std::time::Duration;

use hubbub_protocol::{ErrorCode, Refusal, SessionId, Timestamp, UserId};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, errors::ErrorKind};
use serde::{Deserialize, Serialize};

use crate::keyset::{KeySet, SetKey};

/// How far two clocks may differ, in seconds.
const LEEWAY_SECS: u64 = 5;

/// Shortest HS256 secret, in bytes (RFC 7518 §3.2: as long as the hash).
pub const SECRET_BYTES_MIN: usize = 32;

/// Longest token that is looked at, in bytes; it has to fit a header line anyway.
const TOKEN_BYTES_MAX: usize = 8 << 10;

/// Most public keys at a time: each is tried with a token that none before it has signed.
pub const PUBLIC_KEYS_MAX: usize = 4;

/// What tokens are checked with.
#[derive(Clone, PartialEq, Eq)]
pub enum TokenKey {
    /// HS256 with the bytes of this text; such a node also mints tokens.
    Secret(String),
    /// HS256 as well: minted with the first, accepted from either, so that a secret can be changed while tokens of both
    /// are about.
    Secrets {
        /// Signs.
        signing: String,
        /// Only checks.
        other: String,
    },
    /// EdDSA or RS256 with one of these public keys (PEM, one behind the other); tokens are minted elsewhere.
    PublicKey(Vec<u8>),
    /// The published keys of an issuer, told apart by their ids; tokens are minted elsewhere.
    KeySet(KeySet),
}

/// How tokens are made and checked.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenConfig {
    /// The key.
    pub key: TokenKey,
    /// `iss`.
    pub issuer: String,
    /// `aud`.
    pub audience: String,
    /// How long a token from a login lives.
    pub lifetime: Duration,
}

/// Why a [`TokenConfig`] cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenConfigError {
    /// The secret is too short.
    #[error("the token secret has fewer than {SECRET_BYTES_MIN} bytes")]
    SecretTooShort,
    /// The PEM holds something that is neither an Ed25519 nor an RSA public key, or nothing.
    #[error("the public key is neither Ed25519 nor RSA in PEM")]
    PublicKey,
    /// The PEM holds more keys than [`PUBLIC_KEYS_MAX`].
    #[error("more than {PUBLIC_KEYS_MAX} public keys")]
    TooManyKeys,
}

/// The claims that Hubbub looks at. Others may stand beside them.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: serde_json::Value,
    sub: UserId,
    exp: i64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    iat: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    sid: Option<SessionId>,
}

/// What a valid token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSubject {
    /// Who.
    pub user: UserId,
    /// The login it came from, if it names one.
    pub login: Option<SessionId>,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// One key, with what a token that it has signed must hold.
struct Check {
    /// By which a token names this key; none: it is tried with every token.
    id: Option<String>,
    key: DecodingKey,
    validation: Validation,
}

impl Check {
    fn new(algorithm: Algorithm, key: DecodingKey, config: &TokenConfig) -> Self {
        // The algorithm is pinned to the key, so `none` and a public key used as an HMAC secret are refused.
        let mut validation = Validation::new(algorithm);
        validation.leeway = LEEWAY_SECS;
        validation.validate_nbf = true;
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.set_issuer(&[&config.issuer]);
        validation.set_audience(&[&config.audience]);
        Self { id: None, key, validation }
    }

    /// Whether a token that names this key may be of this one.
    fn may_be(&self, id: Option<&str>) -> bool {
        self.id.is_none() || id.is_none() || self.id.as_deref() == id
    }
}

/// Makes and checks tokens.
pub struct Tokens {
    /// The first is that of whoever mints.
    checks: Vec<Check>,
    /// Of a set, of which there may be a newer one.
    is_set: bool,
    encoding: Option<EncodingKey>,
    issuer: String,
    audience: String,
    lifetime: Duration,
}

impl Tokens {
    /// Prepares the keys.
    ///
    /// # Errors
    /// When the key cannot be used.
    pub fn new(config: &TokenConfig) -> Result<Self, TokenConfigError> {
        let secret = |secret: &str| match secret.len() {
            SECRET_BYTES_MIN.. => Ok(Check::new(Algorithm::HS256, DecodingKey::from_secret(secret.as_bytes()), config)),
            _ => Err(TokenConfigError::SecretTooShort),
        };
        let (checks, signing) = match &config.key {
            TokenKey::Secret(signing) => (vec![secret(signing)?], Some(signing)),
            TokenKey::Secrets { signing, other } => (vec![secret(signing)?, secret(other)?], Some(signing)),
            TokenKey::PublicKey(pem) => (public_keys(pem, config)?, None),
            TokenKey::KeySet(set) => (key_set(set, config), None),
        };
        Ok(Self {
            checks,
            is_set: matches!(config.key, TokenKey::KeySet(_)),
            encoding: signing.map(|secret| EncodingKey::from_secret(secret.as_bytes())),
            issuer: config.issuer.clone(),
            audience: config.audience.clone(),
            lifetime: config.lifetime,
        })
    }

    /// Checks a token.
    ///
    /// # Errors
    /// [`ErrorCode::TokenExpired`] when it has ended, [`ErrorCode::TokenInvalid`] for every other fault.
    pub fn verify(&self, token: &str) -> Result<TokenSubject, Refusal> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(ErrorCode::TokenInvalid.into());
        }
        let id = key_id(token);
        let mut decoded = Err(ErrorKind::InvalidSignature.into());
        for check in self.checks.iter().filter(|check| check.may_be(id.as_deref())) {
            decoded = jsonwebtoken::decode::<Claims>(token, &check.key, &check.validation);
            // Whatever else is wrong with a token is wrong under every key: only another signer's is tried again.
            if !decoded.as_ref().is_err_and(|error| is_of_another_key(error.kind())) {
                break;
            }
        }
        let decoded = decoded.map_err(|error| match error.kind() {
            ErrorKind::ExpiredSignature => ErrorCode::TokenExpired,
            _ => ErrorCode::TokenInvalid,
        })?;
        // Hubbub knows no critical extension, so each is unknown (RFC 7515 §4.1.11).
        if decoded.header.crit.is_some() {
            return Err(Refusal::new(ErrorCode::TokenInvalid).because("The token has an unknown critical header."));
        }
        let claims = decoded.claims;
        let latest = Timestamp::now().secs() + LEEWAY_SECS.cast_signed();
        if claims.iat.is_some_and(|iat| iat > latest) {
            return Err(Refusal::new(ErrorCode::TokenInvalid).because("The token was issued in the future."));
        }
        Ok(TokenSubject { user: claims.sub, login: claims.sid, expires_at: Timestamp::from_secs(claims.exp) })
    }

    /// Whether a token may be good although it was refused: it names a key that a newer set may have.
    #[must_use]
    pub fn names_unknown_key(&self, token: &str) -> bool {
        let is_unknown = |id: String| self.checks.iter().all(|check| check.id.as_ref() != Some(&id));
        self.is_set && token.len() <= TOKEN_BYTES_MAX && key_id(token).is_some_and(is_unknown)
    }

    /// Makes a token; `lifetime` is the configured one unless given.
    ///
    /// # Errors
    /// [`ErrorCode::Forbidden`] where only a public key is configured.
    pub fn mint(
        &self,
        user: UserId,
        login: Option<SessionId>,
        lifetime: Option<Duration>,
    ) -> Result<MintedToken, Refusal> {
        let Some(key) = &self.encoding else {
            return Err(Refusal::new(ErrorCode::Forbidden).because("Tokens are issued elsewhere."));
        };
        let lifetime = lifetime.unwrap_or(self.lifetime);
        let now = Timestamp::now();
        let expires_at = Timestamp::from_secs(now.plus(lifetime).secs());
        let claims = Claims {
            iss: self.issuer.clone(),
            aud: self.audience.clone().into(),
            sub: user,
            exp: expires_at.secs(),
            iat: Some(now.secs()),
            sid: login,
        };
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, key)
            .map_err(|_| Refusal::new(ErrorCode::Internal))?;
        Ok(MintedToken { token, expires_at, lifetime })
    }
}

/// The key that a token names, whether it is right or not.
fn key_id(token: &str) -> Option<String> {
    jsonwebtoken::decode_header(token).ok()?.kid
}

/// The keys of a set, each with what its tokens must hold.
fn key_set(set: &KeySet, config: &TokenConfig) -> Vec<Check> {
    let check = |key: &SetKey| Check { id: key.id.clone(), ..Check::new(key.algorithm, key.key.clone(), config) };
    set.iter().map(check).collect()
}

/// Whether a token with this fault may be good under another key.
fn is_of_another_key(fault: &ErrorKind) -> bool {
    matches!(fault, ErrorKind::InvalidSignature | ErrorKind::InvalidAlgorithm)
}

/// What stands before every key in PEM.
const PEM_BEGIN: &str = "-----BEGIN";

/// The keys of a PEM file, each with what its tokens must hold.
fn public_keys(pem: &[u8], config: &TokenConfig) -> Result<Vec<Check>, TokenConfigError> {
    let text = std::str::from_utf8(pem).map_err(|_| TokenConfigError::PublicKey)?;
    // What stands before the first key is a comment.
    let blocks = text.split(PEM_BEGIN).skip(1).map(|rest| format!("{PEM_BEGIN}{rest}"));
    let checks: Vec<Check> = blocks
        .map(|block| {
            let pem = block.as_bytes();
            match (DecodingKey::from_ed_pem(pem), DecodingKey::from_rsa_pem(pem)) {
                (Ok(key), _) => Ok(Check::new(Algorithm::EdDSA, key, config)),
                (_, Ok(key)) => Ok(Check::new(Algorithm::RS256, key, config)),
                _ => Err(TokenConfigError::PublicKey),
            }
        })
        .collect::<Result<_, _>>()?;
    match checks.len() {
        0 => Err(TokenConfigError::PublicKey),
        1..=PUBLIC_KEYS_MAX => Ok(checks),
        _ => Err(TokenConfigError::TooManyKeys),
    }
}

/// A token that was just made.
pub struct MintedToken {
    /// The JWT.
    pub token: String,
    /// When it ends.
    pub expires_at: Timestamp,
    /// How long it lives.
    pub lifetime: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn tokens() -> Tokens {
        let key = TokenKey::Secret(SECRET.to_owned());
        let lifetime = Duration::from_secs(60);
        Tokens::new(&TokenConfig { key, issuer: "hubbub".into(), audience: "hubbub".into(), lifetime }).unwrap()
    }

    fn signed(header: &Header, claims: &Value) -> String {
        jsonwebtoken::encode(header, claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
    }

    fn good_claims() -> Value {
        let exp = Timestamp::now().secs() + 60;
        json!({ "iss": "hubbub", "aud": "hubbub", "sub": UserId::new(), "exp": exp })
    }

    #[test]
    fn reads_what_it_minted() {
        let (user, login) = (UserId::new(), SessionId::new());
        let minted = tokens().mint(user, Some(login), None).unwrap();
        let subject = tokens().verify(&minted.token).unwrap();
        assert_eq!(subject, TokenSubject { user, login: Some(login), expires_at: minted.expires_at });
    }

    #[test]
    fn while_a_secret_is_changed_tokens_of_both_are_good_and_one_signs() {
        const NEW: &str = "fedcba9876543210fedcba9876543210";
        let user = UserId::new();
        let with = |key| {
            let lifetime = Duration::from_secs(60);
            Tokens::new(&TokenConfig { key, issuer: "hubbub".into(), audience: "hubbub".into(), lifetime }).unwrap()
        };
        let both = with(TokenKey::Secrets { signing: NEW.to_owned(), other: SECRET.to_owned() });
        let new = with(TokenKey::Secret(NEW.to_owned()));
        let (by_old, by_both) = (tokens().mint(user, None, None).unwrap(), both.mint(user, None, None).unwrap());
        assert_eq!(both.verify(&by_old.token).unwrap().user, user);
        assert_eq!(new.verify(&by_both.token).unwrap().user, user);
        assert_eq!(new.verify(&by_old.token).unwrap_err().code, ErrorCode::TokenInvalid);
        // A fault of a token of the second key is told as what it is.
        let mut ended = good_claims();
        ended["exp"] = json!(1);
        assert_eq!(both.verify(&signed(&Header::default(), &ended)).unwrap_err().code, ErrorCode::TokenExpired);
    }

    #[test]
    fn an_audience_may_be_one_of_a_list() {
        let mut claims = good_claims();
        claims["aud"] = json!(["other", "hubbub"]);
        assert!(tokens().verify(&signed(&Header::default(), &claims)).is_ok());
    }

    #[test]
    fn wrong_or_missing_claims_are_refused() {
        let now = Timestamp::now().secs();
        let faults = [
            ("iss", json!("else"), ErrorCode::TokenInvalid),
            ("aud", json!("else"), ErrorCode::TokenInvalid),
            ("sub", json!("nobody"), ErrorCode::TokenInvalid),
            ("exp", json!(now - 6), ErrorCode::TokenExpired),
            ("nbf", json!(now + 60), ErrorCode::TokenInvalid),
            ("iat", json!(now + 60), ErrorCode::TokenInvalid),
            ("sid", json!(7), ErrorCode::TokenInvalid),
        ];
        for (claim, value, code) in faults {
            let mut claims = good_claims();
            claims[claim] = value;
            assert_eq!(tokens().verify(&signed(&Header::default(), &claims)).unwrap_err().code, code, "{claim}");
        }
        for claim in ["iss", "aud", "sub", "exp"] {
            let mut claims = good_claims();
            claims.as_object_mut().unwrap().remove(claim);
            let refusal = tokens().verify(&signed(&Header::default(), &claims)).unwrap_err();
            assert_eq!(refusal.code, ErrorCode::TokenInvalid, "{claim}");
        }
    }

    #[test]
    fn other_algorithms_none_and_critical_headers_are_refused() {
        let hs512 = signed(&Header::new(Algorithm::HS512), &good_claims());
        let critical = Header { crit: Some(vec!["x".to_owned()]), ..Header::default() };
        let critical = signed(&critical, &good_claims());
        let good = signed(&Header::default(), &good_claims());
        let body = good.split('.').nth(1).unwrap();
        let none = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{body}.");
        let unsigned = format!("{}.", good.rsplit_once('.').unwrap().0);
        for bad in [hs512, critical, none, unsigned, "x".repeat(9000), String::new()] {
            assert_eq!(tokens().verify(&bad).unwrap_err().code, ErrorCode::TokenInvalid, "{bad}");
        }
    }

    #[test]
    fn a_short_secret_is_refused() {
        let key = TokenKey::Secret("short".to_owned());
        let lifetime = Duration::from_secs(60);
        let config = TokenConfig { key, issuer: "h".into(), audience: "h".into(), lifetime };
        assert!(matches!(Tokens::new(&config), Err(TokenConfigError::SecretTooShort)));
    }
}

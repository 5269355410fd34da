//! A JSON Web Key Set (RFC 7517): the public keys of an issuer of tokens, each with its id.
//!
//! Owns which of them count. Must never take a key whose algorithm is not settled by the key itself, nor a secret one.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};
use serde::Deserialize;

/// Most keys of a set, those included that do not count: each is tried with a token that names none.
pub const SET_KEYS_MAX: usize = 32;

/// Lengths of an RSA modulus in bytes that can be checked: 2048 to 8192 bits.
const MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;

/// A public key of P-256 in bytes: a mark and two coordinates.
const P256_BYTES: usize = 65;

/// A public key of Ed25519 in bytes.
const ED25519_BYTES: usize = 32;

/// Why a text is no set of keys.
#[derive(Debug, thiserror::Error)]
pub enum KeySetError {
    /// Not the JSON of a set.
    #[error("this is no JSON Web Key Set")]
    Form,
    /// More than [`SET_KEYS_MAX`].
    #[error("the set has more than {SET_KEYS_MAX} keys")]
    TooMany,
    /// None counts.
    #[error("the set has no key for RS256, ES256 or EdDSA that is meant for signatures")]
    Empty,
}

/// The keys that tokens are checked with. The default is no key at all: every token is refused.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct KeySet(Vec<SetKey>);

/// A key whose algorithm is settled.
#[derive(Clone)]
pub(crate) struct SetKey {
    /// By which tokens name it.
    pub(crate) id: Option<String>,
    pub(crate) algorithm: Algorithm,
    pub(crate) key: DecodingKey,
    /// What it was made from, to be compared.
    jwk: Jwk,
}

impl PartialEq for SetKey {
    fn eq(&self, other: &Self) -> bool {
        self.jwk == other.jwk
    }
}

impl Eq for SetKey {}

#[derive(Deserialize)]
struct Set {
    keys: Vec<serde_json::Value>,
}

impl KeySet {
    /// Reads a set. Keys that are not for checking tokens, or that cannot be read, are left out (RFC 7517 §5).
    ///
    /// # Errors
    /// When nothing is left, and for what is no set or too large.
    pub fn read(json: &[u8]) -> Result<Self, KeySetError> {
        let set: Set = serde_json::from_slice(json).map_err(|_| KeySetError::Form)?;
        if set.keys.len() > SET_KEYS_MAX {
            return Err(KeySetError::TooMany);
        }
        let jwks = set.keys.into_iter().filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
        let keys: Vec<SetKey> = jwks.filter_map(SetKey::new).collect();
        if keys.is_empty() { Err(KeySetError::Empty) } else { Ok(Self(keys)) }
    }

    /// How many keys count.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no key counts.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, SetKey> {
        self.0.iter()
    }
}

impl SetKey {
    fn new(jwk: Jwk) -> Option<Self> {
        let (algorithm, named) = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
                (Algorithm::ES256, KeyAlgorithm::ES256)
            }
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
                (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
            }
            // A secret is none once it has been published; other curves are not for these algorithms.
            _ => return None,
        };
        let common = &jwk.common;
        let is_for_tokens = common.key_algorithm.is_none_or(|algorithm| algorithm == named)
            && matches!(common.public_key_use, None | Some(PublicKeyUse::Signature))
            && common.key_operations.as_ref().is_none_or(|operations| operations.contains(&KeyOperations::Verify));
        let key = DecodingKey::from_jwk(&jwk).ok()?;
        let is_whole = match key.kind() {
            DecodingKeyKind::RsaModulusExponent { n, e } => MODULUS_BYTES.contains(&n.len()) && !e.is_empty(),
            DecodingKeyKind::SecretOrDer(key) if algorithm == Algorithm::ES256 => key.len() == P256_BYTES,
            DecodingKeyKind::SecretOrDer(key) => key.len() == ED25519_BYTES,
        };
        (is_for_tokens && is_whole).then(|| Self { id: jwk.common.key_id.clone(), algorithm, key, jwk })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hubbub_protocol::{ErrorCode, Timestamp, UserId};
    use jsonwebtoken::{EncodingKey, Header};
    use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256, RsaKeySize};
    use serde_json::{Value, json};

    use super::*;
    use crate::{TokenConfig, TokenKey, Tokens};

    /// A key of the issuer.
    struct Own {
        algorithm: Algorithm,
        key: EncodingKey,
        public: DecodingKey,
    }

    impl Own {
        fn new(algorithm: Algorithm) -> Self {
            let pair = match algorithm {
                Algorithm::RS256 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
                Algorithm::ES256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
                _ => KeyPair::generate_for(&PKCS_ED25519),
            };
            let (secret, public) = pair.map(|pair| (pair.serialize_pem(), pair.public_key_pem())).unwrap();
            let (secret, public) = (secret.as_bytes(), public.as_bytes());
            let (key, public) = match algorithm {
                Algorithm::RS256 => (EncodingKey::from_rsa_pem(secret), DecodingKey::from_rsa_pem(public)),
                Algorithm::ES256 => (EncodingKey::from_ec_pem(secret), DecodingKey::from_ec_pem(public)),
                _ => (EncodingKey::from_ed_pem(secret), DecodingKey::from_ed_pem(public)),
            };
            Self { algorithm, key: key.unwrap(), public: public.unwrap() }
        }

        /// As it is published, under this id.
        fn public(&self, id: &str) -> Value {
            let jwk = Jwk::from_decoding_key(&self.public, Some(self.algorithm)).unwrap();
            with(serde_json::to_value(jwk).unwrap(), "kid", json!(id))
        }

        fn token(&self, id: Option<&str>) -> String {
            let header = Header { kid: id.map(str::to_owned), ..Header::new(self.algorithm) };
            let exp = Timestamp::now().secs() + 60;
            let claims = json!({ "iss": "hubbub", "aud": "hubbub", "sub": UserId::new(), "exp": exp });
            jsonwebtoken::encode(&header, &claims, &self.key).unwrap()
        }
    }

    fn with(mut key: Value, field: &str, value: Value) -> Value {
        key[field] = value;
        key
    }

    fn read(keys: &[Value]) -> Result<KeySet, KeySetError> {
        KeySet::read(json!({ "keys": keys }).to_string().as_bytes())
    }

    fn tokens(keys: &[Value]) -> Tokens {
        let key = TokenKey::KeySet(read(keys).unwrap());
        let lifetime = Duration::from_secs(60);
        Tokens::new(&TokenConfig { key, issuer: "hubbub".into(), audience: "hubbub".into(), lifetime }).unwrap()
    }

    fn refused(tokens: &Tokens, token: &str) -> bool {
        tokens.verify(token).is_err_and(|refusal| refusal.code == ErrorCode::TokenInvalid)
    }

    #[test]
    fn each_algorithm_checks_its_own_tokens_with_and_without_an_id() {
        let owners = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA].map(Own::new);
        let ids = ["a", "b", "c"];
        let keys: Vec<Value> = owners.iter().zip(ids).map(|(owner, id)| owner.public(id)).collect();
        let tokens = tokens(&keys);
        for (owner, id) in owners.iter().zip(ids) {
            for named in [Some(id), None] {
                assert!(tokens.verify(&owner.token(named)).is_ok(), "{id} {named:?}");
            }
            for other in ids.into_iter().filter(|other| *other != id) {
                assert!(refused(&tokens, &owner.token(Some(other))), "{id} as {other}");
            }
        }
        let foreign = Own::new(Algorithm::EdDSA);
        assert!(refused(&tokens, &foreign.token(None)) && refused(&tokens, &foreign.token(Some("c"))));
        assert!(tokens.mint(UserId::new(), None, None).is_err(), "tokens are minted elsewhere");
    }

    #[test]
    fn only_keys_that_are_meant_for_tokens_count() {
        let [rsa, ec, ed] = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA].map(|of| Own::new(of).public("x"));
        let bad = [
            json!("no object"),
            json!({ "kty": "oct", "k": "c2VjcmV0IG9mIDMyIGJ5dGVzIG9yIG1vcmUgLi4uLi4", "kid": "x", "alg": "HS256" }),
            json!({ "kty": "future", "kid": "x" }),
            with(rsa.clone(), "use", json!("enc")),
            with(rsa.clone(), "alg", json!("RS512")),
            with(rsa.clone(), "alg", json!("HS256")),
            with(rsa.clone(), "key_ops", json!(["encrypt"])),
            with(rsa.clone(), "n", json!("AQAB")),
            with(ec.clone(), "crv", json!("P-384")),
            with(ec.clone(), "x", json!("AQAB")),
            with(ed.clone(), "x", json!("not/base64url")),
        ];
        for key in &bad {
            assert!(matches!(read(std::slice::from_ref(key)), Err(KeySetError::Empty)), "{key}");
        }
        let good = [with(rsa, "use", json!("sig")), ec, with(ed, "alg", Value::Null)];
        let set = read(&[&bad[..], &good[..]].concat()).unwrap();
        assert_eq!(set.len(), good.len());
        assert!(set == read(&good).unwrap(), "what does not count makes no difference");
    }

    #[test]
    fn a_published_key_is_no_secret_of_an_hmac() {
        let owner = Own::new(Algorithm::EdDSA);
        let tokens = tokens(&[owner.public("a")]);
        let x = owner.public("a")["x"].as_str().unwrap().to_owned();
        let forged = Own { algorithm: Algorithm::HS256, key: EncodingKey::from_secret(x.as_bytes()), ..owner };
        assert!(refused(&tokens, &forged.token(Some("a"))) && refused(&tokens, &forged.token(None)));
    }

    #[test]
    fn what_is_no_set_or_too_large_is_refused() {
        for text in ["", "{}", "[]", "{\"keys\":{}}", "<html></html>"] {
            assert!(matches!(KeySet::read(text.as_bytes()), Err(KeySetError::Form)), "{text}");
        }
        let key = Own::new(Algorithm::EdDSA).public("a");
        assert_eq!(read(&vec![key.clone(); SET_KEYS_MAX]).unwrap().len(), SET_KEYS_MAX);
        assert!(matches!(read(&vec![key; SET_KEYS_MAX + 1]), Err(KeySetError::TooMany)));
    }

    #[test]
    fn an_unknown_id_asks_for_a_newer_set_and_a_known_one_does_not() {
        let (old, new) = (Own::new(Algorithm::EdDSA), Own::new(Algorithm::ES256));
        let before = tokens(&[old.public("old")]);
        assert!(refused(&before, &new.token(Some("new"))) && before.names_unknown_key(&new.token(Some("new"))));
        assert!(!before.names_unknown_key(&new.token(Some("old"))), "a newer set cannot make it good");
        assert!(!before.names_unknown_key(&new.token(None)) && !before.names_unknown_key("no token"));
        let during = tokens(&[old.public("old"), new.public("new")]);
        assert!(during.verify(&old.token(Some("old"))).is_ok() && during.verify(&new.token(Some("new"))).is_ok());
        let after = tokens(&[new.public("new")]);
        assert!(refused(&after, &old.token(Some("old"))) && refused(&after, &old.token(None)));
    }
}

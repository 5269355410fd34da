//! CONTRACT §4 and issue 3, item 4: tokens by public key, whose algorithm is pinned to the key.

use std::time::Duration;

use hubbub_chat::{TokenConfig, TokenKey, Tokens};
use hubbub_protocol::{ErrorCode, UserId};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PKCS_ED25519, PKCS_RSA_SHA256, RsaKeySize};

use crate::fixture::claims;

fn tokens(public_key: &str) -> Tokens {
    let key = TokenKey::PublicKey(public_key.as_bytes().to_vec());
    let lifetime = Duration::from_secs(60);
    Tokens::new(&TokenConfig { key, issuer: "hubbub".into(), audience: "hubbub".into(), lifetime }).unwrap()
}

fn signed(algorithm: Algorithm, key: &EncodingKey, user: UserId) -> String {
    jsonwebtoken::encode(&Header::new(algorithm), &claims(user, 60), key).unwrap()
}

#[test]
fn only_the_owner_of_the_private_key_makes_tokens() {
    let ed = || KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let rsa = || KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    let ed_key = |pair: &KeyPair| EncodingKey::from_ed_pem(pair.serialize_pem().as_bytes()).unwrap();
    let rsa_key = |pair: &KeyPair| EncodingKey::from_rsa_pem(pair.serialize_pem().as_bytes()).unwrap();
    let (one, other, big, other_big) = (ed(), ed(), rsa(), rsa());
    let user = UserId::new();
    let (by_ed, by_rsa) = (tokens(&one.public_key_pem()), tokens(&big.public_key_pem()));
    assert_eq!(by_ed.verify(&signed(Algorithm::EdDSA, &ed_key(&one), user)).unwrap().user, user);
    assert_eq!(by_rsa.verify(&signed(Algorithm::RS256, &rsa_key(&big), user)).unwrap().user, user);

    // The public key is known to all: as the secret of an HMAC it proves nothing.
    let hmac = |pair: &KeyPair| {
        let secret = EncodingKey::from_secret(pair.public_key_pem().as_bytes());
        signed(Algorithm::HS256, &secret, user)
    };
    for (tokens, bad) in [
        (&by_ed, hmac(&one)),
        (&by_rsa, hmac(&big)),
        (&by_ed, signed(Algorithm::EdDSA, &ed_key(&other), user)),
        (&by_rsa, signed(Algorithm::RS256, &rsa_key(&other_big), user)),
        (&by_rsa, signed(Algorithm::RS512, &rsa_key(&big), user)),
        (&by_rsa, signed(Algorithm::PS256, &rsa_key(&big), user)),
        (&by_ed, signed(Algorithm::RS256, &rsa_key(&big), user)),
        (&by_ed, crate::fixture::sign(&claims(user, 60))),
    ] {
        assert_eq!(tokens.verify(&bad).unwrap_err().code, ErrorCode::TokenInvalid, "{bad}");
    }
    assert_eq!(by_ed.mint(user, None, None).err().map(|refusal| refusal.code), Some(ErrorCode::Forbidden));
}

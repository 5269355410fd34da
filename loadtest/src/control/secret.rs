//! How a coordinator and an agent prove to each other that they know the same secret, without saying it.
//!
//! Must never send the secret, and must never show it.

use std::fmt;
use std::io;
use std::path::Path;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// Shortest secret that is taken, in bytes: a shorter one could be guessed from one recorded handshake.
const SECRET_BYTES_MIN: usize = 16;

/// Length of a nonce in bytes.
const NONCE_BYTES: usize = 32;

/// What both sides know.
#[derive(Clone)]
pub struct Secret(Vec<u8>);

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

/// Which side proves: a proof of one is worth nothing as a proof of the other.
#[derive(Clone, Copy, Debug)]
pub(super) enum Side {
    Coordinator,
    Agent,
}

impl Secret {
    /// The file's content without the white space around it.
    ///
    /// # Errors
    /// When it cannot be read, or is shorter than 16 bytes.
    pub fn read(path: &Path) -> io::Result<Self> {
        let text = std::fs::read_to_string(path)?;
        Self::new(text.trim().as_bytes())
    }

    /// A secret of these bytes.
    ///
    /// # Errors
    /// When they are fewer than 16.
    pub fn new(bytes: &[u8]) -> io::Result<Self> {
        if bytes.len() < SECRET_BYTES_MIN {
            let reason = format!("the secret has {} bytes; it needs {SECRET_BYTES_MIN} at least", bytes.len());
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        Ok(Self(bytes.to_vec()))
    }

    /// The proof that this side knows the secret, for these two nonces.
    pub(super) fn prove(&self, side: Side, agent_nonce: &str, coordinator_nonce: &str) -> String {
        hexadecimal(&self.mac(side, agent_nonce, coordinator_nonce).finalize().into_bytes())
    }

    /// Whether the other side's proof is right; takes the same time wherever it is wrong.
    pub(super) fn check(&self, side: Side, agent_nonce: &str, coordinator_nonce: &str, proof: &str) -> bool {
        let Some(proof) = bytes(proof) else { return false };
        self.mac(side, agent_nonce, coordinator_nonce).verify_slice(&proof).is_ok()
    }

    fn mac(&self, side: Side, agent_nonce: &str, coordinator_nonce: &str) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        let side = match side {
            Side::Coordinator => "hubbub-load coordinator 1",
            Side::Agent => "hubbub-load agent 1",
        };
        for part in [side, agent_nonce, coordinator_nonce] {
            // The length in front keeps parts from running into each other.
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        mac
    }
}

/// Bytes that nobody used before.
pub(super) fn nonce() -> String {
    hexadecimal(&rand::random::<[u8; NONCE_BYTES]>())
}

fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        write!(text, "{byte:02x}").ok();
        text
    })
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_of_one_side_one_secret_and_both_nonces() {
        let secret = Secret::new(b"0123456789abcdef").expect("long enough");
        let other = Secret::new(b"0123456789abcdeF").expect("long enough");
        let proof = secret.prove(Side::Agent, "a", "c");
        assert!(secret.check(Side::Agent, "a", "c", &proof));
        assert!(!secret.check(Side::Coordinator, "a", "c", &proof));
        assert!(!secret.check(Side::Agent, "ac", "", &proof));
        assert!(!secret.check(Side::Agent, "b", "c", &proof));
        assert!(!other.check(Side::Agent, "a", "c", &proof));
        for wrong in ["", "zz", "é0", &proof[1..], &proof[2..]] {
            assert!(!secret.check(Side::Agent, "a", "c", wrong), "{wrong}");
        }
    }

    #[test]
    fn short_secrets_are_refused_and_none_is_shown() {
        assert!(Secret::new(b"short").is_err());
        assert_eq!(format!("{:?}", Secret::new(b"0123456789abcdef").expect("long enough")), "Secret(…)");
    }
}

//! Passwords: argon2id, hashed off the async threads, a bounded number at a time.
//!
//! Must never log, keep or compare a password in any other way.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use hubbub_protocol::{ErrorCode, Refusal};
use tokio::sync::Semaphore;

/// Hashes at a time in this process: each takes about 19 MiB and one core for tens of milliseconds.
const HASHES_AT_A_TIME: usize = 2;

/// How many more may wait before a login is refused as overloaded.
const HASHES_WAITING_MAX: usize = 256;

/// Shortest and longest password, in characters and bytes. The upper bound keeps hashing cheap to refuse.
const CHARS_MIN: usize = 8;
const BYTES_MAX: usize = 1024;

static RUNNING: Semaphore = Semaphore::const_new(HASHES_AT_A_TIME);
static PLACES: Semaphore = Semaphore::const_new(HASHES_AT_A_TIME + HASHES_WAITING_MAX);

/// Checks a new password and hashes it with the defaults of RFC 9106's second choice (argon2id, 19 MiB, 2 passes).
///
/// # Errors
/// [`ErrorCode::InvalidField`] for one that is too short or too long, [`ErrorCode::Overloaded`] when too many wait.
pub async fn hash(password: String) -> Result<String, Refusal> {
    if password.chars().count() < CHARS_MIN || password.len() > BYTES_MAX {
        let rule = format!("a password has at least {CHARS_MIN} characters and at most {BYTES_MAX} bytes");
        return Err(Refusal::field("password", rule));
    }
    run(move || Argon2::default().hash_password(password.as_bytes()).map(|hash| hash.to_string())).await?.map_err(
        |error| {
            tracing::error!(%error, "a password could not be hashed");
            Refusal::new(ErrorCode::Internal)
        },
    )
}

/// Whether `password` is the one that was hashed. With no hash (nobody has this name) it takes as long and is false.
///
/// # Errors
/// [`ErrorCode::Overloaded`] when too many wait.
pub async fn verify(password: String, hash: Option<String>) -> Result<bool, Refusal> {
    if password.len() > BYTES_MAX {
        return Ok(false);
    }
    run(move || match hash.as_deref().map(PasswordHash::new) {
        Some(Ok(hash)) => Argon2::default().verify_password(password.as_bytes(), &hash).is_ok(),
        _ => {
            // The same work, so that the time does not tell which names exist.
            std::hint::black_box(Argon2::default().hash_password(password.as_bytes()).is_ok());
            false
        }
    })
    .await
}

async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
    let overloaded = |_| Refusal::new(ErrorCode::Overloaded).retry_after(1000);
    let place = PLACES.try_acquire().map_err(|error| overloaded(error.to_string()))?;
    let permit = RUNNING.acquire().await.map_err(|error| overloaded(error.to_string()))?;
    let done = tokio::task::spawn_blocking(work).await;
    drop((permit, place));
    done.map_err(|error| {
        tracing::error!(%error, "a hashing thread failed");
        Refusal::new(ErrorCode::Internal)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_same_password_passes() {
        let hashed = hash("correct horse".to_owned()).await.unwrap();
        assert!(hashed.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hashed}");
        assert!(verify("correct horse".to_owned(), Some(hashed.clone())).await.unwrap());
        assert!(!verify("correct horsf".to_owned(), Some(hashed)).await.unwrap());
        assert!(!verify("correct horse".to_owned(), None).await.unwrap());
        assert!(!verify("correct horse".to_owned(), Some("$broken".to_owned())).await.unwrap());
    }

    #[tokio::test]
    async fn short_and_huge_passwords_are_refused() {
        for bad in ["short12".to_owned(), "x".repeat(1025)] {
            assert_eq!(hash(bad).await.unwrap_err().code, ErrorCode::InvalidField);
        }
    }
}

//! The key that access tokens are signed and checked with: as configured, else made in the data folder.
//!
//! Must never log the secret, nor make a second one where there is one.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use hubbub_chat::KeySet;
use hubbub_chat::tokens::{SECRET_BYTES_MIN, TokenConfig, TokenKey};
use rand::RngExt as _;

use crate::config::Config;
use crate::config::file::read_text;
use crate::failure::Failure;

/// The secret's file in the data folder.
const FILE: &str = "token-secret";

/// 256 bits, written as twice as many hexadecimal digits.
const SECRET_RANDOM_BYTES: usize = 32;

/// How tokens are made and checked with this configuration. Makes the secret when there is none.
pub(crate) fn token_config(config: &Config) -> Result<TokenConfig, Failure> {
    with_own_secret(config, own_secret)
}

/// The same for a node that runs: whoever lost the secret lost it by mistake, and another one would end every session.
pub(crate) fn token_config_again(config: &Config) -> Result<TokenConfig, Failure> {
    with_own_secret(config, |folder| {
        let path = folder.join(FILE);
        let text = read_text(&path).map_err(|error| unusable(&path, &error))?;
        checked(&path, &text)
    })
}

fn with_own_secret(
    config: &Config,
    own_secret: impl FnOnce(&Path) -> Result<String, Failure>,
) -> Result<TokenConfig, Failure> {
    let auth = &config.auth;
    let key = match (&auth.token_secret, &auth.token_public_key_file, &auth.jwks_url) {
        (Some(secret), ..) => {
            let signing = secret.expose().to_owned();
            match &auth.token_secret_other {
                Some(other) => TokenKey::Secrets { signing, other: other.expose().to_owned() },
                None => TokenKey::Secret(signing),
            }
        }
        (None, Some(path), _) => {
            TokenKey::PublicKey(read_text(path).map_err(|error| unusable(path, &error))?.into_bytes())
        }
        // Until a node has fetched its keys it accepts no token, and a command that ends soon needs none.
        (None, None, Some(_)) => TokenKey::KeySet(KeySet::default()),
        (None, None, None) => TokenKey::Secret(own_secret(&config.data_folder)?),
    };
    Ok(TokenConfig {
        key,
        issuer: auth.token_issuer.clone(),
        audience: auth.token_audience.clone(),
        lifetime: auth.token_lifetime,
    })
}

/// The file of the data folder that holds the secret, where none is configured.
pub(crate) fn own_secret_file(config: &Config) -> Option<PathBuf> {
    let auth = &config.auth;
    let is_own = auth.token_secret.is_none() && auth.token_public_key_file.is_none() && auth.jwks_url.is_none();
    is_own.then(|| config.data_folder.join(FILE))
}

/// The secret of the data folder, made at the first call, also when two processes make that at once.
fn own_secret(folder: &Path) -> Result<String, Failure> {
    let path = folder.join(FILE);
    match read_text(&path) {
        Ok(text) => return checked(&path, &text),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(unusable(&path, &error)),
    }
    make_private_folder(folder)?;
    let bytes: [u8; SECRET_RANDOM_BYTES] = rand::rng().random();
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    // Written whole under another name first, so that nobody ever reads half of it; the link fails where
    // somebody else was faster, and theirs counts.
    let draft = folder.join(format!("{FILE}.{:08x}", rand::rng().random::<u32>()));
    let linked = write_private(&draft, &text).and_then(|()| fs::hard_link(&draft, &path));
    let removed = fs::remove_file(&draft);
    match linked {
        Ok(()) => removed.map(|()| text).map_err(|error| unusable(&draft, &error)),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let theirs = read_text(&path).map_err(|error| unusable(&path, &error))?;
            checked(&path, &theirs)
        }
        Err(error) => Err(unusable(&path, &error)),
    }
}

fn checked(path: &Path, text: &str) -> Result<String, Failure> {
    let secret = text.trim_end();
    if secret.len() < SECRET_BYTES_MIN {
        let reason = format!("{} has fewer than {SECRET_BYTES_MIN} bytes: restore it or remove it", path.display());
        return Err(Failure::Misconfigured(reason));
    }
    Ok(secret.to_owned())
}

fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()
}

/// Makes the data folder, for this user alone. One that is there keeps its rights.
pub(crate) fn make_private_folder(folder: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| unusable(folder, &error))
}

fn unusable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::Refused(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn the_secret_is_made_once_and_private() {
        let folder = tempfile::tempdir().expect("folder");
        let data = folder.path().join("data");
        let first = own_secret(&data).expect("made");
        assert_eq!(first.len(), 64);
        assert_eq!(own_secret(&data).expect("read"), first);
        let mode = fs::metadata(data.join(FILE)).expect("file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(&data).expect("folder").count(), 1, "the draft is gone");
    }

    #[test]
    fn many_makers_agree_on_one_secret() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path();
        let start = std::sync::Barrier::new(8);
        let secrets: Vec<String> = std::thread::scope(|scope| {
            let makers: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        start.wait();
                        own_secret(path).expect("made or read")
                    })
                })
                .collect();
            makers.into_iter().map(|maker| maker.join().expect("joined")).collect()
        });
        assert!(secrets.iter().all(|secret| *secret == secrets[0]), "{secrets:?}");
        assert_eq!(fs::read_dir(path).expect("folder").count(), 1);
    }

    #[test]
    fn a_truncated_secret_is_refused() {
        let folder = tempfile::tempdir().expect("folder");
        fs::write(folder.path().join(FILE), "short\n").expect("written");
        let failure = own_secret(folder.path()).expect_err("short");
        assert_eq!(failure.exit_code(), 78);
    }
}

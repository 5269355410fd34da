//! People to try the project with: a user with a random password and the line that lets them talk; users for load
//! tests and the line that lets them loose.
//!
//! Everything goes through the `hubbub` program, as an operator would do it. Must never print a password
//! that it did not just make.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// 32 signs that cannot be mistaken for one another.
const PASSWORD_SIGNS: &[u8] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// 16 of 32 signs: 80 bits.
const PASSWORD_CHARS: usize = 16;

/// 256 bits.
const SECRET_CHARS: usize = 52;

/// Long enough to try things out for a day.
const TOKEN_LIFE: &str = "24h";

/// Users for load tests are called so, with a number behind it.
const LOAD_USER: &str = "load";

/// Enough for the `smoke` scenario.
const LOAD_USERS: &str = "50";

/// Where the tokens of the users for load tests stand, one a line.
const LOAD_TOKENS: &str = "load-tokens.txt";

/// Where people meet first.
const ROOM: &str = "lobby";

/// The `hubbub` program with the configuration of one node.
pub(crate) struct Hubbub {
    pub(crate) program: PathBuf,
    /// The folder it runs in.
    pub(crate) folder: PathBuf,
    /// `HUBBUB_*` variables.
    pub(crate) settings: Vec<(&'static str, String)>,
}

impl Hubbub {
    /// The program with these arguments, not started yet.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(&self.folder).args(args);
        command.envs(self.settings.iter().map(|(key, value)| (key, value)));
        command
    }

    fn read(&self, args: &[&str]) -> Result<String> {
        let output = self.command(args).stdin(Stdio::null()).output().context("cannot start hubbub")?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "hubbub {}: {}", args.join(" "), complaint.trim());
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Whether the user exists.
    pub(crate) fn has_user(&self, name: &str) -> Result<bool> {
        let listed = self.read(&["user", "list", "--json"])?;
        Ok(listed.contains(&format!("\"{name}\"")))
    }

    /// Makes the user and returns the random password.
    pub(crate) fn add_user(&self, name: &str) -> Result<String> {
        let password = random_text(PASSWORD_CHARS)?;
        let mut command = self.command(&["user", "add", name, "--password-stdin"]);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().context("cannot start hubbub")?;
        if let Some(mut input) = child.stdin.take() {
            writeln!(input, "{password}")?;
        }
        let output = child.wait_with_output()?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "hubbub user add {name}: {}", complaint.trim());
        Ok(password)
    }

    /// Signs a token for the user.
    pub(crate) fn mint_token(&self, name: &str) -> Result<String> {
        Ok(self.read(&["token", "mint", "--user", name, "--ttl", TOKEN_LIFE])?.trim().to_owned())
    }

    /// Makes the users for load tests that are missing, writes a fresh token of each into a file in this folder that
    /// only its owner reads, and returns where it is.
    pub(crate) fn seed_load_users(&self, folder: &Path) -> Result<PathBuf> {
        self.read(&["user", "add", LOAD_USER, "--count", LOAD_USERS])?;
        let mint = ["token", "mint", "--user", LOAD_USER, "--count", LOAD_USERS, "--ttl", TOKEN_LIFE];
        let tokens = self.read(&mint)?;
        let file = folder.join(LOAD_TOKENS);
        write_private(&file, &tokens).with_context(|| format!("cannot write {}", file.display()))?;
        Ok(file)
    }

    /// Whether the node with this ops port says that it is ready.
    pub(crate) fn is_ready(&self, ops_port: u16) -> bool {
        let url = format!("http://127.0.0.1:{ops_port}");
        let mut command = self.command(&["health", &url]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }
}

/// The line to paste into another terminal. The addresses are tried in turn. The certificate is the node's own, so it has to be named.
pub(crate) fn chat_line(program: &Path, urls: &[String], certificate: &Path, token: &str) -> String {
    let (program, certificate) = (program.display(), certificate.display());
    let urls = urls.join(" --url ");
    format!("{program} chat --url {urls} --ca {certificate} --create --room {ROOM} --token {token}")
}

/// The line that starts the shortest load test against these addresses.
///
/// The load generator is built as the node was: most of it is there already then.
pub(crate) fn load_line(program: &Path, urls: &[String], certificate: &Path, tokens: &Path) -> String {
    let is_release = program.parent().is_some_and(|folder| folder.ends_with("release"));
    let cargo = if is_release { "cargo run --release" } else { "cargo run" };
    let (certificate, tokens) = (certificate.display(), tokens.display());
    let urls = urls.join(" --url ");
    format!("{cargo} -p hubbub-load -- run smoke --url {urls} --ca {certificate} --tokens {tokens}")
}

/// Writes a file that only its owner reads. An old one is removed first: it would keep its mode.
fn write_private(file: &Path, text: &str) -> std::io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?.write_all(text.as_bytes())
}

/// A secret to sign tokens with, longer than the least that a node accepts (32 bytes).
pub(crate) fn random_secret() -> Result<String> {
    random_text(SECRET_CHARS)
}

/// Random text that nobody guesses and everybody can type.
fn random_text(chars: usize) -> Result<String> {
    let mut bytes = vec![0; chars];
    File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut bytes)).context("no randomness")?;
    Ok(bytes.iter().map(|byte| char::from(PASSWORD_SIGNS[usize::from(*byte) % PASSWORD_SIGNS.len()])).collect())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_private_file_stays_private_when_it_is_written_again() {
        let file = std::env::temp_dir().join(format!("hubbub-private-{}", std::process::id()));
        fs::write(&file, "old").expect("written");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("set");
        write_private(&file, "new").expect("written");
        let mode = fs::metadata(&file).expect("there").permissions().mode() & 0o777;
        let text = fs::read_to_string(&file).expect("text");
        fs::remove_file(&file).expect("removed");
        assert_eq!((mode, text.as_str()), (0o600, "new"));
    }

    #[test]
    fn the_load_line_names_every_address() {
        let urls = ["wss://localhost:1", "wss://localhost:2"].map(str::to_owned);
        let line = |program| load_line(Path::new(program), &urls, Path::new("cert.pem"), Path::new("tokens.txt"));
        assert!(line("target/release/hubbub").starts_with("cargo run --release -p hubbub-load -- run smoke"));
        let line = line("target/debug/hubbub");
        assert!(line.starts_with("cargo run -p hubbub-load -- run smoke"), "{line}");
        assert!(line.contains("--url wss://localhost:1 --url wss://localhost:2 --ca cert.pem"), "{line}");
    }

    #[test]
    fn passwords_differ_and_every_sign_is_as_likely() {
        assert_eq!(PASSWORD_SIGNS.len(), 32);
        let first = random_text(PASSWORD_CHARS).expect("randomness");
        assert_eq!(first.len(), PASSWORD_CHARS);
        assert_ne!(first, random_text(PASSWORD_CHARS).expect("randomness"));
    }
}

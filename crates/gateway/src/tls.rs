//! TLS of the public listener: a self-signed certificate for the first minute, files for production, reloaded.
//!
//! Must never log a key, and never serve with a broken new certificate when the old one still works.

mod validity;

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_util::sync::CancellationToken;

use crate::config::TlsMode;

/// How often files are looked at.
const RELOAD_EVERY: Duration = Duration::from_secs(2);

/// No chain and no key is longer.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// TLS sessions kept for resumption by id (TLS 1.2); TLS 1.3 and tickets need no memory here.
const SESSIONS_KEPT: usize = 20_000;

/// Why TLS cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A file holds no certificate or key in PEM.
    #[error("{path}: no {what} in PEM")]
    Pem {
        /// Which.
        path: String,
        /// What was looked for.
        what: &'static str,
    },
    /// Key and certificate cannot be used together.
    #[error("certificate and key cannot be used: {0}")]
    Rustls(#[from] rustls::Error),
    /// The self-signed certificate could not be made.
    #[error("a self-signed certificate could not be made: {0}")]
    SelfSigned(String),
}

/// The configuration of new handshakes; none when TLS is off.
#[derive(Clone)]
pub struct Tls(Option<Arc<ArcSwap<Loaded>>>);

/// A certificate in use.
struct Loaded {
    config: Arc<ServerConfig>,
    /// In seconds since 1970; none where the certificate does not say it readably.
    ends_at: Option<i64>,
}

impl Tls {
    /// Loads or makes the certificate, and keeps files watched until `stop`.
    ///
    /// # Errors
    /// When there is no usable certificate.
    pub fn start(mode: &TlsMode, stop: CancellationToken) -> Result<Self, TlsError> {
        match mode {
            TlsMode::Off => Ok(Self(None)),
            TlsMode::SelfSigned { folder } => Ok(Self(Some(Arc::new(ArcSwap::from(self_signed(folder.as_deref())?))))),
            TlsMode::Files { cert_file, key_file } => {
                let shared = Arc::new(ArcSwap::from(from_files(cert_file, key_file)?));
                let (cert, key) = (cert_file.clone(), key_file.clone());
                let watched = Arc::clone(&shared);
                tokio::spawn(async move { stop.run_until_cancelled(watch(&cert, &key, &watched)).await });
                Ok(Self(Some(shared)))
            }
        }
    }

    /// What the next handshake uses; none when TLS is off.
    #[must_use]
    pub fn current(&self) -> Option<Arc<ServerConfig>> {
        self.0.as_ref().map(|shared| Arc::clone(&shared.load().config))
    }

    /// When the certificate ends, in seconds since 1970; none when TLS is off or the certificate does not say it readably.
    #[must_use]
    pub fn ends_at(&self) -> Option<i64> {
        self.0.as_ref()?.load().ends_at
    }
}

async fn watch(cert: &Path, key: &Path, shared: &ArcSwap<Loaded>) {
    let mut seen = (modified(cert), modified(key));
    let mut complained = None;
    loop {
        tokio::time::sleep(RELOAD_EVERY).await;
        let files = (cert.to_owned(), key.to_owned());
        // A file system that hangs must not hold up a worker.
        let look = tokio::task::spawn_blocking(move || {
            let (cert, key) = &files;
            let now = (modified(cert), modified(key));
            (now, (now != seen).then(|| from_files(cert, key)))
        });
        let Ok((now, Some(loaded))) = look.await else { continue };
        match loaded {
            Ok(loaded) => {
                shared.store(loaded);
                seen = now;
                tracing::info!(file = %cert.display(), "certificate reloaded");
            }
            // Half-written files are looked at again; the old certificate serves on.
            Err(error) if complained != Some(now) => {
                complained = Some(now);
                tracing::warn!(%error, "the new certificate cannot be used yet");
            }
            Err(_) => {}
        }
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}

fn from_files(cert: &Path, key: &Path) -> Result<Arc<Loaded>, TlsError> {
    let file = |path: &Path, source| TlsError::File { path: path.display().to_string(), source };
    let cert_pem = read(cert).map_err(|source| file(cert, source))?;
    let key_pem = read(key).map_err(|source| file(key, source))?;
    let missing = |path: &Path, what| TlsError::Pem { path: path.display().to_string(), what };
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&cert_pem).filter_map(Result::ok).collect();
    if chain.is_empty() {
        return Err(missing(cert, "certificate"));
    }
    let key = PrivateKeyDer::from_pem_slice(&key_pem).map_err(|_| missing(key, "private key"))?;
    load(chain, key)
}

/// The bytes of a regular file of bounded length: a device or a pipe may have no end, or hold the reader up for ever.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no regular file"));
    }
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("longer than {FILE_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}

/// A certificate for `localhost` and the loopback addresses, kept in `folder` so that clients may pin it.
fn self_signed(folder: Option<&Path>) -> Result<Arc<Loaded>, TlsError> {
    let paths = folder.map(|folder| (folder.join("cert.pem"), folder.join("key.pem")));
    if let Some((cert, key)) = &paths
        && cert.exists()
        && key.exists()
    {
        return from_files(cert, key);
    }
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    let made = rcgen::generate_simple_self_signed(names).map_err(|error| TlsError::SelfSigned(error.to_string()))?;
    if let (Some(folder), Some((cert, key))) = (folder, &paths) {
        let file = |path: &Path| {
            let path = path.display().to_string();
            move |source| TlsError::File { path, source }
        };
        fs::create_dir_all(folder).map_err(file(folder))?;
        write_private(key, made.signing_key.serialize_pem().as_bytes()).map_err(file(key))?;
        fs::write(cert, made.cert.pem()).map_err(file(cert))?;
    }
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der())
        .map_err(|error| TlsError::SelfSigned(error.to_owned()))?;
    load(vec![made.cert.der().clone()], key)
}

fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?.write_all(bytes)
}

fn load(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Arc<Loaded>, TlsError> {
    // The first is the node's own; what it was signed with usually lives longer.
    let ends_at = chain.first().and_then(|certificate| validity::ends_at(certificate));
    Ok(Arc::new(Loaded { config: server_config(chain, key)?, ends_at }))
}

fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.session_storage = rustls::server::ServerSessionMemoryCache::new(SESSIONS_KEPT);
    if let Ok(ticketer) = rustls::crypto::aws_lc_rs::Ticketer::new() {
        config.ticketer = ticketer;
    }
    // Each ticket is about 200 bytes in every handshake; one is what a client uses for its next connection.
    config.send_tls13_tickets = 1;
    Ok(Arc::new(config))
}

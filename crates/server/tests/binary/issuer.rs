//! An issuer of tokens: it publishes keys over HTTP or HTTPS, badly when a test wants that, and signs.
//!
//! Must never outlive its test.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use rcgen::{KeyPair, PKCS_ED25519};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

/// One of the issuer's keys.
pub(crate) struct Key {
    id: &'static str,
    key: EncodingKey,
    public: DecodingKey,
}

impl Key {
    pub(crate) fn new(id: &'static str) -> Self {
        let pair = KeyPair::generate_for(&PKCS_ED25519).expect("made");
        let key = EncodingKey::from_ed_pem(pair.serialize_pem().as_bytes()).expect("a key");
        let public = DecodingKey::from_ed_pem(pair.public_key_pem().as_bytes()).expect("a key");
        Self { id, key, public }
    }

    /// A token for this user.
    pub(crate) fn token(&self, user: &str) -> String {
        let header = Header { kid: Some(self.id.to_owned()), ..Header::new(Algorithm::EdDSA) };
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
        let claims = json!({ "iss": "hubbub", "aud": "hubbub", "sub": user, "exp": now + 3_600 });
        jsonwebtoken::encode(&header, &claims, &self.key).expect("signed")
    }

    fn public(&self) -> Value {
        let jwk = Jwk::from_decoding_key(&self.public, Some(Algorithm::EdDSA)).expect("public");
        let mut jwk = serde_json::to_value(jwk).expect("JSON");
        jwk["kid"] = json!(self.id);
        jwk
    }
}

/// What stands at the issuer's address.
pub(crate) fn set(keys: &[&Key]) -> String {
    json!({ "keys": keys.iter().map(|key| key.public()).collect::<Vec<_>>() }).to_string()
}

struct Shared {
    /// None: whoever asks is hung up on.
    answer: Mutex<Option<(u16, String)>>,
    asked: AtomicU64,
    is_over: AtomicBool,
    tls: Option<Arc<ServerConfig>>,
}

/// A server on a port of its own that has nothing to say at first.
pub(crate) struct Issuer {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Issuer {
    pub(crate) fn new() -> Self {
        Self::start(None)
    }

    /// With TLS, as `localhost`; and its certificate in PEM.
    pub(crate) fn with_tls() -> (Self, String) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.expect("versions").with_no_client_auth();
        let config = config.with_single_cert(vec![made.cert.der().clone()], key).expect("a certificate");
        (Self::start(Some(Arc::new(config))), made.cert.pem())
    }

    fn start(tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = listener.local_addr().expect("an address");
        let (answer, asked, is_over) = (Mutex::new(None), AtomicU64::new(0), AtomicBool::new(false));
        let shared = Arc::new(Shared { answer, asked, is_over, tls });
        let serving = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if serving.is_over.load(Ordering::SeqCst) {
                    return;
                }
                // Somebody who does not trust the certificate hangs up in the middle, and a huge answer is not taken whole.
                serving.serve(stream).ok();
            }
        });
        Self { address, shared, thread: Some(thread) }
    }

    pub(crate) fn url(&self) -> String {
        match self.shared.tls {
            None => format!("http://{}/keys", self.address),
            Some(_) => format!("https://localhost:{}/keys", self.address.port()),
        }
    }

    /// Answers this from now on.
    pub(crate) fn publish(&self, status: u16, body: &str) {
        *self.shared.answer.lock().expect("no panic") = Some((status, body.to_owned()));
    }

    /// Is gone from now on.
    pub(crate) fn go(&self) {
        *self.shared.answer.lock().expect("no panic") = None;
    }

    /// How many requests there were.
    pub(crate) fn asked(&self) -> u64 {
        self.shared.asked.load(Ordering::SeqCst)
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream) -> std::io::Result<()> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let Some((status, body)) = self.answer.lock().expect("no panic").clone() else { return Ok(()) };
        match &self.tls {
            None => answer(stream, status, &body),
            Some(config) => {
                let connection = ServerConnection::new(Arc::clone(config)).expect("a connection");
                answer(StreamOwned::new(connection, stream), status, &body)
            }
        }
    }
}

fn answer(mut stream: impl Read + Write, status: u16, body: &str) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"GET /keys HTTP/1.1\r\n"), "{}", String::from_utf8_lossy(&head));
    write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
    stream.flush()
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        // Wakes the thread out of its wait for the next.
        TcpStream::connect(self.address).ok();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

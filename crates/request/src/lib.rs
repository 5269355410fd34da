//! One HTTP request of a node to another service: connect, perhaps TLS, ask, answer.
//!
//! What a node asks others over HTTP is seldom (a batch of spans, a set of keys), so each request has a connection of its
//! own and there is none to keep, to lose and to find again. Must never follow a redirect, never read more of an answer than
//! it was told, and never repeat an address, which may hold a secret.

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{HOST, USER_AGENT};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Why an address cannot be asked, whoever answers there.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// The address is not one.
    #[error("the address is no `http://host[:port][/path]` or `https://…`")]
    Address,
    /// The file of authorities cannot be used.
    #[error("cannot read certificates from {}: {reason}", file.display())]
    Authorities {
        /// Which.
        file: PathBuf,
        /// Why.
        reason: String,
    },
    /// TLS cannot be set up.
    #[error("cannot set up TLS: {0}")]
    Tls(String),
}

/// What went wrong with one request.
pub type RequestError = Box<dyn std::error::Error + Send + Sync>;

/// Whoever was asked answered, but not with 2xx.
#[derive(Debug, thiserror::Error)]
#[error("the answer was {0}")]
pub struct Refused(pub StatusCode);

/// Where requests go.
pub struct Endpoint {
    authority: Authority,
    port: u16,
    path: PathAndQuery,
    /// None: plain HTTP.
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Endpoint {
    /// The service at this address, which is not reached for yet. An address without a path means `path`. `ca_file` has the
    /// authorities to trust in PEM, in place of the system's.
    ///
    /// # Errors
    /// What can never work. The address is not repeated.
    pub fn new(url: &str, path: &'static str, ca_file: Option<&Path>) -> Result<Self, EndpointError> {
        let parts = url.parse::<Uri>().map_err(|_| EndpointError::Address)?.into_parts();
        let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else {
            return Err(EndpointError::Address);
        };
        let host = bare_host(&authority).to_owned();
        // A user and password in an address end up in logs; there are headers for them.
        if host.is_empty() || authority.as_str().contains('@') {
            return Err(EndpointError::Address);
        }
        let tls = if scheme == Scheme::HTTPS {
            let name = ServerName::try_from(host).map_err(|_| EndpointError::Address)?;
            Some((TlsConnector::from(trust(ca_file)?), name))
        } else if scheme == Scheme::HTTP {
            None
        } else {
            return Err(EndpointError::Address);
        };
        let port = authority.port_u16().unwrap_or(if tls.is_some() { 443 } else { 80 });
        let given = parts.path_and_query.filter(|path| path.as_str() != "/");
        let path = given.unwrap_or_else(|| PathAndQuery::from_static(path));
        Ok(Self { authority, port, path, tls })
    }

    /// Whether what is asked can be read and changed on its way: plain HTTP to another machine.
    #[must_use]
    pub fn is_exposed(&self) -> bool {
        let host = bare_host(&self.authority);
        let is_loopback = match host.parse::<std::net::IpAddr>() {
            Ok(address) => address.is_loopback(),
            Err(_) => host.eq_ignore_ascii_case("localhost"),
        };
        self.tls.is_none() && !is_loopback
    }

    /// Asks for what is there, as [`Self::post`].
    ///
    /// # Errors
    /// As [`Self::post`].
    pub async fn get(&self, answer_bytes_max: usize) -> Result<Bytes, RequestError> {
        self.send(Method::GET, HeaderMap::new(), Bytes::new(), answer_bytes_max).await
    }

    /// Posts this body; the answer to a 2xx. Takes as long as it takes: whoever asks limits the time.
    ///
    /// # Errors
    /// When nobody answers, not with 2xx ([`Refused`]), or with more than so many bytes.
    pub async fn post(
        &self,
        headers: HeaderMap,
        body: Vec<u8>,
        answer_bytes_max: usize,
    ) -> Result<Bytes, RequestError> {
        self.send(Method::POST, headers, Bytes::from(body), answer_bytes_max).await
    }

    async fn send(
        &self,
        method: Method,
        headers: HeaderMap,
        body: Bytes,
        answer_bytes_max: usize,
    ) -> Result<Bytes, RequestError> {
        let mut request = Request::builder().method(method).uri(self.path.as_str()).body(Full::new(body))?;
        *request.headers_mut() = headers;
        request.headers_mut().insert(HOST, HeaderValue::from_str(self.authority.as_str())?);
        let agent = HeaderValue::from_static(concat!("hubbub/", env!("CARGO_PKG_VERSION")));
        request.headers_mut().insert(USER_AGENT, agent);
        let tcp = TcpStream::connect((bare_host(&self.authority), self.port)).await?;
        match &self.tls {
            None => exchange(tcp, request, answer_bytes_max).await,
            Some((connector, name)) => {
                exchange(connector.connect(name.clone(), tcp).await?, request, answer_bytes_max).await
            }
        }
    }
}

/// The host without the brackets of an IPv6 address.
fn bare_host(authority: &Authority) -> &str {
    authority.host().trim_start_matches('[').trim_end_matches(']')
}

async fn exchange<S>(socket: S, request: Request<Full<Bytes>>, answer_bytes_max: usize) -> Result<Bytes, RequestError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
    let asked = async {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), answer_bytes_max).collect().await?.to_bytes();
        if status.is_success() { Ok(body) } else { Err(Refused(status).into()) }
    };
    // The connection is driven by this very future, and gone with it.
    let mut asked = pin!(asked);
    let broken = tokio::select! {
        biased;
        answer = &mut asked => return answer,
        Err(error) = connection => error,
    };
    // Many servers hang up right behind their answer, and some without the last word of TLS: what came before may be whole.
    asked.await.map_err(|_| broken.into())
}

/// Trusts the authorities of a file, or else the system's, by the process's provider of cryptography.
fn trust(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, EndpointError> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        None => {
            // A machine without any is told by the handshake.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        Some(file) => {
            let cannot = |reason: String| EndpointError::Authorities { file: file.to_owned(), reason };
            for certificate in CertificateDer::pem_file_iter(file).map_err(|error| cannot(error.to_string()))? {
                let certificate = certificate.map_err(|error| cannot(error.to_string()))?;
                roots.add(certificate).map_err(|error| cannot(error.to_string()))?;
            }
            if roots.is_empty() {
                return Err(cannot("it holds no certificate".to_owned()));
            }
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| EndpointError::Tls(error.to_string()))?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_and_tls_are_not_exposed() {
        let is_exposed = |url: &str| Endpoint::new(url, "/", None).expect("an address").is_exposed();
        for shut in ["https://issuer.example/keys", "http://127.0.0.1:80/keys", "http://[::1]/keys", "http://LOCALHOST"]
        {
            assert!(!is_exposed(shut), "{shut}");
        }
        for open in ["http://issuer.example/keys", "http://10.0.0.1/keys", "http://127.0.0.1.example/"] {
            assert!(is_exposed(open), "{open}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for bad in ["", "issuer.example", "ftp://a/b", "https://ada:secret@a/b", "https:///keys", "file:///keys"] {
            assert!(matches!(Endpoint::new(bad, "/", None), Err(EndpointError::Address)), "{bad}");
        }
    }
}

//! One HTTP request to the receiver: connect, perhaps TLS, POST, answer.
//!
//! A batch goes out about once a second, so each has a connection of its own and there is none to keep, to lose and to
//! find again. Must never follow a redirect, and never read more of an answer than [`ANSWER_BYTES_MAX`].

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderName, USER_AGENT};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::export::ExportError;

/// Of an answer no more is read: it tells how many spans were turned down, and why in words.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Where traces are posted when the address has no path of its own (OTLP/HTTP).
const PATH: &str = "/v1/traces";

const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");

/// What went wrong with one request.
pub(crate) type PostError = Box<dyn std::error::Error + Send + Sync>;

/// A receiver.
pub(crate) struct Receiver {
    authority: Authority,
    port: u16,
    path: PathAndQuery,
    headers: HeaderMap,
    /// None: plain HTTP.
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Receiver {
    /// The receiver at this address, which is not reached for yet.
    pub(crate) fn new(
        url: &str,
        headers: Vec<(HeaderName, HeaderValue)>,
        ca_file: Option<&Path>,
    ) -> Result<Self, ExportError> {
        let parts = url.parse::<Uri>().map_err(|_| ExportError::Address)?.into_parts();
        let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else { return Err(ExportError::Address) };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        // A user and password in an address end up in logs; there is a key for headers.
        if host.is_empty() || authority.as_str().contains('@') {
            return Err(ExportError::Address);
        }
        let tls = if scheme == Scheme::HTTPS {
            let name = ServerName::try_from(host).map_err(|_| ExportError::Address)?;
            Some((TlsConnector::from(trust(ca_file)?), name))
        } else if scheme == Scheme::HTTP {
            None
        } else {
            return Err(ExportError::Address);
        };
        let port = authority.port_u16().unwrap_or(if tls.is_some() { 443 } else { 80 });
        let path = parts.path_and_query.filter(|path| path.as_str() != "/");
        let path = path.unwrap_or_else(|| PathAndQuery::from_static(PATH));
        Ok(Self { authority, port, path, headers: headers.into_iter().collect(), tls })
    }

    /// Posts this body; the answer to a 2xx, an error otherwise.
    pub(crate) async fn post(&self, body: Vec<u8>) -> Result<Bytes, PostError> {
        let host = self.authority.host().trim_start_matches('[').trim_end_matches(']');
        let tcp = TcpStream::connect((host, self.port)).await?;
        match &self.tls {
            None => self.exchange(tcp, body).await,
            Some((connector, name)) => self.exchange(connector.connect(name.clone(), tcp).await?, body).await,
        }
    }

    async fn exchange<S>(&self, socket: S, body: Vec<u8>) -> Result<Bytes, PostError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
        let mut request = Request::post(self.path.as_str()).body(Full::new(Bytes::from(body)))?;
        let headers = request.headers_mut();
        headers.extend(self.headers.clone());
        headers.insert(HOST, HeaderValue::from_str(self.authority.as_str())?);
        headers.insert(CONTENT_TYPE, PROTOBUF);
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("hubbub/", env!("CARGO_PKG_VERSION"))));
        let asked = async {
            let answer = sender.send_request(request).await?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await?.to_bytes();
            if status.is_success() { Ok(body) } else { Err(Refused(status).into()) }
        };
        // The connection is driven by this very future, and gone with it.
        tokio::select! {
            answer = asked => answer,
            Err(error) = connection => Err(error.into()),
        }
    }
}

/// The receiver answered, but not with 2xx.
#[derive(Debug, thiserror::Error)]
#[error("the receiver answered {0}")]
pub(crate) struct Refused(pub(crate) StatusCode);

/// Trusts the authorities of a file, or else the system's, by the process's provider of cryptography.
fn trust(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, ExportError> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        None => {
            // A machine without any is told by the handshake.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        Some(file) => {
            let cannot = |reason: String| ExportError::Authorities { file: file.to_owned(), reason };
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
        .map_err(|error| ExportError::Tls(error.to_string()))?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

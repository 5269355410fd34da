//! From an address to a byte stream and one HTTP exchange on it: TCP, TLS, HTTP/1.1.
//!
//! Must never try twice or choose an address: that is the driver's.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hubbub_protocol::WireError;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::address::Address;
use crate::policy::End;

/// The largest HTTP answer that is read: an error or a token.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// TCP or TLS.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Dials addresses, with one TLS configuration for all of them.
#[derive(Clone)]
pub(crate) struct Connector {
    pub(crate) tls: Arc<rustls::ClientConfig>,
}

impl Connector {
    async fn stream(&self, address: &Address) -> Result<Box<dyn Stream>, End> {
        let tcp = TcpStream::connect((address.host.as_str(), address.port))
            .await
            .map_err(|error| End::Lost(format!("cannot reach {}: {error}", address.url())))?;
        // Small frames must not wait for the acknowledgement of earlier ones.
        tcp.set_nodelay(true).map_err(|error| End::Lost(error.to_string()))?;
        if !address.tls {
            return Ok(Box::new(tcp));
        }
        let name = ServerName::try_from(address.host.clone())
            .map_err(|error| End::NotHubbub(format!("{}: {error}", address.host)))?;
        let connected = TlsConnector::from(Arc::clone(&self.tls)).connect(name, tcp).await;
        Ok(Box::new(connected.map_err(tls_failure)?))
    }

    /// Sends one request and returns the head of the answer; a body may follow, or an upgrade.
    pub(crate) async fn exchange(
        &self,
        address: &Address,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, End> {
        let stream = self.stream(address).await?;
        let lost = |error: hyper::Error| {
            if error.is_parse() {
                End::NotHubbub(format!("{} does not speak HTTP", address.url()))
            } else {
                End::Lost(format!("the connection to {} broke: {error}", address.url()))
            }
        };
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(lost)?;
        // Ends by itself: when the answer is read, dropped, or turned into a WebSocket.
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "the HTTP connection ended");
            }
        });
        sender.send_request(request).await.map_err(lost)
    }
}

fn tls_failure(error: io::Error) -> End {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(reason)) => End::Certificate(reason.to_string()),
        Some(rustls::Error::InvalidMessage(_)) => End::NotHubbub("it does not speak TLS".into()),
        _ => End::Lost(format!("the TLS handshake failed: {error}")),
    }
}

/// Reads a whole answer, up to [`ANSWER_BYTES_MAX`].
pub(crate) async fn body(response: Response<Incoming>) -> Result<Bytes, End> {
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
    body.map(http_body_util::Collected::to_bytes).map_err(|error| End::Lost(format!("the answer broke off: {error}")))
}

/// Turns an answer that is no success into the end that it means.
pub(crate) async fn refusal(response: Response<Incoming>) -> End {
    #[derive(serde::Deserialize)]
    struct Answer {
        err: WireError,
    }
    let status = response.status();
    let retry_after = retry_after(response.headers());
    let error = match body(response).await {
        Ok(body) => serde_json::from_slice::<Answer>(&body).ok().map(|answer| Box::new(answer.err)),
        Err(_) => None,
    };
    let told = error.as_ref().and_then(|error| error.retry_after_ms).map(Duration::from_millis);
    if error.is_none() && matches!(status, StatusCode::OK | StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND) {
        return End::NotHubbub(format!("HTTP status {}", status.as_u16()));
    }
    End::Refused { status: status.as_u16(), error, retry_after: told.or(retry_after) }
}

/// `Retry-After` in seconds; its form as a date is not used by Hubbub.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok().map(Duration::from_secs)
}

//! The way out: one task that takes spans from the queue and posts them in batches.
//!
//! A receiver that is gone or slow costs nothing but the spans: the queue is bounded, what does not fit or does not arrive is
//! counted. Must never make anybody wait but whoever flushes, and them not for long.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::HeaderMap;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, InvalidHeaderName, InvalidHeaderValue};
use hubbub_request::{Endpoint, EndpointError};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use crate::metrics::Metrics;
use crate::otlp::{self, Sender};
use crate::span::Boxed;
use crate::tracer::{self, QUEUE_SPANS_MAX, Sampling, Tracer};

/// Spans of one request.
const BATCH_SPANS_MAX: usize = 512;

/// How long the first span of a batch waits for company.
const BATCH_WAIT: Duration = Duration::from_secs(1);

/// One request takes no longer, connecting included.
const POST_TIMEOUT: Duration = Duration::from_secs(5);

/// After a request in vain, nothing is tried for so long: the receiver is not asked more often for being down.
const PAUSE: Duration = Duration::from_secs(1);

/// Between two lines of the log about a receiver that does not take spans.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

/// Of an answer no more is read: it tells how many spans were turned down, and why in words.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Where traces are posted when the address has no path of its own (OTLP/HTTP).
const PATH: &str = "/v1/traces";

/// Where spans go, and which.
#[derive(Clone, Debug)]
pub struct ExportConfig {
    /// `http://` or `https://`; without a path `/v1/traces` is taken.
    pub url: String,
    /// Added to each request, for receivers that want to know who asks. May hold a secret.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Authorities to trust in place of the system's, in PEM.
    pub ca_file: Option<PathBuf>,
    /// The node's name.
    pub node: String,
    /// The build.
    pub version: &'static str,
    /// Which traces are recorded.
    pub sampling: Sampling,
}

/// Why an export cannot be.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The receiver's address or its authorities can never work.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// A process has one tracer.
    #[error("this process traces already")]
    Second,
}

impl ExportConfig {
    /// Refuses what can never work, without reaching for the receiver.
    ///
    /// # Errors
    /// Which part is wrong. The address is not repeated.
    pub fn check(&self) -> Result<(), ExportError> {
        Ok(endpoint(&self.url, self.ca_file.as_deref()).map(drop)?)
    }
}

/// Why a header cannot be sent. Its value is not repeated: it may be a secret.
#[derive(Debug, thiserror::Error)]
pub enum HeaderFault {
    /// No `=`.
    #[error("has a part without `=`; headers are `name=value`, separated by commas")]
    Form,
    /// Not a name.
    #[error("has a header without a proper name")]
    Name(#[from] InvalidHeaderName),
    /// Not a value.
    #[error("has a header with a value that no header can have")]
    Value(#[from] InvalidHeaderValue),
}

/// Reads `name=value` for each header.
///
/// # Errors
/// For the first that is none.
pub fn read_headers<'a>(
    pairs: impl IntoIterator<Item = &'a str>,
) -> Result<Vec<(HeaderName, HeaderValue)>, HeaderFault> {
    let read = |pair: &str| {
        let (name, value) = pair.split_once('=').ok_or(HeaderFault::Form)?;
        let mut value = HeaderValue::from_str(value.trim())?;
        value.set_sensitive(true);
        Ok((name.trim().parse::<HeaderName>()?, value))
    };
    pairs.into_iter().map(read).collect()
}

/// The export of this process.
#[derive(Debug)]
pub struct Export {
    end: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Export {
    /// Makes this process trace. The receiver is not reached for before the first span.
    ///
    /// # Errors
    /// As [`ExportConfig::check`]; `Second` when the process traces already.
    pub fn start(config: ExportConfig, metrics: Metrics) -> Result<Self, ExportError> {
        let receiver = endpoint(&config.url, config.ca_file.as_deref())?;
        let mut headers: HeaderMap = config.headers.into_iter().collect();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        let (queue, spans) = mpsc::channel(QUEUE_SPANS_MAX);
        if !tracer::install(Tracer::new(config.sampling, queue, metrics.clone())) {
            return Err(ExportError::Second);
        }
        let sender = Sender { node: config.node, version: config.version };
        let (end, ended) = oneshot::channel();
        let exporter = Exporter { receiver, headers, sender, metrics, spans, complained: None };
        Ok(Self { end, task: tokio::spawn(exporter.run(ended)) })
    }

    /// Sends what is queued, until `deadline` at the longest; what is recorded afterwards is dropped.
    pub async fn finish(self, deadline: Instant) {
        let Self { end, mut task } = self;
        // A task that is over has nothing left to send.
        end.send(()).ok();
        if timeout_at(deadline, &mut task).await.is_err() {
            task.abort();
            tracing::warn!("the last spans did not reach the OTLP receiver in time");
        }
    }
}

fn endpoint(url: &str, ca_file: Option<&Path>) -> Result<Endpoint, EndpointError> {
    Endpoint::new(url, PATH, ca_file)
}

struct Exporter {
    receiver: Endpoint,
    headers: HeaderMap,
    sender: Sender,
    metrics: Metrics,
    spans: mpsc::Receiver<Boxed>,
    complained: Option<Instant>,
}

impl Exporter {
    async fn run(mut self, mut ended: oneshot::Receiver<()>) {
        let mut is_over = false;
        loop {
            let mut batch = Vec::new();
            if !is_over {
                // Sent, or dropped with the process: either way nothing more is waited for.
                is_over = self.gather(&mut batch, &mut ended).await;
            }
            if is_over {
                self.spans.close();
                let room = BATCH_SPANS_MAX - batch.len();
                self.spans.recv_many(&mut batch, room).await;
            }
            if batch.is_empty() {
                return;
            }
            let sent = self.send(batch).await;
            if !sent && !is_over {
                is_over = timeout(PAUSE, &mut ended).await.is_ok();
            }
        }
    }

    /// Waits for a span and then a little for others; true when the end was asked for meanwhile.
    async fn gather(&mut self, batch: &mut Vec<Boxed>, ended: &mut oneshot::Receiver<()>) -> bool {
        let collect = async {
            if self.spans.recv_many(batch, BATCH_SPANS_MAX).await == 0 {
                return;
            }
            let until = Instant::now() + BATCH_WAIT;
            while batch.len() < BATCH_SPANS_MAX {
                let room = BATCH_SPANS_MAX - batch.len();
                match timeout_at(until, self.spans.recv_many(batch, room)).await {
                    Ok(1..) => {}
                    _ => return,
                }
            }
        };
        tokio::select! {
            () = collect => false,
            _ = ended => true,
        }
    }

    /// Posts a batch, once: a receiver that was down misses it, and memory does not grow. False when it was in vain.
    async fn send(&mut self, batch: Vec<Boxed>) -> bool {
        let count = batch.len() as u64;
        let body = otlp::encode(&self.sender, batch);
        let error = match timeout(POST_TIMEOUT, self.receiver.post(self.headers.clone(), body, ANSWER_BYTES_MAX)).await
        {
            Ok(Ok(answer)) => {
                let rejected = otlp::rejected(&answer).min(count);
                self.metrics.exported.inc_by(count - rejected);
                self.metrics.dropped_export.inc_by(rejected);
                return true;
            }
            Ok(Err(error)) => error,
            Err(_) => "no answer in time".into(),
        };
        self.metrics.dropped_export.inc_by(count);
        let is_due = self.complained.is_none_or(|at| at.elapsed() >= COMPLAIN_EVERY);
        if is_due {
            self.complained = Some(Instant::now());
            tracing::warn!(%error, "the OTLP receiver takes no spans; they are dropped and counted");
        }
        false
    }
}

//! The figures of a run while it lasts, in the text form of Prometheus, for a team's own dashboards.
//!
//! Must never hold up the run: whoever asks slowly is hung up on.

use std::fmt::Write as _;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::stats::{Counts, Times, Timings};

/// How long somebody who asks may take to ask, and to take the answer.
const VISIT_MAX: Duration = Duration::from_secs(2);

/// Longest request that is read, in bytes; its words do not matter.
const REQUEST_BYTES_MAX: usize = 4_096;

/// The endpoint; it lives as long as the program.
pub struct Endpoint {
    text: Arc<Mutex<String>>,
    address: SocketAddr,
}

impl Endpoint {
    /// Listens at this address.
    ///
    /// # Errors
    /// When the address is taken or not ours.
    pub fn listen(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let text = Arc::new(Mutex::new(String::new()));
        let shown = Arc::clone(&text);
        std::thread::Builder::new().name("export".to_owned()).spawn(move || {
            for stream in listener.incoming().flatten() {
                let text = shown.lock().unwrap_or_else(PoisonError::into_inner).clone();
                // One that asks badly or goes away gets nothing; the next one is served.
                answer(stream, &text).ok();
            }
        })?;
        Ok(Self { text, address })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Shows these figures from now on.
    pub fn show(&self, counts: &Counts, measured: &Timings) {
        let text = text(counts, measured);
        *self.text.lock().unwrap_or_else(PoisonError::into_inner) = text;
    }
}

fn answer(mut stream: TcpStream, text: &str) -> io::Result<()> {
    stream.set_read_timeout(Some(VISIT_MAX))?;
    stream.set_write_timeout(Some(VISIT_MAX))?;
    let mut request = Vec::new();
    let mut part = [0; 512];
    while !request.windows(4).any(|window| window == b"\r\n\r\n") && request.len() < REQUEST_BYTES_MAX {
        match stream.read(&mut part)? {
            0 => break,
            count => request.extend_from_slice(&part[..count]),
        }
    }
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        text.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(text.as_bytes())
}

/// All figures as text.
fn text(counts: &Counts, measured: &Timings) -> String {
    let mut text = String::new();
    let Counts {
        connected,
        opened,
        failed,
        dropped,
        sent,
        acked,
        refused,
        delivered,
        actions,
        bytes_in,
        bytes_out,
        ..
    } = counts;
    // Writing to a string cannot fail, here and below.
    writeln!(text, "# TYPE hubbub_load_connections gauge\nhubbub_load_connections {connected}").ok();
    for (name, value) in [
        ("connections_opened_total", opened),
        ("connections_failed_total", failed),
        ("connections_dropped_total", dropped),
        ("messages_sent_total", sent),
        ("messages_acked_total", acked),
        ("messages_refused_total", refused),
        ("deliveries_total", delivered),
        ("actions_total", actions),
        ("received_bytes_total", bytes_in),
        ("sent_bytes_total", bytes_out),
    ] {
        writeln!(text, "# TYPE hubbub_load_{name} counter\nhubbub_load_{name} {value}").ok();
    }
    writeln!(text, "# TYPE hubbub_load_errors_total counter").ok();
    for (kind, count) in &counts.errors {
        let kind = kind.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        writeln!(text, "hubbub_load_errors_total{{kind=\"{kind}\"}} {count}").ok();
    }
    let Timings { delivery, ack, connect, subscribe, recover, action, lateness } = measured;
    for (name, times) in [
        ("delivery", delivery),
        ("ack", ack),
        ("connect", connect),
        ("subscribe", subscribe),
        ("recover", recover),
        ("action", action),
        ("lateness", lateness),
    ] {
        summary(&mut text, name, times);
    }
    text
}

fn summary(text: &mut String, name: &str, times: &Times) {
    writeln!(text, "# TYPE hubbub_load_{name}_seconds summary").ok();
    for share in [0.5, 0.9, 0.99, 0.999, 1.0] {
        let seconds = times.quantile(share).as_secs_f64();
        writeln!(text, "hubbub_load_{name}_seconds{{quantile=\"{share}\"}} {seconds}").ok();
    }
    let sum = times.mean().as_secs_f64() * times.count() as f64;
    writeln!(text, "hubbub_load_{name}_seconds_sum {sum}\nhubbub_load_{name}_seconds_count {}", times.count()).ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_served_while_they_change() {
        let endpoint = Endpoint::listen(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
        let mut counts = Counts { sent: 7, ..Counts::default() };
        counts.error("say \"no\"");
        endpoint.show(&counts, &Timings::default());
        let mut stream = TcpStream::connect(endpoint.address()).expect("connected");
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").expect("asked");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answered");
        for expected in ["200 OK", "hubbub_load_messages_sent_total 7\n", "{kind=\"say \\\"no\\\"\"} 1\n"] {
            assert!(answer.contains(expected), "{answer}");
        }
    }
}

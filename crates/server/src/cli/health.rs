//! `hubbub health [URL]`: exit 0 when the node is ready, for containers that hold no other HTTP client.
//!
//! Speaks just enough HTTP/1.1 to read one answer of the ops listener, which is plain HTTP. Must never take longer
//! than its deadline.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use serde_json::json;

use super::output::print_json;
use super::settings::Settings;
use crate::config::Purpose;
use crate::failure::Failure;

/// From the connection to the whole answer.
const DEADLINE: Duration = Duration::from_secs(5);

/// The state of each dependency is far shorter.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// What is asked for when the URL names no path.
const PATH: &str = "/readyz";

#[derive(clap::Args)]
pub(super) struct Options {
    /// The ops listener, such as http://127.0.0.1:9443; else the one of the configuration.
    #[arg(value_name = "URL")]
    url: Option<String>,
    /// For programs: `{ready, status, answer}`.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

/// Whom to ask for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) authority: String,
    pub(super) path: String,
}

impl Target {
    /// The readiness of the node whose ops listener is at this address.
    pub(super) fn at(authority: &str) -> Self {
        Self { authority: authority.to_owned(), path: PATH.to_owned() }
    }
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let target = match &options.url {
        Some(url) => parse(url)?,
        None => {
            let config = options.settings.load_quietly(Purpose::Other)?.config;
            Target::at(&reachable(config.ops_listen).to_string())
        }
    };
    let (status, body) = ask(&target, DEADLINE, ANSWER_BYTES_MAX)
        .map_err(|error| Failure::Refused(format!("{}: {error}", target.authority)))?;
    let ready = status == 200;
    if options.json {
        let answer: serde_json::Value = serde_json::from_str(&body).unwrap_or_else(|_| body.clone().into());
        print_json(&json!({ "ready": ready, "status": status, "answer": answer }))?;
    }
    if ready { Ok(()) } else { Err(Failure::Refused(format!("not ready: HTTP {status}: {}", body.trim()))) }
}

/// An address that can be connected to, for one that is listened on.
pub(super) fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

pub(super) fn parse(url: &str) -> Result<Target, Failure> {
    let usage = || Failure::Usage(format!("`{url}` is no http://host:port of an ops listener"));
    let rest = url.strip_prefix("http://").ok_or_else(usage)?;
    let (authority, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
    let port = authority.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port);
    let spelled = !rest.contains(|sign: char| sign.is_whitespace() || sign.is_control());
    if !spelled || port.is_none_or(|port| port.parse::<u16>().is_err()) {
        return Err(usage());
    }
    let path = if path.trim_end_matches('/').is_empty() { PATH } else { path };
    Ok(Target { authority: authority.to_owned(), path: path.to_owned() })
}

/// The status and body of the answer, which comes whole within `limit` and has at most so many bytes.
pub(super) fn ask(target: &Target, limit: Duration, bytes_max: u64) -> std::io::Result<(u16, String)> {
    let deadline = Instant::now() + limit;
    let mut stream = connect(&target.authority, deadline)?;
    let Target { authority, path } = target;
    stream.set_write_timeout(Some(remaining(deadline)?))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\nUser-Agent: hubbub-health\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    let mut buffer = [0; 16 << 10];
    while (answer.len() as u64) < bytes_max && !is_whole(&answer) {
        stream.set_read_timeout(Some(remaining(deadline)?))?;
        match stream.read(&mut buffer)? {
            0 => break,
            read => answer.extend_from_slice(&buffer[..read]),
        }
    }
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)?.parse().ok());
    let status = status.ok_or_else(|| std::io::Error::other("the answer is no HTTP"))?;
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok((status, body.to_owned()))
}

fn connect(authority: &str, deadline: Instant) -> std::io::Result<TcpStream> {
    let mut failed = std::io::Error::other("the name has no address");
    for address in authority.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, remaining(deadline)?) {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

fn remaining(deadline: Instant) -> std::io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(std::io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// Whether everything that `Content-Length` announced is there; a server may keep the connection open.
fn is_whole(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    length.is_some_and(|length| answer.len() >= end + 4 + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        for (url, authority, path) in [
            ("http://127.0.0.1:9443", "127.0.0.1:9443", "/readyz"),
            ("http://127.0.0.1:9443/", "127.0.0.1:9443", "/readyz"),
            ("http://[::1]:9443/livez", "[::1]:9443", "/livez"),
            ("http://node:1/readyz", "node:1", "/readyz"),
        ] {
            let target = Target { authority: authority.to_owned(), path: path.to_owned() };
            assert_eq!(parse(url).expect(url), target);
        }
        for url in
            ["", "127.0.0.1:9443", "https://a:1", "http://", "http://a", "http://:1", "http://a:b", "http://a:1/\r\nX"]
        {
            assert_eq!(parse(url).expect_err(url).exit_code(), 2, "{url}");
        }
    }

    #[test]
    fn unspecified_addresses_are_asked_on_the_machine_itself() {
        for (listen, asked) in [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:1", "[::1]:1"), ("10.0.0.1:1", "10.0.0.1:1")] {
            assert_eq!(reachable(listen.parse().expect("address")).to_string(), asked);
        }
    }

    #[test]
    fn an_answer_is_whole_by_its_length() {
        assert!(is_whole(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
        assert!(!is_whole(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok"));
        assert!(!is_whole(b"HTTP/1.1 200 OK\r\n\r\nok"));
        assert!(!is_whole(b"HTTP/1.1 200 OK\r\n"));
    }
}

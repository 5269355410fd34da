//! How a connection ended, in words that can be counted.
//!
//! Must never hold what differs from one connection to the next, an address or a time: the kinds are few.

use std::borrow::Cow;
use std::io;

/// How a connection ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct End {
    /// The kind of error.
    pub(super) kind: Cow<'static, str>,
    /// The server's close code, if it closed.
    pub(super) code: Option<u16>,
    /// Not to come back before, in milliseconds; 0 when not said.
    pub(super) retry_after_ms: u64,
}

impl End {
    /// The server closed.
    pub(super) fn closed(code: u16) -> Self {
        Self { code: Some(code), ..Self::from(format!("close {code}")) }
    }

    /// Whether the server never wants to see it again: such close codes are permanent.
    pub(super) fn is_final(&self) -> bool {
        self.code.is_some_and(|code| (4_500..5_000).contains(&code))
    }
}

impl From<&'static str> for End {
    fn from(kind: &'static str) -> Self {
        Self { kind: Cow::Borrowed(kind), code: None, retry_after_ms: 0 }
    }
}

impl From<String> for End {
    fn from(kind: String) -> Self {
        Self { kind: Cow::Owned(kind), code: None, retry_after_ms: 0 }
    }
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        const EMFILE: i32 = 24;
        match error.kind() {
            io::ErrorKind::ConnectionRefused => "refused".into(),
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted => {
                "reset".into()
            }
            io::ErrorKind::TimedOut => "timeout".into(),
            io::ErrorKind::UnexpectedEof => "cut".into(),
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => "unreachable".into(),
            io::ErrorKind::AddrNotAvailable | io::ErrorKind::AddrInUse => "no free port".into(),
            _ if error.raw_os_error() == Some(EMFILE) => "too many open files".into(),
            kind => kind.to_string().into(),
        }
    }
}

impl From<rustls::Error> for End {
    fn from(error: rustls::Error) -> Self {
        match error {
            // The whole text tells names and times; the first words tell the kind.
            rustls::Error::InvalidCertificate(error) => {
                let text = format!("{error:?}");
                let kind = text.split([' ', '(', '{']).next().unwrap_or("invalid");
                format!("certificate: {kind}").into()
            }
            rustls::Error::AlertReceived(alert) => format!("tls: alert {alert:?}").into(),
            error => {
                let text = format!("{error:?}");
                format!("tls: {}", text.split([' ', '(', '{']).next().unwrap_or("error")).into()
            }
        }
    }
}

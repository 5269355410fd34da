//! Addresses of nodes: what people write, made into what is dialled.
//!
//! Must never resolve a name.

use http::Uri;

/// Where the WebSocket is when an address names no path (CONTRACT §4).
const PATH: &str = "/v1/ws";
/// Where tokens are had (CONTRACT §3), on the same host.
pub(crate) const LOGIN_PATH: &str = "/v1/auth/login";

/// One address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Address {
    /// Name or IP address, without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) tls: bool,
    /// Path and query of the WebSocket.
    pub(crate) path: String,
}

impl Address {
    /// Reads `wss://`, `ws://`, `https://`, `http://` or a bare `host[:port]`, which means `wss`.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong = |reason: &str| format!("{text:?} is no address of a node: {reason}");
        let (scheme, rest) = text.split_once("://").unwrap_or(("wss", text));
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "wss" | "https" => true,
            "ws" | "http" => false,
            _ => return Err(wrong("the scheme is wss, ws, https or http")),
        };
        // `Uri` knows http; the scheme has done its part already.
        let uri: Uri = format!("http://{rest}").parse().map_err(|_| wrong("expected wss://host:port"))?;
        let authority = uri.authority().ok_or_else(|| wrong("the host is missing"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("a password does not belong into an address"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err(wrong("the host is missing"));
        }
        // `Authority::port` is silent about a port that is none, so what stands behind the host is read here.
        let port = match authority.as_str().strip_prefix(authority.host()).unwrap_or_default() {
            "" if tls => 443,
            "" => 80,
            port => port.trim_start_matches(':').parse().map_err(|_| wrong("the port is a number up to 65535"))?,
        };
        let path = match uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str) {
            "/" | "" => PATH.to_owned(),
            path => path.to_owned(),
        };
        Ok(Self { host, port, tls, path })
    }

    /// `host:port` for the `Host` header, with brackets around an IPv6 address.
    pub(crate) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// The address for people.
    pub(crate) fn url(&self) -> String {
        format!("{}://{}", if self.tls { "wss" } else { "ws" }, self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (String, bool, String) {
        let address = Address::parse(text).unwrap();
        (address.authority(), address.tls, address.path)
    }

    #[test]
    fn every_way_to_write_an_address() {
        let ws = || "/v1/ws".to_owned();
        assert_eq!(parsed("wss://chat.example"), ("chat.example:443".into(), true, ws()));
        assert_eq!(parsed("https://chat.example:8443/"), ("chat.example:8443".into(), true, ws()));
        assert_eq!(parsed("ws://127.0.0.1:80"), ("127.0.0.1:80".into(), false, ws()));
        assert_eq!(parsed("HTTP://[::1]:9/"), ("[::1]:9".into(), false, ws()));
        assert_eq!(parsed("localhost:8443"), ("localhost:8443".into(), true, ws()));
        assert_eq!(parsed("wss://h/chat/v1/ws?a=b"), ("h:443".into(), true, "/chat/v1/ws?a=b".into()));
    }

    #[test]
    fn what_is_no_address_is_told() {
        for wrong in ["", "ftp://h", "wss://", "wss://:8443", "wss://h:99999", "wss://u:p@h", "wss://a b"] {
            assert!(Address::parse(wrong).is_err(), "{wrong}");
        }
    }
}

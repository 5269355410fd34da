//! Where connections go and where they come from.
//!
//! Owns the reading of URLs, their one resolution and the source addresses. Must never resolve a name while a run is
//! going on: the answer could take seconds.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs as _};

use crate::target::Target;

/// Connections that share a source address when they are spread over 127.0.0.0/8. A Hubbub lets an address have 50 of
/// them; those that are just being closed count too.
const CONNECTIONS_PER_LOOPBACK: u32 = 40;

/// A URL, taken apart and resolved.
#[derive(Clone, Debug)]
pub(super) struct Address {
    /// As it was given.
    pub(super) url: String,
    /// The host's name, for certificates.
    pub(super) host: String,
    /// The `Host` header.
    pub(super) authority: String,
    /// Path and query.
    pub(super) path: String,
    /// Where to connect.
    pub(super) socket: SocketAddr,
    /// `wss`.
    pub(super) is_tls: bool,
}

impl Address {
    /// Reads and resolves a URL; one without a path leads to the usual one.
    ///
    /// # Errors
    /// When it is no `ws://` or `wss://` URL, or its host is not known.
    pub(super) fn resolve(url: &str, usual_path: &str) -> io::Result<Self> {
        let wrong = |reason: &str| io::Error::new(io::ErrorKind::InvalidInput, format!("{url}: {reason}"));
        let (is_tls, rest) = match url.split_once("://") {
            Some(("ws", rest)) => (false, rest),
            Some(("wss", rest)) => (true, rest),
            _ => return Err(wrong("must begin with ws:// or wss://")),
        };
        let rest = rest.split('#').next().unwrap_or(rest);
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (host, port) = split_port(authority).ok_or_else(|| wrong("the port is not one"))?;
        if host.is_empty() {
            return Err(wrong("has no host"));
        }
        let port = port.unwrap_or(if is_tls { 443 } else { 80 });
        let found =
            (host, port).to_socket_addrs().map_err(|error| wrong(&format!("cannot resolve {host}: {error}")))?;
        let socket = found.into_iter().next().ok_or_else(|| wrong(&format!("{host} has no address")))?;
        let path = match path {
            "" => usual_path.to_owned(),
            path if path.starts_with('/') => path.to_owned(),
            query => format!("/{query}"),
        };
        let (host, authority) = (host.to_owned(), authority.to_owned());
        Ok(Self { url: url.to_owned(), host, authority, path, socket, is_tls })
    }
}

/// Host without brackets, and port.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        return match rest.strip_prefix(':') {
            Some(port) => Some((host, Some(port.parse().ok()?))),
            None if rest.is_empty() => Some((host, None)),
            None => None,
        };
    }
    match authority.split_once(':') {
        Some((host, port)) => Some((host, Some(port.parse().ok()?))),
        None => Some((authority, None)),
    }
}

/// All addresses of a target.
#[derive(Debug)]
pub(super) struct Addresses {
    all: Vec<Address>,
    senders: Vec<Address>,
    sources: Vec<IpAddr>,
    is_spread: bool,
}

impl Addresses {
    /// Resolves everything once.
    ///
    /// # Errors
    /// When there is no URL, or one is wrong or unknown.
    pub(super) fn resolve(target: &Target) -> io::Result<Self> {
        let path = target.peer.usual_path();
        let resolve =
            |urls: &[String]| urls.iter().map(|url| Address::resolve(url, path)).collect::<io::Result<Vec<_>>>();
        let all = resolve(&target.urls)?;
        if all.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no URL was given"));
        }
        let senders = resolve(&target.sender_urls)?;
        Ok(Self { all, senders, sources: target.source_addresses.clone(), is_spread: target.spread_loopback })
    }

    /// Where a connection goes.
    pub(super) fn of(&self, connection: u32, is_sender: bool) -> &Address {
        let from = if is_sender && !self.senders.is_empty() { &self.senders } else { &self.all };
        &from[connection as usize % from.len()]
    }

    /// The first URL: where half-open sockets go.
    pub(super) fn first(&self) -> &Address {
        &self.all[0]
    }

    /// Where a connection comes from; none: the kernel's choice.
    pub(super) fn source(&self, connection: u32, to: SocketAddr) -> Option<IpAddr> {
        let fitting = self.sources.iter().filter(|source| source.is_ipv4() == to.is_ipv4());
        let count = fitting.clone().count();
        if count > 0 {
            return fitting.copied().nth(connection as usize % count);
        }
        match to.ip() {
            IpAddr::V4(to) if self.is_spread && to.is_loopback() => Some(loopback(connection).into()),
            _ => None,
        }
    }
}

/// An address of 127.0.0.0/8 that few others share. 127.0.x.y is left to what else runs on the machine.
fn loopback(connection: u32) -> Ipv4Addr {
    let nth = connection / CONNECTIONS_PER_LOOPBACK;
    let part = |value: u32| (1 + value % 250) as u8;
    Ipv4Addr::new(127, part(nth / 62_500), part(nth / 250), part(nth))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let address = Address::resolve("wss://127.0.0.1/ws?v=1", "/usual").expect("right");
        assert_eq!(
            (address.host.as_str(), address.path.as_str(), address.socket.port()),
            ("127.0.0.1", "/ws?v=1", 443)
        );
        let address = Address::resolve("ws://[::1]:9000", "/usual").expect("right");
        assert_eq!(
            (address.authority.as_str(), address.path.as_str(), address.is_tls),
            ("[::1]:9000", "/usual", false)
        );
        assert_eq!(Address::resolve("ws://[::1]/", "/usual").expect("right").path, "/");
        assert_eq!(Address::resolve("ws://[::1]?a", "/usual").expect("right").path, "/?a");
        for wrong in ["http://127.0.0.1", "ws://", "ws://127.0.0.1:x", "ws://[::1", "127.0.0.1:80"] {
            let error = Address::resolve(wrong, "/usual").expect_err(wrong).to_string();
            assert!(error.contains(wrong), "{error}");
        }
    }

    #[test]
    fn no_loopback_address_has_more_than_a_server_takes() {
        let mut sharing = BTreeMap::<_, u32>::new();
        for connection in 0..200_000 {
            let source = loopback(connection);
            assert!(source.is_loopback());
            *sharing.entry(source).or_default() += 1;
        }
        assert!(sharing.values().all(|count| *count <= CONNECTIONS_PER_LOOPBACK));
    }
}

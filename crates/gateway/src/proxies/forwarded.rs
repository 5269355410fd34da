//! `X-Forwarded-For`: which of its addresses is the client's.
//!
//! Must never go further to the left than trusted proxies have written: the client may have written the rest.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName};

use super::{Client, ProxyConfig};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

impl ProxyConfig {
    /// Who asks over a connection of `hop`. Each proxy adds, on the right, the address that it was asked from: so the
    /// list is read from the right while it was a trusted one that wrote.
    pub(crate) fn forwarded(&self, hop: Client, headers: &HeaderMap) -> Client {
        if !(self.forwarded_for && hop.is_proxy) {
            return hop;
        }
        let lines = headers.get_all(FORWARDED_FOR).iter().rev();
        let entries = lines.flat_map(|line| line.to_str().unwrap_or_default().rsplit(','));
        let mut client = hop;
        for entry in entries {
            // What cannot be read ends the list: what is left of it was not written by anybody known.
            let Some(address) = address(entry.trim()) else { break };
            client = self.client(address);
            if !client.is_proxy {
                break;
            }
        }
        client
    }
}

/// An address, perhaps with a port; IPv6 with or without its brackets.
fn address(entry: &str) -> Option<IpAddr> {
    let bare = entry.strip_prefix('[').and_then(|entry| entry.strip_suffix(']')).unwrap_or(entry);
    bare.parse().ok().or_else(|| entry.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn config() -> ProxyConfig {
        let trusted = ["10.0.0.0/8", "2001:db8:1::/48"].map(|network| network.parse().unwrap());
        ProxyConfig { trusted: trusted.to_vec(), protocol: false, forwarded_for: true }
    }

    fn client_of(config: &ProxyConfig, hop: &str, lines: &[&str]) -> (String, bool) {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        let client = config.forwarded(config.client(hop.parse().unwrap()), &headers);
        (client.address.to_string(), client.is_proxy)
    }

    #[test]
    fn the_first_from_the_right_that_is_not_trusted_is_the_client() {
        for (lines, expected) in [
            (&["198.51.100.7"][..], "198.51.100.7"),
            (&["198.51.100.7, 10.1.1.1"], "198.51.100.7"),
            (&["198.51.100.7,10.1.1.1 ,  10.2.2.2"], "198.51.100.7"),
            (&["198.51.100.7", "10.1.1.1", "10.2.2.2"], "198.51.100.7"),
            (&["198.51.100.7:4711, 10.1.1.1:80"], "198.51.100.7"),
            (&["2001:db8:2::7"], "2001:db8:2::7"),
            (&["[2001:db8:2::7]:443, [2001:db8:1::1]"], "2001:db8:2::7"),
            (&["::ffff:198.51.100.7, ::ffff:10.1.1.1"], "198.51.100.7"),
        ] {
            assert_eq!(client_of(&config(), "10.0.0.1", lines), (expected.to_owned(), false), "{lines:?}");
        }
    }

    #[test]
    fn what_a_client_has_written_itself_is_not_believed() {
        for lines in [
            &["1.1.1.1, 198.51.100.7"][..],
            &["10.9.9.9, 198.51.100.7"],
            &["10.9.9.9", "198.51.100.7, 10.1.1.1"],
            &["nonsense, 198.51.100.7"],
            &["\u{e9}", "198.51.100.7"],
        ] {
            assert_eq!(client_of(&config(), "10.0.0.1", lines), ("198.51.100.7".to_owned(), false), "{lines:?}");
        }
    }

    #[test]
    fn a_proxy_that_names_nobody_is_not_taken_for_a_client() {
        for (lines, hop) in [
            (&[][..], "10.0.0.1"),
            (&[""], "10.0.0.1"),
            (&["unknown"], "10.0.0.1"),
            (&["1.1.1.1, unknown"], "10.0.0.1"),
            (&["1.1.1.1, _hidden, 10.2.2.2"], "10.2.2.2"),
            (&["1.1.1.1,"], "10.0.0.1"),
            (&["10.1.1.1"], "10.1.1.1"),
        ] {
            assert_eq!(client_of(&config(), "10.0.0.1", lines), (hop.to_owned(), true), "{lines:?}");
        }
    }

    #[test]
    fn nobody_else_is_believed_and_nothing_is_read_unasked() {
        let stranger = "203.0.113.9";
        assert_eq!(client_of(&config(), stranger, &["1.1.1.1"]), (stranger.to_owned(), false));
        let unasked = ProxyConfig { forwarded_for: false, ..config() };
        assert_eq!(client_of(&unasked, "10.0.0.1", &["1.1.1.1"]), ("10.0.0.1".to_owned(), true));
        assert_eq!(client_of(&ProxyConfig::default(), "10.0.0.1", &["1.1.1.1"]), ("10.0.0.1".to_owned(), false));
    }
}

//! The proxies before a node, as they stand in the configuration.
//!
//! Must never guess whom to trust: whoever is trusted may name any address as a client's.

use std::net::IpAddr;

use hubbub_gateway::ProxyConfig;
use hubbub_gateway::proxies::IpNet;

/// More than this is no list of proxies.
const TRUSTED_MAX: usize = 1_000;

/// The keys under `proxy.`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proxy {
    pub(crate) trusted: Vec<String>,
    pub(crate) protocol: bool,
    pub(crate) forwarded_for: bool,
}

impl Proxy {
    /// For the gateway. What cannot be read was refused by the check.
    pub(crate) fn told(&self) -> ProxyConfig {
        let trusted = self.trusted.iter().filter_map(|text| network(text).ok()).collect();
        ProxyConfig { trusted, protocol: self.protocol, forwarded_for: self.forwarded_for }
    }

    /// What cannot be in `proxy.trusted`, if anything.
    pub(super) fn refused_trust(&self) -> Option<String> {
        if self.trusted.len() > TRUSTED_MAX {
            return Some(format!("has more than {TRUSTED_MAX} entries"));
        }
        self.trusted.iter().find_map(|text| network(text).err())
    }

    /// Whether anybody is believed about anything.
    pub(super) fn is_used(&self) -> bool {
        self.protocol || self.forwarded_for
    }

    /// The entry with which everybody is trusted, if there is one.
    pub(super) fn trusts_all(&self) -> Option<&str> {
        let all = |text: &&String| network(text).is_ok_and(|network| network.prefix_len() == 0);
        self.trusted.iter().find(all).map(String::as_str)
    }
}

/// An address or a network. The error is the end of a sentence about the list.
fn network(text: &str) -> Result<IpNet, String> {
    let wrong = || format!("has `{text}`, which is no address or network such as `10.0.0.0/8` or `2001:db8::1`");
    let network = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => text.parse().map_err(|_| wrong())?,
    };
    if network != network.trunc() {
        return Err(format!("has `{text}`, which is an address within the network `{}`", network.trunc()));
    }
    match network.addr() {
        IpAddr::V6(address) if address.to_ipv4_mapped().is_some() => {
            Err(format!("has `{text}`: IPv4 is written as IPv4 here"))
        }
        _ => Ok(network),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_networks_of_both_families() {
        for (text, kept) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("192.0.2.7", "192.0.2.7/32"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("::1", "::1/128"),
            ("0.0.0.0/0", "0.0.0.0/0"),
        ] {
            assert_eq!(network(text).map(|network| network.to_string()), Ok(kept.to_owned()));
        }
    }

    #[test]
    fn what_is_no_network_is_named() {
        for bad in ["", "proxy", "10.0.0.0/33", "10.0.0", "10.0.0.1/8", "::ffff:10.0.0.1", "*", "10.0.0.1:80"] {
            let proxy = Proxy { trusted: vec!["10.0.0.1".to_owned(), bad.to_owned()], ..Proxy::default() };
            assert!(proxy.refused_trust().is_some_and(|reason| reason.contains(&format!("`{bad}`"))), "{bad}");
        }
    }
}

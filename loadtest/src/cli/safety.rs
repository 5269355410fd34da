//! Where load may go without being asked twice.
//!
//! Must never let a name pass that has one address in the open.

use std::net::{IpAddr, Ipv6Addr, ToSocketAddrs as _};

use super::Failure;

/// Looks at all addresses of all URLs.
pub(super) fn check<'a>(urls: impl Iterator<Item = &'a String>, is_owned: bool) -> Result<(), Failure> {
    for url in urls {
        let (host, port) = place(url).map_err(|reason| Failure::Usage(format!("{url}: {reason}")))?;
        let addresses = (host.as_str(), port).to_socket_addrs();
        let addresses = addresses.map_err(|error| Failure::Failed(format!("{url}: {host} has no address: {error}")))?;
        if let Some(open) = addresses.map(|address| address.ip()).find(|address| !is_near(*address))
            && !is_owned
        {
            return Err(Failure::Usage(format!(
                "{url} leads to {open}, beyond loopback and private networks: load on servers of others is an attack; \
                 say --yes-i-own-this if they are yours"
            )));
        }
    }
    Ok(())
}

/// The host and port of a URL.
fn place(url: &str) -> Result<(String, u16), &'static str> {
    let (scheme, rest) = url.split_once("://").ok_or("it does not begin with ws:// or wss://")?;
    let default = match scheme {
        "ws" => 80,
        "wss" => 443,
        _ => return Err("it does not begin with ws:// or wss://"),
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err("a name or password does not belong into a URL");
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(inner) => {
            let (host, rest) = inner.split_once(']').ok_or("`]` is missing")?;
            (host, rest.strip_prefix(':'))
        }
        None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
    };
    if host.is_empty() {
        return Err("the host is missing");
    }
    let port = port.map_or(Ok(default), |port| port.parse().map_err(|_| "the port is no number up to 65535"))?;
    Ok((host.to_owned(), port))
}

fn is_near(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_loopback() || address.is_private() || address.is_link_local(),
        IpAddr::V6(address) => {
            address.to_ipv4_mapped().map_or_else(|| is_near_v6(address), |mapped| is_near(mapped.into()))
        }
    }
}

fn is_near_v6(address: Ipv6Addr) -> bool {
    address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(url: &str, is_owned: bool) -> Result<(), Failure> {
        check([url.to_owned()].iter(), is_owned)
    }

    #[test]
    fn only_near_addresses_pass_unasked() {
        for near in [
            "ws://127.0.0.1:1/ws",
            "wss://[::1]/ws",
            "ws://10.1.2.3",
            "ws://192.168.0.1?x",
            "ws://169.254.1.1/",
            "ws://[fd00::1]:5/",
            "ws://[fe80::1]/",
            "ws://[::ffff:127.0.0.1]/",
        ] {
            assert!(checked(near, false).is_ok(), "{near}");
        }
        for open in ["ws://8.8.8.8/", "ws://[2001:db8::1]/", "ws://[::ffff:8.8.8.8]/", "ws://172.32.0.1/"] {
            assert!(matches!(checked(open, false), Err(Failure::Usage(_))), "{open}");
            assert!(checked(open, true).is_ok(), "{open}");
        }
        for wrong in ["127.0.0.1:1", "http://127.0.0.1/", "ws:///x", "ws://a:b@127.0.0.1/", "ws://127.0.0.1:99999/"] {
            assert!(matches!(checked(wrong, true), Err(Failure::Usage(_))), "{wrong}");
        }
    }
}

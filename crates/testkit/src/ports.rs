//! Ports for servers that are stopped and started again at the same place.
//!
//! Must never hand out a port that another test on this machine was given: each stays reserved until this process ends.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::sync::{LazyLock, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use rand::RngExt as _;
use socket2::{Domain, Socket, Type};

/// Below the range from which the kernel takes ports of outgoing connections (32768 upwards): a port from there could
/// be taken by anybody's connection while its server is down.
const RANGE: Range<u16> = 15_000..32_000;

/// Tries before it is told that there is none.
const TRIES: usize = 1_000;

/// Sockets that are bound and never listen. Servers listen beside them, since all of ours allow the reuse of an
/// address; another process that looks for a free port does not.
static RESERVED: LazyLock<Mutex<Vec<Socket>>> = LazyLock::new(Mutex::default);

/// A port of 127.0.0.1 that nobody has.
///
/// # Errors
/// When none is found.
pub fn free() -> Result<u16> {
    let mut rng = rand::rng();
    let found = (0..TRIES).find_map(|_| {
        let port = rng.random_range(RANGE);
        reserve(port).ok().map(|socket| (port, socket))
    });
    let (port, socket) = found.context("no free port")?;
    RESERVED.lock().unwrap_or_else(PoisonError::into_inner).push(socket);
    Ok(port)
}

fn reserve(port: u16) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    // Without the reuse of addresses this fails wherever anybody is bound, even without listening.
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    socket.set_reuse_address(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_reserved_port_is_for_its_server_alone() {
        let port = free().expect("a port");
        reserve(port).expect_err("it is reserved");
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("the server listens");
        drop(server);
        reserve(port).expect_err("it stays reserved");
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("the server listens again");
    }
}

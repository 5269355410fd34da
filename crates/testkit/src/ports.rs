//! Ports for servers that are stopped and started again at the same place.
//!
//! Must never hand a port out twice in this process.

use std::collections::HashSet;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::sync::{LazyLock, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use rand::RngExt as _;

/// Below the range from which the kernel takes ports of outgoing connections (32768 upwards): a port from there could
/// be taken by anybody's connection while its server is down.
const RANGE: Range<u16> = 15_000..32_000;

/// Tries before it is told that there is none.
const TRIES: usize = 1_000;

static TAKEN: LazyLock<Mutex<HashSet<u16>>> = LazyLock::new(Mutex::default);

/// A port of 127.0.0.1 that nobody listens on.
///
/// # Errors
/// When none is found.
pub fn free() -> Result<u16> {
    let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut rng = rand::rng();
    let port = (0..TRIES)
        .map(|_| rng.random_range(RANGE))
        .find(|port| !taken.contains(port) && TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok());
    let port = port.context("no free port")?;
    taken.insert(port);
    Ok(port)
}

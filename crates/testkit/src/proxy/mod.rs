//! The fault proxy: stands between any two parts and cuts, freezes, slows or thins what passes.
//!
//! Runs on threads of its own, so that a test that blocks does not block the cluster. Must never alter a byte that it
//! passes.

mod resp;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::{Bytes, BytesMut};
use rand::RngExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use resp::MessageFilter;

/// Bytes read at a time.
const CHUNK_BYTES: usize = 16 * 1024;

/// Chunks that wait in one direction; then the sender is no longer read, as with a full network.
const CHUNKS_MAX: usize = 256;

/// Which way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// From whoever connects to the server.
    Up,
    /// From the server.
    Down,
    /// Both.
    Both,
}

impl Direction {
    fn holds(self, one: Self) -> bool {
        self == Self::Both || self == one
    }
}

/// What becomes of what passes.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
struct State {
    /// New connections are reset.
    cut: bool,
    /// Connections made before this count rose are reset.
    resets: u64,
    frozen: Option<Direction>,
    /// Direction, delay, jitter.
    slow: Option<(Direction, Duration, Duration)>,
    /// The share of chunks that wait so much longer, in both directions.
    stalls: Option<(f64, Duration)>,
    dropped_share: f64,
}

impl State {
    fn is_frozen(&self, direction: Direction) -> bool {
        self.frozen.is_some_and(|frozen| frozen.holds(direction))
    }

    fn delay(&self, direction: Direction) -> Duration {
        let mut rng = rand::rng();
        let slow = match self.slow {
            Some((slow, delay, jitter)) if slow.holds(direction) => delay + jitter.mul_f64(rng.random()),
            _ => Duration::ZERO,
        };
        match self.stalls {
            Some((share, longer)) if rng.random_bool(share.clamp(0.0, 1.0)) => slow + longer,
            _ => slow,
        }
    }
}

/// A proxy before one server. Its connections end when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    /// Where to connect.
    pub port: u16,
    state: watch::Sender<State>,
    target: watch::Sender<SocketAddr>,
    dropped: Arc<AtomicU64>,
    accepting: JoinHandle<()>,
}

/// What the connections of one proxy share.
struct Shared {
    target: watch::Receiver<SocketAddr>,
    state: watch::Receiver<State>,
    /// Set for Redis: the seed of what is dropped.
    seed: Option<u64>,
    dropped: Arc<AtomicU64>,
}

static RUNTIME: LazyLock<io::Result<Runtime>> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).thread_name("proxy").enable_all().build()
});

impl Proxy {
    /// A proxy before this port of this machine.
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn start(target: u16) -> Result<Self> {
        Self::listen(target, None)
    }

    /// A proxy before Redis that can drop single messages of rooms, chosen by `seed`.
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn before_redis(target: u16, seed: u64) -> Result<Self> {
        Self::listen(target, Some(seed))
    }

    fn listen(target: u16, seed: Option<u64>) -> Result<Self> {
        let runtime = RUNTIME.as_ref().map_err(|error| anyhow::anyhow!("no runtime: {error}"))?;
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot listen")?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let (state, watched) = watch::channel(State::default());
        let dropped = Arc::new(AtomicU64::new(0));
        let target = SocketAddr::from((Ipv4Addr::LOCALHOST, target));
        let (target, aimed) = watch::channel(target);
        let shared = Arc::new(Shared { target: aimed, state: watched, seed, dropped: Arc::clone(&dropped) });
        let listener = {
            let _context = runtime.enter();
            TcpListener::from_std(listener)?
        };
        let accepting = runtime.spawn(accept(listener, shared));
        Ok(Self { port, state, target, dropped, accepting })
    }

    /// Resets every connection, and new ones, until healed.
    pub fn cut(&self) {
        self.state.send_modify(|state| {
            state.cut = true;
            state.resets += 1;
        });
    }

    /// Resets every connection once; new ones pass.
    pub fn reset_connections(&self) {
        self.state.send_modify(|state| state.resets += 1);
    }

    /// Swallows what comes, as a network without answers does, until healed; then it arrives after all.
    pub fn freeze(&self, direction: Direction) {
        self.state.send_modify(|state| state.frozen = Some(direction));
    }

    /// Delays what passes by `delay` and up to `jitter` more; the order stays.
    pub fn slow(&self, direction: Direction, delay: Duration, jitter: Duration) {
        self.state.send_modify(|state| state.slow = Some((direction, delay, jitter)));
    }

    /// Lets this share (0 to 1) of the chunks wait so much longer, and what follows them behind: as TCP shows a lost
    /// packet to a program, which is by the time of its retransmission.
    pub fn stall(&self, share: f64, longer: Duration) {
        self.state.send_modify(|state| state.stalls = Some((share, longer)));
    }

    /// New connections go to this port from now on; those that are open end, as with an address that has moved.
    pub fn retarget(&self, port: u16) {
        self.target.send_replace(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        self.reset_connections();
    }

    /// Drops this share (0 to 1) of the messages of rooms; see [`Proxy::before_redis`].
    pub fn drop_messages(&self, share: f64) {
        self.state.send_modify(|state| state.dropped_share = share);
    }

    /// How many messages were dropped so far.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Lets everything pass again.
    pub fn heal(&self) {
        self.state.send_modify(|state| *state = State { resets: state.resets, ..State::default() });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cut();
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // A failed accept is a connection that has gone already, or a machine out of files: the client will tell.
    loop {
        if let Ok((client, _)) = listener.accept().await {
            tokio::spawn(serve(client, Arc::clone(&shared)));
        }
    }
}

async fn serve(mut client: TcpStream, shared: Arc<Shared>) {
    let mut state = shared.state.clone();
    let State { cut, resets, .. } = *state.borrow_and_update();
    if cut {
        client.set_zero_linger().ok();
        return;
    }
    let target = *shared.target.borrow();
    let Ok(mut server) = TcpStream::connect(target).await else {
        client.set_zero_linger().ok();
        return;
    };
    client.set_nodelay(true).and_then(|()| server.set_nodelay(true)).ok();
    let broken = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let up = pump(from_client, to_server, &shared, Direction::Up);
        let down = pump(from_server, to_client, &shared, Direction::Down);
        tokio::select! {
            ended = async { tokio::try_join!(up, down) } => ended.is_err(),
            _ = state.wait_for(|state| state.resets != resets) => true,
        }
    };
    if broken {
        // Closed with nothing left to linger for, a socket sends a reset.
        client.set_zero_linger().and_then(|()| server.set_zero_linger()).ok();
    }
}

async fn pump(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, shared: &Shared, direction: Direction) -> io::Result<()> {
    let (queue, mut waiting) = mpsc::channel::<(Instant, Bytes)>(CHUNKS_MAX);
    let mut state = shared.state.clone();
    let mut filter = shared.seed.filter(|_| direction == Direction::Down).map(MessageFilter::new);
    let read = async move {
        loop {
            let mut chunk = BytesMut::with_capacity(CHUNK_BYTES);
            if from.read_buf(&mut chunk).await? == 0 {
                return Ok(());
            }
            let present = *shared.state.borrow();
            let bytes = match &mut filter {
                None => chunk.freeze(),
                Some(filter) => {
                    let (bytes, dropped) = filter.pass(&chunk, present.dropped_share);
                    shared.dropped.fetch_add(dropped, Ordering::Relaxed);
                    bytes
                }
            };
            if queue.send((Instant::now() + present.delay(direction), bytes)).await.is_err() {
                return Ok(());
            }
        }
    };
    let write = async {
        while let Some((due, bytes)) = waiting.recv().await {
            tokio::time::sleep_until(due).await;
            // Ends with an error only when the proxy is gone, and then all connections are being reset.
            state.wait_for(|state| !state.is_frozen(direction)).await.map(drop).ok();
            to.write_all(&bytes).await?;
        }
        to.shutdown().await
    };
    tokio::try_join!(read, write).map(drop)
}

#[cfg(test)]
mod tests;

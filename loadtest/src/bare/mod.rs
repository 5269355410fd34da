//! The floor: what the kernel alone charges for a fan-out, as a server that does nothing else.
//!
//! One thread, one epoll, one ready frame for all followers of a room, one `send` for each. Sockets speak three words in
//! text frames: `sub ROOM` follows, `pub ROOM BODY` sends BODY to all followers of the room, the sender too if it
//! follows. Rooms of different paths of the upgrade are different; its query is ignored. Must never become a server for
//! anything else: no tokens, no history, no answers.

mod fanout;
mod server;
mod wire;

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use signal_hook::consts::{SIGINT, SIGTERM};

use server::Server;

/// Longest time that writes are put together.
const TICK_MAX: Duration = Duration::from_secs(10);

/// What `hubbub-load bare` is started with.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Where to listen; port 0 takes a free one. The address is the first line that is printed.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// `direct` writes each message to each follower at once; `joined` writes all messages of a tick together.
    #[arg(long, value_enum, default_value_t = Mode::Direct)]
    pub mode: Mode,
    /// How long `joined` collects, such as 10ms.
    #[arg(long, default_value = "10ms", value_parser = tick)]
    pub tick: Duration,
    /// Fills every message up to this many bytes on the wire, head included, so that frames of another server's size
    /// are compared.
    #[arg(long, value_parser = clap::value_parser!(u32).range(0..=1_048_576))]
    pub frame_bytes: Option<u32>,
}

/// When followers are written to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Mode {
    /// For every message at once.
    Direct,
    /// Once a tick, all messages together.
    Joined,
}

/// What a server did.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Tally {
    /// Messages that came.
    messages: u64,
    /// Messages that were handed to followers, once for each.
    deliveries: u64,
    /// System calls that wrote to a follower.
    writes: u64,
    /// Sockets that were accepted.
    accepted: u64,
    /// Followers that were cut off, because more than the bound waited for them.
    slow_closes: u64,
    /// Sockets that were cut off for what they said.
    refused: u64,
}

fn tick(text: &str) -> Result<Duration, String> {
    let number = text.strip_suffix("ms").and_then(|number| number.parse().ok()).map(Duration::from_millis);
    let seconds = || text.strip_suffix('s').and_then(|number| number.parse().ok()).map(Duration::from_secs);
    let tick = number.or_else(seconds).ok_or("a time such as 10ms is expected")?;
    if tick.is_zero() || tick > TICK_MAX { Err(format!("1ms to {TICK_MAX:?}")) } else { Ok(tick) }
}

/// Serves until SIGTERM or SIGINT, then prints what was done and what it cost.
///
/// # Errors
/// When the address cannot be had, or the system refuses an epoll or the first line cannot be printed.
pub fn run(options: &Options) -> io::Result<()> {
    let (stop, signal) = UnixStream::pair()?;
    for number in [SIGTERM, SIGINT] {
        signal_hook::low_level::pipe::register(number, signal.try_clone()?)?;
    }
    let mut server = Server::bind(options, stop)?;
    let mut out = io::stdout().lock();
    writeln!(out, "{}", server.address()?)?;
    out.flush()?;
    let tally = server.run()?;
    report(&tally, cpu(), &mut out)
}

/// User and kernel time of this process.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let part = |number: i64| u64::try_from(number).unwrap_or(0);
    Duration::from_secs(part(time.tv_sec)) + Duration::from_nanos(part(time.tv_nsec))
}

fn report(tally: &Tally, cpu: Duration, out: &mut impl io::Write) -> io::Result<()> {
    let Tally { messages, deliveries, writes, accepted, slow_closes, refused } = tally;
    writeln!(out, "accepted {accepted}, refused {refused}, too slow {slow_closes}")?;
    writeln!(out, "messages {messages}, deliveries {deliveries}, writes {writes}")?;
    let seconds = cpu.as_secs_f64();
    match deliveries {
        0 => writeln!(out, "CPU {seconds:.3} s"),
        count => writeln!(out, "CPU {seconds:.3} s, {:.3} µs per delivery", seconds * 1e6 / *count as f64),
    }
}

#[cfg(test)]
#[path = "bare_tests.rs"]
mod tests;

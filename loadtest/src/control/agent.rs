//! Workers on another machine: the agent that waits there, and the coordinator's way to it.
//!
//! Owns the handshake and the comparison of clocks. Must never do anything for somebody who has not proved that they
//! know the secret, and never send load where the agent's own command line does not say.

use std::io::{self, BufReader};
use std::net::{TcpListener, TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::crew::StartWorker;
use super::line::{self, LINE_BYTES_MAX, STRANGER_BYTES_MAX};
use super::link::{self, Down, Up};
use super::message::Task;
use super::secret::{Secret, Side, nonce};
use crate::clock::Nanos;
use crate::target::Target;

/// How long a handshake may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(5);

/// How long a link may be silent: both sides speak every few seconds.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// How long the other side may not take what is written.
const WRITE_MAX: Duration = Duration::from_secs(30);

/// Most connections that are looked after at once, proved or not.
const VISITORS_MAX: usize = 8;

/// Round trips by which the clocks are compared; the shortest counts.
const ROUND_TRIPS: u32 = 20;

/// Most worker threads of an agent that a coordinator believes.
const THREADS_MAX: u32 = 1_024;

/// What an agent says first.
#[derive(Debug, Serialize, Deserialize)]
struct Hello {
    /// The version of the program: both have to be of the same.
    version: String,
    nonce: String,
}

/// What a coordinator answers.
#[derive(Debug, Serialize, Deserialize)]
struct Proof {
    nonce: String,
    proof: String,
}

/// What an agent answers to that.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Welcome {
    /// It is its secret too.
    Come {
        proof: String,
        /// How many workers it gives.
        threads: u32,
    },
    /// It is not, or it cannot now.
    Go(String),
}

/// What stands on an agent's command line.
#[derive(Clone, Debug)]
pub struct AgentOptions {
    /// Where load may go, and nowhere else.
    pub urls: Vec<String>,
    /// What the coordinator knows too.
    pub secret: Secret,
    /// Worker threads.
    pub threads: u32,
}

impl AgentOptions {
    fn check(&self, target: &Target) -> Result<(), String> {
        let foreign = target.urls.iter().chain(&target.sender_urls).find(|url| !self.urls.contains(url));
        foreign.map_or(Ok(()), |url| Err(format!("{url} is not among the --url of its own command line")))
    }
}

/// Serves coordinators, one run at a time, until the listener fails. What happens is told in lines for people.
///
/// # Errors
/// When the listener fails for good.
pub fn serve(listener: &TcpListener, options: &AgentOptions, start: StartWorker, tell: fn(&str)) -> io::Result<()> {
    let visitors = Arc::new(AtomicUsize::new(0));
    let is_at_work = Arc::new(AtomicBool::new(false));
    loop {
        let (stream, from) = match listener.accept() {
            Ok(accepted) => accepted,
            // The visitor has gone again, or a signal came: neither is the listener's fault.
            Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted) => {
                continue;
            }
            Err(error) => return Err(error),
        };
        if visitors.load(Ordering::Acquire) >= VISITORS_MAX {
            tell(&format!("{from} was turned away: {VISITORS_MAX} others are here"));
            continue;
        }
        visitors.fetch_add(1, Ordering::AcqRel);
        let (options, visitors, is_at_work) = (options.clone(), Arc::clone(&visitors), Arc::clone(&is_at_work));
        std::thread::spawn(move || {
            match receive(stream, &options, start, &is_at_work) {
                Ok(()) => tell(&format!("the run of {from} is over")),
                Err(error) => tell(&format!("{from}: {error}")),
            }
            visitors.fetch_sub(1, Ordering::AcqRel);
        });
    }
}

/// One coordinator's visit.
fn receive(stream: TcpStream, options: &AgentOptions, start: StartWorker, is_at_work: &AtomicBool) -> io::Result<()> {
    let until = Instant::now() + HANDSHAKE_MAX;
    prepare(&stream, HANDSHAKE_MAX)?;
    let mut to = stream.try_clone()?;
    let mut from = BufReader::new(stream);
    let own = nonce();
    line::write(&mut to, &Hello { version: version(), nonce: own.clone() })?;
    let proof: Proof = line::read(&mut from, STRANGER_BYTES_MAX, Some(until))?.ok_or(io::ErrorKind::UnexpectedEof)?;
    if !options.secret.check(Side::Coordinator, &own, &proof.nonce, &proof.proof) {
        line::write(&mut to, &Welcome::Go("the secret is another one".to_owned()))?;
        return Err(io::Error::other("turned away: its secret is another one"));
    }
    if is_at_work.swap(true, Ordering::AcqRel) {
        line::write(&mut to, &Welcome::Go("it is at work for another run".to_owned()))?;
        return Err(io::Error::other("turned away: another run is under way"));
    }
    let _at_work = AtWork(is_at_work);
    let threads = options.threads.max(1);
    line::write(&mut to, &Welcome::Come { proof: options.secret.prove(Side::Agent, &own, &proof.nonce), threads })?;
    from.get_ref().set_read_timeout(Some(SILENCE_MAX))?;
    let check = |task: &Task| options.check(&task.target);
    link::serve(from, to, start, &check)
}

struct AtWork<'a>(&'a AtomicBool);

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// An agent that was reached.
pub(super) struct Reached {
    pub(super) address: String,
    pub(super) stream: TcpStream,
    pub(super) from: BufReader<TcpStream>,
    pub(super) threads: u32,
    /// What it has to add to its clock.
    pub(super) shift_ns: i64,
    /// By how much that may be wrong.
    pub(super) uncertainty: Duration,
}

/// Goes to an agent, proves and lets it prove, and compares the clocks.
pub(super) fn reach(address: &str, secret: &Secret) -> Result<Reached, String> {
    try_reach(address, secret).map_err(|error| format!("agent {address}: {error}"))
}

fn try_reach(address: &str, secret: &Secret) -> io::Result<Reached> {
    let until = Instant::now() + HANDSHAKE_MAX;
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    let mut connected = None;
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, HANDSHAKE_MAX) {
            Ok(stream) => {
                connected = Some(stream);
                break;
            }
            Err(error) => failed = error,
        }
    }
    let Some(mut stream) = connected else { return Err(failed) };
    prepare(&stream, HANDSHAKE_MAX)?;
    let mut from = BufReader::new(stream.try_clone()?);
    let gone = || io::Error::new(io::ErrorKind::UnexpectedEof, "it hung up");
    let hello: Hello = line::read(&mut from, STRANGER_BYTES_MAX, Some(until))?.ok_or_else(gone)?;
    if hello.version != version() {
        return Err(io::Error::other(format!("it is of version {}, this is {}", hello.version, version())));
    }
    let own = nonce();
    let proof = secret.prove(Side::Coordinator, &hello.nonce, &own);
    line::write(&mut stream, &Proof { nonce: own.clone(), proof })?;
    let threads = match line::read(&mut from, STRANGER_BYTES_MAX, Some(until))?.ok_or_else(gone)? {
        Welcome::Go(reason) => return Err(io::Error::other(format!("it refuses: {reason}"))),
        Welcome::Come { proof, .. } if !secret.check(Side::Agent, &hello.nonce, &own, &proof) => {
            return Err(io::Error::other("it does not know the secret"));
        }
        Welcome::Come { threads, .. } => threads.clamp(1, THREADS_MAX),
    };
    let (shift_ns, uncertainty) = compare_clocks(&mut stream, &mut from)?;
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    Ok(Reached { address: address.to_owned(), stream, from, threads, shift_ns, uncertainty })
}

/// What has to be added to the clock there, and by how much that may be wrong: the half of the shortest round trip.
fn compare_clocks(stream: &mut TcpStream, from: &mut BufReader<TcpStream>) -> io::Result<(i64, Duration)> {
    let mut best = (Duration::MAX, 0);
    for _ in 0..ROUND_TRIPS {
        let asked = Nanos::now();
        line::write(stream, &Down::Ping)?;
        let Some(Up::Pong(there)) = line::read(from, LINE_BYTES_MAX, None)? else {
            return Err(io::Error::other("it does not tell the time"));
        };
        let round_trip = Nanos::now().since(asked);
        if round_trip < best.0 {
            let middle = asked.plus(round_trip / 2);
            best = (round_trip, i64::try_from(i128::from(middle.0) - i128::from(there.0)).unwrap_or(0));
        }
    }
    Ok((best.1, best.0 / 2))
}

fn prepare(stream: &TcpStream, read_max: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(read_max))?;
    stream.set_write_timeout(Some(WRITE_MAX))
}

fn version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}

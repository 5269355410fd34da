//! Issue 6, item 1: `/livez` tells a worker that does not turn, and answers when none does.

use std::future::poll_fn;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Sender, channel};
use std::task::Poll;
use std::time::{Duration, Instant};

use hubbub_gateway::{Health, Ops};
use prometheus::Registry;
use serde_json::json;
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;

use crate::fixture::DEADLINE;

const WORKERS: usize = 2;

/// A runtime with an ops listener, and nothing else.
struct Process {
    runtime: Runtime,
    ops: SocketAddr,
    stop: CancellationToken,
}

impl Process {
    fn start() -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build().unwrap();
        let stop = CancellationToken::new();
        let ops = runtime.block_on(async {
            let ops = Ops::bind(([127, 0, 0, 1], 0).into()).unwrap();
            let address = ops.address;
            ops.start(Health::new(Registry::new(), json!({})), stop.clone()).unwrap();
            address
        });
        Self { runtime, ops, stop }
    }

    /// A task that holds its worker until the sender is dropped.
    fn block_worker(&self) -> Sender<()> {
        let (release, released) = channel::<()>();
        let (begun, begins) = channel();
        self.runtime.spawn(async move {
            begun.send(()).unwrap();
            released.recv().ok();
        });
        begins.recv_timeout(DEADLINE).expect("a worker takes it");
        release
    }

    fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.ops).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        write!(stream, "GET {path} HTTP/1.0\r\nHost: ops\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// Asks until the answer has this status and says all of this; what it says besides.
    fn until(&self, status: u16, words: &[&str]) -> String {
        let began = Instant::now();
        loop {
            let (is, body) = self.get("/livez");
            if is == status && words.iter().all(|words| body.contains(words)) {
                return body;
            }
            assert!(began.elapsed() < DEADLINE, "still {is}: {body}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[test]
fn a_worker_that_is_blocked_is_named_and_forgotten_when_it_turns_again() {
    let process = Process::start();
    assert_eq!(process.get("/livez").0, 200);
    let release = process.block_worker();
    let body = process.until(503, &["worker "]);
    assert_eq!(body.matches("worker ").count(), 1, "only one of {WORKERS} is blocked: {body}");
    drop(release);
    process.until(200, &["ok"]);
}

#[test]
fn the_ops_listener_answers_while_every_worker_is_blocked() {
    let process = Process::start();
    let blocked: Vec<_> = (0..WORKERS).map(|_| process.block_worker()).collect();
    process.until(503, &["worker 0 ", "worker 1 ", "a new task has waited"]);
    for path in ["/readyz", "/metrics", "/debug/tasks"] {
        process.get(path);
    }
    drop(blocked);
    process.until(200, &["ok"]);
}

/// Workers that have always something to do do not park, and must not be taken for stuck.
#[test]
fn a_process_that_is_only_busy_lives() {
    let process = Process::start();
    let stop = CancellationToken::new();
    for _ in 0..4 * WORKERS {
        let stop = stop.clone();
        process.runtime.spawn(poll_fn(move |context| {
            std::hint::black_box((0..10_000_u64).map(std::hint::black_box).sum::<u64>());
            // At once again, without the pause that a yield is.
            context.waker().wake_by_ref();
            if stop.is_cancelled() { Poll::Ready(()) } else { Poll::Pending }
        }));
    }
    // As long as it takes to be sure about one that is blocked, beside them.
    let other = Process::start();
    let release = other.block_worker();
    other.until(503, &["worker "]);
    let (status, body) = process.get("/livez");
    assert_eq!(status, 200, "{body}");
    drop(release);
    stop.cancel();
}

//! Whole runs of one or two workers against a small server in the same process.

mod faults;
mod peer;
mod runs;
mod server;
mod trust;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::Worker;
use super::driver::Limits;
use crate::clock::Nanos;
use crate::control::{Answer, Order, Outcome, Phase, Share, Task};
use crate::scenario::{Actions, Arrivals, Connections, Hostile, Messages, Popularity, Rooms, Scenario, Sizes};
use crate::stats::{Counts, Timings};
use crate::target::{Codec, PeerKind, RawTemplates, Target};
use peer::Lines;
use server::{Plan, Server};

/// Ten connections in two rooms, one of each sends.
fn scenario() -> Scenario {
    Scenario {
        name: "test".to_owned(),
        about: String::new(),
        duration: Duration::from_millis(600),
        warmup: Duration::from_millis(100),
        settle: Duration::from_millis(700),
        connections: Connections { count: 10, per_second: 10_000.0, handshakes_max: 8, churn_per_second: 0.0 },
        rooms: Rooms { count: 2, per_connection: 1, popularity: Popularity::Uniform },
        messages: Messages {
            per_second: 100.0,
            senders_per_room: 1,
            arrivals: Arrivals::Even,
            body: Sizes::Uniform { min: 60, max: 300 },
        },
        actions: Actions::default(),
        stages: Vec::new(),
        storm: None,
        hostile: Hostile::default(),
    }
}

fn target(url: String) -> Target {
    Target {
        peer: PeerKind::Raw,
        urls: vec![url],
        sender_urls: Vec::new(),
        ca_file: None,
        insecure: false,
        source_addresses: Vec::new(),
        spread_loopback: true,
        tokens: Vec::new(),
        room_prefix: "room".to_owned(),
        codec: Codec::Json,
        deflate: false,
        raw: RawTemplates::default(),
    }
}

/// What a run brought.
struct Ran {
    outcome: Outcome,
    counts: Counts,
    timings: Timings,
    busy: Vec<i64>,
}

/// Short limits, so that what fails fails soon.
fn limits() -> Limits {
    let millis = Duration::from_millis;
    Limits { hopeless: millis(400), stalled: millis(2_000), handshake: millis(300), backoff: (millis(10), millis(50)) }
}

struct Run {
    scenario: Scenario,
    target: Target,
    has_history: bool,
    is_idempotent: bool,
    workers: u32,
}

impl Run {
    fn new(server: &Server) -> Self {
        let target = target(format!("ws://{}/ws", server.address));
        Self { scenario: scenario(), target, has_history: false, is_idempotent: false, workers: 1 }
    }

    /// All orders in turn; the reason when a worker fails.
    fn go(self) -> Result<Ran, String> {
        let Self { scenario, target, has_history, is_idempotent, workers } = self;
        let task = Arc::new(Task { run: 0xabc, seed: 7, scenario, target });
        let (sender, answers) = channel();
        let start = |worker| {
            let peer = Box::new(Lines { has_history, is_idempotent });
            Worker::start_with(Arc::clone(&task), Share { worker, workers }, sender.clone(), peer, limits())
        };
        let crew: Vec<_> = (0..workers).map(start).collect::<Result<_, _>>().map_err(|error| error.to_string())?;
        let mut ran = Ran {
            outcome: Outcome::default(),
            counts: Counts::default(),
            timings: Timings::default(),
            busy: Vec::new(),
        };
        let mut sent = Vec::new();
        for phase in
            [Phase::Prepare, Phase::Connect, Phase::Subscribe, Phase::Run, Phase::Settle, Phase::Judge, Phase::Stop]
        {
            for worker in &crew {
                let order = match phase {
                    Phase::Prepare => Order::Prepare,
                    Phase::Connect => Order::Connect,
                    Phase::Subscribe => Order::Subscribe,
                    Phase::Run => Order::Run { at: Nanos::now() },
                    Phase::Settle => Order::Settle,
                    Phase::Judge => Order::Judge { sent: sent.clone() },
                    Phase::Stop => Order::Stop,
                };
                worker.order(order);
            }
            wait(&answers, phase, workers, &mut ran, &mut sent)?;
        }
        for worker in crew {
            assert!(worker.join(), "a worker panicked");
        }
        Ok(ran)
    }
}

fn wait(
    answers: &Receiver<(u32, Answer)>,
    phase: Phase,
    workers: u32,
    ran: &mut Ran,
    sent: &mut Vec<crate::proof::SentLane>,
) -> Result<(), String> {
    let mut reached = 0;
    while reached < workers {
        let (_, answer) =
            answers.recv_timeout(Duration::from_secs(30)).map_err(|_| format!("{phase:?} is never reached"))?;
        match answer {
            Answer::Reached(found) => {
                assert_eq!(found, phase);
                reached += 1;
            }
            Answer::Second(second) => {
                ran.busy.push(second.at);
                ran.counts.follow(&second.counts);
                ran.timings.merge(&second.timings);
            }
            Answer::Sent(lanes) => sent.extend(lanes),
            Answer::Judged(outcome) => {
                ran.outcome.verdict.merge(outcome.verdict);
                ran.outcome.left_out.extend(outcome.left_out);
            }
            Answer::Failed { reason } => return Err(reason),
        }
    }
    Ok(())
}

/// A run against a server that errs so.
fn run(plan: Plan) -> (Ran, Server) {
    let server = Server::start(plan);
    let ran = Run::new(&server).go().expect("no worker failed");
    (ran, server)
}

//! A worker that does nothing but answer, for the tests of the coordinator.
//!
//! Must never open a socket.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::crew::Hand;
use super::message::{Answer, Order, Outcome, Phase, Share, Task};
use crate::clock::Nanos;
use crate::proof::{Fate, SentLog};
use crate::scenario::{Actions, Arrivals, Connections, Hostile, Messages, Popularity, Rooms, Scenario, Sizes};
use crate::stats::{Counts, Second};
use crate::target::{Codec, PeerKind, RawTemplates, Target};

/// Ten connections, a hundred messages a second for a second.
pub(crate) fn scenario() -> Scenario {
    Scenario {
        name: "fake".to_owned(),
        about: "Nothing happens.".to_owned(),
        duration: Duration::from_secs(1),
        warmup: Duration::ZERO,
        settle: Duration::from_secs(1),
        connections: Connections { count: 10, per_second: 1_000.0, handshakes_max: 10, churn_per_second: 0.0 },
        rooms: Rooms { count: 2, per_connection: 1, popularity: Popularity::Uniform },
        messages: Messages { per_second: 100.0, senders_per_room: 0, arrivals: Arrivals::Even, body: Sizes::Fixed(64) },
        actions: Actions::default(),
        stages: Vec::new(),
        storm: None,
        hostile: Hostile::default(),
    }
}

/// Nowhere.
pub(crate) fn task(url: &str) -> Task {
    let target = Target {
        peer: PeerKind::Raw,
        urls: vec![url.to_owned()],
        sender_urls: Vec::new(),
        ca_file: None,
        insecure: false,
        source_addresses: Vec::new(),
        spread_loopback: true,
        tokens: Vec::new(),
        room_prefix: "load".to_owned(),
        codec: Codec::Json,
        deflate: false,
        raw: RawTemplates::default(),
    };
    Task { run: 1, seed: 7, scenario: scenario(), target }
}

struct Fake {
    orders: Sender<Order>,
    thread: JoinHandle<()>,
}

impl Hand for Fake {
    fn order(&self, order: Order) -> bool {
        self.orders.send(order).is_ok()
    }

    fn end(self: Box<Self>) {
        drop(self.orders);
        self.thread.join().expect("a fake worker does not panic");
    }
}

/// Starts one that answers everything. The seed says what goes wrong: 13: the last worker fails when it is to
/// subscribe; 14: the sending never ends by itself.
pub(crate) fn start(task: Arc<Task>, share: Share, answers: Sender<(u32, Answer)>) -> io::Result<Box<dyn Hand>> {
    let (orders, given) = channel::<Order>();
    let thread = std::thread::spawn(move || {
        let say = |answer: Answer| answers.send((share.worker, answer)).unwrap_or(());
        for order in given {
            let phase = order.phase();
            match &order {
                Order::Subscribe if task.seed == 13 && share.worker + 1 == share.workers => {
                    say(Answer::Failed { reason: "planted".to_owned() });
                    continue;
                }
                Order::Run { at } => {
                    if task.seed == 14 {
                        continue;
                    }
                    let end = at.plus(task.scenario.warmup + task.scenario.duration);
                    std::thread::sleep(end.since(Nanos::now()));
                    say(Answer::Second(Box::new(second(&task, share, *at))));
                }
                Order::Stop => {
                    say(Answer::Reached(phase));
                    return;
                }
                _ => {}
            }
            say(Answer::Reached(phase));
            match order {
                Order::Settle => say(Answer::Sent(sent(share))),
                Order::Judge { sent } => say(Answer::Judged(Box::new(judged(share, sent.len())))),
                _ => {}
            }
        }
    });
    Ok(Box::new(Fake { orders, thread }))
}

fn second(task: &Task, share: Share, _at: Nanos) -> Second {
    let part = |whole: f64| (whole as u64 + u64::from(share.worker)) / u64::from(share.workers);
    let counts = Counts {
        connected: part(f64::from(task.scenario.connections.count)),
        sent: part(task.scenario.messages.per_second),
        ..Counts::default()
    };
    let mut second = Second { at: 0, counts, ..Second::default() };
    second.timings.delivery.record(Duration::from_millis(u64::from(share.worker) + 1));
    second
}

fn sent(share: Share) -> Vec<crate::proof::SentLane> {
    let mut log = SentLog::default();
    let number = log.send(0, share.worker, Nanos(1_000));
    log.settle(0, share.worker, number, Fate::Acked);
    log.lanes()
}

/// Says how many lanes it was given.
fn judged(share: Share, lanes: usize) -> Outcome {
    let mut outcome = Outcome::default();
    outcome.verdict.delivered("load-0", lanes as u64);
    outcome.left_out.push("typing".to_owned());
    if share.worker == 0 {
        outcome.left_out.push("read".to_owned());
    }
    outcome
}

/// A phase by which tests tell how far a run came.
pub(crate) const LAST: Phase = Phase::Stop;

//! A stretch of workers at the other end of a stream: a child process or an agent.
//!
//! Owns the words on that stream and both of its ends. Must never let the far end speak for workers that are not its
//! own.

use std::io::{self, BufRead, Write};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::crew::StartWorker;
use super::line::{self, LINE_BYTES_MAX};
use super::message::{Answer, Order, Share, Task};
use crate::clock::Nanos;

/// From the coordinator.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Down {
    /// What time is it?
    Ping,
    /// Begin with these shares.
    Start {
        /// What is to be done.
        task: Box<Task>,
        /// Which parts.
        shares: Vec<Share>,
        /// What to add to the clock there to have the coordinator's.
        shift_ns: i64,
    },
    /// For every worker there.
    Order(Order),
}

/// To the coordinator.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Up {
    /// The time there.
    Pong(Nanos),
    /// A worker's answer.
    Answer(u32, Answer),
    /// Nothing was started, and why.
    Refused(String),
}

/// Reads what comes up and hands it on until the stream ends, which is told as a failure of the first worker: after
/// the end of a run nobody listens to it.
pub(super) fn listen(mut from: impl BufRead, name: &str, shares: &[Share], answers: &Sender<(u32, Answer)>) {
    let first = shares.first().map_or(0, |share| share.worker);
    let reason = loop {
        match line::read::<Up>(&mut from, LINE_BYTES_MAX, None) {
            Ok(Some(Up::Answer(worker, answer))) => {
                if !shares.iter().any(|share| share.worker == worker) {
                    break format!("{name} answered as worker {worker}, which is not its own");
                }
                if answers.send((worker, answer)).is_err() {
                    return;
                }
            }
            Ok(Some(Up::Pong(_))) => {}
            Ok(Some(Up::Refused(reason))) => break format!("{name} refuses: {reason}"),
            Ok(None) => break format!("{name} has ended in the middle of the run"),
            Err(error) => break format!("{name} is lost: {error}"),
        }
    };
    // When nobody waits any longer, the run is over and this end was wanted.
    answers.send((first, Answer::Failed { reason })).ok();
}

/// The far end: starts what is asked for, passes orders on, and stops everything when the stream ends.
///
/// # Errors
/// When the stream fails or holds what nobody says.
pub(super) fn serve(
    mut from: impl BufRead,
    to: impl Write + Send + 'static,
    start: StartWorker,
    check: &dyn Fn(&Task) -> Result<(), String>,
) -> io::Result<()> {
    let to = Arc::new(Mutex::new(to));
    let say = |up: &Up| line::write(&mut *to.lock().unwrap_or_else(PoisonError::into_inner), up);
    let mut hands = Vec::new();
    let mut forwarding = None;
    let result = loop {
        match line::read::<Down>(&mut from, LINE_BYTES_MAX, None) {
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
            Ok(Some(Down::Ping)) => {
                if let Err(error) = say(&Up::Pong(Nanos::now())) {
                    break Err(error);
                }
            }
            Ok(Some(Down::Start { task, shares, shift_ns })) => {
                let refused = check(&task).err().or_else(|| (!hands.is_empty()).then(|| "it is at work".to_owned()));
                if let Some(reason) = refused {
                    break say(&Up::Refused(reason));
                }
                Nanos::shift(shift_ns);
                let (answers, heard) = channel::<(u32, Answer)>();
                let task = Arc::new(*task);
                let started = shares.iter().map(|share| start(Arc::clone(&task), *share, answers.clone()));
                match started.collect::<io::Result<Vec<_>>>() {
                    Ok(started) => hands = started,
                    Err(error) => break say(&Up::Refused(format!("no worker could be started: {error}"))),
                }
                let to = Arc::clone(&to);
                forwarding = Some(std::thread::spawn(move || {
                    for (worker, answer) in heard {
                        let mut to = to.lock().unwrap_or_else(PoisonError::into_inner);
                        if line::write(&mut *to, &Up::Answer(worker, answer)).is_err() {
                            return;
                        }
                    }
                }));
            }
            Ok(Some(Down::Order(order))) => {
                let is_last = matches!(order, Order::Stop);
                for hand in &hands {
                    // A worker that has ended said so in its last answer.
                    hand.order(order.clone());
                }
                if is_last {
                    break Ok(());
                }
            }
        }
    };
    for hand in &hands {
        // The second of two is ignored: the stream may have ended without one.
        hand.order(Order::Stop);
    }
    for hand in hands {
        hand.end();
    }
    if let Some(forwarding) = forwarding {
        forwarding.join().map_err(|_| io::Error::other("the thread that forwards answers panicked"))?;
    }
    Nanos::shift(0);
    result
}

/// The whole life of a child process: orders come in on stdin, answers go out on stdout.
///
/// # Errors
/// When stdin or stdout fail.
pub fn serve_child(start: StartWorker) -> io::Result<()> {
    serve(io::stdin().lock(), io::stdout(), start, &|_| Ok(()))
}

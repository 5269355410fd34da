//! Every interleaving of the hand-off inside a lane: who queues, who runs, who flushes because the queue is full, who
//! leaves.
//!
//! [`Lane`] here mirrors `hub::lane::Lane` step by step, with loom's locks in place of the real ones; what is pushed is
//! a number in place of a frame. Must be changed together with it.

use std::collections::VecDeque;

use loom::sync::{Arc, Mutex};
use loom::thread;

/// Small, so that the model gets there.
const QUEUE_EVENTS_MAX: usize = 2;

#[derive(PartialEq)]
enum Queued {
    Nothing,
    Run,
    Full,
}

#[derive(Default)]
struct State {
    subscribed: bool,
    queue: Vec<u32>,
    scheduled: bool,
}

#[derive(Default)]
struct Lane {
    state: Mutex<State>,
    /// What the socket got; locked while events are pushed.
    delivering: Mutex<VecDeque<u32>>,
}

impl Lane {
    fn queue(&self, event: u32) -> Queued {
        let mut state = self.state.lock().unwrap();
        if !state.subscribed {
            return Queued::Nothing;
        }
        state.queue.push(event);
        if state.queue.len() >= QUEUE_EVENTS_MAX {
            return Queued::Full;
        }
        if std::mem::replace(&mut state.scheduled, true) { Queued::Nothing } else { Queued::Run }
    }

    fn run(&self) {
        loop {
            self.flush();
            let mut state = self.state.lock().unwrap();
            if state.queue.is_empty() {
                state.scheduled = false;
                return;
            }
        }
    }

    fn flush(&self) {
        let mut delivering = self.delivering.lock().unwrap();
        let (events, subscribed) = {
            let mut state = self.state.lock().unwrap();
            if state.queue.is_empty() {
                return;
            }
            (std::mem::take(&mut state.queue), state.subscribed)
        };
        if subscribed {
            delivering.extend(events);
        }
    }

    /// Removes the subscriber and answers what it had got by then.
    fn remove_now(&self) -> usize {
        self.state.lock().unwrap().subscribed = false;
        self.delivering.lock().unwrap().len()
    }
}

/// `Room::deliver`, under the lock of the tail, which also says which event is next.
fn deliver(tail: &Mutex<u32>, lane: &Arc<Lane>) -> Option<thread::JoinHandle<()>> {
    let mut next = tail.lock().unwrap();
    *next += 1;
    match lane.queue(*next) {
        Queued::Nothing => None,
        Queued::Run => {
            let lane = Arc::clone(lane);
            Some(thread::spawn(move || lane.run()))
        }
        Queued::Full => {
            lane.flush();
            None
        }
    }
}

fn lane() -> Arc<Lane> {
    let lane = Arc::new(Lane::default());
    lane.state.lock().unwrap().subscribed = true;
    lane
}

fn model(check: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(check);
}

#[test]
fn every_event_is_delivered_once_and_in_order() {
    model(|| {
        let (tail, lane) = (Arc::new(Mutex::new(0)), lane());
        let other = {
            let (tail, lane) = (Arc::clone(&tail), Arc::clone(&lane));
            thread::spawn(move || deliver(&tail, &lane))
        };
        let first = deliver(&tail, &lane);
        let second = deliver(&tail, &lane);
        let third = other.join().unwrap();
        for run in [first, second, third].into_iter().flatten() {
            run.join().unwrap();
        }
        assert_eq!(*lane.delivering.lock().unwrap(), [1, 2, 3]);
        let state = lane.state.lock().unwrap();
        assert!(state.queue.is_empty() && !state.scheduled);
    });
}

#[test]
fn who_was_removed_gets_nothing_more() {
    model(|| {
        let (tail, lane) = (Arc::new(Mutex::new(0)), lane());
        let other = {
            let (tail, lane) = (Arc::clone(&tail), Arc::clone(&lane));
            thread::spawn(move || [deliver(&tail, &lane), deliver(&tail, &lane)])
        };
        let got = lane.remove_now();
        for run in other.join().unwrap().into_iter().flatten() {
            run.join().unwrap();
        }
        let delivered = lane.delivering.lock().unwrap();
        assert_eq!(delivered.len(), got, "an event came after the removal had returned");
        assert!(delivered.iter().copied().eq(1..=u32::try_from(got).unwrap()));
    });
}

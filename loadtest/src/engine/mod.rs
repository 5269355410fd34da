//! The driver: one thread, one epoll, up to 20,000 connections.
//!
//! Owns the sockets, the schedule of sends and the noting of what comes. Must never wait for one connection, and must
//! never send later than intended without saying so.

mod address;
mod book;
mod disturb;
mod driver;
mod end;
mod files;
mod frame;
mod hostile;
mod incoming;
mod judge;
mod link;
mod opening;
mod phases;
mod schedule;
mod seconds;
mod sending;
mod state;
#[cfg(test)]
mod tests;
mod trust;
mod upgrade;

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread::JoinHandle;

use mio::{Poll, Waker};

use crate::control::{Answer, Order, Share, Task};
use crate::peer::Peer;
use driver::{Driver, Limits, ORDERS, Parts};

/// A worker's thread.
pub struct Worker {
    orders: mpsc::Sender<Order>,
    waker: Waker,
    thread: JoinHandle<()>,
}

impl Worker {
    /// Starts a worker, which answers with its share's number. Everything that can be wrong before the first packet is
    /// said here: URLs, names, files.
    ///
    /// # Errors
    /// When a URL or a certificate file is wrong, when the share needs more files than the process may open, or when
    /// the system grants no thread or no epoll.
    pub fn start(task: Arc<Task>, share: Share, answers: Sender<(u32, Answer)>) -> io::Result<Self> {
        let peer = crate::peer::of(&task.target);
        Self::start_with(task, share, answers, peer, Limits::default())
    }

    fn start_with(
        task: Arc<Task>,
        share: Share,
        answers: Sender<(u32, Answer)>,
        peer: Box<dyn Peer>,
        limits: Limits,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), ORDERS)?;
        let (orders, receiver) = mpsc::channel();
        let last = LastWord { worker: share.worker, answers: answers.clone() };
        let parts = Parts { task, share, limits, peer, poll, orders: receiver, answers };
        let driver = Driver::new(parts)?;
        let files = files::Reserved::new(driver.members.len() as u64)?;
        let run = move || {
            let _last = last;
            driver.run();
            drop(files);
        };
        let thread = std::thread::Builder::new().name(format!("worker-{}", share.worker)).spawn(run)?;
        Ok(Self { orders, waker, thread })
    }

    /// Gives an order; the worker is woken. False when it has ended.
    pub fn order(&self, order: Order) -> bool {
        self.orders.send(order).is_ok() && self.waker.wake().is_ok()
    }

    /// Waits until the worker has ended: after [`Order::Stop`], after [`Answer::Failed`], or when nobody listens to its
    /// answers. False when it died of a fault of its own.
    pub fn join(self) -> bool {
        let Self { orders, waker, thread } = self;
        drop(orders);
        // A worker that sleeps has to see that nobody gives orders any more.
        waker.wake().ok();
        thread.join().is_ok()
    }
}

/// Tells the coordinator when a worker dies of a fault of its own: it would wait for ever.
struct LastWord {
    worker: u32,
    answers: Sender<(u32, Answer)>,
}

impl Drop for LastWord {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let reason = "the worker died of a fault of its own".to_owned();
            // Nobody listens when the run is over already.
            self.answers.send((self.worker, Answer::Failed { reason })).ok();
        }
    }
}

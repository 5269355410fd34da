//! All workers of a run, wherever they are.
//!
//! Owns starting and numbering them, and the way of an order to each. Must never look into an answer.

use std::io::{self, BufReader, BufWriter, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::agent::{self, Reached};
use super::line;
use super::link::{self, Down};
use super::message::{Answer, Order, Share, Task};
use super::secret::Secret;
use crate::engine::Worker;

/// How long a process may take to end after it was told to.
const END_WAIT: Duration = Duration::from_secs(5);

/// How often somebody far away is asked whether it is there, so that both sides notice a dead link.
const PING_EVERY: Duration = Duration::from_secs(5);

/// A started worker.
pub trait Hand: Send {
    /// Gives an order; false when it has ended.
    fn order(&self, order: Order) -> bool;

    /// Waits until it has ended.
    fn end(self: Box<Self>);
}

/// Starts a worker as a thread of this process.
pub type StartWorker = fn(Arc<Task>, Share, Sender<(u32, Answer)>) -> io::Result<Box<dyn Hand>>;

struct Thread(Worker);

impl Hand for Thread {
    fn order(&self, order: Order) -> bool {
        self.0.order(order)
    }

    fn end(self: Box<Self>) {
        self.0.join();
    }
}

/// Starts a worker of the engine.
///
/// # Errors
/// When the system grants no thread or no epoll.
pub fn threads(task: Arc<Task>, share: Share, answers: Sender<(u32, Answer)>) -> io::Result<Box<dyn Hand>> {
    Ok(Box::new(Thread(Worker::start(task, share, answers)?)))
}

/// Where the workers are.
#[derive(Clone, Debug)]
pub struct CrewPlan {
    /// Worker threads in this process, or in each of its children.
    pub threads: u32,
    /// Child processes; 0: this process does the work itself, unless there are agents.
    pub processes: u32,
    /// How a child process is started.
    pub child: Vec<String>,
    /// Agents, as `host:port`.
    pub agents: Vec<String>,
    /// What the agents know too.
    pub secret: Option<Secret>,
}

impl CrewPlan {
    /// So many threads of this process.
    #[must_use]
    pub const fn threads(threads: u32) -> Self {
        Self { threads, processes: 0, child: Vec::new(), agents: Vec::new(), secret: None }
    }
}

/// A stretch of workers behind a stream.
struct Far {
    name: String,
    to: Box<dyn Write + Send>,
    stream: Option<TcpStream>,
    child: Option<Child>,
    listening: Option<JoinHandle<()>>,
}

/// All workers of a run.
pub(super) struct Crew {
    hands: Vec<Box<dyn Hand>>,
    far: Vec<Far>,
    workers: u32,
    asked_at: Instant,
    /// What has to be known of the clocks.
    pub(super) notes: Vec<String>,
}

impl Crew {
    /// Starts everybody.
    ///
    /// # Errors
    /// In a sentence for people: who could not be started, and why.
    pub(super) fn start(
        plan: &CrewPlan,
        task: &Arc<Task>,
        start: StartWorker,
        answers: &Sender<(u32, Answer)>,
    ) -> Result<Self, String> {
        let threads = plan.threads.max(1);
        let own = if plan.processes == 0 && plan.agents.is_empty() { threads } else { 0 };
        let mut reached = Vec::new();
        for address in &plan.agents {
            let secret = plan.secret.as_ref().ok_or("agents need --agents-secret-file")?;
            reached.push(agent::reach(address, secret)?);
        }
        let there: u32 = reached.iter().map(|agent| agent.threads).sum();
        let workers = own + plan.processes * threads + there;
        let now = Instant::now();
        let mut crew = Self { hands: Vec::new(), far: Vec::new(), workers, asked_at: now, notes: Vec::new() };
        let mut next = 0;
        let mut shares = |count: u32| -> Vec<Share> {
            next += count;
            (next - count..next).map(|worker| Share { worker, workers }).collect()
        };
        for share in shares(own) {
            let hand = start(Arc::clone(task), share, answers.clone());
            match hand {
                Ok(hand) => crew.hands.push(hand),
                Err(error) => {
                    crew.end();
                    return Err(format!("worker {} could not be started: {error}", share.worker));
                }
            }
        }
        let begun = (0..plan.processes)
            .try_for_each(|number| crew.add_child(number, &plan.child, task, shares(threads), answers))
            .and_then(|()| {
                reached.into_iter().try_for_each(|agent| {
                    let shares = shares(agent.threads);
                    crew.add_agent(agent, task, shares, answers)
                })
            });
        match begun {
            Ok(()) => Ok(crew),
            Err(reason) => {
                crew.end();
                Err(reason)
            }
        }
    }

    fn add_child(
        &mut self,
        number: u32,
        command: &[String],
        task: &Task,
        shares: Vec<Share>,
        answers: &Sender<(u32, Answer)>,
    ) -> Result<(), String> {
        let [program, arguments @ ..] = command else {
            return Err("there is no command for a child process".to_owned());
        };
        let failed = |error: io::Error| format!("child process {number} could not be started: {error}");
        let mut spawned = Command::new(program);
        // A Ctrl-C in the terminal is for the coordinator, which tells its children what to do.
        std::os::unix::process::CommandExt::process_group(&mut spawned, 0);
        let mut child = spawned.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(failed)?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(format!("child process {number} has no pipes"));
        };
        let name = format!("child process {number} (pid {})", child.id());
        let to = Box::new(BufWriter::<ChildStdin>::new(stdin));
        let far = Far { name, to, stream: None, child: Some(child), listening: None };
        self.begin(far, BufReader::new(stdout), task, shares, 0, answers)
    }

    fn add_agent(
        &mut self,
        agent: Reached,
        task: &Task,
        shares: Vec<Share>,
        answers: &Sender<(u32, Answer)>,
    ) -> Result<(), String> {
        let name = format!("agent {}", agent.address);
        if agent.uncertainty > Duration::from_millis(1) {
            let doubt = agent.uncertainty.as_secs_f64() * 1_000.0;
            self.notes.push(format!(
                "the clock of {name} is known to ±{doubt:.1} ms only: deliveries between it and others are timed no better"
            ));
        }
        let failed = |error: io::Error| format!("{name}: {error}");
        let stream = agent.stream.try_clone().map_err(failed)?;
        let to = Box::new(BufWriter::new(agent.stream));
        let far = Far { name: name.clone(), to, stream: Some(stream), child: None, listening: None };
        self.begin(far, agent.from, task, shares, agent.shift_ns, answers)
    }

    fn begin(
        &mut self,
        mut far: Far,
        from: impl io::BufRead + Send + 'static,
        task: &Task,
        shares: Vec<Share>,
        shift_ns: i64,
        answers: &Sender<(u32, Answer)>,
    ) -> Result<(), String> {
        let start = Down::Start { task: Box::new(task.clone()), shares: shares.clone(), shift_ns };
        let sent = line::write(&mut far.to, &start);
        let (name, answers) = (far.name.clone(), answers.clone());
        far.listening = Some(std::thread::spawn(move || link::listen(from, &name, &shares, &answers)));
        let result = sent.map_err(|error| format!("{} does not take its task: {error}", far.name));
        self.far.push(far);
        result
    }

    /// How many there are.
    pub(super) const fn workers(&self) -> u32 {
        self.workers
    }

    /// Gives an order to everybody.
    ///
    /// # Errors
    /// In a sentence for people: who did not take it. The others have it all the same.
    pub(super) fn order(&mut self, order: &Order) -> Result<(), String> {
        let mut failed = None;
        for hand in &self.hands {
            if !hand.order(order.clone()) {
                failed = Some("a worker has ended too early".to_owned());
            }
        }
        for far in &mut self.far {
            if let Err(error) = line::write(&mut far.to, &Down::Order(order.clone())) {
                failed = Some(format!("{} does not take orders: {error}", far.name));
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Keeps links alive; to be called several times a second.
    pub(super) fn tick(&mut self) {
        if self.asked_at.elapsed() < PING_EVERY {
            return;
        }
        self.asked_at = Instant::now();
        for far in self.far.iter_mut().filter(|far| far.stream.is_some()) {
            // One that does not answer is noticed by whoever listens to it.
            line::write(&mut far.to, &Down::Ping).ok();
        }
    }

    /// Waits until everybody has ended, and ends who does not.
    pub(super) fn end(self) {
        for hand in &self.hands {
            hand.order(Order::Stop);
        }
        for hand in self.hands {
            hand.end();
        }
        for mut far in self.far {
            // Whoever has ended already cannot be told; its pipe or link is closed below in any case.
            line::write(&mut far.to, &Down::Order(Order::Stop)).ok();
            drop(far.to);
            if let Some(mut child) = far.child {
                await_child(&mut child);
            }
            if let Some(stream) = far.stream {
                stream.shutdown(std::net::Shutdown::Both).ok();
            }
            if let Some(listening) = far.listening {
                // A panic there was told on stderr by the thread itself.
                listening.join().ok();
            }
        }
    }
}

fn await_child(child: &mut Child) {
    let until = Instant::now() + END_WAIT;
    while Instant::now() < until {
        match child.try_wait() {
            Ok(None) => std::thread::sleep(Duration::from_millis(5)),
            Ok(Some(_)) | Err(_) => return,
        }
    }
    // It had its time; what it measured was asked for before.
    child.kill().and_then(|()| child.wait()).ok();
}

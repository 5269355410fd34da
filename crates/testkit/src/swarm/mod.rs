//! Clients that talk, listen and record: half of them bare, half of them on the Rust SDK.
//!
//! Must never judge or repair what comes; the bare ones hide nothing, the SDK shows what its callers get.

pub mod mutation;
mod raw;
mod sdk;

use std::time::Duration;

use anyhow::{Result, ensure};
use hubbub_protocol::{RoomId, Seq};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::cluster::Cluster;
use crate::record::{Counts, Record, Recorder};
use mutation::Mutation;

/// Messages that a client has on the way at once at most.
const UNACKED_MAX: usize = 8;

/// How often something is looked at.
const POLL: Duration = Duration::from_millis(50);

/// What a swarm is made of.
#[derive(Clone, Debug)]
pub struct SwarmConfig {
    /// How many clients; every other one is bare, the rest use the SDK.
    pub clients: usize,
    /// How many rooms; each client follows two of them.
    pub rooms: usize,
    /// Messages a second, of all clients together.
    pub rate: f64,
    /// Every choice of a client follows from it.
    pub seed: u64,
    /// How the system behaves wrongly, as seen by the bare clients.
    pub mutation: Option<Mutation>,
}

/// What the clients are to do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Phase {
    /// Connect and listen.
    Listen,
    /// Send as well.
    Talk,
    /// Send no new messages, but go on until all are acked.
    Finish,
    /// End.
    Stop,
}

/// What one client needs to know.
struct Seat {
    token: String,
    rooms: Vec<RoomId>,
    recorder: Recorder,
    phase: watch::Receiver<Phase>,
    /// A bare client that is frozen neither reads nor writes; its socket stays open.
    frozen: watch::Receiver<bool>,
    rng: StdRng,
    /// Between two messages, on average.
    pause: Duration,
    mutation: Option<Mutation>,
}

impl Seat {
    fn next_pause(&mut self) -> Duration {
        self.pause.mul_f64(self.rng.random_range(0.2..1.8))
    }

    fn any_room(&mut self) -> RoomId {
        self.rooms[self.rng.random_range(0..self.rooms.len())]
    }

    fn is(&self, phase: Phase) -> bool {
        *self.phase.borrow() == phase
    }
}

/// Waits until the swarm is told to stop, or is gone.
async fn stopped(phase: &mut watch::Receiver<Phase>) {
    phase.wait_for(|phase| *phase == Phase::Stop).await.map(drop).ok();
}

/// A running swarm.
pub struct Swarm {
    /// The rooms that are followed.
    pub rooms: Vec<RoomId>,
    recorders: Vec<(Recorder, Vec<RoomId>)>,
    phase: watch::Sender<Phase>,
    frozen: watch::Sender<bool>,
    jumps: Vec<mpsc::Sender<()>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Swarm {
    /// Makes the rooms, starts the clients and waits until each has heard of its rooms.
    ///
    /// # Errors
    /// When a room cannot be made, or a client does not get through within a minute.
    pub async fn start(cluster: &Cluster, config: &SwarmConfig) -> Result<Self> {
        let mut rooms = Vec::new();
        for _ in 0..config.rooms.max(1) {
            rooms.push(cluster.create_room(&format!("swarm-{}", uuid::Uuid::new_v4().simple())).await?);
        }
        let (phase, watched) = watch::channel(Phase::Listen);
        let (frozen, _) = watch::channel(false);
        let mut swarm = Self { rooms, recorders: Vec::new(), phase, frozen, jumps: Vec::new(), tasks: Vec::new() };
        for index in 0..config.clients {
            swarm.add(cluster, config, index, watched.clone());
        }
        let deadline = Instant::now() + Duration::from_secs(60);
        while let Some(deaf) = swarm.behind(&|_| 1) {
            ensure!(Instant::now() < deadline, "{deaf} does not hear of its room");
            tokio::time::sleep(POLL).await;
        }
        Ok(swarm)
    }

    fn add(&mut self, cluster: &Cluster, config: &SwarmConfig, index: usize, phase: watch::Receiver<Phase>) {
        let bare = index.is_multiple_of(2);
        let name = format!("{}-{index}", if bare { "bare" } else { "sdk" });
        let mut rooms = vec![self.rooms[index % self.rooms.len()], self.rooms[(index + 1) % self.rooms.len()]];
        rooms.dedup();
        let user = index % cluster.users.len();
        let recorder = Recorder::new(&name);
        let rng = StdRng::seed_from_u64(config.seed.wrapping_mul(1_000_003).wrapping_add(index as u64));
        let pause = Duration::from_secs_f64(config.clients as f64 / config.rate.max(0.001));
        let token = cluster.users[user].token.clone();
        self.recorders.push((recorder.clone(), rooms.clone()));
        let frozen = self.frozen.subscribe();
        let seat = Seat { token, rooms, recorder, phase, frozen, rng, pause, mutation: config.mutation };
        // Every third client comes through the balancer, if there is one.
        let balanced = cluster.balancer.is_some() && index % 3 == 2;
        if bare {
            let ports = match (&cluster.balancer, balanced) {
                (Some(balancer), true) => vec![balancer.port],
                _ => cluster.members.iter().map(|member| member.client_link.port).collect(),
            };
            let (jump, jumped) = mpsc::channel(1);
            self.jumps.push(jump);
            self.tasks.push(tokio::spawn(raw::run(seat, ports, jumped)));
        } else {
            let urls = match balanced {
                true => vec![cluster.balancer_url()],
                false => (0..cluster.members.len()).map(|node| cluster.url(node)).collect(),
            };
            let mut client = cluster.client_config(user, urls);
            if index % 4 == 3 {
                client.codec = hubbub_protocol::Codec::MessagePack;
            }
            self.tasks.push(tokio::spawn(sdk::run(seat, client)));
        }
    }

    /// Lets the clients send, again too.
    pub fn talk(&self) {
        self.phase.send_replace(Phase::Talk);
    }

    /// Lets them send nothing new.
    pub fn finish(&self) {
        self.phase.send_replace(Phase::Finish);
    }

    /// Freezes the bare clients, which are half of all, or lets them go on: they stop reading, their sockets stay open.
    pub fn freeze(&self, frozen: bool) {
        self.frozen.send_replace(frozen);
    }

    /// Makes a bare client leave its node for another one; any one by its number.
    pub fn jump(&self, number: usize) {
        if !self.jumps.is_empty() {
            // A client that has not yet followed the last call need not be called again.
            self.jumps[number % self.jumps.len()].try_send(()).ok();
        }
    }

    /// All counts together.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.recorders.iter().map(|(recorder, _)| recorder.counts()).fold(Counts::default(), |sum, one| Counts {
            sent: sum.sent + one.sent,
            acked: sum.acked + one.acked,
            delivered: sum.delivered + one.delivered,
            unacked: sum.unacked + one.unacked,
        })
    }

    /// Some client that has not yet heard of a room up to its head.
    #[must_use]
    pub fn behind(&self, head: &dyn Fn(RoomId) -> Seq) -> Option<String> {
        self.recorders.iter().find_map(|(recorder, rooms)| {
            let room = rooms.iter().find(|room| recorder.cursor(**room) < head(**room))?;
            let cursor = recorder.cursor(*room);
            Some(format!("{} (seq {cursor} of {} in {room})", recorder.client(), head(*room)))
        })
    }

    /// The highest seq that any client has heard of in a room.
    #[must_use]
    pub fn head(&self, room: RoomId) -> Seq {
        self.recorders.iter().map(|(recorder, _)| recorder.cursor(room)).max().unwrap_or(0)
    }

    /// Some client that waits for an ack.
    #[must_use]
    pub fn waiting(&self) -> Option<String> {
        let waiting = self.recorders.iter().find(|(recorder, _)| recorder.counts().unacked > 0);
        waiting.map(|(recorder, _)| format!("{} ({} without ack)", recorder.client(), recorder.counts().unacked))
    }

    /// Ends all clients and returns what they saw.
    pub async fn stop(self) -> Vec<Record> {
        self.phase.send_replace(Phase::Stop);
        for mut task in self.tasks {
            if tokio::time::timeout(Duration::from_secs(10), &mut task).await.is_err() {
                task.abort();
            }
        }
        self.recorders.iter().map(|(recorder, _)| recorder.record()).collect()
    }
}

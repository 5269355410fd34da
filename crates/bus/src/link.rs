//! The link to Redis: one shard for each server, and which of them holds what.
//!
//! A single server, Sentinel and several servers are fixed shards; the masters of a cluster come and go. The bus counts
//! as up while every shard is. Must never decide what a notice means.

mod address;
mod channels;
mod cluster;
mod endpoint;
mod farewell;
mod inbound;
mod keys;
mod layout;
mod lease;
mod ledger;
mod outbound;
mod pulse;
mod redirect;
mod scripts;
mod sentinel;
mod shard;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::future::join_all;
use hubbub_protocol::{RoomEvent, RoomId, UserId};
use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{RedisError, ServerErrorKind};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;

pub(crate) use address::{Form, parse};
pub(crate) use farewell::say_farewell;
pub(crate) use keys::Keys;
use layout::Layout;
pub(crate) use lease::nodes;
pub(crate) use redirect::call;
pub(crate) use scripts::Scripts;
use shard::Shard;

use crate::metrics::Dropped;
use crate::notice::Notice;
use crate::place::Scope;
use crate::rate::RateClass;
use crate::rooms::ShardId;
use crate::shared::Shared;
use crate::state::ShardState;

/// How long making both connections may take, the greetings included. A frozen server is given up after this.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the multiplexed connection waits for an answer.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(1);
/// How long the subscriber connection waits for the confirmation of up to 500 channels.
const SUBSCRIBE_TIMEOUT: Duration = Duration::from_secs(3);

/// What the rest of the bus sees of Redis. Present, and without use, in process.
pub(crate) struct Link {
    pub(crate) keys: Keys,
    pub(crate) scripts: Scripts,
    layout: ArcSwap<Layout>,
    shards_made: AtomicU64,
    /// Taken while up or down is decided, so that the notices come in the order of what they tell.
    settling: Mutex<()>,
    /// Rooms lost their channel, or were refused it, although every link stood: whoever follows them is told when they have it again.
    moved: AtomicBool,
    /// Rung when a shard is lost or says that it is not the right one: the layout of a cluster is looked up again.
    look: Notify,
    /// Rung when the lease says something new; renewed soon anyway, where nobody hears it.
    pub(crate) lease_changed: Notify,
    /// Scopes whose count could not be written, for when a shard is back.
    parked: Mutex<HashSet<Scope>>,
}

impl Link {
    pub(crate) fn new(prefix: &str, instance: &str) -> Self {
        Self {
            keys: Keys::new(prefix, instance),
            scripts: Scripts::new(),
            layout: ArcSwap::from_pointee(Layout::fixed(Vec::new())),
            shards_made: AtomicU64::new(0),
            settling: Mutex::new(()),
            moved: AtomicBool::new(false),
            look: Notify::new(),
            lease_changed: Notify::new(),
            parked: Mutex::new(HashSet::new()),
        }
    }

    /// Queues events for the shards of their rooms; those of one room travel together where they follow each other.
    pub(crate) fn publish(&self, events: &[Arc<RoomEvent>], shared: &Shared) {
        let layout = self.layout.load();
        // The sender is told when as much as possible is queued, so that it goes out in one pipeline.
        let mut filled: Option<&Arc<Shard>> = None;
        outbound::in_rooms(events, |room, events| {
            let channel = self.keys.room(room);
            let Some(shard) = layout.owner(&channel).filter(|shard| shard.is_up()) else {
                shared.metrics.dropped(Dropped::Down, events.len() as u64);
                return;
            };
            shard.outbound.push_events(channel, events, shared);
            if let Some(before) = filled.replace(shard).filter(|before| before.id != shard.id) {
                before.outbound.filled();
            }
        });
        if let Some(shard) = filled {
            shard.outbound.filled();
        }
    }

    /// Queues a unit to be given back; `false` when its shard is down.
    pub(crate) fn give_back(&self, class: RateClass, user: UserId, limit: u64, shared: &Shared) -> bool {
        let key = self.keys.rate(class, user);
        let layout = self.layout.load();
        let Some(shard) = layout.owner(&key).filter(|shard| shard.is_up()) else { return false };
        shard.outbound.give_back(key, limit, shared);
        true
    }

    /// Queues for the master at this address what another does not hold any more.
    fn send_on(&self, holder: &str, item: outbound::Outgoing, shared: &Shared) {
        let layout = self.layout.load();
        match layout.shards.iter().find(|shard| shard.name == holder && shard.is_up()) {
            Some(shard) => {
                shard.outbound.push(item, shared);
                shard.outbound.filled();
            }
            None => shared.metrics.dropped(Dropped::Failed, item.events()),
        }
    }

    /// Every server, for operators.
    pub(crate) fn shard_states(&self) -> Vec<ShardState> {
        self.layout.load().shards.iter().map(|shard| shard.state()).collect()
    }

    /// The connection for a key, if its shard is up and answers in time.
    pub(crate) fn commands(&self, key: &str) -> Option<MultiplexedConnection> {
        self.layout.load().owner(key)?.commands()
    }

    /// The connection for the leases while their shard is up, whether it answers in time or not.
    fn home_connection(&self) -> Option<MultiplexedConnection> {
        self.layout.load().home(&self.keys.nodes)?.connection()
    }

    /// The same, if it answers in time.
    fn home(&self) -> Option<MultiplexedConnection> {
        self.layout.load().home(&self.keys.nodes)?.commands()
    }

    fn is_home(&self, shard: &Shard) -> bool {
        self.layout.load().home(&self.keys.nodes).is_some_and(|home| home.id == shard.id)
    }

    fn new_shard(&self, name: String, sharded: bool) -> Arc<Shard> {
        Arc::new(Shard::new(name, self.shards_made.fetch_add(1, Ordering::Relaxed), sharded))
    }

    /// Uses another layout from here on; rooms that another shard holds now are joined there.
    fn use_layout(&self, layout: Layout, shared: &Shared) {
        self.layout.store(Arc::new(layout));
        if shared.rooms.rehash(|room| self.shard_of(room)) {
            self.moved.store(true, Ordering::Release);
        }
    }

    /// Which shard holds a room's channel.
    pub(crate) fn shard_of(&self, room: RoomId) -> Option<ShardId> {
        self.layout.load().owner(&self.keys.room(room)).map(|shard| shard.id)
    }

    /// A shard has refused what belongs elsewhere, or is lost: the layout is looked up again.
    fn look_again(&self) {
        self.look.notify_one();
    }

    /// Draws the conclusion from an error: elsewhere, or no place to write to, as is told to the link that said so.
    fn heed(&self, read_only: &Notify, kind: Option<ServerErrorKind>) {
        match kind {
            Some(ServerErrorKind::Moved | ServerErrorKind::Ask | ServerErrorKind::ClusterDown) => self.look_again(),
            Some(ServerErrorKind::ReadOnly) => read_only.notify_one(),
            _ => {}
        }
    }

    /// The server took a room's channel away.
    fn room_lost(&self, shard: &Shard, room: RoomId, shared: &Shared) {
        if shared.rooms.lost(shard.id, room) {
            self.moved.store(true, Ordering::Release);
            self.look_again();
        }
    }

    /// A shard has confirmed these rooms. Holders of some may have been told that the bus is down for them.
    fn rooms_confirmed(&self, shard: &Shard, rooms: &[RoomId], shared: &Shared) {
        if shared.rooms.joined(shard.id, rooms) {
            self.moved.store(true, Ordering::Release);
        }
    }

    /// Rooms were asked for. If that ends a move, everybody is told to reconcile: events were missed in between.
    fn rooms_joined(&self, shared: &Shared) {
        if self.moved.load(Ordering::Acquire)
            && shared.is_up()
            && shared.rooms.are_confirmed()
            && self.moved.swap(false, Ordering::AcqRel)
        {
            shared.notify(Notice::Up);
        }
    }

    /// A shard is back, or another: it may know nothing of this node.
    fn everything_is_stale(&self, shared: &Shared) {
        for scope in std::mem::take(&mut *self.parked.lock()) {
            shared.places.stale_again(scope);
        }
        shared.places.all_stale();
        shared.sessions.all_stale();
    }

    /// Decides whether the bus is up, and tells when that has changed.
    fn settle(&self, shared: &Shared) {
        let _in_order = self.settling.lock();
        let up = self.layout.load().is_up() && !shared.is_closed();
        if up == shared.is_up() {
            return;
        }
        shared.set_up(up);
        if up && shared.rooms.are_confirmed() {
            // What is told now covers every move so far.
            self.moved.store(false, Ordering::Release);
        }
        shared.notify(if up { Notice::Up } else { Notice::Down });
    }

    /// Resolves when nothing is queued or under way to any shard.
    pub(crate) async fn emptied(&self) {
        let shards = self.layout.load().shards.clone();
        join_all(shards.iter().map(|shard| shard.outbound.emptied())).await;
    }

    /// Drops every connection; what was up is answered, so that a farewell can be said.
    pub(crate) fn disconnect(&self) -> Vec<(ShardId, MultiplexedConnection)> {
        let shards = self.layout.load().shards.clone();
        let connections = shards.iter().filter_map(|shard| {
            let commands = shard.connection();
            shard.set_commands(None);
            shard.set_up(false);
            Some((shard.id, commands?))
        });
        connections.collect()
    }
}

/// What kind of error of the server it is.
fn server_kind(error: &RedisError) -> Option<ServerErrorKind> {
    match error.kind() {
        redis::ErrorKind::Server(kind) => Some(kind),
        _ => None,
    }
}

/// Keeps every link for as long as the bus is open. `first` is answered after the first attempt at all of them,
/// whatever came of it.
pub(crate) async fn run(shared: Arc<Shared>, form: Form, first: oneshot::Sender<()>) {
    let mut tasks = JoinSet::new();
    tasks.spawn(ledger::run(Arc::clone(&shared)));
    match form {
        Form::Cluster(seeds) => cluster::run(&shared, seeds, first, &mut tasks).await,
        Form::Fixed(endpoints) => {
            let shards: Vec<_> =
                endpoints.iter().map(|endpoint| shared.link.new_shard(endpoint.to_string(), false)).collect();
            for shard in &shards {
                shared.rooms.add_shard(shard.id);
            }
            shared.link.use_layout(Layout::fixed(shards.clone()), &shared);
            let mut attempts = Vec::new();
            for (shard, endpoint) in shards.into_iter().zip(endpoints) {
                let (attempted, attempt) = oneshot::channel();
                tasks.spawn(shard::run(Arc::clone(&shared), shard, endpoint, attempted));
                attempts.push(attempt);
            }
            join_all(attempts).await;
            // Whoever opened the bus may have gone away.
            first.send(()).ok();
            // None of them ends by itself, and all end with this task.
            while let Some(ended) = tasks.join_next().await {
                if let Err(error) = ended {
                    tracing::error!(%error, "a part of the bus stopped");
                }
            }
        }
    }
}

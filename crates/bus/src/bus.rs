//! [`Bus`]: the one door to what nodes share, over Redis or inside the process.
//!
//! Must never show which engine is inside, but for [`Bus::is_shared`].

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hubbub_protocol::{RoomEvent, RoomId, SessionId, UserId};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::config::{BusConfig, BusDown, BusError};
use crate::link;
use crate::metrics::Metrics;
use crate::node::NodeLease;
use crate::notice::Handler;
use crate::place::{ArrivalAnswer, Full, Place, Scope};
use crate::rate::{RateClass, RateVerdict};
use crate::rooms::Joined;
use crate::shared::Shared;
use crate::state::BusState;
use crate::{gcra, loopback};

/// How long a subscription waits for the server, which has 3 s for each batch; afterwards it is as if the link was down.
const SUBSCRIBE_WAIT: Duration = Duration::from_secs(10);
/// How long closing waits for what is still to be sent.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);
/// How long closing waits for the lease and the counts to be dropped.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(2);

/// The bus of one node. Cheap to clone; its tasks end when it is closed or the last clone is dropped.
#[derive(Clone)]
pub struct Bus(Arc<Open>);

struct Open {
    shared: Arc<Shared>,
    loopback: JoinHandle<()>,
    link: Mutex<Option<JoinHandle<()>>>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.loopback.abort();
        if let Some(link) = self.link.get_mut().take() {
            link.abort();
        }
        // Places may outlive the bus and must not keep its connections.
        drop(self.shared.link.disconnect());
    }
}

impl Bus {
    /// Opens the bus. With Redis configured, this waits for one attempt to reach it (bounded, a few seconds) and then
    /// goes on: without Redis the bus is degraded, says why once in the log, and heals by itself.
    ///
    /// # Errors
    /// Only for what can never work: an address that cannot be read or is not supported, an impossible setting, a
    /// registry that has the bus's metrics already.
    pub async fn open(config: BusConfig, registry: &prometheus::Registry) -> Result<Self, BusError> {
        config.check()?;
        let form = link::parse(&config)?;
        let shared = Arc::new(Shared::new(config, Metrics::register(registry)?));
        let loopback = tokio::spawn(loopback::run(Arc::clone(&shared)));
        let mut open = Open { shared, loopback, link: Mutex::new(None) };
        if let Some(form) = form {
            let (first, attempted) = oneshot::channel();
            let link = tokio::spawn(link::run(Arc::clone(&open.shared), form, first));
            *open.link.get_mut() = Some(link);
            // The sender is only dropped with the task, and then there is nothing to wait for.
            attempted.await.ok();
        }
        Ok(Self(Arc::new(open)))
    }

    /// Where notices go. Called once, before the first [`Self::subscribe`]; then ask [`Self::is_up`], since what
    /// happened before is not told again. Events come from one task at a time, in the order of the bus.
    pub fn attach(&self, handler: Handler) {
        self.0.shared.attach(handler);
    }

    /// The random id of this run of the node.
    #[must_use]
    pub fn instance(&self) -> &str {
        &self.0.shared.instance
    }

    /// Whether the other nodes can be reached over every server. A node alone always can.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.0.shared.is_up()
    }

    /// Whether there can be other nodes at all.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.0.shared.config.is_shared()
    }

    /// Tells every node that has subscribed the rooms, and this one at once, whatever the link does. Never blocks and
    /// keeps the order. What does not fit the queue or cannot be sent is dropped and counted: the store is the truth.
    /// While one of several servers is down, the rooms on the others go on.
    pub fn publish(&self, events: &[Arc<RoomEvent>]) {
        let shared = &self.0.shared;
        if events.is_empty() || shared.is_closed() {
            return;
        }
        shared.metrics.published.inc_by(events.len() as u64);
        if self.is_shared() {
            shared.link.publish(events, shared);
        }
        // This node's own subscribers need no server, and its echo is skipped.
        shared.loopback.push(events, shared);
    }

    /// Resolves when the server has confirmed the subscription: what is published from then on reaches the handler.
    /// Counted: each call that has resolved, in either way, needs one [`Self::unsubscribe`]; a call that was dropped
    /// before needs none. Calls of one moment travel together.
    ///
    /// # Errors
    /// At once while the link is down or when the server refuses the room's channel, and after ten seconds without an
    /// answer. The room stays wanted and is subscribed before the next [`crate::Notice::Up`], or has one of its own.
    pub async fn subscribe(&self, room: RoomId) -> Result<(), BusDown> {
        let shared = &self.0.shared;
        let holder = Holder { shared, room: Some(room) };
        let joined = shared.rooms.join(room, |room| shared.link.shard_of(room));
        shared.count_rooms();
        let outcome = match joined {
            Joined::Confirmed => Ok(()),
            Joined::Down => Err(BusDown),
            Joined::Waiting(answer) => match tokio::time::timeout(SUBSCRIBE_WAIT, answer).await {
                Ok(answer) => answer.unwrap_or(Err(BusDown)),
                Err(_) => shared.rooms.overdue(room),
            },
        };
        holder.stays();
        outcome
    }

    /// One subscriber less. After the last one the room stays subscribed for a while
    /// ([`BusConfig::unsubscribe_delay`]); a new one calls the departure off.
    pub fn unsubscribe(&self, room: RoomId) {
        let shared = &self.0.shared;
        shared.rooms.leave(room);
        shared.count_rooms();
    }

    /// Takes one unit of a user's limit, counted over all nodes and devices (GCRA, a burst of the limit). While the
    /// others cannot be asked, this node grants its share. A limit of 0 means none.
    pub async fn take(&self, class: RateClass, user: UserId, limit_per_minute: u64) -> RateVerdict {
        if limit_per_minute == 0 {
            return RateVerdict::UNLIMITED;
        }
        let shared = &self.0.shared;
        let verdict = match self.take_shared(class, user, limit_per_minute).await {
            Some(verdict) => verdict,
            None => shared.rates.take(class, user, shared.share(limit_per_minute)),
        };
        if !verdict.allowed {
            shared.metrics.limited(class);
        }
        verdict
    }

    /// Asks Redis; none when there is none to ask.
    async fn take_shared(&self, class: RateClass, user: UserId, limit: u64) -> Option<RateVerdict> {
        let shared = &self.0.shared;
        let (keys, scripts) = (&shared.link.keys, &shared.link.scripts);
        let limit = limit.min(gcra::LIMIT_MAX);
        match link::call::<(bool, u64)>(shared, &scripts.take, &keys.rate(class, user), &[limit, 1]).await? {
            Ok((allowed, debt)) => Some(RateVerdict::new(gcra::Verdict::from_debt(allowed, debt, limit), limit)),
            Err(error) => {
                tracing::debug!(%error, "a rate limit could not be asked for");
                None
            }
        }
    }

    /// Gives one unit back (a duplicate send is free). Never blocks; may be lost with the link.
    pub fn give_back(&self, class: RateClass, user: UserId, limit_per_minute: u64) {
        let shared = &self.0.shared;
        if limit_per_minute == 0 {
            return;
        }
        let limit = limit_per_minute.min(gcra::LIMIT_MAX);
        if !self.is_shared() || !shared.link.give_back(class, user, limit, shared) {
            shared.rates.give_back(class, user, shared.share(limit_per_minute));
        }
    }

    /// Counts a refusal of a limit that does not live on the bus in `hubbub_rate_limited_total`. `class` must be one
    /// of a few fixed names.
    pub fn count_limited(&self, class: &'static str) {
        self.0.shared.metrics.limited.with_label_values(&[class]).inc();
    }

    /// Counts one more connection of a user or an address over all nodes. A `max` of 0 means no limit.
    ///
    /// # Errors
    /// When `max` are held already.
    pub async fn enter(&self, scope: Scope, max: u64) -> Result<Place, Full> {
        if max == 0 {
            return Ok(Place::uncounted());
        }
        let (shared, scope) = (&self.0.shared, scope.canonical());
        let asked = shared.link.commands(&shared.link.keys.connections(scope));
        let waiting = asked.and_then(|_| shared.places.arrive(scope, max));
        let answer = match waiting {
            Some(waiting) => Entering { shared, scope, waiting: Some(waiting) }.answer().await,
            None => ArrivalAnswer::Unknown,
        };
        let (entered, max) = match answer {
            ArrivalAnswer::Granted => (true, max),
            ArrivalAnswer::Full => (false, max),
            ArrivalAnswer::Unknown => (shared.places.enter(scope, shared.share(max)), shared.share(max)),
        };
        if entered { Ok(Place::counted(Arc::clone(shared), scope)) } else { Err(Full { scope, max }) }
    }

    /// Counts one more connection of a user and of its address, in one round trip.
    ///
    /// # Errors
    /// When either holds its maximum already; then neither is counted.
    pub async fn enter_both(
        &self,
        user: UserId,
        user_max: u64,
        address: IpAddr,
        address_max: u64,
    ) -> Result<(Place, Place), Full> {
        let user = self.enter(Scope::User(user), user_max);
        let address = self.enter(Scope::Address(address), address_max);
        let (user, address) = futures_util::future::join(user, address).await;
        Ok((user?, address?))
    }

    /// Lists a session under this node's lease. Never blocks.
    pub fn session_started(&self, session: SessionId, user: UserId) {
        self.0.shared.sessions.started(session, user);
    }

    /// Takes a session off the list. Never blocks.
    pub fn session_ended(&self, session: SessionId) {
        self.0.shared.sessions.ended(session);
    }

    /// How many nodes were alive when last seen, this one too. At least 1.
    #[must_use]
    pub fn nodes_seen(&self) -> usize {
        self.0.shared.nodes_seen()
    }

    /// The nodes whose lease has not run out, this one too.
    ///
    /// # Errors
    /// While the others cannot be asked.
    pub async fn nodes(&self) -> Result<Vec<NodeLease>, BusDown> {
        let shared = &self.0.shared;
        if shared.is_closed() {
            return Err(BusDown);
        }
        if self.is_shared() {
            return link::nodes(shared).await;
        }
        Ok(vec![NodeLease {
            instance: shared.instance.clone(),
            name: shared.config.node.clone(),
            sessions: shared.sessions.len() as u64,
            draining: shared.is_draining(),
        }])
    }

    /// What it is doing at this moment, for operators. Asks nobody.
    #[must_use]
    pub fn state(&self) -> BusState {
        BusState::of(&self.0.shared)
    }

    /// Tells the other nodes that this one begins to stop ([`NodeLease::draining`]). Never blocks.
    pub fn begin_drain(&self) {
        self.0.shared.begin_drain();
    }

    /// Sends what is still queued, then drops this node's lease, sessions and counts at once, so that nobody waits for
    /// them to run out. Bounded, a few seconds. Afterwards nothing is published and every subscription is down.
    pub async fn close(&self) {
        let Open { shared, link, .. } = &*self.0;
        if !shared.close() {
            return;
        }
        if tokio::time::timeout(FLUSH_TIMEOUT, shared.link.emptied()).await.is_err() {
            tracing::warn!("the bus was closed before everything was sent");
        }
        let link = link.lock().take();
        if let Some(link) = link {
            link.abort();
            // The only outcome of an aborted task is that it was cancelled.
            link.await.ok();
        }
        let connections = shared.link.disconnect();
        shared.set_up(false);
        shared.rooms.close();
        shared.places.refuse_arrivals();
        match tokio::time::timeout(FAREWELL_TIMEOUT, link::say_farewell(shared, connections)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the lease was not dropped and runs out by itself"),
            Err(_) => tracing::warn!("the lease was not dropped in time and runs out by itself"),
        }
    }
}

/// Waits to be let in. A place that was granted to a future that is dropped before it could take it is left again.
struct Entering<'a> {
    shared: &'a Arc<Shared>,
    scope: Scope,
    waiting: Option<oneshot::Receiver<ArrivalAnswer>>,
}

impl Entering<'_> {
    async fn answer(mut self) -> ArrivalAnswer {
        let Some(waiting) = &mut self.waiting else { return ArrivalAnswer::Unknown };
        let answer = waiting.await.unwrap_or(ArrivalAnswer::Unknown);
        self.waiting = None;
        answer
    }
}

impl Drop for Entering<'_> {
    fn drop(&mut self) {
        if let Some(mut waiting) = self.waiting.take() {
            waiting.close();
            if waiting.try_recv() == Ok(ArrivalAnswer::Granted) {
                self.shared.places.leave(self.scope);
            }
        }
    }
}

/// Takes the holder back when the future that waits for a subscription is dropped.
struct Holder<'a> {
    shared: &'a Shared,
    room: Option<RoomId>,
}

impl Holder<'_> {
    fn stays(mut self) {
        self.room = None;
    }
}

impl Drop for Holder<'_> {
    fn drop(&mut self) {
        if let Some(room) = self.room.take() {
            self.shared.rooms.leave(room);
        }
    }
}

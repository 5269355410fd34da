//! Which masters a cluster has and which slots they hold: looked up again and again, one shard for each master.
//!
//! The library's own cluster connection is not used (`docs/adr`, the one on Redis Cluster): it queues what comes in
//! without a bound, cannot pipeline over slots, and does not follow a channel whose slot moves. Must never believe a
//! node that has fallen out of its cluster while another can be asked.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, RedisResult, Value};
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, JoinSet};

use super::address::Access;
use super::endpoint::Endpoint;
use super::layout::{Layout, Ranges, SLOTS};
use super::shard::{self, Shard};
use crate::shared::Shared;

/// Between two looks while all is well: what nobody told is noticed within this.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// Between two looks while something is wrong.
const HURRIED_INTERVAL: Duration = Duration::from_millis(200);
/// However often one is asked to look, this lies between two looks.
const LOOK_PAUSE: Duration = Duration::from_millis(100);
/// How long one node may take to say what it knows, the connection included.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// How many masters are used at most; a cluster has 1,000 nodes by its own specification.
const MASTERS_MAX: usize = 1_000;
/// How many masters are asked in one look.
const ASKED_MAX: usize = 32;

/// Where to begin.
pub(crate) struct Seeds {
    pub(super) access: Access,
    pub(super) hosts: Vec<Place>,
}

type Place = (String, u16);

/// What one node knows of the cluster.
#[derive(Debug, PartialEq)]
struct View {
    /// Whether it is part of a cluster that works.
    good: bool,
    /// Grows with every change that the cluster agreed on.
    epoch: u64,
    masters: Vec<(Place, Ranges)>,
    replicas: Vec<Place>,
    /// What the node says about itself.
    own: Option<(Place, Ranges)>,
}

/// The shards of a cluster and their tasks.
struct Cluster<'a> {
    shared: &'a Arc<Shared>,
    seeds: Seeds,
    /// Every node that was seen last, to be asked when no shard answers.
    seen: Vec<Place>,
    masters: HashMap<Place, (Arc<Shard>, AbortHandle)>,
}

/// What is wrong with the cluster, told once when it begins and once when it has ended.
#[derive(Default)]
struct Trouble {
    since: Option<Instant>,
}

impl Trouble {
    /// Takes what the last look has found.
    fn tell(&mut self, found: Option<String>) {
        match (found, self.since) {
            (Some(reason), None) => {
                self.since = Some(Instant::now());
                tracing::warn!(reason, "the Redis Cluster is not usable: chat goes on from the store, degraded");
            }
            (Some(reason), Some(_)) => tracing::debug!(reason, "the Redis Cluster is still not usable"),
            (None, Some(since)) => {
                self.since = None;
                tracing::info!(seconds = since.elapsed().as_secs_f64(), "the Redis Cluster is usable again");
            }
            (None, None) => {}
        }
    }
}

/// Keeps the layout true for as long as the bus is open.
pub(super) async fn run(shared: &Arc<Shared>, seeds: Seeds, first: oneshot::Sender<()>, tasks: &mut JoinSet<()>) {
    let mut cluster = Cluster { shared, seeds, seen: Vec::new(), masters: HashMap::new() };
    let mut first = Some(first);
    let mut trouble = Trouble::default();
    loop {
        match cluster.look().await {
            Ok(view) => {
                trouble.tell(view.trouble());
                let attempts = cluster.apply(view, tasks);
                if first.is_some() {
                    join_all(attempts).await;
                }
            }
            Err(reason) => trouble.tell(Some(reason)),
        }
        if let Some(first) = first.take() {
            // Whoever opened the bus may have gone away.
            first.send(()).ok();
        }
        while let Some(ended) = tasks.try_join_next() {
            if let Err(error) = ended
                && !error.is_cancelled()
            {
                tracing::error!(%error, "a part of the bus stopped");
            }
        }
        tokio::time::sleep(LOOK_PAUSE).await;
        let interval = if shared.is_up() { LOOK_INTERVAL } else { HURRIED_INTERVAL };
        tokio::select! {
            () = shared.link.look.notified() => {}
            () = tokio::time::sleep(interval) => {}
        }
    }
}

impl Cluster<'_> {
    /// Asks the masters at once and takes what they agree on.
    ///
    /// # Errors
    /// Why nobody says what the cluster looks like.
    async fn look(&self) -> Result<View, String> {
        let connected = self.masters.iter().filter_map(|(place, (shard, _))| Some((place, shard.commands()?)));
        let asked = connected.take(ASKED_MAX).map(async |(place, connection)| ask(place, connection).await);
        let views = join_all(asked).await.into_iter().flatten().collect();
        if let Some(view) = agreed(views) {
            return Ok(view);
        }
        // Every shard is down, or none is known yet: anybody who was ever named.
        let places = self.seen.iter().chain(&self.seeds.hosts);
        let asked = places.map(async |place| {
            let told = async { ask(place, self.connect(place).await?).await }.await;
            told.map_err(|reason| format!("{}: {reason}", shown(&place.0, place.1)))
        });
        let (views, mut reasons): (Vec<_>, Vec<_>) = join_all(asked).await.into_iter().partition(Result::is_ok);
        agreed(views.into_iter().flatten().collect()).ok_or_else(|| {
            let reason = reasons.pop().and_then(Result::err);
            reason.unwrap_or_else(|| "no node of it knows of a master that holds slots".to_owned())
        })
    }

    async fn connect(&self, place: &Place) -> Result<MultiplexedConnection, String> {
        let connect = async {
            let config = AsyncConnectionConfig::new().set_connection_timeout(Some(ANSWER_TIMEOUT));
            self.seeds.access.client(&place.0, place.1)?.get_multiplexed_async_connection_with_config(&config).await
        };
        let made: RedisResult<_> = tokio::time::timeout(ANSWER_TIMEOUT, connect).await.map_err(|_| silent())?;
        made.map_err(|error| format!("it is not reached: {error}"))
    }

    /// Makes the shards those of this view: new masters are linked, others dropped, rooms moved. Answers the first
    /// attempts at the new ones.
    fn apply(&mut self, view: View, tasks: &mut JoinSet<()>) -> Vec<oneshot::Receiver<()>> {
        let View { masters, replicas, .. } = view;
        let shared = self.shared;
        let mut fresh: Vec<(Place, Arc<Shard>, Endpoint)> = Vec::new();
        let mut holders = Vec::new();
        for (place, ranges) in masters.iter().take(MASTERS_MAX) {
            if let Some((shard, _)) = self.masters.get(place) {
                holders.push((Arc::clone(shard), ranges.clone()));
                continue;
            }
            let name = shown(&place.0, place.1);
            match self.seeds.access.client(&place.0, place.1) {
                Ok(client) => {
                    let shard = shared.link.new_shard(name.clone(), true);
                    shared.rooms.add_shard(shard.id);
                    holders.push((Arc::clone(&shard), ranges.clone()));
                    fresh.push((place.clone(), shard, Endpoint::Server { client, shown: name }));
                }
                Err(error) => tracing::warn!(%error, redis = name, "a master of the cluster has no usable address"),
            }
        }
        let gone: Vec<Place> =
            self.masters.keys().filter(|place| !masters.iter().any(|(known, _)| known == *place)).cloned().collect();
        self.seen = replicas.into_iter().chain(masters.into_iter().map(|(place, _)| place)).collect();
        let layout = Layout::cluster(holders);
        if layout.equals(&shared.link.layout.load()) {
            return Vec::new();
        }
        if fresh.is_empty() && gone.is_empty() {
            tracing::debug!("slots of Redis moved");
        } else {
            tracing::info!(
                masters = layout.shards.len(),
                new = fresh.len(),
                gone = gone.len(),
                "Redis has other masters"
            );
        }
        shared.link.use_layout(layout, shared);
        if !gone.is_empty() {
            gone.iter().for_each(|place| self.drop_shard(place));
            shared.link.everything_is_stale(shared);
        }
        let mut attempts = Vec::new();
        for (place, shard, endpoint) in fresh {
            let (attempted, attempt) = oneshot::channel();
            let task = tasks.spawn(shard::run(Arc::clone(shared), Arc::clone(&shard), endpoint, attempted));
            self.masters.insert(place, (shard, task));
            attempts.push(attempt);
        }
        shared.link.settle(shared);
        attempts
    }

    fn drop_shard(&mut self, place: &Place) {
        if let Some((shard, task)) = self.masters.remove(place) {
            task.abort();
            shard.drop_link(self.shared);
            self.shared.rooms.remove_shard(shard.id);
        }
    }
}

/// An address as a cluster writes it in a redirection.
pub(super) fn shown(host: &str, port: u16) -> String {
    format!("{host}:{port}")
}

/// # Errors
/// Why the node does not say what its cluster looks like.
async fn ask(place: &Place, mut connection: MultiplexedConnection) -> Result<View, String> {
    let mut pipeline = redis::pipe();
    pipeline.cmd("CLUSTER").arg("INFO").cmd("CLUSTER").arg("SLOTS");
    let answer: RedisResult<(String, Value)> =
        tokio::time::timeout(ANSWER_TIMEOUT, pipeline.query_async(&mut connection)).await.map_err(|_| silent())?;
    match answer {
        Ok((told, slots)) => {
            read(place, &told, &slots).ok_or_else(|| "what it tells of its cluster cannot be read".to_owned())
        }
        // The server has no code of its own for this.
        Err(error) if error.to_string().contains("cluster support disabled") => {
            Err("this Redis is no cluster: its address begins with redis:// rather than redis+cluster://".to_owned())
        }
        Err(error) => Err(format!("it does not say what its cluster looks like: {error}")),
    }
}

fn silent() -> String {
    format!("it did not answer within {} s", ANSWER_TIMEOUT.as_secs())
}

impl View {
    /// Why a cluster that looks like this cannot be used as a whole.
    fn trouble(&self) -> Option<String> {
        let held: usize =
            self.masters.iter().flat_map(|(_, ranges)| ranges).map(|(from, to)| usize::from(to - from) + 1).sum();
        if held < SLOTS {
            return Some(format!("{} of {SLOTS} slots are held by nobody", SLOTS - held));
        }
        (!self.good).then(|| "its nodes say that it does not work (CLUSTER INFO)".to_owned())
    }
}

/// Of those that are part of the cluster rather than not, the newest view. Where another as new says that it holds a
/// slot itself, it knows better: slots may be told wrongly for a long time by a third. And who is said to hold a slot and
/// knows nothing of it does not: then whoever else claims it does, however old the view.
fn agreed(mut views: Vec<View>) -> Option<View> {
    views.retain(|view| !view.masters.is_empty());
    let mut owned: Vec<(u64, Place, Vec<bool>)> = views.iter().filter_map(owned).collect();
    owned.sort_by_key(|(epoch, ..)| std::cmp::Reverse(*epoch));
    let newest = views.iter().map(|view| (view.good, view.epoch)).max()?;
    views.retain(|view| (view.good, view.epoch) == newest);
    let first = views.first()?;
    let claims: Vec<&(Place, Ranges)> =
        first.masters.iter().chain(views.iter().filter_map(|view| view.own.as_ref())).collect();
    let mut holders: Vec<Option<&Place>> = vec![None; SLOTS];
    for (place, ranges) in &claims {
        for (from, to) in ranges {
            if let Some(slots) = holders.get_mut(usize::from(*from)..=usize::from(*to)) {
                slots.fill(Some(place));
            }
        }
    }
    let mut masters: BTreeMap<Place, Ranges> = BTreeMap::new();
    for (slot, holder) in (0_u16..).zip(holders) {
        let Some(mut holder) = holder else { continue };
        let holds = |owned: &[bool]| owned.get(usize::from(slot)).is_some_and(|holds| *holds);
        if owned.iter().any(|(_, place, slots)| place == holder && !holds(slots)) {
            let claimant = owned.iter().find(|(_, _, slots)| holds(slots));
            holder = claimant.map_or(holder, |(_, place, _)| place);
        }
        let ranges = masters.entry(holder.clone()).or_default();
        match ranges.last_mut().filter(|(_, to)| to + 1 == slot) {
            Some((_, to)) => *to = slot,
            None => ranges.push((slot, slot)),
        }
    }
    // In the order of the addresses: the same cluster must always look the same.
    Some(View { masters: masters.into_iter().collect(), replicas: first.replicas.clone(), own: None, ..*first })
}

/// What a node says of itself: since when, who it is and which slots it holds.
fn owned(view: &View) -> Option<(u64, Place, Vec<bool>)> {
    let (place, ranges) = view.own.as_ref()?;
    let mut slots = vec![false; SLOTS];
    for (from, to) in ranges {
        if let Some(held) = slots.get_mut(usize::from(*from)..=usize::from(*to)) {
            held.fill(true);
        }
    }
    Some((view.epoch, place.clone(), slots))
}

/// Reads the answers to `CLUSTER INFO` and `CLUSTER SLOTS` of the node at this place.
fn read(place: &Place, told: &str, slots: &Value) -> Option<View> {
    let field = |name: &str| told.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
    let mut view = View {
        good: field("cluster_state") == Some("ok"),
        epoch: field("cluster_current_epoch")?.parse().ok()?,
        masters: Vec::new(),
        replicas: Vec::new(),
        own: None,
    };
    let Value::Array(ranges) = slots else { return None };
    for range in ranges {
        let Value::Array(range) = range else { return None };
        let [Value::Int(from), Value::Int(to), master, replicas @ ..] = &range[..] else { return None };
        let bounds = (u16::try_from(*from).ok()?, u16::try_from(*to).ok()?);
        let master = read_place(place, master)?;
        match view.masters.iter_mut().find(|(known, _)| *known == master) {
            Some((_, ranges)) => ranges.push(bounds),
            None => view.masters.push((master, vec![bounds])),
        }
        view.replicas.extend(replicas.iter().filter_map(|replica| read_place(place, replica)));
    }
    view.replicas.sort_unstable();
    view.replicas.dedup();
    view.own = view.masters.iter().find(|(master, _)| master == place).cloned();
    Some(view)
}

/// A node that does not know its own address is where it was asked.
fn read_place(asked: &Place, node: &Value) -> Option<Place> {
    let Value::Array(node) = node else { return None };
    let [host, Value::Int(port), ..] = &node[..] else { return None };
    let host = match host {
        Value::BulkString(host) if !host.is_empty() => std::str::from_utf8(host).ok()?.to_owned(),
        Value::BulkString(_) | Value::Nil => asked.0.clone(),
        _ => return None,
    };
    Some((host, u16::try_from(*port).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(host: &str, port: i64) -> Value {
        Value::Array(vec![Value::BulkString(host.into()), Value::Int(port), Value::BulkString(b"id".to_vec())])
    }

    fn range(from: i64, to: i64, nodes: Vec<Value>) -> Value {
        Value::Array([vec![Value::Int(from), Value::Int(to)], nodes].concat())
    }

    #[test]
    fn what_a_node_tells_is_read() {
        let asked = ("asked".to_owned(), 1);
        let slots = Value::Array(vec![
            range(101, 16_383, vec![node("b", 7001), node("c", 7002)]),
            range(0, 99, vec![node("", 7000)]),
            range(100, 100, vec![node("b", 7001), node("c", 7002)]),
        ]);
        let told = "cluster_enabled:1\r\ncluster_state:ok\r\ncluster_current_epoch:7\r\n";
        let view = read(&asked, told, &slots).unwrap();
        assert!(view.good && view.epoch == 7);
        let place = |host: &str, port| (host.to_owned(), port);
        let expected = [(place("b", 7001), vec![(101, 16_383), (100, 100)]), (place("asked", 7000), vec![(0, 99)])];
        assert_eq!(view.masters, expected);
        assert_eq!(view.replicas, [place("c", 7002)]);
        assert_eq!(read(&asked, "", &slots), None, "no cluster at all");
        assert_eq!(read(&asked, told, &Value::Array(vec![Value::Nil])), None);
    }

    #[test]
    fn a_node_that_has_fallen_out_is_not_believed() {
        let place = || ("a".to_owned(), 1);
        let view =
            |good, epoch| View { good, epoch, masters: vec![(place(), vec![(0, 1)])], replicas: vec![], own: None };
        let epoch_of = |views: [View; 2]| agreed(views.into()).map(|view| (view.good, view.epoch));
        assert_eq!(epoch_of([view(false, 9), view(true, 3)]), Some((true, 3)));
        assert_eq!(epoch_of([view(true, 3), view(true, 4)]), Some((true, 4)));
        let empty = View { masters: vec![], ..view(true, 99) };
        assert_eq!(epoch_of([empty, view(true, 4)]), Some((true, 4)), "a node without slots knows nothing");
    }

    #[test]
    fn who_holds_a_slot_knows_better_than_a_third() {
        let place = |port| ("h".to_owned(), port);
        let view = |masters: Vec<(Place, Ranges)>, own: Option<(Place, Ranges)>| View {
            good: true,
            epoch: 7,
            masters,
            replicas: vec![],
            own,
        };
        let wrong = vec![(place(2), vec![(10, 16_383)]), (place(1), vec![(0, 9)])];
        let right = vec![(place(1), vec![(0, 8)]), (place(2), vec![(9, 16_383)])];
        let third = view(wrong.clone(), None);
        let holder = view(right.clone(), Some(right[1].clone()));
        assert_eq!(agreed(vec![third, holder]).unwrap().masters, right);
        let old = View { epoch: 6, ..view(right.clone(), Some(right[1].clone())) };
        let newer = agreed(vec![view(wrong, None), old]).unwrap().masters;
        assert_eq!(newer, [(place(1), vec![(0, 9)]), (place(2), vec![(10, 16_383)])], "an older claim does not count");
        let known = vec![(place(1), vec![(0, 9)]), (place(2), vec![(10, 16_383)])];
        let newest = View { epoch: 8, ..view(known, None) };
        let one = view(right.clone(), Some(right[0].clone()));
        let two = view(right.clone(), Some(right[1].clone()));
        assert_eq!(
            agreed(vec![newest, one, two]).unwrap().masters,
            right,
            "but who is said to hold it knows nothing of it"
        );
    }
}

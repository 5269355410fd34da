//! Brings what the others know of this node's connections and sessions up to date.
//!
//! One batch at a time, spread over the shards, and always whole counts, never differences: whatever was lost, doubled
//! or late is put right by the next write. Must never hold an arrival for longer than one answer of the servers.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use redis::aio::MultiplexedConnection;
use redis::{Pipeline, RedisResult, ServerErrorKind, Value};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::lease::millis;
use super::server_kind;
use super::shard::Shard;
use crate::metrics::BusOp;
use crate::place::{ArrivalAnswer, Group};
use crate::shared::Shared;

/// How many scopes one batch writes at most.
const SCOPES_MAX: usize = 256;
/// How many sessions one batch writes at most.
const SESSIONS_MAX: usize = 500;
/// How long the count of a scope outlives its last write.
const COUNT_LIFE: Duration = Duration::from_hours(1);
/// Everything is written again this often, which keeps it alive and heals what went wrong.
const REFRESH: Duration = Duration::from_mins(10);
/// How many scopes wait for a server at most. What this node holds is written anyway when there is one; of the others the
/// last count stays until it runs out.
const PARKED_MAX: usize = 262_144;
/// After a failure, before the next attempt.
const RETRY: Duration = Duration::from_millis(200);

/// How many were let in, and otherwise who else holds places; or why the server did not say.
type Counted = Result<(u64, Vec<String>), Option<ServerErrorKind>>;

/// The part of a batch that one shard writes.
struct Share {
    shard: Arc<Shard>,
    read_only: Arc<Notify>,
    commands: MultiplexedConnection,
    groups: Vec<Group>,
}

/// Writes until it is aborted.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut refresh = Instant::now() + REFRESH;
    loop {
        if Instant::now() >= refresh {
            shared.places.all_stale();
            shared.sessions.all_stale();
            refresh = Instant::now() + REFRESH;
        }
        let home = shared.link.home_connection();
        let groups = shared.places.next_groups(SCOPES_MAX);
        // Without a server for them they stay stale until there is one, which tells.
        let sessions = if home.is_some() { shared.sessions.next_stale(SESSIONS_MAX) } else { Vec::new() };
        if groups.is_empty() && sessions.is_empty() {
            tokio::select! {
                () = shared.places.changed() => {}
                () = shared.sessions.changed() => {}
                () = tokio::time::sleep_until(refresh) => {}
            }
            continue;
        }
        let mut written = true;
        if let Some(mut home) = home
            && let Err(error) = write_sessions(&shared, &mut home, &sessions).await
        {
            shared.sessions.stale_again(sessions.iter().map(|(session, _)| *session));
            tracing::debug!(%error, "sessions could not be listed");
            written = false;
        }
        let shares = in_shares(&shared, groups);
        let counted = join_all(shares.into_iter().map(|share| count(&shared, share))).await;
        if !written || counted.contains(&false) {
            tokio::time::sleep(RETRY).await;
        }
    }
}

/// Who writes what. Scopes without a server wait for one; who wants a place there decides alone.
fn in_shares(shared: &Shared, groups: Vec<Group>) -> Vec<Share> {
    let layout = shared.link.layout.load();
    let mut shares: Vec<Share> = Vec::new();
    for group in groups {
        let owner = layout.owner(&shared.link.keys.connections(group.scope));
        let found = owner.and_then(|shard| Some((shard, shard.read_only(), shard.connection()?)));
        let Some((shard, read_only, commands)) = found else {
            let mut parked = shared.link.parked.lock();
            if parked.len() < PARKED_MAX {
                parked.insert(group.scope);
            }
            drop(parked);
            answer_unknown(group);
            continue;
        };
        match shares.iter_mut().find(|share| share.shard.id == shard.id) {
            Some(share) => share.groups.push(group),
            None => shares.push(Share { shard: Arc::clone(shard), read_only, commands, groups: vec![group] }),
        }
    }
    shares
}

async fn write_sessions(
    shared: &Shared,
    commands: &mut MultiplexedConnection,
    sessions: &[crate::sessions::Entry],
) -> RedisResult<()> {
    if sessions.is_empty() {
        return Ok(());
    }
    let key = shared.link.keys.sessions(&shared.instance);
    let mut pipeline = redis::pipe();
    for (session, user) in sessions {
        match user {
            Some(user) => pipeline.cmd("HSET").arg(&key).arg(session.to_string()).arg(user.to_string()).ignore(),
            None => pipeline.cmd("HDEL").arg(&key).arg(session.to_string()).ignore(),
        };
    }
    let began = Instant::now().into_std();
    let answer = pipeline.exec_async(commands).await;
    shared.metrics.asked(BusOp::Sessions, began, answer.is_ok());
    answer
}

/// Writes counts and lets arrivals in. `false` when some could not be written: those are stale again and who waited
/// decides alone.
async fn count(shared: &Shared, share: Share) -> bool {
    let Share { shard, read_only, mut commands, groups } = share;
    let outcome = match ask(shared, &mut commands, &groups, &[]).await {
        Ok(answers) => without_the_dead(shared, &mut commands, &groups, answers).await,
        Err(error) => Err(error),
    };
    let answers = outcome.unwrap_or_else(|error| {
        tracing::debug!(%error, redis = shard.name, "connections could not be counted");
        groups.iter().map(|_| Err(server_kind(&error))).collect()
    });
    let mut written = true;
    for (group, answer) in groups.into_iter().zip(answers) {
        match answer {
            Ok((granted, _)) => shared.places.answer(group, granted),
            Err(kind) => {
                written = false;
                shared.link.heed(&read_only, kind);
                shared.places.stale_again(group.scope);
                answer_unknown(group);
            }
        }
    }
    written
}

fn answer_unknown(group: Group) {
    for arrival in group.arrivals {
        // Who has gone away needs no answer.
        arrival.send(ArrivalAnswer::Unknown).ok();
    }
}

/// Where somebody was refused, looks whether the other instances that hold places are alive at all, and asks again
/// without those that are not. While nobody can be asked who is alive, everybody is.
async fn without_the_dead(
    shared: &Shared,
    commands: &mut MultiplexedConnection,
    groups: &[Group],
    mut answers: Vec<Counted>,
) -> RedisResult<Vec<Counted>> {
    let others = answers.iter().filter_map(|answer| answer.as_ref().ok()).flat_map(|(_, others)| others);
    let mut suspects: Vec<&String> = others.collect();
    suspects.sort_unstable();
    suspects.dedup();
    let Some(mut home) = shared.link.home().filter(|_| !suspects.is_empty()) else { return Ok(answers) };
    let mut pipeline = redis::pipe();
    for instance in &suspects {
        pipeline.cmd("EXISTS").arg(shared.link.keys.lease(instance));
    }
    let alive: Vec<bool> = pipeline.query_async(&mut home).await?;
    let dead: Vec<String> =
        suspects.into_iter().zip(alive).filter(|(_, alive)| !alive).map(|(instance, _)| instance.clone()).collect();
    for (group, answer) in groups.iter().zip(&mut answers) {
        let Ok((_, others)) = answer else { continue };
        let gone: Vec<String> = others.iter().filter(|other| dead.contains(other)).cloned().collect();
        if !gone.is_empty() {
            let again = ask(shared, commands, std::slice::from_ref(group), &gone).await?;
            *answer = again.into_iter().next().unwrap_or(Err(None));
        }
    }
    Ok(answers)
}

async fn ask(
    shared: &Shared,
    commands: &mut MultiplexedConnection,
    groups: &[Group],
    dead: &[String],
) -> RedisResult<Vec<Counted>> {
    let pipeline = counts(shared, groups, dead);
    let began = Instant::now().into_std();
    let answers = commands.send_packed_commands(&pipeline, 0, groups.len()).await;
    shared.metrics.asked(BusOp::Count, began, answers.is_ok());
    let mut answers = answers?;
    if answers.iter().any(is_no_script) {
        shared.link.scripts.load(commands).await?;
        answers = commands.send_packed_commands(&pipeline, 0, groups.len()).await?;
    }
    Ok(answers.into_iter().map(counted).collect())
}

fn counted(answer: Value) -> Counted {
    match answer {
        Value::ServerError(error) => Err(error.kind()),
        answer => redis::from_redis_value(answer).map_err(|_| None),
    }
}

fn counts(shared: &Shared, groups: &[Group], dead: &[String]) -> Pipeline {
    let mut pipeline = redis::pipe();
    for group in groups {
        pipeline.cmd("EVALSHA").arg(shared.link.scripts.count.get_hash()).arg(1);
        pipeline.arg(shared.link.keys.connections(group.scope)).arg(&shared.instance);
        pipeline.arg(group.held).arg(group.arrivals.len()).arg(group.max).arg(millis(COUNT_LIFE)).arg(dead);
    }
    pipeline
}

fn is_no_script(answer: &Value) -> bool {
    matches!(answer, Value::ServerError(error) if error.kind() == Some(ServerErrorKind::NoScript))
}

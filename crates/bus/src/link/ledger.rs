//! Brings what the others know of this node's connections and sessions up to date.
//!
//! One batch at a time and always whole counts, never differences: whatever was lost, doubled or late is put right by
//! the next write. Must never hold an arrival for longer than one answer of the server.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{ErrorKind, Pipeline, RedisError, RedisResult, ServerErrorKind};
use tokio::time::Instant;

use super::Loss;
use super::lease::millis;
use crate::place::{ArrivalAnswer, Group};
use crate::shared::Shared;

/// How many scopes one pipeline writes at most.
const SCOPES_MAX: usize = 256;
/// How many sessions one pipeline writes at most.
const SESSIONS_MAX: usize = 500;
/// How long the count of a scope outlives its last write.
const COUNT_LIFE: Duration = Duration::from_hours(1);
/// Everything is written again this often, which keeps it alive and heals what went wrong.
const REFRESH: Duration = Duration::from_mins(10);
/// After a failure, before the next attempt.
const RETRY: Duration = Duration::from_millis(200);

type Counted = (u64, Vec<String>);

/// Writes until the link is given up by another part.
pub(super) async fn run(shared: Arc<Shared>, mut commands: MultiplexedConnection) -> Loss {
    shared.places.all_stale();
    shared.sessions.all_stale();
    let mut refresh = Instant::now() + REFRESH;
    loop {
        if Instant::now() >= refresh {
            shared.places.all_stale();
            shared.sessions.all_stale();
            refresh = Instant::now() + REFRESH;
        }
        let groups = shared.places.next_groups(SCOPES_MAX);
        let sessions = shared.sessions.next_stale(SESSIONS_MAX);
        if groups.is_empty() && sessions.is_empty() {
            tokio::select! {
                () = shared.places.changed() => {}
                () = shared.sessions.changed() => {}
                () = tokio::time::sleep_until(refresh) => {}
            }
            continue;
        }
        let written = write_sessions(&shared, &mut commands, &sessions).await;
        if let Err(error) = &written {
            shared.sessions.stale_again(sessions.iter().map(|(session, _)| *session));
            tracing::debug!(%error, "sessions could not be listed");
        }
        if !count(&shared, &mut commands, groups).await || written.is_err() {
            tokio::time::sleep(RETRY).await;
        }
    }
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
    pipeline.exec_async(commands).await
}

/// Writes counts and lets arrivals in. `false` when the server could not be asked: everything is stale again and who
/// waited decides alone.
async fn count(shared: &Shared, commands: &mut MultiplexedConnection, groups: Vec<Group>) -> bool {
    if groups.is_empty() {
        return true;
    }
    let outcome = match ask(shared, commands, &groups, &[]).await {
        Ok(answers) => without_the_dead(shared, commands, &groups, answers).await,
        Err(error) => Err(error),
    };
    match outcome {
        Ok(answers) => {
            for (group, (granted, _)) in groups.into_iter().zip(answers) {
                shared.places.answer(group, granted);
            }
            true
        }
        Err(error) => {
            tracing::debug!(%error, "connections could not be counted");
            for group in groups {
                shared.places.stale_again(group.scope);
                for arrival in group.arrivals {
                    // Who has gone away needs no answer.
                    arrival.send(ArrivalAnswer::Unknown).ok();
                }
            }
            false
        }
    }
}

/// Where somebody was refused, looks whether the other instances that hold places are alive at all, and asks again
/// without those that are not.
async fn without_the_dead(
    shared: &Shared,
    commands: &mut MultiplexedConnection,
    groups: &[Group],
    mut answers: Vec<Counted>,
) -> RedisResult<Vec<Counted>> {
    let mut suspects: Vec<&String> = answers.iter().flat_map(|(_, others)| others).collect();
    suspects.sort_unstable();
    suspects.dedup();
    if suspects.is_empty() {
        return Ok(answers);
    }
    let mut pipeline = redis::pipe();
    for instance in &suspects {
        pipeline.cmd("EXISTS").arg(shared.link.keys.lease(instance));
    }
    let alive: Vec<bool> = pipeline.query_async(commands).await?;
    let dead: Vec<String> =
        suspects.into_iter().zip(alive).filter(|(_, alive)| !alive).map(|(instance, _)| instance.clone()).collect();
    for (group, answer) in groups.iter().zip(&mut answers) {
        let gone: Vec<String> = answer.1.iter().filter(|other| dead.contains(other)).cloned().collect();
        if !gone.is_empty() {
            let again = ask(shared, commands, std::slice::from_ref(group), &gone).await?;
            *answer = again.into_iter().next().unwrap_or_default();
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
    match pipeline.query_async(commands).await {
        Err(error) if is_no_script(&error) => {
            shared.link.scripts.load(commands).await?;
            pipeline.query_async(commands).await
        }
        outcome => outcome,
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

/// Whether the error, or one of those inside a pipeline's error, says that a script is not loaded.
fn is_no_script(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) || error.to_string().contains("NoScript")
}

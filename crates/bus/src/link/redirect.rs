//! Calls a script where its key is, and once more where a cluster says that it is now.
//!
//! Must never wait for a cluster to settle: whoever asks has an answer of its own for that case.

use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, RedisError, RedisResult, Script, ServerErrorKind};

use super::server_kind;
use crate::shared::Shared;

/// Calls a script with one key and these arguments. None when the key's shard is down.
pub(crate) async fn call<T: FromRedisValue>(
    shared: &Shared,
    script: &Script,
    key: &str,
    arguments: &[u64],
) -> Option<RedisResult<T>> {
    let shard = shared.link.layout.load().owner(key).cloned()?;
    let read_only = shard.read_only();
    let mut commands = shard.commands()?;
    let mut call = script.key(key);
    for argument in arguments {
        call.arg(*argument);
    }
    let answer = call.invoke_async(&mut commands).await;
    let Err(error) = answer else { return Some(answer) };
    shared.link.heed(&read_only, server_kind(&error));
    if error.redirect_node().is_some() { follow(shared, script, key, arguments, error).await } else { Some(Err(error)) }
}

async fn follow<T: FromRedisValue>(
    shared: &Shared,
    script: &Script,
    key: &str,
    arguments: &[u64],
    error: RedisError,
) -> Option<RedisResult<T>> {
    let mut commands = target(shared, &error)?;
    let mut pipeline = redis::pipe();
    if server_kind(&error) == Some(ServerErrorKind::Ask) {
        pipeline.cmd("ASKING").ignore();
    }
    pipeline.cmd("EVALSHA").arg(script.get_hash()).arg(1).arg(key).arg(arguments);
    let answer: RedisResult<(T,)> = pipeline.query_async(&mut commands).await;
    Some(answer.map(|(answer,)| answer))
}

fn target(shared: &Shared, error: &RedisError) -> Option<MultiplexedConnection> {
    let (name, _slot) = error.redirect_node()?;
    let layout = shared.link.layout.load();
    layout.shards.iter().find(|shard| shard.name == name)?.commands()
}

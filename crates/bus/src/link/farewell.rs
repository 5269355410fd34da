//! The last words of a node: its lease, sessions and counts go at once, so that nobody waits for them to run out.
//!
//! Must never hold up the end of the process for longer than its caller allows.

use redis::RedisResult;
use redis::aio::MultiplexedConnection;

use crate::shared::Shared;

/// How many counts one pipeline takes back.
const SCOPES_MAX: usize = 500;

/// Takes back everything that is listed under this node. What fails runs out with the lease.
pub(crate) async fn say_farewell(shared: &Shared, mut commands: MultiplexedConnection) -> RedisResult<()> {
    let keys = &shared.link.keys;
    let mut pipeline = redis::pipe();
    pipeline.cmd("ZREM").arg(&keys.nodes).arg(&shared.instance).ignore();
    pipeline.cmd("DEL").arg(keys.lease(&shared.instance)).arg(keys.sessions(&shared.instance)).ignore();
    pipeline.exec_async(&mut commands).await?;
    for scopes in shared.places.held().chunks(SCOPES_MAX) {
        let mut pipeline = redis::pipe();
        for scope in scopes {
            pipeline.cmd("HDEL").arg(keys.connections(*scope)).arg(&shared.instance).ignore();
        }
        pipeline.exec_async(&mut commands).await?;
    }
    Ok(())
}

//! How the two connections to one server are made, and how that server is found.
//!
//! Must never show a password, and never keep trying: [`super::shard`] does.

use std::fmt;
use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, PushInfo, RedisResult};
use tokio::sync::Notify;

use super::inbound::Inbound;
use super::sentinel::{Sentinel, Watch};
use super::shard::{Loss, Shard};
use super::{COMMAND_TIMEOUT, CONNECT_TIMEOUT, SUBSCRIBE_TIMEOUT};
use crate::shared::Shared;

/// How many requests wait for the writer of the multiplexed connection; those beyond wait for a place, in order.
const WRITER_QUEUE: usize = 1_024;

/// Where one shard's server is.
pub(crate) enum Endpoint {
    /// At a fixed address.
    Server {
        /// Speaks RESP3.
        client: Client,
        /// The address without credentials, for people.
        shown: String,
    },
    /// Where the Sentinels say, each time anew.
    Sentinel(Sentinel),
}

/// Both connections of one link.
pub(super) struct Wire {
    pub(super) commands: MultiplexedConnection,
    pub(super) subscriber: MultiplexedConnection,
    /// Rung when either connection ends.
    pub(super) lost: Arc<Notify>,
    /// Sees to it that the server is left when another becomes master.
    pub(super) watch: Option<Watch>,
}

impl Endpoint {
    /// Finds the server and makes both connections.
    pub(super) async fn connect(&self, shared: &Arc<Shared>, shard: &Arc<Shard>) -> Result<Wire, Loss> {
        match self {
            Self::Server { client, .. } => Ok(connect(client, shared, shard).await?),
            Self::Sentinel(sentinel) => {
                let (client, watch) = sentinel.find_master().await?;
                let mut wire = connect(&client, shared, shard).await?;
                watch.confirm(&mut wire.commands).await?;
                wire.watch = Some(watch);
                Ok(wire)
            }
        }
    }
}

async fn connect(client: &Client, shared: &Arc<Shared>, shard: &Arc<Shard>) -> RedisResult<Wire> {
    let lost = Arc::new(Notify::new());
    let inbound = Inbound::new(shared, shard, Arc::clone(&lost));
    let ring = Arc::clone(&lost);
    let subscriber = config()
        .set_response_timeout(Some(SUBSCRIBE_TIMEOUT))
        .set_push_sender(move |push: PushInfo| inbound.receive(push));
    let commands = config()
        .set_response_timeout(Some(COMMAND_TIMEOUT))
        .set_pipeline_buffer_size(WRITER_QUEUE)
        .set_push_sender(move |push: PushInfo| -> Result<(), std::convert::Infallible> {
            if push.kind == redis::PushKind::Disconnection {
                ring.notify_one();
            }
            Ok(())
        });
    let (subscriber, commands) = futures_util::future::try_join(
        client.get_multiplexed_async_connection_with_config(&subscriber),
        client.get_multiplexed_async_connection_with_config(&commands),
    )
    .await?;
    Ok(Wire { commands, subscriber, lost, watch: None })
}

fn config() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT_TIMEOUT))
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server { shown, .. } => f.write_str(shown),
            Self::Sentinel(sentinel) => sentinel.fmt(f),
        }
    }
}

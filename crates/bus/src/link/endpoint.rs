//! Where Redis is and how its connections are made: the seam at which Sentinel, Cluster and several servers differ.
//!
//! Must never show a password.

use std::fmt;
use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{AsyncConnectionConfig, Client, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, PushInfo};
use tokio::sync::Notify;

use super::{COMMAND_TIMEOUT, CONNECT_TIMEOUT, SUBSCRIBE_TIMEOUT, Wire};
use crate::config::{BusError, without_credentials};
use crate::link::inbound::Inbound;
use crate::shared::Shared;

/// How many requests wait for the writer of the multiplexed connection; those beyond wait for a place, in order.
const WRITER_QUEUE: usize = 1_024;

/// A way to run Redis. One more way is one more variant here, and its connections.
#[derive(Clone)]
pub(crate) enum Endpoint {
    /// One server.
    Single {
        /// Speaks RESP3.
        client: Client,
        /// The address without credentials, for people.
        shown: String,
    },
}

impl Endpoint {
    /// Reads an address.
    pub(crate) fn parse(url: &str) -> Result<Self, BusError> {
        let shown = without_credentials(url);
        let wrong = |reason: String| BusError::Address { url: without_credentials(url), reason };
        let Some((scheme, _)) = url.split_once("://") else {
            return Err(wrong("it needs a scheme, as in redis://host:6379".to_owned()));
        };
        match scheme {
            "redis" | "rediss" => {}
            other => return Err(BusError::Scheme { scheme: other.to_owned() }),
        }
        // The library's own text may quote the address with its password, so only its kind is shown.
        let parsed: ConnectionInfo =
            url.into_connection_info().map_err(|error| wrong(error.category().to_lowercase()))?;
        let settings = parsed.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        // CLIENT SETINFO came with Redis 7.2; before, an ACL could not even name it.
        let settings = settings.set_skip_set_lib_name();
        let tcp = TcpSettings::default().set_nodelay(true);
        let client = Client::open(parsed.set_redis_settings(settings).set_tcp_settings(tcp))
            .map_err(|error| wrong(error.category().to_lowercase()))?;
        Ok(Self::Single { client, shown })
    }

    /// Makes both connections.
    pub(super) async fn connect(&self, shared: &Arc<Shared>) -> redis::RedisResult<Wire> {
        let Self::Single { client, .. } = self;
        let lost = Arc::new(Notify::new());
        let inbound = Inbound::new(shared, Arc::clone(&lost));
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
        let (subscriber, commands): (MultiplexedConnection, MultiplexedConnection) = futures_util::future::try_join(
            client.get_multiplexed_async_connection_with_config(&subscriber),
            client.get_multiplexed_async_connection_with_config(&commands),
        )
        .await?;
        Ok(Wire { commands, subscriber, lost })
    }
}

fn config() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT_TIMEOUT))
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Single { shown, .. } = self;
        f.write_str(shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_it_cannot_use_and_shows_no_password() {
        for (url, part) in [
            ("redis+sentinel://h1,h2/main", "redis+sentinel://"),
            ("redis+cluster://h1,h2", "redis+cluster://"),
            ("unix:///run/redis.sock", "unix://"),
            ("localhost:6379", "scheme"),
            ("redis://:hunter2@host:notaport", "not valid"),
            ("redis://:hunter2@host/notanumber", "not valid"),
        ] {
            let Err(error) = Endpoint::parse(url) else { panic!("{url} was accepted") };
            let text = error.to_string();
            assert!(text.contains(part) && !text.contains("hunter2"), "{text}");
        }
        let Ok(endpoint) = Endpoint::parse("rediss://:hunter2@host:6390/1") else { panic!("refused") };
        assert_eq!(endpoint.to_string(), "rediss://host:6390/1");
    }
}

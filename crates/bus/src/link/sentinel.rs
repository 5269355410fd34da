//! Finding the master that the Sentinels agree on, and leaving it when they agree on another.
//!
//! Must never hang on a Sentinel: every question is bounded, and those that answer decide.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use futures_util::future::join_all;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisResult, Value};
use tokio::time::MissedTickBehavior;

use super::address::Access;
use super::shard::Loss;

/// How long a Sentinel may take for one answer, the connection included.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(500);
/// Between two looks at whether the master is still the same: an old master that still answers is left within this.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// A name that Sentinels know, and who they are.
pub(crate) struct Sentinel {
    sentinels: Vec<Client>,
    name: String,
    access: Access,
    /// The address without credentials, for people.
    shown: String,
}

/// The Sentinels of one link, each on a connection that stays.
pub(super) struct Watch {
    lines: Vec<Line>,
    name: String,
    master: Place,
}

struct Line {
    client: Client,
    connection: Option<MultiplexedConnection>,
}

type Place = (String, u16);

impl Sentinel {
    pub(super) const fn new(sentinels: Vec<Client>, name: String, access: Access, shown: String) -> Self {
        Self { sentinels, name, access, shown }
    }

    /// Asks all of them at once; the address that most of them name is the master's.
    pub(super) async fn find_master(&self) -> Result<(Client, Watch), Loss> {
        let lines = self.sentinels.iter().map(|client| Line { client: client.clone(), connection: None });
        let mut watch = Watch { lines: lines.collect(), name: self.name.clone(), master: Place::default() };
        watch.master = watch.ask().await.ok_or_else(|| Loss::NoMaster(self.name.clone()))?;
        let client = self.access.client(&watch.master.0, watch.master.1)?;
        Ok((client, watch))
    }
}

impl fmt::Display for Sentinel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl Watch {
    /// A Sentinel may be wrong for a while about a server that was demoted: the server itself knows best.
    pub(super) async fn confirm(&self, commands: &mut MultiplexedConnection) -> Result<(), Loss> {
        let role: Value = redis::cmd("ROLE").query_async(commands).await?;
        match &role {
            Value::Array(role) if matches!(role.first(), Some(Value::BulkString(word)) if word == b"master") => Ok(()),
            _ => Err(Loss::NoMaster(format!("{} at {}:{}", self.name, self.master.0, self.master.1))),
        }
    }

    /// Looks until the Sentinels agree on another master. While none answers, nothing is concluded.
    pub(super) async fn run(mut self) -> Loss {
        let mut ticks = tokio::time::interval(LOOK_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Some(master) = self.ask().await
                && master != self.master
            {
                return Loss::Switched(format!("{}:{}", master.0, master.1));
            }
        }
    }

    async fn ask(&mut self) -> Option<Place> {
        let name = &self.name;
        let answers = join_all(self.lines.iter_mut().map(|line| line.ask(name))).await;
        majority(answers.into_iter().flatten())
    }
}

impl Line {
    async fn ask(&mut self, name: &str) -> Option<Place> {
        match tokio::time::timeout(ANSWER_TIMEOUT, self.try_ask(name)).await {
            Ok(Ok(place)) => place,
            Ok(Err(error)) => {
                tracing::debug!(%error, "a Sentinel could not be asked");
                self.connection = None;
                None
            }
            Err(_) => {
                self.connection = None;
                None
            }
        }
    }

    async fn try_ask(&mut self, name: &str) -> RedisResult<Option<Place>> {
        let mut connection = match &self.connection {
            Some(connection) => connection.clone(),
            None => {
                let config = AsyncConnectionConfig::new().set_connection_timeout(Some(ANSWER_TIMEOUT));
                let made = self.client.get_multiplexed_async_connection_with_config(&config).await?;
                self.connection.insert(made).clone()
            }
        };
        redis::cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(name).query_async(&mut connection).await
    }
}

/// What more of them say than anything else; none where two are named as often.
fn majority(answers: impl Iterator<Item = Place>) -> Option<Place> {
    let mut votes: HashMap<Place, usize> = HashMap::new();
    for answer in answers {
        *votes.entry(answer).or_default() += 1;
    }
    let most = votes.values().copied().max()?;
    let mut first = votes.into_iter().filter(|(_, count)| *count == most);
    let (place, _) = first.next()?;
    first.next().is_none().then_some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sentinel_that_lags_behind_does_not_decide() {
        let place = |port| ("h".to_owned(), port);
        assert_eq!(majority([place(1), place(2), place(2)].into_iter()), Some(place(2)));
        assert_eq!(majority([place(1)].into_iter()), Some(place(1)));
        assert_eq!(majority([place(1), place(2)].into_iter()), None, "nobody flaps between two");
        assert_eq!(majority(std::iter::empty()), None);
    }
}

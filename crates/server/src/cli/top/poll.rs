//! Asking the nodes: one task for each address, and one that looks for more of them.
//!
//! Owns the pace, and what is asked in which round. Must never let one node that does not answer hold up the others.

use std::collections::HashSet;
use std::net::ToSocketAddrs as _;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, watch};

use super::super::health::{self, Target};
use super::answer::{ConnectionsPage, ErrorsPage, LeasesPage, NodePage, RoomsPage, Snapshot};
use super::state::Look;

/// How long one page may take.
const PAGE_TIMEOUT: Duration = Duration::from_secs(3);

/// Most bytes of one page.
const PAGE_BYTES_MAX: u64 = 4 << 20;

/// Rows that are asked of a node that is only one of many, and of the one that is looked at.
const ROWS_FEW: usize = 20;
const ROWS_MANY: usize = 200;

/// Leases are the same everywhere and errors are rare: they are asked for in one round of so many.
const SELDOM: u64 = 5;

/// Between two looks at what a name leads to.
const DISCOVER_EVERY: Duration = Duration::from_secs(10);

/// Most addresses that a name may lead to.
pub(super) const ADDRESSES_MAX: usize = 256;

/// What the person wants to see.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Question {
    /// The address of the node whose detail is open.
    pub(super) detail: Option<String>,
    pub(super) connection_sort: &'static str,
    pub(super) room_sort: &'static str,
    /// Which connections: a parameter and its value.
    pub(super) filter: Option<(&'static str, String)>,
}

impl Default for Question {
    fn default() -> Self {
        Self { detail: None, connection_sort: "outbox", room_sort: "subscribers", filter: None }
    }
}

/// What the tasks tell.
#[derive(Debug)]
pub(super) enum News {
    Looked(Look),
    /// A name leads to these addresses now.
    Found(HashSet<String>),
}

/// Whom to ask how often, and where the answers go.
#[derive(Clone)]
pub(super) struct Asking {
    pub(super) began: Instant,
    pub(super) interval: Duration,
    pub(super) news: mpsc::Sender<News>,
    pub(super) question: watch::Receiver<Question>,
}

/// Asks one node until nobody listens any more.
pub(super) async fn ask(mut asking: Asking, target: Target) {
    for round in 0_u64.. {
        let question = asking.question.borrow_and_update().clone();
        let target_of_round = target.clone();
        let looked = tokio::task::spawn_blocking(move || look(&target_of_round, &question, round));
        let outcome = looked.await.unwrap_or_else(|error| Err(error.to_string()));
        let look = Look { address: target.authority.clone(), at: asking.began.elapsed(), outcome };
        if asking.news.send(News::Looked(look)).await.is_err() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(asking.interval) => {}
            // What is wanted now is not shown before it is asked for; when nobody wants anything, the send above ends this.
            changed = asking.question.changed() => if changed.is_err() { return },
        }
    }
}

/// One look at one node.
fn look(target: &Target, question: &Question, round: u64) -> Result<Box<Snapshot>, String> {
    let in_detail = question.detail.as_deref() == Some(target.authority.as_str());
    let rows = if in_detail { ROWS_MANY } else { ROWS_FEW };
    let is_turn = in_detail || round.is_multiple_of(SELDOM);
    let mut connections = "/debug/connections?sort=outbox".to_owned();
    let mut rooms = "/debug/rooms?sort=subscribers".to_owned();
    if in_detail {
        connections = format!("/debug/connections?sort={}", question.connection_sort);
        rooms = format!("/debug/rooms?sort={}", question.room_sort);
        if let Some((name, value)) = &question.filter {
            connections.push_str(&format!("&{name}={}", encode(value)));
        }
    }
    let node: NodePage = page(target, "/debug/node")?;
    // A filter that the node refuses, such as a name that nobody has, finds nobody.
    let connections: ConnectionsPage = page(target, &format!("{connections}&limit={rows}")).unwrap_or_default();
    let rooms: RoomsPage = page(target, &format!("{rooms}&limit={rows}")).unwrap_or_default();
    // While the bus is down nobody can tell the leases.
    let leases = is_turn.then(|| page::<LeasesPage>(target, "/debug/leases").ok()).flatten();
    let errors = is_turn.then(|| page::<ErrorsPage>(target, "/debug/errors").ok()).flatten();
    Ok(Box::new(Snapshot {
        node,
        connections,
        rooms: rooms.rooms,
        leases: leases.map(|page| page.nodes),
        errors: errors.map(|page| page.errors),
    }))
}

fn page<T: DeserializeOwned>(target: &Target, path: &str) -> Result<T, String> {
    let target = Target { authority: target.authority.clone(), path: path.to_owned() };
    let (status, body) =
        health::ask(&target, PAGE_TIMEOUT, PAGE_BYTES_MAX).map_err(|error| format!("no answer: {error}"))?;
    match status {
        200 => serde_json::from_str(&body).map_err(|_| format!("{path} is no page of a node")),
        status => Err(format!("{path}: HTTP {status}")),
    }
}

/// As a value in a query: everything but letters and digits by its bytes.
fn encode(text: &str) -> String {
    let byte = |byte: u8| if byte.is_ascii_alphanumeric() { char::from(byte).into() } else { format!("%{byte:02X}") };
    text.bytes().map(byte).collect()
}

/// Tells every so often which addresses a name with a port leads to, until nobody listens any more. While it leads nowhere
/// the nodes that were found stay.
pub(super) async fn discover(news: mpsc::Sender<News>, name: String) {
    loop {
        if let Ok(found) = resolve(name.clone()).await
            && news.send(News::Found(found)).await.is_err()
        {
            return;
        }
        tokio::time::sleep(DISCOVER_EVERY).await;
        if news.is_closed() {
            return;
        }
    }
}

/// The addresses that a name with a port leads to: of a headless service, those of all its pods.
pub(super) async fn resolve(name: String) -> std::io::Result<HashSet<String>> {
    let looked_up = tokio::task::spawn_blocking(move || {
        let found = name.to_socket_addrs()?;
        Ok(found.take(ADDRESSES_MAX).map(|address| address.to_string()).collect())
    });
    looked_up.await.map_err(std::io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_cannot_become_another_parameter() {
        assert_eq!(encode("a b&limit=1/é"), "a%20b%26limit%3D1%2F%C3%A9");
    }

    #[tokio::test]
    async fn a_name_leads_to_addresses_with_its_port() {
        let found = resolve("localhost:7443".to_owned()).await.expect("localhost is known everywhere");
        assert!(found.contains("127.0.0.1:7443") || found.contains("[::1]:7443"), "{found:?}");
        assert!(resolve("no port".to_owned()).await.is_err());
    }
}

//! `/debug/connections`: who is connected, and what each of them costs.
//!
//! Must never show a token or what somebody wrote.

use std::cmp::Reverse;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hubbub_protocol::{Refusal, RoomId, RoomSelector, UserSelector};
use serde_json::{Value, json};

use super::asked::Asked;
use super::rooms;
use crate::link::Link;
use crate::node::Node;

/// What is wanted of which connections.
pub(super) struct Wanted {
    user: Option<UserSelector>,
    address: Option<IpAddr>,
    room: Option<RoomId>,
    sort: Sort,
    limit: usize,
}

/// Which connections come first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Sort {
    /// Those for whom most bytes wait.
    Outbox,
    /// The oldest.
    Age,
    /// Those that most bytes went to and came from.
    Bytes,
}

/// Reads the query.
///
/// # Errors
/// 10003 for a wrong parameter, 30001 for the name of no room.
pub(super) async fn wanted(node: Option<&Arc<Node>>, query: Option<&str>) -> Result<Wanted, Refusal> {
    let mut asked = Asked::of(query)?;
    let user = asked.parsed("user", "the id or the name of a user")?;
    let address = asked.parsed("address", "an IP address")?;
    let room = asked.parsed("room", "the id or the name of a room")?;
    let sort = asked.word("sort", &[("outbox", Sort::Outbox), ("age", Sort::Age), ("bytes", Sort::Bytes)])?;
    let limit = asked.limit()?;
    asked.end()?;
    let room = match (room, node) {
        (Some(RoomSelector::Id(id)), _) => Some(id),
        (Some(name), Some(node)) => Some(rooms::find(node, name).await?),
        (Some(_), None) | (None, _) => None,
    };
    Ok(Wanted { user, address, room, sort, limit })
}

/// The page. Looks at every connection once.
pub(super) fn show(node: &Node, wanted: &Wanted) -> Value {
    let candidates = match wanted.room {
        Some(room) => node.hub.room(room).map(|room| room.links()).unwrap_or_default(),
        None => node.connections.iter().map(|link| Arc::clone(&link)).collect(),
    };
    let mut matching: Vec<(u64, Arc<Link>)> =
        candidates.into_iter().filter(|link| wanted.is(link)).map(|link| (wanted.weight(&link), link)).collect();
    matching.sort_unstable_by_key(|(weight, link)| (Reverse(*weight), link.id));
    // One that became live while the list was made is in it twice.
    matching.dedup_by_key(|(_, link)| link.id);
    let rows: Vec<Value> = matching.iter().take(wanted.limit).map(|(_, link)| row(link)).collect();
    json!({ "count": node.connections.len(), "matching": matching.len(), "connections": rows })
}

/// The page of a node that has not begun.
pub(super) fn nobody() -> Value {
    json!({ "count": 0, "matching": 0, "connections": [] })
}

impl Wanted {
    fn is(&self, link: &Link) -> bool {
        self.address.is_none_or(|address| link.address == address)
            && self.user.as_ref().is_none_or(|wanted| {
                link.user().is_some_and(|user| match wanted {
                    UserSelector::Id(id) => user.id == *id,
                    UserSelector::Name(name) => *user.name == *name.as_str(),
                })
            })
    }

    /// The heaviest come first.
    fn weight(&self, link: &Link) -> u64 {
        match self.sort {
            Sort::Outbox => link.outbox.waiting_bytes() as u64,
            Sort::Age => u64::try_from(link.since.elapsed().as_millis()).unwrap_or(u64::MAX),
            Sort::Bytes => link.received.bytes() + link.outbox.written().bytes,
        }
    }
}

fn row(link: &Link) -> Value {
    let age = link.since.elapsed();
    let written = link.outbox.written();
    let millis = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let last = link.received.last_command();
    json!({
        "id": link.id,
        "user": link.user(),
        "address": link.address,
        "codec": link.codec.subprotocol(),
        "tls": link.outbox.transport().is_tls(),
        "deflate": link.deflate,
        "age_ms": millis(age),
        "expires_at": link.expires_at(),
        "subscriptions": link.subscriptions.load(Ordering::Relaxed),
        "outbox_bytes": link.outbox.waiting_bytes(),
        "closing": link.outbox.is_ending(),
        "commands": link.received.commands(),
        "last_command": last.map(|last| json!({
            "name": last.name,
            "ago_ms": millis(age.saturating_sub(last.after)),
        })),
        "frames_in": link.received.frames(),
        "frames_out": written.frames,
        "bytes_in": link.received.bytes(),
        "bytes_out": written.bytes,
    })
}

//! The clock of all connections: heartbeats and ends of time, by one task and without a timer for each.
//!
//! Must never hold a connection alive: it only has weak references.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use hubbub_protocol::mutation::{self, Mutation};
use hubbub_protocol::{CloseCode, ErrorCode, Refusal, SessionEvent, SessionEventData, Timestamp};
use hubbub_websocket::{Opcode, frame};
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::link::Link;
use crate::outbox::Class;

/// How exact ends of time are; the contract asks for a second.
const TICK: Duration = Duration::from_millis(100);

/// Heartbeats without a sign of life after which a connection is stale.
const MISSED_MAX: u8 = 2;

/// `session.expiring` comes so long before the end of the token.
const EXPIRING_BEFORE: Duration = Duration::from_secs(60);

/// What happens to a connection at a point in time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Due {
    /// A heartbeat; scheduled anew each time, at the distance that the client was told.
    Heartbeat(Duration),
    /// Nobody signed on in time.
    Authentication,
    /// The token ends within a minute.
    Expiring(Timestamp),
    /// The token ends.
    Expired(Timestamp),
}

impl Due {
    /// The place of its entry among those of a connection: one of each kind.
    fn place(self) -> usize {
        match self {
            Self::Heartbeat(_) => 0,
            Self::Authentication => 1,
            Self::Expiring(_) => 2,
            Self::Expired(_) => 3,
        }
    }
}

/// A time, and a number that tells entries of one moment apart.
type Key = (Instant, u64);

/// What is scheduled for one connection, so that it can be taken back when the connection ends.
pub(crate) type Scheduled = Mutex<[Option<Key>; 4]>;

type Entries = BTreeMap<Key, (Weak<Link>, Due)>;

/// The clock.
pub(crate) struct Wheel {
    entries: Mutex<(Entries, u64)>,
}

impl Wheel {
    /// A clock that runs until `stop`.
    #[must_use]
    pub(crate) fn start(stop: CancellationToken) -> Arc<Self> {
        let wheel = Arc::new(Self { entries: Mutex::default() });
        let running = Arc::clone(&wheel);
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(TICK);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            stop.run_until_cancelled(async {
                loop {
                    running.turn(ticks.tick().await);
                }
            })
            .await;
        });
        wheel
    }

    /// Schedules the first heartbeat of a connection (zero: none) and the end of its time to sign on (zero: no end).
    pub(crate) fn connected(&self, link: &Arc<Link>, heartbeat: Duration, authentication_timeout: Option<Duration>) {
        let now = Instant::now();
        if !heartbeat.is_zero() {
            self.schedule(now + heartbeat, link, Due::Heartbeat(heartbeat));
        }
        if let Some(timeout) = authentication_timeout.filter(|timeout| !timeout.is_zero()) {
            self.schedule(now + timeout, link, Due::Authentication);
        }
    }

    /// Schedules the end of a session's token, in place of what was scheduled for a former one.
    pub(crate) fn signed_on(&self, link: &Arc<Link>, expires_at: Timestamp) {
        let now = Instant::now();
        let left = expires_at.since(Timestamp::now());
        self.schedule(now + left.saturating_sub(EXPIRING_BEFORE), link, Due::Expiring(expires_at));
        self.schedule(now + left, link, Due::Expired(expires_at));
    }

    fn schedule(&self, at: Instant, link: &Arc<Link>, due: Due) {
        let mut entries = self.entries.lock();
        entries.1 += 1;
        let key = (at, entries.1);
        entries.0.insert(key, (Arc::downgrade(link), due));
        if let Some(former) = link.scheduled.lock()[due.place()].replace(key) {
            entries.0.remove(&former);
        }
    }

    /// Takes back what is scheduled for a connection that has ended.
    pub(crate) fn forget(&self, link: &Link) {
        let mut entries = self.entries.lock();
        for key in link.scheduled.lock().iter_mut().filter_map(Option::take) {
            entries.0.remove(&key);
        }
    }

    /// How many entries there are, for the debug view.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.entries.lock().0.len()
    }

    fn turn(&self, now: Instant) {
        let due = {
            let mut entries = self.entries.lock();
            let later = entries.0.split_off(&(now, u64::MAX));
            std::mem::replace(&mut entries.0, later)
        };
        for (link, what) in due.into_values() {
            if let Some(link) = link.upgrade()
                && link.outbox.closing().is_none()
            {
                self.act(&link, what, now);
            }
        }
    }

    fn act(&self, link: &Arc<Link>, due: Due, now: Instant) {
        match due {
            Due::Heartbeat(every) => {
                // The count is of heartbeats before this one that nothing answered.
                // Whose command is at work is not read from, so that their silence tells nothing.
                if link.outbox.is_at_work() {
                    link.touch();
                }
                if link.beat() >= MISSED_MAX && !mutation::is(Mutation::NoStale) {
                    link.outbox.close(None, CloseCode::Stale);
                    return;
                }
                link.outbox.push(frame(Opcode::Ping, b""), Class::Paced);
                self.schedule(now + every, link, Due::Heartbeat(every));
            }
            Due::Authentication => {
                if link.expires_at().is_none() {
                    let refusal = Refusal::new(ErrorCode::AuthenticationTimeout);
                    link.close_refused(&refusal, CloseCode::AuthenticationTimeout);
                }
            }
            Due::Expiring(expires_at) => {
                if link.expires_at() == Some(expires_at) {
                    link.push(&SessionEvent::now(SessionEventData::Expiring { expires_at }));
                }
            }
            Due::Expired(expires_at) => {
                if link.expires_at() == Some(expires_at) {
                    link.close_told(CloseCode::TokenExpired, 0);
                }
            }
        }
    }
}

//! What the store tells Prometheus (CONTRACT §7).
//!
//! Must never label by room, user or anything else without a bound.

use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntGauge, Registry};

use crate::error::{StoreError, StoreErrorKind};

/// From a read of one row in memory to the longest that a call may take, in seconds.
const BUCKETS: &[f64] = &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

macro_rules! ops {
    ($($variant:ident = $name:literal),* $(,)?) => {
        /// An operation of the store, as the label `op` names it.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub(crate) enum Op { $($variant),* }

        impl Op {
            const NAMES: &[&str] = &[$($name),*];
        }
    };
}

ops! {
    Append = "append", CreateRoom = "create_room", Batch = "batch", Ping = "ping",
    Heads = "heads", Events = "events", Messages = "messages", FindSent = "find_sent",
    Room = "room", Role = "role", Members = "members", Memberships = "memberships", RoomsOf = "rooms_of",
    CreateUser = "create_user", CreateUsers = "create_users", User = "user", Users = "users",
    UsersNamed = "users_named", PasswordHash = "password_hash", SetUser = "set_user",
    StartLogin = "start_login", Login = "login", EndLogin = "end_login", RotateRefresh = "rotate_refresh",
}

/// The store's metrics, with every labelled child at hand.
pub(crate) struct Metrics {
    pub(crate) up: IntGauge,
    pub(crate) circuit_open: IntGauge,
    pub(crate) appended: IntCounter,
    seconds: Vec<Histogram>,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> Result<Self, StoreError> {
        Self::try_register(registry).map_err(|error| {
            StoreError::new(StoreErrorKind::Internal, "the store's metrics cannot be registered").caused_by(error)
        })
    }

    fn try_register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let up = IntGauge::new("hubbub_store_up", "Whether the database answers")?;
        let circuit_open =
            IntGauge::new("hubbub_store_circuit_open", "Whether calls are refused because the database is dead")?;
        let appended = IntCounter::new("hubbub_messages_appended_total", "Messages committed by this node")?;
        let options = HistogramOpts::new("hubbub_store_seconds", "How long calls to the store take, retries included");
        let seconds = HistogramVec::new(options.buckets(BUCKETS.to_vec()), &["op"])?;
        registry.register(Box::new(up.clone()))?;
        registry.register(Box::new(circuit_open.clone()))?;
        registry.register(Box::new(appended.clone()))?;
        registry.register(Box::new(seconds.clone()))?;
        let children = Op::NAMES.iter().map(|name| seconds.get_metric_with_label_values(&[name]));
        up.set(1);
        Ok(Self { up, circuit_open, appended, seconds: children.collect::<Result<_, _>>()? })
    }

    pub(crate) fn seconds(&self, op: Op) -> &Histogram {
        &self.seconds[op as usize]
    }
}

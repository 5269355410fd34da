//! A node's bus as a case sees it, and waiting without sleeping.

use std::sync::Arc;
use std::time::Duration;

use hubbub_bus::{Bus, BusConfig, Notice};
use hubbub_protocol::event::MessageSent;
use hubbub_protocol::{ClientMsgId, MessageId, RoomEvent, RoomId, Seq, Timestamp, UserId, UserRef};
use tokio::sync::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::redis_topologies::Server;

/// Nothing that is waited for takes this long; it only ends a test that would hang.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A node's bus and what it was told.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) bus: Bus,
    notices: Arc<Mutex<UnboundedReceiver<Notice>>>,
    pub(crate) registry: prometheus::Registry,
}

/// Settings with short times, over this server.
pub(crate) fn config(server: &Server, name: &str) -> BusConfig {
    config_of(name, server.url())
}

/// Settings with short times, over this address.
pub(crate) fn config_of(name: &str, url: impl Into<String>) -> BusConfig {
    BusConfig {
        lease: Duration::from_secs(1),
        unsubscribe_delay: Duration::from_millis(50),
        ..BusConfig::redis(name, url)
    }
}

/// A connection of the test's own.
pub(crate) async fn client(server: &Server) -> redis::aio::MultiplexedConnection {
    redis::Client::open(server.steering_url()).unwrap().get_multiplexed_async_connection().await.unwrap()
}

impl Node {
    pub(crate) async fn open(config: BusConfig) -> Self {
        let registry = prometheus::Registry::new();
        let bus = Bus::open(config, &registry).await.unwrap();
        let (sender, receiver) = unbounded_channel();
        // The test may end before the bus does.
        bus.attach(Arc::new(move |notice| drop(sender.send(notice))));
        Self { bus, notices: Arc::new(Mutex::new(receiver)), registry }
    }

    pub(crate) async fn notice(&self) -> Notice {
        let mut notices = self.notices.lock().await;
        within(notices.recv()).await.expect("the bus has gone")
    }

    /// The next event; `Down` and `Up` are passed over.
    pub(crate) async fn event(&self) -> Arc<RoomEvent> {
        loop {
            if let Notice::Event(event) = self.notice().await {
                return event;
            }
        }
    }

    /// Waits for the notice that the link is lost.
    pub(crate) async fn down(&self) {
        while !matches!(self.notice().await, Notice::Down) {}
    }

    /// Waits for the notice that the link is back.
    pub(crate) async fn up(&self) {
        while !matches!(self.notice().await, Notice::Up) {}
    }

    /// A number from the metrics, summed over its labels.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == name).expect("no such metric");
        let value =
            |metric: &prometheus::proto::Metric| metric.get_counter().get_value() + metric.get_gauge().get_value();
        family.get_metric().iter().map(value).sum()
    }
}

pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("it takes too long")
}

/// Asks again and again until the answer is yes.
pub(crate) async fn eventually<F: Future<Output = bool>>(mut question: impl FnMut() -> F) {
    within(async {
        while !question().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// An event as a node would publish it.
pub(crate) fn event(room: RoomId, seq: Seq) -> Arc<RoomEvent> {
    let data = MessageSent {
        id: MessageId::new(),
        client_msg_id: serde_json::from_value::<ClientMsgId>("c-1".into()).unwrap(),
        body: format!("message {seq} \u{1F44B}"),
    };
    let by = UserRef { id: UserId::new(), name: "ada".into() };
    Arc::new(RoomEvent { room, seq, at: Timestamp::from_millis(1_767_323_045_678), by, data: data.into(), trace: None })
}

//! SIGTERM as CONTRACT §3 says: not ready at once, serving on, then a goodbye that spreads, then exit 0.

use std::collections::BTreeSet;
use std::time::Duration;

use hubbub_protocol::SessionEventData;
use hubbub_testkit::process::Signal;
use hubbub_testkit::wire::{Broken, Socket};
use hubbub_testkit::{Cluster, ClusterConfig};

use crate::caller::Caller;

/// The configured time limit of the drain, and time for a busy machine.
const END: Duration = Duration::from_secs(60);

fn config() -> ClusterConfig {
    let config = ClusterConfig { nodes: 2, ..ClusterConfig::default() };
    config.with("HUBBUB_DRAIN_GRACE", "3s").with("HUBBUB_DRAIN_SPREAD", "3s").with("HUBBUB_DRAIN_TIMEOUT", "20s")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_says_goodbye_and_what_was_committed_is_acked() {
    const CLIENTS: usize = 6;
    let mut cluster = Cluster::start(config()).await.expect("cluster");
    let room = cluster.create_room("lobby").await.expect("room");
    let mut callers = Vec::new();
    for _ in 0..CLIENTS {
        callers.push(Caller::open(&cluster, 0, 0).await.expect("connection"));
    }
    let node = &mut cluster.members[0].node;
    let (port, ops_port) = (node.port, node.ops_port);
    node.signal(Signal::Terminate);
    let not_ready =
        async || hubbub_testkit::http::get(ops_port, "/readyz").await.is_ok_and(|answer| answer.status == 503);
    node.wait_until("draining", not_ready).await.expect("not ready");
    // The balancer needs a moment to notice; until then the node serves on.
    let mut acked = Vec::new();
    for (number, caller) in callers.iter_mut().enumerate() {
        acked.push(caller.send(room, &format!("m{number}")).await.expect("acked while draining"));
    }
    let goodbyes = futures_util::future::join_all(callers.iter_mut().map(|caller| async move {
        caller.drain().await;
        let closing = caller.session.iter().find_map(|event| match event {
            SessionEventData::Closing { reason, retry_after_ms } => Some((reason.clone(), *retry_after_ms)),
            _ => None,
        });
        (caller.closed, closing)
    }));
    let mut waits = BTreeSet::new();
    for (code, closing) in goodbyes.await {
        let (reason, retry_after_ms) = closing.expect("session.closing comes first");
        assert_eq!((code, reason.as_str()), (Some(1012), "restart"));
        waits.insert(retry_after_ms);
    }
    assert!(waits.len() > 1, "all are told to come back at once: {waits:?}");
    let refused = Socket::open(port, &cluster.users[0].token).await.map(drop).expect_err("no new sockets");
    assert!(matches!(refused, Broken::Lost(_) | Broken::Refused { status: 503, .. }), "{refused}");
    let status = cluster.members[0].node.wait_ended(END).await.expect("it ends");
    assert_eq!(status.code(), Some(0), "{}", cluster.members[0].node.log_text());
    let log = cluster.client(0, 1).await.expect("client").events(room, 0, None).await.expect("log");
    for sent in acked {
        assert!(log.events.iter().any(|event| event.seq == sent.seq), "seq {} is gone", sent.seq);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_a_node_at_once() {
    let mut cluster = Cluster::start(ClusterConfig { nodes: 1, ..config() }).await.expect("cluster");
    let _caller = Caller::open(&cluster, 0, 0).await.expect("connection");
    let node = &mut cluster.members[0].node;
    let ops_port = node.ops_port;
    node.signal(Signal::Terminate);
    let draining =
        async || hubbub_testkit::http::get(ops_port, "/readyz").await.is_ok_and(|answer| answer.status == 503);
    node.wait_until("draining", draining).await.expect("draining");
    node.signal(Signal::Terminate);
    let status = node.wait_ended(END).await.expect("it ends");
    assert_eq!(status.code(), Some(1));
}

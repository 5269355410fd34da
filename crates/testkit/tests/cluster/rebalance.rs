//! A node that joins gets its share of people who are already connected, and nobody misses a message for it.

use std::time::Duration;

use hubbub_client::{Client, FollowFrom};
use hubbub_testkit::{Cluster, ClusterConfig, http};
use tokio::time::Instant;

use crate::caller::messages;

/// Enough to be well above the tolerance, few enough to be moved in a few seconds.
const CLIENTS: usize = 60;

/// Most that a node may keep of them: 5 % and 10 above its half.
const MOST: f64 = 41.5;

/// Waiting, a trial and the move; and time for a busy machine.
const LIMIT: Duration = Duration::from_secs(120);

async fn connections(cluster: &Cluster, node: usize) -> f64 {
    let text = cluster.members[node].node.metrics().await.unwrap_or_default();
    http::sum(&http::samples(&text), "hubbub_connections")
}

async fn moved(cluster: &Cluster) -> f64 {
    let mut sum = 0.0;
    for member in &cluster.members {
        sum +=
            http::sum(&http::samples(&member.node.metrics().await.expect("metrics")), "hubbub_rebalance_closes_total");
    }
    sum
}

async fn until(what: &str, cluster: &Cluster, holds: impl AsyncFn(&Cluster) -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !holds(cluster).await {
        let counts = (connections(cluster, 0).await, connections(cluster, 1).await);
        assert!(Instant::now() < deadline, "{what}: {counts:?} after {LIMIT:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_joins_gets_its_share_and_nobody_misses_a_message() {
    let config = ClusterConfig { nodes: 2, users: 1, balancer: true, ..ClusterConfig::default() }.unlimited();
    let mut cluster = Cluster::start(config).await.expect("cluster");
    let room = cluster.create_room("lobby").await.expect("room");
    cluster.members[1].node.kill();
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let client = Client::connect(cluster.client_config(0, vec![cluster.balancer_url()])).await.expect("client");
        let stream = client.follow(room, FollowFrom::Now).await.expect("a stream");
        clients.push((client, stream));
    }
    until("all on one node", &cluster, async |cluster| connections(cluster, 0).await >= CLIENTS as f64).await;
    cluster.members[1].node.start().await.expect("the second node");
    let even = async |cluster: &Cluster| {
        let counts = [connections(cluster, 0).await, connections(cluster, 1).await];
        counts.iter().all(|count| *count <= MOST) && counts.iter().sum::<f64>() >= CLIENTS as f64
    };
    let mut sent = 0;
    let deadline = Instant::now() + LIMIT;
    while !even(&cluster).await {
        clients[0].0.send(room, &format!("message {sent}")).await.expect("acked");
        sent += 1;
        assert!(Instant::now() < deadline, "not even: {}", connections(&cluster, 0).await);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(sent > 0, "they were on one node at first");
    for (_, stream) in &mut clients {
        let bodies: Vec<String> = messages(stream, sent).await.into_iter().map(|(_, body)| body).collect();
        let expected: Vec<String> = (0..sent).map(|number| format!("message {number}")).collect();
        assert_eq!(bodies, expected);
    }
    let moves = moved(&cluster).await;
    assert!((20.0..=45.0).contains(&moves), "{moves} closes to move 30");
}

//! Redis and PostgreSQL absent at the start, and gone later.

use std::time::Duration;

use hubbub_client::FollowFrom;
use hubbub_protocol::ErrorCode;
use hubbub_testkit::http::Answer;
use hubbub_testkit::servers::postgres::Shutdown;
use hubbub_testkit::{Cluster, ClusterConfig};

use crate::caller::{Caller, messages};

fn is_degraded(answer: &Answer) -> bool {
    let body: serde_json::Value = serde_json::from_str(&answer.body).expect("JSON");
    body["degraded"].as_array().is_some_and(|degraded| degraded.iter().any(|name| name == "redis"))
}

async fn cross(cluster: &Cluster, room: hubbub_protocol::RoomId, text: &str) {
    let reader = cluster.client(0, 0).await.expect("client");
    let mut stream = reader.follow(room, FollowFrom::Now).await.expect("followed");
    let sent = cluster.client(1, 1).await.expect("client").send(room, text).await.expect("acked");
    assert_eq!(messages(&mut stream, 1).await, [(sent.seq, text.to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_at_the_start_a_node_serves_degraded_and_heals() {
    let config = ClusterConfig { nodes: 2, ..ClusterConfig::default() };
    let mut cluster = Cluster::prepare(config).expect("cluster");
    cluster.postgres.start().await.expect("postgres");
    cluster.add_users().expect("users");
    cluster.start_nodes().await.expect("nodes");
    for member in &cluster.members {
        let answer = member.node.ready().await.expect("answer");
        assert_eq!(answer.status, 200);
        assert!(is_degraded(&answer), "{}", answer.body);
    }
    let room = cluster.create_room("lobby").await.expect("room");
    cross(&cluster, room, "without Redis").await;
    cluster.redis.start().await.expect("redis");
    for member in &mut cluster.members {
        let port = member.node.ops_port;
        let healed = async || {
            let answer = hubbub_testkit::http::get(port, "/readyz").await;
            answer.is_ok_and(|answer| answer.status == 200 && !is_degraded(&answer))
        };
        member.node.wait_until("healed", healed).await.expect("healed");
    }
    cross(&cluster, room, "with Redis").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_postgres_at_the_start_a_node_waits_and_becomes_ready() {
    let config = ClusterConfig { nodes: 2, ..ClusterConfig::default() };
    let mut cluster = Cluster::prepare(config).expect("cluster");
    cluster.redis.start().await.expect("redis");
    // The database is made beforehand: it is its server that is late.
    cluster.postgres.start().await.expect("postgres");
    cluster.postgres.stop(Shutdown::Fast).await.expect("stopped");
    for member in &mut cluster.members {
        member.node.launch().expect("launched");
        let port = member.node.ops_port;
        let waits = async || hubbub_testkit::http::get(port, "/readyz").await.is_ok_and(|answer| answer.status == 503);
        member.node.wait_until("waiting for its database", waits).await.expect("waiting");
    }
    cluster.postgres.start().await.expect("postgres");
    cluster.start_nodes().await.expect("ready");
    cluster.add_users().expect("users");
    let room = cluster.create_room("lobby").await.expect("room");
    cross(&cluster, room, "at last").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_postgres_is_gone_writes_are_refused_as_retryable() {
    let config = ClusterConfig { nodes: 1, ..ClusterConfig::default() }.unlimited();
    let cluster = Cluster::start(config).await.expect("cluster");
    let room = cluster.create_room("lobby").await.expect("room");
    let mut caller = Caller::open(&cluster, 0, 0).await.expect("connection");
    let first = caller.send(room, "before").await.expect("acked");
    cluster.members[0].postgres_link.cut();
    let refused = caller.send(room, "during").await.expect_err("refused");
    assert_eq!((refused.code, refused.retry), (ErrorCode::Unavailable.code(), true));
    cluster.members[0].postgres_link.heal();
    let again = loop {
        match caller.send(room, "during").await {
            Ok(sent) => break sent,
            Err(refused) => {
                assert!(refused.retry, "{refused:?}");
                tokio::time::sleep(Duration::from_millis(refused.retry_after_ms.unwrap_or(50))).await;
            }
        }
    };
    assert_eq!(again.seq, first.seq + 1);
}

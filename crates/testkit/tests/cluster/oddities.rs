//! Clusters that somebody set up wrongly: one name twice, a clock that is off.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use hubbub_client::FollowFrom;
use hubbub_protocol::Timestamp;
use hubbub_testkit::{Cluster, ClusterConfig};

use crate::caller::{Caller, messages};

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_of_one_name_both_work() {
    let config = ClusterConfig { nodes: 2, ..ClusterConfig::default() }.with("HUBBUB_NODE_NAME", "twin");
    let cluster = Cluster::start(config).await.expect("cluster");
    let room = cluster.create_room("lobby").await.expect("room");
    let mut clients = Vec::new();
    let mut streams = Vec::new();
    for node in 0..2 {
        let client = cluster.client(node, node).await.expect("client");
        assert_eq!(client.session().expect("ready").node, "twin");
        streams.push(client.follow(room, FollowFrom::Now).await.expect("followed"));
        clients.push(client);
    }
    let mut sent = Vec::new();
    for (number, client) in clients.iter().chain(&clients).enumerate() {
        let text = format!("m{number}");
        sent.push((client.send(room, text.clone()).await.expect("acked").seq, text));
    }
    for stream in &mut streams {
        assert_eq!(messages(stream, sent.len()).await, sent);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_ten_minutes_off_changes_no_order() {
    const OFF: Duration = Duration::from_secs(600);
    let folder = tempfile::tempdir().expect("folder");
    let library = folder.path().join("clock.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/clock.c");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source);
    compiler.arg(format!("-DCLOCK_OFFSET={}", OFF.as_secs())).arg("-ldl");
    assert!(compiler.status().expect("cc is needed (Debian: apt-get install gcc)").success());

    let mut cluster = Cluster::prepare(ClusterConfig::default()).expect("cluster");
    cluster.redis.start().await.expect("redis");
    cluster.postgres.start().await.expect("postgres");
    cluster.add_users().expect("users");
    cluster.members[1].node.set("LD_PRELOAD", library.display().to_string());
    cluster.start_nodes().await.expect("nodes");
    let room = cluster.create_room("lobby").await.expect("room");
    let (mut clients, mut streams, mut callers) = (Vec::new(), Vec::new(), Vec::new());
    for node in 0..3 {
        let client = cluster.client(node, node).await.expect("client");
        streams.push(client.follow(room, FollowFrom::Now).await.expect("followed"));
        callers.push(Caller::open(&cluster, node, node).await.expect("connection"));
        clients.push(client);
    }
    let mut sent = Vec::new();
    for number in 0..12 {
        let text = format!("m{number}");
        let ack = callers[number % 3].send(room, &text).await.expect("acked");
        let ahead = ack.at.since(Timestamp::now());
        assert_eq!(ahead > OFF / 2, number % 3 == 1, "the clock of node {} is {ahead:?} ahead", number % 3);
        sent.push((ack.seq, text));
    }
    assert!(sent.windows(2).all(|two| two[0].0 + 1 == two[1].0), "{sent:?}");
    for stream in &mut streams {
        assert_eq!(messages(stream, sent.len()).await, sent);
    }
}

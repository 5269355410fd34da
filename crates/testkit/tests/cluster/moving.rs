//! A node alone grows into a cluster: its SQLite file is moved to PostgreSQL while its people wait for a moment.

use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use hubbub_client::{Backoff, Client, ClientConfig, Credentials, FollowFrom, Tls, UrlOrder};
use hubbub_protocol::RoomKind;
use hubbub_testkit::process::Signal;
use hubbub_testkit::servers::Node;
use hubbub_testkit::{Cluster, ClusterConfig};

use crate::caller::messages;

const SECRET: &str = "a secret of before and after the move, long enough";

/// Runs a command of the node's binary and answers what it printed.
fn run(node: &Node, arguments: &[&str]) -> String {
    let mut command = node.command(arguments);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    // Only the making of a user reads it; the others may have ended already.
    child.stdin.take().expect("its input is ours").write_all(b"a password of tests\n").ok();
    let output = child.wait_with_output().expect("ends");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_resumes_across_the_move_from_sqlite_to_a_cluster() {
    let folder = tempfile::tempdir().expect("a folder");
    let database = format!("sqlite://{}/hubbub.db", folder.path().display());
    let settings =
        [("DATABASE_URL", &*database), ("AUTH_TOKEN_SECRET", SECRET), ("TLS_MODE", "off"), ("DRAIN_GRACE", "0s")];
    let settings = settings.map(|(name, value)| (format!("HUBBUB_{name}"), value.to_owned()));
    let mut alone = Node::new("alone", folder.path(), &settings).expect("node");
    run(&alone, &["user", "add", "ada", "--password-stdin"]);
    let token = run(&alone, &["token", "mint", "--user", "ada", "--ttl", "1h"]);
    alone.start().await.expect("a node alone");

    let config = ClusterConfig { nodes: 2, users: 0, ..ClusterConfig::default() };
    let mut cluster = Cluster::prepare(config.with("HUBBUB_AUTH_TOKEN_SECRET", SECRET)).expect("cluster");
    let addresses = vec![format!("ws://localhost:{}", alone.port), cluster.url(0), cluster.url(1)];
    let client = Client::connect(ClientConfig {
        urls: addresses,
        order: UrlOrder::InTurn,
        tls: Tls::Insecure,
        backoff: Backoff { base: Duration::from_millis(50), cap: Duration::from_millis(500) },
        ..ClientConfig::new(String::new(), Credentials::Token(token))
    })
    .await
    .expect("client");
    let room = client.create_room("lobby", RoomKind::Public, &[]).await.expect("room").id;
    let mut stream = client.follow(room, FollowFrom::Now).await.expect("followed");
    let mut sent = Vec::new();
    let mut say = async |text: String| {
        let seq = client.send(room, text.clone()).await.expect("acked").seq;
        sent.push((seq, text));
        sent.len()
    };
    for number in 0..40 {
        say(format!("before {number}")).await;
    }
    alone.signal(Signal::Terminate);
    assert!(alone.wait_ended(Duration::from_secs(60)).await.expect("ends").success());

    cluster.redis.start().await.expect("redis");
    cluster.postgres.start().await.expect("postgres");
    let target = format!("postgres://hubbub@127.0.0.1:{}/hubbub", cluster.postgres.port);
    run(&alone, &["move", "--from", &database, "--to", &target]);
    cluster.start_nodes().await.expect("nodes");
    for number in 0..40 {
        say(format!("after {number}")).await;
    }
    // One stream, each once, in order, and nothing told to start anew.
    assert_eq!(messages(&mut stream, 80).await, sent);
    assert_eq!(sent.last().expect("sent").0, 81, "the seqs went on");
}

//! TLS: the server is checked against the roots of the system, or against a file.
//!
//! The system's roots come from the environment, which a test must not change for the others: each case runs in a process of
//! its own, this same binary again.

use std::path::Path;
use std::process::Command;

use hubbub_bus::{BusConfig, RateClass};
use hubbub_protocol::{RoomId, UserId};

use crate::harness::{Node, config_of, event};
use crate::redis_topologies::{Cluster, Sentinels, Server};

/// Tells the inner case where the server is.
const URL: &str = "HUBBUB_TEST_REDISS_URL";

fn run_inner(case: &str, url: &str, roots: &Path) -> bool {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", case, "--ignored"])
        .env(URL, url)
        .env("SSL_CERT_FILE", roots)
        .env_remove("SSL_CERT_DIR")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.contains("running 1 test"), "{told}");
    output.status.success()
}

#[test]
fn a_trusted_server_is_used_and_a_strange_one_is_not() {
    let server = Server::start_tls();
    let stranger = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let strange_roots = server.folder().join("strange.pem");
    std::fs::write(&strange_roots, stranger.cert.pem()).unwrap();
    let url = server.url();
    assert!(url.starts_with("rediss://"));
    assert!(run_inner("tls::inner_trusted", &url, &server.certificate()));
    assert!(run_inner("tls::inner_strange", &url, &strange_roots));
}

#[tokio::test]
async fn a_private_authority_is_trusted_by_its_file() {
    let (server, stranger) = (Server::start_tls(), Server::start_tls());
    let with = |ca_file| BusConfig { ca_file: Some(ca_file), ..BusConfig::redis("tls", server.url()) };
    let node = Node::open(with(server.certificate())).await;
    assert!(node.bus.is_up());
    assert!(!Node::open(with(stranger.certificate())).await.bus.is_up(), "a strange authority is trusted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinel_and_cluster_are_used_over_tls() {
    let (mut set, cluster) = (Sentinels::start_tls(), Cluster::start_tls(0));
    let sets = [(set.url(), set.servers[0].certificate()), (cluster.url(), cluster.nodes[0].certificate())];
    let mut nodes = Vec::new();
    for (url, certificate) in sets {
        assert!(url.starts_with("rediss+"));
        let node = Node::open(BusConfig { ca_file: Some(certificate), ..config_of("tls", url.clone()) }).await;
        assert!(node.bus.is_up(), "{url}");
        assert!(!Node::open(config_of("strange", url.clone())).await.bus.is_up(), "{url}: nobody asks who it is");
        for _ in 0..20 {
            node.bus.subscribe(RoomId::new()).await.unwrap();
            assert!(node.bus.take(RateClass::Sends, UserId::new(), 30).await.limit == 30);
        }
        nodes.push(node);
    }
    set.kill_master();
    nodes[0].down().await;
    nodes[0].up().await;
}

#[tokio::test]
#[ignore = "run by a_trusted_server_is_used_and_a_strange_one_is_not"]
async fn inner_trusted() {
    let node = Node::open(BusConfig::redis("tls", std::env::var(URL).unwrap())).await;
    assert!(node.bus.is_up());
    let room = RoomId::new();
    node.bus.subscribe(room).await.unwrap();
    node.bus.publish(&[event(room, 1)]);
    assert_eq!(node.event().await.seq, 1);
    assert!(node.bus.take(RateClass::Sends, UserId::new(), 30).await.allowed);
}

#[tokio::test]
#[ignore = "run by a_trusted_server_is_used_and_a_strange_one_is_not"]
async fn inner_strange() {
    let node = Node::open(BusConfig::redis("tls", std::env::var(URL).unwrap())).await;
    assert!(!node.bus.is_up());
}

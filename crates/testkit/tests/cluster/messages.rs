//! A message crosses nodes, and survives the death of one.

use hubbub_client::{Client, FollowFrom, State, UrlOrder};
use hubbub_testkit::{Cluster, ClusterConfig};

use crate::caller::messages;

#[tokio::test(flavor = "multi_thread")]
async fn all_see_all_on_three_nodes_and_through_the_balancer() {
    let config = ClusterConfig { balancer: true, tls: true, ..ClusterConfig::default() };
    let cluster = Cluster::start(config).await.expect("cluster");
    let room = cluster.create_room("lobby").await.expect("room");
    let mut clients = Vec::new();
    for node in 0..3 {
        clients.push(cluster.client(node, node).await.expect("client"));
    }
    let balanced = cluster.client_config(0, vec![cluster.balancer_url()]);
    clients.push(Client::connect(balanced).await.expect("client"));
    let mut streams = Vec::new();
    for client in &clients {
        streams.push(client.follow(room, FollowFrom::Now).await.expect("followed"));
    }
    let mut sent = Vec::new();
    for (index, client) in clients.iter().enumerate() {
        let text = format!("hello from {index}");
        sent.push((client.send("lobby", text.clone()).await.expect("acked").seq, text));
    }
    for stream in &mut streams {
        assert_eq!(messages(stream, sent.len()).await, sent);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_a_killed_node_is_back_on_another_with_nothing_missing() {
    let mut cluster = Cluster::start(ClusterConfig::default()).await.expect("cluster");
    let room = cluster.create_room("lobby").await.expect("room");
    let mut config = cluster.client_config(0, vec![cluster.url(0), cluster.url(1)]);
    config.order = UrlOrder::InTurn;
    let reader = Client::connect(config).await.expect("client");
    let mut stream = reader.follow(room, FollowFrom::Now).await.expect("followed");
    let writer = cluster.client(1, 2).await.expect("client");
    let mut sent = Vec::new();
    for number in 0..30 {
        if number == 10 {
            cluster.members[0].node.kill();
        }
        let text = format!("message {number}");
        sent.push((writer.send(room, text.clone()).await.expect("acked").seq, text));
    }
    assert_eq!(messages(&mut stream, sent.len()).await, sent);
    let mut state = reader.state();
    let online = state.wait_for(State::is_online).await.expect("state").clone();
    assert_eq!(online, State::Online { node: "node-1".to_owned() });
    // A killed node comes back and serves.
    cluster.members[0].node.start().await.expect("started again");
    let back = cluster.client(2, 0).await.expect("client");
    let mut stream = back.follow(room, FollowFrom::Last(30)).await.expect("followed");
    assert_eq!(messages(&mut stream, sent.len()).await, sent);
}

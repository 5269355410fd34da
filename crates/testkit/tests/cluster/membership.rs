//! Rooms and members are the same on every node, at once.

use hubbub_client::{ClientError, FollowFrom};
use hubbub_protocol::{ErrorCode, RoomKind};
use hubbub_testkit::{Cluster, ClusterConfig};

use crate::caller::{Caller, messages};

fn refused_with<T: std::fmt::Debug>(result: Result<T, ClientError>, code: ErrorCode) {
    assert_eq!(result.expect_err("refused").code(), Some(code.code()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_room_is_there_for_its_people_alone_on_every_node() {
    let cluster = Cluster::start(ClusterConfig::default()).await.expect("cluster");
    let owner = cluster.client(0, 0).await.expect("client");
    let room = owner.create_room("den", RoomKind::Private, &["user1"]).await.expect("room");
    for node in 0..3 {
        let member = cluster.client(1, node).await.expect("client");
        assert_eq!(member.show(room.id).await.expect("seen").members, 2);
        let stranger = cluster.client(2, node).await.expect("client");
        refused_with(stranger.show(room.id).await, ErrorCode::RoomNotFound);
        refused_with(stranger.join(room.id).await, ErrorCode::RoomNotFound);
        refused_with(stranger.follow("den", FollowFrom::Now).await, ErrorCode::RoomNotFound);
        refused_with(stranger.send("den", "let me in").await, ErrorCode::RoomNotFound);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn joining_and_leaving_on_one_node_counts_on_the_others_at_once() {
    let cluster = Cluster::start(ClusterConfig::default()).await.expect("cluster");
    let owner = cluster.client(0, 0).await.expect("client");
    let room = owner.create_room("square", RoomKind::Public, &[]).await.expect("room").id;
    let mut watched = owner.follow(room, FollowFrom::Now).await.expect("followed");
    let (here, there) = (cluster.client(1, 1).await.expect("client"), cluster.client(1, 2).await.expect("client"));
    refused_with(there.send(room, "too early").await, ErrorCode::NotAMember);
    here.join(room).await.expect("joined");
    there.send(room, "inside").await.expect("acked");
    let mut other = Caller::open(&cluster, 1, 2).await.expect("connection");
    other.follow(room).await.expect("followed");
    here.leave(room).await.expect("left");
    refused_with(there.send(room, "too late").await, ErrorCode::NotAMember);
    owner.send(room, "among ourselves").await.expect("acked");
    let heard: Vec<String> = messages(&mut watched, 2).await.into_iter().map(|(_, body)| body).collect();
    assert_eq!(heard, ["inside", "among ourselves"]);
    // Who left hears of it at most, and nothing behind it.
    let refused = other.follow(room).await.expect_err("no member any more");
    assert_eq!(refused.code, ErrorCode::NotAMember.code());
    let last = other.events.iter().map(|event| event.data.name().to_owned()).collect::<Vec<_>>();
    assert!(!last.contains(&"message.sent".to_owned()), "{last:?}");
}

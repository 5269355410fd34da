//! Another history under a hub: whoever follows a room is sent back, however far they have come, and rooms begin anew.

use std::time::Duration;

use hubbub_gateway::hub::From;
use hubbub_store::Store;

use crate::fixture::{Client, Frame, Node, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_and_replaying_subscribers_are_sent_back_and_the_room_begins_at_the_new_head() {
    let node = Node::start(Duration::ZERO).await;
    let (room, other) = (node.make_room(&[]).await, node.make_room(&[]).await);
    let last = node.send_many(&node.store, room, 400, 400).await;
    let mut live = Client::open().await;
    node.subscribe(&live, room, From::Now).await;
    // A reader that takes little and has much to come.
    let mut replaying = Client::with(Some(4_096), 0).await;
    node.subscribe(&replaying, room, From::After(0)).await;
    let mut elsewhere = Client::open().await;
    node.subscribe(&elsewhere, other, From::Now).await;

    node.store.take_back(room, last - 100).await.unwrap();
    let epoch = Store::renew_epoch(&node.database).await.unwrap();
    for client in [&mut live, &mut replaying, &mut elsewhere] {
        let mut told = None;
        let code = loop {
            match client.frame().await {
                Frame::Text(text) => told = Some(String::from_utf8(text).unwrap()),
                Frame::Close(code) => break code,
                Frame::End => panic!("no close frame"),
            }
        };
        assert_eq!(code, 4002);
        assert!(told.is_some_and(|told| told.contains("session.closing")), "said before the close");
    }
    until("the rooms are dropped", || node.hub.room(room).is_none() && node.hub.room(other).is_none()).await;

    let mut back = Client::open().await;
    let reply = node.subscribe(&back, room, From::Foreign).await.reply;
    assert_eq!((reply.head, reply.reset, reply.epoch), (last - 100, true, epoch));
    // By the bus, and behind its back.
    assert_eq!(node.send(&node.store, room, 1).await, last - 99);
    node.send(&node.silent, room, 1).await;
    back.follow(last - 100, last - 98).await;
    back.expect_silence().await;
}

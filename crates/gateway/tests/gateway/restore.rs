//! A database that is restored while nodes run on it: whoever follows a room is told to come back, and starts fresh.

use hubbub_store::Store;
use serde_json::json;

use crate::fixture::Node;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_go_on_after_a_restore_under_a_running_node() {
    let node = Node::plain().await;
    let (ada, bob) = (node.user("ada").await, node.user("bob").await);
    let (mut one, mut two) = (node.client(&ada).await, node.client(&bob).await);
    let room = one.room("lobby", "public", &["bob"]).await;
    for client in [&mut one, &mut two] {
        client.ok("room.subscribe", json!({ "room": "lobby" })).await;
    }
    for at in 0..9 {
        one.say("lobby", &format!("before {at}")).await;
    }
    assert_eq!(two.seqs(9).await.last(), Some(&10));
    let mut onlooker = node.client(&ada).await;
    let before = node.store.epoch();

    // The backup was made at seq 4; this is what a restore leaves behind.
    node.store.take_back(room.parse().unwrap(), 4).await.unwrap();
    let epoch = Store::renew_epoch(&node.database()).await.unwrap();
    assert_ne!(epoch, before);

    for client in [&mut one, &mut two] {
        let (said, code) = client.farewell().await;
        assert_eq!(code, 4002);
        let told = said.last().unwrap();
        assert_eq!((&told["ev"], &told["data"]["reason"]), (&json!("session.closing"), &json!("rebalance")));
    }
    // Who follows nothing is left in peace.
    assert_eq!(onlooker.say("lobby", "a new seq 5").await, 5);
    let mut back = Vec::new();
    for user in [&ada, &bob] {
        let mut client = node.handshake().token(&user.token).open().await;
        assert_eq!(client.event().await["data"]["epoch"], json!(epoch));
        let resumed = client.ok("session.resume", json!({ "epoch": before, "rooms": { "lobby": 10 } })).await;
        let lobby = &resumed["rooms"]["lobby"];
        assert_eq!((&lobby["reset"], &lobby["head"], &lobby["replayed"]), (&json!(true), &json!(5), &json!(0)));
        assert_eq!(lobby["epoch"], json!(epoch));
        back.push(client);
    }
    back[0].say("lobby", "a new seq 6").await;
    for client in &mut back {
        assert_eq!(client.event().await["seq"], 6);
    }
    // Each room is subscribed once, as before.
    assert_eq!(node.metric("hubbub_bus_rooms").await, 1.0);
}

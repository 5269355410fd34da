//! Replays: from any cursor, at any speed of the reader, while live events come.

use std::time::Duration;

use hubbub_chat::Limits;
use hubbub_gateway::hub::From;
use hubbub_protocol::Seq;
use hubbub_protocol::reply::Gap;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::fixture::{Client, Node, until};

/// Small enough that a page of large messages does not fit the kernel.
const BUFFER_BYTES: u32 = 4 << 10;

#[derive(Clone, Debug)]
struct Case {
    /// Messages before anybody follows the room, and then before the reader does: the ring has only the latter.
    before: u64,
    in_ring: u64,
    cursor: Seq,
    chars: usize,
    /// Messages that come after the reply, so many between two reads of so many frames.
    live: u64,
    burst: u64,
    reads: u64,
    tick_ms: u64,
}

fn cases() -> impl Strategy<Value = Case> {
    let sizes = (0..350u64, 0..300u64, prop_oneof![Just(1usize), Just(300), Just(2_000)]);
    let speeds = (0..60u64, 1..20u64, 0..80u64, prop_oneof![Just(0u64), Just(5)]);
    (sizes, speeds, 0.0..=1.0).prop_map(|((before, in_ring, chars), (live, burst, reads, tick_ms), place)| {
        let head = 1 + before + in_ring;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let cursor = (head as f64 * place) as u64;
        Case { before, in_ring, cursor, chars, live, burst, reads, tick_ms }
    })
}

async fn replayed_then_live(nodes: &[Node; 2], case: Case) {
    let node = &nodes[usize::from(case.tick_ms != 0)];
    let room = node.make_room(&[]).await;
    node.send_many(&node.store, room, case.before, case.chars).await;
    let mut witness = Client::open().await;
    let start = node.subscribe(&witness, room, From::Now).await.reply.head;
    assert_eq!(start, 1 + case.before);
    node.send_many(&node.store, room, case.in_ring, case.chars).await;
    let head = start + case.in_ring;
    node.reached(room, head).await;

    let mut client = Client::with(Some(BUFFER_BYTES), 0).await;
    let subscription = node.subscribe(&client, room, From::After(case.cursor)).await;
    assert_eq!((subscription.reply.head, subscription.reply.replayed), (head, head - case.cursor));
    let (mut read, mut sent) = (case.cursor, 0);
    while sent < case.live {
        let burst = case.burst.min(case.live - sent);
        node.send_many(&node.store, room, burst, case.chars).await;
        sent += burst;
        let until = (read + case.reads).min(head + sent);
        client.follow(read, until).await;
        read = until;
    }
    client.follow(read, head + sent).await;
    witness.follow(start, head + sent).await;
    assert!(node.room(room).unsubscribe(subscription.id, &client.link));
    let last = node.send(&node.store, room, 1).await;
    witness.follow(last - 1, last).await;
    client.expect_silence().await;
}

#[test]
fn a_replay_and_the_live_events_behind_it_come_in_order_each_once() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let nodes = runtime.block_on(async {
        let limits = Limits { replay_events_max: 0, ..Limits::default() };
        let joined = Node::with(Duration::from_millis(5), limits.clone()).await;
        [Node::with(Duration::ZERO, limits).await, joined]
    });
    let mut runner = TestRunner::new(Config { cases: 32, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&cases(), |case| {
        runtime.block_on(replayed_then_live(&nodes, case));
        Ok(())
    });
    outcome.unwrap();
    drop(runtime.enter());
    drop(nodes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_far_behind_is_a_gap() {
    let node = Node::with(Duration::ZERO, Limits { replay_events_max: 10, ..Limits::default() }).await;
    let room = node.make_room(&[]).await;
    let head = node.send_many(&node.store, room, 29, 1).await;
    let mut client = Client::open().await;
    let reply = node.subscribe(&client, room, From::After(3)).await.reply;
    assert_eq!((reply.head, reply.replayed, reply.gap), (head, 10, Some(Gap { from: 4, to: head - 10 })));
    client.follow(head - 10, head).await;
    client.expect_silence().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_resumes_many_rooms_and_reads_none_has_little_in_memory() {
    let node = Node::start(Duration::ZERO).await;
    let client = Client::with(Some(BUFFER_BYTES), 0).await;
    let mut rooms = Vec::new();
    for _ in 0..40 {
        let room = node.make_room(&[]).await;
        node.send_many(&node.store, room, 20, 2_000).await;
        rooms.push(room);
    }
    for room in &rooms {
        node.subscribe(&client, *room, From::After(0)).await;
    }
    until("a full outbox", || client.link.outbox.is_congested()).await;
    // All of them together are 1.6 MB; two parts are about 80 KB.
    let most = hubbub_gateway::outbox::PACED_BYTES_HIGH + 50_000;
    for _ in 0..200 {
        tokio::task::yield_now().await;
        assert!(client.link.outbox.waiting_bytes() < most, "{} bytes wait", client.link.outbox.waiting_bytes());
    }
    let mut client = client;
    let mut next = std::collections::HashMap::new();
    for _ in 0..rooms.len() * 21 {
        let event = client.event().await;
        let seq = next.entry(event["room"].as_str().unwrap().to_owned()).or_insert(1);
        assert_eq!(event["seq"], *seq, "each room in order, each event once");
        *seq += 1;
    }
    client.expect_silence().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_goes_away_in_the_middle_of_a_replay_leaves_nothing_behind() {
    let node = Node::start(Duration::ZERO).await;
    let room = node.make_room(&[]).await;
    node.send_many(&node.store, room, 300, 2_000).await;
    let client = Client::with(Some(BUFFER_BYTES), 0).await;
    let subscription = node.subscribe(&client, room, From::After(0)).await;
    until("a full outbox", || client.link.outbox.is_congested()).await;
    let (link, held) = (std::sync::Arc::downgrade(&client.link), node.room(room));
    held.abandon(subscription.id, &client.link);
    drop(client);
    until("the end of everything that holds the connection", || link.strong_count() == 0).await;
    assert!(held.is_idle());
}

//! Slow readers: nobody waits for them, and what they get is whole.

use std::sync::Arc;
use std::time::Duration;

use hubbub_gateway::connection::{Connection, Handler, Message, Sorted};
use hubbub_gateway::hub::From;
use hubbub_gateway::link::Link;
use hubbub_gateway::outbox::{Class, Closing, Pushed};
use hubbub_protocol::CloseCode;
use hubbub_websocket::ParserConfig;

use crate::fixture::{Client, Frame, Node, soon, until};

const BUFFER_BYTES: u32 = 4 << 10;
const OUTBOX_BYTES_MAX: usize = 64 << 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_socket_delays_nobody_and_is_closed_as_too_slow() {
    let node = Node::start(Duration::ZERO).await;
    let room = node.make_room(&[]).await;
    let mut slow = Client::with(Some(BUFFER_BYTES), OUTBOX_BYTES_MAX).await;
    let mut neighbour = Client::with(None, OUTBOX_BYTES_MAX).await;
    node.subscribe(&slow, room, From::Now).await;
    node.subscribe(&neighbour, room, From::Now).await;
    let mut read = 1;
    while slow.link.outbox.closing().is_none() {
        let last = node.send(&node.store, room, 1_500).await;
        neighbour.follow(read, last).await;
        read = last;
        assert!(read < 1_000, "a reader that reads nothing is never too slow");
    }
    assert_eq!(slow.link.outbox.closing(), Some(Closing::Frame(4000)));
    assert_eq!(node.counted("hubbub_slow_closes_total"), 1.0);
    // What the kernel had a part of is whole, and then the close frame says why.
    let mut expected = 2;
    loop {
        match slow.frame().await {
            Frame::Text(text) => {
                let event: serde_json::Value = serde_json::from_slice(&text).expect("a whole event");
                assert_eq!(event["seq"], expected);
                expected += 1;
            }
            other => {
                assert_eq!(other, Frame::Close(4000));
                break;
            }
        }
    }
    assert_eq!(slow.frame().await, Frame::End);
}

#[tokio::test]
async fn one_event_that_is_larger_than_the_limit_is_not_cut_in_half() {
    let mut client = Client::unattended(Some(BUFFER_BYTES), 1 << 10).await;
    let pushed = client.push(b'a', 4 << 20, Class::Durable);
    assert_eq!(pushed, Pushed::TooSlow);
    let link = std::sync::Arc::clone(&client.link);
    let drain = std::future::poll_fn(move |context| link.outbox.poll_drain(context));
    let (drained, frames) =
        tokio::join!(soon("the rest", drain), async { (client.frame().await, client.frame().await) });
    drained.unwrap();
    assert_eq!(frames, (Frame::Text(vec![b'a'; 4 << 20]), Frame::Close(4000)));
}

#[tokio::test]
async fn ephemeral_events_are_dropped_first() {
    let mut client = Client::unattended(Some(BUFFER_BYTES), OUTBOX_BYTES_MAX).await;
    let mut durable = 0;
    while client.link.outbox.waiting_bytes() == 0 {
        assert_eq!(client.push(b'd', 1_000, Class::Durable), Pushed::Taken);
        durable += 1;
    }
    for _ in 0..30 {
        assert_eq!(client.push(b'e', 1_000, Class::Ephemeral), Pushed::Taken);
    }
    while client.link.outbox.waiting_bytes() + 2_000 < OUTBOX_BYTES_MAX {
        assert_eq!(client.push(b'd', 1_000, Class::Durable), Pushed::Taken);
        durable += 1;
    }
    for _ in 0..20 {
        assert_eq!(client.push(b'd', 1_000, Class::Durable), Pushed::Taken, "the ephemeral ones make room");
        durable += 1;
    }
    // A frame of 1,000 bytes has a header of 4.
    while client.link.outbox.waiting_bytes() + 1_004 <= OUTBOX_BYTES_MAX {
        assert_eq!(client.push(b'd', 1_000, Class::Durable), Pushed::Taken);
        durable += 1;
    }
    assert_eq!(client.push(b'e', 1_000, Class::Ephemeral), Pushed::Dropped, "nothing is closed over an ephemeral one");
    assert_eq!(client.link.outbox.closing(), None);
    let link = std::sync::Arc::clone(&client.link);
    let drain = tokio::spawn(async move { std::future::poll_fn(|context| link.outbox.poll_drain(context)).await });
    let mut seen = 0;
    while seen < durable {
        let Frame::Text(text) = client.frame().await else { panic!("a close frame") };
        assert_eq!(text, vec![b'd'; 1_000], "durable, and whole");
        seen += 1;
    }
    drain.await.unwrap().unwrap();
}

#[tokio::test]
async fn whoever_waits_for_a_broken_socket_is_told() {
    let client = Client::unattended(Some(BUFFER_BYTES), 0).await;
    while !client.link.outbox.is_congested() {
        client.push(b'p', 10_000, Class::Paced);
    }
    let waits: Vec<_> = (0..3)
        .map(|_| {
            let link = std::sync::Arc::clone(&client.link);
            tokio::spawn(async move { link.outbox.drained().await })
        })
        .collect();
    tokio::task::yield_now().await;
    client.link.outbox.break_off();
    for wait in waits {
        soon("the end of the wait", wait).await.unwrap();
    }
    assert_eq!(client.link.outbox.waiting_bytes(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_who_wait_for_one_reader_are_all_told() {
    let client = Client::with(Some(BUFFER_BYTES), 0).await;
    let pushers: Vec<_> = (0..6)
        .map(|_| {
            let link = std::sync::Arc::clone(&client.link);
            tokio::spawn(async move {
                for _ in 0..40 {
                    link.outbox.drained().await;
                    let frame = hubbub_websocket::frame(hubbub_websocket::Opcode::Text, &[b'p'; 40_000]);
                    link.outbox.push(frame, Class::Paced);
                }
            })
        })
        .collect();
    let mut client = client;
    for _ in 0..6 * 40 {
        assert_eq!(client.frame().await, Frame::Text(vec![b'p'; 40_000]));
    }
    for pusher in pushers {
        soon("a pusher", pusher).await.unwrap();
    }
    until("an empty outbox", || client.link.outbox.waiting_bytes() == 0).await;
}

/// Whose every command waits for ever.
struct Stuck;

impl Handler for Stuck {
    type Work = ();

    fn sort(&mut self, _: &Link, _: Message<'_>) -> Sorted<()> {
        Sorted::Work(())
    }

    async fn handle(&mut self, _: &Arc<Link>, (): ()) {
        std::future::pending().await
    }

    fn ended(&mut self, _: &Arc<Link>, _: &'static str) {}
}

#[tokio::test]
async fn a_command_that_never_ends_is_given_up_and_the_client_is_told() {
    let mut client = Client::unattended(None, 0).await;
    let outbox = &client.link.outbox;
    outbox.give_up_work();
    let config = ParserConfig { frame_bytes_max: 1 << 10, message_bytes_max: 1 << 10, deflate: false };
    // A masked text frame of one byte (RFC 6455 §5.2).
    let command = vec![0x81, 0x81, 0, 0, 0, 0, b'x'];
    let task = tokio::spawn(Connection::new(Arc::clone(&client.link), config, 0, Stuck).run(command));
    until("a command at work", || outbox.is_at_work()).await;
    outbox.give_up_work();
    assert!(!outbox.is_ending(), "nobody has ended it");
    assert!(outbox.close(None, CloseCode::Restart));
    assert_eq!(outbox.closing(), None, "the close waits for the reply");
    outbox.give_up_work();
    assert_eq!(client.frame().await, Frame::Close(1012));
    drop(client);
    soon("the end of its task", task).await.unwrap();
}

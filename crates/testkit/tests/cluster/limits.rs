//! Limits that hold over all nodes together.

use std::time::{Duration, Instant};

use hubbub_protocol::{ErrorCode, WireError};
use hubbub_testkit::wire::Broken;
use hubbub_testkit::{Cluster, ClusterConfig};

use crate::caller::Caller;

/// CONTRACT §6: 30 sends a minute, which is one more every two seconds.
const SENDS: u32 = 30;
const REFILL: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn the_send_rate_of_a_user_holds_over_two_nodes() {
    let cluster = Cluster::start(ClusterConfig::default()).await.expect("cluster");
    let room = cluster.create_room("lobby").await.expect("room");
    let mut callers = Vec::new();
    for node in 0..2 {
        callers.push(Caller::open(&cluster, 1, node).await.expect("connection"));
    }
    let began = Instant::now();
    let mut sent = 0;
    let refused: WireError = loop {
        // A slow machine earns further sends meanwhile; many more mean that there is no limit.
        assert!(sent < 3 * SENDS, "no limit");
        match callers[sent as usize % 2].send(room, &format!("m{sent}")).await {
            Ok(_) => sent += 1,
            Err(refused) => break refused,
        }
    };
    let earned = u32::try_from(began.elapsed().as_millis() / REFILL.as_millis()).expect("few");
    assert!((SENDS..=SENDS + earned + 1).contains(&sent), "{sent} sends, {earned} earned");
    assert_eq!(refused.code, ErrorCode::RateLimited.code());
    let wait = refused.retry_after_ms.expect("it says when to come back");
    assert!(wait > 0 && u128::from(wait) <= REFILL.as_millis(), "{wait} ms");
    // A third node knows as well; a duplicate is free even now.
    let mut third = Caller::open(&cluster, 1, 2).await.expect("connection");
    assert!(third.send(room, "m0").await.expect("the first answer").duplicate);
    // Another user has a budget of their own.
    let mut other = Caller::open(&cluster, 2, 0).await.expect("connection");
    other.send(room, "mine").await.expect("acked");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_connections_of_a_user_are_counted_over_all_nodes() {
    const CONNECTIONS: usize = 10;
    let cluster = Cluster::start(ClusterConfig::default()).await.expect("cluster");
    let mut open = Vec::new();
    for number in 0..CONNECTIONS {
        open.push(Caller::open(&cluster, 0, number % 3).await.expect("connection"));
    }
    for node in 0..3 {
        match Caller::open(&cluster, 0, node).await.map(drop).expect_err("one too many") {
            Broken::Refused { status, body } => {
                assert_eq!(status, 429);
                assert!(body.contains(&ErrorCode::TooManyConnections.code().to_string()), "{body}");
            }
            Broken::Lost(reason) => panic!("{reason}"),
        }
    }
    Caller::open(&cluster, 1, 0).await.expect("others are not concerned");
    // Whoever leaves makes room, soon.
    drop(open.pop());
    let deadline = Instant::now() + Duration::from_secs(60);
    while Caller::open(&cluster, 0, 2).await.is_err() {
        assert!(Instant::now() < deadline, "the place of a closed connection is not given back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

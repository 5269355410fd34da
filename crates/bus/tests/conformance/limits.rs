//! Rates per user, in every form.

use std::time::Duration;

use hubbub_bus::{RateClass, RateVerdict};
use hubbub_protocol::UserId;

use crate::harness::eventually;
use crate::world::World;

on_every_form! {
    a_burst_is_exactly_the_limit
    classes_and_users_have_their_own
    what_is_given_back_can_be_taken_again
    none_means_none
    many_at_once_get_no_more_than_the_limit
}

/// A minute grants one unit only, so that a slow machine does not earn another during the test.
const SLOW: u64 = 1;

async fn a_burst_is_exactly_the_limit(world: World) {
    let nodes = [world.node("a").await, world.node("b").await];
    let user = UserId::new();
    let mut granted = Vec::new();
    loop {
        let verdict = nodes[granted.len() % 2].bus.take(RateClass::Sends, user, 30).await;
        assert_eq!(verdict.limit, 30);
        if !verdict.allowed {
            assert_eq!(verdict.remaining, 0);
            assert!(verdict.retry_after > Duration::ZERO && verdict.retry_after <= Duration::from_secs(2));
            assert!(verdict.reset > Duration::from_secs(57) && verdict.reset <= Duration::from_secs(60));
            break;
        }
        granted.push(verdict);
    }
    // One more is earned every two seconds, and a machine may be slow.
    assert!((30..=32).contains(&granted.len()), "{} were granted", granted.len());
    let RateVerdict { remaining, retry_after, reset, .. } = granted[0];
    assert_eq!((remaining, retry_after, reset), (29, Duration::ZERO, Duration::from_secs(2)));
    let refusing = &nodes[granted.len() % 2];
    assert_eq!(refusing.metric("hubbub_rate_limited_total"), 1.0);
}

async fn classes_and_users_have_their_own(world: World) {
    let node = world.node("a").await;
    for user in [UserId::new(), UserId::new()] {
        for class in RateClass::ALL {
            assert!(node.bus.take(class, user, SLOW).await.allowed);
            assert!(!node.bus.take(class, user, SLOW).await.allowed);
        }
    }
    assert_eq!(node.metric("hubbub_rate_limited_total"), 6.0);
}

async fn what_is_given_back_can_be_taken_again(world: World) {
    let node = world.node("a").await;
    let user = UserId::new();
    for _ in 0..3 {
        eventually(async || node.bus.take(RateClass::Sends, user, SLOW).await.allowed).await;
        assert!(!node.bus.take(RateClass::Sends, user, SLOW).await.allowed);
        node.bus.give_back(RateClass::Sends, user, SLOW);
    }
}

async fn none_means_none(world: World) {
    let node = world.node("a").await;
    let user = UserId::new();
    for _ in 0..100 {
        assert!(node.bus.take(RateClass::Fetches, user, 0).await.allowed);
    }
    node.bus.give_back(RateClass::Fetches, user, 0);
}

async fn many_at_once_get_no_more_than_the_limit(world: World) {
    let nodes = [world.node("a").await, world.node("b").await];
    let user = UserId::new();
    let calls = (0..400).map(|n| {
        let bus = nodes[n % 2].bus.clone();
        tokio::spawn(async move { bus.take(RateClass::Fetches, user, 100).await.allowed })
    });
    let calls: Vec<_> = calls.collect();
    let mut granted = 0;
    for call in calls {
        granted += usize::from(call.await.unwrap());
    }
    assert!((100..=102).contains(&granted), "{granted} were granted");
}

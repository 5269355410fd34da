//! The rate limit against a naive model, over hours of a moved clock: the pure rule, and Redis's script.

use std::collections::HashMap;

use hubbub_bus::gcra::{Cell, PERIOD_MICROS, SCRIPT, Verdict};
use redis::Script;
use redis::aio::MultiplexedConnection;

use crate::harness::client;
use crate::redis_topologies::Server;

/// Any moment will do; this one has as many digits as today's.
const START: u64 = 1_800_000_000_000_000;
const HOUR: u64 = 60 * PERIOD_MICROS;

/// The rule in other words: a bucket of `limit` tokens that drips full in a minute. A token has `PERIOD_MICROS` drops
/// and each microsecond brings `limit` of them, so nothing is ever rounded.
struct Bucket {
    limit: u128,
    drops: u128,
    at: u64,
}

impl Bucket {
    fn full(limit: u64) -> Self {
        Self { limit: limit.into(), drops: u128::from(limit) * u128::from(PERIOD_MICROS), at: START }
    }

    fn take(&mut self, now: u64) -> bool {
        let token = u128::from(PERIOD_MICROS);
        self.drops = (self.drops + u128::from(now - self.at) * self.limit).min(self.limit * token);
        self.at = now;
        let allowed = self.drops >= token;
        if allowed {
            self.drops -= token;
        }
        allowed
    }

    fn give_back(&mut self) {
        let token = u128::from(PERIOD_MICROS);
        self.drops = (self.drops + token).min(self.limit * token);
    }
}

/// A small generator of steps that is the same on every run.
struct Steps(u64);

impl Steps {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

#[test]
fn the_rule_equals_the_naive_model_over_hours() {
    for limit in [1, 7, 10, 30, 59, 100, 999, 100_000] {
        let (mut cell, mut bucket, mut steps) = (Cell::default(), Bucket::full(limit), Steps(limit));
        let mut now = START;
        for step in 0..200_000 {
            // Mostly about as often as is granted, sometimes at once, sometimes after a long pause.
            now += match steps.next(20) {
                0..4 => 0,
                19 => steps.next(2 * PERIOD_MICROS),
                _ => steps.next(2 * PERIOD_MICROS / limit + 1),
            };
            if steps.next(50) == 0 && !cell.is_full(now) {
                bucket.take(now);
                let taken = cell.take(limit, now).allowed;
                cell.give_back(limit, now);
                bucket.give_back();
                assert!(taken || limit > 0);
                continue;
            }
            let verdict = cell.take(limit, now);
            assert_eq!(verdict.allowed, bucket.take(now), "limit {limit}, step {step}");
            let tokens = bucket.drops / u128::from(PERIOD_MICROS);
            assert_eq!(u128::from(verdict.remaining), tokens, "limit {limit}, step {step}");
        }
        assert!(now - START > HOUR, "limit {limit}: only {} s", (now - START) / 1_000_000);
    }
}

#[test]
fn the_steady_rate_is_exactly_the_limit() {
    for limit in [1, 7, 30, 100, 70_000] {
        let mut cell = Cell::default();
        let hours = if limit > 1_000 { 1 } else { 12 };
        let mut granted: HashMap<u64, u64> = HashMap::new();
        let mut now = START;
        // Greedy: asks again at the very moment it was told to.
        while now < START + hours * HOUR {
            let verdict = cell.take(limit, now);
            if verdict.allowed {
                *granted.entry((now - START) / PERIOD_MICROS).or_default() += 1;
            } else {
                now += u64::try_from(verdict.retry_after.as_micros()).unwrap();
            }
        }
        let total: u64 = granted.values().sum();
        // The burst, and then the limit for every minute; the last unit falls on the end itself. Who asks at whole
        // microseconds loses less than one for each answer.
        let exact = limit + limit * hours * 60 - 1;
        let lost = total.abs_diff(exact);
        assert!(total <= exact && lost <= total / 1_000, "limit {limit}: {total} of {exact}");
        for (minute, count) in granted.iter().filter(|(minute, _)| **minute > 0) {
            assert!(count.abs_diff(limit) <= 1 + limit / 1_000, "limit {limit}: {count} in minute {minute}");
        }
    }
}

#[test]
fn a_clock_set_back_locks_nobody_out_for_longer_than_a_period() {
    let mut cell = Cell::default();
    for _ in 0..30 {
        assert!(cell.take(30, START).allowed);
    }
    let before = START - 5 * HOUR;
    assert!(!cell.take(30, before).allowed);
    assert!(cell.take(30, before + PERIOD_MICROS / 30).allowed || cell.take(30, START + 1).retry_after.as_secs() <= 60);
}

async fn script(redis: &mut MultiplexedConnection, key: &str, limit: u64, units: i64, now: u64) -> Verdict {
    let script = Script::new(SCRIPT);
    let (allowed, debt): (bool, u64) =
        script.key(key).arg(limit).arg(units).arg(now).invoke_async(redis).await.unwrap();
    Verdict::from_debt(allowed, debt, limit)
}

#[tokio::test]
async fn the_script_equals_the_rule_over_hours() {
    let server = Server::start();
    let mut redis = client(&server).await;
    for limit in [1, 7, 30, 100, 70_000, 99_999_989] {
        let (mut cell, mut steps, mut now) = (Cell::default(), Steps(limit), START);
        let key = format!("cell:{limit}");
        for step in 0..2_000 {
            now += match steps.next(20) {
                0..4 => 0,
                18 => steps.next(10 * PERIOD_MICROS),
                19 => PERIOD_MICROS,
                _ => steps.next(2 * PERIOD_MICROS / limit + 1),
            };
            if steps.next(10) == 0 {
                cell.give_back(limit, now);
                script(&mut redis, &key, limit, -1, now).await;
            } else {
                let expected = cell.take(limit, now);
                assert_eq!(script(&mut redis, &key, limit, 1, now).await, expected, "limit {limit}, step {step}");
            }
        }
        assert!(now - START > HOUR);
    }
}

#[tokio::test]
async fn the_script_keeps_the_steady_rate() {
    let server = Server::start();
    let mut redis = client(&server).await;
    let (limit, minutes, mut now, mut granted) = (30, 3 * 60, START, 0);
    while now < START + minutes * PERIOD_MICROS {
        let verdict = script(&mut redis, "steady", limit, 1, now).await;
        granted += u64::from(verdict.allowed);
        now += u64::try_from(verdict.retry_after.as_micros()).unwrap();
    }
    assert_eq!(granted, limit + limit * minutes - 1);
}

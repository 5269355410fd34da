//! What an event costs on its way over the bus: encoding and decoding, and the whole way through a local Redis.
//!
//! The second part starts a `redis-server` of its own on a free port.

use std::hint::black_box;
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use hubbub_bus::{Bus, BusConfig, Notice, RateClass, envelope};
use hubbub_protocol::event::MessageSent;
use hubbub_protocol::{ClientMsgId, MessageId, RoomEvent, RoomId, Timestamp, UserId, UserRef};
use tokio::sync::mpsc::unbounded_channel;

/// How many events are on their way at once: fewer than the queue holds.
const WINDOW: u64 = 8_192;

fn event(room: RoomId, seq: u64) -> Arc<RoomEvent> {
    let data = MessageSent {
        id: MessageId::new(),
        client_msg_id: serde_json::from_value::<ClientMsgId>("c-1".into()).expect("a valid id"),
        body: "a message of the usual length, neither long nor short, as people write them".to_owned(),
    };
    let by = UserRef { id: UserId::new(), name: "ada".into() };
    Arc::new(RoomEvent { room, seq, at: Timestamp::now(), by, data: data.into(), trace: None })
}

fn envelopes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("envelope");
    let room = RoomId::new();
    for count in [1, 16, 64] {
        let events: Vec<_> = (1..=count).map(|seq| event(room, seq)).collect();
        let plain: Vec<&RoomEvent> = events.iter().map(|event| &**event).collect();
        group.throughput(Throughput::Elements(count));
        group.bench_function(BenchmarkId::new("encode", count), |bencher| {
            bencher.iter(|| envelope::encode_events(black_box(&plain), "a", &[]).expect("events can be encoded"));
        });
        let bytes = envelope::encode_events(&plain, "a", &[]).expect("events can be encoded");
        group.bench_function(BenchmarkId::new("decode", count), |bencher| {
            bencher.iter(|| envelope::decode(black_box(&bytes), "b").expect("events can be decoded"));
        });
    }
    group.finish();
}

struct Redis(Child, String);

impl Redis {
    fn start() -> Self {
        let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|probe| probe.local_addr());
        let port = probe.expect("a free port").port();
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is needed (Debian: apt-get install redis-server)");
        Self(child, format!("redis://127.0.0.1:{port}"))
    }

    async fn bus(&self) -> Bus {
        let config = BusConfig::redis("bench", &self.1);
        let bus = Bus::open(config, &prometheus::Registry::new()).await.expect("a valid configuration");
        while !bus.is_up() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        bus
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // A server that has died by itself needs no killing.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn through_redis(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let redis = Redis::start();
    let (here, there) = runtime.block_on(async { (redis.bus().await, redis.bus().await) });
    let (arrived, mut arrivals) = unbounded_channel();
    there.attach(Arc::new(move |notice| {
        if let Notice::Event(event) = notice {
            // The bench may be over already.
            arrived.send(event.seq).ok();
        }
    }));
    let room = RoomId::new();
    runtime.block_on(there.subscribe(room)).expect("the bus is up");
    let mut group = criterion.benchmark_group("redis");
    group.throughput(Throughput::Elements(1));
    for batch in [1, 16, 64] {
        let events: Vec<_> = (0..batch).map(|seq| event(room, seq)).collect();
        group.bench_function(BenchmarkId::new("publish to handler, batches of", batch), |bencher| {
            bencher.iter_custom(|count| {
                let start = Instant::now();
                let (mut sent, mut received) = (0, 0);
                while received < count {
                    while sent < count && sent - received < WINDOW {
                        here.publish(&events);
                        sent += batch;
                    }
                    arrivals.blocking_recv().expect("the bus lives");
                    received += 1;
                }
                while received < sent {
                    arrivals.blocking_recv().expect("the bus lives");
                    received += 1;
                }
                start.elapsed()
            });
        });
    }
    group.bench_function("one event, there and heard", |bencher| {
        let event = [event(room, 1)];
        bencher.iter(|| {
            here.publish(&event);
            arrivals.blocking_recv().expect("the bus lives")
        });
    });
    let users: Vec<UserId> = (0..256).map(|_| UserId::new()).collect();
    group.throughput(Throughput::Elements(256));
    group.bench_function("256 rate limits at once", |bencher| {
        bencher.iter(|| {
            let calls = users.iter().map(|user| here.take(RateClass::Sends, *user, 1_000_000));
            runtime.block_on(futures_util::future::join_all(calls))
        });
    });
    group.finish();
    runtime.block_on(async { (here.close().await, there.close().await) });
}

criterion_group!(benches, envelopes, through_redis);
criterion_main!(benches);

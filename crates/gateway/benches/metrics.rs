//! What the metrics cost: for a delivery, for a command, for a scrape.
//!
//! A delivery and a command are to be compared with what they cost as a whole (`bench fanout`, `bench hot-room`): a write
//! to a socket alone is about 5 µs. Must never hold more than its share: the connections are sockets that nobody is at the
//! other end of.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dashmap::DashMap;
use hubbub_gateway::link::Link;
use hubbub_gateway::metrics::{CommandOutcome, Metrics};
use hubbub_gateway::outbox::Outbox;
use hubbub_gateway::scrape::Waiting;
use hubbub_gateway::transport::Transport;
use hubbub_protocol::{Codec, ErrorCode, Timestamp};
use prometheus::{Encoder, Registry, TextEncoder};
use socket2::{Domain, Socket, Type};
use tokio::net::TcpStream;

/// Connections of the scrape; fewer where the system allows fewer descriptors.
const CONNECTIONS: usize = 100_000;

/// Subscribers of a lane: the counts of a lane are written once for all of them.
const LANE: u64 = 512;

fn calls(criterion: &mut Criterion) {
    let metrics = Metrics::register(&Registry::new()).expect("a fresh registry");
    let mut group = criterion.benchmark_group("metrics");
    // What a flush of a lane counts, by the number of sockets that it writes to.
    for subscribers in [1, LANE] {
        let at = Timestamp::now();
        group.throughput(Throughput::Elements(subscribers));
        group.bench_function(format!("delivery to {subscribers}"), |bencher| {
            bencher.iter(|| {
                metrics.deliveries.inc_by(black_box(subscribers));
                metrics.delivery_seconds.observe(Timestamp::now().since(black_box(at)).as_secs_f64());
            });
        });
    }
    group.throughput(Throughput::Elements(1));
    group.bench_function("command", |bencher| {
        let began = Instant::now();
        bencher.iter(|| {
            metrics.commanded(black_box("message.send"), CommandOutcome::Ok, began.elapsed().as_secs_f64());
        });
    });
    group.bench_function("refusal", |bencher| bencher.iter(|| metrics.told(black_box(ErrorCode::RateLimited))));
    group.finish();
}

fn scrape(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _within = runtime.enter();
    let connections = DashMap::new();
    for id in 0..CONNECTIONS as u64 {
        let Some(link) = link(id) else { break };
        connections.insert(id, Arc::new(link));
    }
    let registry = Registry::new();
    let _metrics = Metrics::register(&registry).expect("a fresh registry");
    let mut group = criterion.benchmark_group("scrape");
    group.sample_size(20).measurement_time(Duration::from_secs(3));
    group.bench_function(format!("sum over {} connections", connections.len()), |bencher| {
        bencher.iter(|| Waiting::over(black_box(&connections)));
    });
    group.bench_function("gather and write", |bencher| {
        bencher.iter(|| {
            let mut text = Vec::new();
            TextEncoder::new().encode(&registry.gather(), &mut text).expect("metrics are text");
            text.len()
        });
    });
    group.finish();
}

/// A connection without a peer; none when there are no more descriptors.
fn link(id: u64) -> Option<Link> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).ok()?;
    socket.set_nonblocking(true).ok()?;
    let tcp = TcpStream::from_std(socket.into()).ok()?;
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    Some(Link::new(id, Codec::Json, false, address, Outbox::new(Transport::plain(tcp), 0)))
}

criterion_group!(benches, calls, scrape);
criterion_main!(benches);

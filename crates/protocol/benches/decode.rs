//! What one command in and one event out cost: decoding `message.send` and encoding `message.sent`, in both codecs.
//!
//! Run with `cargo bench -p hubbub-protocol --bench decode`.

use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hubbub_protocol::server::{self, ServerFrame};
use hubbub_protocol::{Codec, frame};

fn golden(name: &str) -> serde_json::Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).expect("a golden file")).expect("JSON")
}

fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode message.send");
    let tree = golden("command.message.send.json");
    for codec in Codec::ALL {
        let bytes = codec.encode(&tree);
        assert!(frame::decode(codec, &bytes).command.is_ok());
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(codec.subprotocol(), |bencher| {
            bencher.iter(|| frame::decode(codec, black_box(&bytes)));
        });
    }
    group.finish();
}

fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode message.sent");
    let bytes = Codec::Json.encode(&golden("event.message.sent.json"));
    let Ok(ServerFrame::Room(event)) = server::decode(Codec::Json, &bytes) else { panic!("a room event") };
    for codec in Codec::ALL {
        let mut buffer = Vec::new();
        codec.encode_into(&event, &mut buffer);
        group.throughput(Throughput::Bytes(buffer.len() as u64));
        group.bench_function(codec.subprotocol(), |bencher| {
            bencher.iter(|| {
                buffer.clear();
                codec.encode_into(black_box(&event), &mut buffer);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, decode, encode);
criterion_main!(benches);

//! A PostgreSQL server that is reached over TLS alone.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use hubbub_store::{Store, StoreConfig, StoreError, StoreErrorKind};
use tempfile::TempDir;

use crate::fixture::{message, person, room_of};
use crate::postgres::Server;

async fn open(url: String) -> Result<Store, StoreError> {
    Store::open(&StoreConfig::new(url), &prometheus::Registry::new(), Arc::new(|_| {})).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_is_checked_by_its_certificate() {
    // An address of one's own takes the place of a port of one's own.
    let [.., two, three, four] = std::process::id().to_be_bytes();
    let address = IpAddr::V4(Ipv4Addr::new(127, two | 0x40, three, four.clamp(2, 250)));
    let pair = rcgen::generate_simple_self_signed([address.to_string()]).unwrap();
    let foreign = rcgen::generate_simple_self_signed([address.to_string()]).unwrap();
    let server = Server::start_tls(address, &pair.cert.pem(), &pair.signing_key.serialize_pem());
    server.create_database("hubbub");
    let folder = TempDir::new().unwrap();
    let (own, other) = (folder.path().join("own.pem"), folder.path().join("other.pem"));
    std::fs::write(&own, pair.cert.pem()).unwrap();
    std::fs::write(&other, foreign.cert.pem()).unwrap();
    let url = |ca: &std::path::Path| {
        format!("postgres://hubbub@{address}/hubbub?sslmode=verify-full&sslrootcert={}", ca.display())
    };
    let store = open(url(&own)).await.unwrap();
    let ada = person("ada");
    let room = room_of(&store, std::slice::from_ref(&ada)).await;
    store.append(message(room, &ada, "one", "over TLS")).await.unwrap();
    let stranger = open(url(&other)).await.err().unwrap();
    assert_eq!(stranger.kind(), StoreErrorKind::Misconfigured, "{stranger:?}");
    let plain = open(format!("postgres://hubbub@{address}/hubbub?sslmode=disable")).await.err().unwrap();
    assert_eq!(plain.kind(), StoreErrorKind::Misconfigured, "the server takes nobody without TLS: {plain:?}");
}

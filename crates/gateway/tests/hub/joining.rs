//! A busy room joins its events: counted in TLS records, since each write to a socket is at least one.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hubbub_gateway::hub::From;
use hubbub_gateway::link::Link;
use hubbub_gateway::outbox::Outbox;
use hubbub_gateway::transport::Transport;
use hubbub_protocol::Codec;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::fixture::{Client, Node, soon};

/// Counts the records of application data in what is read.
struct Counting {
    stream: TcpStream,
    records: Arc<AtomicUsize>,
    head: Vec<u8>,
    left: usize,
}

impl Counting {
    fn count(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.left > 0 {
                let skipped = self.left.min(bytes.len());
                self.left -= skipped;
                bytes = &bytes[skipped..];
                continue;
            }
            self.head.push(bytes[0]);
            bytes = &bytes[1..];
            if let [kind, _, _, high, low] = self.head[..] {
                self.left = usize::from(u16::from_be_bytes([high, low]));
                self.records.fetch_add(usize::from(kind == 23), Ordering::Relaxed);
                self.head.clear();
            }
        }
    }
}

impl AsyncRead for Counting {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.count(&buffer.filled()[before..]);
        outcome
    }
}

impl AsyncWrite for Counting {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_events_of_a_busy_room_are_fewer_writes_than_events() {
    const EVENTS: u64 = 400;
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let private = PrivateKeyDer::try_from(key.signing_key.serialize_der()).unwrap();
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![key.cert.der().clone()], private)
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(key.cert.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let tcp = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let records = Arc::new(AtomicUsize::new(0));
    let counting = Counting { stream: tcp, records: Arc::clone(&records), head: Vec::new(), left: 0 };
    let (accepted, connected) = soon("TLS", async {
        let accept = async { TlsAcceptor::from(Arc::new(server)).accept(listener.accept().await.unwrap().0).await };
        let name = ServerName::try_from("localhost").unwrap();
        tokio::join!(accept, TlsConnector::from(Arc::new(client)).connect(name, counting))
    })
    .await;
    let (tcp, tls) = accepted.unwrap().into_inner();
    let mut connected = connected.unwrap();

    let node = Node::start(Duration::from_millis(5)).await;
    let room = node.make_room(&[]).await;
    let address = tcp.peer_addr().unwrap().ip();
    let link = Arc::new(Link::new(u64::MAX, Codec::Json, false, address, Outbox::new(Transport::tls(tcp, tls), 0)));
    let mut client = Client::unattended(None, 0).await;
    client.link = link;
    node.subscribe(&client, room, From::Now).await;
    node.send_many(&node.store, room, EVENTS, 10).await;
    let (mut text, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
    let last = format!("\"seq\":{}", EVENTS + 1).into_bytes();
    soon("the last event", async {
        while !text.windows(last.len()).any(|window| window == last) {
            let count = connected.read(&mut buffer).await.unwrap();
            assert_ne!(count, 0);
            let keep = text.len().saturating_sub(last.len());
            text.drain(..keep);
            text.extend_from_slice(&buffer[..count]);
        }
    })
    .await;
    let records = records.load(Ordering::Relaxed);
    assert!(records < usize::try_from(EVENTS).unwrap() / 2, "{records} records for {EVENTS} events");
}

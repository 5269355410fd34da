//! The fault proxy before a server that echoes.

use super::*;

struct Echo {
    port: u16,
    task: JoinHandle<()>,
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn echo() -> Echo {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("listens");
    let port = listener.local_addr().expect("address").port();
    let task = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                tokio::io::copy(&mut read, &mut write).await.ok();
            });
        }
    });
    Echo { port, task }
}

async fn ask(stream: &mut TcpStream, text: &[u8]) -> io::Result<Vec<u8>> {
    stream.write_all(text).await?;
    let mut answer = vec![0; text.len()];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

async fn connected(proxy: &Proxy) -> TcpStream {
    TcpStream::connect(("127.0.0.1", proxy.port)).await.expect("connects")
}

#[tokio::test]
async fn what_passes_is_unchanged_and_an_end_is_an_end() {
    let server = echo().await;
    let proxy = Proxy::start(server.port).expect("proxy");
    let mut client = connected(&proxy).await;
    assert_eq!(ask(&mut client, b"hello").await.expect("answer"), b"hello");
    client.shutdown().await.expect("half closed");
    assert_eq!(client.read(&mut [0; 8]).await.expect("end"), 0);
}

#[tokio::test]
async fn a_cut_resets_old_and_new_connections_until_healed() {
    let server = echo().await;
    let proxy = Proxy::start(server.port).expect("proxy");
    let mut old = connected(&proxy).await;
    ask(&mut old, b"hello").await.expect("answer");
    proxy.cut();
    let error = old.read(&mut [0; 8]).await.expect_err("reset");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    // The reset may come before or after the handshake is seen as done.
    if let Ok(mut new) = TcpStream::connect(("127.0.0.1", proxy.port)).await {
        ask(&mut new, b"hello").await.expect_err("reset");
    }
    proxy.heal();
    assert_eq!(ask(&mut connected(&proxy).await, b"again").await.expect("answer"), b"again");
}

#[tokio::test]
async fn a_freeze_holds_one_direction_and_loses_nothing() {
    let server = echo().await;
    let proxy = Proxy::start(server.port).expect("proxy");
    let mut client = connected(&proxy).await;
    ask(&mut client, b"hello").await.expect("answer");
    proxy.freeze(Direction::Down);
    client.write_all(b"held").await.expect("taken");
    let mut answer = [0; 4];
    tokio::time::timeout(Duration::from_millis(100), client.read_exact(&mut answer)).await.expect_err("nothing comes");
    proxy.heal();
    client.read_exact(&mut answer).await.expect("answer");
    assert_eq!(&answer, b"held");
}

#[tokio::test]
async fn a_slow_link_delays_and_keeps_the_order() {
    let server = echo().await;
    let proxy = Proxy::start(server.port).expect("proxy");
    let mut client = connected(&proxy).await;
    let delay = Duration::from_millis(60);
    proxy.slow(Direction::Both, delay, delay);
    let began = Instant::now();
    for part in [b"one ", b"two ", b"last"] {
        client.write_all(part).await.expect("taken");
    }
    let mut answer = [0; 12];
    client.read_exact(&mut answer).await.expect("answer");
    assert_eq!(&answer, b"one two last");
    assert!(began.elapsed() >= 2 * delay, "both directions are slow");
}

//! A client that costs little: a blocking socket and bytes made beforehand.
//!
//! Must never allocate per connection what it could share, nor hide a refusal.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use hubbub_testkit::wire;
use rustls::client::Resumption;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use socket2::{Domain, SockRef, Socket, Type};

/// Anything slower hangs.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Connections from one source address; then the next one, long before its ports run out.
const PER_ADDRESS: usize = 5_000;

enum Link {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// An open WebSocket.
pub(crate) struct Peer {
    link: Link,
    read: Vec<u8>,
}

/// How all connections of a bench are made.
#[derive(Clone)]
pub(crate) struct Dialer {
    pub(crate) port: u16,
    pub(crate) request: Arc<str>,
    pub(crate) tls: Option<Arc<ClientConfig>>,
}

impl Dialer {
    pub(crate) fn new(port: u16, token: &str, certificate: Option<&Path>) -> Result<Self> {
        let tls = certificate.map(trusting).transpose()?;
        Ok(Self { port, request: wire::upgrade_request(port, token).into(), tls })
    }

    /// The connection of this number: connected, upgraded, signed on. `ready` waits for `session.ready` too.
    pub(crate) fn open(&self, number: usize, ready: bool) -> Result<Peer> {
        let stream = connect(self.port, number)?;
        let link = match &self.tls {
            None => Link::Plain(stream),
            Some(config) => {
                let name = ServerName::try_from("localhost")?;
                Link::Tls(Box::new(StreamOwned::new(ClientConnection::new(Arc::clone(config), name)?, stream)))
            }
        };
        let mut peer = Peer { link, read: Vec::new() };
        peer.write(self.request.as_bytes())?;
        peer.head()?;
        if ready {
            peer.text()?;
        }
        Ok(peer)
    }
}

/// Trusts one certificate alone, and makes a full handshake each time.
fn trusting(certificate: &Path) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate)?)?;
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

fn connect(port: u16, number: usize) -> Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    let host = u8::try_from(1 + (number / PER_ADDRESS) % 250)?;
    // Port 0: the kernel picks one when it connects.
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 0, host), 0)).into())?;
    socket.connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into()).context("cannot connect")?;
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    Ok(stream)
}

impl Peer {
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.link {
            Link::Plain(stream) => stream.write_all(bytes)?,
            Link::Tls(stream) => {
                stream.write_all(bytes)?;
                stream.flush()?;
            }
        }
        Ok(())
    }

    fn fill(&mut self) -> Result<()> {
        let mut chunk = [0; 4096];
        let count = match &mut self.link {
            Link::Plain(stream) => stream.read(&mut chunk)?,
            Link::Tls(stream) => stream.read(&mut chunk)?,
        };
        ensure!(count > 0, "closed by the server");
        self.read.extend_from_slice(&chunk[..count]);
        Ok(())
    }

    fn head(&mut self) -> Result<()> {
        let end = loop {
            if let Some(end) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            self.fill()?;
        };
        if !self.read.starts_with(b"HTTP/1.1 101") {
            bail!("refused: {}", String::from_utf8_lossy(&self.read));
        }
        self.read.drain(..end);
        Ok(())
    }

    /// The next text message; pings are passed over, a close is an error.
    pub(crate) fn text(&mut self) -> Result<Vec<u8>> {
        loop {
            let (header, length) = match self.read.as_slice() {
                [_, 126, high, low, ..] => (4, usize::from(u16::from_be_bytes([*high, *low]))),
                [_, length, ..] if *length < 126 => (2, usize::from(*length)),
                [_, 127, ..] => bail!("a huge frame"),
                _ => {
                    self.fill()?;
                    continue;
                }
            };
            if self.read.len() < header + length {
                self.fill()?;
                continue;
            }
            let opcode = self.read[0] & 0x0F;
            let payload: Vec<u8> = self.read.drain(..header + length).skip(header).collect();
            match opcode {
                1 => {
                    // What was read is what a connection keeps; an idle one should keep nothing.
                    if self.read.is_empty() {
                        self.read = Vec::new();
                    }
                    return Ok(payload);
                }
                8 => bail!("closed: {}", String::from_utf8_lossy(&payload)),
                _ => {}
            }
        }
    }

    /// Sends a command and returns its reply; what comes between is passed over.
    pub(crate) fn ask(&mut self, command: &[u8]) -> Result<serde_json::Value> {
        self.write(command)?;
        loop {
            let frame: serde_json::Value = serde_json::from_slice(&self.text()?)?;
            if frame.get("re").is_some() {
                ensure!(frame.get("ok").is_some(), "refused: {frame}");
                return Ok(frame["ok"].clone());
            }
        }
    }

    /// Ends the connection by a reset, which leaves no port waiting.
    pub(crate) fn reset(self) -> Result<()> {
        let stream = match &self.link {
            Link::Plain(stream) => stream,
            Link::Tls(stream) => stream.get_ref(),
        };
        SockRef::from(stream).set_linger(Some(Duration::ZERO))?;
        Ok(())
    }
}

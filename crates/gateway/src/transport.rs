//! One accepted socket after its handshakes: plain or TLS, read and written without ever waiting.
//!
//! Owns the translation between plaintext and the kernel. Must never block and must never queue plaintext: what
//! the kernel does not take stays with the [`Outbox`](crate::outbox::Outbox).

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::SocketAddr;
use std::task::{Context, Poll};

use parking_lot::Mutex;
use rustls::ServerConnection;
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Most plaintext that is handed to TLS before its records are with the kernel, in bytes: one record (RFC 8446 §5.1).
const TLS_CHUNK_BYTES: usize = 16 << 10;

/// A socket that only ever tries.
pub struct Transport {
    tcp: TcpStream,
    tls: Option<Box<Mutex<ServerConnection>>>,
}

impl Transport {
    /// A plain socket.
    #[must_use]
    pub fn plain(tcp: TcpStream) -> Self {
        Self { tcp, tls: None }
    }

    /// A socket whose TLS handshake is done.
    #[must_use]
    pub fn tls(tcp: TcpStream, connection: ServerConnection) -> Self {
        Self { tcp, tls: Some(Box::new(Mutex::new(connection))) }
    }

    /// Whether TLS is spoken, which may hold bytes that the kernel has given already.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// The other end.
    ///
    /// # Errors
    /// When the socket is gone already.
    pub fn peer_address(&self) -> io::Result<SocketAddr> {
        self.tcp.peer_addr()
    }

    /// Whether there may be something to read.
    pub fn poll_read_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tcp.poll_read_ready(context)
    }

    /// Whether the kernel may take more.
    pub fn poll_write_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tcp.poll_write_ready(context)
    }

    /// Reads plaintext; 0 is the end.
    ///
    /// # Errors
    /// [`ErrorKind::WouldBlock`] when there is nothing yet; any other ends the connection.
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &self.tls else { return self.read_plain(buffer) };
        let mut tls = tls.lock();
        loop {
            match tls.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // A peer that ends TCP without close_notify is at its end like any other.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(0),
                outcome => return outcome,
            }
            if tls.read_tls(&mut Raw(&self.tcp))? == 0 {
                return Ok(0);
            }
            let processed = tls.process_new_packets();
            // Alerts, tickets and key updates go out as they come up; what does not fit now goes with the next write.
            self.flush_tls(&mut tls)?;
            processed.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        }
    }

    /// Writes plaintext and says how much was taken; a part is normal.
    ///
    /// # Errors
    /// [`ErrorKind::WouldBlock`] when the kernel takes nothing; any other ends the connection.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let Some(tls) = &self.tls else { return self.tcp.try_write(bytes) };
        let mut tls = tls.lock();
        let mut taken = 0;
        while taken < bytes.len() {
            if !self.flush_tls(&mut tls)? {
                break;
            }
            let end = bytes.len().min(taken + TLS_CHUNK_BYTES);
            taken += tls.writer().write(&bytes[taken..end])?;
        }
        self.flush_tls(&mut tls)?;
        if taken == 0 && !bytes.is_empty() { Err(ErrorKind::WouldBlock.into()) } else { Ok(taken) }
    }

    /// Whether records still wait inside TLS, although all plaintext was taken.
    pub fn wants_flush(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.lock().wants_write())
    }

    /// Hands waiting records to the kernel; false when some still wait.
    ///
    /// # Errors
    /// Any ends the connection.
    pub fn try_flush(&self) -> io::Result<bool> {
        match &self.tls {
            Some(tls) => self.flush_tls(&mut tls.lock()),
            None => Ok(true),
        }
    }

    /// A read that does not fill the buffer has emptied the socket; that is noted at once, so that the kernel need not be
    /// asked again only to say so.
    fn read_plain(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut count = 0;
        let outcome = self.tcp.try_io(Interest::READABLE, || {
            count = (&*socket2::SockRef::from(&self.tcp)).read(buffer)?;
            if count > 0 && count < buffer.len() { Err(ErrorKind::WouldBlock.into()) } else { Ok(()) }
        });
        match outcome {
            Err(error) if count == 0 => Err(error),
            _ => Ok(count),
        }
    }

    fn flush_tls(&self, tls: &mut ServerConnection) -> io::Result<bool> {
        while tls.wants_write() {
            match tls.write_tls(&mut Raw(&self.tcp)) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Says that nothing more will be written, so that the peer sees an end and not a reset.
    pub fn shutdown_write(&self) {
        if let Some(tls) = &self.tls {
            let mut tls = tls.lock();
            tls.send_close_notify();
            // The peer may be gone; then there is nobody left to tell.
            self.flush_tls(&mut tls).ok();
        }
        socket2::SockRef::from(&self.tcp).shutdown(std::net::Shutdown::Write).ok();
    }
}

/// The kernel's side of the socket for rustls.
struct Raw<'a>(&'a TcpStream);

impl Read for Raw<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl Write for Raw<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }
    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(parts)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

//! One socket with what is needed to read and write it.
//!
//! Owns the order of bytes: TCP, TLS, upgrade, frames. Must never wait, and must never keep more than a bound of what
//! the kernel does not take.

use std::io::{self, BufRead as _, Read as _, Write as _};
use std::sync::Arc;

use mio::net::TcpStream;
use rustls::{ClientConfig, ClientConnection};
use rustls_pki_types::ServerName;

use super::address::Address;
use super::end::End;
use super::frame::{Frames, opcode};
use super::incoming::{Event, Incoming, Inflater};
use super::upgrade;
use crate::clock::Nanos;
use crate::peer::{Dialogue, Told};

/// Most bytes that wait for the kernel to take them. A server that takes nothing for so long is cut off.
const QUEUE_MAX: usize = 1 << 20;

/// Most bytes that rustls keeps in each direction.
const TLS_BUFFER: usize = 64 << 10;

/// One socket.
pub(super) struct Link {
    socket: TcpStream,
    tls: Option<Box<ClientConnection>>,
    /// What the kernel did not take yet.
    queue: Vec<u8>,
    /// The TCP connection is there.
    pub(super) is_connected: bool,
    /// When the first packet went out.
    pub(super) begun: Nanos,
    /// What the frames are masked with.
    pub(super) mask: [u8; 4],
    /// The conversation.
    pub(super) talk: Talk,
}

/// What is said over a socket.
pub(super) struct Talk {
    upgrade: Option<Box<Upgrading>>,
    incoming: Incoming,
    /// The peer's half.
    pub(super) dialogue: Box<dyn Dialogue>,
}

struct Upgrading {
    nonce: [u8; 16],
    request: Option<String>,
    answer: Vec<u8>,
}

/// What a worker lends to a connection for its turn.
pub(super) struct Lent<'a> {
    /// Takes what is to be sent.
    pub(super) out: &'a mut Frames,
    /// Inflates.
    pub(super) inflater: &'a mut Inflater,
}

impl Link {
    /// A link over a socket that connects. `request` is sent when it does; none: nothing ever is.
    pub(super) fn new(
        socket: TcpStream,
        tls: Option<(&Address, &Arc<ClientConfig>)>,
        (nonce, request): ([u8; 16], Option<String>),
        dialogue: Box<dyn Dialogue>,
        begun: Nanos,
    ) -> Result<Self, End> {
        let tls = match tls {
            None => None,
            Some((address, config)) => {
                let name = ServerName::try_from(address.host.clone()).map_err(|_| "certificate: no name to check")?;
                let mut tls = ClientConnection::new(Arc::clone(config), name)?;
                tls.set_buffer_limit(Some(TLS_BUFFER));
                Some(Box::new(tls))
            }
        };
        let [a, b, c, d, ..] = nonce;
        let upgrade = Some(Box::new(Upgrading { nonce, request, answer: Vec::new() }));
        let talk = Talk { upgrade, incoming: Incoming::default(), dialogue };
        Ok(Self { socket, tls, queue: Vec::new(), is_connected: false, begun, mask: [a, b, c, d], talk })
    }

    /// The socket is writable: it is connected, and more can go out. Bytes that went.
    pub(super) fn writable(&mut self) -> Result<u64, End> {
        if !self.is_connected {
            if let Some(error) = self.socket.take_error()? {
                return Err(error.into());
            }
            match self.socket.peer_addr() {
                Ok(_) => self.is_connected = true,
                Err(error) if error.kind() == io::ErrorKind::NotConnected => return Ok(0),
                Err(error) => return Err(error.into()),
            }
            if let Some(request) = self.talk.upgrade.as_mut().and_then(|upgrade| upgrade.request.take()) {
                return self.send(request.as_bytes());
            }
        }
        self.send(&[])
    }

    /// Sends bytes behind those that wait. Bytes that went.
    pub(super) fn send(&mut self, mut bytes: &[u8]) -> Result<u64, End> {
        let mut went = 0;
        loop {
            // What waits goes first.
            let is_queued = !self.queue.is_empty();
            let source = if is_queued { self.queue.as_slice() } else { bytes };
            if self.tls.is_none() && source.is_empty() {
                return Ok(went);
            }
            let (taken, count) = match &mut self.tls {
                None => {
                    let taken = accept(self.socket.write(source))?;
                    (taken, taken as u64)
                }
                Some(tls) => encrypt(tls, &mut self.socket, source)?,
            };
            went += count;
            if source.is_empty() || (taken == 0 && count == 0) {
                self.keep(bytes)?;
                return Ok(went);
            }
            if is_queued {
                self.queue.drain(..taken);
                if self.queue.is_empty() {
                    self.queue = Vec::new();
                }
            } else {
                bytes = &bytes[taken..];
            }
        }
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), End> {
        if self.queue.len() + bytes.len() > QUEUE_MAX {
            return Err("write queue full".into());
        }
        self.queue.extend_from_slice(bytes);
        Ok(())
    }

    /// Reads once and hands on what came. Bytes that came; none when there is nothing now.
    pub(super) fn read(
        &mut self,
        buffer: &mut [u8],
        lent: &mut Lent<'_>,
        told: &mut dyn FnMut(Heard<'_>),
    ) -> Result<Option<usize>, End> {
        let count = match self.socket.read(buffer) {
            Ok(0) => return Err("cut".into()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(Some(buffer.len())),
            Err(error) => return Err(error.into()),
        };
        told(Heard::Bytes(count as u64));
        lent.out.mask = self.mask;
        match &mut self.tls {
            None => self.talk.take(&buffer[..count], lent, told)?,
            Some(tls) => {
                let mut rest = &buffer[..count];
                while !rest.is_empty() {
                    tls.read_tls(&mut rest)?;
                    if let Err(error) = tls.process_new_packets() {
                        // The alert tells the server why.
                        tls.write_tls(&mut self.socket).ok();
                        return Err(error.into());
                    }
                    loop {
                        let mut reader = tls.reader();
                        let length = match reader.fill_buf() {
                            Ok([]) => return Err("cut".into()),
                            Ok(bytes) => {
                                self.talk.take(bytes, lent, told)?;
                                bytes.len()
                            }
                            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                            Err(error) => return Err(error.into()),
                        };
                        reader.consume(length);
                    }
                }
                if tls.wants_write() {
                    self.send(&[])?;
                }
            }
        }
        Ok(Some(count))
    }

    /// Says goodbye, as far as the kernel takes it.
    pub(super) fn close(&mut self, code: u16, out: &mut Frames) {
        if !self.is_connected || self.talk.upgrade.is_some() {
            return;
        }
        out.bytes.clear();
        out.mask = self.mask;
        out.frame(opcode::CLOSE, &code.to_be_bytes());
        // It is closed in any case.
        self.send(&out.bytes).ok();
        out.bytes.clear();
    }
}

/// What a link tells.
pub(super) enum Heard<'a> {
    /// So many bytes came in.
    Bytes(u64),
    /// The upgrade is done.
    Upgraded,
    /// The peer told something.
    Told(Told<'a>),
}

impl Talk {
    #[inline]
    fn take(&mut self, came: &[u8], lent: &mut Lent<'_>, told: &mut dyn FnMut(Heard<'_>)) -> Result<(), End> {
        let rest;
        let mut bytes = came;
        if let Some(upgrade) = &mut self.upgrade {
            upgrade.answer.extend_from_slice(came);
            let Some(length) = upgrade::answer(&upgrade.answer, upgrade.nonce)? else { return Ok(()) };
            rest = upgrade.answer.split_off(length);
            bytes = &rest;
            self.upgrade = None;
            told(Heard::Upgraded);
            self.dialogue.opened(lent.out, &mut |word| told(Heard::Told(word)));
        }
        let Self { incoming, dialogue, .. } = self;
        let out = &mut *lent.out;
        incoming.take(bytes, lent.inflater, &mut |event| {
            match event {
                Event::Message(message) => dialogue.receive(message, out, &mut |word| told(Heard::Told(word))),
                Event::Ping(payload) => out.frame(opcode::PONG, payload),
                Event::Close(code) => return Err(End::closed(code)),
            }
            Ok(())
        })
    }
}

/// Bytes that rustls took, and bytes that the kernel took from it.
fn encrypt(tls: &mut ClientConnection, socket: &mut TcpStream, source: &[u8]) -> Result<(usize, u64), End> {
    let taken = if source.is_empty() { 0 } else { tls.writer().write(source)? };
    let mut went = 0;
    while tls.wants_write() {
        match accept(tls.write_tls(socket))? {
            0 => break,
            count => went += count as u64,
        }
    }
    Ok((taken, went))
}

/// How much the kernel took.
fn accept(written: io::Result<usize>) -> Result<usize, End> {
    match written {
        Ok(count) => Ok(count),
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

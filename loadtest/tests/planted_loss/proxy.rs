//! A TCP proxy that knows WebSocket frames just well enough to swallow one message on its way to one client.
//!
//! Must never change anything else: every other byte passes as it came.

use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// Longer frames than this are none of a node's.
const FRAME_MAX: u64 = 1 << 24;

/// What was swallowed, as the mark in its text says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Planted {
    pub(crate) room: u32,
    pub(crate) sender: u32,
    pub(crate) number: u32,
}

/// The running proxy.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    upstream: u16,
    /// Which delivery is swallowed, counted from 1.
    swallowed: Option<u64>,
    deliveries: AtomicU64,
    planted: Mutex<Option<Planted>>,
    is_over: AtomicBool,
}

impl Proxy {
    /// Stands before the server at this port of the loopback.
    pub(crate) fn start(upstream: u16, swallowed: Option<u64>) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let (deliveries, planted, is_over) = (AtomicU64::new(0), Mutex::new(None), AtomicBool::new(false));
        let shared = Arc::new(Shared { upstream, swallowed, deliveries, planted, is_over });
        let of_all = Arc::clone(&shared);
        let accepting = std::thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                if of_all.is_over.load(Ordering::Acquire) {
                    return;
                }
                let shared = Arc::clone(&of_all);
                // A client or server that goes away ends its own pair of threads.
                std::thread::spawn(move || shared.serve(&client).ok());
            }
        });
        Ok(Self { port, shared, accepting: Some(accepting) })
    }

    /// What was swallowed so far.
    pub(crate) fn planted(&self) -> Option<Planted> {
        *self.shared.planted.lock().expect("no thread panicked")
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Release);
        // A last connection wakes whoever accepts.
        if TcpStream::connect(("127.0.0.1", self.port)).is_ok()
            && let Some(accepting) = self.accepting.take()
        {
            accepting.join().ok();
        }
    }
}

impl Shared {
    fn serve(&self, client: &TcpStream) -> io::Result<()> {
        let server = TcpStream::connect(("127.0.0.1", self.upstream))?;
        for stream in [client, &server] {
            stream.set_nodelay(true)?;
        }
        let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
        let up = std::thread::spawn(move || {
            io::copy(&mut from, &mut to).ok();
            to.shutdown(Shutdown::Write).ok();
        });
        let result = self.pass_down(&server, client);
        for stream in [client, &server] {
            // Whoever is gone cannot be told.
            stream.shutdown(Shutdown::Both).ok();
        }
        up.join().ok();
        result
    }

    /// The head of the upgrade, then frame by frame.
    fn pass_down(&self, server: &TcpStream, mut client: &TcpStream) -> io::Result<()> {
        let mut server = BufReader::new(server);
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\r\n\r\n") {
            if server.read_until(b'\n', &mut bytes)? == 0 {
                return client.write_all(&bytes);
            }
        }
        client.write_all(&bytes)?;
        loop {
            let payload_at = read_frame(&mut server, &mut bytes)?;
            if !self.is_swallowed(&bytes[payload_at..]) {
                client.write_all(&bytes)?;
            }
        }
    }

    fn is_swallowed(&self, payload: &[u8]) -> bool {
        if !payload.starts_with(br#"{"ev":"message.sent","#) {
            return false;
        }
        if Some(self.deliveries.fetch_add(1, Ordering::Relaxed) + 1) != self.swallowed {
            return false;
        }
        *self.planted.lock().expect("no thread panicked") = Some(mark(payload));
        true
    }
}

/// Reads a whole frame, head and all, and says where its payload begins. What servers send is not masked.
fn read_frame(stream: &mut impl Read, frame: &mut Vec<u8>) -> io::Result<usize> {
    frame.resize(2, 0);
    stream.read_exact(frame)?;
    let more = match frame[1] & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let head = 2 + more;
    frame.resize(head, 0);
    stream.read_exact(&mut frame[2..])?;
    let length = match more {
        0 => u64::from(frame[1] & 0x7f),
        _ => frame[2..].iter().fold(0, |length, byte| length << 8 | u64::from(*byte)),
    };
    if length > FRAME_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    frame.resize(head + length as usize, 0);
    stream.read_exact(&mut frame[head..])?;
    Ok(head)
}

/// `hl.`, eight digits of the run, six of the room, six of the sender and eight of the number, all hexadecimal.
fn mark(payload: &[u8]) -> Planted {
    let text = String::from_utf8_lossy(payload);
    let (_, mark) = text.split_once("hl.").expect("every message carries a mark");
    let field = |from: usize, to: usize| u32::from_str_radix(&mark[from..to], 16).expect("hexadecimal");
    Planted { room: field(8, 14), sender: field(14, 20), number: field(20, 28) }
}

//! A small chat server on threads, which errs as it is told.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use base64::Engine as _;
use sha1::Digest as _;

/// What the server does wrong.
#[derive(Clone, Default)]
pub(super) struct Plan {
    /// The n-th delivery of the server is not made, made twice, or made after the next one of its listener.
    pub(super) drops: Option<u64>,
    pub(super) doubles: Option<u64>,
    pub(super) swaps: Option<u64>,
    /// The n-th send is refused, yet delivered.
    pub(super) refuses: Option<u64>,
    /// Everybody is closed with this code behind the n-th send.
    pub(super) closes: Option<(u64, u16)>,
    /// The answer to the upgrade.
    pub(super) status: Option<&'static str>,
    /// Follows the upgrade.
    pub(super) garbage: Option<&'static [u8]>,
    /// Messages go in frames of so many bytes, pings between them.
    pub(super) fragments: Option<usize>,
    pub(super) is_deflated: bool,
    pub(super) has_history: bool,
    pub(super) bars_rooms: bool,
    pub(super) tls: Option<Arc<rustls::ServerConfig>>,
}

#[derive(Default)]
pub(super) struct Hub {
    rooms: HashMap<String, Room>,
    keys: HashMap<String, u64>,
    pub(super) deliveries: u64,
    pub(super) sends: u64,
    pub(super) created: u64,
    pub(super) resumed: u64,
    pub(super) pongs: u64,
    pub(super) connections: u64,
    held: HashMap<u64, String>,
    everybody: HashMap<u64, Sender<Out>>,
    next: u64,
}

#[derive(Default)]
struct Room {
    history: Vec<String>,
    listeners: Vec<u64>,
}

enum Out {
    Text(String),
    Close(u16),
}

pub(super) struct Server {
    pub(super) address: SocketAddr,
    hub: Arc<Mutex<Hub>>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

trait Duplex: Read + Write + Send {}
impl<T: Read + Write + Send> Duplex for T {}

impl Server {
    pub(super) fn start(plan: Plan) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let (hub, is_over) = (Arc::new(Mutex::new(Hub::default())), Arc::new(AtomicBool::new(false)));
        let (shared, over) = (Arc::clone(&hub), Arc::clone(&is_over));
        let thread = std::thread::spawn(move || {
            let mut threads = Vec::new();
            for socket in listener.incoming() {
                if over.load(Ordering::SeqCst) {
                    break;
                }
                let (Ok(socket), hub, plan, over) = (socket, Arc::clone(&shared), plan.clone(), Arc::clone(&over))
                else {
                    continue;
                };
                threads.push(std::thread::spawn(move || drop(serve(socket, &hub, &plan, &over))));
            }
            for thread in threads {
                drop(thread.join());
            }
        });
        Self { address, hub, is_over, thread: Some(thread) }
    }

    pub(super) fn hub(&self) -> MutexGuard<'_, Hub> {
        self.hub.lock().expect("nobody panicked")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn serve(socket: TcpStream, hub: &Mutex<Hub>, plan: &Plan, is_over: &AtomicBool) -> io::Result<()> {
    socket.set_read_timeout(Some(Duration::from_millis(1)))?;
    socket.set_nodelay(true)?;
    let mut socket: Box<dyn Duplex> = match &plan.tls {
        None => Box::new(socket),
        Some(config) => {
            let tls = rustls::ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
            Box::new(rustls::StreamOwned::new(tls, socket))
        }
    };
    let mut input = Vec::new();
    let head = loop {
        if let Some(at) = memchr::memmem::find(&input, b"\r\n\r\n") {
            break input.drain(..at + 4).collect::<Vec<u8>>();
        }
        if is_over.load(Ordering::SeqCst) || !fill(&mut *socket, &mut input)? {
            return Ok(());
        }
    };
    socket.write_all(answer(&String::from_utf8_lossy(&head), plan).as_bytes())?;
    if plan.status.is_some() {
        return Ok(());
    }
    if let Some(garbage) = plan.garbage {
        socket.write_all(garbage)?;
    }
    let (sender, receiver) = channel();
    let number = {
        let mut hub = hub.lock().expect("nobody panicked");
        hub.next += 1;
        hub.connections += 1;
        let number = hub.next;
        drop(sender.send(Out::Text("ready".to_owned())));
        hub.everybody.insert(number, sender);
        number
    };
    let result = converse(&mut *socket, &mut input, number, hub, plan, &receiver, is_over);
    let mut hub = hub.lock().expect("nobody panicked");
    hub.everybody.remove(&number);
    for room in hub.rooms.values_mut() {
        room.listeners.retain(|listener| *listener != number);
    }
    result
}

fn converse(
    socket: &mut dyn Duplex,
    input: &mut Vec<u8>,
    number: u64,
    hub: &Mutex<Hub>,
    plan: &Plan,
    receiver: &Receiver<Out>,
    is_over: &AtomicBool,
) -> io::Result<()> {
    while !is_over.load(Ordering::SeqCst) {
        for out in receiver.try_iter() {
            match out {
                Out::Text(text) => socket.write_all(&frames(text.as_bytes(), plan))?,
                Out::Close(code) => {
                    socket.write_all(&[&[0x88, 2][..], &code.to_be_bytes()].concat())?;
                    return Ok(());
                }
            }
        }
        if !fill(socket, input)? {
            return Ok(());
        }
        while let Some((opcode, payload)) = unframe(input) {
            let mut hub = hub.lock().expect("nobody panicked");
            match opcode {
                1 => hub.take(number, &String::from_utf8_lossy(&payload), plan),
                8 => return Ok(()),
                10 => hub.pongs += 1,
                _ => {}
            }
        }
    }
    Ok(())
}

impl Hub {
    fn take(&mut self, number: u64, text: &str, plan: &Plan) {
        let words: Vec<&str> = text.splitn(5, ' ').collect();
        let (id, room) = (words[1], words[2].to_owned());
        match words[0] {
            "create" | "join" | "typing" => {
                self.created += u64::from(words[0] == "create");
                self.tell(number, format!("ok {id} 0"));
            }
            "sub" if plan.bars_rooms => self.tell(number, format!("no {id} forbidden 0")),
            "sub" => {
                let room = self.rooms.entry(room).or_default();
                room.listeners.push(number);
                let head = room.history.len();
                let after = words[3].parse::<usize>().ok().filter(|_| plan.has_history);
                let missed = after.map_or(Vec::new(), |after| room.history[after..].to_vec());
                self.tell(number, format!("ok {id} {head}"));
                if let Some(after) = after {
                    self.resumed += 1;
                    for (seq, body) in (after + 1..).zip(missed) {
                        self.tell(number, format!("msg {seq} {body}"));
                    }
                }
            }
            "send" => self.send(number, id, room, words[3], words[4], plan),
            _ => {}
        }
    }

    fn send(&mut self, number: u64, id: &str, name: String, key: &str, body: &str, plan: &Plan) {
        if let Some(seq) = self.keys.get(key) {
            return self.tell(number, format!("ok {id} {seq}"));
        }
        self.sends += 1;
        let room = self.rooms.entry(name).or_default();
        room.history.push(body.to_owned());
        let seq = if plan.has_history { room.history.len() } else { 0 };
        self.keys.insert(key.to_owned(), seq as u64);
        let text = format!("msg {seq} {body}");
        for listener in room.listeners.clone() {
            self.deliver(listener, &text, plan);
        }
        if plan.closes.is_some_and(|(nth, _)| nth == self.sends) {
            let code = plan.closes.map_or(1012, |(_, code)| code);
            // The sender gets no answer any more, and has to ask again.
            for (_, sender) in self.everybody.drain() {
                drop(sender.send(Out::Text("bye 10".to_owned())));
                drop(sender.send(Out::Close(code)));
            }
            return;
        }
        let answer = if plan.refuses == Some(self.sends) { format!("no {id} wrong 0") } else { format!("ok {id} 0") };
        self.tell(number, answer);
    }

    fn deliver(&mut self, listener: u64, text: &str, plan: &Plan) {
        self.deliveries += 1;
        let nth = Some(self.deliveries);
        if nth == plan.drops {
            return;
        }
        if nth == plan.swaps {
            self.held.insert(listener, text.to_owned());
            return;
        }
        self.tell(listener, text.to_owned());
        if nth == plan.doubles {
            self.tell(listener, text.to_owned());
        }
        if let Some(held) = self.held.remove(&listener) {
            self.tell(listener, held);
        }
    }

    fn tell(&self, number: u64, text: String) {
        if let Some(sender) = self.everybody.get(&number) {
            drop(sender.send(Out::Text(text)));
        }
    }
}

fn answer(head: &str, plan: &Plan) -> String {
    if let Some(status) = plan.status {
        return format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
    }
    let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap_or("");
    let proof = sha1::Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
    let proof = base64::engine::general_purpose::STANDARD.encode(proof);
    let extension = match plan.is_deflated && head.contains("permessage-deflate") {
        true => {
            "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n"
        }
        false => "",
    };
    format!(
        "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{extension}Sec-WebSocket-Accept: {proof}\r\n\r\n"
    )
}

fn frames(text: &[u8], plan: &Plan) -> Vec<u8> {
    let mut payload = text.to_vec();
    if plan.is_deflated {
        payload = Vec::with_capacity(text.len() + 64);
        let mut deflate = flate2::Compress::new(flate2::Compression::fast(), false);
        deflate.compress_vec(text, &mut payload, flate2::FlushCompress::Sync).expect("room enough");
        payload.truncate(payload.len() - 4);
    }
    let size = plan.fragments.unwrap_or(usize::MAX).min(payload.len()).max(1);
    let (mut bytes, count) = (Vec::new(), payload.chunks(size).count());
    for (nth, chunk) in payload.chunks(size).enumerate() {
        let first = u8::from(nth == 0) | (u8::from(nth + 1 == count) << 7);
        bytes.push(first | (u8::from(plan.is_deflated && nth == 0) << 6));
        match chunk.len() {
            length @ ..126 => bytes.push(length as u8),
            length => {
                bytes.push(126);
                bytes.extend_from_slice(&(length as u16).to_be_bytes());
            }
        }
        bytes.extend_from_slice(chunk);
        if plan.fragments.is_some() {
            bytes.extend_from_slice(&[0x89, 2, b'h', b'i']);
        }
    }
    bytes
}

/// Takes a client's frame.
fn unframe(input: &mut Vec<u8>) -> Option<(u8, Vec<u8>)> {
    let (head, length) = match *input.get(1)? & 0x7f {
        126 => (4, usize::from(u16::from_be_bytes([*input.get(2)?, *input.get(3)?]))),
        length => (2, usize::from(length)),
    };
    assert!(input[1] & 0x80 != 0, "clients mask");
    if input.len() < head + 4 + length {
        return None;
    }
    let frame: Vec<u8> = input.drain(..head + 4 + length).collect();
    let mask = frame[head..head + 4].iter().copied().cycle();
    Some((frame[0] & 15, frame[head + 4..].iter().zip(mask).map(|(byte, mask)| byte ^ mask).collect()))
}

/// Reads for a millisecond; false at the end.
fn fill(socket: &mut dyn Duplex, input: &mut Vec<u8>) -> io::Result<bool> {
    let mut buffer = [0; 4_096];
    match socket.read(&mut buffer) {
        Ok(0) => Ok(false),
        Ok(count) => {
            input.extend_from_slice(&buffer[..count]);
            Ok(true)
        }
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => Ok(true),
        Err(error) => Err(error),
    }
}

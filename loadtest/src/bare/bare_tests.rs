//! Real sockets against a server in a thread.

use std::io::Read as _;
use std::net::TcpStream;
use std::thread::JoinHandle;

use super::*;

/// Nothing here takes this long: it only keeps a broken test from hanging.
const PATIENCE: Duration = Duration::from_secs(20);

struct Running {
    address: SocketAddr,
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<Tally>>,
}

impl Running {
    fn start(mode: Mode, frame_bytes: Option<u32>) -> Self {
        let listen = "127.0.0.1:0".parse().expect("an address");
        let options = Options { listen, mode, tick: Duration::from_millis(5), frame_bytes };
        let (stop, end) = UnixStream::pair().expect("a pair");
        let mut server = Server::bind(&options, end).expect("bound");
        let address = server.address().expect("an address");
        let thread = std::thread::spawn(move || server.run().expect("served"));
        Self { address, stop: Some(stop), thread: Some(thread) }
    }

    fn end(mut self) -> Tally {
        drop(self.stop.take());
        self.thread.take().expect("started").join().expect("no panic")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

struct Client(TcpStream);

impl Client {
    fn new(running: &Running, path: &str) -> Self {
        let mut stream = TcpStream::connect(running.address).expect("connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        stream.set_nodelay(true).expect("set");
        let request =
            format!("GET {path}?q HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
        // In two parts, as the network may do it.
        let (first, second) = request.split_at(20);
        stream.write_all(first.as_bytes()).expect("sent");
        stream.write_all(second.as_bytes()).expect("sent");
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("an answer");
            answer.push(byte[0]);
        }
        assert!(answer.starts_with(b"HTTP/1.1 101 "));
        Self(stream)
    }

    fn send(&mut self, opcode: u8, payload: &[u8]) {
        let mut frame = Vec::new();
        wire::append_frame(opcode, payload, 0, &mut frame);
        let head = frame.len() - payload.len();
        frame[1] |= 0x80;
        frame.splice(head..head, [0, 0, 0, 0]);
        self.0.write_all(&frame).expect("sent");
    }

    /// Follows a room, and waits until the server has seen that.
    fn follow(&mut self, room: &str) {
        self.send(wire::TEXT, format!("sub {room}").as_bytes());
        self.send(wire::PING, b"?");
        assert_eq!(self.next(), (wire::PONG, b"?".to_vec()));
    }

    fn publish(&mut self, room: &str, body: &str) {
        self.send(wire::TEXT, format!("pub {room} {body}").as_bytes());
    }

    fn next(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 2];
        self.0.read_exact(&mut head).expect("a frame");
        let length = match head[1] {
            126 => {
                let mut length = [0; 2];
                self.0.read_exact(&mut length).expect("a length");
                usize::from(u16::from_be_bytes(length))
            }
            length => usize::from(length),
        };
        let mut payload = vec![0; length];
        self.0.read_exact(&mut payload).expect("a payload");
        (head[0] & 0x0f, payload)
    }

    fn texts(&mut self, count: usize) -> Vec<String> {
        (0..count).map(|_| String::from_utf8(self.next().1).expect("UTF-8")).collect()
    }
}

#[test]
fn three_sockets_in_two_rooms_get_what_they_should() {
    for mode in [Mode::Direct, Mode::Joined] {
        let running = Running::start(mode, None);
        let mut clients = [0; 3].map(|_| Client::new(&running, "/room"));
        let [first, second, third] = &mut clients;
        first.follow("a");
        second.follow("a");
        second.follow("b");
        third.follow("b");
        // One who follows twice is served once; the same name behind another path is another room.
        third.follow("b");
        let mut stranger = Client::new(&running, "/other");
        stranger.follow("a");
        first.publish("a", "one two");
        first.publish("b", "three");
        first.publish("nobody", "x");
        stranger.publish("a", "elsewhere");
        assert_eq!(first.texts(1), ["one two"], "{mode:?}");
        assert_eq!(second.texts(2), ["one two", "three"], "{mode:?}");
        assert_eq!(third.texts(1), ["three"], "{mode:?}");
        assert_eq!(stranger.texts(1), ["elsewhere"], "{mode:?}");
        first.publish("a", "last");
        assert_eq!((first.texts(1), second.texts(1)), (vec!["last".to_owned()], vec!["last".to_owned()]), "{mode:?}");
        let tally = running.end();
        assert_eq!((tally.messages, tally.deliveries, tally.accepted), (5, 7, 4), "{mode:?}");
        assert_eq!((tally.slow_closes, tally.refused), (0, 0), "{mode:?}");
    }
}

#[test]
fn who_leaves_gets_nothing_and_a_close_is_answered() {
    let running = Running::start(Mode::Direct, Some(300));
    let [mut stays, mut leaves] = [0; 2].map(|_| Client::new(&running, "/"));
    stays.follow("a");
    leaves.follow("a");
    leaves.send(wire::CLOSE, &1000_u16.to_be_bytes());
    assert_eq!(leaves.next(), (wire::CLOSE, 1000_u16.to_be_bytes().to_vec()));
    assert_eq!(leaves.0.read(&mut [0; 8]).expect("an end"), 0);
    stays.publish("a", "hello");
    let text = stays.texts(1).remove(0);
    assert_eq!((text.trim_end(), text.len()), ("hello", 296), "filled up to 300 with the head");
    assert_eq!(running.end().deliveries, 1);
}

#[test]
fn who_does_not_read_is_cut_off_and_the_others_are_not() {
    for mode in [Mode::Direct, Mode::Joined] {
        let running = Running::start(mode, None);
        let [mut slow, mut good, mut sender] = [0; 3].map(|_| Client::new(&running, "/"));
        slow.follow("a");
        good.follow("b");
        let body = "x".repeat(1 << 20);
        // More than the bound and whatever two kernel buffers take.
        for _ in 0..40 {
            sender.publish("a", &body);
        }
        sender.send(wire::PING, b"?");
        assert_eq!(sender.next(), (wire::PONG, b"?".to_vec()));
        good.publish("b", "still here");
        assert_eq!(good.texts(1), ["still here"]);
        assert_eq!(running.end().slow_closes, 1, "{mode:?}");
        drop(slow);
    }
}

#[test]
fn nonsense_is_refused() {
    let running = Running::start(Mode::Direct, None);
    let mut client = Client::new(&running, "/");
    client.send(wire::TEXT, b"hello");
    assert_eq!(client.0.read(&mut [0; 8]).expect("an end"), 0);
    let mut mute = TcpStream::connect(running.address).expect("connected");
    mute.set_read_timeout(Some(PATIENCE)).expect("set");
    mute.write_all(b"\x16\x03\x01 this is TLS\r\n").expect("sent");
    // Unread bytes may turn the end into a reset.
    assert!(matches!(mute.read(&mut [0; 8]), Ok(0) | Err(_)));
    assert_eq!(running.end().refused, 2);
}

#[test]
fn ticks_and_the_report() {
    assert_eq!((tick("10ms"), tick("1s")), (Ok(Duration::from_millis(10)), Ok(Duration::from_secs(1))));
    for wrong in ["10", "0ms", "1h", "-1ms", "60s"] {
        assert!(tick(wrong).is_err(), "{wrong}");
    }
    let tally = Tally { messages: 5, deliveries: 1_000, writes: 1_001, accepted: 3, slow_closes: 0, refused: 0 };
    let mut text = Vec::new();
    report(&tally, Duration::from_millis(6), &mut text).expect("written");
    let text = String::from_utf8(text).expect("UTF-8");
    assert!(text.ends_with("messages 5, deliveries 1000, writes 1001\nCPU 0.006 s, 6.000 µs per delivery\n"), "{text}");
}

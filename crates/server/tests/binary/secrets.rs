//! Bodies, tokens and passwords are planted everywhere and looked for in everything that the program says.
//!
//! The node logs at its most talkative level, and nothing of it is sampled away.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use rustix::process::Signal;

use crate::support::{Place, QUICK, address, http};

const TALKATIVE: [(&str, &str); 2] = [("HUBBUB_LOG_LEVEL", "trace"), ("HUBBUB_LOG_REPEATS_MAX", "0")];

/// In every planted text, and nowhere else.
const PLANT: &str = "planted";

/// A WebSocket, spoken by hand so that it can be spoken wrongly.
pub(crate) struct Socket {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Socket {
    /// Asks for a WebSocket with more header lines; returns what was answered to it, if it is none.
    fn try_open(listen: SocketAddr, headers: &str) -> Result<Self, String> {
        let mut stream = TcpStream::connect(listen).expect("connected");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("set");
        let upgrade = format!(
            "GET /v1/ws?token={PLANT}-query HTTP/1.1\r\nHost: {listen}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
        );
        stream.write_all(upgrade.as_bytes()).expect("asked");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("answered");
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).expect("text");
        if head.starts_with("HTTP/1.1 101") { Ok(Self { stream, read: Vec::new() }) } else { Err(head) }
    }

    /// A WebSocket for somebody who may have one.
    pub(crate) fn open(listen: SocketAddr, headers: &str) -> Self {
        Self::try_open(listen, headers).unwrap_or_else(|answer| panic!("no WebSocket: {answer}"))
    }

    /// Sends a frame with this first byte.
    fn frame(&mut self, first: u8, payload: &[u8]) {
        let mut frame = vec![first];
        match u8::try_from(payload.len()).ok().filter(|length| *length < 126) {
            Some(length) => frame.push(0x80 | length),
            None => {
                frame.push(0x80 | 126);
                frame.extend(u16::try_from(payload.len()).expect("short").to_be_bytes());
            }
        }
        // A mask of nothing leaves the payload as it is, in the clear for whoever would log the bytes.
        frame.extend([0; 4]);
        frame.extend(payload);
        self.stream.write_all(&frame).expect("sent");
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.frame(0x81, text.as_bytes());
    }

    /// Everything that has come, up to this word.
    pub(crate) fn read_until(&mut self, word: &str) -> String {
        loop {
            let text = String::from_utf8_lossy(&self.read).into_owned();
            if text.contains(word) {
                return text;
            }
            let mut part = [0; 4_096];
            let count = self.stream.read(&mut part).expect("read");
            assert!(count > 0, "no {word}, only {text}");
            self.read.extend(&part[..count]);
        }
    }

    /// Waits until the node has closed it.
    fn read_to_end(&mut self) {
        // One that is reset has ended as well.
        self.stream.read_to_end(&mut self.read).ok();
    }
}

/// What the program has said so far, and in it nothing that was planted.
struct Heard(String);

impl Heard {
    fn run(&mut self, place: &Place, args: &[&str], input: &str) {
        let outcome = place.run_with(&[], args, input);
        self.0 += &outcome.stdout;
        self.0 += &outcome.stderr;
    }

    fn holds(&self, plant: &str) {
        let found = self.0.lines().find(|line| line.contains(plant));
        assert_eq!(found, None, "{plant} was said");
    }
}

/// Everything that a client may send and that may go wrong.
fn talk(listen: SocketAddr, token: &str) {
    let bearer = format!("Authorization: Bearer {token}\r\n");
    let mut socket = Socket::open(listen, &bearer);
    socket.read_until("session.ready");
    let send = |id: u64, room: &str, body: &str| {
        format!(
            "{{\"id\":{id},\"cmd\":\"message.send\",\"room\":\"{room}\",\"client_msg_id\":\"c{id}\",\"body\":{body}}}"
        )
    };
    socket.text("{\"id\":1,\"cmd\":\"room.create\",\"name\":\"hall\",\"kind\":\"public\"}");
    socket.text("{\"id\":2,\"cmd\":\"room.subscribe\",\"room\":\"hall\"}");
    socket.text(&send(3, "hall", &format!("\"{PLANT}-body\"")));
    socket.text(&send(4, "nowhere", &format!("\"{PLANT}-body-nowhere\"")));
    socket.text(&send(5, "hall", &format!("\"{PLANT}-body-long{}\"", "x".repeat(3_000))));
    socket.text(&send(6, "hall", &format!("{{\"{PLANT}-body-key\":\"{PLANT}-body-object\"}}")));
    socket.text(&send(7, "hall", &format!("\"{PLANT}-body-control\\u0000\"")));
    socket.text(&format!("{{\"id\":8,\"cmd\":\"{PLANT}.command\",\"body\":\"{PLANT}-body-unknown\"}}"));
    socket.text(&format!("{{\"id\":9,\"cmd\":\"session.renew\",\"token\":\"{PLANT}-token-renew\"}}"));
    socket.text(&format!("{{\"id\":10,\"cmd\":\"message.send\",\"body\":\"{PLANT}-body-broken\""));
    socket.text(&format!("\"{PLANT}-body-no-object\""));
    socket.text("{\"id\":11,\"cmd\":\"room.list\"}");
    socket.read_until("\"re\":11");
    socket.frame(0x82, format!("{PLANT}-body-binary").as_bytes());
    socket.read_to_end();

    for (first, payload) in [
        (0x81, [format!("{PLANT}-body-latin").as_bytes(), &[0xff]].concat()),
        (0x8f, format!("{PLANT}-body-opcode").into_bytes()),
        (0xc1, format!("{PLANT}-body-reserved").into_bytes()),
        (0x88, [&[0x03, 0xe8][..], format!("{PLANT}-body-farewell").as_bytes()].concat()),
    ] {
        let mut socket = Socket::open(listen, &bearer);
        socket.read_until("session.ready");
        socket.frame(first, &payload);
        socket.read_to_end();
    }
    let mut stranger = Socket::open(listen, "");
    stranger.text(&format!("{{\"id\":1,\"cmd\":\"session.authenticate\",\"token\":\"{PLANT}-token-command\"}}"));
    stranger.read_until("token_invalid");
    for headers in [
        format!("Authorization: Bearer {PLANT}-token-header\r\n"),
        format!("Authorization: Basic {PLANT}-password-basic\r\n"),
        format!("Sec-WebSocket-Protocol: {PLANT}-protocol\r\n"),
        format!("Cookie: __Host-hubbub={PLANT}-token-cookie\r\nOrigin: http://{listen}\r\n"),
        format!("Cookie: __Host-hubbub={PLANT}-token-cookie-alone\r\n"),
    ] {
        assert!(Socket::try_open(listen, &headers).is_err(), "{headers}");
    }
    let offered = format!("Sec-WebSocket-Protocol: hubbub.v1.json, bearer.{PLANT}-token-protocol\r\n");
    Socket::open(listen, &offered).read_until("token_invalid");
}

/// The same over HTTP.
fn ask(listen: SocketAddr, token: &str) {
    let with = |request: &str, token: &str| format!("{request} HTTP/1.1\r\nAuthorization: Bearer {token}\r\nX-Rest:");
    let send = with("POST /v1/rooms/hall/messages", token);
    let good = format!("{{\"client_msg_id\":\"h\",\"body\":\"{PLANT}-body-http\"}}");
    assert_eq!(http(listen, &send, &good).0, 201);
    let bodies =
        [format!("{{\"body\":\"{PLANT}-body-http-broken"), format!("{{\"body\":[\"{PLANT}-body-http-list\"]}}")];
    for body in bodies {
        assert_eq!(http(listen, &send, &body).0, 400);
    }
    let query = with(&format!("GET /v1/rooms?after={PLANT}-query-after&limit={PLANT}-query-limit"), token);
    assert_eq!(http(listen, &query, "").0, 400);
    assert_eq!(http(listen, &with("GET /v1/rooms", &format!("{PLANT}-token-http")), "").0, 401);
    assert_eq!(http(listen, &format!("GET /v1/rooms?access_token={PLANT}-token-query"), "").0, 401);
    for login in [
        format!("{{\"name\":\"ada\",\"password\":\"{PLANT}-password-wrong\"}}"),
        format!("{{\"name\":\"{PLANT}-password-as-name\",\"password\":\"x\"}}"),
        format!("{{\"name\":\"ada\",\"password\":\"{PLANT}-password-broken"),
        format!("{{\"name\":\"ada\",\"password\":[\"{PLANT}-password-list\"]}}"),
    ] {
        assert!(http(listen, "POST /v1/auth/login", &login).0 >= 400);
    }
    let right = format!("{{\"name\":\"ada\",\"password\":\"{PLANT}-password-right\"}}");
    assert_eq!(http(listen, "POST /v1/auth/login", &right).0, 200);
}

#[test]
fn nothing_secret_is_said_whatever_happens() {
    let place = Place::new();
    place.write("secret", &format!("{PLANT}-secret-of-tokens-of-32-bytes"));
    let good = "auth.token_secret_file = \"secret\"\n";
    place.write("hubbub.toml", good);
    let mut heard = Heard(String::new());
    let mut node = place.serve(&[&QUICK[..], &TALKATIVE].concat());
    let line = node.wait_for("serving");
    let listen = address(&line, "listen");
    heard.run(&place, &["user", "add", "ada", "--password-stdin"], &format!("{PLANT}-password-right"));
    heard.run(&place, &["user", "add", "ada", "--password-stdin"], &format!("{PLANT}-password-again"));
    heard.run(&place, &["config", "show"], "");
    let token = place.run(&["token", "mint", "--user", "ada"]).stdout.trim().to_owned();
    talk(listen, &token);
    ask(listen, &token);
    // New secrets, right and wrong, in the file and beside it.
    place.write("secret", &format!("{PLANT}-another-secret-of-32-bytes-or-more"));
    node.wait_for("tokens are made and checked with other keys or claims from now on");
    place.write(
        "hubbub.toml",
        &format!("auth.token_secret = \"{PLANT}-short\"\nredis.url = \"redis://:{PLANT}-redis?x@h\"\n"),
    );
    node.signal(Signal::HUP);
    node.wait_for("the new configuration is not possible: nothing has changed");
    place.write("hubbub.toml", &format!("{good}database.url = \"postgres://ada:{PLANT}-restart@127.0.0.1/x\"\n"));
    node.wait_for("this setting changes at the next restart only: the node goes on with the old value");
    let ops = address(&line, "ops");
    heard.0 += &http(ops, "GET /debug/config", "").1;
    heard.0 += &http(ops, "GET /debug/connections", "").1;
    heard.0 += &http(ops, "GET /metrics", "").1;
    node.signal(Signal::TERM);
    let (code, log) = node.end();
    assert_eq!(code, Some(0), "{log}");
    heard.0 += &log;
    heard.holds(PLANT);
    let signature = token.rsplit('.').next().expect("a signature");
    heard.holds(signature);
    for said in ["somebody could not sign on", "refused over HTTP", "\"message\":\"refused\""] {
        assert!(log.contains(said), "the log is not as talkative as it was thought to be: {said}");
    }
}

#[test]
fn passwords_in_addresses_of_what_is_not_there_are_not_said() {
    let place = Place::new();
    let nobody = TcpListener::bind("127.0.0.1:0").expect("bound");
    let at = nobody.local_addr().expect("an address");
    let secret = ("HUBBUB_AUTH_TOKEN_SECRET", "0123456789abcdef0123456789abcdef");
    let redis = format!("redis://ada:{PLANT}-redis@{at}");
    let sentinels = format!("redis+sentinel://ada:{PLANT}-redis@{at}/main");
    let database = format!("postgres://ada:{PLANT}-database@{at}/hubbub");
    let replica = format!("postgres://ada:{PLANT}-replica@{at}/hubbub");
    let mut heard = Heard(String::new());
    for url in [&redis, &sentinels] {
        let more = [
            secret,
            ("HUBBUB_REDIS_URL", url.as_str()),
            ("HUBBUB_DATABASE_URL", database.as_str()),
            ("HUBBUB_DATABASE_REPLICA_URL", replica.as_str()),
        ];
        let mut node = place.serve(&[&QUICK[..], &TALKATIVE, &more].concat());
        // Somebody who hangs up at once: each of them is asked for, in vain.
        let hanging_up = nobody.try_clone().expect("cloned");
        hanging_up.set_nonblocking(false).expect("set");
        std::thread::spawn(move || while hanging_up.accept().is_ok() {});
        let line = node.wait_for("waiting for the database; not ready until it is there");
        heard.0 += &line.to_string();
        node.signal(Signal::TERM);
        heard.0 += &node.end().1;
    }
    heard.holds(PLANT);
}

//! The conversation: what comes in from the person, from the rooms and from the server, and what follows from it.
//!
//! Must never wait for an answer in its loop: everything that asks is a task.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use hubbub_client::protocol::{ErrorCode, RoomId, Seq};
use hubbub_client::{Client, ClientError, Delivery, RoomStream, State};
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::command::{self, Wish};
use super::editor::Edited;
use super::followed::Followed;
use super::front::{Front, Said, name_of, state_parts};
use super::input::Input;
use super::open::{self, Done, Kind, Outcome};

/// Messages that wait for their turn; then no more input is read.
const QUEUE_MAX: usize = 256;
/// Deliveries on their way from the rooms to the loop; each room has a buffer of its own before that.
const DELIVERIES: usize = 64;
/// How long the end waits for the last acked message to be shown.
const SETTLE: Duration = Duration::from_secs(2);
/// How often a status line that counts down is drawn.
const TICK: Duration = Duration::from_secs(1);

/// A message that waits for its turn.
struct Queued {
    room: Option<String>,
    body: String,
    client_msg_id: Option<String>,
    reference: Value,
}

/// What the loop does next.
enum Next {
    GoOn,
    Quit,
}

pub(super) struct Talk {
    client: Client,
    front: Front,
    create: bool,
    stay: bool,
    open: Vec<Followed>,
    /// The name of the room that is talked in.
    present: Option<String>,
    queue: VecDeque<Queued>,
    tasks: JoinSet<Done>,
    /// Rooms that are being opened: messages wait for them.
    opening: usize,
    sending: bool,
    /// The last message of one's own in a room and when its ack came: it is shown before the end.
    acked: Option<(String, Seq, Instant)>,
    deliveries: mpsc::Receiver<(RoomId, Delivery)>,
    forward: mpsc::Sender<(RoomId, Delivery)>,
    failed: bool,
}

impl Talk {
    pub(super) fn new(client: Client, front: Front, create: bool, stay: bool) -> Self {
        let (forward, deliveries) = mpsc::channel(DELIVERIES);
        Self {
            client,
            front,
            create,
            stay,
            open: Vec::new(),
            present: None,
            queue: VecDeque::new(),
            tasks: JoinSet::new(),
            opening: 0,
            sending: false,
            acked: None,
            deliveries,
            forward,
            failed: false,
        }
    }

    /// Talks until the person or the script has said all. Returns whether everything went well.
    pub(super) async fn run(mut self, rooms: Vec<String>) -> bool {
        self.present = rooms.first().cloned();
        for room in rooms {
            self.open(room, Value::Null, Kind::Start);
        }
        if let Err(error) = self.talk().await
            // Whoever reads the output has left and wanted no more.
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            self.failed = true;
            tracing::debug!(%error, "cannot talk to the terminal");
        }
        self.client.close().await;
        let closing = self.client.state().borrow().clone();
        drop(self.front);
        if let State::Closed { reason } = closing
            && reason != hubbub_client::CloseReason::ByCaller
        {
            eprintln!("hubbub chat: {}", super::text::one_line(&reason.to_string()));
            return false;
        }
        !self.failed
    }

    async fn talk(&mut self) -> io::Result<()> {
        let mut input = self.front.input()?;
        let mut state = self.client.state();
        let mut ended = false;
        let mut tick = tokio::time::interval(TICK);
        let terminated = terminated();
        tokio::pin!(terminated);
        self.say_state(&mut state)?;
        loop {
            self.send_next();
            self.show_status()?;
            let said_all = ended && !self.stay && self.queue.is_empty() && self.tasks.is_empty();
            let settled_at = self.unsettled_until();
            if said_all && settled_at.is_none_or(|at| at <= Instant::now()) {
                return Ok(());
            }
            let next = tokio::select! {
                read = input.recv(), if !ended && self.queue.len() < QUEUE_MAX => match read {
                    Some(read) => self.read(read, &mut ended)?,
                    None => { ended = true; Next::GoOn }
                },
                Some((room, delivery)) = self.deliveries.recv() => {
                    self.deliver(room, delivery)?;
                    Next::GoOn
                }
                Some(done) = self.tasks.join_next() => match done {
                    Ok(done) => self.done(done)?,
                    Err(error) => return Err(io::Error::other(error)),
                },
                changed = state.changed() => {
                    self.say_state(&mut state)?;
                    if changed.is_err() || matches!(*state.borrow(), State::Closed { .. }) { Next::Quit } else { Next::GoOn }
                }
                () = &mut terminated => {
                    self.failed |= !self.queue.is_empty() || self.sending;
                    Next::Quit
                }
                _ = tick.tick(), if self.front.is_screen() || said_all => Next::GoOn,
            };
            if matches!(next, Next::Quit) {
                return Ok(());
            }
        }
    }

    /// Until when the end waits for the last acked message to be shown; `None` when it was.
    fn unsettled_until(&self) -> Option<Instant> {
        let (room, seq, at) = self.acked.as_ref()?;
        let open = self.open.iter().find(|open| open.name == *room)?;
        (open.shown < *seq).then(|| *at + SETTLE)
    }

    fn say_state(&mut self, state: &mut watch::Receiver<State>) -> io::Result<()> {
        let state = state.borrow_and_update().clone();
        self.front.say(&Said::State(&state), &Value::Null)
    }

    fn show_status(&mut self) -> io::Result<()> {
        if !self.front.is_screen() {
            return Ok(());
        }
        let rooms = self.open.iter().map(|room| match room.unread {
            0 => format!("#{}", room.name),
            unread => format!("#{} ({unread})", room.name),
        });
        let waiting = self.queue.len() + usize::from(self.sending);
        let waiting = (waiting > 0).then(|| format!("{waiting} to send"));
        // What may be long and cut comes last.
        let (state, cause) = state_parts(&self.client.state().borrow());
        let parts: Vec<String> = std::iter::once(state).chain(waiting).chain(rooms).chain(cause).collect();
        self.front.show(&parts.join("  "), self.present.as_deref())
    }

    fn read(&mut self, read: Input, ended: &mut bool) -> io::Result<Next> {
        let line = match read {
            Input::Line(line) => line,
            Input::Terminal(event) => match self.front.take(event)? {
                Edited::Changed => return Ok(Next::GoOn),
                Edited::Quit => return Ok(Next::Quit),
                Edited::Line(line) => line,
            },
            Input::End(failure) => {
                *ended = true;
                return failure.map_or(Ok(Next::GoOn), Err);
            }
        };
        let wish = if self.front.is_screen() {
            command::typed(&line).map(|wish| wish.map(|wish| (wish, Value::Null)))
        } else if self.front.is_json() {
            command::scripted(&line)
        } else {
            Ok((!line.trim().is_empty())
                .then(|| (Wish::Send { room: None, body: line, client_msg_id: None }, Value::Null)))
        };
        match wish {
            Ok(Some((wish, reference))) => self.obey(wish, reference),
            Ok(None) => Ok(Next::GoOn),
            Err(reason) => self.wrong(&reason, &Value::Null),
        }
    }

    fn wrong(&mut self, reason: &str, reference: &Value) -> io::Result<Next> {
        self.failed |= !self.front.is_screen();
        self.front.say(&Said::Wrong { reason }, reference)?;
        Ok(Next::GoOn)
    }

    fn obey(&mut self, wish: Wish, reference: Value) -> io::Result<Next> {
        let client = self.client.clone();
        match wish {
            Wish::Send { room, body, client_msg_id } => {
                if room.is_none() && self.present.is_none() {
                    return self.wrong("in which room? /join NAME or /room NAME", &reference);
                }
                let room = room.or_else(|| self.present.clone());
                self.queue.push_back(Queued { room, body, client_msg_id, reference });
            }
            Wish::Join(room) | Wish::Turn(room) => match self.open.iter_mut().find(|open| open.name == room) {
                Some(open) => {
                    open.unread = 0;
                    self.present = Some(room);
                }
                None => self.open(room, reference, Kind::Open),
            },
            Wish::Leave(room) => match room.or_else(|| self.present.clone()) {
                Some(room) => self.ask(open::leave(client, room), reference, Kind::Other),
                None => return self.wrong("which room? /leave NAME", &reference),
            },
            Wish::Who(room) => match room.or_else(|| self.present.clone()) {
                Some(room) => self.ask(open::show(client, room), reference, Kind::Other),
                None => return self.wrong("in which room? /who NAME", &reference),
            },
            Wish::Rooms => self.ask(open::rooms(client), reference, Kind::Other),
            Wish::Create(room, kind) => self.ask(open::create(client, room, kind), reference, Kind::Open),
            Wish::Help => self.front.say(&Said::Help, &reference)?,
            Wish::Quit => return Ok(Next::Quit),
        }
        Ok(Next::GoOn)
    }

    fn open(&mut self, room: String, reference: Value, kind: Kind) {
        let opened = open::open(self.client.clone(), room, self.create);
        self.ask(opened, reference, kind);
    }

    fn ask(&mut self, task: impl Future<Output = Outcome> + Send + 'static, reference: Value, kind: Kind) {
        self.opening += usize::from(matches!(kind, Kind::Start | Kind::Open));
        self.tasks.spawn(async move { Done { outcome: task.await, reference, kind } });
    }

    /// Sends the next message when the one before has its ack, so that their order is that of the lines.
    fn send_next(&mut self) {
        if self.sending || self.opening > 0 {
            return;
        }
        let Some(Queued { room, body, client_msg_id, reference }) = self.queue.pop_front() else { return };
        let Some(room) = room else { return };
        self.sending = true;
        self.ask(open::send(self.client.clone(), room, body, client_msg_id), reference, Kind::Send);
    }

    fn done(&mut self, done: Done) -> io::Result<Next> {
        let Done { outcome, reference, kind } = done;
        match kind {
            Kind::Start | Kind::Open => self.opening -= 1,
            Kind::Send => self.sending = false,
            Kind::Other => {}
        }
        match outcome {
            Outcome::Opened { asked, room, stream, joined } => {
                self.front.say(&Said::Opened { room: &room, joined }, &reference)?;
                self.opened(stream, &asked, name_of(&room), kind);
            }
            Outcome::Created(room) => {
                self.front.say(&Said::Created { room: &room }, &reference)?;
                self.open(name_of(&room), Value::Null, Kind::Open);
            }
            Outcome::Left(room) => {
                self.close(room.id);
                self.front.say(&Said::Left { room: &room }, &reference)?;
            }
            Outcome::Rooms { rooms, more } => self.front.say(&Said::Rooms { rooms: &rooms, more }, &reference)?,
            Outcome::Shown(room) => {
                let seen = self.open.iter().find(|open| open.id == room.id);
                let seen = seen.map(|open| open.seen.iter().map(String::as_str).collect()).unwrap_or_default();
                self.front.say(&Said::Members { room: &room, seen }, &reference)?;
            }
            Outcome::Sent { room, sent } => {
                self.front.say(&Said::Acked { room: &room, sent: &sent }, &reference)?;
                self.acked = Some((room, sent.seq, Instant::now()));
            }
            Outcome::Failed { what, error } => return self.not_done(&what, &error, &reference, kind),
        }
        Ok(Next::GoOn)
    }

    fn not_done(&mut self, what: &str, error: &ClientError, reference: &Value, kind: Kind) -> io::Result<Next> {
        let hint = (error.code() == Some(ErrorCode::RoomNotFound.code())).then(|| {
            if self.front.is_screen() {
                "/rooms lists the rooms, /create NAME makes one".to_owned()
            } else {
                "--create makes a public room that does not exist".to_owned()
            }
        });
        self.front.say(&Said::Failed { what, error, hint }, reference)?;
        if self.front.is_screen() {
            return Ok(Next::GoOn);
        }
        self.failed = true;
        // Without the rooms that it was told to follow a command has nothing to do; a script hears of it.
        Ok(if kind == Kind::Start && !self.front.is_json() { Next::Quit } else { Next::GoOn })
    }

    fn opened(&mut self, mut stream: RoomStream, asked: &str, name: String, kind: Kind) {
        let (id, forward) = (stream.room(), self.forward.clone());
        let forward = tokio::spawn(async move {
            while let Some(delivery) = stream.next().await {
                if forward.send((id, delivery)).await.is_err() {
                    return;
                }
            }
        });
        // Of the rooms named on the command line the first one is talked in; a later wish turns to its own.
        if kind == Kind::Open || self.present.as_ref().is_none_or(|present| present == asked) {
            self.present = Some(name.clone());
        }
        self.open.push(Followed::new(id, name, forward));
    }

    fn close(&mut self, id: RoomId) {
        let Some(at) = self.open.iter().position(|open| open.id == id) else { return };
        let closed = self.open.remove(at);
        closed.forward.abort();
        if self.present.as_deref() == Some(closed.name.as_str()) {
            self.present = self.open.first().map(|open| open.name.clone());
        }
    }

    fn deliver(&mut self, id: RoomId, delivery: Delivery) -> io::Result<()> {
        let several = self.open.len() > 1;
        let Some(open) = self.open.iter_mut().find(|open| open.id == id) else { return Ok(()) };
        match delivery {
            Delivery::Event(event) => {
                open.note(&event);
                if self.present.as_deref() != Some(open.name.as_str()) {
                    open.unread += 1;
                }
                self.front.say(&Said::Event { room: &open.name, event: &event, several }, &Value::Null)
            }
            Delivery::Reset { head, .. } => self.front.say(&Said::Reset { room: &open.name, head }, &Value::Null),
            Delivery::Ended { error } => {
                self.front.say(&Said::Ended { room: &open.name, error: &error }, &Value::Null)?;
                self.close(id);
                Ok(())
            }
        }
    }
}

/// Resolves when the process is asked to end: Ctrl-C where the terminal is not raw, or SIGTERM.
async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};
    match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
        (Ok(mut interrupt), Ok(mut terminate)) => {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        }
        // Without handlers the signals end the process by themselves.
        _ => std::future::pending().await,
    }
}

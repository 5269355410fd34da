//! One WebSocket: a lean task that reads into a shared buffer, hands messages on in order, and ends cleanly.
//!
//! Owns reading, the frame budget, pongs and the closing handshake. Must never know what a message means: its
//! [`Handler`] does, and answers through the outbox.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io::ErrorKind;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hubbub_protocol::{CloseCode, ErrorCode, Refusal};
use hubbub_websocket::{Incoming, Opcode, Parser, ParserConfig, close_frame, close_reply, frame};

use crate::budget::Budget;
use crate::link::Link;
use crate::outbox::{Class, Closing};

/// Size of the read buffer that all connections of a thread share, in bytes.
const READ_BUFFER_BYTES: usize = 64 << 10;

/// How long a closed connection is read on, so that unread bytes do not turn the close frame into a reset.
const LINGER: Duration = Duration::from_secs(2);

thread_local! {
    static READ_BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BUFFER_BYTES]);
}

/// What the messages of a connection mean.
pub trait Handler: Send {
    /// A message in the form that waits its turn.
    type Work: Send;

    /// Takes one message out of the read buffer. Must not wait.
    fn sort(&mut self, link: &Link, message: Message<'_>) -> Sorted<Self::Work>;

    /// Does the work, in order, one after another.
    fn handle(&mut self, link: &Arc<Link>, work: Self::Work) -> impl Future<Output = ()> + Send;

    /// The connection has ended; `reason` is the name of the close code, or `lost`.
    fn ended(&mut self, link: &Arc<Link>, reason: &'static str);
}

/// A whole message.
#[derive(Clone, Copy, Debug)]
pub enum Message<'a> {
    /// Text.
    Text(&'a str),
    /// Bytes.
    Binary(&'a [u8]),
}

/// What a message turned out to be.
#[derive(Debug)]
pub enum Sorted<W> {
    /// Something to do.
    Work(W),
    /// Something to do, after which nothing more is read.
    Last(W),
    /// Done already.
    Done,
}

/// One WebSocket.
pub struct Connection<H: Handler> {
    link: Arc<Link>,
    parser: Parser,
    frames: Budget,
    handler: H,
    has_ended: bool,
}

/// What one read brought.
struct Batch<W> {
    work: Vec<W>,
    end: Option<End>,
}

/// Why reading ends, behind the work that came before.
enum End {
    /// The peer closed, with this code.
    Closed(Option<u16>),
    /// The peer broke the protocol.
    Violation { code: u16, reason: &'static str },
    /// Too many frames.
    TooManyFrames(Duration),
    /// The handler has said so: its last work closes the connection.
    Handler,
    /// The socket is at its end or broken.
    Lost,
}

/// Why the task was woken.
enum Turn {
    Readable,
    Closing(Closing),
}

impl<H: Handler> Connection<H> {
    /// A connection whose upgrade was answered.
    pub fn new(link: Arc<Link>, config: ParserConfig, frames_per_10s: u64, handler: H) -> Self {
        Self { link, parser: Parser::new(config), frames: Budget::per_10s(frames_per_10s), handler, has_ended: false }
    }

    /// Runs until the end; `first` is what came behind the upgrade request already.
    pub async fn run(mut self, mut first: Vec<u8>) {
        if !first.is_empty() {
            let batch = self.parse(&mut first);
            drop(first);
            Box::pin(self.work_off(batch)).await;
        }
        // What TLS decrypted together with the upgrade is not announced by the kernel again.
        if self.link.outbox.transport().is_tls()
            && let Some(batch) = self.read()
        {
            Box::pin(self.work_off(batch)).await;
        }
        let closing = loop {
            match poll_fn(|context| self.poll_turn(context)).await {
                Turn::Closing(closing) => break closing,
                Turn::Readable => {
                    if let Some(batch) = self.read() {
                        // Boxed, so that an idle connection does not pay for the largest command.
                        Box::pin(self.work_off(batch)).await;
                    }
                }
            }
        };
        self.end(closing);
        if matches!(closing, Closing::Frame(_)) {
            // A peer that does not read gets no longer than this; then the socket is simply closed.
            tokio::time::timeout(LINGER, self.linger()).await.ok();
        }
    }

    fn end(&mut self, closing: Closing) {
        if std::mem::replace(&mut self.has_ended, true) {
            return;
        }
        if closing == Closing::Broken {
            // Whoever waits for this socket is told that it is gone.
            self.link.outbox.break_off();
        }
        self.handler.ended(&self.link, reason(closing));
    }

    fn poll_turn(&self, context: &mut Context<'_>) -> Poll<Turn> {
        let outbox = &self.link.outbox;
        outbox.register(context);
        if let Some(closing) = outbox.closing() {
            return Poll::Ready(Turn::Closing(closing));
        }
        if let Poll::Ready(Err(())) = self.poll_drain(context) {
            return Poll::Ready(Turn::Closing(Closing::Broken));
        }
        // Who does not read what they asked for is not read from either.
        if outbox.is_congested() {
            return Poll::Pending;
        }
        match outbox.transport().poll_read_ready(context) {
            Poll::Ready(Ok(())) => Poll::Ready(Turn::Readable),
            Poll::Ready(Err(_)) => Poll::Ready(Turn::Closing(Closing::Broken)),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Reads once; none when there was nothing after all.
    fn read(&mut self) -> Option<Batch<H::Work>> {
        READ_BUFFER.with_borrow_mut(|buffer| match self.link.outbox.transport().try_read(buffer) {
            Ok(0) => Some(Batch { work: Vec::new(), end: Some(End::Lost) }),
            Ok(count) => Some(self.parse(&mut buffer[..count])),
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(_) => Some(Batch { work: Vec::new(), end: Some(End::Lost) }),
        })
    }

    fn parse(&mut self, mut bytes: &mut [u8]) -> Batch<H::Work> {
        let mut work = Vec::new();
        let now = Instant::now();
        self.link.touch();
        let (received, mut frames) = (bytes.len(), 0);
        let end = loop {
            let incoming = match self.parser.next(&mut bytes) {
                Ok(Some(incoming)) => incoming,
                Ok(None) => break None,
                Err(error) => break Some(End::Violation { code: error.close_code(), reason: error.reason() }),
            };
            frames += 1;
            if let Err(wait) = self.frames.take(now) {
                break Some(End::TooManyFrames(wait));
            }
            let message = match &incoming {
                Incoming::Text(text) => Message::Text(text),
                Incoming::Binary(bytes) => Message::Binary(bytes),
                Incoming::Ping(payload) => {
                    self.link.outbox.push(frame(Opcode::Pong, payload), Class::Paced);
                    continue;
                }
                Incoming::Pong(_) | Incoming::Fragment => continue,
                Incoming::Close(close) => break Some(End::Closed(close.as_ref().map(|(code, _)| *code))),
            };
            match self.handler.sort(&self.link, message) {
                Sorted::Work(item) => work.push(item),
                Sorted::Last(item) => {
                    work.push(item);
                    break Some(End::Handler);
                }
                Sorted::Done => {}
            }
        };
        self.link.received.note(received, frames);
        Batch { work, end }
    }

    async fn work_off(&mut self, batch: Batch<H::Work>) {
        for item in batch.work {
            self.handle(item).await;
            // Replies are paced by their reader.
            poll_fn(|context| self.poll_uncongested(context)).await;
        }
        let outbox = &self.link.outbox;
        match batch.end {
            None | Some(End::Handler) => {}
            Some(End::Closed(code)) => {
                outbox.close_with(None, close_reply(code), CloseCode::Normal.code());
            }
            Some(End::Violation { code, reason }) => {
                outbox.close_with(None, close_frame(code, reason), code);
            }
            Some(End::TooManyFrames(wait)) => {
                let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
                self.link.close_refused(&Refusal::new(ErrorCode::RateLimited).retry_after(wait), CloseCode::Policy);
            }
            Some(End::Lost) => outbox.break_off(),
        }
    }

    /// Does one piece of work; what waits for the socket goes out meanwhile, however long the work takes.
    async fn handle(&mut self, item: H::Work) {
        let outbox = &self.link.outbox;
        outbox.begin_work();
        let mut work = std::pin::pin!(self.handler.handle(&self.link, item));
        poll_fn(|context| {
            outbox.register(context);
            if outbox.poll_drain(context) == Poll::Ready(Err(())) {
                outbox.break_off();
            }
            if outbox.is_given_up() { Poll::Ready(()) } else { work.as_mut().poll(context) }
        })
        .await;
        outbox.end_work();
    }

    /// Writes what waits. A reader that is asked for nothing while much waits shows by reading that it is alive.
    fn poll_drain(&self, context: &mut Context<'_>) -> Poll<Result<(), ()>> {
        let outbox = &self.link.outbox;
        if !outbox.is_congested() {
            return outbox.poll_drain(context);
        }
        let before = outbox.waiting_bytes();
        let drained = outbox.poll_drain(context);
        if outbox.waiting_bytes() < before {
            self.link.touch();
        }
        drained
    }

    fn poll_uncongested(&self, context: &mut Context<'_>) -> Poll<()> {
        let outbox = &self.link.outbox;
        outbox.register(context);
        if outbox.closing().is_some() || !outbox.is_congested() {
            return Poll::Ready(());
        }
        match self.poll_drain(context) {
            Poll::Ready(Ok(())) => Poll::Ready(()),
            Poll::Ready(Err(())) => {
                outbox.break_off();
                Poll::Ready(())
            }
            Poll::Pending if outbox.is_congested() => Poll::Pending,
            Poll::Pending => Poll::Ready(()),
        }
    }

    /// Writes what is left with the close frame, says that this is the end, and reads until the peer agrees.
    async fn linger(&self) {
        let outbox = &self.link.outbox;
        let transport = outbox.transport();
        if poll_fn(|context| outbox.poll_drain(context)).await.is_err() {
            return;
        }
        transport.shutdown_write();
        loop {
            if poll_fn(|context| transport.poll_read_ready(context)).await.is_err() {
                return;
            }
            let read = READ_BUFFER.with_borrow_mut(|buffer| transport.try_read(buffer));
            match read {
                Ok(count) if count > 0 => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                _ => return,
            }
        }
    }
}

impl<H: Handler> Drop for Connection<H> {
    /// A task that was dropped or that panicked leaves nothing behind either.
    fn drop(&mut self) {
        self.end(Closing::Broken);
    }
}

/// The label of an end: few words, whatever code a client sends.
fn reason(closing: Closing) -> &'static str {
    match closing {
        Closing::Broken => "lost",
        Closing::Frame(code) => {
            CloseCode::ALL.iter().find(|known| known.code() == code).map_or("other", |known| known.name())
        }
    }
}

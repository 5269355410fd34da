//! For whom a thread works at the moment: what its log lines say beside their own words.
//!
//! The future of a command carries this and lends it to its thread while it is polled: two moves for each turn, and
//! nothing else while nothing is logged. A span for each command would be made whether anything is logged or not. Must
//! never hold what a client wrote, but for the name of a room.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;

use hubbub_protocol::{Command, RoomSelector, SessionId, UserId};

use crate::link::ConnectionId;

/// The target of lines that are records, one for each thing that happened, and no repetitions of each other however alike
/// they look. They may be switched off by this name.
pub const RECORDS: &str = "hubbub::connections";

thread_local! {
    static CURRENT: RefCell<Option<Context>> = const { RefCell::new(None) };
}

/// Whose command is at work.
#[derive(Clone, Debug)]
pub struct Context {
    /// None for a request over HTTP.
    pub connection: Option<ConnectionId>,
    /// None before somebody has signed on, and over HTTP.
    pub session: Option<SessionId>,
    /// None before somebody has signed on.
    pub user: Option<UserId>,
    /// The name of the command.
    pub command: &'static str,
    /// The room that it names, if it names one.
    pub room: Option<RoomSelector>,
}

impl Context {
    /// Does `work` for them: every line that is logged meanwhile tells so. It is pinned by the caller, since a future that
    /// takes another one has room for it twice.
    pub(crate) async fn during<F: Future>(self, mut work: Pin<&mut F>) -> F::Output {
        let mut own = Some(self);
        poll_fn(|turn| {
            let _lent = Lent::from(&mut own);
            work.as_mut().poll(turn)
        })
        .await
    }

    /// The room that a command names.
    pub(crate) fn room_of(command: &Command) -> Option<RoomSelector> {
        let room = match command {
            Command::RoomJoin(command) => &command.room,
            Command::RoomLeave(command) => &command.room,
            Command::RoomShow(command) => &command.room,
            Command::RoomSubscribe(command) => &command.room,
            Command::RoomUnsubscribe(command) => &command.room,
            Command::MessageSend(command) => &command.room,
            Command::MessageList(command) => &command.room,
            Command::EventList(command) => &command.room,
            Command::SessionAuthenticate(_)
            | Command::SessionRenew(_)
            | Command::SessionResume(_)
            | Command::RoomCreate(_)
            | Command::RoomList(_) => return None,
        };
        Some(room.clone())
    }
}

/// Somebody has signed on, or shown who they are, in the work of this thread.
pub(crate) fn signed_on(user: UserId, session: Option<SessionId>) {
    CURRENT.with(|current| {
        if let Ok(mut current) = current.try_borrow_mut()
            && let Some(context) = &mut *current
        {
            (context.user, context.session) = (Some(user), session);
        }
    });
}

/// Reads for whom this thread works at the moment; none: for nobody in particular.
pub fn current<R>(read: impl FnOnce(Option<&Context>) -> R) -> R {
    // While it is exchanged nobody logs, so that it is always there to be read.
    CURRENT.with(|current| match current.try_borrow() {
        Ok(context) => read(context.as_ref()),
        Err(_) => read(None),
    })
}

/// A context that the thread has, until dropped: also when the work panics.
struct Lent<'a>(&'a mut Option<Context>);

impl<'a> From<&'a mut Option<Context>> for Lent<'a> {
    fn from(own: &'a mut Option<Context>) -> Self {
        exchange(own);
        Self(own)
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        exchange(self.0);
    }
}

fn exchange(own: &mut Option<Context>) {
    CURRENT.with(|current| {
        if let Ok(mut current) = current.try_borrow_mut() {
            std::mem::swap(&mut *current, own);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(command: &'static str) -> Context {
        Context { connection: Some(7), session: None, user: None, command, room: None }
    }

    fn command() -> Option<&'static str> {
        current(|context| context.map(|context| context.command))
    }

    #[tokio::test]
    async fn each_turn_of_a_future_has_its_own_and_nothing_stays_behind() {
        let look = |name| {
            let work = Box::pin(async {
                let before = command();
                tokio::task::yield_now().await;
                (before, command())
            });
            async move { context(name).during({ work }.as_mut()).await }
        };
        let (one, other) = tokio::join!(look("one"), look("other"));
        assert_eq!(one, (Some("one"), Some("one")));
        assert_eq!(other, (Some("other"), Some("other")));
        assert_eq!(command(), None);
        let outer = std::pin::pin!(async { (look("inner").await, command()) });
        let within = context("outer").during(outer).await;
        assert_eq!(within, ((Some("inner"), Some("inner")), Some("outer")));
    }
}

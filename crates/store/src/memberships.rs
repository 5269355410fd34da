//! Memberships that are asked for in the same moment, read by one statement.
//!
//! Owns who waits for an answer. When thousands of connections come back at once each asks for its rooms; what comes
//! while one statement is on its way is the next one, and an idle store waits for nothing. Must never answer from a
//! statement that began before the question.

use std::collections::VecDeque;
use std::time::Duration;

use hubbub_protocol::{RoomId, RoomRole, Seq, UserId};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::circuit::{CALL_TIMEOUT, Settled};
use crate::engine::{Engine, Lease, pooled, postgres, sqlite};
use crate::error::{StoreError, StoreErrorKind};
use crate::metrics::Op;
use crate::store::{Store, call};

/// Most memberships that one statement reads.
const STATEMENT_ROWS_MAX: usize = 512;
/// With so many questions waiting a second statement is sent beside the first.
const SECOND_READER_AT: usize = 64;
/// Statements that are on their way at the same time.
const READERS_MAX: usize = 2;
/// Most questions that wait.
const WAITING_MAX: usize = 65_536;
/// How long a question may wait for its turn and for its statement, which has its own limits.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// What a user may do in a room and the room's head; none when no member.
type Membership = Option<(RoomRole, Seq)>;

struct Question {
    key: (RoomId, UserId),
    answer: oneshot::Sender<Result<Membership, StoreError>>,
}

/// The questions of one store.
#[derive(Default)]
pub(crate) struct Memberships(Mutex<State>);

#[derive(Default)]
struct State {
    waiting: VecDeque<Question>,
    readers: usize,
}

impl Memberships {
    /// Takes a question; true when the caller has to start a reader.
    fn ask(&self, question: Question) -> Result<bool, StoreError> {
        let mut state = self.0.lock();
        if state.waiting.len() >= WAITING_MAX {
            return Err(StoreError::new(StoreErrorKind::Overloaded, "too many memberships wait to be read"));
        }
        state.waiting.push_back(question);
        let wanted = state.readers < READERS_MAX && state.waiting.len() > state.readers * SECOND_READER_AT;
        state.readers += usize::from(wanted);
        Ok(wanted)
    }

    /// What the next statement reads, without those who have gone. The reader that gets nothing has ended.
    fn take(&self) -> Vec<Question> {
        let mut state = self.0.lock();
        let mut taken = Vec::new();
        while taken.len() < STATEMENT_ROWS_MAX
            && let Some(question) = state.waiting.pop_front()
        {
            if !question.answer.is_closed() {
                taken.push(question);
            }
        }
        if taken.is_empty() {
            state.readers -= 1;
        }
        taken
    }

    /// A reader has ended without having been told to. Nobody would come for what waits if it was the last.
    fn give_up(&self) {
        let mut state = self.0.lock();
        state.readers -= 1;
        let unread = if state.readers == 0 { std::mem::take(&mut state.waiting) } else { VecDeque::new() };
        drop(state);
        // Each waiter learns of it by the loss of its question.
        drop(unread);
    }
}

impl Store {
    /// What a user may do in a room and the room's head, both of one moment; none when no member. Questions of the same
    /// moment are read together.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn membership(&self, room: RoomId, user: UserId) -> Result<Membership, StoreError> {
        self.0.circuit.admit()?;
        let (answer, answered) = oneshot::channel();
        if self.0.memberships.ask(Question { key: (room, user), answer })? {
            // A task of its own: whoever asked first may lose interest, and the others wait on.
            tokio::spawn(Reader { store: self.clone(), is_over: false }.run());
        }
        match tokio::time::timeout(ANSWER_TIMEOUT, answered).await {
            Ok(answer) => {
                answer.unwrap_or_else(|_| Err(StoreError::new(StoreErrorKind::Unavailable, "a read was given up")))
            }
            Err(_) => Err(StoreError::new(StoreErrorKind::Overloaded, "a membership waited too long to be read")),
        }
    }

    async fn read_memberships(&self, keys: &[(RoomId, UserId)]) -> Result<Vec<Membership>, StoreError> {
        call!(self, Memberships, reads, rooms::memberships(keys))
    }
}

/// Reads until nothing waits.
struct Reader {
    store: Store,
    is_over: bool,
}

impl Reader {
    async fn run(mut self) {
        loop {
            let questions = self.store.0.memberships.take();
            if questions.is_empty() {
                self.is_over = true;
                return;
            }
            let keys: Vec<_> = questions.iter().map(|question| question.key).collect();
            let read = self.store.read_memberships(&keys).await;
            for (at, question) in questions.into_iter().enumerate() {
                let answer = match &read {
                    Ok(found) => Ok(found.get(at).copied().flatten()),
                    Err(error) => Err(error.clone()),
                };
                // Whoever asked may be gone.
                question.answer.send(answer).ok();
            }
        }
    }
}

impl Drop for Reader {
    /// A task that is dropped or panics half way must not leave the questions waiting for it.
    fn drop(&mut self) {
        if !self.is_over {
            self.store.0.memberships.give_up();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_reader_that_breaks_leaves_nobody_waiting() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let url = format!("sqlite://{}", folder.path().join("store.db").display());
        let config = crate::StoreConfig { pool_max: 1, ..crate::StoreConfig::new(url) };
        let store =
            Store::open(&config, &prometheus::Registry::new(), std::sync::Arc::new(|_| {})).await.expect("a store");
        let ask = || {
            let (answer, answered) = oneshot::channel();
            let key = (RoomId::new(), UserId::new());
            (store.0.memberships.ask(Question { key, answer }).expect("room to wait"), answered)
        };
        let (is_reader, mut first) = ask();
        assert!(is_reader);
        let (is_reader, mut second) = ask();
        assert!(!is_reader);
        let reader = Reader { store: store.clone(), is_over: false };
        drop(reader);
        for answered in [&mut first, &mut second] {
            assert_eq!(answered.try_recv().err(), Some(oneshot::error::TryRecvError::Closed));
        }
        assert_eq!(store.membership(RoomId::new(), UserId::new()).await.expect("an answer"), None);
    }

    #[test]
    fn nobody_reads_for_those_who_have_gone() {
        let memberships = Memberships::default();
        let ask = || {
            let (answer, answered) = oneshot::channel();
            let key = (RoomId::new(), UserId::new());
            (memberships.ask(Question { key, answer }).expect("room to wait"), answered)
        };
        let (is_reader, gone) = ask();
        let (_, _stays) = ask();
        drop(gone);
        assert!(is_reader);
        assert_eq!(memberships.take().len(), 1);
        drop(ask());
        assert!(memberships.take().is_empty(), "the reader has ended");
        assert!(ask().0, "the next one begins");
    }
}

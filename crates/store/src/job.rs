//! One write that waits for its commit: what it does, how large it is, whom to answer.
//!
//! Must never touch a database.

use std::sync::Arc;

use hubbub_protocol::{RoomEvent, RoomEventData, RoomId};
use hubbub_trace::{Kind, Span};
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;

use crate::append::{Append, Appended, NewRoom};
use crate::error::{AppendError, StoreError, StoreErrorKind};

/// Bytes that a write costs beside its texts: ids, places in tables, the way back.
const JOB_BYTES_BASE: usize = 512;

/// Bytes that one member of a new room costs.
const MEMBER_BYTES: usize = 128;

/// What a write does.
#[derive(Debug)]
pub(crate) enum Work {
    /// Appends to a room that is there. `payload` is the event's data as it is stored.
    Append { append: Append, payload: String },
    /// Makes a room. `direct_key` names the people of a direct one.
    Create { room: NewRoom, direct_key: Option<String> },
}

/// What became of a write. `Created` has the event when this write made the room.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Appended(Appended),
    Created { event: Arc<RoomEvent> },
    Existing { room: RoomId },
    Refused(AppendError),
}

/// A write that waits.
pub(crate) struct Job {
    pub(crate) work: Work,
    pub(crate) bytes: usize,
    /// The event of an attempt whose commit was sent and not answered: it may stand in the log.
    pub(crate) lost: Option<Arc<RoomEvent>>,
    pub(crate) answer: oneshot::Sender<Outcome>,
    /// From here to the answer.
    span: Span,
    /// The part of it that is under way: waiting, then the commit.
    stage: Span,
}

impl Job {
    pub(crate) fn append(append: Append) -> Result<(Self, oneshot::Receiver<Outcome>), StoreError> {
        let payload = serde_json::to_string(&append.data).map_err(|error| broken("an event is no JSON", error))?;
        check_texts(&append)?;
        let bytes = JOB_BYTES_BASE + payload.len() * 2 + append.by.name.len();
        Ok(Self::new(Work::Append { append, payload }, bytes))
    }

    pub(crate) fn create(room: NewRoom) -> Result<(Self, oneshot::Receiver<Outcome>), StoreError> {
        use hubbub_protocol::RoomKind;
        if (room.kind == RoomKind::Direct) != room.name.is_none() {
            return Err(invalid("a room has a name unless it is direct"));
        }
        if !room.members.iter().any(|member| member.user.id == room.creator.id) {
            return Err(invalid("the creator of a room is one of its first members"));
        }
        let mut people: Vec<_> = room.members.iter().map(|member| member.user.id).collect();
        people.sort_unstable();
        if people.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(invalid("the first members of a room are different people"));
        }
        if room.members.iter().any(|member| member.user.name.contains('\0')) {
            return Err(invalid("a name holds a NUL"));
        }
        let direct_key = (room.kind == RoomKind::Direct).then(|| {
            let mut hash = Sha256::new();
            people.iter().for_each(|user| hash.update(user.as_uuid().as_bytes()));
            hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
        });
        let bytes = JOB_BYTES_BASE + room.members.len() * MEMBER_BYTES;
        Ok(Self::new(Work::Create { room, direct_key }, bytes))
    }

    fn new(work: Work, bytes: usize) -> (Self, oneshot::Receiver<Outcome>) {
        let (answer, outcome) = oneshot::channel();
        (Self { work, bytes, lost: None, answer, span: Span::none(), stage: Span::none() }, outcome)
    }

    /// The same write as a part of the trace of the command that asks for it; it waits from now on.
    pub(crate) fn traced(mut self) -> Self {
        self.span = hubbub_trace::child("store.append", Kind::Internal);
        self.span.set("hubbub.room", self.room());
        self.stage = self.span.child("store.wait", Kind::Internal);
        self
    }

    /// It has waited: it is committed together with others, so many in all.
    pub(crate) fn commits(&mut self, batch: usize) {
        self.stage = self.span.child("store.commit", Kind::Internal);
        self.stage.set("hubbub.batch", batch);
    }

    /// Puts the event that it made in its trace, unless somebody has it already.
    pub(crate) fn trace(&mut self, event: &mut Arc<RoomEvent>) {
        self.stage = Span::none();
        let Some(context) = self.span.context() else { return };
        self.span.set("hubbub.seq", event.seq);
        if let Some(event) = Arc::get_mut(event) {
            event.trace = Some(Box::new(context));
        }
    }

    /// Notes that the store failed it.
    pub(crate) fn failed(&mut self) {
        self.span.fail("store");
    }

    fn room(&self) -> RoomId {
        match &self.work {
            Work::Append { append, .. } => append.room,
            Work::Create { room, .. } => room.id,
        }
    }

    /// Answers whoever waits. Nobody may: a caller that was cancelled does not undo its write.
    pub(crate) fn answer(self, outcome: Outcome) {
        if self.answer.send(outcome).is_err() {
            tracing::trace!("a write was committed for nobody");
        }
    }
}

/// PostgreSQL stores no NUL in a text. The limits above keep it out; here it would fail a batch.
fn check_texts(append: &Append) -> Result<(), StoreError> {
    let holds_nul = append.by.name.contains('\0')
        || match &append.data {
            RoomEventData::RoomCreated(_) => return Err(invalid("a room is made by `create_room`")),
            RoomEventData::MessageSent(message) => message.body.contains('\0'),
            RoomEventData::MemberJoined(joined) => joined.user.name.contains('\0'),
            data => data.name().contains('\0'),
        };
    if holds_nul { Err(invalid("a text holds a NUL")) } else { Ok(()) }
}

fn invalid(text: &'static str) -> StoreError {
    StoreError::new(StoreErrorKind::Internal, text)
}

fn broken(text: &'static str, source: serde_json::Error) -> StoreError {
    invalid(text).caused_by(source)
}

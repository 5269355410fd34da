//! Decides what a batch of writes comes to, given what the database holds: pure, in memory, in order of arrival.
//!
//! Must never read or write a database; the transaction that asks holds the rooms locked.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use hubbub_protocol::event::{MemberJoined, RoomCreated};
use hubbub_protocol::reply::Sent;
use hubbub_protocol::{ClientMsgId, Room, RoomEvent, RoomEventData, RoomId, RoomRole, Seq, Timestamp, UserId, UserRef};

use crate::append::{Append, Appended, Guard, NewRoom};
use crate::error::AppendError;
use crate::job::{Job, Outcome, Work};

/// Where a room's log ends, and how many members it has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RoomState {
    pub(crate) head: Seq,
    pub(crate) members: u64,
}

/// An event as the log has it, to be compared with one whose commit was not answered.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Logged {
    pub(crate) at: Timestamp,
    pub(crate) by: UserId,
    pub(crate) kind: String,
    pub(crate) payload: String,
}

/// What the database holds of everything that the batch touches. The rooms are locked.
#[derive(Default)]
pub(crate) struct Snapshot {
    /// The rooms of the appends that exist.
    pub(crate) rooms: HashMap<RoomId, RoomState>,
    /// The roles of those whom a guard, a join or a leave asks about.
    pub(crate) roles: HashMap<(RoomId, UserId), RoomRole>,
    /// The messages that are there by sender and `client_msg_id`.
    pub(crate) sent: HashMap<(RoomId, UserId, String), Sent>,
    /// What the log has where an unanswered attempt may have written.
    pub(crate) logged: HashMap<(RoomId, Seq), Logged>,
    /// The rooms that this transaction has made.
    pub(crate) made: HashSet<RoomId>,
    /// For each room that was to be made and was not: the room that stands in its place, if it is the same.
    pub(crate) existing: HashMap<RoomId, RoomId>,
}

/// A change of one membership over the whole batch.
#[derive(Clone, Debug)]
pub(crate) struct Membership {
    /// The row is there and must go, or go first.
    pub(crate) had_row: bool,
    /// The row that shall be there.
    pub(crate) row: Option<(Arc<str>, RoomRole)>,
}

/// A batch that was decided.
pub(crate) struct Plan {
    /// For each job, in their order.
    pub(crate) outcomes: Vec<Outcome>,
    /// New events with the index of their job, in commit order.
    pub(crate) events: Vec<(usize, Arc<RoomEvent>)>,
    /// Memberships that change, by room and user.
    pub(crate) members: BTreeMap<(RoomId, UserId), Membership>,
    /// The rooms that changed, as they shall be.
    pub(crate) rooms: BTreeMap<RoomId, RoomState>,
}

impl Plan {
    /// A batch that is written already.
    pub(crate) fn done(outcomes: Vec<Outcome>) -> Self {
        Self { outcomes, events: Vec::new(), members: BTreeMap::new(), rooms: BTreeMap::new() }
    }

    /// Decides each job in order.
    pub(crate) fn decide(jobs: &[Job], snapshot: Snapshot, at: Timestamp) -> Self {
        let plan = Self {
            outcomes: Vec::with_capacity(jobs.len()),
            events: Vec::with_capacity(jobs.len()),
            members: BTreeMap::new(),
            rooms: BTreeMap::new(),
        };
        let mut planner = Planner { snapshot, plan, at, fresh: HashSet::new() };
        for (index, job) in jobs.iter().enumerate() {
            let outcome = planner.decide(index, job);
            planner.plan.outcomes.push(outcome);
        }
        planner.plan
    }

    /// Whether nothing is to be written.
    pub(crate) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }
}

struct Planner {
    snapshot: Snapshot,
    plan: Plan,
    at: Timestamp,
    /// Messages of this batch, which are nobody's earlier commit.
    fresh: HashSet<(RoomId, Seq)>,
}

impl Planner {
    fn decide(&mut self, index: usize, job: &Job) -> Outcome {
        match &job.work {
            Work::Append { append, payload } => match self.append(index, append, payload, job.lost.as_ref()) {
                Ok(appended) => Outcome::Appended(appended),
                Err(error) => Outcome::Refused(error),
            },
            Work::Create { room, .. } => self.create(index, room, job.lost.as_ref()),
        }
    }

    fn create(&mut self, index: usize, room: &NewRoom, lost: Option<&Arc<RoomEvent>>) -> Outcome {
        if self.snapshot.made.contains(&room.id) {
            let event = Arc::new(created_event(room, self.at));
            for member in &room.members {
                let row = Some((Arc::clone(&member.user.name), member.role));
                self.plan.members.insert((room.id, member.user.id), Membership { had_row: false, row });
            }
            self.plan.events.push((index, Arc::clone(&event)));
            return Outcome::Created { event };
        }
        match (self.snapshot.existing.get(&room.id), lost) {
            (Some(there), Some(lost)) if *there == room.id => Outcome::Created { event: Arc::clone(lost) },
            (Some(there), _) => Outcome::Existing { room: *there },
            (None, _) => Outcome::Refused(AppendError::Conflict("a room of this name is there already")),
        }
    }

    fn append(
        &mut self,
        index: usize,
        append: &Append,
        payload: &str,
        lost: Option<&Arc<RoomEvent>>,
    ) -> Result<Appended, AppendError> {
        let Some(state) = self.snapshot.rooms.get(&append.room).copied() else {
            return Err(AppendError::RoomNotFound);
        };
        if let Some(lost) = lost.filter(|lost| self.stands_in_log(lost, payload)) {
            return Ok(Appended::Committed(Arc::clone(lost)));
        }
        if let Some(earlier) = self.sent_before(append) {
            return Ok(earlier);
        }
        self.check(append)?;
        let Some(members) = self.change_members(append, state.members) else { return Ok(Appended::Unchanged) };
        let state = RoomState { head: state.head + 1, members };
        let event = Arc::new(RoomEvent {
            room: append.room,
            seq: state.head,
            at: self.at,
            by: append.by.clone(),
            data: append.data.clone(),
            trace: None,
        });
        self.remember(append, &event);
        self.snapshot.rooms.insert(append.room, state);
        self.plan.rooms.insert(append.room, state);
        self.plan.events.push((index, Arc::clone(&event)));
        Ok(Appended::Committed(event))
    }

    /// Whether the attempt whose commit was not answered did commit. A batch commits whole, and its rooms were
    /// locked until it ended, so what stands in its place in the log is either its own or never will be.
    fn stands_in_log(&self, lost: &RoomEvent, payload: &str) -> bool {
        self.snapshot.logged.get(&(lost.room, lost.seq)).is_some_and(|logged| {
            logged.at == lost.at
                && logged.by == lost.by.id
                && logged.kind == lost.data.name()
                && logged.payload == payload
        })
    }

    /// The message as it was committed before. With our own id it is our own commit, of which nobody was told.
    fn sent_before(&self, append: &Append) -> Option<Appended> {
        let RoomEventData::MessageSent(message) = &append.data else { return None };
        let sent = self.snapshot.sent.get(&message_key(append.room, append.by.id, &message.client_msg_id))?;
        if sent.id == message.id && !self.fresh.contains(&(append.room, sent.seq)) {
            return Some(Appended::Committed(Arc::new(RoomEvent {
                room: append.room,
                seq: sent.seq,
                at: sent.at,
                by: append.by.clone(),
                data: append.data.clone(),
                trace: None,
            })));
        }
        Some(Appended::Duplicate(sent.clone()))
    }

    fn check(&self, append: &Append) -> Result<(), AppendError> {
        let role = || self.snapshot.roles.get(&(append.room, append.by.id)).copied();
        match append.guard {
            Guard::Open => Ok(()),
            Guard::Member => role().map(drop).ok_or(AppendError::NotAMember),
            Guard::AtLeast(least) => match role() {
                None => Err(AppendError::NotAMember),
                Some(role) if role < least => Err(AppendError::Forbidden),
                Some(_) => Ok(()),
            },
        }
    }

    /// The row effects on members, by kind of event; a kind that has none needs no line here. Answers the room's
    /// number of members, or nothing when the event would change nothing.
    fn change_members(&mut self, append: &Append, members: u64) -> Option<u64> {
        match &append.data {
            RoomEventData::MemberJoined(MemberJoined { user, role }) => {
                self.set_member(append.room, user, Some(*role)).then_some(members + 1)
            }
            RoomEventData::MemberLeft(left) => {
                self.set_member(append.room, &left.user, None).then(|| members.saturating_sub(1))
            }
            _ => Some(members),
        }
    }

    fn set_member(&mut self, room: RoomId, user: &UserRef, role: Option<RoomRole>) -> bool {
        let key = (room, user.id);
        let present = self.snapshot.roles.get(&key).copied();
        if present.is_some() == role.is_some() {
            return false;
        }
        match role {
            Some(role) => self.snapshot.roles.insert(key, role),
            None => self.snapshot.roles.remove(&key),
        };
        let change = self.plan.members.entry(key).or_insert(Membership { had_row: present.is_some(), row: None });
        change.row = role.map(|role| (Arc::clone(&user.name), role));
        true
    }

    fn remember(&mut self, append: &Append, event: &RoomEvent) {
        if let RoomEventData::MessageSent(message) = &append.data {
            let sent = Sent { seq: event.seq, id: message.id, at: event.at, duplicate: true };
            self.snapshot.sent.insert(message_key(append.room, append.by.id, &message.client_msg_id), sent);
            self.fresh.insert((append.room, event.seq));
        }
    }
}

fn message_key(room: RoomId, by: UserId, client_msg_id: &ClientMsgId) -> (RoomId, UserId, String) {
    (room, by, client_msg_id.as_str().to_owned())
}

/// The event that stands for a new room and its first members.
fn created_event(new: &NewRoom, at: Timestamp) -> RoomEvent {
    let peers = (new.kind == hubbub_protocol::RoomKind::Direct).then(|| {
        let mut peers: Vec<_> = new.members.iter().map(|member| member.user.clone()).collect();
        peers.sort_unstable_by_key(|user| user.id);
        peers
    });
    let room = Room {
        id: new.id,
        name: new.name.clone(),
        kind: new.kind,
        head: 1,
        members: new.members.len() as u64,
        created_at: at,
        peers,
    };
    let data = RoomCreated { room, members: new.members.clone() }.into();
    RoomEvent { room: new.id, seq: 1, at, by: new.creator.clone(), data, trace: None }
}

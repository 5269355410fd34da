//! From a request to follow a room to a live subscription.
//!
//! Owns the order of invariant 6: the live feed is attached before the head is read, the reply is pushed before
//! the replay begins. Must never decide who may follow: that was done before.

use std::sync::Arc;

use hubbub_protocol::mutation::{self, Mutation};
use hubbub_protocol::reply::{Gap, Subscribed};
use hubbub_protocol::{ErrorCode, Refusal, RoomId, Seq};

use super::Hub;
use super::epoch::send_back;
use super::lane::{SubscriptionId, next_subscription_id};
use super::repair::Cause;
use super::room::{Membership, Room};
use crate::link::Link;

/// Where a subscription begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum From {
    /// At the live end.
    Now,
    /// Behind this seq.
    After(Seq),
    /// So many events before the end.
    Last(u64),
    /// The client's cursor belongs to another epoch: at the live end, and it is told.
    Foreign,
}

/// A subscription whose reply is about to be pushed. [`Hub::begin`] starts it.
pub struct Beginning {
    room: Arc<Room>,
    link: Arc<Link>,
    start: Option<(SubscriptionId, Seq)>,
}

impl Beginning {
    /// Whether the member may have left since they were last seen to be one; then that has to be looked at again.
    #[must_use]
    pub fn may_have_left(&self, member: Membership) -> bool {
        self.room.may_have_left(member)
    }

    /// Ends the subscription instead of starting it.
    pub fn call_off(self, subscription: SubscriptionId) {
        self.room.unsubscribe(subscription, &self.link);
    }
}

/// A hold that ends when it is dropped, by a command that is given up too.
struct Held(Arc<Room>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.release();
    }
}

impl Hub {
    /// Prepares a subscription. `present` is the connection's subscription to the room, if it has one.
    ///
    /// Returns the reply, the subscription's id and what to begin once the reply is pushed.
    ///
    /// # Errors
    /// 90002 when the head cannot be read.
    pub async fn subscribe(
        self: &Arc<Self>,
        link: &Arc<Link>,
        member: Membership,
        id: RoomId,
        from: From,
        present: Option<SubscriptionId>,
    ) -> Result<(Subscribed, SubscriptionId, Beginning), Refusal> {
        let room = Held(self.hold(id));
        let head = self.settle(&room.0, from).await?;
        Ok(self.place(&room.0, link, member, from, present, head))
    }

    /// Enters the subscription. A former one ends first, so that what it still delivered lies at or below the head
    /// of the reply, where the replay may bring it again as asked.
    fn place(
        &self,
        room: &Arc<Room>,
        link: &Arc<Link>,
        member: Membership,
        from: From,
        present: Option<SubscriptionId>,
        settled: Seq,
    ) -> (Subscribed, SubscriptionId, Beginning) {
        let head = |room: &Room| settled.max(room.head().unwrap_or(settled));
        let beginning = |start| Beginning { room: Arc::clone(room), link: Arc::clone(link), start };
        // A live subscription that asks for nothing old goes on as it is: no event is lost or doubled between.
        if let Some(present) = present.filter(|present| from == From::Now && room.renew(*present, member)) {
            return (self.plan(room.id, head(room), from).0, present, beginning(None));
        }
        if let Some(present) = present {
            room.supersede(present, link, &self.delivery);
        }
        let (subscribed, start) = self.plan(room.id, head(room), from);
        let subscription = next_subscription_id();
        room.enter(subscription, member, link);
        (subscribed, subscription, beginning(Some((subscription, start))))
    }

    /// Starts the replay, behind the reply.
    pub fn begin(self: &Arc<Self>, beginning: Beginning) {
        // Entered while the room's history ended: whoever ended it may not have seen this one.
        if beginning.room.is_dissolved() {
            send_back(&beginning.link);
        }
        if let Some((id, cursor)) = beginning.start {
            self.begin_replay(beginning.room, id, beginning.link, cursor);
        }
    }

    /// Waits until the room is attached, and finds the head that a cursor is held against.
    async fn settle(self: &Arc<Self>, room: &Arc<Room>, from: From) -> Result<Seq, Refusal> {
        room.ready.get_or_try_init(|| self.attach(room)).await?;
        let mut head = room.head().ok_or(Refusal::new(ErrorCode::Internal))?;
        if let From::After(after) = from
            && after > head
        {
            // The client may have seen more than has come here yet: only the store knows.
            head = self.read_head(room.id).await?.max(head);
            if room.learn(head) {
                self.repair_soon(room, Cause::Head);
            }
        }
        Ok(head)
    }

    /// Attaches the live feed, then reads the head. Runs once for each room, however many ask.
    async fn attach(self: &Arc<Self>, room: &Arc<Room>) -> Result<(), Refusal> {
        // While the bus is down the room stays wanted there, and reconciliation delivers meanwhile.
        let attached = self.chat.bus().subscribe(room.id).await;
        room.attach();
        match self.read_head(room.id).await {
            Ok(_) if room.is_dissolved() => {
                self.let_go(room);
                Err(ErrorCode::Unavailable.into())
            }
            Ok(head) => {
                room.start(head, &self.delivery);
                if room.hole().is_some() {
                    self.repair_soon(room, Cause::Hole);
                }
                if attached.is_err() {
                    self.hurry.notify_one();
                }
                Ok(())
            }
            Err(refusal) => {
                self.let_go(room);
                Err(refusal)
            }
        }
    }

    /// Tells the bus that a room is followed no more, unless that was done.
    pub(super) fn let_go(&self, room: &Room) {
        if room.detach() {
            self.chat.bus().unsubscribe(room.id);
        }
    }

    async fn read_head(&self, room: RoomId) -> Result<Seq, Refusal> {
        let heads = self.chat.heads(&[room]).await?;
        heads.first().map(|(_, head)| *head).ok_or_else(|| ErrorCode::RoomNotFound.into())
    }

    /// What is replayed, what is left as a gap, and where the replay starts.
    fn plan(&self, room: RoomId, head: Seq, from: From) -> (Subscribed, Seq) {
        let replay_max = match self.chat.limits().replay_events_max {
            0 => Seq::MAX,
            max => max,
        };
        let (after, reset) = match from {
            From::Now => (head, false),
            From::Foreign => (head, true),
            From::After(1..) if mutation::is(Mutation::NoResume) => (head, false),
            From::After(after) if after > head => (head, true),
            From::After(after) => (after, false),
            From::Last(last) => (head.saturating_sub(last), false),
        };
        let start = after.max(head.saturating_sub(replay_max));
        let gap = (start > after).then_some(Gap { from: after + 1, to: start });
        let subscribed = Subscribed { room, head, epoch: self.chat.epoch(), replayed: head - start, gap, reset };
        (subscribed, start)
    }
}

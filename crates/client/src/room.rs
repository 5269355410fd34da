//! What a caller reads from a followed room.
//!
//! Must never reorder or drop: what comes through here has been put in order by `feed`.

use std::pin::Pin;
use std::task::{Context, Poll};

use hubbub_protocol::{Epoch, RoomEvent, RoomId, Seq};
use tokio::sync::{mpsc, oneshot};

use crate::error::ClientError;

/// Where in a room's log to begin.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FollowFrom {
    /// Only what comes from now on.
    Now,
    /// So many of the newest events, then what comes.
    Last(u64),
    /// Everything after this seq. The cursor is taken to be of the present epoch; see [`FollowFrom::Cursor`].
    After(Seq),
    /// Everything after a cursor that was kept from an earlier run; a cursor of another epoch gives a
    /// [`Delivery::Reset`].
    Cursor(Cursor),
}

/// A place in a room's log that outlives the process: keep it, and go on from it with [`FollowFrom::Cursor`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cursor {
    /// The history that `seq` belongs to.
    pub epoch: Epoch,
    /// The last event that was delivered; 0 before the first.
    pub seq: Seq,
}

/// One thing to know about a followed room.
#[derive(Clone, PartialEq, Debug)]
pub enum Delivery {
    /// The next event: each `seq` once, ascending, without holes.
    Event(RoomEvent),
    /// The cursor means nothing any more (a restored database): forget the room and start fresh behind `head`.
    Reset {
        /// The history that begins.
        epoch: Epoch,
        /// Where it stands; the next event has the seq after it.
        head: Seq,
    },
    /// The room cannot be followed any more, for example after leaving it. Nothing comes after this.
    Ended {
        /// Why.
        error: ClientError,
    },
}

/// The deliveries of one room. Dropping it stops following. Ends (`None`) when the client is closed.
#[derive(Debug)]
pub struct RoomStream {
    room: RoomId,
    cursor: Cursor,
    deliveries: mpsc::Receiver<Delivery>,
    /// The driver holds the other end, and unsubscribes when this one is dropped.
    _alive: oneshot::Sender<()>,
}

impl RoomStream {
    pub(crate) const fn new(
        room: RoomId,
        cursor: Cursor,
        deliveries: mpsc::Receiver<Delivery>,
        alive: oneshot::Sender<()>,
    ) -> Self {
        Self { room, cursor, deliveries, _alive: alive }
    }

    /// The room's id, whatever it was named by.
    #[must_use]
    pub const fn room(&self) -> RoomId {
        self.room
    }

    /// The last event that was taken from this stream.
    #[must_use]
    pub const fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// The next delivery; `None` when the client is closed or the room has ended. Cancel safe.
    pub async fn next(&mut self) -> Option<Delivery> {
        let delivery = self.deliveries.recv().await?;
        self.note(&delivery);
        Some(delivery)
    }

    fn note(&mut self, delivery: &Delivery) {
        match delivery {
            Delivery::Event(event) => self.cursor.seq = event.seq,
            Delivery::Reset { epoch, head } => self.cursor = Cursor { epoch: epoch.clone(), seq: *head },
            Delivery::Ended { .. } => {}
        }
    }
}

impl futures_util::Stream for RoomStream {
    type Item = Delivery;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Delivery>> {
        let polled = self.deliveries.poll_recv(context);
        if let Poll::Ready(Some(delivery)) = &polled {
            self.note(delivery);
        }
        polled
    }
}

//! One event as the frames that sockets get: encoded once for each codec, compressed once, shared by all.
//!
//! Must never be made for each socket.

use std::sync::{Arc, OnceLock};

use bytes::{Bytes, BytesMut};
use hubbub_protocol::{Codec, RoomEvent, RoomEventData, Seq};
use hubbub_websocket::{Deflater, frame};

use super::delivery::DeliverySpan;
use crate::link::{Link, opcode};

/// Payloads below this are not worth compressing: the saving is less than the work at the other end.
const DEFLATE_BYTES_MIN: usize = 128;

/// Fast rather than small: it is done on the way of an event.
const DEFLATE_LEVEL: u32 = 1;

/// The forms in which a frame goes out.
const FORMS: usize = 4;

/// One event, encoded when the first socket of a form asks.
pub struct Frames {
    /// The event.
    pub event: Arc<RoomEvent>,
    forms: [OnceLock<Bytes>; FORMS],
    delivery: Option<Box<DeliverySpan>>,
}

/// Which form a socket gets: codec and compression.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Form(usize);

impl Form {
    /// The form of this connection's frames.
    #[must_use]
    pub fn of(link: &Link) -> Self {
        let codec = usize::from(link.codec == Codec::MessagePack);
        Self(codec + if link.deflate { 2 } else { 0 })
    }

    fn codec(self) -> Codec {
        if self.0.is_multiple_of(2) { Codec::Json } else { Codec::MessagePack }
    }

    fn is_deflated(self) -> bool {
        self.0 >= 2
    }
}

impl Frames {
    /// Frames of this event.
    #[must_use]
    pub fn new(event: Arc<RoomEvent>) -> Self {
        let delivery = DeliverySpan::begin(&event);
        Self { event, forms: Default::default(), delivery }
    }

    /// Its delivery on this node, if that is recorded.
    pub(super) fn delivery(&self) -> Option<&DeliverySpan> {
        self.delivery.as_deref()
    }

    /// Its place in the room's order.
    #[must_use]
    pub fn seq(&self) -> Seq {
        self.event.seq
    }

    /// The frame in this form.
    #[must_use]
    pub fn form(&self, form: Form) -> Bytes {
        self.forms[form.0].get_or_init(|| encode(&self.event, form)).clone()
    }

    /// What it may take in memory, roughly and fixed from the start, in bytes: the event and two forms of it.
    #[must_use]
    pub fn event_bytes(&self) -> usize {
        const OVERHEAD: usize = 512;
        let body = match &self.event.data {
            RoomEventData::MessageSent(sent) => sent.body.len(),
            RoomEventData::RoomCreated(created) => created.members.len() * 100,
            RoomEventData::Other { .. } => OVERHEAD,
            _ => 0,
        };
        OVERHEAD + 3 * body
    }
}

fn encode(event: &RoomEvent, form: Form) -> Bytes {
    let payload = form.codec().encode(event);
    if !form.is_deflated() || payload.len() < DEFLATE_BYTES_MIN {
        return frame(opcode(form.codec()), &payload);
    }
    thread_local! {
        // About 250 KiB each, so one for each worker thread and never one for each connection.
        static DEFLATER: std::cell::RefCell<Deflater> = std::cell::RefCell::new(Deflater::new(DEFLATE_LEVEL));
    }
    let mut out = BytesMut::with_capacity(payload.len());
    DEFLATER.with_borrow_mut(|deflater| deflater.compress_frame(opcode(form.codec()), &payload, &mut out));
    out.freeze()
}

/// Several events as one write, for each form once.
pub struct Joined<'a> {
    frames: &'a [Arc<Frames>],
    forms: [Option<Bytes>; FORMS],
}

impl<'a> Joined<'a> {
    /// These events, in order.
    #[must_use]
    pub fn new(frames: &'a [Arc<Frames>]) -> Self {
        Self { frames, forms: Default::default() }
    }

    /// The seq of the first one.
    #[must_use]
    pub fn first(&self) -> Seq {
        self.frames.first().map_or(0, |frames| frames.seq())
    }

    /// All of them in one buffer.
    pub fn all(&mut self, form: Form) -> Bytes {
        self.forms[form.0].get_or_insert_with(|| join(self.frames.iter(), form)).clone()
    }

    /// The seq of the last one.
    #[must_use]
    pub fn last(&self) -> Seq {
        self.frames.last().map_or(0, |frames| frames.seq())
    }

    /// Those behind `after` and up to `last` in one buffer, for a socket that has the others or may not have them,
    /// and how many they are.
    #[must_use]
    pub fn within(&self, after: Seq, last: Seq, form: Form) -> Option<(Bytes, usize)> {
        let wanted = || self.frames.iter().filter(|frames| frames.seq() > after && frames.seq() <= last);
        match wanted().count() {
            0 => None,
            count => Some((join(wanted(), form), count)),
        }
    }
}

fn join<'a>(mut frames: impl Iterator<Item = &'a Arc<Frames>>, form: Form) -> Bytes {
    let Some(first) = frames.next() else { return Bytes::new() };
    let first = first.form(form);
    let Some(second) = frames.next() else { return first };
    let mut all = BytesMut::from(first.as_ref());
    all.extend_from_slice(&second.form(form));
    for frames in frames {
        all.extend_from_slice(&frames.form(form));
    }
    all.freeze()
}

//! What travels between nodes: versioned MessagePack maps, `{"v": 1, "k": "event", "n": "…", "d": …}`, and where an event
//! belongs to a recorded trace `"t": [[seq, traceparent], …]`.
//!
//! A node of another version may send anything: an unknown kind or a higher version is told apart from what cannot be
//! read, and neither disturbs what follows. Must never panic on any bytes (fuzzed).

use std::sync::Arc;

use hubbub_protocol::{RoomEvent, Seq, TraceContext};
use serde::{Deserialize, Serialize};

/// The version that this build writes, and the highest that it reads.
pub const VERSION: u64 = 1;

/// Larger messages are neither sent nor read. An event is bounded by the frame that made it (64 KiB by default).
pub const ENVELOPE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Deeper nesting is not read. Bounds the stack that a hostile message can take.
const DEPTH_MAX: usize = 128;

/// A message between nodes.
#[derive(Clone, PartialEq, Debug)]
pub enum Envelope {
    /// Events of one room, in the order in which they were published. Kinds `event` and `events`.
    Events(Vec<Arc<RoomEvent>>),
    /// Events that the reader itself has published: it has delivered them already.
    Echo,
    /// The watchdog's message to its own node.
    Pulse {
        /// Which one it is.
        number: u64,
    },
}

/// Why a message was skipped.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// A newer node sent it.
    #[error("a message of version {version}")]
    Version {
        /// Its version.
        version: u64,
    },
    /// A newer node sent it.
    #[error("a message of an unknown kind")]
    Kind,
    /// Over [`ENVELOPE_BYTES_MAX`].
    #[error("a message of {bytes} bytes")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Nobody can have meant it. What could not be read may be a body, so that the reason is no part of the text.
    #[error("a message that cannot be read")]
    Malformed(#[from] rmp_serde::decode::Error),
}

#[derive(Deserialize)]
struct Head<'a> {
    v: u64,
    k: &'a str,
    #[serde(default, borrow)]
    n: Option<&'a str>,
}

#[derive(Serialize)]
struct Wire<'a, T> {
    v: u64,
    k: &'static str,
    /// The instance that published it, where that matters.
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<&'a str>,
    #[serde(rename = "d")]
    content: &'a T,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    t: &'a [Traced],
}

/// The trace of the event with this seq.
pub type Traced = (Seq, TraceContext);

#[derive(Deserialize)]
struct Content<T> {
    #[serde(rename = "d")]
    content: T,
    /// Any value: a later build may mean something else by it, and an event is worth more than its trace.
    #[serde(default)]
    t: serde_json::Value,
}

fn encode<T: Serialize>(
    k: &'static str,
    n: Option<&str>,
    content: &T,
    t: &[Traced],
) -> Result<Vec<u8>, rmp_serde::encode::Error> {
    let mut bytes = Vec::with_capacity(512);
    rmp_serde::encode::write_named(&mut bytes, &Wire { v: VERSION, k, n, content, t })?;
    Ok(bytes)
}

/// Events of one room, published by this instance, and the recorded traces that they belong to.
///
/// # Errors
/// When an event holds what MessagePack cannot.
pub fn encode_events(
    events: &[&RoomEvent],
    instance: &str,
    traced: &[Traced],
) -> Result<Vec<u8>, rmp_serde::encode::Error> {
    match events {
        [event] => encode("event", Some(instance), event, traced),
        events => encode("events", Some(instance), &events, traced),
    }
}

/// The watchdog's message.
///
/// # Errors
/// Never in practice: a number can always be written.
pub fn encode_pulse(number: u64) -> Result<Vec<u8>, rmp_serde::encode::Error> {
    encode("pulse", None, &number, &[])
}

/// Reads a message; `own` is the instance that reads.
///
/// # Errors
/// When it is of a newer version or an unknown kind, too large, or not readable. It is skipped then, and counted.
pub fn decode(bytes: &[u8], own: &str) -> Result<Envelope, EnvelopeError> {
    if bytes.len() > ENVELOPE_BYTES_MAX {
        return Err(EnvelopeError::TooLarge { bytes: bytes.len() });
    }
    let Head { v, k, n } = read(bytes)?;
    if v > VERSION {
        return Err(EnvelopeError::Version { version: v });
    }
    match k {
        "event" | "events" if n == Some(own) => Ok(Envelope::Echo),
        "event" => {
            let Content { content, t } = read::<Content<RoomEvent>>(bytes)?;
            Ok(Envelope::Events(in_traces(vec![content], &t)))
        }
        "events" => {
            let Content { content, t } = read::<Content<Vec<RoomEvent>>>(bytes)?;
            Ok(Envelope::Events(in_traces(content, &t)))
        }
        "pulse" => Ok(Envelope::Pulse { number: read::<Content<u64>>(bytes)?.content }),
        _ => Err(EnvelopeError::Kind),
    }
}

/// Puts events in the traces that are named; what cannot be read is left out.
fn in_traces(mut events: Vec<RoomEvent>, traced: &serde_json::Value) -> Vec<Arc<RoomEvent>> {
    for pair in traced.as_array().into_iter().flatten().take(events.len()) {
        let (Some(seq), Some(text)) = (pair[0].as_u64(), pair[1].as_str()) else { continue };
        if let Some(event) = events.iter_mut().find(|event| event.seq == seq) {
            event.trace = TraceContext::parse(text).map(Box::new);
        }
    }
    events.into_iter().map(Arc::new).collect()
}

fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, rmp_serde::decode::Error> {
    let mut reader = rmp_serde::Deserializer::from_read_ref(bytes);
    reader.set_max_depth(DEPTH_MAX);
    T::deserialize(&mut reader)
}

#[cfg(test)]
mod tests {
    use hubbub_protocol::event::MemberLeft;
    use hubbub_protocol::{RoomEventData, RoomId, Timestamp, UserId, UserRef};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn event(seq: u64) -> RoomEvent {
        let by = UserRef { id: UserId::new(), name: "ada".into() };
        let data = RoomEventData::MemberLeft(MemberLeft { user: by.clone() });
        RoomEvent { room: RoomId::new(), seq, at: Timestamp::from_millis(1), by, data, trace: None }
    }

    fn written(value: &serde_json::Value) -> Vec<u8> {
        rmp_serde::to_vec_named(value).unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        let (one, two) = (event(1), event(2));
        let events = |events: &[&RoomEvent]| Envelope::Events(events.iter().map(|e| Arc::new((*e).clone())).collect());
        assert_eq!(decode(&encode_events(&[&one], "a", &[]).unwrap(), "b").unwrap(), events(&[&one]));
        assert_eq!(decode(&encode_events(&[&one, &two], "a", &[]).unwrap(), "b").unwrap(), events(&[&one, &two]));
        assert_eq!(decode(&encode_pulse(7).unwrap(), "b").unwrap(), Envelope::Pulse { number: 7 });
    }

    #[test]
    fn ones_own_events_are_an_echo() {
        let one = event(1);
        assert_eq!(decode(&encode_events(&[&one], "a", &[]).unwrap(), "a").unwrap(), Envelope::Echo);
        assert_eq!(decode(&encode_events(&[&one, &one], "a", &[]).unwrap(), "a").unwrap(), Envelope::Echo);
        let earlier = written(&json!({"v": 1, "k": "event", "d": one}));
        assert!(matches!(decode(&earlier, "a"), Ok(Envelope::Events(_))), "a build that names no instance");
    }

    #[test]
    fn later_versions_and_kinds_are_told_apart_from_noise() {
        let later = written(&json!({"v": 2, "k": "event", "d": "of another shape"}));
        assert!(matches!(decode(&later, "a"), Err(EnvelopeError::Version { version: 2 })));
        let other = written(&json!({"v": 1, "k": "typing", "d": {"user": 1}}));
        assert!(matches!(decode(&other, "a"), Err(EnvelopeError::Kind)));
        for noise in [&b""[..], b"\xc1", b"\x80", b"\x93\x01\x02\x03", b"{\"v\":1}"] {
            assert!(matches!(decode(noise, "a"), Err(EnvelopeError::Malformed(_))), "{noise:?}");
        }
        assert!(matches!(decode(&vec![0; ENVELOPE_BYTES_MAX + 1], "a"), Err(EnvelopeError::TooLarge { .. })));
    }

    #[test]
    fn fields_of_a_later_build_are_ignored() {
        let mut event = serde_json::to_value(event(1)).unwrap();
        event["later"] = json!([1, {"deep": true}]);
        let message = written(&json!({"later": 1, "d": event, "k": "event", "v": 1}));
        assert!(matches!(decode(&message, "a"), Ok(Envelope::Events(events)) if events.len() == 1));
    }

    #[test]
    fn events_are_found_in_the_traces_that_they_were_sent_in() {
        let (one, two) = (event(1), event(2));
        let trace = TraceContext::new_root(true);
        let sent = encode_events(&[&one, &two], "a", &[(2, trace)]).unwrap();
        let Ok(Envelope::Events(events)) = decode(&sent, "b") else { panic!("events") };
        let traces: Vec<_> = events.iter().map(|event| event.trace.as_deref().copied()).collect();
        assert_eq!(traces, [None, Some(trace)]);
        let none = encode_events(&[&one], "a", &[]).unwrap();
        assert_eq!(none, written(&json!({"v": 1, "k": "event", "n": "a", "d": one})), "as an earlier build wrote it");
    }

    #[test]
    fn a_trace_that_cannot_be_read_takes_no_event_with_it() {
        for t in [
            json!("x"),
            json!(7),
            json!([[1]]),
            json!([[1, 2]]),
            json!([["1", "x"]]),
            json!([[1, "00-x"]]),
            json!([{}]),
        ] {
            let message = written(&json!({"v": 1, "k": "event", "d": event(1), "t": t}));
            let Ok(Envelope::Events(events)) = decode(&message, "a") else { panic!("{t}") };
            assert_eq!((events.len(), &events[0].trace), (1, &None), "{t}");
        }
    }

    #[test]
    fn a_deep_message_ends_in_an_error() {
        let mut deep = vec![0x83, 0xa1, b'v', 1, 0xa1, b'k', 0xa5];
        deep.extend_from_slice(b"event");
        deep.extend_from_slice(&[0xa1, b'd']);
        deep.resize(1_000_000, 0x91);
        assert!(decode(&deep, "a").is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            drop(decode(&bytes, "a"));
        }

        #[test]
        fn a_message_with_a_wrong_byte_is_read_or_refused(at in 0_usize..200, byte: u8, cut in 0_usize..400) {
            let mut bytes = encode_events(&[&event(1)], "b", &[(1, TraceContext::new_root(true))]).unwrap();
            let at = at % bytes.len();
            bytes[at] = byte;
            bytes.truncate(cut);
            drop(decode(&bytes, "a"));
        }
    }
}

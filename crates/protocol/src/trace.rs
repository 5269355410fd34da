//! Which trace something belongs to: the `traceparent` of W3C Trace Context, read and written.
//!
//! Owns the form and its rules. Must never decide whether a trace is recorded, nor know where it goes.

use std::fmt;
use std::num::{NonZeroU64, NonZeroU128};

use serde::{Serialize, Serializer};
use uuid::Uuid;

use crate::id::TraceId;

/// Length of a `traceparent` of version 00, in characters: `00-<32 hex>-<16 hex>-<2 hex>`.
const TEXT_CHARS: usize = 55;

/// The bit of the flags that says that whoever sent this records the trace.
const SAMPLED: u8 = 1;

/// A place in a trace: the trace, the span that whatever follows belongs under, and whether that span is recorded.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TraceContext {
    trace: NonZeroU128,
    span: NonZeroU64,
    sampled: bool,
}

impl TraceContext {
    /// The first span of a new trace, with random ids.
    #[must_use]
    pub fn new_root(sampled: bool) -> Self {
        // The fixed bits of a UUID v4 keep it from being zero, and 122 random ones are enough for either id.
        let trace = NonZeroU128::new(Uuid::new_v4().as_u128()).unwrap_or(NonZeroU128::MAX);
        Self { trace, span: random_span(), sampled }
    }

    /// Another span of the same trace, with a random id.
    #[must_use]
    pub fn next_span(self, sampled: bool) -> Self {
        Self { span: random_span(), sampled, ..self }
    }

    /// Reads a `traceparent` by the rules of W3C Trace Context, §3.2: version 00 exactly, of a later version the part
    /// that is like version 00. None for everything else, which is then as if nothing had come.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let (head, rest) = bytes.split_at_checked(TEXT_CHARS)?;
        if head[2] != b'-' || head[35] != b'-' || head[52] != b'-' {
            return None;
        }
        let version = hex(&head[..2])?;
        let is_long_enough = match version {
            0 => rest.is_empty(),
            0xff => false,
            _ => rest.is_empty() || rest[0] == b'-',
        };
        if !is_long_enough {
            return None;
        }
        let span = u64::try_from(hex(&head[36..52])?).ok()?;
        let flags = hex(&head[53..])?;
        Some(Self {
            trace: NonZeroU128::new(hex(&head[3..35])?)?,
            span: NonZeroU64::new(span)?,
            sampled: flags & u128::from(SAMPLED) != 0,
        })
    }

    /// The trace's id as a number; its text is [`TraceContext::id`].
    #[must_use]
    pub const fn trace(self) -> u128 {
        self.trace.get()
    }

    /// The span's id.
    #[must_use]
    pub const fn span(self) -> u64 {
        self.span.get()
    }

    /// Whether the span is recorded.
    #[must_use]
    pub const fn is_sampled(self) -> bool {
        self.sampled
    }

    /// The trace's id, as errors and logs show it.
    #[must_use]
    pub fn id(self) -> TraceId {
        TraceId::of(self.trace.get())
    }
}

impl fmt::Display for TraceContext {
    /// As a `traceparent` of version 00.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, u8::from(self.sampled))
    }
}

impl Serialize for TraceContext {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

fn random_span() -> NonZeroU64 {
    // The lower half begins with the variant's bits, so it is never zero.
    NonZeroU64::new(Uuid::new_v4().as_u64_pair().1).unwrap_or(NonZeroU64::MAX)
}

/// Lower-case hexadecimal digits, of which there are 32 at most; capitals are not allowed.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0u128, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn what_is_read_is_written() {
        let context = TraceContext::parse(GOOD).unwrap();
        assert_eq!(context.trace(), 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        assert_eq!((context.span(), context.is_sampled()), (0x00f0_67aa_0ba9_02b7, true));
        assert_eq!(context.to_string(), GOOD);
        assert_eq!(context.id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        for sampled in [false, true] {
            let made = TraceContext::new_root(sampled);
            assert_eq!(TraceContext::parse(&made.to_string()), Some(made));
            let next = made.next_span(!sampled);
            assert_eq!((next.trace(), next.is_sampled()), (made.trace(), !sampled));
            assert_ne!(next.span(), made.span());
        }
    }

    #[test]
    fn flags_that_are_not_known_mean_nothing() {
        let with = |flags: &str| TraceContext::parse(&format!("{}{flags}", &GOOD[..53])).map(TraceContext::is_sampled);
        assert_eq!(
            [with("00"), with("02"), with("03"), with("ff")],
            [Some(false), Some(false), Some(true), Some(true)]
        );
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        let later = GOOD.replacen("00", "cc", 1);
        assert!(TraceContext::parse(&later).is_some());
        assert!(TraceContext::parse(&format!("{later}-what the future will be like")).is_some());
        assert!(TraceContext::parse(&format!("{later}.what")).is_none());
        assert!(TraceContext::parse(&format!("{GOOD}-what")).is_none(), "version 00 ends there");
    }

    #[test]
    fn everything_else_is_as_if_nothing_had_come() {
        let zero_trace = "00-00000000000000000000000000000000-00f067aa0ba902b7-01";
        let zero_span = "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01";
        let capitals = GOOD.to_ascii_uppercase();
        let (forbidden, short) = (GOOD.replacen("00", "ff", 1), &GOOD[..54]);
        let (dash, blank, sign) = (GOOD.replace('-', "_"), format!(" {GOOD}"), GOOD.replace("4bf9", "+bf9"));
        let broken = "00-4bf92f3577b34da6a3ce929d0e0e473é-00f067aa0ba902b7-1";
        for bad in ["", "x", zero_trace, zero_span, &capitals, &forbidden, short, &dash, &blank, &sign, broken] {
            assert_eq!(TraceContext::parse(bad), None, "{bad}");
        }
    }
}

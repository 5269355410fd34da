//! Points in time on the wire: RFC 3339, UTC, milliseconds.
//!
//! Must never order anything: order comes from sequence numbers alone.

use std::borrow::Cow;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer};
use serde::{Serialize, Serializer};

/// Milliseconds since the Unix epoch, shown as `2026-01-02T03:04:05.678Z`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// 9999-12-31T23:59:59.999Z, the last time that RFC 3339 can write.
const MILLIS_MAX: i64 = 253_402_300_799_999;

impl Timestamp {
    /// This node's clock. For people to read, never for order.
    #[must_use]
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self::from_millis(i64::try_from(since.as_millis()).unwrap_or(MILLIS_MAX))
    }

    /// From milliseconds since the Unix epoch; what lies outside the years 1970 to 9999 is moved to the edge.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(if millis < 0 {
            0
        } else if millis > MILLIS_MAX {
            MILLIS_MAX
        } else {
            millis
        })
    }

    /// From whole seconds since the Unix epoch (the unit of token claims).
    #[must_use]
    pub const fn from_secs(secs: i64) -> Self {
        Self::from_millis(secs.saturating_mul(1000))
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch.
    #[must_use]
    pub const fn secs(self) -> i64 {
        self.0 / 1000
    }

    /// This time moved by a duration.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self::from_millis(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long it is from `earlier` to this time; zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// `2026-01-02T03:04:05.678Z`: every time has this length.
struct Text([u8; 24]);

impl Text {
    fn as_str(&self) -> &str {
        // Digits and the marks of the pattern: the fallback is never seen.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Writes a number, with zeroes before it, up to the place `end`.
    fn put(&mut self, end: usize, digits: usize, mut number: i64) {
        for place in (end - digits..end).rev() {
            self.0[place] = b'0' + u8::try_from(number % 10).unwrap_or(0);
            number /= 10;
        }
    }
}

impl Timestamp {
    /// Every event on the wire holds one or more times, and a general formatter takes longer than the rest of it.
    fn text(self) -> Text {
        let (days, of_day) = (self.0 / 86_400_000, self.0 % 86_400_000);
        let (year, month, day) = civil(days);
        let mut text = Text(*b"0000-00-00T00:00:00.000Z");
        text.put(4, 4, year);
        text.put(7, 2, month);
        text.put(10, 2, day);
        text.put(13, 2, of_day / 3_600_000);
        text.put(16, 2, of_day / 60_000 % 60);
        text.put(19, 2, of_day / 1_000 % 60);
        text.put(23, 3, of_day % 1_000);
        text
    }
}

/// Year, month and day, `days` (at least 0) after 1970-01-01. Counts in eras of 400 years that begin on 1 March, so
/// that a leap day is the last day of a year.
fn civil(days: i64) -> (i64, i64, i64) {
    const ERA_DAYS: i64 = 146_097;
    let since_march_0 = days + 719_468;
    let (era, of_era) = (since_march_0 / ERA_DAYS, since_march_0 % ERA_DAYS);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text().as_str())
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.text().as_str())
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let at: jiff::Timestamp = crate::text::deserialize_text(deserializer, "a time of RFC 3339")?;
        Ok(Self::from_millis(at.as_millisecond()))
    }
}

impl JsonSchema for Timestamp {
    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_written_with_three_digits_and_a_z() {
        assert_eq!(Timestamp::from_millis(1_767_323_045_678).to_string(), "2026-01-02T03:04:05.678Z");
        assert_eq!(Timestamp::from_millis(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Timestamp::from_millis(i64::MAX).to_string(), "9999-12-31T23:59:59.999Z");
    }

    /// Every day from 1970 to 9999, at a time that wanders through the day.
    #[test]
    fn writes_what_a_general_formatter_writes() {
        for day in 0..2_932_890 {
            let millis = day * 86_400_000 + day * 7_919_333 % 86_400_000;
            let expected = format!("{:.3}", jiff::Timestamp::from_millisecond(millis).unwrap());
            assert_eq!(Timestamp::from_millis(millis).to_string(), expected);
        }
    }

    #[test]
    fn reads_what_it_wrote() {
        let at = Timestamp::now();
        let text = serde_json::to_string(&at).unwrap();
        assert_eq!(serde_json::from_str::<Timestamp>(&text).unwrap(), at);
    }
}

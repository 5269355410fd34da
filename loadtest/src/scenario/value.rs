//! How values are written by people: durations, sizes, shares, numbers.
//!
//! Must never know which key it reads for.

use std::time::Duration;

/// A value as it stands in the file or behind a flag.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Value {
    /// In quotes.
    Text(String),
    /// A number, as it was written.
    Number(String),
    /// Of a type that no key has; its name.
    Other(&'static str),
}

impl Value {
    /// The words of a flag.
    pub(super) fn of_flag(text: &str) -> Self {
        let is_number = text.replace('_', "").parse::<f64>().is_ok();
        if is_number { Self::Number(text.replace('_', "")) } else { Self::Text(text.to_owned()) }
    }

    /// What it looks like, for a sentence.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Text(text) => format!("{text:?}"),
            Self::Number(number) => number.clone(),
            Self::Other(kind) => format!("a value of type {kind}"),
        }
    }

    /// A whole number.
    pub(super) fn whole(&self) -> Option<u64> {
        match self {
            Self::Number(text) => text.parse().ok(),
            Self::Text(_) | Self::Other(_) => None,
        }
    }

    /// A finite number.
    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Self::Number(text) => text.parse().ok().filter(|number: &f64| number.is_finite()),
            Self::Text(_) | Self::Other(_) => None,
        }
    }

    /// `"5%"` or `0.05`.
    pub(super) fn share(&self) -> Option<f64> {
        match self {
            Self::Text(text) => finite(text.strip_suffix('%')?).map(|percent| percent / 100.0),
            Self::Number(_) => self.number(),
            Self::Other(_) => None,
        }
    }

    /// `"250ms"`, `"20s"`, `"1.5m"`, `"2h"`, `"1d"`; a bare 0 needs no unit.
    pub(super) fn duration(&self) -> Option<Duration> {
        let text = match self {
            Self::Text(text) => text,
            Self::Number(number) => return (number == "0").then_some(Duration::ZERO),
            Self::Other(_) => return None,
        };
        // The longer endings first: `ms` ends with `s`.
        for (unit, seconds) in [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3_600.0), ("d", 86_400.0)] {
            if let Some(number) = text.strip_suffix(unit) {
                return Duration::try_from_secs_f64(finite(number)? * seconds).ok();
            }
        }
        None
    }

    /// `128`, `"128"`, `"64B"` or `"4KiB"`.
    pub(super) fn size(&self) -> Option<u64> {
        let text = match self {
            Self::Number(_) => return self.whole(),
            Self::Text(text) => text,
            Self::Other(_) => return None,
        };
        for (unit, bytes) in [("KiB", 1 << 10), ("MiB", 1 << 20), ("B", 1), ("", 1)] {
            if let Some(number) = text.strip_suffix(unit) {
                return number.trim_end().parse::<u64>().ok()?.checked_mul(bytes);
            }
        }
        None
    }
}

/// A number that is written with digits and a point alone.
fn finite(text: &str) -> Option<f64> {
    let is_plain = !text.is_empty() && text.bytes().all(|sign| sign.is_ascii_digit() || sign == b'.');
    text.parse().ok().filter(|_| is_plain)
}

/// The known name nearest to `name`; none when all are far.
pub(super) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    // One mistake in three characters still looks like the word; at least two are forgiven.
    let forgiven = (name.chars().count() / 3).max(2);
    let measured = known.iter().map(|candidate| (distance(name, candidate), *candidate));
    let close = measured.filter(|(distance, _)| *distance <= forgiven).min_by_key(|(distance, _)| *distance);
    close.map(|(_, candidate)| candidate).or_else(|| {
        let mut same = known.iter().filter(|candidate| last(candidate) == last(name));
        same.next().copied().filter(|_| same.next().is_none())
    })
}

/// The fewest characters to insert, delete or replace.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for (row, from) in left.chars().enumerate() {
        let mut current = vec![row + 1];
        for (column, to) in right.iter().enumerate() {
            let replaced = last[column] + usize::from(from != *to);
            current.push(replaced.min(last[column + 1] + 1).min(current[column] + 1));
        }
        last = current;
    }
    last[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    #[test]
    fn durations_have_units() {
        for (written, ms) in [("250ms", 250), ("20s", 20_000), ("1.5m", 90_000), ("2h", 7_200_000), ("1d", 86_400_000)]
        {
            assert_eq!(text(written).duration(), Some(Duration::from_millis(ms)), "{written}");
        }
        for wrong in ["", "s", "20", "-1s", "1e3s", "inf s", "1.2.3s", "20 s", "20sec"] {
            assert_eq!(text(wrong).duration(), None, "{wrong}");
        }
        assert_eq!(Value::of_flag("0").duration(), Some(Duration::ZERO));
        assert_eq!(Value::of_flag("20").duration(), None);
    }

    #[test]
    fn sizes_shares_and_numbers() {
        assert_eq!(text("4KiB").size(), Some(4_096));
        assert_eq!(text("64 B").size(), Some(64));
        assert_eq!(Value::of_flag("128").size(), Some(128));
        assert_eq!(text("-1").size(), None);
        assert_eq!(text("99999999999999999999KiB").size(), None);
        assert_eq!(text("5%").share(), Some(0.05));
        assert_eq!(Value::of_flag("0.05").share(), Some(0.05));
        assert_eq!(Value::of_flag("1_000").whole(), Some(1_000));
        assert_eq!(Value::of_flag("nan").number(), None);
        assert_eq!(Value::of_flag("1.5").whole(), None);
    }

    #[test]
    fn the_nearest_name_or_none() {
        let known = ["duration", "connections.count", "messages.per_second", "rooms.count"];
        assert_eq!(nearest("durration", &known), Some("duration"));
        assert_eq!(nearest("message.per_second", &known), Some("messages.per_second"));
        assert_eq!(nearest("per_second", &known), Some("messages.per_second"));
        assert_eq!(nearest("something.else", &known), None);
    }
}

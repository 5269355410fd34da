//! How figures are written for people: µs, ms and s, k and M, KiB and MiB.
//!
//! Must never be read back: what a program reads stands in the JSON.

use std::time::Duration;

/// Three digits and no trailing zeros behind the point.
fn three_digits(value: f64) -> String {
    let places = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{value:.places$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A time: `850 µs`, `1.23 ms`, `12.3 s`, `2m 05s`.
#[must_use]
pub fn time(time: Duration) -> String {
    micros(time.as_secs_f64() * 1e6)
}

/// A time in microseconds.
#[must_use]
pub fn micros(micros: f64) -> String {
    match micros {
        size if size <= 0.0 => "0".to_owned(),
        size if size < 999.5 => format!("{} µs", three_digits(micros)),
        size if size < 999_500.0 => format!("{} ms", three_digits(micros / 1e3)),
        size if size < 59_950_000.0 => format!("{} s", three_digits(micros / 1e6)),
        _ => clock(micros / 1e6),
    }
}

/// A span in seconds as a clock shows it: `45s`, `2m 05s`, `1h 10m`.
#[must_use]
pub fn clock(seconds: f64) -> String {
    let sign = if seconds < 0.0 { "−" } else { "" };
    let whole = seconds.abs().round() as u64;
    let text = match whole {
        0..60 => format!("{whole}s"),
        60..3_600 if whole.is_multiple_of(60) => format!("{}m", whole / 60),
        60..3_600 => format!("{}m {:02}s", whole / 60, whole % 60),
        _ if whole % 3_600 < 60 => format!("{}h", whole / 3_600),
        _ => format!("{}h {:02}m", whole / 3_600, whole % 3_600 / 60),
    };
    format!("{sign}{text}")
}

/// A count with thousands separators: `120,000`.
#[must_use]
pub fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A figure in three digits: `7`, `2.5`, `12.3k`, `1.2M`.
#[must_use]
pub fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 999.5e6 => format!("{}G", three_digits(value / 1e9)),
        size if size >= 999.5e3 => format!("{}M", three_digits(value / 1e6)),
        size if size >= 9_999.5 => format!("{}k", three_digits(value / 1e3)),
        size if size >= 999.5 => count_signed(value),
        _ => three_digits(value),
    }
}

fn count_signed(value: f64) -> String {
    let sign = if value < 0.0 { "-" } else { "" };
    format!("{sign}{}", count(value.abs().round() as u64))
}

/// So many of something a second.
#[must_use]
pub fn rate(per_second: f64) -> String {
    format!("{}/s", short(per_second))
}

/// Bytes: `512 B`, `3.2 KiB`, `12 MiB`.
#[must_use]
pub fn bytes(bytes: f64) -> String {
    const KIB: f64 = 1024.0;
    match bytes.abs() {
        size if size < KIB => format!("{} B", three_digits(bytes)),
        size if size < KIB * 999.5 => format!("{} KiB", three_digits(bytes / KIB)),
        size if size < KIB * KIB * 999.5 => format!("{} MiB", three_digits(bytes / KIB / KIB)),
        size if size < KIB * KIB * KIB * 999.5 => format!("{} GiB", three_digits(bytes / KIB / KIB / KIB)),
        _ => format!("{} TiB", three_digits(bytes / KIB / KIB / KIB / KIB)),
    }
}

/// A share from 0 to 1 in per cent.
#[must_use]
pub fn percent(share: f64) -> String {
    format!("{} %", three_digits(share * 100.0))
}

/// How many times as much: `1.52×`, or a dash when there is nothing to compare with.
#[must_use]
pub fn ratio(value: f64, first: f64) -> String {
    if first > 0.0 && value.is_finite() { format!("{}×", three_digits(value / first)) } else { "–".to_owned() }
}

/// `one room`, `2 rooms`.
#[must_use]
pub fn plural(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_humane() {
        let times = [0.0, 7.0, 850.0, 999.9, 1_234.0, 12_340.0, 999_900.0, 12_345_678.0, 125e6, 4_200e6];
        let texts = times.map(micros);
        let expected = ["0", "7 µs", "850 µs", "1 ms", "1.23 ms", "12.3 ms", "1 s", "12.3 s", "2m 05s", "1h 10m"];
        assert_eq!(texts, expected);
        assert_eq!(
            [0, 7, 999, 1_000, 120_000, 1_234_567].map(count),
            ["0", "7", "999", "1,000", "120,000", "1,234,567"]
        );
        assert_eq!(
            [0.0, 2.5, 999.0, 1_234.0, 12_345.0, 1.2e6].map(short),
            ["0", "2.5", "999", "1,234", "12.3k", "1.2M"]
        );
        assert_eq!([10.0, 2048.0, 3.5 * 1_048_576.0, 1.1e13].map(bytes), ["10 B", "2 KiB", "3.5 MiB", "10 TiB"]);
        assert_eq!(clock(-5.0), "−5s");
        assert_eq!(ratio(3.0, 2.0), "1.5×");
        assert_eq!(ratio(3.0, 0.0), "–");
    }
}

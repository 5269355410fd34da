//! Figures in few columns: `1,203`, `12.3k`, `84M`, `4.2ms`, `3h05m`.
//!
//! Must never be read back: what a program reads stands in the JSON.

use std::time::Duration;

/// Shown where there is no figure.
pub(super) const NONE: &str = "–";

/// A figure in at most five columns.
pub(super) fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 999_500_000.0 => scaled(value, 1e9, "G"),
        size if size >= 999_500.0 => scaled(value, 1e6, "M"),
        size if size >= 9_999.5 => scaled(value, 1e3, "k"),
        size if size >= 999.5 => {
            let whole = value.round() as i64;
            format!("{},{:03}", whole / 1_000, (whole % 1_000).abs())
        }
        _ => digits(value),
    }
}

/// Bytes in at most five columns, in powers of 1,024.
pub(super) fn bytes(value: u64) -> String {
    const KIB: f64 = 1_024.0;
    let value = value as f64;
    match value {
        size if size < KIB => format!("{value}"),
        size if size < KIB * 999.5 => scaled(value, KIB, "K"),
        size if size < KIB * KIB * 999.5 => scaled(value, KIB * KIB, "M"),
        _ => scaled(value, KIB * KIB * KIB, "G"),
    }
}

/// A time in seconds, as a latency: `850µs`, `4.2ms`, `1.3s`.
pub(super) fn latency(seconds: f64) -> String {
    match seconds {
        size if size < 999.5e-6 => format!("{}µs", digits(seconds * 1e6)),
        size if size < 999.5e-3 => format!("{}ms", digits(seconds * 1e3)),
        _ => format!("{}s", digits(seconds)),
    }
}

/// A span in milliseconds: `45s`, `2m05s`, `3h05m`, `12d04h`.
pub(super) fn age(millis: u64) -> String {
    let seconds = millis / 1_000;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h{:02}m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// A span by its largest unit, in at most three columns up to 99 days: `45s`, `2m`, `3h`, `12d`.
pub(super) fn brief(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// A share of one core.
pub(super) fn percent(share: f64) -> String {
    format!("{:.0}%", share * 100.0)
}

fn scaled(value: f64, unit: f64, sign: &str) -> String {
    format!("{}{sign}", digits(value / unit))
}

/// Two digits behind 10 and no fraction from 100 on; nothing behind a whole number.
fn digits(value: f64) -> String {
    let places = if value.abs() < 99.95 { 1 } else { 0 };
    let text = format!("{value:.places$}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_fit_their_columns() {
        let shorts = [0.0, 0.04, 2.5, 99.96, 999.0, 1_203.4, 12_345.0, 999_400.0, 1.25e6, 3e9].map(short);
        assert_eq!(shorts, ["0", "0", "2.5", "100", "999", "1,203", "12.3k", "999k", "1.2M", "3G"]);
        assert!(shorts.iter().all(|text| text.chars().count() <= 5));
        let sizes = [0, 1_023, 1_024, 12_595, 88_080_384, 3 << 30].map(bytes);
        assert_eq!(sizes, ["0", "1023", "1K", "12.3K", "84M", "3G"]);
        let latencies = [0.0, 0.00085, 0.0042, 0.25, 1.3, 10.0].map(latency);
        assert_eq!(latencies, ["0µs", "850µs", "4.2ms", "250ms", "1.3s", "10s"]);
        let ages = [900, 45_000, 125_000, 11_100_000, 1_051_200_000].map(age);
        assert_eq!(ages, ["0s", "45s", "2m05s", "3h05m", "12d04h"]);
        assert_eq!(
            [45, 125, 11_100, 1_051_200].map(|seconds| brief(Duration::from_secs(seconds))),
            ["45s", "2m", "3h", "12d"]
        );
        assert_eq!([0.0, 0.124, 1.2].map(percent), ["0%", "12%", "120%"]);
    }
}

//! Where values stand along an axis, and which of them are written beside it.
//!
//! Must never give two labels so close together that they touch.

use crate::report::units;

/// Most decades of a logarithmic axis: what is smaller is drawn at its foot.
const DECADES_MAX: f64 = 9.0;

/// How values are spread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scale {
    /// Evenly, from zero.
    Linear,
    /// By powers of ten.
    Log,
}

/// What values are, and so how they are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
    /// Plain figures: `12.5k`.
    Count,
    /// Microseconds, written as µs, ms or s.
    Micros,
    /// Seconds of a run: `1m 30s`.
    Elapsed,
    /// Bytes.
    Bytes,
    /// Shares from 0 to 1.
    Percent,
    /// `1 / (1 - p)` on a logarithmic axis, written as the percentile p.
    Percentile,
}

impl Unit {
    /// A value as people read it.
    #[must_use]
    pub fn write(self, value: f64) -> String {
        match self {
            Self::Count => units::short(value),
            Self::Micros => units::micros(value),
            Self::Elapsed => units::clock(value),
            Self::Bytes => units::bytes(value),
            Self::Percent => units::percent(value),
            Self::Percentile => {
                let decades = value.log10().round().max(0.0) as usize;
                let places = decades.saturating_sub(2);
                let share = 100.0 - 100.0 / 10_f64.powi(decades as i32);
                format!("{share:.places$} %")
            }
        }
    }
}

/// An axis.
#[derive(Clone, Debug)]
pub struct Axis {
    /// What stands beside it; may be empty.
    pub label: String,
    /// How values are spread.
    pub scale: Scale,
    /// What they are.
    pub unit: Unit,
}

impl Axis {
    /// An even axis.
    #[must_use]
    pub fn linear(label: &str, unit: Unit) -> Self {
        Self { label: label.to_owned(), scale: Scale::Linear, unit }
    }

    /// A logarithmic axis.
    #[must_use]
    pub fn log(label: &str, unit: Unit) -> Self {
        Self { label: label.to_owned(), scale: Scale::Log, unit }
    }

    /// The range of the values, widened to where a label can stand. `ends` widens the upper end too.
    pub(super) fn range(&self, values: impl Iterator<Item = f64>, count: usize, ends: bool) -> Range {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.filter(|value| value.is_finite()) {
            (low, high) = (low.min(value), high.max(value));
        }
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        match self.scale {
            Scale::Linear => self.linear_range(low, high, count, ends),
            Scale::Log => self.log_range(low, high, ends),
        }
    }

    fn linear_range(&self, low: f64, high: f64, count: usize, ends: bool) -> Range {
        let low = if ends { low.min(0.0) } else { low };
        let high = if high > low { high } else { low + self.least_span() };
        let step = self.step((high - low) / count.max(1) as f64);
        let (from, to) =
            if ends { ((low / step).floor() * step, (high * 1.02 / step).ceil() * step) } else { (low, high) };
        let first = (from / step - 1e-9).ceil() as i64;
        let last = (to / step + 1e-9).floor() as i64;
        let ticks = (first..=last).map(|tick| (tick as f64 * step, true)).collect();
        Range { scale: Scale::Linear, from, to, ticks }
    }

    fn least_span(&self) -> f64 {
        match self.unit {
            Unit::Percent => 0.1,
            Unit::Bytes => 1024.0,
            Unit::Micros => 100.0,
            _ => 1.0,
        }
    }

    /// The smallest round step that is not below `rough`.
    fn step(&self, rough: f64) -> f64 {
        let steps: &[f64] = match self.unit {
            Unit::Elapsed => {
                const CLOCK: [f64; 17] = [
                    1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1_800.0, 3_600.0, 7_200.0,
                    14_400.0, 28_800.0, 86_400.0,
                ];
                &CLOCK
            }
            _ => &[],
        };
        if let Some(step) = steps.iter().find(|step| **step >= rough) {
            return *step;
        }
        let base = if self.unit == Unit::Bytes { 1024_f64.powf(rough.log(1024.0).floor().max(0.0)) } else { 1.0 };
        let power = 10_f64.powf((rough / base).log10().floor());
        let unit = [1.0, 2.0, 5.0, 10.0].into_iter().find(|unit| unit * power * base >= rough * 0.999).unwrap_or(10.0);
        unit * power * base
    }

    fn log_range(&self, low: f64, high: f64, ends: bool) -> Range {
        let high = high.max(1e-9);
        let low = low.max(high / 10_f64.powf(DECADES_MAX)).min(high);
        let (mut from, mut to) = (low, high);
        if ends {
            from = round_down(low);
            to = round_up(high);
        }
        if to / from < 1.5 {
            (from, to) = (round_down(from / 1.5), round_up(to * 1.5));
        }
        let decades = (to / from).log10();
        let mut ticks = Vec::new();
        for power in from.log10().floor() as i32..=to.log10().ceil() as i32 {
            for unit in [1.0, 2.0, 5.0] {
                let tick = unit * 10_f64.powi(power);
                if tick >= from * 0.999 && tick <= to * 1.001 && (unit == 1.0 || self.unit != Unit::Percentile) {
                    ticks.push((tick, unit == 1.0 || decades <= 3.2));
                }
            }
        }
        Range { scale: Scale::Log, from, to, ticks }
    }
}

fn round_down(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    [5.0, 2.0].into_iter().map(|unit| unit * power).find(|step| *step <= value * 1.000_001).unwrap_or(power)
}

fn round_up(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0].into_iter().map(|unit| unit * power).find(|step| *step >= value * 0.999_999).unwrap_or(power * 10.0)
}

/// What an axis shows.
pub(super) struct Range {
    scale: Scale,
    from: f64,
    to: f64,
    /// Where lines are drawn, and whether they are labelled.
    pub(super) ticks: Vec<(f64, bool)>,
}

impl Range {
    /// Where a value stands, from 0 to 1.
    pub(super) fn place(&self, value: f64) -> f64 {
        let share = match self.scale {
            Scale::Linear => (value - self.from) / (self.to - self.from),
            Scale::Log => (value.max(self.from) / self.from).log10() / (self.to / self.from).log10(),
        };
        share.clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis, values: &[f64], count: usize) -> Vec<String> {
        let range = axis.range(values.iter().copied(), count, true);
        range.ticks.iter().filter(|(_, labelled)| *labelled).map(|(tick, _)| axis.unit.write(*tick)).collect()
    }

    #[test]
    fn ticks_are_round() {
        let rate = Axis::linear("a second", Unit::Count);
        assert_eq!(labels(&rate, &[0.0, 9_300.0], 5), ["0", "2,000", "4,000", "6,000", "8,000", "10k"]);
        let memory = Axis::linear("", Unit::Bytes);
        assert_eq!(labels(&memory, &[0.0, 83.0 * 1_048_576.0], 5).last().map(String::as_str), Some("100 MiB"));
        let latency = Axis::log("", Unit::Micros);
        assert_eq!(labels(&latency, &[350.0, 42_000.0], 5)[..4], ["200 µs", "500 µs", "1 ms", "2 ms"]);
        let percentile = Axis::log("", Unit::Percentile);
        assert_eq!(labels(&percentile, &[1.0, 10_000.0], 5), ["0 %", "90 %", "99 %", "99.9 %", "99.99 %"]);
    }

    #[test]
    fn nothing_and_one_value_have_an_axis() {
        for axis in [Axis::linear("", Unit::Count), Axis::log("", Unit::Micros)] {
            for values in [&[][..], &[0.0], &[7.0], &[f64::NAN], &[1e12]] {
                let range = axis.range(values.iter().copied(), 5, true);
                assert!(!range.ticks.is_empty() && range.ticks.len() < 64, "{values:?}");
                assert!(range.place(7.0).is_finite(), "{values:?}");
            }
        }
    }
}

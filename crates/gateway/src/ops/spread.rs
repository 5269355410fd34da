//! How many observations of a histogram lie below which bound, and what that says of them.
//!
//! Must never pretend to be exact: a quantile is placed evenly within its bucket, as Prometheus does.

use serde::{Deserialize, Serialize};

/// The observations of a histogram, in seconds.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Spread {
    /// All of them.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// Upper bounds, ascending, each with how many observations are not above it.
    pub buckets: Vec<(f64, u64)>,
}

impl Spread {
    /// Adds observations that were counted by the same bounds.
    pub fn add(&mut self, other: &Self) {
        self.count += other.count;
        self.sum += other.sum;
        if self.buckets.is_empty() {
            self.buckets.clone_from(&other.buckets);
            return;
        }
        for ((_, below), (_, more)) in self.buckets.iter_mut().zip(&other.buckets) {
            *below += more;
        }
    }

    /// What came since `before`, an earlier look at the same histogram.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let earlier = |at: usize| before.buckets.get(at).map_or(0, |(_, below)| *below);
        let buckets = self.buckets.iter().enumerate();
        Self {
            count: self.count.saturating_sub(before.count),
            sum: (self.sum - before.sum).max(0.0),
            buckets: buckets.map(|(at, (bound, below))| (*bound, below.saturating_sub(earlier(at)))).collect(),
        }
    }

    /// The mean; none of nothing.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }

    /// What a share of the observations, from 0 to 1, is not above; the largest bound for what lies beyond it, and none of
    /// nothing.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<f64> {
        if self.count == 0 {
            return None;
        }
        let wanted = share * self.count as f64;
        let (mut lower, mut before) = (0.0, 0);
        for (bound, below) in &self.buckets {
            if *below as f64 >= wanted {
                let within = below.saturating_sub(before);
                let part = if within == 0 { 1.0 } else { (wanted - before as f64) / within as f64 };
                return Some(lower + (bound - lower) * part);
            }
            (lower, before) = (*bound, *below);
        }
        Some(lower)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(count: u64, below: [u64; 3]) -> Spread {
        let buckets = [0.1, 1.0, 10.0].into_iter().zip(below).collect();
        Spread { count, sum: count as f64, buckets }
    }

    #[test]
    fn quantiles_lie_within_their_bucket() {
        assert_eq!((Spread::default().quantile(0.5), Spread::default().mean()), (None, None));
        let even = spread(100, [50, 100, 100]);
        assert_eq!((even.quantile(0.25), even.quantile(0.5), even.quantile(0.75)), (Some(0.05), Some(0.1), Some(0.55)));
        assert_eq!(spread(10, [0, 0, 5]).quantile(0.99), Some(10.0), "beyond the last bound");
    }

    #[test]
    fn a_difference_forgets_what_was_before() {
        let (before, now) = (spread(100, [100, 100, 100]), spread(110, [100, 110, 110]));
        let since = now.since(&before);
        assert_eq!((since.count, since.quantile(1.0)), (10, Some(1.0)));
        assert_eq!(before.since(&now).count, 0, "a node that began anew is no negative number");
        let mut sum = Spread::default();
        sum.add(&before);
        sum.add(&since);
        assert_eq!(sum, now);
    }
}

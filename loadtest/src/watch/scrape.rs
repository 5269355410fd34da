//! The server's own figures, in the text form of Prometheus.
//!
//! Must never read more of an answer than its bound, or keep more series than one can look at.

use std::collections::BTreeMap;
use std::time::Duration;

/// How long a server may take to tell its figures.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Longest answer, in bytes.
const ANSWER_BYTES_MAX: u64 = 8 << 20;

/// A name with more series than this is kept as their sum only.
const SERIES_MAX: usize = 20;

/// Most figures of one server.
const FIGURES_MAX: usize = 2_000;

/// What one server said at one moment.
#[derive(Clone, Default, Debug)]
pub struct Scrape {
    /// By name, then by name with labels.
    series: BTreeMap<String, BTreeMap<String, f64>>,
}

impl Scrape {
    /// Asks a server.
    ///
    /// # Errors
    /// In a sentence for people.
    pub fn ask(url: &str) -> Result<Self, String> {
        let failed = |error: ureq::Error| format!("{url}: {error}");
        let agent: ureq::Agent =
            ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).max_redirects(0).build().into();
        let mut answer = agent.get(url).call().map_err(failed)?;
        let text = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string().map_err(failed)?;
        Ok(Self::read(&text))
    }

    fn read(text: &str) -> Self {
        let mut series: BTreeMap<String, BTreeMap<String, f64>> = BTreeMap::new();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            // Labels may hold spaces; a time may stand behind the value.
            let name_end = line.rfind('}').map_or_else(|| line.find(' '), |end| Some(end + 1));
            let Some(name_end) = name_end else { continue };
            let (full, rest) = line.split_at(name_end);
            let value = rest.split_ascii_whitespace().next().and_then(|value| value.parse::<f64>().ok());
            let Some(value) = value.filter(|value| value.is_finite()) else { continue };
            let name = full.split('{').next().unwrap_or(full);
            // The steps of a histogram tell nothing without each other; its count and sum stay.
            if name.ends_with("_bucket") {
                continue;
            }
            if series.len() < FIGURES_MAX || series.contains_key(name) {
                *series.entry(name.to_owned()).or_default().entry(full.to_owned()).or_default() += value;
            }
        }
        Self { series }
    }

    /// What changed since `before`: counters as a difference, everything else as it is now. The sum of a name's series
    /// stands under the name, each of a few under its own.
    #[must_use]
    pub fn since(&self, before: &Self) -> BTreeMap<String, f64> {
        let mut figures = BTreeMap::new();
        for (name, series) in &self.series {
            let is_counter = ["_total", "_count", "_sum"].iter().any(|ending| name.ends_with(ending));
            let earlier = before.series.get(name);
            let change = |full: &String, value: f64| {
                let earlier = earlier.and_then(|series| series.get(full)).copied().unwrap_or(0.0);
                // A counter that is smaller than before began again.
                if is_counter && value >= earlier { value - earlier } else { value }
            };
            let changes: Vec<(&String, f64)> =
                series.iter().map(|(full, value)| (full, change(full, *value))).collect();
            figures.insert(name.clone(), changes.iter().map(|(_, value)| value).sum());
            if changes.len() <= SERIES_MAX {
                let labelled = changes.into_iter().filter(|(full, _)| *full != name);
                figures.extend(labelled.map(|(full, value)| (full.clone(), value)));
            }
            if figures.len() >= FIGURES_MAX {
                break;
            }
        }
        figures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_told_by_their_change() {
        let before =
            Scrape::read("# HELP a\nsent_total{code=\"a b\"} 5\nsent_total{code=\"c\"} 7 1700000000\nopen 3\n");
        let text = "sent_total{code=\"a b\"} 9\nsent_total{code=\"c\"} 2\nopen 1.5\nt_bucket{le=\"1\"} 4\nbad\nx NaN\n";
        let figures = Scrape::read(text).since(&before);
        let expected =
            [("open", 1.5), ("sent_total", 6.0), ("sent_total{code=\"a b\"}", 4.0), ("sent_total{code=\"c\"}", 2.0)];
        assert_eq!(figures, expected.map(|(name, value)| (name.to_owned(), value)).into());
    }

    #[test]
    fn many_series_are_one_sum() {
        let text: String = (0..50).map(|user| format!("n{{user=\"{user}\"}} 1\n")).collect();
        let figures = Scrape::read(&text).since(&Scrape::default());
        assert_eq!(figures, [("n".to_owned(), 50.0)].into());
    }
}

//! What every alert must have: a severity, words, a page in the runbook, a case that fires and one that does not.
//!
//! Reads the rule file by its lines, in the one form in which this repository writes it; `promtool` judges the YAML.

use std::collections::BTreeSet;

/// Where the pages are read: the repository's address.
const PAGES: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs/runbook/");

/// The parts of a page, in this order.
const HEADINGS: [&str; 5] = ["## What people feel", "## What it means", "## Check", "## Fix", "## How to test it"];

const SEVERITIES: [&str; 2] = ["page", "ticket"];

/// One alert as it stands in the rule file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Alert {
    pub(super) name: String,
    /// The lines below its name.
    body: Vec<String>,
}

impl Alert {
    /// The value of a key that stands on a line of its own.
    fn value(&self, key: &str) -> &str {
        let found = self.body.iter().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix(':'));
        found.map(|value| value.trim().trim_matches('\'')).unwrap_or_default()
    }
}

/// The alerts of a rule file.
pub(super) fn read(rules: &str) -> Vec<Alert> {
    let mut alerts: Vec<Alert> = Vec::new();
    for line in rules.lines() {
        if let Some(name) = line.trim().strip_prefix("- alert: ") {
            alerts.push(Alert { name: name.trim().to_owned(), body: Vec::new() });
        } else if let Some(alert) = alerts.last_mut() {
            alert.body.push(line.to_owned());
        }
    }
    alerts
}

/// The names of the cases in a file of cases.
pub(super) fn cases(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.trim().strip_prefix("- name: ")).collect()
}

/// What is missing. `page` gives the text of a page of the runbook.
pub(super) fn complaints(
    alerts: &[Alert],
    cases_text: &str,
    index: &str,
    page: impl Fn(&str) -> Option<String>,
) -> Vec<String> {
    let mut complaints = Vec::new();
    let cases = cases(cases_text);
    for alert in alerts {
        let name = &alert.name;
        let mut complain = |what: &str| complaints.push(format!("{name}: {what}"));
        if !SEVERITIES.contains(&alert.value("severity")) {
            complain("the severity is neither page nor ticket");
        }
        for key in ["for", "summary", "description"] {
            if alert.value(key).is_empty() {
                complain(&format!("no {key}"));
            }
        }
        if alert.value("runbook_url") != format!("{PAGES}{name}.md") {
            complain(&format!("its runbook_url is not {PAGES}{name}.md"));
        }
        match page(name) {
            None => complain("no page in the runbook"),
            Some(page) => {
                let present: Vec<&str> = page.lines().filter(|line| line.starts_with("## ")).collect();
                if present != HEADINGS {
                    complain(&format!("its page does not have the parts {}", HEADINGS.join(", ")));
                }
            }
        }
        if !index.contains(&format!("({name}.md)")) {
            complain("not in the index of the runbook");
        }
        let fired = format!("alertname=\"{name}\", severity=\"{}\"", alert.value("severity"));
        if !cases_text.contains(&fired) || !cases.iter().any(|case| case.starts_with(&format!("{name} fires"))) {
            complain("no case in which it fires");
        }
        if !cases.iter().any(|case| case.starts_with(&format!("{name} is quiet"))) {
            complain("no case in which it is quiet");
        }
    }
    complaints
}

/// Pages of alerts that are no more.
pub(super) fn orphans(alerts: &[Alert], pages: &[String]) -> Vec<String> {
    let names: BTreeSet<&str> = alerts.iter().map(|alert| alert.name.as_str()).collect();
    let gone = pages.iter().filter(|page| !names.contains(page.as_str()));
    gone.map(|page| format!("the runbook has a page {page} for no alert")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str = "groups:
  - name: g
    rules:
      - alert: One
        expr: up == 0
        for: 1m
        labels:
          severity: page
        annotations:
          summary: S
          description: 'D'
          runbook_url: https://github.com/hubbub-chat/hubbub/blob/main/docs/runbook/One.md
";
    const CASES: &str = "tests:
  - name: One fires at once
        - labels: '{alertname=\"One\", severity=\"page\"}'
  - name: One is quiet otherwise
";

    fn judge(rules: &str, cases: &str, index: &str, page: Option<String>) -> Vec<String> {
        complaints(&read(rules), cases, index, |_| page.clone())
    }

    #[test]
    fn a_whole_alert_passes_and_whatever_is_missing_is_told() {
        let page = || Some(HEADINGS.join("\n"));
        let index = "[One](One.md)";
        assert_eq!(judge(RULES, CASES, index, page()), Vec::<String>::new());
        for planted in ["severity: page", "for: 1m", "summary: S", "description: 'D'", "runbook/One.md"] {
            let rules = RULES.replace(planted, "");
            assert!(!judge(&rules, CASES, index, page()).is_empty(), "{planted}");
        }
        for planted in ["One fires", "One is quiet", "alertname=\"One\""] {
            assert_eq!(judge(RULES, &CASES.replace(planted, ""), index, page()).len(), 1, "{planted}");
        }
        assert_eq!(judge(RULES, CASES, "", page()), ["One: not in the index of the runbook"]);
        assert_eq!(judge(RULES, CASES, index, None), ["One: no page in the runbook"]);
        assert_eq!(judge(RULES, CASES, index, Some("## Check".to_owned())).len(), 1);
    }

    #[test]
    fn pages_without_an_alert_are_found() {
        let pages = ["One", "Two"].map(str::to_owned);
        assert_eq!(orphans(&read(RULES), &pages), ["the runbook has a page Two for no alert"]);
    }
}

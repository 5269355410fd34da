//! Every error and close code that the server can send stands in `docs/protocol.md`.
//!
//! The codes come from `hubbub-protocol` itself (its example `codes` prints `CODE NAME` lines), so that this
//! rule cannot disagree with the wire. Must never hold a list of codes.

use anyhow::{Context, Result};

use crate::project::Project;
use crate::tidy::Violation;

/// Where the codes are explained to people.
pub(super) const DOCUMENT: &str = "docs/protocol.md";

/// What the protocol says its codes are. Fails when the example does not build or run.
pub(super) fn listed(project: &Project) -> Result<String> {
    let command = project.cargo().args(["run", "--quiet", "--package", "hubbub-protocol", "--example", "codes"]);
    command.quiet().read().context("cannot list the protocol's codes")
}

/// Codes that no line of the document names together with their number.
pub(super) fn undocumented(listed: &str, document: Option<&str>) -> Vec<Violation> {
    let Some(document) = document else { return vec![Violation::new(DOCUMENT, 0, "is missing")] };
    let codes: Vec<(&str, &str)> = listed.lines().filter_map(|line| line.trim().split_once(' ')).collect();
    if codes.is_empty() {
        return vec![Violation::new(DOCUMENT, 0, "the protocol lists no codes at all")];
    }
    let missing = codes
        .into_iter()
        .filter(|(code, name)| !document.lines().any(|line| has_word(line, code) && has_word(line, name.trim())));
    missing.map(|(code, name)| Violation::new(DOCUMENT, 0, format!("does not explain {code} `{name}`"))).collect()
}

fn has_word(line: &str, word: &str) -> bool {
    line.split(|character: char| !character.is_alphanumeric() && character != '_').any(|found| found == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_without_a_line_is_found() {
        let document = "| 10001 | `malformed` | … |\n| 4000 | `slow` |\ntoo_slow 40001\n";
        let found = undocumented("10001 malformed\n4000 too_slow\n", Some(document));
        assert_eq!(found, [Violation::new(DOCUMENT, 0, "does not explain 4000 `too_slow`")]);
    }

    #[test]
    fn silence_is_no_success() {
        assert_eq!(undocumented("", Some("10001 malformed")).len(), 1);
        assert_eq!(undocumented("10001 malformed", None).len(), 1);
    }
}

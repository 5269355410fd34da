//! The file of functions that may stay longer than the limit, for now.
//!
//! Owns its format: one table `[functions]`, `"path::name" = lines`. Must never be written by a program:
//! an entry that grows by itself would hold nothing.

use std::collections::BTreeMap;

use anyhow::Result;
use toml::Table;
use toml::Value;

/// Reads the ratchet. An empty text has no entries; an entry that is no count of lines is an error.
pub(super) fn parse(text: &str) -> Result<BTreeMap<String, usize>> {
    let table: Table = text.parse()?;
    let Some(functions) = table.get("functions") else { return Ok(BTreeMap::new()) };
    let entries = functions.as_table().ok_or_else(|| anyhow::anyhow!("`functions` is no table"))?;
    let parsed = entries.iter().map(|(key, value)| {
        let lines = Value::as_integer(value).and_then(|lines| usize::try_from(lines).ok());
        lines.map(|lines| (key.clone(), lines)).ok_or_else(|| anyhow::anyhow!("{key}: not a count of lines"))
    });
    parsed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_counts() {
        assert_eq!(parse("").expect("empty").len(), 0);
        let entries = parse("[functions]\n\"a.rs::f\" = 84\n").expect("one entry");
        assert_eq!(entries.get("a.rs::f"), Some(&84));
        parse("[functions]\n\"a.rs::f\" = \"long\"\n").expect_err("a word is no count");
    }
}

//! `report`: the newest results as tables and plots in the documents.
//!
//! Owns what stands between the marks in `performance.md`, the folder of plots, and `results.json`. Must never touch the
//! prose around the marks.

mod plots;
mod table;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::sheet::{self, Sheet};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The folder of the documents.
    #[arg(long, default_value = "docs")]
    docs: PathBuf,
}

/// Sheets by name: what was measured now over what is kept.
type Sheets = BTreeMap<String, Sheet>;

pub(crate) fn run(options: &Options) -> Result<()> {
    let folder = options.docs.join("performance");
    fs::create_dir_all(&folder)?;
    let kept = folder.join("results.json");
    let mut sheets: Sheets = match fs::read_to_string(&kept) {
        Ok(text) => serde_json::from_str(&text).with_context(|| format!("{} is no list of results", kept.display()))?,
        Err(_) => Sheets::new(),
    };
    let measured = measured(&sheet::folder()?)?;
    println!("{} results of this machine, {} kept before", measured.len(), sheets.len());
    sheets.extend(measured);
    fs::write(&kept, serde_json::to_string_pretty(&sheets)? + "\n")?;
    let file = options.docs.join("performance.md");
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    for sheet in sheets.values() {
        for (name, plot) in plots::of(sheet) {
            fs::write(folder.join(format!("{name}.svg")), plot)?;
        }
    }
    fs::write(&file, fill(&text, &sheets)?)?;
    for name in sheets.keys().filter(|name| !text.contains(&begin(name))) {
        println!("{name}: {} has no place for it: {} {END}", file.display(), begin(name));
    }
    Ok(())
}

fn measured(folder: &Path) -> Result<Sheets> {
    let mut sheets = Sheets::new();
    let files = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    for file in files.filter(|file| file.extension().is_some_and(|ending| ending == "json")) {
        let text = fs::read_to_string(&file)?;
        let sheet: Sheet = serde_json::from_str(&text).with_context(|| format!("{} is no result", file.display()))?;
        sheets.insert(sheet.name.clone(), sheet);
    }
    Ok(sheets)
}

const END: &str = "<!-- /bench -->";

fn begin(name: &str) -> String {
    format!("<!-- bench:{name} -->")
}

/// The text with new tables between its marks. A mark without a result says so.
fn fill(text: &str, sheets: &Sheets) -> Result<String> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("<!-- bench:") {
        let (name, behind) = behind.split_once(" -->").context("a mark does not end")?;
        let Some((_, after)) = behind.split_once(END) else { bail!("{} has no {END}", begin(name)) };
        filled.push_str(before);
        filled.push_str(&begin(name));
        filled.push('\n');
        match sheets.get(name) {
            Some(sheet) => filled.push_str(&table::of(sheet)),
            None => filled.push_str("Not measured yet.\n"),
        }
        filled.push_str(END);
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Machine;
    use crate::sheet::Row;

    pub(super) fn sheet() -> Sheet {
        let machine = Machine {
            system: "Linux 6.1".to_owned(),
            processor: "A processor".to_owned(),
            processors: 2,
            memory_bytes: 24 << 30,
        };
        let rows = vec![
            Row::new("CPU | of a delivery", "bare", 2.0, "µs"),
            Row::new("CPU | of a delivery", "hubbub", 3.0, "µs").at_most(2.5).note("a note"),
        ];
        let mut sheet = Sheet {
            name: "a".to_owned(),
            title: "A title".to_owned(),
            command: "cargo xtask bench a".to_owned(),
            date: "2026-01-31".to_owned(),
            commit: "0123456789ab".to_owned(),
            machine,
            versions: vec![("hubbub".to_owned(), "0.1.0".to_owned())],
            rows,
            doubts: Vec::new(),
            series: Vec::new(),
        };
        sheet.point("a curve", ("rooms", "µs"), (10.0, 1.0));
        sheet.point("a curve", ("rooms", "µs"), (100.0, 2.0));
        sheet
    }

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let sheets = Sheets::from([("a".to_owned(), sheet())]);
        let text = "# Prose\n<!-- bench:a -->\nold\n<!-- /bench -->\nmore\n<!-- bench:b --><!-- /bench -->\nend\n";
        let filled = fill(text, &sheets).expect("marks in order");
        assert!(filled.starts_with("# Prose\n<!-- bench:a -->\n"), "{filled}");
        assert!(!filled.contains("old"), "{filled}");
        assert!(filled.contains("<!-- /bench -->\nmore\n<!-- bench:b -->\nNot measured yet."));
        assert_eq!(fill(&filled, &sheets).expect("marks in order"), filled, "twice is as once");
        fill("<!-- bench:a -->", &sheets).expect_err("no end");
    }
}

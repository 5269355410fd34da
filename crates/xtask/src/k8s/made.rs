//! What is made from something else in `k8s/`: copies in the chart, the schema of `config`, the table of values, and the
//! plain form.
//!
//! Must never hold text of its own for any of them.

use std::fs;

use anyhow::{Context, Result};

use crate::generate::merge;
use crate::k8s::helm::Helm;
use crate::k8s::{CHART, plain, readme, schema};
use crate::project::Project;

/// A chart can only read files in its own folder.
const COPIES: [(&str, &str); 2] = [
    ("deploy/prometheus/alerts.yml", "k8s/hubbub/files/alerts.yml"),
    ("deploy/grafana/hubbub.json", "k8s/hubbub/files/hubbub.json"),
];

/// Writes what is out of date, or with `check` only names it.
pub(crate) fn generate(project: &Project, check: bool) -> Result<Vec<String>> {
    let mut stale = Vec::new();
    let read = |path: &str| fs::read_to_string(project.path(path)).with_context(|| format!("cannot read {path}"));
    for (source, copy) in COPIES {
        settle(project, check, copy, &read(source)?, &mut stale)?;
    }
    let schema_file = format!("{CHART}/values.schema.json");
    let reference = ["run", "--quiet", "--package=hubbub", "--", "config", "reference", "--json"];
    let keys = project.cargo().args(reference).quiet().read().context("cannot list the keys of the configuration")?;
    settle(project, check, &schema_file, &schema::merge(&read(&schema_file)?, &keys)?, &mut stale)?;
    let readme_file = format!("{CHART}/README.md");
    let table = readme::table(&read(&format!("{CHART}/values.yaml"))?)?;
    let present = fs::read_to_string(project.path(&readme_file)).unwrap_or_default();
    settle(project, check, &readme_file, &merge(&present, &table), &mut stale)?;
    match Helm::find(project) {
        Some(helm) => plain::generate(project, &helm, check, &mut stale)?,
        None => plain::compare_mark(project, check, &mut stale)?,
    }
    Ok(stale)
}

/// Compares a file with what it should hold.
pub(super) fn settle(project: &Project, check: bool, path: &str, wanted: &str, stale: &mut Vec<String>) -> Result<()> {
    let file = project.path(path);
    if fs::read_to_string(&file).is_ok_and(|present| present == wanted) {
        println!("{path}: up to date");
    } else if check {
        println!("{path}: out of date");
        stale.push(path.to_owned());
    } else {
        fs::write(&file, wanted).with_context(|| format!("cannot write {path}"))?;
        println!("{path}: written");
    }
    Ok(())
}

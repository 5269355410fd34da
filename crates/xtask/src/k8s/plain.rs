//! `k8s/plain`: what the chart makes of `k8s/ci/plain.yaml`, one file for each template, for people without Helm.
//!
//! Owns the mark of what they were made from, so that a stale copy is found without Helm too. Must never be edited by hand,
//! and never differ from the chart in more than the lines that only Helm reads.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::k8s::helm::Helm;
use crate::k8s::made::settle;
use crate::k8s::rendered::Rendered;
use crate::k8s::{CHART, COMBINATIONS, values_files};
use crate::project::Project;

/// Where they lie.
pub(super) const FOLDER: &str = "k8s/plain";

const HEAD: &str = "# Made from the chart by `cargo xtask generate`: k8s/hubbub with k8s/ci/plain.yaml.\n";

/// Says what the folder is, and holds the mark.
const README: &str = "README.md";

/// Of Helm alone.
const MARKS: [&str; 3] = ["helm.sh/", "app.kubernetes.io/managed-by:", "# Source:"];

/// The migration is there for Helm as a hook with objects of its own; without Helm it uses those of the nodes.
const HOOK_SUFFIX: &str = "-migration";

/// Writes the files, or names those that are out of date.
pub(super) fn generate(project: &Project, helm: &Helm<'_>, check: bool, stale: &mut Vec<String>) -> Result<()> {
    let rendered = Rendered::new(helm, &project.path(COMBINATIONS).join("plain.yaml"))?;
    let mut files = files(&rendered);
    files.insert(README.to_owned(), readme(&mark(project)?));
    for (name, text) in &files {
        settle(project, check, &format!("{FOLDER}/{name}"), text, stale)?;
    }
    for path in values_files(project, FOLDER)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if files.contains_key(&name) {
            continue;
        }
        if check {
            println!("{FOLDER}/{name}: no longer made");
            stale.push(format!("{FOLDER}/{name}"));
        } else {
            fs::remove_file(&path)?;
            println!("{FOLDER}/{name}: removed");
        }
    }
    Ok(())
}

/// What can be said without Helm: whether the files were made from the chart as it is.
pub(super) fn compare_mark(project: &Project, check: bool, stale: &mut Vec<String>) -> Result<()> {
    let present = fs::read_to_string(project.path(FOLDER).join(README)).unwrap_or_default();
    if present == readme(&mark(project)?) {
        println!("{FOLDER}: made from the present chart; not rendered again, without helm");
    } else {
        println!("{FOLDER}: the chart has changed, and there is no helm to render it (`cargo xtask k8s` builds it)");
        if check {
            stale.push(FOLDER.to_owned());
        }
    }
    Ok(())
}

fn readme(mark: &str) -> String {
    format!(
        "# Without Helm\n\nMade by `cargo xtask generate` from the chart and `k8s/ci/plain.yaml`; how to use it stands in \
         [../README.md](../README.md#for-people).\n\nMade from `{mark}`: while the chart has another mark, `cargo xtask ci` \
         fails.\n"
    )
}

/// A number that is another one when anything that is rendered here changes (FNV-1a, 64 bits).
fn mark(project: &Project) -> Result<String> {
    let chart = project.path(CHART);
    let mut inputs =
        vec![chart.join("Chart.yaml"), chart.join("values.yaml"), project.path(COMBINATIONS).join("plain.yaml")];
    inputs.extend(listed(&chart.join("templates"))?);
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for input in inputs {
        let bytes = fs::read(&input).with_context(|| format!("cannot read {}", input.display()))?;
        let name = input.file_name().unwrap_or_default().as_encoded_bytes();
        for byte in name.iter().chain(&bytes) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    Ok(format!("{hash:016x}"))
}

/// The files of a folder in the order of their names.
fn listed(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    files.sort();
    Ok(files)
}

/// The files by name.
fn files(rendered: &Rendered) -> BTreeMap<String, String> {
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    for object in &rendered.objects {
        if object.source == "migration" && object.kind == "ConfigMap" {
            continue;
        }
        let text = without_marks(&object.text);
        let file = files.entry(format!("{}.yaml", object.source)).or_insert_with(|| HEAD.to_owned());
        if file.as_str() != HEAD {
            file.push_str("---\n");
        }
        file.push_str(&text);
    }
    if let Some(migration) = files.get_mut("migration.yaml") {
        // The volume `config` of the Job.
        *migration = without_hook_suffix(migration);
    }
    files
}

/// The text without the lines that only Helm reads, and without annotations where none are left.
fn without_marks(text: &str) -> String {
    let kept: Vec<&str> =
        text.lines().filter(|line| !MARKS.iter().any(|mark| line.trim_start().starts_with(mark))).collect();
    let depth = |line: &str| line.len() - line.trim_start().len();
    let mut result = String::new();
    for (index, line) in kept.iter().enumerate() {
        let has_children = kept.get(index + 1).is_some_and(|next| depth(next) > depth(line));
        if line.trim() == "annotations:" && !has_children {
            continue;
        }
        result.push_str(line.trim_end());
        result.push('\n');
    }
    result
}

/// The Job reads the ConfigMap of the nodes.
fn without_hook_suffix(text: &str) -> String {
    let mut in_config_map = false;
    let lines = text.lines().map(|line| {
        let own = std::mem::replace(&mut in_config_map, line.trim().trim_start_matches("- ") == "configMap:");
        let line = if own { line.strip_suffix(HOOK_SUFFIX).unwrap_or(line) } else { line };
        format!("{line}\n")
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_of_helm_go_and_empty_annotations_with_them() {
        let text = "# Source: a\nkind: Job\nmetadata:\n  name: x\n  annotations:\n    helm.sh/hook: pre-install\nspec:\n  \
                    annotations:\n    a: b\n    helm.sh/x: y\n";
        assert_eq!(without_marks(text), "kind: Job\nmetadata:\n  name: x\nspec:\n  annotations:\n    a: b\n");
    }

    #[test]
    fn the_job_reads_the_config_map_of_the_nodes() {
        let text = "name: a-migration\n- configMap:\n    name: a-migration\n";
        assert_eq!(without_hook_suffix(text), "name: a-migration\n- configMap:\n    name: a\n");
    }
}

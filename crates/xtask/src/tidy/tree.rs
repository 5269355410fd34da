//! The files that the rules look at, read once.
//!
//! Owns which files belong to the project (no build output, no local data). Must never judge them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// Folders that hold output, data or other people's code.
const FOREIGN_FOLDERS: [&str; 8] =
    ["target", "node_modules", "dist", "data", "corpus", "artifacts", "coverage", "playwright-report"];

/// Hidden entries that belong to the project; every other one is skipped.
const HIDDEN: [&str; 6] = [".cargo", ".ci", ".github", ".editorconfig", ".gitignore", ".dockerignore"];

/// More files than this means that a foreign folder is being walked.
const FILES_MAX: usize = 20_000;

/// Every project file by its path relative to the root, with `/` between the parts.
#[derive(Debug, Default)]
pub(super) struct Tree {
    texts: BTreeMap<String, String>,
    /// Every file and folder, those that are not UTF-8 too: links may point at them.
    paths: BTreeSet<String>,
}

impl Tree {
    /// Reads all files under the root. Fails when a file cannot be read.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let mut tree = Self::default();
        tree.read_folder(root, "")?;
        Ok(tree)
    }

    fn read_folder(&mut self, folder: &Path, prefix: &str) -> Result<()> {
        let entries = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
            let kind = entry.file_type()?;
            let foreign = kind.is_dir() && FOREIGN_FOLDERS.contains(&name.as_str());
            if foreign || (name.starts_with('.') && !HIDDEN.contains(&name.as_str())) {
                continue;
            }
            let path = format!("{prefix}{name}");
            if kind.is_dir() {
                self.paths.insert(path.clone());
                self.read_folder(&entry.path(), &format!("{path}/"))?;
            } else if kind.is_file() {
                let bytes = fs::read(entry.path()).with_context(|| format!("cannot read {path}"))?;
                if let Ok(text) = String::from_utf8(bytes) {
                    self.texts.insert(path.clone(), text);
                }
                self.paths.insert(path);
                ensure!(self.paths.len() <= FILES_MAX, "more than {FILES_MAX} files: is a foreign folder in the tree?");
            }
        }
        Ok(())
    }

    /// A tree with these files only.
    #[cfg(test)]
    pub(super) fn planted(files: &[(&str, &str)]) -> Self {
        let mut tree = Self::default();
        for (path, text) in files {
            tree.texts.insert((*path).to_owned(), (*text).to_owned());
            for (end, _) in path.match_indices('/') {
                tree.paths.insert(path[..end].to_owned());
            }
            tree.paths.insert((*path).to_owned());
        }
        tree
    }

    pub(super) fn len(&self) -> usize {
        self.texts.len()
    }

    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.texts.get(path).map(String::as_str)
    }

    /// Whether a file or folder of this path is there.
    pub(super) fn has(&self, path: &str) -> bool {
        path.is_empty() || self.paths.contains(path)
    }

    /// Every UTF-8 file as (path, text).
    pub(super) fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// Every file whose name ends so.
    pub(super) fn ending(&self, suffix: &'static str) -> impl Iterator<Item = (&str, &str)> {
        self.texts().filter(move |(path, _)| path.ends_with(suffix))
    }
}

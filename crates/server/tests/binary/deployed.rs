//! What is shipped beside the binary names only what the binary knows.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::Place;

/// Every file below this folder, but for those of the containers: `compose` reads them, with the variables of their own.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let entries = entries.filter(|path| !path.ends_with("deploy/docker"));
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn every_key_and_variable_in_deploy_is_one_of_the_binary() {
    let reference = Place::new().run(&["config", "reference"]).stdout;
    let rows = reference.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let keys: BTreeSet<String> = rows.map(|(key, _)| key.to_owned()).collect();
    let groups: BTreeSet<&str> = keys.iter().filter_map(|key| Some(key.split_once('.')?.0)).collect();
    let variables: BTreeSet<String> =
        keys.iter().map(|key| format!("HUBBUB_{}", key.to_ascii_uppercase().replace('.', "_"))).collect();
    let mut seen = BTreeSet::new();
    for file in files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy")) {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        let words = text.split(|sign: char| !(sign.is_ascii_alphanumeric() || "_.".contains(sign)));
        for word in words.map(|word| word.trim_end_matches('.')) {
            let is_variable = word.starts_with("HUBBUB_");
            let is_key = word.split_once('.').is_some_and(|(group, key)| groups.contains(group) && key.contains('_'));
            let known = match word.strip_suffix("_FILE") {
                Some(twin) if is_variable => variables.contains(twin),
                _ => variables.contains(word) || keys.contains(word),
            };
            assert!(known || !(is_variable || is_key), "{}: `{word}`", file.display());
            if known {
                seen.insert(word.to_owned());
            }
        }
    }
    for word in ["HUBBUB_PROXY_TRUSTED", "HUBBUB_AUTH_TOKEN_SECRET_FILE", "proxy.forwarded_for", "drain.timeout"] {
        assert!(seen.contains(word), "{word} was not looked at");
    }
}

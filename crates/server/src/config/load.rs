//! Puts the layers together: flag over environment over file over default.
//!
//! Must never stop at the first problem: whoever repairs a configuration wants the whole list.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::keys::Key;
use super::problem::{Problem, Problems, Source};
use super::value::{Value, quote};
use super::{Config, Purpose, check, environment, file, sqlite_url};

/// One setting of one layer.
pub(super) struct Entry {
    pub(super) key: &'static Key,
    /// The value is the path of a file that holds the key's value.
    pub(super) twin: bool,
    /// Or what was expected.
    pub(super) value: Result<Value, String>,
    pub(super) source: Source,
}

/// Everything that one layer says.
#[derive(Default)]
pub(super) struct Layer {
    pub(super) entries: Vec<Entry>,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
}

/// What the program was started with.
#[derive(Clone, Default)]
pub(crate) struct Given {
    /// `--config`.
    pub(crate) file: Option<PathBuf>,
    /// The flags that were given, with their text.
    pub(crate) flags: Vec<(&'static Key, String)>,
    pub(crate) variables: Vec<(OsString, OsString)>,
}

/// A configuration that is possible, and where each value came from.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    pub(crate) config: Config,
    /// The file that was read.
    pub(crate) file: Option<PathBuf>,
    pub(crate) warnings: Vec<Problem>,
    /// Files beside it that values were read from.
    pub(crate) files: Vec<PathBuf>,
    pub(super) sources: BTreeMap<&'static str, Source>,
}

impl Loaded {
    /// Whether no file has set anything.
    pub(crate) fn is_bare(&self) -> bool {
        !self.sources.values().any(|source| matches!(source, Source::File { .. }))
    }

    /// Where the value of this key came from.
    pub(crate) fn source(&self, path: &str) -> &Source {
        self.sources.get(path).unwrap_or(&Source::Default)
    }
}

/// Reads all layers and checks the whole.
pub(crate) fn load(given: &Given, purpose: Purpose) -> Result<Loaded, Problems> {
    let (file, file_layer) = file::read(given.file.as_deref());
    // From the weakest to the strongest.
    let layers = [file_layer, environment::read(given.variables.iter().cloned()), flags(&given.flags)];
    let mut found = Problems::default();
    let mut loaded =
        Loaded { config: Config::default(), file, warnings: Vec::new(), files: Vec::new(), sources: BTreeMap::new() };
    for layer in layers {
        found.problems.extend(layer.problems);
        found.warnings.extend(layer.warnings);
        apply(&mut loaded, layer.entries, &mut found.problems);
    }
    if *loaded.source("database.url") == Source::Default {
        loaded.config.database.url = sqlite_url(&loaded.config.data_folder.to_string_lossy());
    }
    loaded.files.extend(loaded.config.auth.token_public_key_file.clone());
    check::run(&loaded, purpose, &mut found);
    if found.problems.is_empty() {
        loaded.warnings = found.warnings;
        return Ok(loaded);
    }
    found.problems.sort();
    found.files = loaded.files;
    Err(found)
}

fn flags(given: &[(&'static Key, String)]) -> Layer {
    let entries = given.iter().map(|(key, text)| {
        let source = Source::Flag(format!("--{}", key.flag.unwrap_or_default()));
        let value = key.kind.read_text(text).map_err(|expected| refused(key, &expected, &quote(text)));
        Entry { key, twin: false, value, source }
    });
    Layer { entries: entries.collect(), ..Layer::default() }
}

/// What was expected, and what was given instead, but for a secret.
pub(super) fn refused(key: &Key, expected: &str, given: &str) -> String {
    if key.secret { expected.to_owned() } else { format!("{expected}; not {given}") }
}

/// Writes one layer over what is there.
fn apply(loaded: &mut Loaded, entries: Vec<Entry>, problems: &mut Vec<Problem>) {
    for entry in &entries {
        let both = entry.twin && entries.iter().any(|other| !other.twin && other.key.path == entry.key.path);
        if both {
            let message = format!("`{0}` and `{0}_file` are both given; one is enough", entry.key.path);
            problems.push(Problem::new(&entry.source, message));
        }
    }
    for Entry { key, twin, value, source } in entries {
        if let (true, Ok(Value::Text(path))) = (twin, &value) {
            loaded.files.push(path.into());
        }
        let read = if twin { value.and_then(|path| read_twin(key, path)) } else { value };
        match read.map(|value| (key.write)(&mut loaded.config, value)) {
            Ok(Ok(())) => {
                loaded.sources.insert(key.path, source);
            }
            Ok(Err(_)) => problems.push(Problem::new(&source, wrong(key, &key.kind.expected()))),
            Err(expected) => problems.push(Problem::new(&source, wrong(key, &expected))),
        }
    }
}

fn wrong(key: &Key, expected: &str) -> String {
    format!("`{}`: expected {expected}", key.path)
}

/// The content of the file that a twin names, without the line's end that editors and `echo` leave.
fn read_twin(key: &Key, path: Value) -> Result<Value, String> {
    let Value::Text(path) = path else { return Err("a path".to_owned()) };
    let text = file::read_text(Path::new(&path)).map_err(|error| format!("a readable file, but {path}: {error}"))?;
    let text = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    key.kind.read_text(text).map_err(|expected| format!("{expected} in {path}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::field::Field;
    use crate::config::keys::KEYS;

    #[test]
    fn every_kind_fits_its_field_and_every_default_its_bounds() {
        let mut config = Config::default();
        for key in KEYS {
            let sample = match (key.read)(&config) {
                Some(default) => {
                    let written = key.kind.write_toml(&default);
                    let parsed = toml::de::DeValue::parse(&written).expect("TOML").into_inner();
                    assert_eq!(key.kind.read_toml(&parsed), Ok(default.clone()), "{}", key.path);
                    default
                }
                None => {
                    let sample = key.kind.read_text("sample").or_else(|_| key.kind.read_text("64KiB"));
                    sample.expect(key.path)
                }
            };
            (key.write)(&mut config, sample.clone()).expect(key.path);
            assert_eq!((key.read)(&config), Some(sample), "{}", key.path);
        }
    }

    #[test]
    fn paths_are_unique_and_no_twin_is_a_key() {
        let mut paths = crate::config::keys::paths();
        let count = paths.len();
        paths.sort();
        paths.dedup();
        assert_eq!(paths.len(), count);
    }

    #[test]
    fn a_value_of_another_type_is_given_back() {
        assert_eq!(true.write(Value::Number(1)), Err(Value::Number(1)));
    }
}

//! Settings from the file: `--config FILE`, else `./hubbub.toml`, else `/etc/hubbub/hubbub.toml`.
//!
//! Must never guess: an unknown key or a wrong type is a problem with its place.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::keys;
use super::load::{Entry, Layer, refused};
use super::nearest::nearest;
use super::problem::{Problem, Source};
use super::value::{Kind, describe};

/// Where the file is looked for when no flag names one.
const PLACES: [&str; 2] = ["hubbub.toml", "/etc/hubbub/hubbub.toml"];

/// No configuration is this long.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Where a file may be.
pub(super) fn places(named: Option<&Path>) -> Vec<PathBuf> {
    match named {
        Some(path) => vec![path.to_path_buf()],
        None => PLACES.iter().map(PathBuf::from).collect(),
    }
}

/// Reads the named file, or the first that is there. A named one has to be there.
pub(super) fn read(named: Option<&Path>) -> (Option<PathBuf>, Layer) {
    for path in places(named) {
        match read_text(&path) {
            Ok(text) => {
                let layer = parse(&path, &text);
                return (Some(path), layer);
            }
            Err(error) if error.kind() == ErrorKind::NotFound && named.is_none() => {}
            Err(error) => {
                let message = format!("the configuration file cannot be read: {error}");
                let problem = Problem::new(&Source::WholeFile(path.clone()), message);
                return (Some(path), Layer { problems: vec![problem], ..Layer::default() });
            }
        }
    }
    (None, Layer::default())
}

/// The text of a regular file of bounded length: a device or a pipe may have no end, or hold the reader up for ever.
pub(crate) fn read_text(path: &Path) -> std::io::Result<String> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(std::io::Error::new(ErrorKind::InvalidInput, "no regular file"));
    }
    let mut text = String::new();
    let read = File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if read as u64 > FILE_BYTES_MAX {
        return Err(std::io::Error::new(ErrorKind::FileTooLarge, format!("longer than {FILE_BYTES_MAX} bytes")));
    }
    Ok(text)
}

/// Reads the text of a file; `path` is only for the places.
pub(super) fn parse(path: &Path, text: &str) -> Layer {
    let mut reader = Reader { path, text, layer: Layer::default() };
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let source = reader.place(&error.span().unwrap_or(0..0));
        let message = error.message().lines().next().unwrap_or_default();
        reader.layer.problems.push(Problem::new(&source, format!("this is no TOML: {message}")));
    }
    // What was recovered from a broken text is not what was meant: further complaints would mislead.
    if errors.is_empty() {
        reader.table("", document.get_ref());
    }
    reader.layer
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    layer: Layer,
}

impl Reader<'_> {
    fn table(&mut self, prefix: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let path = format!("{prefix}{}", name.get_ref());
            let place = self.place(&name.span());
            match (keys::find(&path), value.get_ref()) {
                (Some((key, twin)), value) => {
                    let kind = if twin { Kind::Path } else { key.kind };
                    let read = kind.read_toml(value).map_err(|expected| refused(key, &expected, &describe(value)));
                    self.layer.entries.push(Entry { key, twin, value: read, source: place });
                }
                (None, DeValue::Table(table)) if !table.is_empty() => self.table(&format!("{path}."), table),
                (None, _) => self.unknown(&place, &path),
            }
        }
    }

    fn unknown(&mut self, place: &Source, path: &str) {
        let known = keys::paths();
        let group: Vec<&str> =
            known.iter().filter(|key| key.starts_with(&format!("{path}."))).map(String::as_str).collect();
        let problem = if group.is_empty() {
            Problem::unknown(place, "key", path, nearest(path, known.iter().map(String::as_str)))
        } else {
            Problem::new(place, format!("`{path}` is a group of keys ({}) and no value itself", group.join(", ")))
        };
        self.layer.problems.push(problem);
    }

    fn place(&self, span: &Range<usize>) -> Source {
        let (line, column) = position(self.text, span.start);
        Source::File { path: self.path.to_path_buf(), line, column }
    }
}

/// Line and column of a byte, both from 1; columns count characters.
fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::value::Value;

    fn complaints(text: &str) -> Vec<String> {
        parse(Path::new("h.toml"), text).problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn tables_and_dotted_keys_are_the_same() {
        for text in ["[node]\nname = \"a\"\n", "node.name = \"a\"\n", "node = { name = \"a\" }\n"] {
            let layer = parse(Path::new("h.toml"), text);
            assert!(layer.problems.is_empty());
            assert_eq!(layer.entries.len(), 1, "{text}");
            assert_eq!(layer.entries[0].key.path, "node.name");
            assert_eq!(layer.entries[0].value, Ok(Value::Text("a".to_owned())));
        }
    }

    #[test]
    fn unknown_keys_have_a_place_and_a_suggestion() {
        let text = "# ä\nlisen = \"x\"\n[limits]\n  body_char_max = 1\n[zzz]\na = 1\nb = 2\n[empty]\n";
        assert_eq!(
            complaints(text),
            [
                "h.toml:8:2: unknown key `empty`",
                "h.toml:4:3: unknown key `limits.body_char_max`; did you mean `limits.body_chars_max`?",
                "h.toml:2:1: unknown key `lisen`; did you mean `listen`?",
                "h.toml:6:1: unknown key `zzz.a`",
                "h.toml:7:1: unknown key `zzz.b`",
            ]
        );
    }

    #[test]
    fn a_group_is_no_value_and_a_value_no_group() {
        let found = complaints("tls = \"off\"\n");
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("h.toml:1:1: `tls` is a group of keys (tls.mode,"), "{found:?}");
        let layer = parse(Path::new("h.toml"), "[listen]\na = 1\n");
        assert!(layer.entries[0].value.is_err());
    }

    #[test]
    fn broken_text_has_a_place() {
        let found = complaints("listen = \"0.0.0.0:1\"\nä = = 1\n");
        assert!(found[0].starts_with("h.toml:2:"), "{found:?}");
        let found = complaints("listen = \"a\"\nlisten = \"b\"\n");
        assert!(found[0].starts_with("h.toml:2:1: this is no TOML: "), "{found:?}");
    }
}

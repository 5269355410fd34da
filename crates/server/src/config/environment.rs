//! Settings from environment variables.
//!
//! Must never refuse a variable that it does not know: Kubernetes injects such for its services.

use std::ffi::OsString;

use super::keys::{self, PREFIX};
use super::load::{Entry, Layer, refused};
use super::nearest::nearest;
use super::problem::{Problem, Source};
use super::value::{Kind, quote};

/// Variables of `hubbub chat`, which reads them itself: no settings of a node.
const OF_CHAT: [&str; 2] = ["HUBBUB_TOKEN", "HUBBUB_PASSWORD"];

/// Reads every `HUBBUB_*` variable. An empty one is as if it were not set, as compose files cannot unset any.
pub(super) fn read(variables: impl Iterator<Item = (OsString, OsString)>) -> Layer {
    let known: Vec<(String, String)> = keys::paths().into_iter().map(|path| (keys::variable(&path), path)).collect();
    let mut layer = Layer::default();
    let mut ours: Vec<(String, OsString)> = variables
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .filter(|(name, value)| name.starts_with(PREFIX) && !value.is_empty())
        .filter(|(name, _)| !OF_CHAT.contains(&name.as_str()))
        .collect();
    ours.sort();
    for (name, value) in ours {
        let source = Source::Environment(name.clone());
        let found = known.iter().find(|(variable, _)| *variable == name).and_then(|(_, path)| keys::find(path));
        let Some((key, twin)) = found else {
            let nearest = nearest(&name, known.iter().map(|(variable, _)| variable.as_str()));
            layer.warnings.push(Problem::unknown(&source, "variable", &name, nearest));
            continue;
        };
        let kind = if twin { Kind::Path } else { key.kind };
        let value = match value.into_string() {
            Ok(text) => kind.read_text(&text).map_err(|expected| refused(key, &expected, &quote(&text))),
            Err(_) => Err(format!("{}, in UTF-8", kind.expected())),
        };
        layer.entries.push(Entry { key, twin, value, source });
    }
    layer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::value::Value;

    fn layer(variables: &[(&str, &str)]) -> Layer {
        read(variables.iter().map(|(name, value)| ((*name).into(), (*value).into())))
    }

    #[test]
    fn known_variables_are_read_and_empty_ones_are_not() {
        let layer = layer(&[
            ("HUBBUB_NODE_NAME", "a"),
            ("HUBBUB_REDIS_URL", ""),
            ("HUBBUB_AUTH_ALLOWED_ORIGINS", "https://a, https://b"),
            ("HUBBUB_AUTH_TOKEN_SECRET_FILE", "/run/secret"),
            ("OTHER_NODE_NAME", "b"),
        ]);
        let read: Vec<_> =
            layer.entries.iter().map(|entry| (entry.key.path, entry.twin, entry.value.clone())).collect();
        let list = Value::List(vec!["https://a".to_owned(), "https://b".to_owned()]);
        assert_eq!(
            read,
            [
                ("auth.allowed_origins", false, Ok(list)),
                ("auth.token_secret", true, Ok(Value::Text("/run/secret".to_owned()))),
                ("node.name", false, Ok(Value::Text("a".to_owned()))),
            ]
        );
    }

    #[test]
    fn unknown_variables_are_only_warned_about() {
        let layer = layer(&[("HUBBUB_DATABSE_URL", "x"), ("HUBBUB_SERVICE_HOST", "10.0.0.1"), ("HUBBUB_TOKEN", "t")]);
        assert!(layer.entries.is_empty() && layer.problems.is_empty());
        let warnings: Vec<String> = layer.warnings.iter().map(ToString::to_string).collect();
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        assert!(warnings[0].ends_with("did you mean `HUBBUB_DATABASE_URL`?"), "{warnings:?}");
        assert!(warnings[1].ends_with("unknown variable `HUBBUB_SERVICE_HOST`"), "{warnings:?}");
    }
}

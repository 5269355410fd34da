//! `config show` and `config reference`: nothing secret, nothing missing, and TOML that means the same again.

use std::process::Stdio;

use serde_json::Value;

use crate::support::{Place, SECRET};

#[test]
fn what_is_shown_means_the_same_when_it_is_read_again() {
    let place = Place::new();
    let variables = [
        ("HUBBUB_LISTEN", "[::1]:9000"),
        ("HUBBUB_AUTH_ALLOWED_ORIGINS", "https://a.example,https://b.example"),
        ("HUBBUB_LIMITS_OUTBOX_BYTES_MAX", "1000"),
        ("HUBBUB_DRAIN_TIMEOUT", "90s"),
        ("HUBBUB_TLS_MODE", "off"),
    ];
    let first = place.run_with(&variables, &["config", "show"], "");
    assert_eq!(first.code, 0);
    let values = |settings: Value| -> Vec<(String, Value)> {
        let settings = settings.as_object().expect("settings").clone();
        settings.into_iter().map(|(key, mut setting)| (key, setting["value"].take())).collect()
    };
    let before = values(place.shown(&variables, &[]));
    place.write("hubbub.toml", &first.stdout);
    assert_eq!(values(place.shown(&[], &[])), before);
}

#[test]
fn secrets_and_passwords_in_urls_are_masked() {
    let place = Place::new();
    let variables = [
        ("HUBBUB_AUTH_TOKEN_SECRET", SECRET),
        ("HUBBUB_DATABASE_URL", "postgres://ada:hush@db/hubbub?password=hush"),
        ("HUBBUB_REDIS_URL", "redis://:hush@cache:6379/0"),
    ];
    for args in [&["config", "show"][..], &["config", "show", "--json"]] {
        let outcome = place.run_with(&variables, args, "");
        assert_eq!(outcome.code, 0, "{}", outcome.stderr);
        let all = outcome.stdout + &outcome.stderr;
        assert!(!all.contains("hush") && !all.contains(SECRET), "{all}");
        assert!(all.contains("postgres://ada:********@db/hubbub"), "{all}");
        assert!(all.contains("redis://:********@cache:6379/0"), "{all}");
    }
    let several =
        [("HUBBUB_AUTH_TOKEN_SECRET", SECRET), ("HUBBUB_REDIS_PUBLISH_URLS", "redis://:hush@a,rediss://u:hush@b")];
    let outcome = place.run_with(&several, &["config", "show"], "");
    let all = outcome.stdout + &outcome.stderr;
    assert!(all.contains("redis://:********@a") && all.contains("rediss://u:********@b"), "{all}");
    assert!(!all.contains("hush"), "{all}");
}

#[test]
fn the_reference_lists_every_key_with_its_default() {
    let place = Place::new();
    let reference = place.run(&["config", "reference"]);
    assert_eq!(reference.code, 0);
    let settings = place.shown(&[], &[]);
    let settings = settings.as_object().expect("settings");
    assert!(settings.len() > 40);
    for (key, setting) in settings {
        let start = format!("| `{key}` | ");
        let row = reference.stdout.lines().find(|line| line.starts_with(&start)).expect(key);
        let default = row.split(" | ").nth(2).expect("a default");
        let expected = match &setting["value"] {
            Value::Null => continue,
            Value::Number(number) if row.contains("| size |") => {
                format!("{}KiB", number.as_u64().expect("bytes") / 1024)
            }
            Value::String(text) => text.clone(),
            Value::Array(items) => format!("{items:?}"),
            other => other.to_string(),
        };
        assert!(default.contains(&expected), "{row}: {expected}");
    }
}

#[test]
fn the_document_is_what_the_program_prints() {
    let document = include_str!("../../../../docs/configuration.md");
    assert_eq!(document.trim_end(), Place::new().run(&["config", "reference"]).stdout.trim_end());
}

#[test]
fn showing_to_a_reader_who_has_left_is_no_failure() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_hubbub"));
    let output = command.args(["config", "reference"]).stdout(writer).stderr(Stdio::piped()).output().expect("ended");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty());
}

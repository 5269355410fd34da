//! Flag over environment over file over default, and which file it is.

use crate::support::{Place, SECRET};

fn name_and_source(place: &Place, variables: &[(&str, &str)], args: &[&str]) -> (String, String) {
    let shown = place.shown(variables, args);
    let setting = &shown["node.name"];
    let text = |value: &serde_json::Value| value.as_str().unwrap_or("none").to_owned();
    (text(&setting["value"]), text(&setting["source"]))
}

#[test]
fn each_step_is_stronger_than_the_one_below() {
    let place = Place::new();
    let found = |variables, args| name_and_source(&place, variables, args);
    let pair = |name: &str, source: &str| (name.to_owned(), source.to_owned());
    assert_eq!(found(&[], &[]), pair("none", "default"));
    place.write("hubbub.toml", "# first line\nnode.name = \"file\"\n");
    assert_eq!(found(&[], &[]), pair("file", "hubbub.toml:2:6"));
    let variables = [("HUBBUB_NODE_NAME", "variable")];
    assert_eq!(found(&variables, &[]), pair("variable", "HUBBUB_NODE_NAME"));
    assert_eq!(found(&variables, &["--node-name", "flag"]), pair("flag", "--node-name"));
    assert_eq!(found(&[("HUBBUB_NODE_NAME", "")], &[]), pair("file", "hubbub.toml:2:6"));
}

#[test]
fn a_named_file_is_read_in_place_of_the_usual_one() {
    let place = Place::new();
    place.write("hubbub.toml", "node.name = \"usual\"\n");
    place.write("other.toml", "node.name = \"named\"\n");
    let (name, source) = name_and_source(&place, &[], &["--config", "other.toml"]);
    assert_eq!((name.as_str(), source.as_str()), ("named", "other.toml:1:6"));
    let outcome = place.run(&["config", "check", "--config", "absent.toml"]);
    assert_eq!(outcome.code, 78);
    assert!(outcome.stderr.contains("absent.toml: the configuration file cannot be read"), "{}", outcome.stderr);
}

#[test]
fn secrets_come_from_files_too_by_key_and_by_variable() {
    let place = Place::new();
    place.write("secret", &format!("{SECRET}\n"));
    place.write("url", "postgres://ada:hush@db/hubbub\r\n");
    place.write("hubbub.toml", "[auth]\ntoken_secret_file = \"secret\"\n");
    let shown = place.shown(&[("HUBBUB_DATABASE_URL_FILE", "url")], &[]);
    assert_eq!(shown["auth.token_secret"]["source"], "hubbub.toml:2:1");
    assert_eq!(shown["auth.token_secret"]["value"], "********");
    assert_eq!(shown["database.url"]["source"], "HUBBUB_DATABASE_URL_FILE");
    assert_eq!(shown["database.url"]["value"], "postgres://ada:********@db/hubbub");
    let outcome = place.run(&["config", "check"]);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
}

#[test]
fn a_variable_is_stronger_than_the_secret_file_of_the_file() {
    let place = Place::new();
    place.write("secret", SECRET);
    place.write("hubbub.toml", "auth.token_secret_file = \"secret\"\n");
    let shown = place.shown(&[("HUBBUB_AUTH_TOKEN_SECRET", SECRET)], &[]);
    assert_eq!(shown["auth.token_secret"]["source"], "HUBBUB_AUTH_TOKEN_SECRET");
}

#[test]
fn lists_and_units_in_variables() {
    let place = Place::new();
    let variables = [
        ("HUBBUB_AUTH_ALLOWED_ORIGINS", "https://a.example, https://b.example"),
        ("HUBBUB_LIMITS_FRAME_BYTES_MAX", "1MiB"),
        ("HUBBUB_DRAIN_TIMEOUT", "2m"),
        ("HUBBUB_WEBSOCKET_DEFLATE", "false"),
    ];
    let shown = place.shown(&variables, &[]);
    assert_eq!(shown["auth.allowed_origins"]["value"], serde_json::json!(["https://a.example", "https://b.example"]));
    assert_eq!(shown["limits.frame_bytes_max"]["value"], 1 << 20);
    assert_eq!(shown["drain.timeout"]["value"], "2m");
    assert_eq!(shown["websocket.deflate"]["value"], false);
}

#[test]
fn the_default_database_lies_in_the_data_folder() {
    let place = Place::new();
    let url = |args: &[&str]| place.shown(&[], args)["database.url"]["value"].as_str().map(str::to_owned);
    assert_eq!(url(&[]).as_deref(), Some("sqlite://data/hubbub.db"));
    assert_eq!(url(&["--data-folder", "/srv/hubbub"]).as_deref(), Some("sqlite:///srv/hubbub/hubbub.db"));
}

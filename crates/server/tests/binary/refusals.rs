//! Configurations that no node starts with: exit 78, everything listed at once, each with its place.

use serde_json::Value;

use crate::support::{Place, SECRET};

/// The lines that `config check` gives for this file and these variables.
fn problems(file: &str, variables: &[(&str, &str)], args: &[&str]) -> Vec<String> {
    let place = Place::new();
    place.write("hubbub.toml", file);
    let args: Vec<&str> = ["config", "check"].iter().chain(args).copied().collect();
    let outcome = place.run_with(variables, &args, "");
    assert_eq!(outcome.code, 78, "{}", outcome.stderr);
    assert_eq!(outcome.stdout, "");
    let lines = outcome.stderr.lines().skip(1).map(|line| line.trim().to_owned());
    lines.filter(|line| !line.starts_with("warning: ")).collect()
}

/// The one problem of this configuration.
fn problem(file: &str, variables: &[(&str, &str)]) -> String {
    let mut found = problems(file, variables, &[]);
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

#[test]
fn everything_is_listed_at_once_in_the_order_of_the_places() {
    let file = "lisen = \"0.0.0.0:1\"\n[limits]\npage_max = -1\nbody_char_max = 7\n[tls]\nmode = \"on\"\n";
    let variables = [("HUBBUB_DRAIN_GRACE", "5"), ("HUBBUB_WEBSOCKET_DEFLATE", "yes")];
    let found = problems(file, &variables, &["--ops-listen", "nowhere"]);
    let starts = [
        "hubbub.toml:1:1: unknown key `lisen`; did you mean `listen`?",
        "hubbub.toml:3:1: `limits.page_max`: expected a whole number from 0 to 1000000000; not -1",
        "hubbub.toml:4:1: unknown key `limits.body_char_max`; did you mean `limits.body_chars_max`?",
        "hubbub.toml:6:1: `tls.mode`: expected one of \"self-signed\", \"files\", \"off\"; not \"on\"",
        "HUBBUB_DRAIN_GRACE: `drain.grace`: expected a duration from 0s to 24h",
        "HUBBUB_WEBSOCKET_DEFLATE: `websocket.deflate`: expected true or false; not \"yes\"",
        "--ops-listen: `ops_listen`: expected an address with a port",
    ];
    assert_eq!(found.len(), starts.len(), "{found:#?}");
    for (line, start) in found.iter().zip(starts) {
        assert!(line.starts_with(start), "{line}\n{start}");
    }
}

#[test]
fn programs_read_the_same_list() {
    let place = Place::new();
    place.write("hubbub.toml", "lisen = 1\n");
    let outcome = place.run_with(&[("HUBBUB_LISTN", "x")], &["config", "check", "--json"], "");
    assert_eq!(outcome.code, 78);
    let list: Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    assert_eq!(list["ok"], false);
    assert_eq!(list["problems"][0]["place"], "hubbub.toml:1:1");
    assert_eq!(list["problems"][0]["nearest"], "listen");
    assert_eq!(list["warnings"][0]["place"], "HUBBUB_LISTN");
}

#[test]
fn text_that_is_no_toml() {
    let line = problem("listen = \n", &[]);
    assert!(line.starts_with("hubbub.toml:1:") && line.contains("this is no TOML"), "{line}");
}

#[test]
fn unknown_variables_are_only_warned_about() {
    let place = Place::new();
    let variables = [("HUBBUB_SERVICE_HOST", "10.0.0.1"), ("HUBBUB_DATABSE_URL", "x")];
    let outcome = place.run_with(&variables, &["config", "check"], "");
    assert_eq!(outcome.code, 0);
    for warning in [
        "warning: HUBBUB_SERVICE_HOST: unknown variable `HUBBUB_SERVICE_HOST`",
        "warning: HUBBUB_DATABSE_URL: unknown variable `HUBBUB_DATABSE_URL`; did you mean `HUBBUB_DATABASE_URL`?",
    ] {
        assert!(outcome.stderr.contains(warning), "{}", outcome.stderr);
    }
}

#[test]
fn values_that_are_impossible_by_themselves() {
    for (file, expected) in [
        ("database.url = \"mysql://h/d\"", "`database.url` begins neither with `sqlite://` nor with `postgres://`"),
        ("auth.token_secret = \"short\"", "`auth.token_secret` has fewer than 32 bytes"),
        ("auth.jwks_url = \"ftp://i/keys\"", "`auth.jwks_url` is not usable: the address is no"),
        ("auth.jwks_url = \"https://ada:x@i/keys\"", "`auth.jwks_url` is not usable: the address is no"),
        ("auth.allowed_origins = [\"https://a/b\"]", "`auth.allowed_origins` has `https://a/b`"),
        ("public_url = \"chat.example\"", "`public_url` is no `https://host[:port]`"),
        ("node.name = \"two words\"", "`node.name` is not 1 to 64 visible ASCII characters"),
        ("log.level = \"inof\"", "`log.level` has `inof`"),
        ("log.level = \"hyper=trace\"", "`log.level` has `hyper=trace`"),
        ("tls = \"off\"", "`tls` is a group of keys"),
        ("auth.token_lifetime = \"0s\"", "`auth.token_lifetime`: expected a duration from 1s"),
        ("database.pool_max = 0", "`database.pool_max`: expected a whole number from 1"),
        ("auth.token_public_key_file = \"absent.pem\"", "`auth.token_public_key_file` is not usable: absent.pem"),
    ] {
        let line = problem(&format!("{file}\n"), &[]);
        assert!(line.contains(expected), "{line}\n{expected}");
        assert!(line.starts_with("hubbub.toml:1:"), "{line}");
    }
}

#[test]
fn values_that_are_impossible_together() {
    for (file, expected) in [
        (
            "listen = \"0.0.0.0:8443\"\nops_listen = \"127.0.0.1:8443\"",
            "hubbub.toml:2:1: `ops_listen` is 127.0.0.1:8443",
        ),
        (
            "auth.token_secret = \"0123456789abcdef0123456789abcdef\"\nauth.jwks_url = \"https://i/keys\"",
            "hubbub.toml:2:6: `auth.jwks_url` and `auth.token_secret` are both given; one is enough",
        ),
        ("drain.grace = \"40s\"", "hubbub.toml:1:7: `drain.timeout` has to be longer"),
        ("drain.timeout = \"30s\"", "hubbub.toml:1:7: `drain.timeout` has to be longer"),
    ] {
        let line = problem(&format!("{file}\n"), &[]);
        assert!(line.starts_with(expected), "{line}\n{expected}");
    }
    let found = problems("tls.mode = \"files\"\ntls.key_file = \"absent.pem\"\n", &[], &[]);
    assert!(found[0].starts_with("hubbub.toml:1:5: `tls.cert_file` is missing"), "{found:?}");
    assert!(found[1].starts_with("hubbub.toml:2:5: `tls.key_file` cannot be read: absent.pem"), "{found:?}");
}

#[test]
fn keys_over_plain_http_are_for_this_machine() {
    for (url, is_warned) in [("http://127.0.0.1/k", false), ("https://issuer/k", false), ("http://issuer/k", true)] {
        let outcome = Place::new().run_with(&[("HUBBUB_AUTH_JWKS_URL", url)], &["config", "check"], "");
        assert_eq!(outcome.code, 0, "{}", outcome.stderr);
        let warning = "warning: HUBBUB_AUTH_JWKS_URL: `auth.jwks_url` is plain HTTP to another machine";
        assert_eq!(outcome.stderr.contains(warning), is_warned, "{url}: {}", outcome.stderr);
    }
}

#[test]
fn a_cluster_needs_a_secret() {
    for (name, url) in [("HUBBUB_REDIS_URL", "redis://r"), ("HUBBUB_DATABASE_URL", "postgres://h/d")] {
        let place = Place::new();
        let outcome = place.run_with(&[(name, url)], &["config", "check"], "");
        assert_eq!(outcome.code, 78);
        let expected = format!("{name}: `auth.token_secret` is missing");
        assert!(outcome.stderr.contains(&expected), "{}", outcome.stderr);
        for key in [("HUBBUB_AUTH_TOKEN_SECRET", SECRET), ("HUBBUB_AUTH_JWKS_URL", "https://issuer/keys")] {
            assert_eq!(place.run_with(&[(name, url), key], &["config", "check"], "").code, 0);
        }
    }
}

#[test]
fn addresses_of_redis_that_cannot_be_used() {
    let secret = format!("auth.token_secret = \"{SECRET}\"\n");
    for (url, expected) in [
        ("redis+sentinel://a,b", "it names no master"),
        ("redis+cluster://a,b/1", "a cluster has one database"),
        ("redis://h1,h2", "it names several hosts"),
        ("http://a", "http:// is not supported"),
    ] {
        let line = problem(&secret, &[("HUBBUB_REDIS_URL", url)]);
        assert!(line.starts_with("HUBBUB_REDIS_URL: `redis.url` ") && line.contains(expected), "{line}");
    }
    for (file, expected) in [
        (
            "publish_urls = [\"redis://a\", \"redis+cluster://b\"]",
            "`redis.publish_urls` has an address that begins neither with `redis://`",
        ),
        (
            "publish_urls = [\"redis+cluster://b\"]",
            "`redis.publish_urls` has an address that begins neither with `redis://`",
        ),
        (
            "url = \"redis://a\"\npublish_urls = [\"redis+cluster://b\"]",
            "`redis.publish_urls` and `redis.url` are both given",
        ),
        ("url = \"redis://a\"\nca_file = \"ca.pem\"", "`redis.ca_file` is given, but no address"),
        ("url = \"rediss://a\"\nca_file = \"absent.pem\"", "absent.pem cannot be read"),
        ("url = \"redis://a\"\nsentinel_password = \"hush\"", "`redis.sentinel_password` is given, but"),
        ("url = \"redis://a\"\nprefix = \"a b\"", "the prefix must be 1 to 64 bytes"),
    ] {
        let found = problems(&format!("{secret}[redis]\n{file}\n"), &[], &[]);
        assert!(found.iter().any(|line| line.contains(expected)), "{found:?}\n{expected}");
        // What cannot be used together says nothing of each by itself.
        assert!(found.len() == 1 || !file.contains("publish_urls"), "{found:?}");
    }
}

#[test]
fn addresses_of_postgres_that_cannot_be_used() {
    let secret = format!("auth.token_secret = \"{SECRET}\"\n");
    let good = [("HUBBUB_DATABASE_URL", "postgres://ada:hush@h1:5432/x?sslmode=require")];
    let place = Place::new();
    place.write("hubbub.toml", &secret);
    assert_eq!(place.run_with(&good, &["config", "check"], "").code, 0);
    for url in [
        "postgres://ada:hush@h1:badport/x",
        "postgres://ada:hush@h1/x?sslmode=bogus",
        "postgres://ada:hush@h1,h2/x",
        "postgres://ada:hush@h1:1,h2:2/x",
    ] {
        let line = problem(&secret, &[("HUBBUB_DATABASE_URL", url)]);
        assert!(line.starts_with("HUBBUB_DATABASE_URL: `database.url` is not usable: "), "{line}");
        assert!(!line.contains("hush"), "{line}");
        let line = problem(&secret, &[good[0], ("HUBBUB_DATABASE_REPLICA_URL", url)]);
        assert!(line.starts_with("HUBBUB_DATABASE_REPLICA_URL: `database.replica_url` is not usable: "), "{line}");
        assert!(!line.contains("hush"), "{line}");
    }
}

#[test]
fn secrets_are_refused_without_being_shown() {
    let place = Place::new();
    place.write("hubbub.toml", "auth.token_secret = \"hush-hush\"\ndatabase.url = \"mysql://ada:hush@h\"\n");
    let outcome = place.run(&["config", "check"]);
    assert_eq!(outcome.code, 78);
    assert!(!outcome.stderr.contains("hush"), "{}", outcome.stderr);
    place.write("hubbub.toml", "redis.publish_urls = \"redis://:hush@h\"\n");
    let outcome = place.run(&["config", "check"]);
    assert!(outcome.code == 78 && !outcome.stderr.contains("hush"), "{}", outcome.stderr);
    place.write("hubbub.toml", "");
    for (name, value) in [
        ("HUBBUB_REDIS_URL", "redis://:hush?et@h"),
        ("HUBBUB_REDIS_URL", "redis://:hush"),
        ("HUBBUB_REDIS_URL", "redis+sentinel://:hush/m"),
        ("HUBBUB_REDIS_PUBLISH_URLS", "redis://:hush,hush,hush@a,redis://b"),
        ("HUBBUB_DATABASE_URL", "postgres://ada:hush?et@h/x"),
        ("HUBBUB_DATABASE_URL", "postgres://ada:hush/x"),
    ] {
        for command in ["check", "show"] {
            let outcome = place.run_with(&[(name, value)], &["config", command], "");
            let all = outcome.stdout + &outcome.stderr;
            assert!(!all.contains("hush"), "{value}: {all}");
            assert!(outcome.code == 78 || command == "show", "{value}: {all}");
        }
    }
}

#[test]
fn every_mistake_has_the_line_of_its_key_whatever_kind_it_is() {
    let place = Place::new();
    place.write("short", "short");
    let file = "\
# 1
public_url = \"chat.example\"
[auth]
token_secret_file = \"absent\"
token_secret_other_file = \"short\"
allowed_origins = [
    \"https://good.example\", \"https://bad.example/x\", \"nonsense\",
]
[drain]
grace = \"5m\"
[log]
level = \"info,loud,hyper=debug\"
[limits]
page_max = \"ten\"
outbox_bytes_max = \"2TiB\"
heartbeat_interval = 25
[websocket]
deflate = 1
tick = \"1h\"
[tls]
mode = \"files\"
";
    place.write("hubbub.toml", file);
    let outcome = place.run_with(
        &[("HUBBUB_NODE_NAME", "two words"), ("HUBBUB_DATABASE_URL_FILE", "absent")],
        &["config", "check"],
        "",
    );
    assert_eq!(outcome.code, 78);
    let found: Vec<(&str, &str)> =
        outcome.stderr.lines().skip(1).filter_map(|line| line.trim().split_once(": `")).collect();
    let expected = [
        ("hubbub.toml:2:1", "public_url`"),
        ("hubbub.toml:4:1", "auth.token_secret`: expected a readable file, but absent: "),
        ("hubbub.toml:5:1", "auth.token_secret_other` has fewer than 32 bytes"),
        ("hubbub.toml:6:1", "auth.allowed_origins` has `https://bad.example/x`"),
        ("hubbub.toml:6:1", "auth.allowed_origins` has `nonsense`"),
        ("hubbub.toml:10:1", "drain.timeout` has to be longer"),
        ("hubbub.toml:12:1", "log.level` has `hyper=debug`"),
        ("hubbub.toml:12:1", "log.level` has `loud`"),
        ("hubbub.toml:14:1", "limits.page_max`: expected a whole number"),
        ("hubbub.toml:15:1", "limits.outbox_bytes_max`: expected a size"),
        ("hubbub.toml:16:1", "limits.heartbeat_interval`: expected a duration"),
        ("hubbub.toml:18:1", "websocket.deflate`: expected true or false"),
        ("hubbub.toml:19:1", "websocket.tick`: expected a duration"),
        ("hubbub.toml:21:1", "tls.cert_file` is missing"),
        ("hubbub.toml:21:1", "tls.key_file` is missing"),
        ("HUBBUB_DATABASE_URL_FILE", "database.url`: expected a readable file, but absent: "),
        ("HUBBUB_NODE_NAME", "node.name` is not 1 to 64"),
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for ((place, message), (expected_place, start)) in found.iter().zip(expected) {
        assert!(*place == expected_place && message.starts_with(start), "{place} {message}: {expected_place} {start}");
    }
}

#[test]
fn one_of_two_is_enough() {
    let place = Place::new();
    place.write("secret", SECRET);
    let both = [("HUBBUB_AUTH_TOKEN_SECRET", SECRET), ("HUBBUB_AUTH_TOKEN_SECRET_FILE", "secret")];
    let outcome = place.run_with(&both, &["config", "check"], "");
    assert_eq!(outcome.code, 78);
    assert!(outcome.stderr.contains("`auth.token_secret` and `auth.token_secret_file` are both given"));
    let absent = place.run_with(&[("HUBBUB_AUTH_TOKEN_SECRET_FILE", "absent")], &["config", "check"], "");
    assert_eq!(absent.code, 78);
    assert!(absent.stderr.contains("HUBBUB_AUTH_TOKEN_SECRET_FILE: `auth.token_secret`: expected a readable file"));
}

#[test]
fn what_only_a_node_needs_does_not_stop_a_migration() {
    let place = Place::new();
    place.write("hubbub.toml", "tls.mode = \"files\"\n");
    assert_eq!(place.run(&["migrate"]).code, 0);
    assert_eq!(place.run(&["serve"]).code, 78);
}

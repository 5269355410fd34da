//! `hubbub config reference`: every key in Markdown; `docs/configuration.md` is its output.
//!
//! Must never know a key: it prints the table.

use serde_json::{Value, json};

use super::Config;
use super::keys::{KEYS, Key};

const PREFACE: &str = "\
# Configuration

A node reads one file, environment variables and flags. A flag is stronger than a variable, a
variable stronger than the file, the file stronger than the default.

- **File**: `--config FILE`, else `./hubbub.toml`, else `/etc/hubbub/hubbub.toml`, if there. TOML; `a.b` below is the key
  `b` of the table `[a]`.
- **Variable**: `HUBBUB_` and the key in capitals joined by `_`: `HUBBUB_DATABASE_URL` is `database.url`. Lists are
  comma separated; an empty variable is as if it were not set.
- **Flag**: for the common keys, as marked.
- **Secrets** (marked) may be given as the path of a file that holds them, in the key with `_file` at its end:
  `auth.token_secret_file`, `HUBBUB_AUTH_TOKEN_SECRET_FILE`. One line's end at the end of the file is not part of it.
- **Durations** are `\"500ms\"`, `\"30s\"`, `\"5m\"` or `\"1h\"`; **sizes** are bytes, or `\"64KiB\"`, `\"1MiB\"`, `\"1GiB\"`. Paths
  are relative to the folder in which the program runs.

An unknown key in the file or an impossible value stops the start with exit code 78; all of them are listed at once,
each with its place. Unknown `HUBBUB_*` variables are warned about only. `hubbub config check` says whether a node could
start with what it is given, `hubbub config show` what that is and where each value comes from, with secrets masked.
This page is the output of `hubbub config reference`.

## Changing a running node

At SIGHUP, and within a few seconds after one of its files has changed (the file itself, a `_file` of a secret, a public
key), a node reads its configuration again. What is marked \"at once\" below holds from then on; what is marked \"at
restart\" keeps its old value, and the log names it. A new configuration with a mistake changes nothing: the log lists
every problem with its place. Variables and flags are those that the process was started with. `GET /debug/config` on the
ops port shows what is in use; `hubbub_config_reload_success` is 0 while the newest configuration is refused, and
`hubbub_config_needs_restart` counts what waits for a restart.

- Limits of frames, commands, heartbeats and outboxes hold for connections that begin after the change; rates, pages, bodies
  and subscriptions for the next command of everybody.
- Trusted proxies, origins and what may be agreed to in a handshake hold for sockets that come after the change.
- Nobody who is in is closed by a smaller limit; it counts for whoever comes next.
- A drain that has begun goes on as it began.
- The certificate and key of `tls.mode = \"files\"` are read again by themselves, also when the configuration stays as it is.

**Another token secret.** With `auth.token_secret` alone replaced, every token of the old secret is refused from then on: the
right thing when it has leaked. Who is connected stays until the end of their token; restart the nodes to end that too. For
a change that nobody notices, give every node the new secret as `auth.token_secret_other` first, then exchange the two,
and remove the old one when `auth.token_lifetime` has passed. `auth.token_public_key_file` may hold the old and the new key
together for that time. With `auth.jwks_url` there is nothing to do: the issuer publishes a new key before it signs with it.
";

/// The whole reference.
pub(crate) fn reference() -> String {
    let defaults = Config::default();
    let mut text = PREFACE.to_owned();
    let mut group = None;
    for key in KEYS {
        let this = key.path.split_once('.').map_or("", |(group, _)| group);
        if group != Some(this) {
            let title = if this.is_empty() { "The node".to_owned() } else { format!("`{this}`") };
            let zero = match this {
                "limits" => "\n0 means none. Byte limits include the limit itself.\n",
                "admission" => "\n0 means none. Who is refused is told to come back after 1 to 5 seconds.\n",
                _ => "",
            };
            text += &format!(
                "\n## {title}\n{zero}\n| key | type | default | changes | meaning |\n| --- | --- | --- | --- | --- |\n"
            );
            group = Some(this);
        }
        text += &row(key, &defaults);
    }
    text
}

/// The same for programs: each key with what a JSON Schema says of its value.
pub(crate) fn reference_json() -> Value {
    let keys = KEYS.iter().map(|key| {
        let mut schema = key.kind.schema();
        schema["description"] = key.doc.into();
        json!({ "path": key.path, "secret": key.secret, "schema": schema })
    });
    json!({ "keys": keys.collect::<Vec<_>>() })
}

fn row(key: &Key, defaults: &Config) -> String {
    let default = match (key.default_words, (key.read)(defaults)) {
        (Some(words), _) => words.to_owned(),
        (None, Some(value)) => format!("`{}`", key.kind.write_toml(&value)),
        (None, None) => "none".to_owned(),
    };
    let mut marks = String::new();
    if key.secret {
        marks += " Secret.";
    }
    if let Some(flag) = key.flag {
        marks += &format!(" Flag `--{flag}`.");
    }
    format!("| `{}` | {} | {default} | {} | {}{marks} |\n", key.path, key.kind.word(), key.changes(), key.doc)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_stands_once_with_its_default() {
        let text = reference();
        for key in KEYS {
            let start = format!("| `{}` |", key.path);
            let rows: Vec<&str> = text.lines().filter(|line| line.starts_with(&start)).collect();
            assert_eq!(rows.len(), 1, "{}", key.path);
            assert_eq!(rows[0].matches('|').count(), 6, "a bar in the words breaks the table: {}", rows[0]);
        }
        for row in [
            "| `listen` | address:port | `\"0.0.0.0:8443\"` |",
            "| `limits.frame_bytes_max` | size | `\"64KiB\"` |",
            "| `limits.heartbeat_interval` | duration | `\"25s\"` |",
            "| `redis.url` | URL | none |",
        ] {
            assert!(text.contains(row), "{row}");
        }
    }
}

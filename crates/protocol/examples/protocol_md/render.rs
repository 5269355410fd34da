//! Joins the prose of `doc/` with what the types know: names, meanings, arguments, codes and golden frames.
//!
//! Must never say what a type says already: a sentence about one frame stands in `doc/`, its fields stand in Rust.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use hubbub_protocol::{CloseCode, Command, ErrorCode, RoomEventData, schema};
use serde_json::Value;

/// The objects that answers and events are made of: their place in the schema, in the order of the document.
const OBJECTS: [&str; 15] = [
    "Room",
    "RoomMember",
    "UserRef",
    "Message",
    "Sent",
    "Subscribed",
    "Gap",
    "Resumed",
    "RoomPage",
    "MessagePage",
    "EventPage",
    "Renewed",
    "SessionReady",
    "ClientLimits",
    "WireError",
];

/// The whole document.
///
/// # Panics
/// When the prose has a section of a frame that does not exist, or misses one that does.
pub(crate) fn document() -> String {
    let schema = schema::document();
    [
        prose("1-connection"),
        prose("2-order"),
        commands(&schema),
        events(&schema),
        objects(&schema),
        errors(),
        closes(),
        prose("7-limits"),
        prose("8-http"),
    ]
    .join("\n")
}

fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn prose(name: &str) -> String {
    let path = folder().join("doc").join(format!("{name}.md"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The text before the first `###` of a file, and its sections by heading, which must be `names` in their order.
fn sections(file: &str, names: &[&str]) -> (String, Vec<String>) {
    let text = prose(file);
    let mut parts = text.split("\n### ");
    let head = parts.next().unwrap_or_default().trim_end().to_owned();
    let (found, bodies): (Vec<_>, Vec<_>) = parts
        .map(|part| part.split_once('\n').unwrap_or((part, "")))
        .map(|(name, body)| (name, body.trim().to_owned()))
        .unzip();
    assert_eq!(found, names, "the sections of doc/{file}.md");
    (head, bodies)
}

/// The golden frames whose name begins with `prefix`, the plain one first.
fn frames(prefix: &str) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder().join("golden"))
        .expect("the golden files lie beside the sources")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".json").map(str::to_owned))
        .filter(|name| name.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
        .collect();
    names.sort();
    names.iter().map(|name| fs::read_to_string(folder().join("golden").join(format!("{name}.json"))).unwrap()).collect()
}

fn show_frames(out: &mut String, label: &str, prefix: &str) {
    for (at, frame) in frames(prefix).iter().enumerate() {
        let label = if at == 0 { label } else { "or" };
        write!(out, "\n{label}\n\n```json\n{frame}```\n").unwrap();
    }
}

fn commands(schema: &Value) -> String {
    let (head, bodies) = sections("3-commands", Command::NAMES);
    let mut out = format!("{head}\n\n| command | |\n| --- | --- |\n");
    for (name, meaning) in Command::NAMES.iter().zip(Command::MEANINGS) {
        writeln!(out, "| [`{name}`](#{}) | {meaning} |", name.replace('.', "")).unwrap();
    }
    for ((name, meaning), body) in Command::NAMES.iter().zip(Command::MEANINGS).zip(bodies) {
        let arguments = resolve(schema, &schema["$defs"]["CommandFrames"]["properties"][name]["allOf"][0]);
        write!(out, "\n### {name}\n\n{meaning} {body}\n\n").unwrap();
        fields(&mut out, "argument", arguments);
        let ok = &schema["$defs"]["Replies"]["properties"][name];
        let label = if ok["$ref"] == "#/$defs/Empty" { "is empty".to_owned() } else { format!("is {}", type_name(ok)) };
        show_frames(&mut out, "→", &format!("command.{name}"));
        show_frames(&mut out, &format!("← `ok` {label}"), &format!("reply.{name}"));
    }
    out
}

fn events(schema: &Value) -> String {
    let session = hubbub_protocol::SessionEventData::NAMES;
    let names: Vec<_> = RoomEventData::NAMES.iter().chain(session).copied().collect();
    let (mut out, bodies) = sections("4-events", &names);
    out.push('\n');
    let kinds = schema["$defs"]["RoomEvent"]["oneOf"].as_array().expect("kinds of events");
    for (at, (name, body)) in names.iter().zip(bodies).enumerate() {
        let meaning = RoomEventData::MEANINGS.get(at).copied().unwrap_or_default();
        write!(out, "\n### {name}\n\n{}\n", format!("{meaning} {body}").trim()).unwrap();
        if let Some(kind) = kinds.get(at) {
            out.push('\n');
            fields(&mut out, "`data`", resolve(schema, &kind["properties"]["data"]));
        }
        show_frames(&mut out, "←", &format!("event.{name}"));
    }
    out
}

fn objects(schema: &Value) -> String {
    let mut out = "## Objects\n\nWhat answers and events are made of. A field without \"or absent\" is always there.\n"
        .to_owned();
    for name in OBJECTS {
        let object = &schema["$defs"][name];
        assert!(object.is_object(), "the schema has no {name}");
        let meaning = object["description"].as_str().unwrap_or_default();
        write!(out, "\n### {name}\n\n{}\n\n", one_line(meaning)).unwrap();
        fields(&mut out, "field", object);
    }
    out
}

fn fields(out: &mut String, of: &str, object: &Value) {
    let required: Vec<_> = object["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let Some(properties) = object["properties"].as_object().filter(|properties| !properties.is_empty()) else { return };
    writeln!(out, "| {of} | type | |\n| --- | --- | --- |").unwrap();
    for (name, field) in properties {
        let absent = if required.contains(&name.as_str()) { "" } else { " or absent" };
        // `null` stands for absent in commands, and is never sent for what may be absent.
        let kind = type_name(field);
        let kind = if absent.is_empty() { &kind } else { kind.trim_end_matches(" or null") };
        let meaning = one_line(field["description"].as_str().unwrap_or_default());
        writeln!(out, "| `{name}` | {kind}{absent} | {meaning} |").unwrap();
    }
}

/// A description in one line, without the place that the rule comes from: that is for readers of the code.
fn one_line(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match text.split_once(" (CONTRACT") {
        Some((before, after)) => format!("{before}{}", after.split_once(')').map_or("", |(_, rest)| rest)),
        None => text,
    }
}

fn resolve<'s>(schema: &'s Value, part: &'s Value) -> &'s Value {
    let target = part["$ref"].as_str().and_then(|target| target.strip_prefix('#'));
    target.and_then(|pointer| schema.pointer(pointer)).unwrap_or(part)
}

/// Types that are better shown than named.
const SHOWN: [(&str, &str); 5] = [
    ("ResumedRoom", "[Subscribed](#subscribed) or `{\"err\": …}` with a [WireError](#wireerror)"),
    ("RoomEvent", "[event](#events)"),
    ("RoomKind", "`public`, `private`, `direct` or `announcement`"),
    ("RoomRole", "`member`, `moderator` or `owner`"),
    ("Cursors", "object of room → cursor"),
];

/// A type as people read it.
fn type_name(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|target| target.rsplit('/').next()) {
        return match SHOWN.iter().find(|(shown, _)| *shown == name) {
            Some((_, text)) => (*text).to_owned(),
            None if OBJECTS.contains(&name) => format!("[{name}](#{})", name.to_lowercase()),
            None => format!("`{name}`"),
        };
    }
    if let Some(choices) = schema["anyOf"].as_array() {
        return choices.iter().map(type_name).collect::<Vec<_>>().join(" or ");
    }
    if schema["additionalProperties"].is_object() {
        return format!("object of {}", type_name(&schema["additionalProperties"]));
    }
    let one = |name: &Value| match name.as_str() {
        Some("array") => format!("list of {}", type_name(&schema["items"])),
        Some("string") => "text".to_owned(),
        name => name.unwrap_or("any").to_owned(),
    };
    match &schema["type"] {
        Value::Array(types) => types.iter().map(one).collect::<Vec<_>>().join(" or "),
        name => one(name),
    }
}

fn errors() -> String {
    let mut out = prose("5-errors");
    writeln!(out, "\n| code | name | HTTP | retry | |\n| --- | --- | --- | --- | --- |").unwrap();
    for code in ErrorCode::ALL {
        let retry = if code.retry() { "yes" } else { "no" };
        let (number, name, http) = (code.code(), code.name(), code.http_status());
        writeln!(out, "| {number} | `{name}` | {http} | {retry} | {} |", code.meaning()).unwrap();
    }
    for name in ["invalid_field", "rate_limited", "malformed.no_id"] {
        show_frames(&mut out, "←", &format!("error.{name}"));
    }
    out
}

fn closes() -> String {
    let mut out = prose("6-closes");
    writeln!(out, "\n| code | name | | then |\n| --- | --- | --- | --- |").unwrap();
    for &code in CloseCode::ALL {
        writeln!(out, "| {} | `{}` | {} | {} |", code.code(), code.name(), code.meaning(), policy(code)).unwrap();
    }
    out
}

fn policy(code: CloseCode) -> &'static str {
    match code {
        CloseCode::Normal => "nothing",
        CloseCode::ProtocolError | CloseCode::UnsupportedFrame | CloseCode::InvalidUtf8 | CloseCode::TooLarge => {
            "mend the client: the same frame closes the next connection too"
        }
        CloseCode::Policy | CloseCode::TryLater => "wait, for longer each time; then reconnect and resume",
        CloseCode::Restart => "wait `retry_after_ms`, reconnect and resume",
        CloseCode::TokenExpired => "do not reconnect before there is a new token",
        CloseCode::SessionRevoked => "do not reconnect before the user has signed on again",
        code if CloseCode::may_reconnect(code.code()) => "reconnect at once and resume",
        _ => "do not reconnect",
    }
}

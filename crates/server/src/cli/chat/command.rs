//! What a typed line or a line of JSON asks for.
//!
//! Must never do it.

use hubbub_client::protocol::RoomKind;
use serde::Deserialize;
use serde_json::Value;

/// The commands, for `/help`.
pub(super) const HELP: [&str; 9] = [
    "/join NAME      join a room and follow it",
    "/leave [NAME]   leave a room (this one)",
    "/room NAME      talk in another room",
    "/rooms          list the rooms",
    "/who            who is in this room",
    "/create NAME [public|private|announcement]",
    "/quit           leave (also Ctrl-C, Ctrl-D)",
    "//text          send a line that begins with a slash",
    "anything else is sent to the room that the prompt names; times are UTC",
];

/// What to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Wish {
    /// Send a body to a room, or to the present one.
    Send {
        room: Option<String>,
        body: String,
        client_msg_id: Option<String>,
    },
    Join(String),
    Leave(Option<String>),
    /// Make a room the present one.
    Turn(String),
    Rooms,
    Who(Option<String>),
    Create(String, RoomKind),
    Help,
    Quit,
}

/// Reads a line that a person typed. `None` for an empty one.
///
/// # Errors
/// A sentence about what is wrong.
pub(super) fn typed(line: &str) -> Result<Option<Wish>, String> {
    if line.trim().is_empty() {
        return Ok(None);
    }
    let send = |body: &str| Some(Wish::Send { room: None, body: body.to_owned(), client_msg_id: None });
    let Some(rest) = line.strip_prefix('/') else { return Ok(send(line)) };
    if rest.starts_with('/') {
        return Ok(send(rest));
    }
    let mut words = rest.split_whitespace();
    let (name, first, second) = (words.next().unwrap_or_default(), words.next(), words.next());
    let room = |word: Option<&str>| word.map(|word| word.trim_start_matches('#').to_owned());
    let needed = || room(first).ok_or_else(|| format!("/{name} needs the name of a room"));
    Ok(Some(match name {
        "join" => Wish::Join(needed()?),
        "leave" => Wish::Leave(room(first)),
        "room" => Wish::Turn(needed()?),
        "rooms" => Wish::Rooms,
        "who" => Wish::Who(room(first)),
        "create" => Wish::Create(needed()?, kind(second)?),
        "help" | "?" => Wish::Help,
        "quit" | "exit" => Wish::Quit,
        _ => return Err(format!("/{name} is no command; /help lists them, // sends a slash")),
    }))
}

fn kind(word: Option<&str>) -> Result<RoomKind, String> {
    let word = word.unwrap_or("public");
    RoomKind::from_name(word)
        .filter(|kind| *kind != RoomKind::Direct)
        .ok_or_else(|| format!("{word:?} is no kind of room: public, private, announcement"))
}

/// A line of a script, with what it wants to find in the answer.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Line {
    cmd: String,
    room: Option<String>,
    body: Option<String>,
    client_msg_id: Option<String>,
    kind: Option<String>,
    r#ref: Value,
}

/// Reads a line of a script: a JSON object, or text to send. The second part is its `ref`. `None` for an empty one.
///
/// # Errors
/// A sentence about what is wrong.
pub(super) fn scripted(line: &str) -> Result<Option<(Wish, Value)>, String> {
    if line.trim().is_empty() {
        return Ok(None);
    }
    if !line.starts_with('{') {
        return Ok(Some((Wish::Send { room: None, body: line.to_owned(), client_msg_id: None }, Value::Null)));
    }
    let line: Line = serde_json::from_str(line).map_err(|error| format!("not a command in JSON: {error}"))?;
    let needed = || line.room.clone().ok_or_else(|| format!("`room` is missing for {:?}", line.cmd));
    let wish = match line.cmd.as_str() {
        "send" => Wish::Send {
            body: line.body.ok_or("`body` is missing")?,
            room: line.room,
            client_msg_id: line.client_msg_id,
        },
        "join" => Wish::Join(needed()?),
        "leave" => Wish::Leave(line.room),
        "room" => Wish::Turn(needed()?),
        "rooms" => Wish::Rooms,
        "who" => Wish::Who(line.room),
        "create" => Wish::Create(needed()?, kind(line.kind.as_deref())?),
        "quit" => Wish::Quit,
        other => return Err(format!("`cmd` {other:?} is unknown: send, join, leave, room, rooms, who, create, quit")),
    };
    Ok(Some((wish, line.r#ref)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sends(body: &str) -> Wish {
        Wish::Send { room: None, body: body.into(), client_msg_id: None }
    }

    #[test]
    fn typed_lines() {
        assert_eq!(typed("  "), Ok(None));
        assert_eq!(typed("hello /there"), Ok(Some(sends("hello /there"))));
        assert_eq!(typed("//etc/hosts"), Ok(Some(sends("/etc/hosts"))));
        assert_eq!(typed("/join #general"), Ok(Some(Wish::Join("general".into()))));
        assert_eq!(typed("/create x private"), Ok(Some(Wish::Create("x".into(), RoomKind::Private))));
        assert_eq!(typed("/leave"), Ok(Some(Wish::Leave(None))));
        for wrong in ["/join", "/nonsense", "/create x direct", "/"] {
            assert!(typed(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn scripted_lines() {
        assert_eq!(scripted("/quit").unwrap().unwrap().0, sends("/quit"));
        let line = r#"{"cmd":"send","room":"general","body":"hi","client_msg_id":"c1","ref":7}"#;
        let wish = Wish::Send { room: Some("general".into()), body: "hi".into(), client_msg_id: Some("c1".into()) };
        assert_eq!(scripted(line).unwrap(), Some((wish, Value::from(7))));
        for wrong in ["{", "{}", r#"{"cmd":"send"}"#, r#"{"cmd":"join"}"#] {
            assert!(scripted(wrong).is_err(), "{wrong}");
        }
    }
}

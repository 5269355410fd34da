//! Lines for people: time, name in a stable colour, body.
//!
//! Must never print, and must pass every foreign text through [`super::text`].

use hubbub_client::protocol::{RoomEvent, RoomEventData, Timestamp, UserRef};

use super::text;

/// Colours of the 256-colour palette that can be read on dark and on light ground.
const NAME_COLOURS: [u8; 12] = [31, 35, 37, 64, 69, 99, 130, 133, 136, 161, 166, 173];
const RESET: &str = "\x1b[0m";
const DIM: &str = "\x1b[2m";
const BOLD: &str = "\x1b[1m";
const RED: &str = "\x1b[31m";

/// Whether and how to colour.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint {
    pub(super) colour: bool,
}

impl Paint {
    pub(super) fn dim(self, line: &str) -> String {
        self.wrap(DIM, line)
    }

    pub(super) fn error(self, line: &str) -> String {
        self.wrap(RED, line)
    }

    fn wrap(self, style: &str, line: &str) -> String {
        if self.colour { format!("{style}{line}{RESET}") } else { line.to_owned() }
    }

    /// A name, which looks the same wherever its user appears.
    fn name(self, user: &UserRef) -> String {
        let name = text::one_line(&user.name);
        if self.colour { format!("{BOLD}\x1b[38;5;{}m{name}{RESET}", colour_of(user)) } else { name }
    }

    /// The lines of an event. `room` stands before it where several rooms are shown.
    pub(super) fn event(self, event: &RoomEvent, room: Option<&str>) -> Vec<String> {
        let time = clock(event.at);
        let room = room.map(|room| format!("#{} ", text::one_line(room))).unwrap_or_default();
        let margin = format!("{time} {room}");
        let by = text::one_line(&event.by.name);
        let note = |what: String| vec![self.dim(&format!("{margin}* {what}"))];
        match &event.data {
            RoomEventData::MessageSent(sent) => self.message(&margin, &event.by, &sent.body),
            RoomEventData::MemberJoined(joined) => note(format!("{} joined", text::one_line(&joined.user.name))),
            RoomEventData::MemberLeft(left) => note(format!("{} left", text::one_line(&left.user.name))),
            RoomEventData::RoomCreated(_) => note(format!("{by} made the room")),
            other => note(format!("{by}: {}", text::one_line(other.name()))),
        }
    }

    fn message(self, margin: &str, by: &UserRef, body: &str) -> Vec<String> {
        // Further lines of a body stand under its first one, so that none can pass for a message of its own.
        let indent = " ".repeat(text::width(margin) + text::width(&text::one_line(&by.name)) + 2);
        let mut lines = text::lines(body).into_iter();
        let first = lines.next().unwrap_or_default();
        let first = format!("{}{}: {first}", self.dim(margin), self.name(by));
        std::iter::once(first).chain(lines.map(|line| format!("{indent}{line}"))).collect()
    }
}

/// Hours and minutes, UTC.
fn clock(at: Timestamp) -> String {
    at.to_string().get(11..16).unwrap_or("--:--").to_owned()
}

/// FNV-1a over the id: stable over runs and machines, and over renaming.
fn colour_of(user: &UserRef) -> u8 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let hash = user.id.as_uuid().as_bytes().iter().fold(0xcbf2_9ce4_8422_2325, step);
    NAME_COLOURS[usize::try_from(hash % NAME_COLOURS.len() as u64).unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use hubbub_client::protocol::event::{MemberJoined, MessageSent};
    use hubbub_client::protocol::{MessageId, RoomId, RoomRole, UserId};

    use super::*;

    fn event(data: impl Into<RoomEventData>, name: &str) -> RoomEvent {
        let by = UserRef { id: UserId::new(), name: name.into() };
        let at = Timestamp::from_millis(1_767_323_045_678);
        RoomEvent { room: RoomId::new(), seq: 1, at, by, data: data.into(), trace: None }
    }

    fn message(body: &str) -> MessageSent {
        MessageSent { id: MessageId::new(), client_msg_id: "c".parse().unwrap(), body: body.into() }
    }

    #[test]
    fn plain_lines() {
        let paint = Paint { colour: false };
        assert_eq!(paint.event(&event(message("hello"), "ada"), None), ["03:04 ada: hello"]);
        let two = paint.event(&event(message("one\nbob: two"), "ada"), Some("general"));
        assert_eq!(two, ["03:04 #general ada: one", "                    bob: two"]);
        let user = UserRef { id: UserId::new(), name: "bob".into() };
        let joined = event(MemberJoined { user, role: RoomRole::Member }, "bob");
        assert_eq!(paint.event(&joined, None), ["03:04 * bob joined"]);
    }

    #[test]
    fn colours_are_ours_alone() {
        let paint = Paint { colour: true };
        let [line] = &paint.event(&event(message("\x1b[2J"), "a\x1b[31mb"), None)[..] else { panic!("one line") };
        let rest = line.replace(RESET, "").replace(DIM, "").replace(BOLD, "");
        let colours = rest.matches('\x1b').count();
        assert_eq!((colours, rest.matches("\x1b[38;5;").count()), (1, 1), "{line:?}");
    }

    #[test]
    fn a_name_keeps_its_colour() {
        let user = UserRef { id: UserId::new(), name: "ada".into() };
        assert_eq!(colour_of(&user), colour_of(&UserRef { name: "renamed".into(), ..user.clone() }));
    }
}

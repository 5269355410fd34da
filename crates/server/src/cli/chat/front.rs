//! What is said to whom: a screen, plain lines, or JSON.
//!
//! Results go to stdout and what is said about them to stderr, but for the screen, which has one place for both.
//! Must never decide what is said.

use std::io::{self, IsTerminal as _, Write as _};

use hubbub_client::protocol::reply::Sent;
use hubbub_client::protocol::{Room, RoomEvent, Seq};
use hubbub_client::{ClientError, State};
use serde_json::Value;
use tokio::sync::mpsc;

use super::command::HELP;
use super::editor::Edited;
use super::input::{self, Input};
use super::paint::Paint;
use super::screen::Screen;
use super::{json, text};

/// One thing to tell.
pub(super) enum Said<'a> {
    Event { room: &'a str, event: &'a RoomEvent, several: bool },
    Opened { room: &'a Room, joined: bool },
    Left { room: &'a Room },
    Created { room: &'a Room },
    Rooms { rooms: &'a [Room], more: bool },
    Members { room: &'a Room, seen: Vec<&'a str> },
    Acked { room: &'a str, sent: &'a Sent },
    Failed { what: &'a str, error: &'a ClientError, hint: Option<String> },
    Wrong { reason: &'a str },
    Reset { room: &'a str, head: Seq },
    Ended { room: &'a str, error: &'a ClientError },
    State(&'a State),
    Help,
}

/// Who is spoken to.
pub(super) enum Front {
    Screen(Box<Screen>, Paint),
    Lines(Paint),
    Json,
}

impl Front {
    pub(super) fn new(terminal: bool, json: bool) -> io::Result<Self> {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
        let paint = Paint { colour: !no_color && !dumb && io::stdout().is_terminal() };
        Ok(match (json, terminal) {
            (true, _) => Self::Json,
            (false, true) => Self::Screen(Box::new(Screen::open(paint.colour)?), paint),
            (false, false) => Self::Lines(paint),
        })
    }

    pub(super) const fn is_screen(&self) -> bool {
        matches!(self, Self::Screen(..))
    }

    pub(super) const fn is_json(&self) -> bool {
        matches!(self, Self::Json)
    }

    /// Starts reading what comes in.
    pub(super) fn input(&self) -> io::Result<mpsc::Receiver<Input>> {
        if self.is_screen() { input::terminal() } else { input::lines() }
    }

    /// Passes a key on to the screen.
    pub(super) fn take(&mut self, event: crossterm::event::Event) -> io::Result<Edited> {
        match self {
            Self::Screen(screen, _) => screen.take(event),
            _ => Ok(Edited::Changed),
        }
    }

    /// Status line and prompt of a screen.
    pub(super) fn show(&mut self, status: &str, room: Option<&str>) -> io::Result<()> {
        let Self::Screen(screen, _) = self else { return Ok(()) };
        let prompt = room.map_or_else(|| "> ".into(), |room| format!("#{}> ", text::one_line(room)));
        screen.show(text::one_line(status), prompt)
    }

    /// Tells one thing. `reference` is the `ref` of the script's line that it answers.
    pub(super) fn say(&mut self, said: &Said<'_>, reference: &Value) -> io::Result<()> {
        match self {
            Self::Json => out(&[json::line(said, reference).to_string()]),
            Self::Screen(screen, paint) => {
                let lines = match said {
                    // The status line has them.
                    Said::State(_) | Said::Acked { .. } => return Ok(()),
                    said => lines(*paint, said),
                };
                screen.print(&lines)
            }
            Self::Lines(paint) => match said {
                Said::Event { .. } | Said::Rooms { .. } | Said::Members { .. } => out(&lines(*paint, said)),
                Said::Acked { .. } | Said::State(State::Connecting { .. } | State::Resuming { .. }) => Ok(()),
                said => err(&lines(Paint { colour: false }, said)),
            },
        }
    }
}

fn out(lines: &[String]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    lines.iter().try_for_each(|line| writeln!(stdout, "{line}"))?;
    stdout.flush()
}

fn err(lines: &[String]) -> io::Result<()> {
    let mut stderr = io::stderr().lock();
    lines.iter().try_for_each(|line| writeln!(stderr, "{line}"))
}

/// How a room is called: its name, or those of its people.
pub(super) fn name_of(room: &Room) -> String {
    match (&room.name, &room.peers) {
        (Some(name), _) => name.to_string(),
        (None, Some(peers)) => peers.iter().map(|peer| peer.name.as_ref()).collect::<Vec<_>>().join("+"),
        (None, None) => room.id.to_string(),
    }
}

/// The state for a status line, and the reason for it.
pub(super) fn state_parts(state: &State) -> (String, Option<String>) {
    match state {
        State::Connecting { attempt: 1, url } => (format!("○ connecting to {url}"), None),
        State::Connecting { attempt, url } => (format!("○ connecting to {url}, attempt {attempt}"), None),
        State::Resuming { node } => (format!("◐ resuming at {node}"), None),
        State::Online { node } => (format!("● online at {node}"), None),
        State::Waiting { until, cause } => {
            let left = until.saturating_duration_since(tokio::time::Instant::now()).as_secs() + 1;
            (format!("○ offline, next attempt in {left} s"), Some(cause.clone()))
        }
        State::Closed { reason } => ("○ closed".into(), Some(reason.to_string())),
    }
}

fn plural(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

fn lines(paint: Paint, said: &Said<'_>) -> Vec<String> {
    let note = |what: String| vec![paint.dim(&format!("-- {}", text::one_line(&what)))];
    let bad = |what: String| vec![paint.error(&format!("!! {}", text::one_line(&what)))];
    match said {
        Said::Event { room, event, several } => paint.event(event, several.then_some(*room)),
        Said::Opened { room, joined } => {
            let did = if *joined { "joined" } else { "following" };
            note(format!("{did} #{}: {}", name_of(room), plural(room.members, "member")))
        }
        Said::Left { room } => note(format!("left #{}", name_of(room))),
        Said::Created { room } => note(format!("made #{} ({})", name_of(room), room.kind.as_str())),
        Said::Rooms { rooms, more } => room_lines(rooms, *more),
        Said::Members { room, seen } => {
            let count = plural(room.members, "member");
            vec![text::one_line(&format!("#{}: {count}; seen here: {}", name_of(room), seen.join(", ")))]
        }
        Said::Acked { room, sent } => note(format!("sent to {room}: {}", sent.seq)),
        Said::Failed { what, error, hint } => {
            let mut lines = bad(format!("{what}: {error}"));
            lines.extend(hint.iter().flat_map(|hint| note(hint.clone())));
            lines
        }
        Said::Wrong { reason } => bad((*reason).to_owned()),
        Said::Reset { room, .. } => note(format!("#{room} was restored; what you saw may be gone")),
        Said::Ended { room, error } => note(format!("#{room} is not followed any more: {error}")),
        Said::State(state) => match state_parts(state) {
            (state, Some(cause)) => note(format!("{state}: {cause}")),
            (state, None) => note(state),
        },
        Said::Help => HELP.iter().map(|line| paint.dim(line)).collect(),
    }
}

fn room_lines(rooms: &[Room], more: bool) -> Vec<String> {
    let line = |room: &Room| {
        let line = format!("#{} ({}, {})", name_of(room), room.kind.as_str(), plural(room.members, "member"));
        text::one_line(&line)
    };
    let rest = if more { Some("… and more".to_owned()) } else { None };
    let none = if rooms.is_empty() { Some("no rooms yet: /create NAME makes one".to_owned()) } else { None };
    rooms.iter().map(line).chain(rest).chain(none).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_is_harmless_too() {
        let state = State::Waiting { until: tokio::time::Instant::now(), cause: "\x1b[2Jgone".into() };
        for line in lines(Paint { colour: false }, &Said::State(&state)) {
            assert!(!line.contains('\x1b'), "{line:?}");
        }
    }
}

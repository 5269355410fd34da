//! Where a password comes from: the first line of stdin, or a terminal that does not show it.
//!
//! Must never echo, log or keep one.

use std::io::{BufRead as _, IsTerminal as _, Read as _, Write as _};

use crossterm::event::{Event, KeyCode, KeyEventKind, KeyModifiers, read as read_event};
use crossterm::terminal;

use crate::failure::Failure;

/// A longer first line is no password.
const LINE_BYTES_MAX: u64 = 64 << 10;

/// The password: from stdin when the flag says so, else asked for twice on the terminal.
pub(super) fn read(from_stdin: bool) -> Result<String, Failure> {
    if from_stdin {
        return first_line();
    }
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(Failure::Usage("stdin is no terminal: use --password-stdin".to_owned()));
    }
    let password = ask("password: ")?;
    if ask("again: ")? != password {
        return Err(Failure::Refused("the two are not the same".to_owned()));
    }
    Ok(password)
}

fn first_line() -> Result<String, Failure> {
    let mut line = String::new();
    std::io::stdin().lock().take(LINE_BYTES_MAX).read_line(&mut line)?;
    let password = line.strip_suffix('\n').unwrap_or(&line);
    Ok(password.strip_suffix('\r').unwrap_or(password).to_owned())
}

fn ask(question: &str) -> Result<String, Failure> {
    let mut stderr = std::io::stderr();
    write!(stderr, "{question}")?;
    stderr.flush()?;
    terminal::enable_raw_mode()?;
    let typed = read_keys();
    // The terminal must not stay raw, whatever happened.
    terminal::disable_raw_mode()?;
    writeln!(stderr)?;
    typed
}

fn read_keys() -> Result<String, Failure> {
    let mut typed = String::new();
    loop {
        let Event::Key(key) = read_event()? else { continue };
        if key.kind == KeyEventKind::Release {
            continue;
        }
        match key.code {
            KeyCode::Enter => return Ok(typed),
            KeyCode::Char('c' | 'd') if key.modifiers.contains(KeyModifiers::CONTROL) => {
                return Err(Failure::Refused("given up".to_owned()));
            }
            KeyCode::Char(sign) if !key.modifiers.contains(KeyModifiers::CONTROL) => typed.push(sign),
            KeyCode::Backspace => drop(typed.pop()),
            _ => {}
        }
    }
}

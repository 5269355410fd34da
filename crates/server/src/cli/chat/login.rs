//! Who signs on: a token, or a name and a password that is typed without echo.
//!
//! Must never echo, log or keep a password.

use std::io::{self, IsTerminal as _, Write as _};

use crossterm::event::{Event, KeyCode, KeyEventKind, KeyModifiers};
use crossterm::terminal;
use hubbub_client::Credentials;

/// The credentials that flags and environment name.
///
/// # Errors
/// A sentence about what is missing.
pub(super) fn credentials(token: Option<String>, user: Option<String>) -> Result<Credentials, String> {
    if let Some(name) = user {
        let password = match std::env::var("HUBBUB_PASSWORD") {
            Ok(password) => password,
            Err(_) => ask(&name)?,
        };
        return Ok(Credentials::Password { name, password });
    }
    let token = token.or_else(|| std::env::var("HUBBUB_TOKEN").ok());
    token.map(Credentials::Token).ok_or_else(|| "who are you? --token TOKEN or --user NAME".into())
}

fn ask(name: &str) -> Result<String, String> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err("without a terminal the password comes from HUBBUB_PASSWORD".into());
    }
    let cannot = |error: io::Error| format!("cannot ask for the password: {error}");
    let mut stderr = io::stderr();
    write!(stderr, "password of {name}: ").and_then(|()| stderr.flush()).map_err(cannot)?;
    terminal::enable_raw_mode().map_err(cannot)?;
    let typed = typed();
    // The terminal must not stay raw, whatever happened.
    terminal::disable_raw_mode().map_err(cannot)?;
    writeln!(stderr).map_err(cannot)?;
    typed.map_err(cannot)?.ok_or_else(|| "given up".into())
}

/// The line that is typed; `None` after Ctrl-C or Ctrl-D.
fn typed() -> io::Result<Option<String>> {
    let mut password = String::new();
    loop {
        let key = match crossterm::event::read()? {
            Event::Key(key) if key.kind != KeyEventKind::Release => key,
            Event::Paste(pasted) => {
                password.push_str(&pasted);
                continue;
            }
            _ => continue,
        };
        match key.code {
            KeyCode::Enter => return Ok(Some(password)),
            KeyCode::Char('c' | 'd') if key.modifiers.contains(KeyModifiers::CONTROL) => return Ok(None),
            KeyCode::Char(character) if !key.modifiers.contains(KeyModifiers::CONTROL) => password.push(character),
            KeyCode::Backspace => drop(password.pop()),
            _ => {}
        }
    }
}

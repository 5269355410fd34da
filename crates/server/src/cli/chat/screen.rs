//! The terminal: lines that scroll by, a status line, and the line being typed below them.
//!
//! Raw mode, so that an incoming line does not tear the typed one apart: it is drawn above, and the last two lines
//! are drawn again. Must never leave the terminal raw, also when the program panics.

use std::io::{self, Stdout, Write as _};
use std::sync::Once;

use crossterm::cursor::{MoveToColumn, MoveToPreviousLine};
use crossterm::event::{DisableBracketedPaste, EnableBracketedPaste, Event};
use crossterm::style::{Attribute, Print, SetAttribute};
use crossterm::terminal::{self, Clear, ClearType};
use crossterm::{execute, queue};

use super::editor::{Edited, Editor};
use super::text;

/// The columns that are assumed when the terminal does not tell.
const COLUMNS: u16 = 80;

/// A terminal in raw mode; restored when dropped.
pub(super) struct Screen {
    out: Stdout,
    columns: usize,
    status: String,
    prompt: String,
    editor: Editor,
    styled: bool,
}

impl Screen {
    pub(super) fn open(styled: bool) -> io::Result<Self> {
        restore_on_panic();
        terminal::enable_raw_mode()?;
        let (columns, _) = terminal::size().unwrap_or((COLUMNS, 0));
        let mut screen = Self {
            out: io::stdout(),
            columns: usize::from(columns),
            status: String::new(),
            prompt: "> ".into(),
            editor: Editor::default(),
            styled,
        };
        execute!(screen.out, EnableBracketedPaste)?;
        screen.draw()?;
        screen.out.flush()?;
        Ok(screen)
    }

    /// Draws lines above the typed one.
    pub(super) fn print(&mut self, lines: &[String]) -> io::Result<()> {
        self.erase()?;
        for line in lines {
            queue!(self.out, Print(line), Print("\r\n"))?;
        }
        self.draw()?;
        self.out.flush()
    }

    /// Changes the status line and the prompt; both are cut to the terminal's width.
    pub(super) fn show(&mut self, status: String, prompt: String) -> io::Result<()> {
        if self.status == status && self.prompt == prompt {
            return Ok(());
        }
        (self.status, self.prompt) = (status, prompt);
        self.redraw()
    }

    /// Takes a key, a paste or a new size.
    pub(super) fn take(&mut self, event: Event) -> io::Result<Edited> {
        let edited = match event {
            Event::Key(key) => self.editor.key(key),
            Event::Paste(pasted) => {
                self.editor.paste(&pasted);
                Edited::Changed
            }
            Event::Resize(columns, _) => {
                self.columns = usize::from(columns);
                Edited::Changed
            }
            _ => return Ok(Edited::Changed),
        };
        self.redraw()?;
        Ok(edited)
    }

    fn redraw(&mut self) -> io::Result<()> {
        self.erase()?;
        self.draw()?;
        self.out.flush()
    }

    /// Removes both lines; the cursor stands where the status line began.
    fn erase(&mut self) -> io::Result<()> {
        queue!(self.out, MoveToPreviousLine(1), MoveToColumn(0), Clear(ClearType::FromCursorDown))
    }

    fn draw(&mut self) -> io::Result<()> {
        // One column stays free: a full line would make the terminal wrap.
        let room = self.columns.saturating_sub(1);
        let status = text::cut(&self.status, room);
        if self.styled {
            queue!(self.out, SetAttribute(Attribute::Dim), Print(status), SetAttribute(Attribute::Reset))?;
        } else {
            queue!(self.out, Print(status))?;
        }
        let prompt = text::cut(&self.prompt, room / 2);
        let (typed, cursor) = self.editor.view(room.saturating_sub(text::width(prompt)).max(2));
        let column = u16::try_from(text::width(prompt) + cursor).unwrap_or(u16::MAX);
        queue!(self.out, Print("\r\n"), Print(prompt), Print(typed), MoveToColumn(column))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that is gone needs no restoring.
        if self.erase().and_then(|()| self.out.flush()).is_err() {
            tracing::debug!("the terminal is gone");
        }
        restore();
    }
}

fn restore() {
    if execute!(io::stdout(), SetAttribute(Attribute::Reset), DisableBracketedPaste).is_err()
        || terminal::disable_raw_mode().is_err()
    {
        tracing::debug!("the terminal cannot be restored");
    }
}

/// Restores the terminal before a panic is told, so that it can be read.
fn restore_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let tell = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            restore();
            tell(panic);
        }));
    });
}

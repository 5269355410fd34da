//! The line being typed: keys in, text and cursor out.
//!
//! Must never draw: it says what the input line shows.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::text;

/// A longer line is refused by the server anyway; typing on is ignored.
const CHARS_MAX: usize = 8000;
/// Lines that the arrow keys bring back.
const HISTORY_MAX: usize = 100;

/// What a key did.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Edited {
    /// The line may look different.
    Changed,
    /// Enter: this line is meant.
    Line(String),
    /// Ctrl-C, or Ctrl-D on an empty line.
    Quit,
}

/// A line with a cursor and a memory.
#[derive(Debug, Default)]
pub(super) struct Editor {
    chars: Vec<char>,
    cursor: usize,
    history: Vec<String>,
    /// Which line of the history is shown; its length when none is.
    shown: usize,
}

impl Editor {
    /// Takes a key.
    pub(super) fn key(&mut self, key: KeyEvent) -> Edited {
        if key.kind == KeyEventKind::Release {
            return Edited::Changed;
        }
        if key.modifiers.intersects(KeyModifiers::CONTROL) {
            return self.control(key.code);
        }
        match key.code {
            KeyCode::Enter => return self.enter(),
            KeyCode::Char(character) => self.insert(character),
            KeyCode::Backspace if self.cursor > 0 => {
                self.cursor -= 1;
                self.chars.remove(self.cursor);
            }
            KeyCode::Delete if self.cursor < self.chars.len() => drop(self.chars.remove(self.cursor)),
            KeyCode::Left => self.cursor = self.cursor.saturating_sub(1),
            KeyCode::Right => self.cursor = (self.cursor + 1).min(self.chars.len()),
            KeyCode::Home => self.cursor = 0,
            KeyCode::End => self.cursor = self.chars.len(),
            KeyCode::Up => self.recall(self.shown.checked_sub(1)),
            KeyCode::Down => self.recall(self.shown.checked_add(1)),
            _ => {}
        }
        Edited::Changed
    }

    fn control(&mut self, code: KeyCode) -> Edited {
        match code {
            KeyCode::Char('c') => return Edited::Quit,
            KeyCode::Char('d') if self.chars.is_empty() => return Edited::Quit,
            KeyCode::Char('a') => self.cursor = 0,
            KeyCode::Char('e') => self.cursor = self.chars.len(),
            KeyCode::Char('k') => self.chars.truncate(self.cursor),
            KeyCode::Char('u') => {
                self.chars.drain(..self.cursor);
                self.cursor = 0;
            }
            KeyCode::Char('w') => {
                let end = self.cursor;
                while self.cursor > 0 && self.chars[self.cursor - 1].is_whitespace() {
                    self.cursor -= 1;
                }
                while self.cursor > 0 && !self.chars[self.cursor - 1].is_whitespace() {
                    self.cursor -= 1;
                }
                self.chars.drain(self.cursor..end);
            }
            _ => {}
        }
        Edited::Changed
    }

    /// Takes a pasted text as a whole: its new lines belong to the message.
    pub(super) fn paste(&mut self, pasted: &str) {
        pasted.replace("\r\n", "\n").replace('\r', "\n").chars().for_each(|character| self.insert(character));
    }

    fn insert(&mut self, character: char) {
        if self.chars.len() < CHARS_MAX && (!character.is_control() || matches!(character, '\n' | '\t')) {
            self.chars.insert(self.cursor, character);
            self.cursor += 1;
        }
    }

    fn enter(&mut self) -> Edited {
        let line: String = std::mem::take(&mut self.chars).into_iter().collect();
        self.cursor = 0;
        if !line.trim().is_empty() && self.history.last() != Some(&line) {
            self.history.push(line.clone());
            if self.history.len() > HISTORY_MAX {
                self.history.remove(0);
            }
        }
        self.shown = self.history.len();
        Edited::Line(line)
    }

    fn recall(&mut self, which: Option<usize>) {
        let Some(which) = which.filter(|which| *which <= self.history.len()) else { return };
        self.shown = which;
        self.chars = self.history.get(which).map(|line| line.chars().collect()).unwrap_or_default();
        self.cursor = self.chars.len();
    }

    /// What fits into `columns` around the cursor, and the cursor's column. A new line is shown as a sign.
    pub(super) fn view(&self, columns: usize) -> (String, usize) {
        let shown = |character: &char| match character {
            '\n' => '⏎',
            '\t' => ' ',
            other => *other,
        };
        // The cursor needs a column of its own behind the last character.
        let room = columns.saturating_sub(1);
        let mut start = self.cursor;
        let mut before = 0;
        while start > 0 {
            let wider = before + text::char_width(shown(&self.chars[start - 1]));
            if wider > room {
                break;
            }
            before = wider;
            start -= 1;
        }
        let tail: String = self.chars[start..].iter().map(shown).collect();
        (text::cut(&text::one_line(&tail), room).to_owned(), before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(editor: &mut Editor, code: KeyCode) -> Edited {
        editor.key(KeyEvent::new(code, KeyModifiers::NONE))
    }

    fn control(editor: &mut Editor, character: char) -> Edited {
        editor.key(KeyEvent::new(KeyCode::Char(character), KeyModifiers::CONTROL))
    }

    fn typed(text: &str) -> Editor {
        let mut editor = Editor::default();
        text.chars().for_each(|character| drop(press(&mut editor, KeyCode::Char(character))));
        editor
    }

    #[test]
    fn typing_moving_and_deleting() {
        let mut editor = typed("helo");
        press(&mut editor, KeyCode::Left);
        press(&mut editor, KeyCode::Char('l'));
        press(&mut editor, KeyCode::End);
        press(&mut editor, KeyCode::Char('!'));
        press(&mut editor, KeyCode::Backspace);
        assert_eq!(press(&mut editor, KeyCode::Enter), Edited::Line("hello".into()));
        assert_eq!(editor.view(80), (String::new(), 0));
    }

    #[test]
    fn control_keys() {
        let mut editor = typed("one two  ");
        control(&mut editor, 'w');
        assert_eq!(editor.view(80).0, "one ");
        assert_eq!(control(&mut editor, 'd'), Edited::Changed, "the line is not empty");
        control(&mut editor, 'u');
        assert_eq!(control(&mut editor, 'd'), Edited::Quit);
        assert_eq!(control(&mut typed("x"), 'c'), Edited::Quit);
    }

    #[test]
    fn history_comes_back() {
        let mut editor = typed("first");
        press(&mut editor, KeyCode::Enter);
        "second".chars().for_each(|character| drop(press(&mut editor, KeyCode::Char(character))));
        press(&mut editor, KeyCode::Enter);
        press(&mut editor, KeyCode::Up);
        press(&mut editor, KeyCode::Up);
        press(&mut editor, KeyCode::Up);
        assert_eq!(editor.view(80).0, "first");
        press(&mut editor, KeyCode::Down);
        press(&mut editor, KeyCode::Down);
        assert_eq!(editor.view(80).0, "");
    }

    #[test]
    fn a_long_line_scrolls_with_the_cursor() {
        let mut editor = typed("0123456789");
        assert_eq!(editor.view(6), ("56789".into(), 5));
        press(&mut editor, KeyCode::Home);
        assert_eq!(editor.view(6), ("01234".into(), 0));
        assert_eq!(typed("世界世界").view(6), ("界世界".chars().skip(1).collect::<String>(), 4));
    }

    #[test]
    fn a_paste_is_one_line_and_harmless() {
        let mut editor = Editor::default();
        editor.paste("a\r\nb\u{1b}[2J");
        assert_eq!(editor.view(80).0, "a⏎b[2J");
        assert_eq!(press(&mut editor, KeyCode::Enter), Edited::Line("a\nb[2J".into()));
    }
}

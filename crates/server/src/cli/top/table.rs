//! Tables of text: columns of fixed width, one of which takes what room there is.
//!
//! Knows neither terminal nor node, so that a screen and a script are shown the same lines. Must never let a cell reach
//! beyond its column, nor a sign through that would move a terminal's cursor.

/// The column that takes what room there is has this much at least; what does not fit is cut from the end of the line.
const ROOM_MIN: usize = 10;

/// How a cell is meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Tone {
    #[default]
    Plain,
    Strong,
    Faint,
    Good,
    Doubtful,
    Bad,
}

/// A cell of a row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Cell {
    pub(super) text: String,
    pub(super) tone: Tone,
}

impl Cell {
    pub(super) fn new(text: impl Into<String>, tone: Tone) -> Self {
        Self { text: text.into(), tone }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(text, Tone::Plain)
    }
}

/// A column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) title: &'static str,
    /// In columns of the terminal; 0 for the one that takes the room that is left.
    pub(super) width: usize,
    pub(super) side: Side,
}

/// Where a cell stands in its column, and which part of a long one is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Side {
    /// Figures.
    Right,
    /// Words.
    Left,
    /// Names whose end tells more than their beginning, such as those of pods.
    LeftByEnd,
}

/// Words.
pub(super) const fn words(title: &'static str, width: usize) -> Column {
    Column { title, width, side: Side::Left }
}

/// Figures.
pub(super) const fn figures(title: &'static str, width: usize) -> Column {
    Column { title, width, side: Side::Right }
}

/// Names of nodes, such as those of pods.
pub(super) const fn names(title: &'static str, width: usize) -> Column {
    Column { title, width, side: Side::LeftByEnd }
}

/// The titles of columns, as a row.
pub(super) fn titles(columns: &[Column]) -> Vec<Cell> {
    columns.iter().map(|column| Cell::new(column.title, Tone::Faint)).collect()
}

/// A row in a line of this width: its parts, padding included, one for each column.
pub(super) fn line(columns: &[Column], row: &[Cell], width: usize) -> Vec<Cell> {
    let fixed: usize = columns.iter().map(|column| column.width).sum();
    let room = width.saturating_sub(fixed + columns.len().saturating_sub(1)).max(ROOM_MIN);
    let last = columns.len().saturating_sub(1);
    let cells = columns.iter().zip(row).enumerate();
    cells
        .map(|(at, (column, cell))| {
            let width = if column.width == 0 { room } else { column.width };
            let mut text = fit(&cell.text, width, column.side);
            if at < last {
                text.push(' ');
            }
            Cell::new(text, cell.tone)
        })
        .collect()
}

/// Exactly so many columns.
fn fit(text: &str, width: usize, side: Side) -> String {
    let text: String = text.chars().map(|sign| if sign.is_control() { '·' } else { sign }).collect();
    let length = text.chars().count();
    if length > width {
        let kept = width.saturating_sub(1);
        let ellipsis = if width == 0 { "" } else { "…" };
        return match side {
            Side::LeftByEnd => format!("{ellipsis}{}", text.chars().skip(length - kept).collect::<String>()),
            Side::Left | Side::Right => format!("{}{ellipsis}", text.chars().take(kept).collect::<String>()),
        };
    }
    match side {
        Side::Right => format!("{text:>width$}"),
        Side::Left | Side::LeftByEnd => format!("{text:<width$}"),
    }
}

/// The text of a line without its tones.
pub(super) fn plain(line: &[Cell]) -> String {
    let text: String = line.iter().map(|cell| cell.text.as_str()).collect();
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_its_width_whatever_the_cells_hold() {
        let columns = [names("node", 0), words("state", 8), figures("conns", 6)];
        let text = |row: [&str; 3], width| plain(&line(&columns, &row.map(Cell::from), width));
        assert_eq!(text(["node-1", "ready", "1,203"], 30), "node-1         ready     1,203");
        assert_eq!(text(["hubbub-7c9d8b7f6d-x2x4q", "unavailable", "7"], 24), "…f6d-x2x4q unavail…      7");
        assert_eq!(text(["a\u{1b}[2J", "b\n", "c"], 30), "a·[2J          b·            c");
        assert_eq!(text(["node-1", "ready", "1"], 3), "node-1     ready         1", "who draws cuts the rest");
    }
}

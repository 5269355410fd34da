//! Text of other people, made harmless for a terminal, and how wide it is there.
//!
//! Must never let a control or direction character through: names and bodies are written by anybody, and a
//! terminal obeys what it is sent.

/// What stands for a character that may not reach the terminal.
const REPLACEMENT: char = '\u{fffd}';
/// What stands for a tab.
const TAB: &str = "    ";

/// One line that is safe to print: control characters (C0, DEL, C1), direction overrides and invisible
/// format characters are replaced, a tab is four spaces.
pub(super) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\t' => line.push_str(TAB),
            harmful if is_harmful(harmful) => line.push(REPLACEMENT),
            harmless => line.push(harmless),
        }
    }
    line
}

/// The lines of a text, each safe to print.
pub(super) fn lines(text: &str) -> Vec<String> {
    text.split('\n').map(one_line).collect()
}

fn is_harmful(character: char) -> bool {
    character.is_control()
        || matches!(character,
            // Line and paragraph separators, marks and overrides of direction, isolates.
            '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{061c}'
            // Invisible ones that let two different names look the same; the joiners of emoji (200c, 200d) stay.
            | '\u{200b}' | '\u{2060}'..='\u{2064}' | '\u{206a}'..='\u{206f}' | '\u{feff}' | '\u{00ad}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Columns that a text takes in a terminal: two for wide characters, none for what combines.
pub(super) fn width(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

/// Columns of one character, after the ranges of Unicode's East Asian Width (UAX 11), roughly.
pub(super) const fn char_width(character: char) -> usize {
    match character {
        '\u{0300}'..='\u{036f}'
        | '\u{0483}'..='\u{0489}'
        | '\u{0591}'..='\u{05bd}'
        | '\u{064b}'..='\u{065f}'
        | '\u{1ab0}'..='\u{1aff}'
        | '\u{1dc0}'..='\u{1dff}'
        | '\u{200c}'..='\u{200d}'
        | '\u{20d0}'..='\u{20ff}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{fe20}'..='\u{fe2f}' => 0,
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{303e}'
        | '\u{3041}'..='\u{33ff}'
        | '\u{3400}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{9fff}'
        | '\u{a000}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe4f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{ffe0}'..='\u{ffe6}'
        | '\u{1f300}'..='\u{1f64f}'
        | '\u{1f680}'..='\u{1f6ff}'
        | '\u{1f900}'..='\u{1f9ff}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}

/// The beginning of a text that fits into `columns`.
pub(super) fn cut(text: &str, columns: usize) -> &str {
    let mut taken = 0;
    for (at, character) in text.char_indices() {
        taken += char_width(character);
        if taken > columns {
            return &text[..at];
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_comes_through() {
        let all: String = (0..=0x10_ffff).filter_map(char::from_u32).collect();
        for line in lines(&all) {
            assert!(
                !line.chars().any(|character| character.is_control() || matches!(character, '\u{202e}' | '\u{200b}'))
            );
        }
        assert_eq!(one_line("\u{1b}[2Ja\u{9b}31mb\u{7}\r"), "\u{fffd}[2Ja\u{fffd}31mb\u{fffd}\u{fffd}");
        assert_eq!(one_line("a\tb"), "a    b");
    }

    #[test]
    fn what_people_write_comes_through_unchanged() {
        for text in ["Grüße, мир, 世界", "👩\u{200d}💻 e\u{301}", "→ ½ \"quoted\""] {
            assert_eq!(one_line(text), text);
        }
        assert_eq!(lines("a\nb"), ["a", "b"]);
    }

    #[test]
    fn columns_are_counted_and_cut() {
        assert_eq!((width("abc"), width("世界"), width("e\u{301}")), (3, 4, 1));
        assert_eq!((cut("世界", 3), cut("abc", 3), cut("abc", 0)), ("世", "abc", ""));
    }
}

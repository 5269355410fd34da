//! The part of a PromQL selector between its braces, as far as labels and their values need it.
//!
//! Must never refuse what it does not understand: a template is somebody else's to expand.

/// One matcher: `label="value"`, or a label alone, as documents name it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Matcher<'a> {
    pub(super) label: &'a str,
    /// The values that it names, where they are plain words.
    pub(super) values: Vec<String>,
}

/// The matchers that begin at this text, which stands behind a metric's name.
pub(super) fn matchers(behind: &str) -> Vec<Matcher<'_>> {
    // Two braces are a template's.
    let inside = behind.strip_prefix('{').filter(|rest| !rest.starts_with('{'));
    let Some(inside) = inside.and_then(|rest| Some(&rest[..end(rest)?])) else { return Vec::new() };
    split(inside).into_iter().filter_map(matcher).collect()
}

/// The labels of the groups (`by (…)`, `without (…)`) in this line.
pub(super) fn grouped(line: &str) -> Vec<&str> {
    let starts = ["by (", "by(", "without (", "without("];
    let groups = starts.iter().flat_map(|start| {
        line.match_indices(start).filter_map(|(at, start)| {
            // `rate_by (x)` groups nothing.
            let is_word = !line[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_');
            let rest = &line[at + start.len()..];
            is_word.then_some(&rest[..rest.find(')')?])
        })
    });
    groups.flat_map(|group| group.split(',')).map(str::trim).filter(|label| is_name(label)).collect()
}

/// Where the closing brace is: not one inside of quotes.
fn end(text: &str) -> Option<usize> {
    let mut quoted = false;
    text.char_indices().find_map(|(at, character)| {
        quoted ^= character == '"';
        (character == '}' && !quoted).then_some(at)
    })
}

/// At commas outside of quotes.
fn split(text: &str) -> Vec<&str> {
    let mut quoted = false;
    text.split(|character| {
        quoted ^= character == '"';
        character == ',' && !quoted
    })
    .collect()
}

fn matcher(text: &str) -> Option<Matcher<'_>> {
    let text = text.trim();
    let name = &text[..text.find(|character: char| !is_of_name(character)).unwrap_or(text.len())];
    let rest = text[name.len()..].trim_start();
    if !is_name(name) {
        return None;
    }
    let values =
        match (rest.strip_prefix("=~").or(rest.strip_prefix("!~")), rest.strip_prefix('=').or(rest.strip_prefix("!=")))
        {
            (Some(pattern), _) => words_of(pattern, true),
            (None, Some(value)) => words_of(value, false),
            (None, None) => Vec::new(),
        };
    Some(Matcher { label: name, values })
}

/// The plain words of a value; none where it is a template, or a pattern that is more than words with bars between them.
fn words_of(value: &str, pattern: bool) -> Vec<String> {
    // In JSON and in Rust quotes and backslashes have backslashes of their own.
    let value = value.replace('\\', "");
    let value = value.trim().trim_matches('"').trim_matches(['(', ')']);
    let words: Vec<&str> = if pattern { value.split('|').collect() } else { vec![value] };
    let is_plain = |word: &&str| {
        !word.is_empty()
            && word.chars().all(|character| character.is_ascii_alphanumeric() || "_./{}-".contains(character))
    };
    let template = value.contains('$') || value.contains("{{");
    let any = pattern && value.contains(".+");
    if template || any || !words.iter().all(is_plain) {
        Vec::new()
    } else {
        words.into_iter().map(str::to_owned).collect()
    }
}

fn is_of_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_of_name) && !text.starts_with(|first: char| first.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(behind: &str) -> Vec<(String, Vec<String>)> {
        matchers(behind).into_iter().map(|matcher| (matcher.label.to_owned(), matcher.values)).collect()
    }

    #[test]
    fn labels_and_plain_values_are_found() {
        let one =
            |label: &str, values: &[&str]| (label.to_owned(), values.iter().map(|&value| value.to_owned()).collect());
        assert_eq!(found("{reason=\"lost\"}[5m]"), [one("reason", &["lost"])]);
        assert_eq!(found("{reason}` and"), [one("reason", &[])], "as a document names it");
        assert_eq!(
            found(r#"{cmd=~\"message\\\\.send|room.join\",job=\"$job\"}"#),
            [one("cmd", &["message.send", "room.join"]), one("job", &[]),]
        );
        assert_eq!(found("{cmd=~\"message.+\"}"), [one("cmd", &[])], "a pattern");
        assert_eq!(
            found("{route=\"/v1/rooms/{room}\", status!=\"5xx\"}"),
            [one("route", &["/v1/rooms/{room}"]), one("status", &["5xx"]),]
        );
        assert_eq!(found("{{ .Values.x }}"), []);
        assert_eq!(found("[5m]"), []);
    }

    #[test]
    fn groups_are_found() {
        assert_eq!(grouped("sum by (le, cmd) (rate(x[5m])) / sum without(pod) (y)"), ["le", "cmd", "pod"]);
        assert_eq!(grouped("sum by ($grouping) (x)"), [""; 0]);
    }
}

//! The table of values in the chart's README, from the comments of `values.yaml`.
//!
//! Reads the one form in which that file is written: two spaces for each level, `# -- ` before what a value means. Must
//! never let a value pass that nobody explained.

use anyhow::{Result, ensure};

/// One value.
#[derive(Debug, PartialEq)]
struct Row {
    path: String,
    default: String,
    meaning: String,
}

/// The table in Markdown.
pub(super) fn table(values: &str) -> Result<String> {
    let rows = rows(values)?;
    let mut text = "| value | default | meaning |\n| --- | --- | --- |\n".to_owned();
    for Row { path, default, meaning } in rows {
        let default = if default.is_empty() { String::new() } else { format!("`{}`", default.replace('|', "\\|")) };
        text += &format!("| `{path}` | {default} | {} |\n", meaning.replace('|', "\\|"));
    }
    Ok(text)
}

fn rows(values: &str) -> Result<Vec<Row>> {
    let mut rows: Vec<Row> = Vec::new();
    // The names above the present line, and what was said before it.
    let mut above: Vec<&str> = Vec::new();
    let mut said: Option<String> = None;
    // The depth at which a list stands, whose items are one value together.
    let mut list: Option<usize> = None;
    for (index, line) in values.lines().enumerate() {
        let depth = line.len() - line.trim_start().len();
        let line = line.trim();
        if let Some(comment) = line.strip_prefix('#') {
            let comment = comment.trim_start();
            match (comment.strip_prefix("-- "), &mut said) {
                (Some(first), _) => said = Some(first.to_owned()),
                (None, Some(said)) => *said += &format!(" {comment}"),
                (None, None) => {}
            }
            continue;
        }
        if line.is_empty() {
            said = None;
            continue;
        }
        if line.starts_with("- ") {
            list.get_or_insert(depth);
            continue;
        }
        if list.is_some_and(|list| depth > list) {
            continue;
        }
        list = None;
        let Some((name, default)) = line.split_once(':') else {
            anyhow::bail!("values.yaml:{}: neither a value nor a comment", index + 1)
        };
        above.truncate(depth / 2);
        above.push(name);
        let path = above.join(".");
        let default = default.trim().to_owned();
        match said.take() {
            Some(meaning) => rows.push(Row { path, default, meaning }),
            None => ensure!(default.is_empty(), "values.yaml:{}: nobody says what `{path}` is (`# -- …`)", index + 1),
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_with_their_path_default_and_meaning() {
        let text = "# Head.\n\n# -- How\n# many.\na: 3\n\nb:\n  # -- On.\n  c: true\n  d:\n    # -- Text.\n    e: \"\"\n# -- \
                    A list.\nf:\n  - g: 1\n    h: 2\n# -- Last.\ni: {}\n";
        let rows = rows(text).expect("rows");
        let found: Vec<_> =
            rows.iter().map(|row| (row.path.as_str(), row.default.as_str(), row.meaning.as_str())).collect();
        assert_eq!(
            found,
            [
                ("a", "3", "How many."),
                ("b.c", "true", "On."),
                ("b.d.e", "\"\"", "Text."),
                ("f", "", "A list."),
                ("i", "{}", "Last.")
            ]
        );
    }

    #[test]
    fn a_value_that_nobody_explains_is_found() {
        let error = rows("a:\n  b: 1\n").expect_err("no comment");
        assert!(error.to_string().contains("values.yaml:2: nobody says what `a.b` is"), "{error}");
    }
}

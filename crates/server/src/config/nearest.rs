//! The known name that somebody may have meant.
//!
//! Must never be right by force: far from every name it says nothing.

/// The known name nearest to `name`: the same word in another group, else the fewest changed characters.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    let wanted = last(name);
    let measured = known.clone().map(|candidate| (distance(name, candidate), candidate));
    // One mistake in three characters still looks like the word; at least two are forgiven.
    let forgiven = (name.chars().count() / 3).max(2);
    let close = measured.filter(|(distance, _)| *distance <= forgiven).min_by_key(|(distance, _)| *distance);
    close.map(|(_, candidate)| candidate).or_else(|| {
        let mut same_word = known.filter(|candidate| last(candidate) == wanted);
        same_word.next().filter(|_| same_word.next().is_none())
    })
}

/// The edit distance: the fewest characters to insert, delete, replace or swap with their neighbour.
fn distance(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let width = right.len() + 1;
    let mut before_last: Vec<usize> = vec![0; width];
    let mut last: Vec<usize> = (0..width).collect();
    for (row, from) in left.iter().enumerate() {
        let mut current = vec![row + 1; width];
        for (column, to) in right.iter().enumerate() {
            let replaced = last[column] + usize::from(from != to);
            current[column + 1] = replaced.min(last[column + 1] + 1).min(current[column] + 1);
            let swapped = row > 0 && column > 0 && left[row - 1] == *to && *from == right[column - 1];
            if swapped {
                current[column + 1] = current[column + 1].min(before_last[column - 1] + 1);
            }
        }
        before_last = std::mem::replace(&mut last, current);
    }
    last[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (left, right, expected) in [
            ("", "", 0),
            ("a", "", 1),
            ("", "ab", 2),
            ("listen", "listen", 0),
            ("lsiten", "listen", 1),
            ("ab", "cd", 2),
        ] {
            assert_eq!(distance(left, right), expected, "{left} {right}");
        }
    }

    #[test]
    fn the_nearest_name_or_none() {
        let known = ["listen", "ops_listen", "database.url", "redis.url", "auth.token_secret"];
        for (name, expected) in [
            ("lisen", Some("listen")),
            ("databse.url", Some("database.url")),
            ("token_secret", Some("auth.token_secret")),
            ("url", None),
            ("something.else", None),
        ] {
            assert_eq!(nearest(name, known.into_iter()), expected, "{name}");
        }
    }
}

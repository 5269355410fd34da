//! Names that say nothing (DESIGN, names): Manager, Helper, util, info, data, and `get_` before a function.
//!
//! Looks at what the project names itself: types, functions, modules, files. Names that a foreign trait
//! dictates are let through, and so are fields: `data` is one on the wire. Must never look into strings.

use crate::tidy::Violation;
use crate::tidy::syntax::{self, Item, Kind};
use crate::tidy::tree::Tree;

const FORBIDDEN_WORDS: [&str; 8] = ["manager", "managers", "helper", "helpers", "util", "utils", "utility", "info"];

/// Forbidden as what a name ends in, where it stands for the thing itself; a data folder is something.
const EMPTY_NOUN: &str = "data";

/// The types of the wire's field `data` (CONTRACT, events) are called after it.
const WIRE_FIELD_TYPE: &str = "EventData";

/// Every item or file of a forbidden name.
pub(super) fn forbidden(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (path, text) in tree.ending(".rs") {
        for part in path.trim_end_matches(".rs").split('/') {
            if let Some(word) = forbidden_word(part) {
                violations.push(Violation::new(path, 0, format!("`{part}` in the path: `{word}` says nothing")));
            }
        }
        // What does not lex is reported by the length rule.
        let Ok(syntax) = syntax::read(text) else { continue };
        let own = syntax.items.iter().filter(|item| !item.dictated);
        violations.extend(own.filter_map(|item| Some(Violation::new(path, item.line, complaint(item)?))));
    }
    violations
}

fn complaint(item: &Item) -> Option<String> {
    let name = &item.name;
    if item.kind == Kind::Function && name.starts_with("get_") {
        return Some(format!("`{name}`: leave out `get_`"));
    }
    forbidden_word(name).map(|word| format!("`{name}`: `{word}` says nothing; name what it does"))
}

/// The first forbidden word in a name of any case, e.g. `util` in `TimeUtil` and `time_util`.
fn forbidden_word(name: &str) -> Option<&'static str> {
    let words = words(name);
    if words.last().is_some_and(|word| word == EMPTY_NOUN) && !name.ends_with(WIRE_FIELD_TYPE) {
        return Some(EMPTY_NOUN);
    }
    FORBIDDEN_WORDS.into_iter().find(|forbidden| words.iter().any(|word| word == forbidden))
}

/// Splits at everything that is no letter or digit and where a capital follows a small letter.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut after_small = false;
    for character in name.chars() {
        if !character.is_alphanumeric() || (after_small && character.is_uppercase()) {
            words.push(String::new());
        }
        if character.is_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.extend(character.to_lowercase());
        }
        after_small = character.is_lowercase();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(path: &str, text: &str) -> usize {
        forbidden(&Tree::planted(&[(path, text)])).len()
    }

    #[test]
    fn planted_names_are_found() {
        for text in [
            "struct RoomManager;",
            "enum ParseHelper {}",
            "mod util;",
            "fn time_utils() {}",
            "trait NodeInfo {}",
            "fn user_data() {}",
            "impl A { fn get_room(&self) {} }",
            "type RawData = u8;",
        ] {
            assert_eq!(judge("a.rs", text), 1, "{text}");
        }
        assert_eq!(judge("src/util/time.rs", ""), 1);
        assert_eq!(judge("src/time-helper.rs", ""), 1);
    }

    #[test]
    fn honest_names_pass() {
        for text in [
            "struct Metadata;",
            "fn update() { info!(\"x\"); }",
            "struct Event { data: Body }",
            "enum RoomEventData {}",
            "fn data_folder() {}",
            "fn getter() {}",
            "impl Type<Db> for Id { fn type_info() {} }",
            "fn utilisation() {}",
            "fn f() { let info = \"Manager\"; }",
        ] {
            assert_eq!(judge("a.rs", text), 0, "{text}");
        }
    }
}

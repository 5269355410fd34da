//! What the rules need to know of a Rust file, read from its tokens: functions with their lengths, the
//! names of types and modules, the macros that are called.
//!
//! Comments and strings are no tokens, so they cannot be mistaken for code. Works inside of macro calls
//! (`proptest! { fn … }`) too, which a parser of items would step over. Must never hold a rule.

use std::str::FromStr as _;

use proc_macro2::{Delimiter, LexError, TokenStream, TokenTree};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Function,
    Type,
    Module,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) kind: Kind,
    pub(super) name: String,
    /// Where it begins, from 1.
    pub(super) line: usize,
    /// A function's lines from `fn` to its closing brace; 1 for everything else.
    pub(super) lines: usize,
    /// Stands in `impl Trait for …`: the trait chose the name.
    pub(super) dictated: bool,
}

#[derive(Debug, Default)]
pub(super) struct Syntax {
    pub(super) items: Vec<Item>,
    /// Each called macro with its line.
    pub(super) macros: Vec<(String, usize)>,
}

/// Reads a file. Fails when it is not made of Rust tokens.
pub(super) fn read(text: &str) -> Result<Syntax, LexError> {
    let mut syntax = Syntax::default();
    syntax.walk(TokenStream::from_str(text)?, false);
    Ok(syntax)
}

impl Syntax {
    fn walk(&mut self, stream: TokenStream, dictated: bool) {
        let tokens: Vec<TokenTree> = stream.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            at = match &tokens[at] {
                TokenTree::Ident(word) if word == "fn" => self.function(&tokens, at, dictated),
                TokenTree::Ident(word) if word == "impl" => self.implementation(&tokens, at),
                TokenTree::Ident(word) => {
                    self.word(&word.to_string(), &tokens, at, dictated);
                    at + 1
                }
                TokenTree::Group(group) => {
                    self.walk(group.stream(), false);
                    at + 1
                }
                _ => at + 1,
            };
        }
    }

    /// `fn name … { body }` or `fn name … ;`; anything else (`fn(u8)`, `fn $name`) is stepped over.
    fn function(&mut self, tokens: &[TokenTree], at: usize, dictated: bool) -> usize {
        let Some(TokenTree::Ident(name)) = tokens.get(at + 1) else { return at + 1 };
        let Some(end) = end_of_item(tokens, at + 2) else { return at + 2 };
        let line = tokens[at].span().start().line;
        let lines = tokens[end].span().end().line - line + 1;
        self.items.push(Item { kind: Kind::Function, name: name.to_string(), line, lines, dictated });
        if let TokenTree::Group(body) = &tokens[end] {
            self.walk(body.stream(), false);
        }
        end + 1
    }

    fn implementation(&mut self, tokens: &[TokenTree], at: usize) -> usize {
        let Some(end) = end_of_item(tokens, at + 1) else { return at + 1 };
        let TokenTree::Group(body) = &tokens[end] else { return at + 1 };
        let of_trait = (at + 1..end).any(|index| {
            // `for<'a>` binds a lifetime; only a bare `for` stands between a trait and a type.
            is_word(&tokens[index], "for") && !matches!(&tokens[index + 1], TokenTree::Punct(p) if p.as_char() == '<')
        });
        self.walk(body.stream(), of_trait);
        end + 1
    }

    fn word(&mut self, word: &str, tokens: &[TokenTree], at: usize, dictated: bool) {
        let line = tokens[at].span().start().line;
        let kind = match word {
            "struct" | "enum" | "union" | "trait" | "type" => Some(Kind::Type),
            "mod" => Some(Kind::Module),
            _ => None,
        };
        if let (Some(kind), Some(TokenTree::Ident(name))) = (kind, tokens.get(at + 1)) {
            self.items.push(Item { kind, name: name.to_string(), line, lines: 1, dictated });
        }
        let called = matches!(tokens.get(at + 1), Some(TokenTree::Punct(mark)) if mark.as_char() == '!')
            && matches!(tokens.get(at + 2), Some(TokenTree::Group(_)));
        if called {
            self.macros.push((word.to_owned(), line));
        }
    }
}

/// The first `{…}` or `;` from here on.
fn end_of_item(tokens: &[TokenTree], from: usize) -> Option<usize> {
    (from..tokens.len()).find(|&index| match &tokens[index] {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        TokenTree::Punct(mark) => mark.as_char() == ';',
        _ => false,
    })
}

fn is_word(token: &TokenTree, word: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn functions(text: &str) -> Vec<(String, usize, usize, bool)> {
        let syntax = read(text).expect("tokens");
        let functions = syntax.items.into_iter().filter(|item| item.kind == Kind::Function);
        functions.map(|item| (item.name, item.line, item.lines, item.dictated)).collect()
    }

    #[test]
    fn lengths_run_from_fn_to_the_closing_brace() {
        let text = "#[inline]\npub fn one() -> u8\nwhere\n    u8: Copy,\n{\n    1\n}\nfn two() {}\n";
        assert_eq!(functions(text), [("one".into(), 2, 6, false), ("two".into(), 8, 1, false)]);
    }

    #[test]
    fn functions_in_macros_traits_and_functions_are_seen() {
        let text = "proptest! { #[test] fn a(x in 0..9) {\n} }\ntrait T { fn b(&self); }\nfn c() { fn d() {} }\n";
        let names: Vec<String> = functions(text).into_iter().map(|(name, ..)| name).collect();
        assert_eq!(names, ["a", "b", "c", "d"]);
    }

    #[test]
    fn only_an_implementation_of_a_trait_dictates_names() {
        let text = "impl<T> A<T> where for<'a> T: Fn(&'a u8) { fn own(&self) {} }\nimpl T for A { fn theirs() {} }\n";
        let dictated: Vec<bool> = functions(text).into_iter().map(|(.., dictated)| dictated).collect();
        assert_eq!(dictated, [false, true]);
    }

    #[test]
    fn an_opaque_return_type_is_no_implementation() {
        let text = "impl A { fn f() -> impl Fn() { || {} } fn g() {} }";
        assert_eq!(functions(text).len(), 2);
    }

    #[test]
    fn macro_calls_are_told_from_comparisons_comments_and_strings() {
        let syntax = read("// dbg!(1)\nfn f() { println!(\"dbg!(2)\"); a != (b); not!{} }").expect("tokens");
        let names: Vec<&str> = syntax.macros.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["println", "not"]);
    }
}

//! What a request to a debug page asks for: its parameters, each taken once.
//!
//! Must never pass over a parameter in silence: what nobody took is refused by its name.

use std::str::FromStr;

use hubbub_protocol::Refusal;

/// Most parameters; no page has as many.
const PARAMETERS_MAX: usize = 8;

/// Rows of a list where no `limit` is given.
const LIMIT_DEFAULT: usize = 100;

/// Most rows of any list; a larger `limit` is cut to it.
pub(super) const ROWS_MAX: usize = 1_000;

/// The parameters of a query that nobody has taken yet.
pub(super) struct Asked(Vec<(String, String)>);

impl Asked {
    /// Those of a query string.
    ///
    /// # Errors
    /// 10003 for one that stands twice, for too many, and for one that is no UTF-8.
    pub(super) fn of(query: Option<&str>) -> Result<Self, Refusal> {
        let mut parameters: Vec<(String, String)> = Vec::new();
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decode(name)?, decode(value)?);
            if parameters.len() >= PARAMETERS_MAX {
                return Err(Refusal::field(name, format!("a query has at most {PARAMETERS_MAX} parameters")));
            }
            if parameters.iter().any(|(known, _)| *known == name) {
                return Err(Refusal::field(name, "each parameter stands once"));
            }
            parameters.push((name, value));
        }
        Ok(Self(parameters))
    }

    /// Refuses every parameter of a page that takes none.
    pub(super) fn nothing(query: Option<&str>) -> Result<(), Refusal> {
        Self::of(query)?.end()
    }

    /// Takes a parameter as it stands.
    fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.swap_remove(at).1)
    }

    /// Takes a parameter that is something by its text.
    ///
    /// # Errors
    /// 10003 with `rule` when it is not.
    pub(super) fn parsed<T: FromStr>(&mut self, name: &str, rule: &'static str) -> Result<Option<T>, Refusal> {
        self.take(name).map(|text| text.parse().map_err(|_| Refusal::field(name, rule))).transpose()
    }

    /// Takes one of a few words; the first of them where it is not given.
    ///
    /// # Errors
    /// 10003 for another one.
    pub(super) fn word<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> Result<T, Refusal> {
        let given = self.take(name);
        let wanted = given.as_deref().unwrap_or(words.first().map_or("", |(word, _)| *word));
        words.iter().find(|(word, _)| *word == wanted).map(|(_, meaning)| *meaning).ok_or_else(|| {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            Refusal::field(name, format!("one of {}", known.join(", ")))
        })
    }

    /// Takes `limit`, cut to [`ROWS_MAX`].
    ///
    /// # Errors
    /// 10003 for 0 and for what is no number.
    pub(super) fn limit(&mut self) -> Result<usize, Refusal> {
        let rule = "a number of rows from 1 on";
        match self.parsed("limit", rule)? {
            Some(0) => Err(Refusal::field("limit", rule)),
            given => Ok(given.unwrap_or(LIMIT_DEFAULT).min(ROWS_MAX)),
        }
    }

    /// The end: whatever is left over was not asked of this page.
    ///
    /// # Errors
    /// 10003 with its name.
    pub(super) fn end(self) -> Result<(), Refusal> {
        match self.0.into_iter().next() {
            Some((name, _)) => Err(Refusal::field(name, "this page has no such parameter; see docs/debugging.md")),
            None => Ok(()),
        }
    }
}

fn decode(text: &str) -> Result<String, Refusal> {
    let text = text.replace('+', " ");
    let decoded = percent_encoding::percent_decode_str(&text).decode_utf8();
    decoded.map(String::from).map_err(|_| Refusal::field("query", "not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_parameter_is_taken_once_and_none_is_passed_over() {
        let mut asked = Asked::of(Some("limit=5000&user=a%20b+c&sort=age&&more")).unwrap();
        assert_eq!(asked.limit().unwrap(), ROWS_MAX);
        assert_eq!(asked.limit().unwrap(), LIMIT_DEFAULT, "taken");
        assert_eq!(asked.parsed::<String>("user", "").unwrap().as_deref(), Some("a b c"));
        assert_eq!(asked.word("sort", &[("bytes", 1), ("age", 2)]).unwrap(), 2);
        assert_eq!(asked.word("sort", &[("bytes", 1), ("age", 2)]).unwrap(), 1, "the first is the default");
        assert_eq!(asked.end().unwrap_err().field.as_deref(), Some("more"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let field = |refusal: Refusal| refusal.field.unwrap_or_default();
        assert_eq!(field(Asked::of(Some("a=1&a=2")).err().unwrap()), "a");
        assert_eq!(field(Asked::of(Some("a&b&c&d&e&f&g&h&i")).err().unwrap()), "i");
        assert_eq!(field(Asked::of(Some("a=%ff")).err().unwrap()), "query");
        assert_eq!(field(Asked::nothing(Some("x=1")).unwrap_err()), "x");
        for query in ["limit=0", "limit=-1", "limit=x", "limit="] {
            assert_eq!(field(Asked::of(Some(query)).unwrap().limit().unwrap_err()), "limit", "{query}");
        }
        let refusal = Asked::of(Some("sort=size")).unwrap().word("sort", &[("age", ()), ("bytes", ())]).unwrap_err();
        assert_eq!((field(refusal.clone()), refusal.message), ("sort".to_owned(), "one of age, bytes".to_owned()));
    }
}

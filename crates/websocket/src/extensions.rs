//! Owns the grammar of `Sec-WebSocket-Extensions` (RFC 6455 §9.1). It must never know what an extension means.

use std::borrow::Cow;

/// The most extensions read from one header and parameters read from one extension. Browsers send one with two; past the bound
/// a header counts as broken, so that a hostile one costs nothing.
const ELEMENTS_MAX: usize = 64;

/// One extension as offered: its name and its parameters in order, values unquoted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Offer<'h> {
    pub(crate) name: &'h str,
    pub(crate) parameters: Vec<(&'h str, Option<Cow<'h, str>>)>,
}

/// All offers of a header value; `None` when it breaks the grammar anywhere, for then no boundary in it can be trusted.
pub(crate) fn parse_offers(header: &str) -> Option<Vec<Offer<'_>>> {
    let mut scanner = Scanner { rest: header };
    let mut offers = Vec::new();
    loop {
        scanner.skip_space();
        // RFC 9110 §5.6.1: empty list elements are legal to receive.
        if !scanner.rest.is_empty() && !scanner.rest.starts_with(',') {
            if offers.len() == ELEMENTS_MAX {
                return None;
            }
            offers.push(scanner.offer()?);
        }
        if scanner.rest.is_empty() {
            return Some(offers);
        }
        scanner.take(',').then_some(())?;
    }
}

struct Scanner<'h> {
    rest: &'h str,
}

impl<'h> Scanner<'h> {
    /// `extension = extension-token *( ";" extension-param )`
    fn offer(&mut self) -> Option<Offer<'h>> {
        let name = self.token()?;
        let mut parameters = Vec::new();
        self.skip_space();
        while self.take(';') {
            if parameters.len() == ELEMENTS_MAX {
                return None;
            }
            self.skip_space();
            parameters.push(self.parameter()?);
            self.skip_space();
        }
        Some(Offer { name, parameters })
    }

    /// `extension-param = token [ "=" (token | quoted-string) ]`; a quoted value must be a token once unquoted.
    fn parameter(&mut self) -> Option<(&'h str, Option<Cow<'h, str>>)> {
        let name = self.token()?;
        self.skip_space();
        if !self.take('=') {
            return Some((name, None));
        }
        self.skip_space();
        let value = if self.take('"') { self.quoted()? } else { Cow::Borrowed(self.token()?) };
        Some((name, Some(value)))
    }

    fn token(&mut self) -> Option<&'h str> {
        let end = self.rest.bytes().position(|byte| !is_token_byte(byte)).unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at(end);
        self.rest = rest;
        (!token.is_empty()).then_some(token)
    }

    /// The rest of a quoted-string behind its opening quote. Only token bytes are let through, so bytes are characters.
    fn quoted(&mut self) -> Option<Cow<'h, str>> {
        let end = self.rest.bytes().position(|byte| !is_token_byte(byte))?;
        if end > 0 && self.rest.as_bytes()[end] == b'"' {
            let (value, rest) = self.rest.split_at(end);
            self.rest = &rest[1..];
            return Some(Cow::Borrowed(value));
        }
        let mut value = String::new();
        let mut bytes = self.rest.bytes().enumerate();
        while let Some((at, byte)) = bytes.next() {
            let byte = match byte {
                b'"' => {
                    self.rest = &self.rest[at + 1..];
                    return (!value.is_empty()).then_some(Cow::Owned(value));
                }
                b'\\' => bytes.next()?.1,
                byte => byte,
            };
            is_token_byte(byte).then(|| value.push(char::from(byte)))?;
        }
        None
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }

    fn take(&mut self, expected: char) -> bool {
        let rest = self.rest.strip_prefix(expected);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }
}

/// `tchar` of RFC 9110 §5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

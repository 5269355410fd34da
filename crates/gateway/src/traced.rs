//! What the spans of commands and requests say, and where a request names its trace.
//!
//! Must never tell anything that a client wrote.

use http::{HeaderMap, Method};
use hubbub_protocol::frame::TRACEPARENT;
use hubbub_protocol::{ErrorCode, Refusal, TraceContext, WireError};
use hubbub_trace::Span;

/// What a request turned out to be, beside its response.
#[derive(Clone, Copy)]
pub(crate) struct Answered {
    /// The command.
    pub cmd: &'static str,
    /// The rule that refused it.
    pub refused: Option<ErrorCode>,
}

/// The trace that a request names. Two of them are none (W3C Trace Context, §3.2).
pub(crate) fn given(headers: &HeaderMap) -> Option<TraceContext> {
    let mut values = headers.get_all(TRACEPARENT).iter();
    let value = values.next()?.to_str().ok()?;
    if values.next().is_some() { None } else { TraceContext::parse(value) }
}

/// A refusal as the client gets it, with the trace of the command that it answers.
pub(crate) fn to_wire(refusal: &Refusal) -> WireError {
    refusal.to_wire_within(hubbub_trace::id)
}

/// The name of a code of ours (90xxx); a refusal by a rule is no failure.
pub(crate) fn failure(code: Option<ErrorCode>) -> Option<&'static str> {
    code.filter(|code| code.http_status() >= 500).map(ErrorCode::name)
}

/// Notes the rule that refused.
pub(crate) fn note_refusal(span: &mut Span, code: Option<ErrorCode>) {
    if let Some(code) = code {
        span.set("hubbub.error_code", u64::from(code.code()));
        span.set("hubbub.error", code.name());
    }
}

/// The name of a method that anything here takes.
pub(crate) fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        // A client may make up methods; they are no attributes.
        _ => "_OTHER",
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn one_header_names_the_trace_and_two_name_none() {
        let mut headers = HeaderMap::new();
        assert_eq!(given(&headers), None);
        let trace = TraceContext::new_root(true);
        let value = HeaderValue::from_str(&trace.to_string()).unwrap();
        headers.append(TRACEPARENT, value.clone());
        assert_eq!(given(&headers), Some(trace));
        headers.append(TRACEPARENT, value);
        assert_eq!(given(&headers), None);
        headers.insert(TRACEPARENT, HeaderValue::from_static("00-x"));
        assert_eq!(given(&headers), None);
    }

    #[test]
    fn only_our_own_faults_are_failures() {
        assert_eq!(failure(Some(ErrorCode::Unavailable)), Some("unavailable"));
        assert_eq!(failure(Some(ErrorCode::RateLimited)), None);
        assert_eq!(failure(None), None);
    }
}

//! What to do when a connection has ended or could not be made: one table, after CONTRACT §3 and §5.
//!
//! Must never wait, dial or draw random numbers itself.

use std::time::Duration;

use hubbub_protocol::{CloseCode, ErrorCode, WireError};

use crate::error::CloseReason;

/// After a broken rate or policy (1008) the window of ten seconds must pass first.
const POLICY_FLOOR: Duration = Duration::from_secs(10);
/// An overloaded node (1013) is left alone for so long.
const OVERLOAD_FLOOR: Duration = Duration::from_secs(2);
/// No server makes a client wait longer than this, whatever it says.
const SERVER_WAIT_MAX: Duration = Duration::from_secs(300);

/// How an attempt or a connection ended.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum End {
    /// The server closed. `announced` is the wait of `session.closing`.
    Closed { code: u16, reason: String, announced: Option<Duration> },
    /// Cut, mute, unreadable: the reason for people.
    Lost(String),
    /// Login or handshake refused by HTTP status, with the error when there was one.
    Refused { status: u16, error: Option<Box<WireError>>, retry_after: Option<Duration> },
    /// The certificate is not trusted.
    Certificate(String),
    /// What answered is no Hubbub node.
    NotHubbub(String),
    /// The caller's token source had none for the moment.
    NoToken(String),
    /// The caller closes.
    ByCaller,
}

/// What follows from an end.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Decision {
    /// No retry helps.
    Stop(CloseReason),
    /// Try again: after the jittered backoff, and not before `floor`.
    Retry { floor: Duration, cause: String, new_token: bool },
    /// Try again after just this time: the server has spread its clients already.
    RetryAfter { wait: Duration, cause: String },
}

/// What the decision depends on beside the end itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    /// A new token can be had.
    pub(crate) renewable: bool,
    /// The token that was refused was new in this attempt, so another new one will not help.
    pub(crate) fresh_token: bool,
    /// The client has been online before, so that address and certificate are known to work.
    pub(crate) proven: bool,
}

/// Decides what follows from `end`.
pub(crate) fn decide(end: End, standing: Standing) -> Decision {
    let retry = |cause| Decision::Retry { floor: Duration::ZERO, cause, new_token: false };
    match end {
        End::ByCaller => Decision::Stop(CloseReason::ByCaller),
        End::Closed { code, reason, announced } => closed(code, reason, announced, standing),
        End::Lost(cause) | End::NoToken(cause) => retry(cause),
        End::Refused { status, error, retry_after } => refused(status, error, retry_after, standing),
        End::Certificate(cause) if !standing.proven => Decision::Stop(CloseReason::Certificate(cause)),
        End::NotHubbub(cause) if !standing.proven => Decision::Stop(CloseReason::NotHubbub(cause)),
        // It has worked before: a balancer or a certificate in the middle of a change.
        End::Certificate(cause) | End::NotHubbub(cause) => retry(cause),
    }
}

fn closed(code: u16, reason: String, announced: Option<Duration>, standing: Standing) -> Decision {
    let known = CloseCode::ALL.iter().find(|known| known.code() == code);
    let reason = known.map_or(reason, |known| known.name().to_owned());
    if !CloseCode::may_reconnect(code) {
        let expired = code == CloseCode::TokenExpired.code();
        // A token may end or be refused while another can be had; a revoked session or a banned user may not.
        let identity = expired || code == CloseCode::Unauthenticated.code();
        if standing.renewable && (expired || (identity && !standing.fresh_token)) {
            return Decision::Retry { floor: Duration::ZERO, cause: reason, new_token: true };
        }
        return Decision::Stop(CloseReason::Server { code, reason });
    }
    if let Some(wait) = announced {
        return Decision::RetryAfter { wait: wait.min(SERVER_WAIT_MAX), cause: reason };
    }
    let floor = match known {
        Some(CloseCode::Policy) => POLICY_FLOOR,
        Some(CloseCode::TryLater) => OVERLOAD_FLOOR,
        _ => Duration::ZERO,
    };
    Decision::Retry { floor, cause: reason, new_token: false }
}

fn refused(status: u16, error: Option<Box<WireError>>, retry_after: Option<Duration>, standing: Standing) -> Decision {
    let cause = error.as_ref().map_or_else(|| format!("HTTP status {status}"), |error| error.name.clone());
    // Behind a balancer without nodes the error has no body, only a status.
    if matches!(status, 408 | 425 | 429 | 500..) || error.as_ref().is_some_and(|error| error.retry) {
        let floor = retry_after.unwrap_or_default().min(SERVER_WAIT_MAX);
        return Decision::Retry { floor, cause, new_token: false };
    }
    let identity = matches!(
        error.as_ref().and_then(|error| ErrorCode::from_code(error.code)),
        Some(ErrorCode::TokenInvalid | ErrorCode::TokenExpired | ErrorCode::Unauthenticated)
    );
    if standing.renewable && !standing.fresh_token && identity {
        return Decision::Retry { floor: Duration::ZERO, cause, new_token: true };
    }
    match error {
        Some(error) => Decision::Stop(CloseReason::Refused(error)),
        None if standing.proven => Decision::Retry { floor: Duration::ZERO, cause, new_token: false },
        None => Decision::Stop(CloseReason::NotHubbub(cause)),
    }
}

#[cfg(test)]
mod tests {
    use hubbub_protocol::Refusal;

    use super::*;

    const KNOWN: Standing = Standing { renewable: false, fresh_token: false, proven: true };
    const NEW: Standing = Standing { renewable: false, fresh_token: true, proven: false };
    const RENEWABLE: Standing = Standing { renewable: true, fresh_token: false, proven: true };

    fn close(code: u16, standing: Standing) -> Decision {
        decide(End::Closed { code, reason: String::new(), announced: None }, standing)
    }

    fn http(code: ErrorCode, standing: Standing) -> Decision {
        let error = Some(Box::new(Refusal::new(code).to_wire()));
        decide(End::Refused { status: code.http_status(), error, retry_after: None }, standing)
    }

    const fn stops(decision: &Decision) -> bool {
        matches!(decision, Decision::Stop(_))
    }

    #[test]
    fn close_codes_from_4500_to_4999_end_the_client_and_no_other_does() {
        for code in (1000..=1015).chain(3000..5000) {
            assert_eq!(stops(&close(code, KNOWN)), (4500..=4999).contains(&code), "{code}");
        }
    }

    #[test]
    fn an_expired_token_ends_only_those_who_have_no_other() {
        assert!(matches!(close(4502, RENEWABLE), Decision::Retry { new_token: true, .. }));
        assert!(stops(&close(4502, KNOWN)));
        for code in [4501, 4503, 4504] {
            assert!(stops(&close(code, RENEWABLE)), "{code}");
        }
        assert!(stops(&close(4500, Standing { fresh_token: true, ..RENEWABLE })), "a new token was refused");
    }

    #[test]
    fn an_announced_wait_is_kept_and_bounded() {
        let announced =
            |ms| End::Closed { code: 1012, reason: String::new(), announced: Some(Duration::from_millis(ms)) };
        let wait = |ms| match decide(announced(ms), KNOWN) {
            Decision::RetryAfter { wait, .. } => wait,
            other => panic!("{other:?}"),
        };
        assert_eq!(wait(700), Duration::from_millis(700));
        assert_eq!(wait(u64::MAX), SERVER_WAIT_MAX);
    }

    #[test]
    fn policy_and_overload_wait_longer() {
        for (code, expected) in [(1008, POLICY_FLOOR), (1013, OVERLOAD_FLOOR), (4000, Duration::ZERO)] {
            assert!(matches!(close(code, KNOWN), Decision::Retry { floor, .. } if floor == expected), "{code}");
        }
    }

    #[test]
    fn refusals_follow_the_error_then_the_status() {
        assert!(stops(&http(ErrorCode::CredentialsWrong, RENEWABLE)));
        assert!(stops(&http(ErrorCode::TokenInvalid, KNOWN)));
        assert!(matches!(http(ErrorCode::TokenExpired, RENEWABLE), Decision::Retry { new_token: true, .. }));
        assert!(stops(&http(ErrorCode::TokenExpired, Standing { fresh_token: true, ..RENEWABLE })));
        for code in [ErrorCode::TooManyConnections, ErrorCode::Overloaded, ErrorCode::RateLimited] {
            assert!(!stops(&http(code, NEW)), "{code:?}");
        }
        let bare = |status, standing| decide(End::Refused { status, error: None, retry_after: None }, standing);
        assert!(stops(&bare(404, NEW)), "the first address may be wrong");
        assert!(!stops(&bare(404, KNOWN)) && !stops(&bare(502, NEW)));
    }

    #[test]
    fn an_untrusted_certificate_stops_a_client_that_never_got_through() {
        assert!(stops(&decide(End::Certificate("self-signed".into()), NEW)));
        assert!(!stops(&decide(End::Certificate("self-signed".into()), KNOWN)));
    }
}

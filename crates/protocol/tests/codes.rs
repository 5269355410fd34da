//! The tables of error and close codes are append-only: programs of other people rely on them.
//!
//! A change of a line in `tests/snapshots/` that is not a new line breaks those programs.

use std::fmt::Write as _;

use hubbub_protocol::{CloseCode, ErrorCode};

#[test]
fn error_codes_only_grow() {
    let table = ErrorCode::ALL.iter().fold(String::new(), |mut table, code| {
        let retry = if code.retry() { "retry" } else { "final" };
        writeln!(table, "{} {} http {} {retry}", code.code(), code.name(), code.http_status()).unwrap();
        table
    });
    insta::assert_snapshot!("error_codes", table);
}

#[test]
fn close_codes_only_grow() {
    let table = CloseCode::ALL.iter().fold(String::new(), |mut table, code| {
        let policy = if CloseCode::may_reconnect(code.code()) { "reconnect" } else { "stay away" };
        writeln!(table, "{} {} {policy}", code.code(), code.name()).unwrap();
        table
    });
    insta::assert_snapshot!("close_codes", table);
}

#[test]
fn codes_and_names_are_unique() {
    let numbers: std::collections::BTreeSet<_> = ErrorCode::ALL.iter().map(|code| code.code()).collect();
    let names: std::collections::BTreeSet<_> = ErrorCode::ALL.iter().map(|code| code.name()).collect();
    assert_eq!((numbers.len(), names.len()), (ErrorCode::ALL.len(), ErrorCode::ALL.len()));
    let closes: std::collections::BTreeSet<_> = CloseCode::ALL.iter().map(|code| code.code()).collect();
    assert_eq!(closes.len(), CloseCode::ALL.len());
    for &code in ErrorCode::ALL {
        assert_eq!(ErrorCode::from_code(code.code()), Some(code));
    }
    assert_eq!(ErrorCode::from_code(10_000), None);
}

/// CONTRACT §3 gives the HTTP status by the range of the code.
#[test]
fn http_statuses_follow_the_contract() {
    for code in ErrorCode::ALL {
        let expected = match (code.code() / 1_000, code.code()) {
            (_, 10_004) => 413,
            (10, _) => 400,
            (_, 20_004 | 20_007) => 403,
            (20, _) => 401,
            (_, 30_001 | 30_003) => 404,
            (_, 30_002) => 403,
            (_, 30_004 | 30_005) => 409,
            (40, _) => 429,
            (_, 90_002 | 90_003) => 503,
            _ => 500,
        };
        assert_eq!(code.http_status(), expected, "{}", code.name());
    }
}

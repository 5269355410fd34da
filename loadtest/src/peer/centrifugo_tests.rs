//! The frames of Centrifugo, as they go over the wire.

use super::super::testing::{ask, open, receive, told};
use super::*;

fn dialogue(token: &str) -> CentrifugoDialogue {
    CentrifugoDialogue::new(&Arc::new(Shared::new("r")), token)
}

fn again(dialogue: &CentrifugoDialogue) -> CentrifugoDialogue {
    CentrifugoDialogue::new(&dialogue.shared, "")
}

#[test]
fn connects_with_and_without_a_token() {
    assert_eq!(open(&mut dialogue("")).0.texts(), [r#"{"id":1,"connect":{}}"#]);
    let mut dialogue = dialogue("abc");
    assert_eq!(open(&mut dialogue).0.texts(), [r#"{"id":1,"connect":{"token":"abc"}}"#]);
    let ready = r#"{"id":1,"connect":{"client":"a9","version":"6.9.1","ping":25,"pong":true}}"#;
    assert_eq!(told(&mut dialogue, ready), ["Ready"]);
    let refused = r#"{"id":1,"error":{"code":109,"message":"token expired"}}"#;
    assert_eq!(told(&mut dialogue, refused), [r#"Failed { code: "109" }"#]);
}

#[test]
fn pings_are_answered_when_the_server_wants_that() {
    let mut dialogue = dialogue("");
    told(&mut dialogue, r#"{"id":1,"connect":{"ping":25,"pong":true}}"#);
    assert_eq!(receive(&mut dialogue, Message::Text(b"{}")).1.texts(), ["{}"]);
    told(&mut dialogue, r#"{"id":1,"connect":{"ping":25}}"#);
    assert!(receive(&mut dialogue, Message::Text(b"{}")).1.0.is_empty());
}

#[test]
fn publishes_and_is_acked_or_refused() {
    let mut dialogue = dialogue("");
    let (asked, sent) = ask(&mut dialogue, 3, &Ask::Send { room: 7, body: "hl.1", key: "k" });
    let publish = r#"{"id":4,"publish":{"channel":"r-7","data":{"body":"hl.1"}}}"#;
    assert_eq!((asked, sent.texts()), (Asked::Waiting, vec![publish]));
    let acked =
        "{\"id\":4,\"publish\":{}}\n{\"id\":5,\"error\":{\"code\":100,\"message\":\"internal\",\"temporary\":true}}\n";
    assert_eq!(
        told(&mut dialogue, acked),
        [
            "Done { id: 3, head: 0, gap: None }",
            r#"Refused { id: 4, code: "100", is_retryable: true, retry_after_ms: 0 }"#
        ]
    );
}

#[test]
fn deliveries_are_told_line_by_line_with_their_offset() {
    let mut dialogue = dialogue("");
    let first =
        r#"{"push":{"channel":"r-7","pub":{"data":{"body":"hl.1"},"info":{"user":"","client":"a9"},"offset":41}}}"#;
    let second = r#"{"push":{"channel":"r-7","pub":{"data":{"body":"hl.2"}}}}"#;
    let frame = format!("{first}\n{second}\n{{\"push\":{{\"channel\":\"r-7\",\"join\":{{\"info\":{{}}}}}}}}");
    assert_eq!(told(&mut dialogue, &frame), [format!("message 41 {first}"), format!("message 0 {second}")]);
    // In another order of the fields it is decoded.
    let strange = r#"{"push":{"pub":{"offset":9,"data":{"body":"hl.3"}},"channel":"r-7"}}"#;
    assert_eq!(told(&mut dialogue, strange), [r#"message 9 {"body":"hl.3"}"#]);
}

#[test]
fn follows_again_with_the_epoch_that_another_connection_learnt() {
    let mut first = dialogue("");
    let (_, sent) = ask(&mut first, 1, &Ask::Subscribe { room: 7, after: Some(40) });
    assert_eq!(sent.texts(), [r#"{"id":2,"subscribe":{"channel":"r-7"}}"#], "nobody knows an epoch yet");
    let answer = r#"{"id":2,"subscribe":{"recoverable":true,"epoch":"ABCD","offset":40,"positioned":true}}"#;
    assert_eq!(told(&mut first, answer), ["Done { id: 1, head: 40, gap: None }"]);

    let mut second = again(&first);
    let (_, sent) = ask(&mut second, 1, &Ask::Subscribe { room: 7, after: Some(40) });
    let recover = r#"{"id":2,"subscribe":{"channel":"r-7","recover":true,"epoch":"ABCD","offset":40}}"#;
    assert_eq!(sent.texts(), [recover]);
    let answer = concat!(
        r#"{"id":2,"subscribe":{"recoverable":true,"epoch":"ABCD","publications":["#,
        r#"{"data":{"body":"hl.1"},"offset":41}],"recovered":true,"offset":40,"positioned":true,"was_recovering":true}}"#
    );
    let replayed = ["Done { id: 1, head: 41, gap: None }", r#"message 41 {"body":"hl.1"}"#];
    assert_eq!(told(&mut second, answer), replayed);
}

#[test]
fn a_stream_that_was_begun_anew_is_said() {
    let mut dialogue = dialogue("");
    ask(&mut dialogue, 1, &Ask::Subscribe { room: 7, after: None });
    told(&mut dialogue, r#"{"id":2,"subscribe":{"recoverable":true,"epoch":"sGfdpawD","positioned":true}}"#);
    ask(&mut dialogue, 2, &Ask::Subscribe { room: 7, after: Some(9) });
    let answer =
        r#"{"id":3,"subscribe":{"recoverable":true,"epoch":"gqCWexkn","positioned":true,"was_recovering":true}}"#;
    let reset = ["Done { id: 2, head: 0, gap: None }", r#"Failed { code: "reset" }"#];
    assert_eq!(told(&mut dialogue, answer), reset);
}

/// The answer to five commands in one frame, as version 6.9.1 wrote it.
#[test]
fn a_frame_of_a_real_server() {
    let mut dialogue = dialogue("");
    ask(&mut dialogue, 1, &Ask::Subscribe { room: 7, after: None });
    let push = concat!(
        r#"{"push":{"channel":"r-7","pub":{"data":{"body":"hl.1"},"info":{"user":"","#,
        r#""client":"31a19271-2026-458a-9821-ed6c7f250eea"},"offset":1,"epoch":"sGfdpawD"}}}"#
    );
    let page = concat!(
        r#"{"id":5,"history":{"publications":[{"data":{"body":"hl.1"},"info":{"user":"","#,
        r#""client":"31a19271-2026-458a-9821-ed6c7f250eea"},"offset":1}],"epoch":"sGfdpawD","offset":1}}"#
    );
    let frame = [
        r#"{"id":1,"connect":{"client":"31a1","version":"6.9.1 OSS","ping":25,"pong":true}}"#,
        r#"{"id":2,"subscribe":{"recoverable":true,"epoch":"sGfdpawD","positioned":true}}"#,
        push,
        r#"{"id":3,"publish":{}}"#,
        page,
    ];
    let done = |id| format!("Done {{ id: {id}, head: 0, gap: None }}");
    let expected = ["Ready".to_owned(), done(1), format!("message 1 {push}"), done(2), done(4)];
    assert_eq!(told(&mut dialogue, &frame.join("\n")), expected);
}

#[test]
fn what_cannot_be_recovered_is_a_gap() {
    let mut dialogue = dialogue("");
    ask(&mut dialogue, 1, &Ask::Subscribe { room: 7, after: Some(3) });
    let answer = r#"{"id":2,"subscribe":{"recoverable":true,"epoch":"E","offset":90,"was_recovering":true}}"#;
    assert_eq!(told(&mut dialogue, answer), ["Done { id: 1, head: 90, gap: Some((4, 90)) }"]);
}

#[test]
fn history_is_known_when_a_channel_said_so() {
    let peer = Centrifugo { shared: Arc::new(Shared::new("r")) };
    assert!(!peer.has_history());
    let mut dialogue = peer.dialogue("");
    ask(&mut *dialogue, 1, &Ask::Subscribe { room: 7, after: None });
    told(&mut *dialogue, r#"{"id":2,"subscribe":{"recoverable":true,"epoch":"E"}}"#);
    assert!(peer.has_history());
    let (_, sent) = ask(&mut *dialogue, 2, &Ask::Page { room: 7, before: Some(50) });
    let since = r#"{"id":3,"history":{"channel":"r-7","limit":50,"reverse":true,"since":{"offset":50,"epoch":"E"}}}"#;
    assert_eq!(sent.texts(), [since]);
}

#[test]
fn ends_are_told() {
    let mut dialogue = dialogue("");
    let shutdown = r#"{"push":{"disconnect":{"code":3001,"reason":"shutdown","reconnect":true}}}"#;
    assert_eq!(told(&mut dialogue, shutdown), ["Closing { retry_after_ms: 0 }"]);
    let over = r#"{"push":{"channel":"r-7","unsubscribe":{"code":2500,"reason":"insufficient state"}}}"#;
    assert_eq!(told(&mut dialogue, over), [r#"Failed { code: "2500" }"#]);
    assert_eq!(told(&mut dialogue, "no JSON"), [r#"Failed { code: "unreadable" }"#]);
}

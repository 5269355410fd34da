//! Offers of permessage-deflate (RFC 7692 §5, §7.1) and the key of the handshake (RFC 6455 §4.2).

use hubbub_websocket::handshake::{accept_key, key_is_valid, negotiate_deflate, version_is_supported};

const PLAIN: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

/// The window agreed on for each list of headers.
fn agreed(headers: &[&str]) -> Option<u8> {
    let agreement = negotiate_deflate(headers.iter().copied())?;
    let expected = match agreement.server_max_window_bits {
        15 if !agreement.response_header.contains("bits") => PLAIN.to_owned(),
        bits => format!("{PLAIN}; server_max_window_bits={bits}"),
    };
    assert_eq!(agreement.response_header, expected);
    Some(agreement.server_max_window_bits)
}

#[test]
fn legal_offers() {
    for offer in [
        "permessage-deflate",
        " permessage-deflate ",
        "permessage-deflate;server_no_context_takeover",
        "permessage-deflate; client_no_context_takeover",
        "permessage-deflate; client_max_window_bits",
        "permessage-deflate; client_max_window_bits=8",
        "permessage-deflate; client_max_window_bits=\"15\"",
        "permessage-deflate\t;\tclient_max_window_bits = 10",
        "permessage-deflate; client_no_context_takeover; server_no_context_takeover; client_max_window_bits",
        "permessage-deflate; server_max_window_bits=15",
        "permessage-deflate; server_max_window_bits=\"1\\5\"",
        ", ,permessage-deflate,,",
        "x-webkit-deflate-frame, permessage-deflate; client_max_window_bits",
    ] {
        assert_eq!(agreed(&[offer]), Some(15), "{offer}");
    }
    for bits in 8..=15 {
        assert_eq!(agreed(&[&format!("permessage-deflate; server_max_window_bits={bits}")]), Some(bits));
        assert_eq!(agreed(&[&format!("permessage-deflate; server_max_window_bits=\"{bits}\"")]), Some(bits));
    }
}

#[test]
fn declined_offers() {
    for offer in [
        "",
        "permessage-bzip2",
        "Permessage-Deflate",
        "permessage-deflate; unknown",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; client_no_context_takeover=\"true\"",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=7",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits=08",
        "permessage-deflate; server_max_window_bits=+9",
        "permessage-deflate; server_max_window_bits=1000000000000000000000",
        "permessage-deflate; client_max_window_bits=7",
        "permessage-deflate; client_max_window_bits=015",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
        "permessage-deflate; client_max_window_bits; client_max_window_bits=9",
        "permessage-deflate; server_max_window_bits=9; server_max_window_bits=9",
    ] {
        assert_eq!(agreed(&[offer]), None, "{offer}");
    }
}

#[test]
fn headers_that_break_the_grammar() {
    for header in [
        "permessage-deflate; server_max_window_bits=",
        "permessage-deflate; server_max_window_bits=\"10",
        "permessage-deflate; server_max_window_bits=\"\"",
        "permessage-deflate; server_max_window_bits=\"1 0\"",
        "permessage-deflate; server_max_window_bits=\"1\u{e9}\"",
        "permessage-deflate; client_max_window_bits=\"10\\",
        "permessage-deflate;",
        "permessage-deflate; =9",
        "permessage-deflate server_no_context_takeover",
        "permessage-deflate; a b",
        "permessage-deflate, b@d",
        "permessage-d\u{e9}flate",
        ";",
    ] {
        assert_eq!(agreed(&[header]), None, "{header}");
        // One broken header does not spoil the next.
        assert_eq!(agreed(&[header, "permessage-deflate"]), Some(15), "{header}");
    }
    let endless = "a,".repeat(10_000);
    assert_eq!(agreed(&[&endless]), None);
}

#[test]
fn the_first_acceptable_offer_wins() {
    let first_declined = "permessage-deflate; server_max_window_bits=7, permessage-deflate; server_max_window_bits=10, permessage-deflate";
    assert_eq!(agreed(&[first_declined]), Some(10));
    assert_eq!(agreed(&["permessage-deflate; no=\"a,b;c\", permessage-deflate; server_max_window_bits=11"]), None);
    assert_eq!(agreed(&["permessage-deflate; no=ab, permessage-deflate; server_max_window_bits=11"]), Some(11));
    assert_eq!(agreed(&["foo", "permessage-deflate; x", "permessage-deflate; server_max_window_bits=12"]), Some(12));
    assert_eq!(agreed(&[]), None);
}

#[test]
fn which_messages_a_small_window_admits() {
    let agreement = |bits: u8| {
        let offer = format!("permessage-deflate; server_max_window_bits={bits}");
        negotiate_deflate([offer.as_str()]).expect("legal")
    };
    assert!(agreement(15).admits(usize::MAX));
    assert!(agreement(8).admits(256) && !agreement(8).admits(257));
    assert!(agreement(14).admits(16_384) && !agreement(14).admits(16_385));
    assert_eq!(agreement(8).compressor_window_bits(), None);
    assert_eq!(agreement(9).compressor_window_bits(), Some(9));
}

#[test]
fn keys_and_versions() {
    assert_eq!(accept_key("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!(accept_key(" dGhlIHNhbXBsZSBub25jZQ== "), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    for key in ["dGhlIHNhbXBsZSBub25jZQ==", "AAAAAAAAAAAAAAAAAAAAAA==", "dGhlIHNhbXBsZSBub25jZZ=="] {
        assert!(key_is_valid(key), "{key}");
    }
    for key in [
        "",
        "dGhl",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZQA=",
        "dGhlIHNhbXBsZSBub25jZQAA",
        "!!!!!!!!!!!!!!!!!!!!!!==",
    ] {
        assert!(!key_is_valid(key), "{key}");
    }
    assert!(version_is_supported("13") && version_is_supported(" 13 "));
    assert!(["", "8", "013", "13, 8", "14"].iter().all(|version| !version_is_supported(version)));
}

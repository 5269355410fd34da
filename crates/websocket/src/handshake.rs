//! Owns the parts of the opening handshake that are about WebSocket and not about HTTP: the key (RFC 6455 §4.2) and the
//! agreement on permessage-deflate (RFC 7692 §7.1). It must never read a request itself; header values come in as text.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD};
use sha1::{Digest as _, Sha1};

use crate::deflate::{WINDOW_BITS_MAX, WINDOW_BITS_MIN};
use crate::extensions::{Offer, parse_offers};

/// The only version there is (RFC 6455 §4.1); answer others with 426 and this in `Sec-WebSocket-Version`.
pub const VERSION: &str = "13";

/// What §1.3 appends to the key.
const KEY_SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Some clients draw 22 random characters instead of 16 random bytes, and the last may carry bits that say nothing.
const KEY_ENGINE: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

/// `Sec-WebSocket-Accept` for a `Sec-WebSocket-Key` (§4.2.2).
pub fn accept_key(key: &str) -> String {
    let mut hash = Sha1::new();
    hash.update(key.trim().as_bytes());
    hash.update(KEY_SUFFIX);
    STANDARD.encode(hash.finalize())
}

/// Whether a `Sec-WebSocket-Key` is the Base64 of 16 bytes (§4.2.1).
pub fn key_is_valid(key: &str) -> bool {
    let mut bytes = [0; 18];
    key.trim().len() == 24 && KEY_ENGINE.decode_slice(key.trim(), &mut bytes) == Ok(16)
}

/// Whether a `Sec-WebSocket-Version` is the one spoken here.
pub fn version_is_supported(version: &str) -> bool {
    version.trim() == VERSION
}

/// What both sides agreed on for permessage-deflate. Neither side keeps a window between messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeflateAgreement {
    /// The value of the response's `Sec-WebSocket-Extensions`.
    pub response_header: String,
    /// The window the client wants to need for reading: 8 to 15, as the base-2 logarithm of bytes.
    pub server_max_window_bits: u8,
}

impl DeflateAgreement {
    /// Whether a frame of [`Deflater::new`](crate::Deflater::new) may be sent on this connection, by the size of the message
    /// in it: without context takeover nothing points further back than the message's own first byte, so a message that
    /// fits the window keeps to it. A larger one goes out plain, or from
    /// [`Deflater::with_window_bits`](crate::Deflater::with_window_bits).
    pub fn admits(&self, message_bytes: usize) -> bool {
        self.server_max_window_bits >= WINDOW_BITS_MAX || message_bytes <= 1 << self.server_max_window_bits
    }

    /// The window for an own compressor of this connection; `None` where only [`admits`](Self::admits) helps (8 bits).
    pub fn compressor_window_bits(&self) -> Option<u8> {
        (self.server_max_window_bits >= WINDOW_BITS_MIN).then_some(self.server_max_window_bits)
    }
}

/// Chooses the first offer of permessage-deflate that is legal, in the client's order of preference. `headers` are the values
/// of all `Sec-WebSocket-Extensions` headers, in order; together they are one list (RFC 6455 §9.1).
///
/// Offers with unknown, doubled or wrong parameters are declined, as RFC 7692 §7 demands; other extensions are passed over. A
/// header that breaks the grammar counts as if it were not there. `None`: answer without the header and go on uncompressed.
pub fn negotiate_deflate<'h>(headers: impl IntoIterator<Item = &'h str>) -> Option<DeflateAgreement> {
    headers.into_iter().filter_map(parse_offers).flatten().find_map(|offer| accept(&offer))
}

fn accept(offer: &Offer<'_>) -> Option<DeflateAgreement> {
    if offer.name != "permessage-deflate" {
        return None;
    }
    let mut seen = Seen::default();
    for (name, value) in &offer.parameters {
        let value = value.as_deref();
        let fresh = match *name {
            "server_no_context_takeover" => value.is_none() && !std::mem::replace(&mut seen.server_takeover, true),
            "client_no_context_takeover" => value.is_none() && !std::mem::replace(&mut seen.client_takeover, true),
            "server_max_window_bits" => {
                let bits = window_bits(value?)?;
                seen.server_bits.replace(bits).is_none()
            }
            // A hint that the client can keep to less, with or without a number. Inflating with the full window is always
            // right, so the answer leaves it out.
            "client_max_window_bits" => {
                value.is_none_or(|value| window_bits(value).is_some())
                    && !std::mem::replace(&mut seen.client_bits, true)
            }
            _ => false,
        };
        if !fresh {
            return None;
        }
    }
    let mut response_header =
        String::from("permessage-deflate; server_no_context_takeover; client_no_context_takeover");
    if let Some(bits) = seen.server_bits {
        response_header.push_str(&format!("; server_max_window_bits={bits}"));
    }
    Some(DeflateAgreement { response_header, server_max_window_bits: seen.server_bits.unwrap_or(WINDOW_BITS_MAX) })
}

/// The parameters met so far; each may stand once (RFC 7692 §7).
#[derive(Default)]
struct Seen {
    server_takeover: bool,
    client_takeover: bool,
    server_bits: Option<u8>,
    client_bits: bool,
}

/// A decimal from 8 to 15 without leading zeros (RFC 7692 §7.1.2).
fn window_bits(value: &str) -> Option<u8> {
    match value {
        "8" => Some(8),
        "9" => Some(9),
        "10" => Some(10),
        "11" => Some(11),
        "12" => Some(12),
        "13" => Some(13),
        "14" => Some(14),
        "15" => Some(15),
        _ => None,
    }
}

//! Until when a certificate is valid, read from its DER (RFC 5280 §4.1).
//!
//! Owns the few steps to that one field. Must never be used to decide whether a certificate may be trusted: that is the
//! business of the library that speaks TLS.

use hubbub_protocol::Timestamp;

const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// The version, which only newer certificates name.
const VERSION: u8 = 0xa0;

/// When the certificate ends, in seconds since 1970; none where it cannot be read.
pub(super) fn ends_at(certificate: &[u8]) -> Option<i64> {
    let mut outer = inside(&mut &*certificate, SEQUENCE)?;
    let mut fields = inside(&mut outer, SEQUENCE)?;
    if fields.first() == Some(&VERSION) {
        element(&mut fields)?;
    }
    // Serial number, signature algorithm, issuer.
    for _ in 0..3 {
        element(&mut fields)?;
    }
    let mut validity = inside(&mut fields, SEQUENCE)?;
    element(&mut validity)?;
    let (tag, time) = element(&mut validity)?;
    seconds(tag, std::str::from_utf8(time).ok()?)
}

/// The contents of the next element, which must have this tag.
fn inside<'a>(bytes: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    element(bytes).filter(|(found, _)| *found == tag).map(|(_, contents)| contents)
}

/// The next element: its tag and its contents.
fn element<'a>(bytes: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (&[tag, first], mut rest) = bytes.split_first_chunk()?;
    let mut length = usize::from(first);
    // The long form: so many bytes of length follow, of which a certificate needs three at most.
    if first & 0x80 != 0 {
        let (digits, behind) =
            rest.split_at_checked(usize::from(first & 0x7f)).filter(|(digits, _)| digits.len() <= 4)?;
        length = digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit));
        rest = behind;
    }
    let (contents, behind) = rest.split_at_checked(length)?;
    *bytes = behind;
    Some((tag, contents))
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`: the only forms that certificates may have (RFC 5280 §4.1.2.5).
fn seconds(tag: u8, time: &str) -> Option<i64> {
    let full = match tag {
        // Two digits are of 1950 to 2049.
        UTC_TIME => format!("{}{time}", if time.get(..2)? < "50" { "20" } else { "19" }),
        GENERALIZED_TIME => time.to_owned(),
        _ => return None,
    };
    let digits = full.strip_suffix('Z').filter(|digits| digits.len() == 14 && digits.is_ascii())?;
    let part = |from: usize, to: usize| &digits[from..to];
    let date = [part(0, 4), part(4, 6), part(6, 8)].join("-");
    let clock = [part(8, 10), part(10, 12), part(12, 14)].join(":");
    let at: Timestamp = serde_json::from_value(format!("{date}T{clock}Z").into()).ok()?;
    Some(at.millis() / 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(year: i32) -> Vec<u8> {
        let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 2, 3);
        let key = rcgen::KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn the_end_is_read_in_both_forms_of_time() {
        // Until 2049 the year has two digits, from 2050 on four.
        assert_eq!(ends_at(&made(2031)), Some(1_927_843_200));
        assert_eq!(ends_at(&made(2055)), Some(2_685_225_600));
    }

    #[test]
    fn what_is_no_certificate_has_no_end() {
        let whole = made(2031);
        for end in 0..whole.len() {
            assert_eq!(ends_at(&whole[..end]), None, "cut at {end}");
        }
        assert_eq!(ends_at(b""), None);
        assert_eq!(ends_at(&[SEQUENCE, 0x84, 0xff, 0xff, 0xff, 0xff, 0]), None, "a length that is not there");
        assert_eq!(seconds(UTC_TIME, "3102030405Z"), None, "no seconds");
        assert_eq!(seconds(GENERALIZED_TIME, "20501301000000Z"), None, "no such month");
    }
}

//! The header of the PROXY protocol, before the first byte of the client's own: from the specification of HAProxy,
//! <https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt>.
//!
//! Must never take a byte that lies behind the header, and never guess whether there is one.

use std::io;
use std::net::IpAddr;

use proxy_header::{ParseConfig, ProxyHeader};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// Longest header of version 1, in bytes, with its end (§2.1).
const TEXT_BYTES_MAX: usize = 107;

/// How a header of version 1 begins.
const TEXT_START: &[u8] = b"PROXY ";

/// How a header of version 2 begins (§2.2).
const BINARY_START: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Up to the length of what follows, in version 2.
const BINARY_FIXED_BYTES: usize = 16;

/// Longest header of version 2 here, in bytes. Addresses need 52, and what proxies add (names and certificates of TLS)
/// some hundred; the specification allows 64 KiB and advises senders to stay below 536.
const BINARY_BYTES_MAX: usize = 4 << 10;

/// Looked at in one go: any usual header is a single look.
const LOOK_BYTES: usize = 512;

const PARSING: ParseConfig = ParseConfig { include_tlvs: false, allow_v1: true, allow_v2: true };

/// Why a header cannot be used; the label of `hubbub_proxy_refusals_total`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unreadable {
    /// It is none, or is not what the specification says.
    Malformed,
    /// Longer than any that is needed.
    TooLarge,
    /// The socket ended in its middle.
    Cut,
    /// It did not come in time.
    Late,
}

impl Unreadable {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Malformed, Self::TooLarge, Self::Cut, Self::Late];

    /// The label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::Cut => "cut",
            Self::Late => "late",
        }
    }
}

/// What a header says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Named {
    /// The proxy passes on a connection from this address.
    Client(IpAddr),
    /// The proxy speaks for itself (`LOCAL`: it looks whether we live) or does not know (`UNKNOWN`).
    Nobody,
    /// The socket ended before a header began: a look at the port.
    Gone,
}

/// Reads the header and not one byte more. The caller bounds the time.
///
/// # Errors
/// When there is no header of either version.
pub(crate) async fn read(tcp: &mut TcpStream) -> Result<Named, Unreadable> {
    let mut header = Header::default();
    let mut look = [0; LOOK_BYTES];
    loop {
        let seen = ended(tcp.peek(&mut look).await);
        if seen == 0 {
            return if header.0.is_empty() { Ok(Named::Gone) } else { Err(Unreadable::Cut) };
        }
        let (own, is_whole) = header.take(&look[..seen])?;
        // The kernel has them already: this waits for nobody.
        if ended(tcp.read_exact(&mut look[..own]).await) == 0 {
            return Err(Unreadable::Cut);
        }
        if is_whole {
            return header.named();
        }
    }
}

/// A socket that breaks is at its end.
fn ended(read: io::Result<usize>) -> usize {
    read.unwrap_or(0)
}

/// The bytes of a header so far.
#[derive(Default)]
struct Header(Vec<u8>);

impl Header {
    /// Takes what of the next bytes belongs to the header: how many, at least one, and whether it is whole now.
    fn take(&mut self, seen: &[u8]) -> Result<(usize, bool), Unreadable> {
        let had = self.0.len();
        self.0.extend_from_slice(seen);
        let length = match self.0.first() {
            Some(b'P') => self.text_length(),
            _ => self.binary_length(),
        }?;
        let whole = length.filter(|length| *length <= self.0.len());
        self.0.truncate(whole.unwrap_or(usize::MAX));
        Ok((self.0.len() - had, whole.is_some()))
    }

    /// The length of a header of version 1, once its end is there.
    fn text_length(&self) -> Result<Option<usize>, Unreadable> {
        self.begins_with(TEXT_START)?;
        let length = self.0.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
        match length {
            Some(length) if length <= TEXT_BYTES_MAX => Ok(Some(length)),
            None if self.0.len() < TEXT_BYTES_MAX => Ok(None),
            _ => Err(Unreadable::TooLarge),
        }
    }

    /// The length of a header of version 2, once it is told.
    fn binary_length(&self) -> Result<Option<usize>, Unreadable> {
        self.begins_with(BINARY_START)?;
        let Some(fixed) = self.0.first_chunk::<BINARY_FIXED_BYTES>() else { return Ok(None) };
        let length = BINARY_FIXED_BYTES + usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
        if length > BINARY_BYTES_MAX { Err(Unreadable::TooLarge) } else { Ok(Some(length)) }
    }

    /// Whoever begins otherwise is not waited for.
    fn begins_with(&self, start: &[u8]) -> Result<(), Unreadable> {
        let common = self.0.len().min(start.len());
        if self.0[..common] == start[..common] { Ok(()) } else { Err(Unreadable::Malformed) }
    }

    fn named(&self) -> Result<Named, Unreadable> {
        let (header, length) = ProxyHeader::parse(&self.0, PARSING).map_err(|_| Unreadable::Malformed)?;
        if length != self.0.len() {
            return Err(Unreadable::Malformed);
        }
        let source = header.proxied_address().map(|address| address.source.ip().to_canonical());
        Ok(source.map_or(Named::Nobody, Named::Client))
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use proptest::prelude::*;
    use proxy_header::{ProxiedAddress, Tlv};

    use super::*;

    /// Feeds the bytes in pieces that end at these places: what was named, and how many bytes were taken.
    fn feed(bytes: &[u8], ends: &[usize]) -> Option<Result<(Named, usize), Unreadable>> {
        let mut header = Header::default();
        let mut taken = 0;
        for end in ends.iter().map(|end| end % (bytes.len() + 1)).chain([bytes.len()]) {
            // What is behind the header is seen again at each look, as it is by a peek.
            while taken < end {
                match header.take(&bytes[taken..end]) {
                    Err(error) => return Some(Err(error)),
                    Ok((own, is_whole)) => {
                        assert!(own > 0, "nothing taken of what was there");
                        taken += own;
                        if is_whole {
                            return Some(header.named().map(|named| (named, taken)));
                        }
                    }
                }
            }
        }
        None
    }

    fn encoded(source: SocketAddr, destination: SocketAddr, text: bool, padding: usize) -> Vec<u8> {
        let mut header = ProxyHeader::with_address(ProxiedAddress::stream(source, destination));
        let mut bytes = Vec::new();
        if text {
            header.encode_v1(&mut bytes).unwrap();
        } else {
            if padding > 0 {
                header.append_tlv(Tlv::Noop(padding));
            }
            header.encode_v2(&mut bytes).unwrap();
        }
        bytes
    }

    fn addresses() -> impl Strategy<Value = (SocketAddr, SocketAddr)> {
        let v4 = any::<([u8; 4], u16, [u8; 4], u16)>();
        let v6 = any::<([u8; 16], u16, [u8; 16], u16)>();
        prop_oneof![
            v4.prop_map(|(from, from_port, to, to_port)| ((from, from_port).into(), (to, to_port).into())),
            v6.prop_map(|(from, from_port, to, to_port)| ((from, from_port).into(), (to, to_port).into())),
        ]
    }

    proptest! {
        #[test]
        fn a_header_is_read_whole_and_nothing_behind_it_however_it_comes(
            (source, destination) in addresses(),
            text in any::<bool>(),
            padding in 0_usize..1_000,
            behind in proptest::collection::vec(any::<u8>(), 0..64),
            mut ends in proptest::collection::vec(any::<usize>(), 0..8),
        ) {
            let header = encoded(source, destination, text, padding);
            let bytes = [header.clone(), behind].concat();
            for end in &mut ends {
                *end %= bytes.len() + 1;
            }
            ends.sort_unstable();
            let named = Named::Client(source.ip().to_canonical());
            prop_assert_eq!(feed(&bytes, &ends), Some(Ok((named, header.len()))));
        }

        #[test]
        fn any_bytes_are_taken_up_to_the_bound_and_no_further(
            start in 0_usize..4,
            rest in proptest::collection::vec(any::<u8>(), 0..6_000),
            ends in proptest::collection::vec(any::<usize>(), 0..4),
        ) {
            let start = [&b""[..], TEXT_START, BINARY_START, b"PROXY TCP4 "][start];
            let bytes = [start, &rest].concat();
            let mut sorted: Vec<usize> = ends.iter().map(|end| end % (bytes.len() + 1)).collect();
            sorted.sort_unstable();
            match feed(&bytes, &sorted) {
                Some(Ok((_, taken))) => prop_assert!(taken <= BINARY_BYTES_MAX),
                Some(Err(_)) => {}
                None => prop_assert!(bytes.len() < BINARY_BYTES_MAX),
            }
        }
    }

    #[test]
    fn what_the_specification_gives_as_examples() {
        let v2 = |rest: &[u8]| [BINARY_START, rest].concat();
        let nobody = [
            b"PROXY UNKNOWN\r\n".to_vec(),
            b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n".to_vec(),
            // LOCAL, without and with an address, which is to be ignored.
            v2(b"\x20\x00\x00\x00"),
            v2(b"\x20\x11\x00\x0c\x01\x02\x03\x04\x05\x06\x07\x08\x00\x01\x00\x02"),
            // PROXY of an unknown family.
            v2(b"\x21\x00\x00\x00"),
        ];
        for bytes in nobody {
            assert_eq!(feed(&bytes, &[]), Some(Ok((Named::Nobody, bytes.len()))), "{bytes:?}");
        }
        let mapped = b"PROXY TCP6 ::ffff:192.0.2.7 ::1 1 2\r\n";
        let address = "192.0.2.7".parse().unwrap();
        assert_eq!(feed(mapped, &[]), Some(Ok((Named::Client(address), mapped.len()))));
    }

    #[test]
    fn what_is_no_header_is_told_as_early_as_it_shows() {
        let malformed: [&[u8]; 10] = [
            b"G",
            b"\x16\x03\x01",
            b"PROXYTCP4",
            b"PUT / HTTP/1.1\r\n",
            b"\r\n\r\n\0\r\nQUIX",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n",
            b"PROXY TCP4 ::1 ::1 1 2\r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n",
            // Addresses of IPv4 in eleven bytes.
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0b\x01\x02\x03\x04\x05\x06\x07\x08\x00\x01\x00",
        ];
        for bytes in malformed {
            assert_eq!(feed(bytes, &[]), Some(Err(Unreadable::Malformed)), "{bytes:?}");
        }
        let long_text = [TEXT_START, &[b'x'; TEXT_BYTES_MAX]].concat();
        let long_binary = [BINARY_START, b"\x21\x11\xff\xff"].concat();
        for bytes in [long_text, long_binary] {
            assert_eq!(feed(&bytes, &[]), Some(Err(Unreadable::TooLarge)), "{bytes:?}");
        }
    }
}

//! Owns what must hold for every stream: no panic, the same verdict for every cut, memory within the limits.

use hubbub_websocket::{Incoming, Parser, ParserConfig, ProtocolError};

/// Room for the box around what is half-read and for a control frame.
const FIXED_BYTES: usize = 1024;

/// Feeds `stream` whole, byte by byte and in reads of the given sizes (again and again), and compares.
pub fn check(config: ParserConfig, stream: &[u8], reads: &[usize]) {
    let whole = feed(config, stream, &[usize::MAX]);
    assert_eq!(whole, feed(config, stream, &[1]), "byte by byte");
    if !reads.is_empty() {
        assert_eq!(whole, feed(config, stream, reads), "in reads of {reads:?}");
    }
}

fn feed(config: ParserConfig, stream: &[u8], reads: &[usize]) -> (Vec<Incoming<'static>>, Option<ProtocolError>) {
    let mut bytes = stream.to_vec();
    let mut rest = &mut bytes[..];
    let mut parser = Parser::new(config);
    let mut incoming = Vec::new();
    let mut fed = 0;
    let mut sizes = reads.iter().cycle();
    while !rest.is_empty() {
        let read = sizes.next().copied().unwrap_or(1).clamp(1, rest.len());
        let (mut input, behind) = rest.split_at_mut(read);
        rest = behind;
        fed += read;
        loop {
            match parser.next(&mut input) {
                Ok(Some(one)) => incoming.push(within_limits(config, one.into_owned())),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(parser.held_bytes(), 0);
                    return (incoming, Some(error));
                }
            }
        }
        assert!(input.is_empty());
        assert!(parser.held_bytes() <= 2 * fed + FIXED_BYTES, "held {} of {fed} bytes", parser.held_bytes());
        if config.message_bytes_max > 0 {
            // Deflated bytes may exceed the limit by an eighth, a 64th and 1,024; a growing buffer doubles.
            let bound = 2 * (config.message_bytes_max * 9 / 8 + config.message_bytes_max / 64 + 1024) + FIXED_BYTES;
            assert!(parser.held_bytes() <= bound, "held {} over {bound}", parser.held_bytes());
        }
    }
    (incoming, None)
}

fn within_limits(config: ParserConfig, incoming: Incoming<'static>) -> Incoming<'static> {
    let size = match &incoming {
        Incoming::Text(text) => text.len(),
        Incoming::Binary(bytes) => bytes.len(),
        Incoming::Ping(payload) | Incoming::Pong(payload) => {
            assert!(payload.len() <= 125);
            0
        }
        Incoming::Close(_) | Incoming::Fragment => 0,
    };
    assert!(config.message_bytes_max == 0 || size <= config.message_bytes_max, "a message of {size} bytes");
    incoming
}

//! Owns a slow and plain inflater (RFC 1951) that tells how far back a stream points. It is here because the inflater of the
//! tests' client always has the full window, and so would not notice a reference beyond a smaller one.

/// What a stream inflates to and the largest distance in it. Panics when the stream is broken.
pub(crate) fn inflate_measured(deflated: &[u8]) -> (Vec<u8>, usize) {
    let mut bits = Bits { bytes: deflated, at: 0 };
    let (mut out, mut farthest) = (Vec::new(), 0);
    while bits.at + 3 <= deflated.len() * 8 {
        let last = bits.take(1) == 1;
        match bits.take(2) {
            0 => stored(&mut bits, &mut out),
            1 => {
                let mut literal = [8u8; 288];
                literal[144..256].fill(9);
                literal[256..280].fill(7);
                farthest = farthest.max(block(&mut bits, &mut out, &Codes::new(&literal), &Codes::new(&[5; 30])));
            }
            2 => {
                let (literal, distance) = dynamic_codes(&mut bits);
                farthest = farthest.max(block(&mut bits, &mut out, &literal, &distance));
            }
            _ => panic!("reserved block type"),
        }
        if last {
            break;
        }
    }
    (out, farthest)
}

struct Bits<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: usize) -> usize {
        let mut value = 0;
        for shift in 0..count {
            // RFC 7692 §7.2.2: behind the message stands an empty stored block without its first, cut-off bits.
            let byte = self.bytes.get(self.at / 8).copied().unwrap_or(0);
            value |= usize::from(byte >> (self.at % 8) & 1) << shift;
            self.at += 1;
        }
        value
    }
}

/// Canonical Huffman codes: how many there are of each length, and their symbols in order.
struct Codes {
    counts: [usize; 16],
    symbols: Vec<usize>,
}

impl Codes {
    fn new(lengths: &[u8]) -> Self {
        let mut counts = [0; 16];
        lengths.iter().for_each(|&length| counts[usize::from(length)] += 1);
        let mut symbols: Vec<usize> = (0..lengths.len()).filter(|&symbol| lengths[symbol] > 0).collect();
        symbols.sort_by_key(|&symbol| lengths[symbol]);
        counts[0] = 0;
        Self { counts, symbols }
    }

    fn decode(&self, bits: &mut Bits<'_>) -> usize {
        let (mut code, mut first, mut index) = (0, 0, 0);
        for count in &self.counts[1..] {
            code |= bits.take(1);
            if code < first + count {
                return self.symbols[index + code - first];
            }
            index += count;
            first = (first + count) << 1;
            code <<= 1;
        }
        panic!("no such code");
    }
}

fn stored(bits: &mut Bits<'_>, out: &mut Vec<u8>) {
    bits.at = bits.at.next_multiple_of(8);
    let from = bits.at / 8;
    if from == bits.bytes.len() {
        return;
    }
    let len = bits.take(16);
    bits.take(16);
    let from = bits.at / 8;
    out.extend_from_slice(&bits.bytes[from..from + len]);
    bits.at += len * 8;
}

fn dynamic_codes(bits: &mut Bits<'_>) -> (Codes, Codes) {
    const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
    let (literals, distances, code_lengths) = (bits.take(5) + 257, bits.take(5) + 1, bits.take(4) + 4);
    let mut lengths = [0u8; 19];
    for &symbol in &ORDER[..code_lengths] {
        lengths[symbol] = bits.take(3) as u8;
    }
    let codes = Codes::new(&lengths);
    let mut lengths: Vec<u8> = Vec::new();
    while lengths.len() < literals + distances {
        let (value, times) = match codes.decode(bits) {
            16 => (lengths[lengths.len() - 1], bits.take(2) + 3),
            17 => (0, bits.take(3) + 3),
            18 => (0, bits.take(7) + 11),
            length => (length as u8, 1),
        };
        lengths.extend(std::iter::repeat_n(value, times));
    }
    (Codes::new(&lengths[..literals]), Codes::new(&lengths[literals..]))
}

/// Copies one block of codes and returns the largest distance in it.
fn block(bits: &mut Bits<'_>, out: &mut Vec<u8>, literal: &Codes, distance: &Codes) -> usize {
    let mut farthest = 0;
    loop {
        let symbol = literal.decode(bits);
        match symbol {
            0..=255 => out.push(symbol as u8),
            256 => return farthest,
            _ => {
                let len = length(symbol - 257, bits);
                let back = distance_of(distance.decode(bits), bits);
                farthest = farthest.max(back);
                for _ in 0..len {
                    out.push(out[out.len() - back]);
                }
            }
        }
    }
}

fn length(index: usize, bits: &mut Bits<'_>) -> usize {
    match index {
        0..=7 => index + 3,
        28 => 258,
        _ => {
            let extra = (index - 4) / 4;
            (((index % 4) + 4) << extra) + 3 + bits.take(extra)
        }
    }
}

fn distance_of(symbol: usize, bits: &mut Bits<'_>) -> usize {
    match symbol {
        0..=3 => symbol + 1,
        _ => {
            let extra = (symbol - 2) / 2;
            (((symbol % 2) + 2) << extra) + 1 + bits.take(extra)
        }
    }
}

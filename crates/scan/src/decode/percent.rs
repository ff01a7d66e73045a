//! Percent-encoding (RFC 3986, section 2.1) inside one word.

use std::ops::Range;

use super::{Decoded, Encoding, Step, around, hex_number};

/// Finds the next word with a `%41` in it.
pub(super) fn next(bytes: &[u8], from: usize, last: bool) -> Step {
    let mut at = from;
    while let Some(found) = memchr::memchr(b'%', bytes.get(at..).unwrap_or_default()) {
        let mark = at + found;
        if mark + 3 > bytes.len() && !last {
            return Step::Wait(mark);
        }
        if hex_number(bytes, mark + 1, 2).is_none() {
            at = mark + 1;
            continue;
        }
        return match around(bytes, mark, last, is_boundary) {
            Some((region, next)) => Step::one(region, next),
            None => Step::Wait(mark),
        };
    }
    Step::Wait(bytes.len())
}

/// What stands around an encoded word, never in it.
fn is_boundary(byte: u8) -> bool {
    byte <= b' ' || matches!(byte, b'"' | b'\'' | b'`' | b'<' | b'>' | 0x7f)
}

pub(super) fn decode(bytes: &[u8], region: &Range<usize>) -> Decoded {
    let text = bytes.get(..region.end).unwrap_or_default();
    let mut decoded = Decoded::new(Encoding::Percent, region.len());
    let mut at = region.start;
    while let Some(&byte) = text.get(at) {
        let number = if byte == b'%' {
            hex_number(text, at + 1, 2).and_then(|number| u8::try_from(number).ok())
        } else {
            None
        };
        let length = if number.is_some() { 3 } else { 1 };
        decoded.push(number.unwrap_or(byte), at, at + length);
        at += length;
    }
    decoded
}

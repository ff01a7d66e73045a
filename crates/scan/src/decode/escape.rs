//! Backslash escapes, as the string literals of C, JSON, JavaScript, Rust, Java and Python have
//! them, inside one line.

use std::ops::Range;

use super::{Decoded, Encoding, Step, around, hex_number};

/// Longest escape, in bytes: `\U00000041`, `\u{000041}`.
const ESCAPE_MAX: usize = 10;

/// Finds the next line with an escape that can hide part of a secret.
pub(super) fn next(bytes: &[u8], from: usize, last: bool) -> Step {
    let mut at = from;
    while let Some(found) = memchr::memchr(b'\\', bytes.get(at..).unwrap_or_default()) {
        let mark = at + found;
        if mark + ESCAPE_MAX > bytes.len() && !last {
            return Step::Wait(mark);
        }
        if !hides(bytes, mark) {
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

fn is_boundary(byte: u8) -> bool {
    byte == b'\n'
}

/// Whether the escape is one for a character that a secret or its surroundings can hold. Line
/// ends and tabs alone do not count: almost every source file has them.
fn hides(bytes: &[u8], mark: usize) -> bool {
    match bytes.get(mark + 1) {
        Some(b'/' | b'"' | b'\\' | b'=') => true,
        Some(b'x' | b'u' | b'U') => unescape(bytes, mark).is_some_and(|(_, length)| length > 2),
        Some(b'0'..=b'3') => octal(bytes, mark + 1).is_some_and(|(_, digits)| digits == 3),
        _ => false,
    }
}

/// The character of an escape, and the escape's length in bytes.
fn unescape(bytes: &[u8], mark: usize) -> Option<(char, usize)> {
    let kind = *bytes.get(mark + 1)?;
    let digits = |count: usize| {
        let number = hex_number(bytes, mark + 2, count)?;
        Some((char::from_u32(number)?, count + 2))
    };
    let plain = |character| Some((character, 2));
    match kind {
        b'n' => plain('\n'),
        b'r' => plain('\r'),
        b't' => plain('\t'),
        b'x' => digits(2),
        b'U' => digits(8),
        b'u' if bytes.get(mark + 2) == Some(&b'{') => braced(bytes, mark),
        b'u' => digits(4),
        b'0'..=b'3' => {
            let (number, count) = octal(bytes, mark + 1)?;
            Some((char::from_u32(number)?, count + 1))
        }
        _ if kind.is_ascii_punctuation() => plain(char::from(kind)),
        _ => None,
    }
}

/// `\u{41}`, with one to six digits.
fn braced(bytes: &[u8], mark: usize) -> Option<(char, usize)> {
    let text = bytes.get(mark + 3..)?;
    let count = text.iter().take(7).position(|byte| *byte == b'}')?;
    let number = hex_number(bytes, mark + 3, count).filter(|_| count > 0)?;
    Some((char::from_u32(number)?, count + 4))
}

/// One to three octal digits: their number and their count.
fn octal(bytes: &[u8], at: usize) -> Option<(u32, usize)> {
    let digits = bytes.get(at..)?.iter().take(3);
    let digits = digits.take_while(|byte| matches!(byte, b'0'..=b'7'));
    let (number, count) = digits.fold((0, 0), |(number, count), byte| {
        (number * 8 + u32::from(byte - b'0'), count + 1)
    });
    (count > 0).then_some((number, count))
}

pub(super) fn decode(bytes: &[u8], region: &Range<usize>) -> Decoded {
    let text = bytes.get(..region.end).unwrap_or_default();
    let mut decoded = Decoded::new(Encoding::Escape, region.len());
    let mut at = region.start;
    while let Some(&byte) = text.get(at) {
        let escape = if byte == b'\\' {
            unescape(text, at)
        } else {
            None
        };
        if let Some((character, length)) = escape {
            let mut buffer = [0; 4];
            for byte in character.encode_utf8(&mut buffer).bytes() {
                decoded.push(byte, at, at + length);
            }
            at += length;
        } else {
            decoded.push(byte, at, at + 1);
            at += 1;
        }
    }
    decoded
}

//! Makes an input from others.

use crate::random::Random;

/// Bytes on which parsers turn.
const TURNS: &[u8] = b"\0\x01\x7f\x80\xff\n\r\t \"'\\/=:;,.-_+%#*?!<>()[]{}$&|@~^09azAZ";

/// Longest repetition, in bytes.
const REPEAT_MAX: usize = 16 * 1024;

/// Changes `bytes` in one to eight ways. `words` are pieces of what the parser reads, `other` is
/// another input of its.
pub fn mutate(
    random: &mut Random,
    bytes: &mut Vec<u8>,
    words: &[Vec<u8>],
    other: &[u8],
    longest: usize,
) {
    let ways = 1 << random.below(4);
    for _ in 0..ways {
        once(random, bytes, words, other);
        bytes.truncate(longest);
    }
}

fn once(random: &mut Random, bytes: &mut Vec<u8>, words: &[Vec<u8>], other: &[u8]) {
    let at = random.below(bytes.len() + 1);
    let part = part(random, bytes.len());
    match random.below(13) {
        0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
        1 if at < bytes.len() => bytes[at] = random.next() as u8,
        2 if at < bytes.len() => bytes[at] = *random.of(TURNS),
        3 => bytes.insert(at, *random.of(TURNS)),
        4 if !words.is_empty() => insert(bytes, at, random.of(words).as_slice()),
        5 if !words.is_empty() => {
            let word = random.of(words);
            bytes.splice(part, word.iter().copied());
        }
        6 => drop(bytes.drain(part)),
        7 => {
            let copy = bytes[part].to_vec();
            insert(bytes, at, &copy);
        }
        8 => {
            let from = self::part(random, other.len());
            insert(bytes, at, &other[from]);
        }
        9 => {
            let from = self::part(random, other.len());
            bytes.splice(part, other[from].iter().copied());
        }
        10 => {
            let short = &bytes[part.start..part.end.min(part.start + 64)];
            let times = (1 << random.below(12)).min(REPEAT_MAX / short.len().max(1));
            let many = short.repeat(times);
            insert(bytes, at, &many);
        }
        11 => number(random, bytes, at),
        _ => bytes.truncate(at),
    }
}

/// Writes a number over what stands there: in binary, or over digits.
fn number(random: &mut Random, bytes: &mut [u8], at: usize) {
    let extremes = [
        0,
        1,
        2,
        3,
        0x7F,
        0x80,
        0xFF,
        0x7FFF,
        0xFFFF,
        0x7FFF_FFFF,
        0xFFFF_FFFF,
        u64::MAX,
    ];
    let value = *random.of(&extremes);
    let raw = if random.below(2) == 0 {
        value.to_le_bytes()
    } else {
        value.to_be_bytes()
    };
    let width = 1 << random.below(4);
    let raw = if raw[0] == 0 {
        &raw[8 - width..]
    } else {
        &raw[..width]
    };
    let digits = bytes
        .iter()
        .skip(at)
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    if digits > 0 {
        for byte in &mut bytes[at..at + digits] {
            *byte = b'0' + random.below(10) as u8;
        }
    } else if let Some(place) = bytes.get_mut(at..at + width) {
        place.copy_from_slice(raw);
    }
}

fn insert(bytes: &mut Vec<u8>, at: usize, piece: &[u8]) {
    bytes.splice(at..at, piece.iter().copied());
}

/// A part of so many bytes, more often a short one.
fn part(random: &mut Random, length: usize) -> std::ops::Range<usize> {
    let start = random.below(length + 1);
    let most = 1 + random.short(11);
    start..length.min(start + most)
}

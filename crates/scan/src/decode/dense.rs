//! Runs of base64 and hexadecimal digits.
//!
//! Base64 may start anywhere in a run of its alphabet (`path/to/QUtJ…`), so each of the four
//! alignments is tried. Before anything is decoded, the highest bit of every byte that would come
//! out is looked at: text has none, and random bytes have no long stretch without.

use std::ops::Range;

use super::{Decoded, Encoding, OVERLAP, SEGMENT, Step, hex_digit, is_text};

/// Shortest run, in characters: 18 bytes of base64. Secrets worth finding are not shorter.
const RUN_MIN: usize = 24;

/// Shortest run of hexadecimal digits, in characters.
const HEX_MIN: usize = 32;

/// Groups of three bytes, one after another, that must look like text.
const CLEAN_GROUPS: u32 = 5;

/// Bytes of hexadecimal, one after another, that must be text.
const CLEAN_BYTES: usize = 12;

/// Indentation of a wrapped line, at most, in bytes.
const INDENT_MAX: usize = 64;

/// Bytes that are looked at together.
const BLOCK: usize = 128;

/// Bytes of a block that must all be of a run, two times over: `RUN_MIN` is three times as much.
const WORD: usize = 8;

const NONE: u8 = 0xFF;

/// By byte: its value in base64, either alphabet; [`NONE`] for all else.
const VALUES: [u8; 256] = values();

#[expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "evaluated by the compiler, and less than 64"
)]
const fn values() -> [u8; 256] {
    let mut table = [NONE; 256];
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut value = 0;
    while value < 64 {
        table[alphabet[value] as usize] = value as u8;
        value += 1;
    }
    table[b'-' as usize] = 62;
    table[b'_' as usize] = 63;
    table
}

/// Of a character of base64: that the highest bit of the group's first byte is unset by it.
const FIRST: u8 = 1;

/// By byte: whether it leaves the highest bit of a byte unset as the first (bit 0), second (bit 1)
/// or third (bit 2) character of a group, and whether it is a hexadecimal digit (bit 3).
const ROLES: [u8; 256] = roles();

#[expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "evaluated by the compiler, and less than 256"
)]
const fn roles() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let value = VALUES[byte];
        // Bit 5 of the first character, bit 3 of the second, bit 1 of the third.
        let first = value != NONE && value & 0b10_0000 == 0;
        let second = value != NONE && value & 0b1000 == 0;
        let third = value != NONE && value & 0b10 == 0;
        let digit = (byte as u8 as char).is_ascii_hexdigit();
        table[byte] = first as u8 | (second as u8) << 1 | (third as u8) << 2 | (digit as u8) << 3;
        byte += 1;
    }
    table
}

fn value(byte: u8) -> u8 {
    VALUES.get(usize::from(byte)).copied().unwrap_or(NONE)
}

/// Whether a byte is a digit of base64, in either alphabet.
pub(crate) fn is_dense(byte: u8) -> bool {
    value(byte) != NONE
}

/// Finds the next run, with lines that continue it.
pub(super) fn next(bytes: &[u8], from: usize, last: bool) -> Step {
    let mut at = from;
    loop {
        at = skip(bytes, at);
        // What was skipped may end in the beginning of a run.
        let skipped = bytes.get(from..at).unwrap_or_default();
        at -= skipped
            .iter()
            .rev()
            .take_while(|byte| is_dense(**byte))
            .count();
        let Some(window) = bytes.get(at..at + RUN_MIN) else {
            return Step::Wait(if last { bytes.len() } else { at });
        };
        match window.iter().rposition(|byte| !is_dense(*byte)) {
            Some(back) => at += back + 1,
            None => return run(bytes, at, last),
        }
    }
}

/// Goes on to where a run may be, or to where fewer bytes are left than are looked at together.
///
/// Of the words of eight bytes that stand one after another, a run covers two neighbours at
/// least. Each block begins with the last word of the one before.
#[expect(
    clippy::needless_bitwise_bool,
    reason = "without branches the compiler takes many bytes at once"
)]
fn skip(bytes: &[u8], mut at: usize) -> usize {
    while let Some(block) = bytes.get(at..).and_then(<[u8]>::first_chunk::<BLOCK>) {
        // No table, no branch and no end in between.
        let mut dense = [0; BLOCK];
        for (dense, &byte) in dense.iter_mut().zip(block) {
            let letter = (byte | 0x20).wrapping_sub(b'a') < 26;
            let digit_or_slash = byte.wrapping_sub(b'/') < 11;
            let sign = (byte == b'+') | (byte == b'-') | (byte == b'_');
            *dense = if letter | digit_or_slash | sign {
                0xFF
            } else {
                0
            };
        }
        let mut before = 0;
        for (index, word) in dense.as_chunks::<WORD>().0.iter().enumerate() {
            let word = u64::from_le_bytes(*word);
            if before & word == u64::MAX {
                return at + WORD * index;
            }
            before = word;
        }
        at += BLOCK - WORD;
    }
    at
}

fn run(bytes: &[u8], start: usize, last: bool) -> Step {
    let limit = start + SEGMENT;
    let mut parts = Vec::new();
    let mut at = start;
    loop {
        let reachable = bytes.get(at..limit.min(bytes.len())).unwrap_or_default();
        let length = reachable.iter().position(|byte| !is_dense(*byte));
        let end = at + length.unwrap_or(reachable.len());
        parts.push(at..end);
        if end == limit {
            let next = limit - OVERLAP;
            return Step::Region { parts, next };
        }
        if end == bytes.len() && !last {
            return Step::Wait(start);
        }
        match continuation(bytes, end) {
            Some(after) if after == bytes.len() && !last => return Step::Wait(start),
            Some(after) if end - at >= RUN_MIN && after < limit => {
                if !bytes.get(after).is_some_and(|byte| is_dense(*byte)) {
                    return Step::Region { parts, next: end };
                }
                at = after;
            }
            _ => return Step::Region { parts, next: end },
        }
    }
}

/// Where the next line begins, if a line ends here: a real line end, or an escaped one.
///
/// The length of the bytes, if they end before that is certain.
fn continuation(bytes: &[u8], end: usize) -> Option<usize> {
    let rest = bytes.get(end..)?;
    let breaks: [&[u8]; 4] = [b"\n", b"\r\n", b"\\n", b"\\r\\n"];
    if breaks.iter().any(|one| one.starts_with(rest)) {
        return Some(bytes.len());
    }
    let line_end = breaks.iter().find(|one| rest.starts_with(one))?;
    let indent = rest
        .iter()
        .skip(line_end.len())
        .take(INDENT_MAX)
        .take_while(|byte| matches!(byte, b' ' | b'\t'))
        .count();
    Some(end + line_end.len() + indent)
}

/// Decodes a run in each way that gives text.
pub(super) fn decode(bytes: &[u8], parts: &[Range<usize>], mut take: impl FnMut(Decoded)) {
    let lines = parts.iter().filter_map(|part| bytes.get(part.clone()));
    let plausible = Plausible::of(lines);
    if !plausible.any() {
        return;
    }
    let chars: Vec<(u8, usize)> = parts
        .iter()
        .flat_map(|part| {
            let line = bytes.get(part.clone()).unwrap_or_default();
            line.iter().copied().zip(part.clone())
        })
        .collect();
    for (alignment, is_plausible) in plausible.base64.into_iter().enumerate() {
        if is_plausible {
            take(base64(chars.get(alignment..).unwrap_or_default()));
        }
    }
    if plausible.hex {
        for run in chars.split(|(byte, _)| hex_digit(*byte).is_none()) {
            for alignment in 0..2 {
                let run = run.get(alignment..).unwrap_or_default();
                if run.len() + alignment >= HEX_MIN {
                    hex(run, &mut take);
                }
            }
        }
    }
}

/// What a run may be.
#[derive(Default)]
struct Plausible {
    /// By alignment.
    base64: [bool; 4],
    hex: bool,
}

impl Plausible {
    fn any(&self) -> bool {
        self.hex || self.base64.contains(&true)
    }

    fn of<'b>(lines: impl Iterator<Item = &'b [u8]>) -> Self {
        let mut plausible = Self::default();
        let mut index = 0usize;
        let (mut before, mut last) = (0u8, 0u8);
        // By character, the last one lowest: whether the group that ends there is clean.
        let mut clean = 0u64;
        let mut digits = 0usize;
        for line in lines {
            for &byte in line {
                let roles = ROLES.get(usize::from(byte)).copied().unwrap_or(0);
                // The group began two characters ago.
                let is_clean = before & FIRST & (last >> 1) & (roles >> 2);
                (before, last) = (last, roles);
                clean = clean << 1 | u64::from(is_clean);
                let row = (0..CLEAN_GROUPS).fold(1, |row, group| row & clean >> (4 * group));
                if row != 0
                    && let Some(plausible) = plausible.base64.get_mut(index.wrapping_sub(2) & 3)
                {
                    *plausible = true;
                }
                digits = (digits + 1) * usize::from(roles >> 3);
                plausible.hex |= digits >= HEX_MIN;
                index += 1;
            }
        }
        plausible
    }
}

fn base64(chars: &[(u8, usize)]) -> Decoded {
    let mut decoded = Decoded::new(Encoding::Base64, chars.len() / 4 * 3 + 3);
    for group in chars.chunks(4) {
        let mut bits = 0u32;
        let mut previous = 0;
        for (index, &(byte, at)) in group.iter().enumerate() {
            bits = bits << 6 | u32::from(value(byte) & 63);
            // A byte is whole after the second, third and fourth character.
            if index > 0 {
                let byte = (bits >> (6 - 2 * index)).to_be_bytes();
                decoded.push(byte.last().copied().unwrap_or(0), previous, at + 1);
            }
            previous = at;
        }
    }
    decoded
}

/// Takes a run of digits if some of what it decodes to is text.
fn hex(digits: &[(u8, usize)], take: &mut impl FnMut(Decoded)) {
    let bytes = || {
        digits.chunks_exact(2).filter_map(|pair| {
            let &[(high, from), (low, to)] = pair else {
                return None;
            };
            let byte = hex_digit(high)? << 4 | hex_digit(low)?;
            Some((byte, from, to + 1))
        })
    };
    let (mut clean, mut cleanest) = (0usize, 0usize);
    for (byte, ..) in bytes() {
        clean = if is_text(byte) || byte == 0 {
            clean + 1
        } else {
            0
        };
        cleanest = cleanest.max(clean);
    }
    if cleanest < CLEAN_BYTES {
        return;
    }
    let mut decoded = Decoded::new(Encoding::Hex, digits.len() / 2);
    for (byte, from, to) in bytes() {
        decoded.push(byte, from, to);
    }
    take(decoded);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Byte by byte, the first place after which `RUN_MIN` bytes are dense.
    fn by_hand(bytes: &[u8]) -> Option<usize> {
        let mut windows = bytes.windows(RUN_MIN);
        windows.position(|window| window.iter().all(|byte| is_dense(*byte)))
    }

    proptest! {
        /// Blocks and words change nothing of what is found.
        #[test]
        fn the_next_run_is_the_first(
            gaps in proptest::collection::vec((0..60usize, 1..4usize), 0..30),
            other in any::<u8>().prop_filter("ends a run", |byte| !is_dense(*byte)),
        ) {
            let mut bytes = Vec::new();
            for (dense, others) in gaps {
                bytes.extend(std::iter::repeat_n(b'q', dense));
                bytes.extend(std::iter::repeat_n(other, others));
            }
            let found = match next(&bytes, 0, true) {
                Step::Region { parts, .. } => parts.first().map(|part| part.start),
                Step::Wait(_) => None,
            };
            prop_assert_eq!(found, by_hand(&bytes));
        }
    }

    #[test]
    fn every_byte_is_classified_as_by_the_table() {
        for byte in 0..=u8::MAX {
            let dense = skip(&[byte; 2 * BLOCK], 0) == WORD;
            assert_eq!(dense, is_dense(byte), "{byte}");
        }
    }
}

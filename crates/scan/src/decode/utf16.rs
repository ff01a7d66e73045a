//! UTF-16 text, with or without a byte order mark, anywhere in the input and at any alignment:
//! runs of ASCII characters with a zero byte between each two.
//!
//! Characters beyond ASCII end a run. Secrets hold none.

use std::ops::Range;

use super::{Decoded, Encoding, OVERLAP, SEGMENT, Step, is_text};
use crate::sweep::View;

/// Shortest run, in characters.
const RUN_MIN: usize = 12;

/// Finds the next run.
pub(super) fn next(bytes: &[u8], from: usize, last: bool) -> Step {
    let mut at = from;
    while let Some(found) = memchr::memchr(0, bytes.get(at..).unwrap_or_default()) {
        let zero = at + found;
        let text_at = |at: usize| bytes.get(at).is_some_and(|byte| is_text(*byte));
        let start = match zero.checked_sub(1) {
            Some(before) if text_at(before) => before,
            _ => zero + 1,
        };
        let limit = start + SEGMENT;
        let mut end = start;
        while end < limit && text_at(end) && bytes.get(end + 1) == Some(&0) {
            end += 2;
        }
        // The last character of big-endian text has no zero byte after it.
        if end < limit && end > start && text_at(end) {
            end += 1;
        }
        if end >= limit {
            return Step::one(start..limit, limit - OVERLAP);
        }
        if end + 1 >= bytes.len() && !last {
            return Step::Wait(zero);
        }
        if end.saturating_sub(start) >= 2 * RUN_MIN - 1 {
            return Step::one(start..end, end.max(zero + 1));
        }
        // Past all zeros: a run that begins after them shows by its own zeros.
        let rest = bytes.get(zero..).unwrap_or_default();
        at = rest
            .iter()
            .position(|byte| *byte != 0)
            .map_or(bytes.len(), |zeros| zero + zeros);
    }
    Step::Wait(bytes.len())
}

pub(super) fn decode(view: View<'_>, region: &Range<usize>) -> Decoded {
    let is_even = (view.base + region.start as u64).is_multiple_of(2);
    let encoding = if is_even {
        Encoding::Utf16Le
    } else {
        Encoding::Utf16Be
    };
    let mut decoded = Decoded::new(encoding, region.len() / 2 + 1);
    let text = view.bytes.get(region.clone()).unwrap_or_default();
    for (byte, at) in text.iter().zip(region.clone()).step_by(2) {
        decoded.push(*byte, at, at + 1);
    }
    decoded
}

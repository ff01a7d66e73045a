//! Looks into encoded text: base64, hexadecimal, percent, backslash escapes and UTF-16.
//!
//! A detector finds regions that may be encoded, in ascending order and from the bytes alone, so
//! that neither the size of the pieces nor the moment of the search changes a region. A region
//! that decodes to something like text is swept with the same rules, and searched for further
//! encodings, [`DECODE_DEPTH`] deep. Spans map back to the encoded bytes.
//!
//! What it deliberately does not do: it does not decode what holds no run of text (images, keys
//! in DER), nor compressed data inside encoded text.

mod dense;
mod escape;
mod percent;
mod utf16;

pub(crate) use dense::is_dense;

use std::fmt;
use std::ops::Range;

use zeroize::Zeroizing;

use crate::matcher::MATCH_MAX;
use crate::sweep::{Found, Plain, Sweep, View};

/// Encodings inside each other that are undone.
pub const DECODE_DEPTH: usize = 3;

/// Longest region that is decoded at once, in bytes of encoded text. A longer one is cut.
const SEGMENT: usize = 32 * 1024;

/// Bytes that two parts of a region that was cut share, so a secret across the cut is in one.
const OVERLAP: usize = 8 * 1024;

/// Bytes before a mark (`%41`, `\u0041`) that belong to its region, at most.
const LOOKBACK: usize = 4 * 1024;

// What a sweep keeps of the bytes before a piece covers a region that waits for its end.
const _: () = assert!(SEGMENT + LOOKBACK + 1024 <= MATCH_MAX);

/// Bytes that each detector may decode at the least, at every depth together.
const WORK_FREE: u64 = 4 << 20;

/// Bytes that each detector may decode for each byte of the input.
const WORK_RATIO: u64 = 16;

/// How the text of a secret stood in the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Encoding {
    /// RFC 4648, section 4 or 5, with or without padding, also wrapped over lines.
    Base64,
    /// Two hexadecimal digits for each byte.
    Hex,
    /// `%41` (RFC 3986, section 2.1).
    Percent,
    /// `\u0041`, `\x41`, `\101`, `\"` and their like, as string literals have them.
    Escape,
    /// Two bytes for each character, the low one first.
    Utf16Le,
    /// Two bytes for each character, the high one first.
    Utf16Be,
}

impl Encoding {
    /// Stable lower-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Base64 => "base64",
            Self::Hex => "hex",
            Self::Percent => "percent",
            Self::Escape => "escape",
            Self::Utf16Le => "utf-16le",
            Self::Utf16Be => "utf-16be",
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Text that a region decodes to.
struct Decoded {
    encoding: Encoding,
    bytes: Zeroizing<Vec<u8>>,
    /// By decoded byte: where its encoded form begins and ends, as indices of the view.
    map: Vec<(u32, u32)>,
}

impl Decoded {
    fn new(encoding: Encoding, capacity: usize) -> Self {
        Self {
            encoding,
            bytes: Zeroizing::new(Vec::with_capacity(capacity)),
            map: Vec::with_capacity(capacity),
        }
    }

    /// Adds a byte whose encoded form is `from..to`.
    fn push(&mut self, byte: u8, from: usize, to: usize) {
        let narrow = |at| u32::try_from(at).unwrap_or(u32::MAX);
        self.bytes.push(byte);
        self.map.push((narrow(from), narrow(to)));
    }

    /// The encoded form of a part, as offsets in the input of the view that was decoded.
    fn origin(&self, part: &Range<u64>, base: u64) -> Range<u64> {
        let entry = |at: u64| {
            let at = usize::try_from(at).unwrap_or(usize::MAX);
            self.map.get(at).copied()
        };
        let start = entry(part.start).map_or(0, |(from, _)| from);
        let end = entry(part.end.saturating_sub(1)).map_or(start, |(_, to)| to);
        base + u64::from(start)..base + u64::from(end)
    }
}

/// What a detector says about the bytes from a place on.
enum Step {
    /// A region, in parts that belong together, and where to go on.
    Region {
        parts: Vec<Range<usize>>,
        next: usize,
    },
    /// Nothing more that is certain; go on from here when there are more bytes.
    Wait(usize),
}

impl Step {
    fn one(region: Range<usize>, next: usize) -> Self {
        Self::Region {
            parts: vec![region],
            next,
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Detector {
    Dense,
    Percent,
    Escape,
    Utf16,
}

impl Detector {
    const ALL: [Self; 4] = [Self::Dense, Self::Percent, Self::Escape, Self::Utf16];

    fn next(self, bytes: &[u8], from: usize, last: bool) -> Step {
        match self {
            Self::Dense => dense::next(bytes, from, last),
            Self::Percent => percent::next(bytes, from, last),
            Self::Escape => escape::next(bytes, from, last),
            Self::Utf16 => utf16::next(bytes, from, last),
        }
    }

    fn decode(self, view: View<'_>, parts: &[Range<usize>], mut take: impl FnMut(Decoded)) {
        match (self, parts) {
            (Self::Dense, parts) => dense::decode(view.bytes, parts, take),
            (Self::Percent, [one]) => take(percent::decode(view.bytes, one)),
            (Self::Escape, [one]) => take(escape::decode(view.bytes, one)),
            (Self::Utf16, [one]) => take(utf16::decode(view, one)),
            _ => {}
        }
    }
}

/// How far a detector has come.
#[derive(Debug, Default, Clone, Copy)]
struct Progress {
    /// Offset in the input from which on it looks for regions.
    at: u64,
    /// Bytes decoded so far, at every depth.
    work: u64,
}

/// The state of decoding one input.
#[derive(Debug)]
pub(crate) struct Decoder {
    progress: [Progress; Detector::ALL.len()],
    /// Encodings that may still be undone.
    depth: usize,
    spent: bool,
}

impl Decoder {
    pub(crate) fn new() -> Self {
        Self::with_depth(DECODE_DEPTH)
    }

    fn with_depth(depth: usize) -> Self {
        Self {
            progress: [Progress::default(); Detector::ALL.len()],
            depth,
            spent: false,
        }
    }

    /// Whether encoded text was left alone, because decoding it would have taken more than the
    /// stated work.
    pub(crate) fn is_spent(&self) -> bool {
        self.spent
    }

    /// Takes a view that continues the last one and reports what stands in encoded text; yields
    /// the bytes that were decoded.
    pub(crate) fn run(
        &mut self,
        sweep: &Sweep<'_>,
        view: View<'_>,
        found: &mut dyn FnMut(Found),
    ) -> u64 {
        let mut work = 0;
        for (detector, progress) in Detector::ALL.into_iter().zip(&mut self.progress) {
            let mut at = view.index(progress.at);
            loop {
                match detector.next(view.bytes, at, view.last) {
                    Step::Wait(resume) => {
                        progress.at = view.base + resume as u64;
                        break;
                    }
                    Step::Region { parts, next } => {
                        at = next.max(at + 1);
                        // From the place alone, so that pieces do not matter.
                        let allowed = WORK_FREE + WORK_RATIO * (view.base + at as u64);
                        if progress.work > allowed {
                            self.spent = true;
                            continue;
                        }
                        detector.decode(view, &parts, |decoded| {
                            progress.work += inside(sweep, &decoded, view.base, self.depth, found);
                        });
                    }
                }
            }
            work += progress.work;
        }
        work
    }
}

/// Sweeps decoded text and what is encoded in it; yields the bytes worked on.
fn inside(
    sweep: &Sweep<'_>,
    decoded: &Decoded,
    base: u64,
    depth: usize,
    found: &mut dyn FnMut(Found),
) -> u64 {
    let view = View {
        bytes: &decoded.bytes,
        base: 0,
        last: true,
    };
    sweep.fork().sweep(view, |mut one| {
        let secret = view.slice(&one.span).to_vec();
        one.span = decoded.origin(&one.span, base);
        one.plain = Some(Plain {
            secret: Zeroizing::new(secret),
            via: vec![decoded.encoding],
        });
        found(one);
    });
    let mut work = decoded.bytes.len() as u64;
    if depth > 1 {
        work += Decoder::with_depth(depth - 1).run(sweep, view, &mut |mut one| {
            one.span = decoded.origin(&one.span, base);
            if let Some(plain) = &mut one.plain {
                plain.via.insert(0, decoded.encoding);
            }
            found(one);
        });
    }
    work
}

/// Whether a byte stands in text: printable ASCII, tab, or the end of a line.
fn is_text(byte: u8) -> bool {
    matches!(byte, b'\t' | b'\n' | b'\r' | 0x20..=0x7e)
}

/// The value of a hexadecimal digit.
fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// The number that hexadecimal digits at `at` make; `None` unless all of them are digits.
fn hex_number(bytes: &[u8], at: usize, digits: usize) -> Option<u32> {
    let text = bytes.get(at..at.checked_add(digits)?)?;
    text.iter().try_fold(0u32, |number, byte| {
        Some(number.checked_mul(16)? + u32::from(hex_digit(*byte)?))
    })
}

/// The region around a mark: from the boundary before it to the boundary after it.
///
/// `None` where the end is not known yet. The second value says where to go on.
fn around(
    bytes: &[u8],
    mark: usize,
    last: bool,
    is_boundary: fn(u8) -> bool,
) -> Option<(Range<usize>, usize)> {
    let earliest = mark.saturating_sub(LOOKBACK);
    let before = bytes.get(earliest..mark).unwrap_or_default();
    let start = before
        .iter()
        .rposition(|byte| is_boundary(*byte))
        .map_or(earliest, |at| earliest + at + 1);
    let longest = start + SEGMENT;
    let after = bytes
        .get(mark..longest.min(bytes.len()))
        .unwrap_or_default();
    let end = match after.iter().position(|byte| is_boundary(*byte)) {
        Some(at) => mark + at,
        None if longest <= bytes.len() => longest,
        None if last => bytes.len(),
        None => return None,
    };
    Some((start..end, end))
}

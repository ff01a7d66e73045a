//! Applies differences between objects (gitformat-pack(5), "Deltified representation").

/// A length at the beginning of a difference, and what follows it.
fn length(delta: &[u8]) -> Option<(u64, &[u8])> {
    let (mut value, mut shift, mut rest) = (0u64, 0, delta);
    loop {
        let (byte, after) = rest.split_first()?;
        if shift > 57 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << shift;
        (rest, shift) = (after, shift + 7);
        if byte & 0x80 == 0 {
            return Some((value, rest));
        }
    }
}

/// Length of what a difference makes, in bytes.
pub(super) fn result_length(delta: &[u8]) -> Option<u64> {
    let (_, rest) = length(delta)?;
    Some(length(rest)?.0)
}

/// Appends to `out` what a difference makes of a base. None where it is malformed or is meant
/// for another base; `out` then holds a part.
pub fn apply(base: &[u8], delta: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let (base_length, rest) = length(delta)?;
    let (whole, mut rest) = length(rest)?;
    if base_length != base.len() as u64 {
        return None;
    }
    let whole = usize::try_from(whole).ok()?;
    out.reserve_exact(whole);
    let end = out.len() + whole;
    while !rest.is_empty() {
        let (step, after) = step(rest)?;
        rest = after;
        let piece = match step {
            Step::Copy { from, size } => base.get(from..from.checked_add(size)?)?,
            Step::Insert(piece) => piece,
        };
        if out.len() + piece.len() > end {
            return None;
        }
        out.extend_from_slice(piece);
    }
    (out.len() == end).then_some(())
}

/// What an object has of its delta's base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Where it stands in the base, in bytes.
    pub base: usize,
    /// Where it stands in the object.
    pub at: usize,
    /// How many bytes.
    pub length: usize,
}

/// What a difference takes from its base, in the order of the object. None where it is malformed.
pub fn copied(delta: &[u8]) -> Option<Vec<Copied>> {
    let (_, rest) = length(delta)?;
    let (_, mut rest) = length(rest)?;
    let mut copied: Vec<Copied> = Vec::new();
    let mut at = 0;
    while !rest.is_empty() {
        let (step, after) = step(rest)?;
        rest = after;
        let size = match step {
            Step::Copy { from, size } => {
                match copied.last_mut() {
                    // One instruction copies 16 MiB at most.
                    Some(last)
                        if (last.base + last.length, last.at + last.length) == (from, at) =>
                    {
                        last.length += size;
                    }
                    _ => copied.push(Copied {
                        base: from,
                        at,
                        length: size,
                    }),
                }
                size
            }
            Step::Insert(piece) => piece.len(),
        };
        at += size;
    }
    Some(copied)
}

/// An instruction.
enum Step<'d> {
    Copy { from: usize, size: usize },
    Insert(&'d [u8]),
}

/// The first instruction, and what follows it.
fn step(instructions: &[u8]) -> Option<(Step<'_>, &[u8])> {
    let (&op, mut rest) = instructions.split_first()?;
    if op & 0x80 == 0 {
        let size = usize::from(op);
        let (piece, after) = rest.split_at_checked(size).filter(|_| size > 0)?;
        return Some((Step::Insert(piece), after));
    }
    let mut number = |bits: u8, count: u32| {
        let mut value = 0usize;
        for at in 0..count {
            if op & (bits << at) != 0 {
                let (byte, after) = rest.split_first()?;
                value |= usize::from(*byte) << (8 * at);
                rest = after;
            }
        }
        Some(value)
    };
    let from = number(1, 4)?;
    let size = match number(0x10, 3)? {
        0 => 0x1_0000,
        size => size,
    };
    Some((Step::Copy { from, size }, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(delta: &[u8], expected: Option<&[u8]>) {
        let mut out = Vec::new();
        let made = apply(b"0123456789", delta, &mut out).map(|()| out.as_slice());
        assert_eq!(made, expected, "{delta:?}");
    }

    #[test]
    fn copies_and_inserts_and_nothing_else() {
        check(b"\x0a\x05\x91\x02\x03\x02ab", Some(b"234ab"));
        check(b"\x0a\x02\x90\x02", Some(b"01"));
        check(b"\x0a\x00", Some(b""));
        for bad in [
            &b"\x0b\x02\x90\x02"[..],
            b"\x0a\x03\x90\x02",
            b"\x0a\x01\x90\x02",
            b"\x0a\x02\x91\x09\x02",
            b"\x0a\x02\x00ab",
            b"\x0a\x02\x02a",
            b"\x0a\x02\x91",
            b"\x8a",
            b"",
        ] {
            check(bad, None);
        }
        let copy = |base, at, length| Copied { base, at, length };
        assert_eq!(
            copied(b"\x0a\x08\x91\x02\x03\x02ab\x90\x02\x91\x02\x01"),
            Some(vec![copy(2, 0, 3), copy(0, 5, 3)])
        );
        assert_eq!(copied(b"\x0a\x05\x02a"), None);
        assert_eq!(result_length(b"\x0a\x85\x01"), Some(133));
        assert_eq!(result_length(b"\x0a\x85"), None);
    }
}

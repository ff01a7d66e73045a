//! Writes one object as a difference to another (gitformat-pack(5), "Deltified representation").
//!
//! Meant for versions of the same file or folder: what begins and ends alike costs nothing to
//! find, and only what is between is searched.

use std::collections::HashMap;

/// Bytes that are looked for at once.
const BLOCK: usize = 16;

/// Bytes beyond the first block found, in which a longer run is looked for.
const LOOKED_AHEAD: usize = 4 * BLOCK;

/// Bytes alike that are taken without looking for more.
const LONG: usize = 16 * BLOCK;

/// Bytes of a base beyond which nothing is looked for between what begins and ends alike.
const SEARCHED_MAX: usize = 4 << 20;

/// Bytes that one instruction copies at most, as git writes them.
const COPY_MAX: usize = 0x1_0000;

/// Bytes that one instruction inserts at most.
const INSERT_MAX: usize = 0x7f;

/// The difference, unless it is longer than `most` bytes.
pub(super) fn difference(base: &[u8], target: &[u8], most: usize) -> Option<Vec<u8>> {
    let mut out = Out {
        bytes: Vec::new(),
        most,
    };
    out.length(base.len());
    out.length(target.len());
    let before = alike(base.iter(), target.iter());
    let (base_rest, target_rest) = (base.get(before..)?, target.get(before..)?);
    let after = alike(base_rest.iter().rev(), target_rest.iter().rev());
    out.copy(0, before)?;
    let base_middle = base.get(before..base.len() - after)?;
    let target_middle = target.get(before..target.len() - after)?;
    out.between(base_middle, before, target_middle)?;
    out.copy(base.len() - after, after)?;
    Some(out.bytes)
}

fn alike<'b>(a: impl Iterator<Item = &'b u8>, b: impl Iterator<Item = &'b u8>) -> usize {
    a.zip(b).take_while(|(a, b)| a == b).count()
}

struct Out {
    bytes: Vec<u8>,
    most: usize,
}

impl Out {
    fn length(&mut self, mut length: usize) {
        while length >= 0x80 {
            self.bytes.push(low(length) | 0x80);
            length >>= 7;
        }
        self.bytes.push(low(length));
    }

    fn copy(&mut self, from: usize, length: usize) -> Option<()> {
        let (mut from, mut left) = (from, length);
        while left > 0 {
            let size = left.min(COPY_MAX);
            let at = self.bytes.len();
            self.bytes.push(0x80);
            let mut op = 0x80;
            for (byte, bit) in (0..4).map(|byte| (low(from >> (8 * byte)), 1 << byte)) {
                if byte != 0 {
                    self.bytes.push(byte);
                    op |= bit;
                }
            }
            // The largest size is written as none.
            for (byte, bit) in (0..2).map(|byte| (low(size >> (8 * byte)), 0x10 << byte)) {
                if byte != 0 {
                    self.bytes.push(byte);
                    op |= bit;
                }
            }
            *self.bytes.get_mut(at)? = op;
            (from, left) = (from + size, left - size);
        }
        self.fits()
    }

    fn insert(&mut self, bytes: &[u8]) -> Option<()> {
        for piece in bytes.chunks(INSERT_MAX) {
            self.bytes.push(low(piece.len()));
            self.bytes.extend_from_slice(piece);
            self.fits()?;
        }
        Some(())
    }

    fn fits(&self) -> Option<()> {
        (self.bytes.len() <= self.most).then_some(())
    }

    /// What stands between what is alike; `offset` is where the base's part begins.
    fn between(&mut self, base: &[u8], offset: usize, target: &[u8]) -> Option<()> {
        if target.len() < BLOCK || base.len() < BLOCK || base.len() > SEARCHED_MAX {
            return self.insert(target);
        }
        // What stands in the base more than once does not tell where it comes from.
        let mut blocks: HashMap<&[u8], Option<usize>> = HashMap::with_capacity(base.len() / BLOCK);
        for (number, block) in base.chunks_exact(BLOCK).enumerate() {
            let seen = blocks.entry(block);
            seen.and_modify(|at| *at = None)
                .or_insert(Some(number * BLOCK));
        }
        let (mut done, mut at) = (0, 0);
        while let Some(run) = next_run(&blocks, base, target, done, at) {
            self.insert(target.get(done..run.target)?)?;
            self.copy(offset + run.base, run.length)?;
            done = run.target + run.length;
            at = done;
        }
        self.insert(target.get(done..)?)
    }
}

/// Bytes that stand in base and target alike.
struct Run {
    base: usize,
    target: usize,
    length: usize,
}

/// The longest run of those that begin nearest to `at`; it may reach back to `done`.
///
/// A block may stand in the base once only by how the base falls into blocks: such as the end of
/// one line among thousands that end alike. So the first block that is found is not believed,
/// unless what it leads to is long.
fn next_run(
    blocks: &HashMap<&[u8], Option<usize>>,
    base: &[u8],
    target: &[u8],
    done: usize,
    at: usize,
) -> Option<Run> {
    let mut best: Option<Run> = None;
    let mut until = target.len();
    for at in at..=target.len().checked_sub(BLOCK)? {
        if at >= until {
            break;
        }
        let Some(&Some(found)) = blocks.get(target.get(at..at + BLOCK)?) else {
            continue;
        };
        let (base_before, target_before) = (base.get(..found)?, target.get(done..at)?);
        let back = alike(base_before.iter().rev(), target_before.iter().rev());
        let forth = alike(base.get(found..)?.iter(), target.get(at..)?.iter());
        let length = back + forth;
        if best.as_ref().is_none_or(|best| length > best.length) {
            let (base, target) = (found - back, at - back);
            best = Some(Run {
                base,
                target,
                length,
            });
        }
        if length >= LONG {
            break;
        }
        until = until.min(at + LOOKED_AHEAD);
    }
    best
}

fn low(value: usize) -> u8 {
    u8::try_from(value & 0xff).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use refwarden_gitio::objects::apply_delta;

    #[track_caller]
    fn check(base: &[u8], target: &[u8]) -> usize {
        let delta = difference(base, target, usize::MAX).unwrap();
        let mut out = Vec::new();
        apply_delta(base, &delta, &mut out).unwrap();
        assert_eq!(out, target);
        delta.len()
    }

    #[test]
    fn differences_are_short_and_make_the_target() {
        let lines = |from: u32, to: u32| -> Vec<u8> {
            let lines = (from..to).map(|n| format!("line {n} of a file that is long enough\n"));
            lines.collect::<String>().into_bytes()
        };
        let base = lines(0, 5000);
        assert!(check(&base, &base) < 40);
        let edited = [
            lines(0, 20),
            b"x\n".to_vec(),
            lines(20, 4000),
            lines(4100, 5000),
        ]
        .concat();
        assert!(check(&base, &edited) < 80);
        assert!(check(&base, &[lines(3000, 4000), lines(0, 1000)].concat()) < 80);
        check(b"", b"abc");
        check(b"abc", b"");
        assert_eq!(difference(b"", &[b'x'; 100], 50), None);
    }

    proptest! {
        #[test]
        fn every_difference_makes_its_target(
            parts in prop::collection::vec((0..6usize, any::<bool>()), 0..40),
            noise in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let blocks: Vec<Vec<u8>> = (0..6u8).map(|n| vec![b'a' + n; 3 + 11 * usize::from(n)]).collect();
            let (mut base, mut target) = (noise.clone(), Vec::new());
            for (block, both) in parts {
                target.extend_from_slice(&blocks[block]);
                if both {
                    base.extend_from_slice(&blocks[block]);
                }
            }
            target.extend_from_slice(&noise);
            check(&base, &target);
            check(&target, &base);
        }
    }
}

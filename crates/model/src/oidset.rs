//! Sets of object ids, in parts that sets of much the same objects have in common.
//!
//! The clones of one repository on two days differ in few objects. A set is cut by the first bits
//! of its ids, so that both consist of the same parts but for a few, and each part is kept once.
//! Where an id would stand is known without looking: [`places`].

use sha2::{Digest as _, Sha256};

use crate::oid::{ObjectFormat, Oid};

/// Ids of a part, roughly.
const PART: usize = 256;

/// The most bits by which a set is cut.
pub const BITS_MAX: u8 = 16;

/// The ids of a set that begin with the same bits.
#[derive(Clone, PartialEq, Eq)]
pub struct Part {
    format: ObjectFormat,
    bits: u8,
    prefix: u16,
    oids: Vec<u8>,
}

/// Why bytes are no part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a part holds whole ids, ascending, each once, with the bits that it is for")]
pub struct PartError;

impl Part {
    /// Takes ids that came from elsewhere, one behind the other.
    ///
    /// # Errors
    /// [`PartError`].
    pub fn new(
        format: ObjectFormat,
        bits: u8,
        prefix: u16,
        oids: Vec<u8>,
    ) -> Result<Self, PartError> {
        let mut before = None;
        for raw in oids.chunks(format.raw_len()) {
            let oid = Oid::from_raw(raw).map_err(|_| PartError)?;
            if oid.format() != format || begin(&oid, bits) != prefix || before >= Some(raw) {
                return Err(PartError);
            }
            before = Some(raw);
        }
        if oids.is_empty() || bits > BITS_MAX {
            return Err(PartError);
        }
        Ok(Self {
            format,
            bits,
            prefix,
            oids,
        })
    }

    /// By how many bits its set is cut.
    pub const fn bits(&self) -> u8 {
        self.bits
    }

    /// The bits that its ids begin with.
    pub const fn prefix(&self) -> u16 {
        self.prefix
    }

    /// Its ids, ascending, in binary one behind the other.
    pub fn oids(&self) -> &[u8] {
        &self.oids
    }

    /// How many ids it has.
    pub const fn count(&self) -> usize {
        self.oids.len() / self.format.raw_len()
    }

    /// Names the part.
    pub fn digest(&self) -> [u8; 32] {
        let mut hasher = Sha256::new();
        hasher.update(b"refwarden part\0");
        hasher.update(self.format.name());
        hasher.update([0, self.bits]);
        hasher.update(self.prefix.to_be_bytes());
        hasher.update(&self.oids);
        hasher.finalize().into()
    }
}

/// Cuts a set into parts. `oids` ascend, and are of one format.
pub fn parts(format: ObjectFormat, oids: &[Oid]) -> Vec<Part> {
    let mut bits = 0;
    while bits < BITS_MAX && oids.len() >> bits > PART {
        bits += 1;
    }
    let by_prefix = oids.chunk_by(|one, other| begin(one, bits) == begin(other, bits));
    let part = |oids: &[Oid]| Part {
        format,
        bits,
        prefix: oids.first().map_or(0, |oid| begin(oid, bits)),
        oids: oids.iter().flat_map(Oid::raw).copied().collect(),
    };
    by_prefix.map(part).collect()
}

/// Names the set that consists of these parts, in this order.
pub fn set_digest<'d>(
    format: ObjectFormat,
    parts: impl IntoIterator<Item = &'d [u8; 32]>,
) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(b"refwarden set\0");
    hasher.update(format.name());
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// The parts in which an id would stand, by bits and prefix, for sets of every size.
pub fn places(oid: &Oid) -> impl Iterator<Item = (u8, u16)> {
    (0..=BITS_MAX).map(|bits| (bits, begin(oid, bits)))
}

/// The first bits of an id.
fn begin(oid: &Oid, bits: u8) -> u16 {
    let first = oid.raw().first_chunk::<2>().copied().unwrap_or_default();
    let whole = u32::from(u16::from_be_bytes(first));
    u16::try_from(whole >> (BITS_MAX - bits.min(BITS_MAX))).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oids(count: u32) -> Vec<Oid> {
        let oid = |n: u32| {
            let raw: [u8; 32] = Sha256::digest(n.to_be_bytes()).into();
            Oid::from_raw(&raw[..20]).unwrap()
        };
        let mut oids: Vec<Oid> = (0..count).map(oid).collect();
        oids.sort();
        oids
    }

    #[test]
    fn every_id_stands_where_it_is_looked_for_and_nowhere_else() {
        for count in [0, 1, 256, 257, 5000] {
            let oids = oids(count);
            let parts = parts(ObjectFormat::Sha1, &oids);
            let total: usize = parts.iter().map(Part::count).sum();
            assert_eq!(total, oids.len());
            for oid in &oids {
                let here: Vec<_> = places(oid).collect();
                let holding = parts.iter().filter(|part| {
                    here.contains(&(part.bits(), part.prefix()))
                        && part.oids().chunks(20).any(|raw| raw == oid.raw())
                });
                assert_eq!(holding.count(), 1);
            }
        }
    }

    #[test]
    fn sets_of_much_the_same_objects_have_most_parts_in_common() {
        let many = oids(20_000);
        let (one, other) = (many[..19_990].to_vec(), many);
        let digests = |oids: &[Oid]| {
            let parts = parts(ObjectFormat::Sha1, oids);
            let digests: Vec<_> = parts.iter().map(Part::digest).collect();
            digests
        };
        let (one, other) = (digests(&one), digests(&other));
        let new = other.iter().filter(|part| !one.contains(part)).count();
        assert!(other.len() > 60 && new <= 10, "{new} of {}", other.len());
        let format = ObjectFormat::Sha1;
        assert_ne!(set_digest(format, &one), set_digest(format, &other));
    }

    #[test]
    fn what_is_no_part_is_refused() {
        let oids = oids(300);
        let part = &parts(ObjectFormat::Sha1, &oids)[0];
        let again =
            |bits, prefix, oids: &[u8]| Part::new(ObjectFormat::Sha1, bits, prefix, oids.to_vec());
        let (bits, prefix, bytes) = (part.bits(), part.prefix(), part.oids());
        assert!(again(bits, prefix, bytes).as_ref() == Ok(part));
        let mut swapped = bytes[20..40].to_vec();
        swapped.extend_from_slice(&bytes[..20]);
        for bad in [
            again(bits, prefix + 1, bytes),
            again(bits, prefix, &bytes[1..]),
            again(bits, prefix, &[]),
            again(bits, prefix, &swapped),
            again(17, prefix, bytes),
            again(bits, prefix, &[&bytes[..20], &bytes[..20]].concat()),
        ] {
            assert!(bad.is_err());
        }
    }
}

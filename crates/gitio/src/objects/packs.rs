//! The packs of a repository, entry by entry, as they stand on disk (gitformat-pack(5)).
//!
//! For those who read a whole repository: each object is resolved once, after its delta's base
//! ([`walk`](super::walk)), and what is compressed can be copied as it is. Who reads a few
//! objects asks [`super::open`].
//!
//! What it deliberately does not do: no loose objects and no alternates. A pack that cannot be
//! read is left out, and so is an entry that is not as the format says; the caller reads those
//! objects by other means, which say what is wrong.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use flate2::{Decompress, FlushDecompress, Status};
use refwarden_model::{ObjectFormat, Oid};

use super::Kind;
use crate::packidx;
use crate::settings::Repository;

/// Bytes that are read at once where headers are looked at.
const WINDOW: usize = 256 * 1024;

/// Longest header of an entry, in bytes: a size of 64 bits, and a name or a distance.
const HEADER_MAX: usize = 10 + 32;

/// Where an object stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Which pack, counted from 0.
    pub pack: u32,
    /// Which entry of it, by offset, counted from 0.
    pub entry: u32,
}

/// How an entry holds its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// Whole.
    Whole(Kind),
    /// As a difference to another entry of the pack.
    Delta(u32),
    /// In no way that is understood here, or as a difference to what is not in the pack.
    Odd,
}

/// One entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) oid: Oid,
    pub(super) held: Held,
    /// Length of what is compressed, in bytes: of the object, or of the difference.
    pub(super) size: u64,
    /// Where that begins in the pack.
    data: u64,
}

/// A pack that is open.
pub(super) struct Pack {
    file: File,
    /// Ascending by offset.
    pub(super) entries: Vec<Entry>,
    /// Where each entry begins, and where the last one ends.
    offsets: Vec<u64>,
}

/// All packs that can be read.
pub struct Packs {
    pub(super) packs: Vec<Pack>,
}

impl Packs {
    /// Opens the packs of a repository itself, and looks at the header of each entry.
    pub fn open(repository: &Repository) -> Self {
        let format = repository.object_format;
        let found = std::fs::read_dir(repository.gitdir.join("objects/pack"));
        let found = found.into_iter().flatten().filter_map(Result::ok);
        let mut indexes: Vec<_> = found
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|it| it == "idx"))
            .collect();
        indexes.sort_unstable();
        let packs = indexes.iter().filter_map(|path| Pack::open(path, format));
        Self {
            packs: packs.collect(),
        }
    }

    /// Every object with its place, sorted; of several places of one, the first.
    pub fn objects(&self) -> Vec<(Oid, Place)> {
        let mut all = Vec::with_capacity(self.packs.iter().map(|pack| pack.entries.len()).sum());
        for (pack, held) in (0..).zip(&self.packs) {
            let entries = (0..).zip(&held.entries);
            all.extend(entries.map(|(entry, it)| (it.oid, Place { pack, entry })));
        }
        all.sort_unstable();
        all.dedup_by_key(|(oid, _)| *oid);
        all
    }

    /// How many entries a pack has.
    pub fn len_of(&self, pack: u32) -> usize {
        self.pack(pack).map_or(0, |pack| pack.entries.len())
    }

    /// How many packs there are.
    pub fn count(&self) -> usize {
        self.packs.len()
    }

    /// How an object is held.
    pub fn held(&self, place: Place) -> Held {
        self.entry(place).map_or(Held::Odd, |entry| entry.held)
    }

    /// What the pack's index calls the object at a place.
    pub fn name(&self, place: Place) -> Option<Oid> {
        self.entry(place).map(|entry| entry.oid)
    }

    /// Length of what is compressed at a place, once it is inflated.
    pub fn size(&self, place: Place) -> u64 {
        self.entry(place).map_or(0, |entry| entry.size)
    }

    /// Length of what is compressed at a place, up to the next entry, in bytes.
    pub fn length(&self, place: Place) -> u64 {
        let pack = self.pack(place.pack);
        pack.map_or(0, |pack| pack.length(place.entry))
    }

    /// Reads a part of what is compressed at a place.
    ///
    /// # Errors
    ///
    /// What the system says; an end of file where the place has no such part.
    pub fn read(&self, place: Place, from: u64, into: &mut [u8]) -> io::Result<()> {
        let pack = self.pack(place.pack);
        let entry = pack.and_then(|pack| Some((pack, pack.entries.get(place.entry as usize)?)));
        let (pack, entry) = entry.ok_or(io::ErrorKind::UnexpectedEof)?;
        if from + into.len() as u64 > pack.length(place.entry) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        pack.file.read_exact_at(into, entry.data + from)
    }

    /// Whether what is compressed at a place inflates to its length and ends with the entry, so
    /// that a copy holds nothing besides.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn is_exact(&self, place: Place) -> io::Result<bool> {
        let (size, length) = (self.size(place), self.length(place));
        let mut inflate = Decompress::new(true);
        let (mut piece, mut out) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
        let mut from = 0;
        while from < length {
            let left = usize::try_from(length - from).unwrap_or(usize::MAX);
            let piece = piece.get_mut(..left.min(64 * 1024)).unwrap_or_default();
            self.read(place, from, piece)?;
            let mut taken = 0;
            while taken < piece.len() {
                let before = (inflate.total_in(), inflate.total_out());
                let rest = piece.get(taken..).unwrap_or_default();
                let status = inflate.decompress(rest, &mut out, FlushDecompress::None);
                taken += usize::try_from(inflate.total_in() - before.0).unwrap_or(usize::MAX);
                match status {
                    Ok(Status::StreamEnd) => {
                        return Ok((inflate.total_in(), inflate.total_out()) == (length, size));
                    }
                    Ok(_) if (inflate.total_in(), inflate.total_out()) != before => {}
                    _ => return Ok(false),
                }
            }
            from += piece.len() as u64;
        }
        Ok(false)
    }

    pub(super) fn pack(&self, pack: u32) -> Option<&Pack> {
        self.packs.get(pack as usize)
    }

    fn entry(&self, place: Place) -> Option<&Entry> {
        self.pack(place.pack)?.entries.get(place.entry as usize)
    }
}

impl Pack {
    fn open(index: &Path, format: ObjectFormat) -> Option<Self> {
        let mut listed = packidx::parse(&std::fs::read(index).ok()?, format).ok()?;
        listed.sort_unstable_by_key(|it| it.offset);
        let file = File::open(index.with_extension("pack")).ok()?;
        let trailer = format.raw_len() as u64;
        let end = file.metadata().ok()?.len().checked_sub(trailer)?;
        let mut offsets: Vec<u64> = listed.iter().map(|it| it.offset).collect();
        offsets.push(end);
        // Two entries at one place, or one behind the end: not a pack and its index.
        if !offsets.is_sorted_by(|a, b| a < b) || u32::try_from(offsets.len()).is_err() {
            return None;
        }
        let mut pack = Self {
            file,
            entries: Vec::with_capacity(listed.len()),
            offsets,
        };
        let mut names: Vec<(Oid, u32)> = Vec::new();
        let mut window = Window::default();
        for it in &listed {
            let room = usize::try_from(end - it.offset).unwrap_or(usize::MAX);
            let bytes = window.at(&pack.file, it.offset, room.min(HEADER_MAX), end)?;
            let entry = header(bytes, it.offset, format, &pack.offsets);
            let (held, size, length) = match entry {
                Some(Header::Whole(kind, size, length)) => (Held::Whole(kind), size, length),
                Some(Header::Offset(base, size, length)) => (Held::Delta(base), size, length),
                Some(Header::Named(base, size, length)) => {
                    if names.is_empty() {
                        names = (0..).zip(&listed).map(|(at, it)| (it.oid, at)).collect();
                        names.sort_unstable();
                    }
                    let found = names.binary_search_by_key(&base, |(oid, _)| *oid).ok();
                    let found = found.and_then(|at| names.get(at));
                    let held = found.map_or(Held::Odd, |(_, at)| Held::Delta(*at));
                    (held, size, length)
                }
                None => (Held::Odd, 0, 0),
            };
            pack.entries.push(Entry {
                oid: it.oid,
                held,
                size,
                data: it.offset + length as u64,
            });
        }
        Some(pack)
    }

    fn length(&self, entry: u32) -> u64 {
        let end = self.offsets.get(entry as usize + 1).copied().unwrap_or(0);
        let data = self.entries.get(entry as usize).map_or(end, |it| it.data);
        end.saturating_sub(data)
    }

    /// Reads all that is compressed in an entry; none where that is more than `most` bytes, or
    /// cannot be read.
    pub(super) fn compressed_within(
        &self,
        entry: u32,
        most: u64,
        into: &mut Vec<u8>,
    ) -> Option<()> {
        let it = self.entries.get(entry as usize)?;
        let length = Some(self.length(entry)).filter(|length| *length <= most)?;
        into.resize(usize::try_from(length).ok()?, 0);
        self.file.read_exact_at(into, it.data).ok()
    }
}

/// A part of a file that was read ahead.
#[derive(Default)]
struct Window {
    bytes: Vec<u8>,
    from: u64,
}

impl Window {
    fn at(&mut self, file: &File, offset: u64, length: usize, end: u64) -> Option<&[u8]> {
        let there = self.from..self.from + self.bytes.len() as u64;
        if !there.contains(&offset) || offset + length as u64 > there.end {
            let left = usize::try_from(end.checked_sub(offset)?).unwrap_or(usize::MAX);
            self.bytes.resize(left.min(WINDOW), 0);
            self.from = offset;
            if file.read_exact_at(&mut self.bytes, offset).is_err() {
                self.bytes.clear();
                return None;
            }
        }
        let from = usize::try_from(offset - self.from).ok()?;
        self.bytes.get(from..from + length)
    }
}

/// What an entry's header says: type, size, its own length in bytes.
enum Header {
    Whole(Kind, u64, usize),
    Offset(u32, u64, usize),
    Named(Oid, u64, usize),
}

fn header(bytes: &[u8], offset: u64, format: ObjectFormat, offsets: &[u64]) -> Option<Header> {
    let first = *bytes.first()?;
    let mut size = u64::from(first & 0x0f);
    let (mut at, mut shift, mut more) = (1, 4, first & 0x80 != 0);
    while more {
        let byte = *bytes.get(at)?;
        if shift > 57 {
            return None;
        }
        size |= u64::from(byte & 0x7f) << shift;
        (at, shift, more) = (at + 1, shift + 7, byte & 0x80 != 0);
    }
    let kind = match first >> 4 & 7 {
        1 => Kind::Commit,
        2 => Kind::Tree,
        3 => Kind::Blob,
        4 => Kind::Tag,
        6 => {
            let mut byte = *bytes.get(at)?;
            let mut back = u64::from(byte & 0x7f);
            at += 1;
            while byte & 0x80 != 0 {
                byte = *bytes.get(at)?;
                back = back.checked_add(1)?.checked_mul(128)? | u64::from(byte & 0x7f);
                at += 1;
            }
            let base = offsets.binary_search(&offset.checked_sub(back)?).ok()?;
            return Some(Header::Offset(u32::try_from(base).ok()?, size, at));
        }
        7 => {
            let oid = Oid::from_raw(bytes.get(at..at + format.raw_len())?).ok()?;
            return Some(Header::Named(oid, size, at + format.raw_len()));
        }
        _ => return None,
    };
    Some(Header::Whole(kind, size, at))
}

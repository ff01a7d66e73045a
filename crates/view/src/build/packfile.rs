//! Writes a pack and its index (gitformat-pack(5)) into a shadow.
//!
//! Objects that are as in the original are copied compressed as they stand, from the very place
//! where they were read and found allowed, and a difference only beside its base. What cannot be
//! copied so is read again and written whole.

use std::fs::{File, Permissions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use flate2::{Compression, Crc, write::ZlibEncoder};
use refwarden_gitio::objects::{self, Event, Held, Kind, Packs, Place};
use refwarden_gitio::{ObjectEnv, Repository};
use refwarden_model::{ObjectFormat, Oid};
use tempfile::NamedTempFile;

use super::pile::Pile;
use super::universe::Names;
use super::{BuildError, WHOLE_MAX};
use crate::hash::Sum;

/// Bytes that are copied at once.
const PIECE: usize = 256 * 1024;

/// Offsets from here on stand in a table of their own.
const FAR: u64 = 1 << 31;

/// Writes the objects of a plan as one pack into `directory`. `same`: names and places, sorted by
/// name.
pub(super) fn write(
    original: &Repository,
    packs: Option<&Packs>,
    same: &[(Oid, Option<Place>)],
    pile: &Pile,
    directory: &Path,
) -> Result<(), BuildError> {
    let all = same.iter().map(|(oid, _)| *oid);
    let all = all.chain(pile.items().iter().map(|item| item.oid));
    let names = Names::new(all.collect());
    let mut pack = PackFile::new(original.object_format, names, directory)?;
    pack.pile(pile)?;
    let mut placed: Vec<(Place, Oid)> = same
        .iter()
        .filter(|(oid, _)| !pile.holds(*oid))
        .filter_map(|(oid, place)| Some(((*place)?, *oid)))
        .collect();
    placed.sort_unstable();
    let unplaced = same.iter().filter(|(_, place)| place.is_none());
    let mut others: Vec<Oid> = unplaced.map(|(oid, _)| *oid).collect();
    others.retain(|oid| !pile.holds(*oid));
    match packs {
        Some(packs) => pack.copies(packs, &placed, &mut others)?,
        None => others.extend(placed.iter().map(|(_, oid)| *oid)),
    }
    pack.whole(original, &others)?;
    pack.finish(directory)
}

struct PackFile {
    format: ObjectFormat,
    out: BufWriter<NamedTempFile>,
    sum: Sum,
    offset: u64,
    crc: Crc,
    names: Names,
    /// By number: where it begins, 0 for nowhere yet, and its checksum.
    entries: Vec<(u64, u32)>,
    /// What is being written.
    current: Option<(usize, u64)>,
}

impl PackFile {
    fn new(format: ObjectFormat, names: Names, directory: &Path) -> Result<Self, BuildError> {
        let file = tempfile::Builder::new()
            .prefix("tmp_pack_")
            .permissions(Permissions::from_mode(0o444))
            .tempfile_in(directory)?;
        let count = u32::try_from(names.len()).map_err(std::io::Error::other)?;
        let mut pack = Self {
            format,
            out: BufWriter::with_capacity(PIECE, file),
            sum: Sum::new(format),
            offset: 0,
            crc: Crc::new(),
            entries: vec![(0, 0); names.len()],
            names,
            current: None,
        };
        pack.put(b"PACK")?;
        pack.put(&2u32.to_be_bytes())?;
        pack.put(&count.to_be_bytes())?;
        Ok(pack)
    }

    fn put(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.sum.update(bytes);
        self.crc.update(bytes);
        self.offset += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    /// Begins the entry of an object, which must not be there yet.
    fn begin(&mut self, oid: Oid, how: &How, size: u64) -> Result<(), BuildError> {
        let number = self.names.find(oid).map(|number| number as usize);
        let number = number.filter(|at| self.entries.get(*at).is_some_and(|it| it.0 == 0));
        let number = number.ok_or_else(|| {
            BuildError::NotAsPlanned(format!("{oid} is written and was not planned, or twice"))
        })?;
        self.crc.reset();
        self.current = Some((number, self.offset));
        let header = header(how, size, self.offset);
        Ok(self.put(&header)?)
    }

    fn end(&mut self) {
        if let Some((number, offset)) = self.current.take()
            && let Some(entry) = self.entries.get_mut(number)
        {
            *entry = (offset, self.crc.sum());
        }
    }

    /// Where an object was written.
    fn written(&self, oid: Oid) -> Option<u64> {
        let number = self.names.find(oid)? as usize;
        let offset = self.entries.get(number)?.0;
        (offset > 0).then_some(offset)
    }

    fn pile(&mut self, pile: &Pile) -> Result<(), BuildError> {
        let mut bytes = Vec::new();
        let is_text = |kind| matches!(kind, Kind::Commit | Kind::Tag);
        // Commits first, as git has it: they are read on their own.
        for texts in [true, false] {
            for item in pile.items().iter().filter(|it| is_text(it.kind) == texts) {
                let how = match item.base.and_then(|base| pile.items().get(base as usize)) {
                    None => How::Whole(item.kind),
                    Some(base) => How::Delta(self.written(base.oid).unwrap_or(0)),
                };
                self.begin(item.oid, &how, item.size as u64)?;
                pile.read(item, &mut bytes)?;
                self.put(&bytes)?;
                self.end();
            }
        }
        Ok(())
    }

    /// Copies objects in the order in which they stand. What cannot be copied goes to `others`.
    fn copies(
        &mut self,
        packs: &Packs,
        placed: &[(Place, Oid)],
        others: &mut Vec<Oid>,
    ) -> Result<(), BuildError> {
        let mut piece = vec![0; PIECE];
        for (place, oid) in placed {
            let how = match packs.held(*place) {
                Held::Whole(kind) => Some(How::Whole(kind)),
                Held::Delta(entry) => {
                    let base = packs.name(Place { entry, ..*place });
                    base.and_then(|base| self.written(base)).map(How::Delta)
                }
                Held::Odd => None,
            };
            let Some(how) = how else {
                others.push(*oid);
                continue;
            };
            self.begin(*oid, &how, packs.size(*place))?;
            let (mut from, length) = (0, packs.length(*place));
            while from < length {
                let left = usize::try_from(length - from).unwrap_or(usize::MAX);
                let piece = piece.get_mut(..left.min(PIECE)).unwrap_or_default();
                packs.read(*place, from, piece)?;
                from += piece.len() as u64;
                self.put(piece)?;
            }
            self.end();
        }
        Ok(())
    }

    /// Writes objects whole, as the original's git reads them.
    fn whole(&mut self, original: &Repository, oids: &[Oid]) -> Result<(), BuildError> {
        if oids.is_empty() {
            return Ok(());
        }
        let env = ObjectEnv::repository_only();
        let mut failed = None;
        let mut name: Option<Sum> = None;
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        objects::each(original, &env, oids, WHOLE_MAX, &mut |at, event| {
            let Some(oid) = oids.get(at).copied().filter(|_| failed.is_none()) else {
                return;
            };
            let take = || {
                let (header, bytes, is_last) = match event {
                    Event::Failed(error) => return Err(error.into()),
                    Event::Whole(header, bytes) => (header, bytes, true),
                    Event::Piece(header, bytes) => (header, bytes, false),
                    Event::End(header) => (header, &[][..], true),
                };
                if name.is_none() {
                    let mut sum = Sum::new(self.format);
                    sum.update(format!("{} {}\0", header.kind.name(), header.size).as_bytes());
                    name = Some(sum);
                    self.begin(oid, &How::Whole(header.kind), header.size)?;
                }
                if let Some(name) = &mut name {
                    name.update(bytes);
                }
                encoder.write_all(bytes)?;
                if is_last {
                    let rest = encoder.reset(Vec::new())?;
                    self.put(&rest)?;
                    self.end();
                    if name.take().map(Sum::finish) != Some(oid) {
                        let problem = format!("{oid} is another object than its name says");
                        return Err(BuildError::NotAsPlanned(problem));
                    }
                } else if encoder.get_ref().len() >= PIECE {
                    let ready = std::mem::take(encoder.get_mut());
                    self.put(&ready)?;
                }
                Ok::<(), BuildError>(())
            };
            failed = take().err();
        })?;
        failed.map_or(Ok(()), Err)
    }

    /// Ends the pack, writes its index, and gives both their names.
    fn finish(mut self, directory: &Path) -> Result<(), BuildError> {
        if let Some(at) = self.entries.iter().position(|entry| entry.0 == 0) {
            let oid = self.names.all().get(at).copied();
            let oid = oid.unwrap_or(self.format.zero());
            return Err(BuildError::NotAsPlanned(format!("{oid} was not written")));
        }
        let format = self.format;
        let sum = std::mem::replace(&mut self.sum, Sum::new(format)).finish();
        self.out.write_all(sum.raw())?;
        let index = tempfile::Builder::new()
            .prefix("tmp_idx_")
            .permissions(Permissions::from_mode(0o444))
            .tempfile_in(directory)?;
        let mut out = BufWriter::with_capacity(PIECE, index);
        self.index(sum, &mut out)?;
        let pack = self.out.into_inner();
        let pack = pack.map_err(std::io::IntoInnerError::into_error)?;
        let index = out.into_inner();
        let index = index.map_err(std::io::IntoInnerError::into_error)?;
        pack.as_file().sync_all()?;
        index.as_file().sync_all()?;
        // The index last: it makes the pack one.
        for (file, extension) in [(pack, "pack"), (index, "idx")] {
            let path = directory.join(format!("pack-{sum}.{extension}"));
            file.persist(path).map_err(|error| error.error)?;
        }
        File::open(directory)?.sync_all()?;
        Ok(())
    }

    /// The index, version 2.
    fn index(&self, sum: Oid, out: &mut impl Write) -> std::io::Result<()> {
        let mut own = Sum::new(self.format);
        let mut put = |bytes: &[u8]| {
            own.update(bytes);
            out.write_all(bytes)
        };
        put(b"\xfftOc\0\0\0\x02")?;
        let all = self.names.all();
        let mut below = 0;
        for first in 0..=u8::MAX {
            below += all
                .get(below..)
                .unwrap_or_default()
                .partition_point(|oid| oid.raw().first().is_some_and(|byte| *byte <= first));
            let below = u32::try_from(below).map_err(std::io::Error::other)?;
            put(&below.to_be_bytes())?;
        }
        for oid in all {
            put(oid.raw())?;
        }
        for (_, crc) in &self.entries {
            put(&crc.to_be_bytes())?;
        }
        let mut far = Vec::new();
        for (offset, _) in &self.entries {
            let near = u32::try_from(*offset).ok().filter(|_| *offset < FAR);
            let near = near.unwrap_or_else(|| {
                far.push(*offset);
                u32::try_from(far.len() - 1).unwrap_or(u32::MAX) | 1 << 31
            });
            put(&near.to_be_bytes())?;
        }
        for offset in far {
            put(&offset.to_be_bytes())?;
        }
        put(sum.raw())?;
        out.write_all(own.finish().raw())?;
        out.flush()
    }
}

/// How an entry holds its object.
enum How {
    Whole(Kind),
    /// As a difference to the entry at this offset.
    Delta(u64),
}

/// Type, size, and how far back the base is.
fn header(how: &How, size: u64, offset: u64) -> Vec<u8> {
    let number: u8 = match how {
        How::Whole(Kind::Commit) => 1,
        How::Whole(Kind::Tree) => 2,
        How::Whole(Kind::Blob) => 3,
        How::Whole(Kind::Tag) => 4,
        How::Delta(_) => 6,
    };
    let low = |value: u64, mask: u8| u8::try_from(value & u64::from(mask)).unwrap_or(0);
    let mut byte = number << 4 | low(size, 0x0f);
    let mut size = size >> 4;
    let mut out = Vec::new();
    while size > 0 {
        out.push(byte | 0x80);
        byte = low(size, 0x7f);
        size >>= 7;
    }
    out.push(byte);
    if let How::Delta(base) = how {
        let mut back = offset.saturating_sub(*base);
        let mut bytes = vec![low(back, 0x7f)];
        while back >> 7 > 0 {
            back = (back >> 7) - 1;
            bytes.push(low(back, 0x7f) | 0x80);
        }
        out.extend(bytes.iter().rev());
    }
    out
}

//! Rewritten objects, as they will stand in the shadow's pack, in a temporary file without a name.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt as _;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use refwarden_gitio::objects::Kind;
use refwarden_model::{ObjectFormat, Oid};

use super::differ::difference;
use crate::hash::object_id;

/// Differences upon each other, at most, as `git pack-objects` has it (`--depth`).
const DEPTH_MAX: u8 = 50;

/// Bytes of last versions that are held.
const HELD_MAX: usize = 64 << 20;

/// Objects above this are never differences, in bytes.
const DIFFERED_MAX: usize = 4 << 20;

/// One object.
pub(super) struct Item {
    pub(super) oid: Oid,
    pub(super) kind: Kind,
    /// The item that it is a difference to; an earlier one.
    pub(super) base: Option<u32>,
    /// Length of what is compressed, in bytes.
    pub(super) size: usize,
    at: u64,
    length: usize,
}

/// The last object at a path.
struct Last {
    item: u32,
    depth: u8,
    bytes: Vec<u8>,
}

/// Objects that were rewritten.
pub(super) struct Pile {
    format: ObjectFormat,
    out: BufWriter<File>,
    end: u64,
    items: Vec<Item>,
    known: HashMap<Oid, u32>,
    last: HashMap<Vec<u8>, Last>,
    held: usize,
}

impl Pile {
    pub(super) fn new(format: ObjectFormat) -> std::io::Result<Self> {
        Ok(Self {
            format,
            out: BufWriter::with_capacity(256 * 1024, tempfile::tempfile()?),
            end: 0,
            items: Vec::new(),
            known: HashMap::new(),
            last: HashMap::new(),
            held: 0,
        })
    }

    /// Adds an object, unless it is there already; answers its name. With a path it may become
    /// a difference to what was added at that path before.
    pub(super) fn add(
        &mut self,
        kind: Kind,
        bytes: &[u8],
        path: Option<&[u8]>,
    ) -> std::io::Result<Oid> {
        let oid = object_id(self.format, kind, bytes);
        if self.known.contains_key(&oid) {
            return Ok(oid);
        }
        let number = u32::try_from(self.items.len()).map_err(std::io::Error::other)?;
        let path = path.filter(|_| bytes.len() <= DIFFERED_MAX);
        let last = path.and_then(|path| self.last.get(path));
        let differed = last.filter(|last| last.depth < DEPTH_MAX).and_then(|last| {
            let most = bytes.len() / 2;
            let delta = difference(&last.bytes, bytes, most)?;
            let kind_of = self.items.get(last.item as usize).map(|item| item.kind);
            (kind_of == Some(kind)).then_some((delta, last.item, last.depth + 1))
        });
        let (base, depth) = match &differed {
            Some((_, base, depth)) => (Some(*base), *depth),
            None => (None, 0),
        };
        let held = differed.as_ref().map_or(bytes, |(delta, ..)| delta);
        let mut encoder = ZlibEncoder::new(Counted(&mut self.out, 0), Compression::default());
        encoder.write_all(held)?;
        let length = encoder.finish()?.1;
        self.items.push(Item {
            oid,
            kind,
            base,
            size: held.len(),
            at: self.end,
            length,
        });
        self.end += length as u64;
        self.known.insert(oid, number);
        if let Some(path) = path {
            self.remember(path, number, depth, bytes);
        }
        Ok(oid)
    }

    fn remember(&mut self, path: &[u8], item: u32, depth: u8, bytes: &[u8]) {
        if self.held + bytes.len() > HELD_MAX {
            self.last.clear();
            self.held = 0;
        }
        let last = Last {
            item,
            depth,
            bytes: bytes.to_vec(),
        };
        self.held += bytes.len();
        if let Some(before) = self.last.insert(path.to_vec(), last) {
            self.held -= before.bytes.len();
        }
    }

    /// Forgets what is only needed to add more.
    pub(super) fn close(&mut self) -> std::io::Result<()> {
        self.last = HashMap::new();
        self.out.flush()
    }

    /// How many were added.
    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// All of them, each after what it is a difference to.
    pub(super) fn items(&self) -> &[Item] {
        &self.items
    }

    /// Whether an object was added.
    pub(super) fn holds(&self, oid: Oid) -> bool {
        self.known.contains_key(&oid)
    }

    /// Reads what is compressed of an item, once the pile is closed.
    pub(super) fn read(&self, item: &Item, into: &mut Vec<u8>) -> std::io::Result<()> {
        into.resize(item.length, 0);
        self.out.get_ref().read_exact_at(into, item.at)
    }
}

/// Counts what is written.
struct Counted<W>(W, usize);

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.0.write(bytes)?;
        self.1 += written;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

//! Writes rewritten objects as one pack (gitformat-pack(5)), each whole and compressed.
//!
//! Never as loose files: those take twenty times as long. Deltas are left to `git repack`.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read as _, Seek as _, Write};

use flate2::Compression;
use flate2::write::ZlibEncoder;
use refwarden_gitio::objects::Kind;
use refwarden_model::{ObjectFormat, Oid};

use crate::hash::{Sum, object_id};

/// Objects for a pack, spooled to a temporary file without a name.
pub(crate) struct Spool {
    format: ObjectFormat,
    file: BufWriter<File>,
    known: HashSet<Oid>,
}

impl Spool {
    pub(crate) fn new(format: ObjectFormat) -> std::io::Result<Self> {
        Ok(Self {
            format,
            file: BufWriter::with_capacity(256 * 1024, tempfile::tempfile()?),
            known: HashSet::new(),
        })
    }

    /// Adds an object, unless it is there already; answers its name.
    pub(crate) fn add(&mut self, kind: Kind, bytes: &[u8]) -> std::io::Result<Oid> {
        let oid = object_id(self.format, kind, bytes);
        if self.known.insert(oid) {
            self.file.write_all(&header(kind, bytes.len()))?;
            let mut encoder = ZlibEncoder::new(&mut self.file, Compression::fast());
            encoder.write_all(bytes)?;
            encoder.finish()?;
        }
        Ok(oid)
    }

    /// Writes the pack.
    pub(crate) fn write(self, out: &mut (impl Write + ?Sized)) -> std::io::Result<()> {
        let count = u32::try_from(self.known.len()).map_err(std::io::Error::other)?;
        let mut sum = Sum::new(self.format);
        let mut put = |bytes: &[u8]| {
            sum.update(bytes);
            out.write_all(bytes)
        };
        put(&[
            b"PACK".as_slice(),
            &2u32.to_be_bytes(),
            &count.to_be_bytes(),
        ]
        .concat())?;
        let mut file = self
            .file
            .into_inner()
            .map_err(std::io::IntoInnerError::into_error)?;
        file.rewind()?;
        let mut file = BufReader::new(file);
        let mut piece = vec![0; 64 * 1024];
        loop {
            let length = file.read(&mut piece)?;
            if length == 0 {
                break;
            }
            put(piece.get(..length).unwrap_or_default())?;
        }
        out.write_all(sum.finish().raw())
    }
}

/// Type and size of an entry: three bits and a size of variable length.
fn header(kind: Kind, size: usize) -> Vec<u8> {
    let number: u8 = match kind {
        Kind::Commit => 1,
        Kind::Tree => 2,
        Kind::Blob => 3,
        Kind::Tag => 4,
    };
    let low = |value: usize, mask: u8| u8::try_from(value & usize::from(mask)).unwrap_or(0);
    let mut byte = number << 4 | low(size, 0x0f);
    let mut size = size >> 4;
    let mut out = Vec::new();
    while size > 0 {
        out.push(byte | 0x80);
        byte = low(size, 0x7f);
        size >>= 7;
    }
    out.push(byte);
    out
}

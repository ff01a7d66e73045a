//! Recognises containers by their first bytes.

use super::tar;

/// Bytes of the beginning that tell a container, at most.
pub(super) const PREFIX: usize = tar::BLOCK;

/// A kind of container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// PKWARE's APPNOTE.TXT, section 4.3.
    Zip,
    /// POSIX.1-2017 `pax`, with GNU's long names; also the format before it.
    Tar,
    /// RFC 1952.
    Gzip,
    /// <https://tukaani.org/xz/xz-file-format.txt>.
    Xz,
    /// RFC 8878.
    Zstd,
    /// Not looked into.
    SevenZip,
    /// Not looked into.
    Rar,
    /// Not looked into.
    Bzip2,
}

/// Magic numbers.
const MAGIC: [(&[u8], Format); 8] = [
    (b"PK\x03\x04", Format::Zip),
    // Without any member.
    (b"PK\x05\x06", Format::Zip),
    (b"\x1f\x8b\x08", Format::Gzip),
    (b"\xfd7zXZ\0", Format::Xz),
    (b"\x28\xb5\x2f\xfd", Format::Zstd),
    (b"7z\xbc\xaf\x27\x1c", Format::SevenZip),
    (b"Rar!\x1a\x07", Format::Rar),
    // Followed by the size and the magic number of the first block.
    (b"BZh", Format::Bzip2),
];

/// The last three bytes of the magic number of a skippable frame, which a zstd file may begin with;
/// the first is from 0x50 to 0x5f (RFC 8878, section 3.1.2).
const SKIPPABLE: &[u8] = b"\x2a\x4d\x18";

/// The magic number of a block of bzip2, behind the stream's four bytes.
const BZIP2_BLOCK: &[u8] = b"1AY&SY";

impl Format {
    /// Whether an input with this end may be a zip archive, whatever it begins with; the last
    /// 66 000 bytes tell.
    pub fn ends_like_zip(bytes: &[u8]) -> bool {
        super::zip::ends_like_one(bytes)
    }

    /// Whether it is a compressed stream, which has no names of members: what it holds is scanned
    /// under its own path, less an extension.
    pub const fn is_compressed(self) -> bool {
        matches!(self, Self::Gzip | Self::Xz | Self::Zstd)
    }

    /// Recognises a container by its first 512 bytes (more do no harm).
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let magic = MAGIC.iter().find(|(magic, _)| bytes.starts_with(magic));
        match magic {
            Some((_, Self::Bzip2)) => {
                let block = bytes.get(4..).unwrap_or_default();
                block.starts_with(BZIP2_BLOCK).then_some(Self::Bzip2)
            }
            Some((_, format)) => Some(*format),
            None if matches!(bytes, [0x50..=0x5f, rest @ ..] if rest.starts_with(SKIPPABLE)) => {
                Some(Self::Zstd)
            }
            None => tar::is_header(bytes).then_some(Self::Tar),
        }
    }
}

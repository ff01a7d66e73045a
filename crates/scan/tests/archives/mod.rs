//! Makes small archives.

use std::io::Write;

use flate2::{Compression, Crc};

/// A member of a zip archive that can be made wrong.
pub struct Entry {
    pub name: String,
    pub data: Vec<u8>,
    pub size: usize,
    pub crc: u32,
    pub method: u16,
    pub flags: u16,
    /// Whether the central directory has it.
    pub is_listed: bool,
    /// Whether checksum and sizes stand behind the data, as where they were not known before.
    pub is_streamed: bool,
}

impl Entry {
    pub fn stored(name: &str, bytes: &[u8]) -> Self {
        let mut crc = Crc::new();
        crc.update(bytes);
        Self {
            name: name.to_owned(),
            data: bytes.to_vec(),
            size: bytes.len(),
            crc: crc.sum(),
            method: 0,
            flags: 0,
            is_listed: true,
            is_streamed: false,
        }
    }

    pub fn deflated(name: &str, bytes: &[u8]) -> Self {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        Self {
            data: encoder.finish().unwrap(),
            method: 8,
            ..Self::stored(name, bytes)
        }
    }

    pub fn streamed(name: &str, bytes: &[u8]) -> Self {
        Self {
            flags: 1 << 3,
            is_streamed: true,
            ..Self::deflated(name, bytes)
        }
    }

    /// Checksum and sizes.
    fn sums(&self) -> Vec<u8> {
        let sizes = [self.data.len(), self.size].map(|size| u32::try_from(size).unwrap());
        let sums = [self.crc, sizes[0], sizes[1]];
        sums.iter().flat_map(|sum| sum.to_le_bytes()).collect()
    }

    /// What local header and central directory share, from the flags on.
    fn common(&self, sums: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for short in [self.flags, self.method, 0, 0] {
            out.extend(short.to_le_bytes());
        }
        out.extend(sums);
        out.extend(u16::try_from(self.name.len()).unwrap().to_le_bytes());
        out.extend([0, 0]);
        out
    }
}

pub fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let entries: Vec<Entry> = files
        .iter()
        .map(|(name, bytes)| Entry::deflated(name, bytes))
        .collect();
    zip_of(&entries)
}

pub fn zip_of(entries: &[Entry]) -> Vec<u8> {
    let (mut out, mut directory, mut count) = (Vec::new(), Vec::new(), 0u16);
    for entry in entries {
        let at = u32::try_from(out.len()).unwrap();
        out.extend(b"PK\x03\x04\x14\0");
        let (sums, nothing) = (entry.sums(), [0; 12]);
        let before: &[u8] = if entry.is_streamed { &nothing } else { &sums };
        out.extend(entry.common(before));
        out.extend(entry.name.as_bytes());
        out.extend(&entry.data);
        if entry.is_streamed {
            out.extend(b"PK\x07\x08");
            out.extend(&sums);
        }
        if entry.is_listed {
            count += 1;
            directory.extend(b"PK\x01\x02\x14\0\x14\0");
            directory.extend(entry.common(&sums));
            directory.extend([0; 10]);
            directory.extend(at.to_le_bytes());
            directory.extend(entry.name.as_bytes());
        }
    }
    let start = u32::try_from(out.len()).unwrap();
    let size = u32::try_from(directory.len()).unwrap();
    out.extend(directory);
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend(count.to_le_bytes());
    out.extend(count.to_le_bytes());
    out.extend(size.to_le_bytes());
    out.extend(start.to_le_bytes());
    out.extend([0, 0]);
    out
}

pub fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, bytes) in files {
        let mut header = [0u8; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[124..135].copy_from_slice(format!("{:011o}", bytes.len()).as_bytes());
        header[148..156].fill(b' ');
        header[156] = b'0';
        header[257..265].copy_from_slice(b"ustar\x0000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        out.extend(header);
        out.extend(*bytes);
        out.resize(out.len().next_multiple_of(512), 0);
    }
    out.resize(out.len() + 1024, 0);
    out
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn xz(bytes: &[u8]) -> Vec<u8> {
    let options = lzma_rust2::XzOptions::with_preset(1);
    let mut writer = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

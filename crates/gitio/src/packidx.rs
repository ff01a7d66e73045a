//! Reads pack index files, version 2 (gitformat-pack(5)): which objects a pack holds, and where.

use refwarden_model::{ObjectFormat, Oid};

/// One object of a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The object.
    pub oid: Oid,
    /// Its offset in the pack, in bytes.
    pub offset: u64,
}

/// What is wrong with an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a pack index, version 2: {0}")]
pub struct IdxError(&'static str);

const HEADER: usize = 8;
const FANOUT: usize = 256 * 4;

/// Parses a whole index file. Every part is checked against the file's length; ids must ascend.
pub fn parse(bytes: &[u8], format: ObjectFormat) -> Result<Vec<Entry>, IdxError> {
    let raw_len = format.raw_len();
    if bytes.get(..HEADER) != Some(&[0xff, b't', b'O', b'c', 0, 0, 0, 2][..]) {
        return Err(IdxError("wrong signature or version"));
    }
    let fanout = part(bytes, HEADER, FANOUT)?;
    let counts: Vec<u32> = fanout.chunks_exact(4).map(be32).collect();
    if !counts.is_sorted() {
        return Err(IdxError("the fan-out table descends"));
    }
    let count = usize::try_from(counts.last().copied().unwrap_or(0))
        .map_err(|_| IdxError("too many objects"))?;
    let ids_at = HEADER + FANOUT;
    let crcs_at = ids_at + count * raw_len;
    let offsets_at = crcs_at + count * 4;
    let large_at = offsets_at + count * 4;
    let ids = part(bytes, ids_at, count * raw_len)?;
    let offsets = part(bytes, offsets_at, count * 4)?;
    let trailer = 2 * raw_len;
    let large = bytes
        .len()
        .checked_sub(large_at + trailer)
        .and_then(|length| bytes.get(large_at..large_at + length))
        .ok_or(IdxError("truncated"))?;
    if !large.len().is_multiple_of(8) {
        return Err(IdxError("the table of large offsets is torn"));
    }
    let mut entries: Vec<Entry> = Vec::with_capacity(count);
    for (id, offset) in ids.chunks_exact(raw_len).zip(offsets.chunks_exact(4)) {
        let oid = Oid::from_raw(id).map_err(|_| IdxError("an id of the wrong length"))?;
        if entries.last().is_some_and(|last| last.oid >= oid) {
            return Err(IdxError("ids do not ascend"));
        }
        let offset = match be32(offset) {
            small if small & 0x8000_0000 == 0 => u64::from(small),
            index => {
                let index = usize::try_from(index & 0x7fff_ffff).unwrap_or(usize::MAX);
                let at = index.checked_mul(8).and_then(|at| large.get(at..));
                let raw = at.and_then(|rest| rest.first_chunk::<8>());
                u64::from_be_bytes(*raw.ok_or(IdxError("a large offset is missing"))?)
            }
        };
        entries.push(Entry { oid, offset });
    }
    Ok(entries)
}

fn part(bytes: &[u8], at: usize, length: usize) -> Result<&[u8], IdxError> {
    bytes.get(at..at + length).ok_or(IdxError("truncated"))
}

fn be32(bytes: &[u8]) -> u32 {
    bytes
        .first_chunk::<4>()
        .map_or(0, |raw| u32::from_be_bytes(*raw))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Sandbox;

    #[test]
    fn agrees_with_git_show_index() {
        for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
            let sandbox = Sandbox::new(format, "files");
            for n in 0..40 {
                sandbox.commit("refs/heads/main", &[("file", format!("{n}\n").as_bytes())]);
            }
            sandbox.git("repack").args(["-adq"]).output(b"").unwrap();
            let mut names = std::fs::read_dir(sandbox.gitdir().join("objects/pack")).unwrap();
            let idx = names
                .find_map(|entry| {
                    let path = entry.unwrap().path();
                    path.extension().is_some_and(|e| e == "idx").then_some(path)
                })
                .unwrap();
            let bytes = std::fs::read(idx).unwrap();
            let format_option = format!("--object-format={}", format.name());
            let show = sandbox.git("show-index").arg(format_option);
            let text = String::from_utf8(show.output(&bytes).unwrap()).unwrap();
            let entries = parse(&bytes, format).unwrap();
            assert_eq!(entries.len(), 120);
            for (line, entry) in text.lines().zip(&entries) {
                let expected = format!("{} {} ", entry.offset, entry.oid);
                assert!(line.starts_with(&expected), "{line} {expected}");
            }
            for cut in [0, 7, 100, 1031, 1032, 2000, bytes.len() - 1] {
                assert!(parse(&bytes[..cut], format).is_err(), "{cut}");
            }
            let mut torn = bytes.clone();
            torn[1032..1052].copy_from_slice(&[0xff; 20]);
            assert!(parse(&torn, format).is_err());
        }
    }
}

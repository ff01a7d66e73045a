//! As much of POSIX ustar as a bundle needs: regular files, one way to write each header.
//! (IEEE Std 1003.1, pax, "ustar Interchange Format"; lengths beyond 8 GiB in base 256, as GNU tar
//! writes them.)

use std::io::{self, Read};

/// A block.
pub(super) const BLOCK: usize = 512;
/// The end: two blocks of zeroes.
pub(super) const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

/// The header of a file. The name must be 1 to 100 bytes of ASCII.
pub(super) fn header(name: &str, length: u64) -> Option<[u8; BLOCK]> {
    let good = (1..=100).contains(&name.len()) && name.bytes().all(|it| it.is_ascii_graphic());
    if !good {
        return None;
    }
    let mut header = [0; BLOCK];
    put(&mut header, 0, name.as_bytes());
    put(&mut header, 100, b"0000644\0");
    put(&mut header, 108, b"0000000\0");
    put(&mut header, 116, b"0000000\0");
    if length < 1 << 33 {
        put(&mut header, 124, format!("{length:011o}\0").as_bytes());
    } else {
        put(&mut header, 124, &[0x80, 0, 0, 0]);
        put(&mut header, 128, &length.to_be_bytes());
    }
    put(&mut header, 136, b"00000000000\0");
    put(&mut header, 148, b"        ");
    put(&mut header, 156, b"0");
    put(&mut header, 257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    put(&mut header, 148, format!("{sum:06o}\0 ").as_bytes());
    Some(header)
}

fn put(header: &mut [u8; BLOCK], at: usize, bytes: &[u8]) {
    if let Some(place) = header.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

/// Zeroes between a file's end and the next block.
pub(super) fn padding(length: u64) -> usize {
    let over = usize::try_from(length % BLOCK as u64).unwrap_or_default();
    (BLOCK - over) % BLOCK
}

/// Reads the next header: name and length, or nothing at the end, behind which nothing may be.
pub(super) fn next(source: &mut impl Read) -> io::Result<Option<(String, u64)>> {
    let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let mut block = [0; BLOCK];
    source.read_exact(&mut block)?;
    if block == [0; BLOCK] {
        let mut rest = Vec::new();
        source.take(BLOCK as u64 + 1).read_to_end(&mut rest)?;
        return if rest == [0; BLOCK] {
            Ok(None)
        } else {
            Err(bad("bytes behind the end"))
        };
    }
    let field = |from: usize, to: usize| block.get(from..to).unwrap_or_default();
    let name: Vec<u8> = field(0, 100)
        .iter()
        .copied()
        .take_while(|it| *it != 0)
        .collect();
    let name = String::from_utf8(name).map_err(|_| bad("a file's name"))?;
    let length = if field(124, 125) == [0x80] {
        field(128, 136)
            .iter()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    } else {
        let digits = std::str::from_utf8(field(124, 135)).unwrap_or_default();
        u64::from_str_radix(digits, 8).map_err(|_| bad("a file's length"))?
    };
    if header(&name, length) != Some(block) {
        return Err(bad("a file's header"));
    }
    Ok(Some((name, length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_they_are_written_and_no_other_way() {
        for (name, length) in [("a", 0), ("events/1.jsonl", 1 << 33), ("b", (1 << 33) - 1)] {
            let written = header(name, length).unwrap();
            let read = next(&mut &written[..]).unwrap();
            assert_eq!(read, Some((name.to_owned(), length)));
            for at in 0..BLOCK {
                let mut changed = written;
                changed[at] ^= 1;
                let read = next(&mut &changed[..]);
                assert!(read.is_err(), "{name} {at}: {read:?}");
            }
        }
        assert_eq!(header("", 0), None);
        assert_eq!(header(&"x".repeat(101), 0), None);
        assert_eq!(next(&mut &END[..]).unwrap(), None);
        assert!(next(&mut &[&END[..], b"x"].concat()[..]).is_err());
        assert!(next(&mut &END[1..]).is_err());
    }
}

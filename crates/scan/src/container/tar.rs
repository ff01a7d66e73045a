//! Members of a tar archive, from front to end (POSIX.1-2017, `pax`; GNU tar's long names). Where
//! nobody scans the archive's bytes as they stand, all that is between the members is scanned here.

use std::io::{self, Read};

use super::Walker;
use super::watched::Watched;
use crate::inspect::Reason;
use crate::stream::Stream;

/// Bytes of a header, and what everything is padded to.
pub(super) const BLOCK: usize = 512;

/// Longest extended header or long name that is read, in bytes.
const EXTENSION_MAX: u64 = 1 << 20;

/// Whether these bytes begin with a header: its checksum holds.
pub(super) fn is_header(bytes: &[u8]) -> bool {
    let Some(header) = bytes.get(..BLOCK) else {
        return false;
    };
    let Some(expected) = header.get(148..156).and_then(number) else {
        return false;
    };
    // The checksum's own place counts as blanks.
    let sum = header.iter().enumerate().map(|(at, byte)| {
        let byte = if (148..156).contains(&at) {
            b' '
        } else {
            *byte
        };
        u64::from(byte)
    });
    expected > 0 && sum.sum::<u64>() == expected
}

/// An octal number between blanks and zeros, or GNU's base 256.
fn number(field: &[u8]) -> Option<u64> {
    let (first, rest) = field.split_first()?;
    if *first == 0x80 {
        return rest.iter().try_fold(0u64, |number, byte| {
            Some(number.checked_mul(256)? + u64::from(*byte))
        });
    }
    let digits = field.trim_ascii_start();
    let end = digits.iter().position(|byte| matches!(byte, 0 | b' '));
    let digits = digits.get(..end.unwrap_or(digits.len()))?;
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |number, byte| match byte {
        b'0'..=b'7' => Some(number.checked_mul(8)? + u64::from(byte - b'0')),
        _ => None,
    })
}

/// What an extension says of the next member.
#[derive(Default)]
struct Extension {
    name: Option<Vec<u8>>,
    size: Option<u64>,
}

/// Looks at all members.
pub(super) fn walk(walker: &mut Walker<'_, '_>, reader: &mut dyn Read) {
    let before = walker.inspection.findings.len();
    let mut between = walker.is_nested().then(|| walker.scanner.stream(None));
    members(walker, reader, &mut between);
    if let Some(between) = between {
        walker.add_around(before, between.inspect());
    }
}

fn members(walker: &mut Walker<'_, '_>, reader: &mut dyn Read, between: &mut Option<Stream<'_>>) {
    let mut extension = Extension::default();
    let mut has_ended = false;
    loop {
        let mut header = Vec::with_capacity(BLOCK);
        match reader.take(BLOCK as u64).read_to_end(&mut header) {
            Err(error) => return walker.failed(&error),
            Ok(0) => return,
            Ok(_) => {}
        }
        if header.iter().all(|byte| *byte == 0) {
            has_ended = true;
            continue;
        }
        if !is_header(&header) {
            if has_ended {
                // Not part of the archive, so it is what it is.
                return walker.text(&mut header.as_slice().chain(reader), None);
            }
            return walker.unread(Reason::Corrupt);
        }
        if let Err(error) = member(walker, reader, &header, &mut extension, between) {
            return walker.failed(&error);
        }
        if walker.is_over() {
            return;
        }
    }
}

fn member(
    walker: &mut Walker<'_, '_>,
    reader: &mut dyn Read,
    header: &[u8],
    extension: &mut Extension,
    between: &mut Option<Stream<'_>>,
) -> io::Result<()> {
    let field = |from: usize, to: usize| header.get(from..to).unwrap_or_default();
    let size = number(field(124, 136)).unwrap_or(0);
    let kind = header.get(156).copied().unwrap_or(0);
    let is_extension = matches!(kind, b'L' | b'K' | b'x' | b'g');
    let size = extension.size.filter(|_| !is_extension).unwrap_or(size);
    let padding = size.next_multiple_of(BLOCK as u64) - size;
    if let Some(between) = between {
        between.push(header);
    }
    let mut data = reader.take(size);
    if is_extension {
        let mut bytes = Vec::new();
        data.by_ref().take(EXTENSION_MAX).read_to_end(&mut bytes)?;
        match kind {
            b'L' => extension.name = Some(until_zero(&bytes).to_vec()),
            b'x' => records(&bytes, extension),
            _ => {}
        }
        if let Some(between) = between {
            between.push(&bytes);
        }
    } else {
        let name = extension.name.take().unwrap_or_else(|| {
            let (name, prefix) = (until_zero(field(0, 100)), until_zero(field(345, 500)));
            if prefix.is_empty() || field(257, 263) != b"ustar\0" {
                name.to_vec()
            } else {
                [prefix, b"/", name].concat()
            }
        });
        *extension = Extension::default();
        if size > 0 {
            walker.member(&name, &mut data);
        }
    }
    // What the member left, and the padding.
    let rest = data.limit();
    let skipped = skip(&mut data, between)?;
    let padded = skip(&mut reader.take(padding), between)?;
    if skipped < rest || padded < padding && padded > 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}

/// Reads on to the end, and says how many bytes that was.
fn skip(reader: &mut dyn Read, between: &mut Option<Stream<'_>>) -> io::Result<u64> {
    match between {
        Some(between) => io::copy(&mut Watched::new(reader, between), &mut io::sink()),
        None => io::copy(reader, &mut io::sink()),
    }
}

fn until_zero(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Reads `LENGTH KEY=VALUE\n` records.
fn records(mut bytes: &[u8], extension: &mut Extension) {
    while let Some((length, rest)) = bytes
        .iter()
        .position(|byte| *byte == b' ')
        .and_then(|blank| {
            let digits = std::str::from_utf8(bytes.get(..blank)?).ok()?;
            let length: usize = digits.parse().ok()?;
            let record = bytes.get(blank + 1..length.checked_sub(1)?)?;
            Some((record, bytes.get(length..)?))
        })
    {
        if let Some(path) = length.strip_prefix(b"path=") {
            extension.name = Some(path.to_vec());
        } else if let Some(size) = length.strip_prefix(b"size=") {
            let size = std::str::from_utf8(size).ok();
            extension.size = size.and_then(|size| size.parse().ok());
        }
        bytes = rest;
    }
}

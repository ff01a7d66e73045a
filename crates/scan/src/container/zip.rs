//! Members of a zip archive (PKWARE's APPNOTE.TXT 6.3, sections 4.3 to 4.5).
//!
//! Members come from the central directory. Local headers that it leaves out are members too:
//! a reader from front to end would see them. An archive that is too large to be held is read
//! from front to end (`front`).

pub(super) mod front;

use std::io::{self, Read};
use std::ops::Range;

use flate2::Crc;
use flate2::read::DeflateDecoder;

use super::Walker;
use crate::inspect::Reason;

const LOCAL: &[u8] = b"PK\x03\x04";
const CENTRAL: &[u8] = b"PK\x01\x02";
const END: &[u8] = b"PK\x05\x06";
const END_64: &[u8] = b"PK\x06\x06";
const LOCATOR_64: &[u8] = b"PK\x06\x07";

/// The record at the end, without its comment, in bytes.
const END_LEN: usize = 22;

/// Longest comment, in bytes.
const COMMENT_MAX: usize = 0xFFFF;

/// Flag of a member that is encrypted.
const ENCRYPTED: u64 = 1;

/// Flag of a member whose checksum and sizes stand behind its data.
const SIZES_LATER: u64 = 1 << 3;

/// Where the central directory lies.
struct Directory {
    range: Range<usize>,
    /// What stands before the archive and does not count in its offsets.
    before: usize,
}

struct Member<'z> {
    name: &'z [u8],
    flags: u64,
    method: u64,
    crc: u64,
    packed: u64,
    size: u64,
    /// Where its local header stands.
    at: usize,
}

/// Whether the record of an archive's end stands where it has to.
pub(super) fn ends_like_one(bytes: &[u8]) -> bool {
    end(bytes).is_some()
}

/// Whether the end leads to a central directory.
pub(super) fn is_one(bytes: &[u8]) -> bool {
    directory(bytes).is_some_and(|found| {
        let directory = bytes.get(found.range).unwrap_or_default();
        directory.starts_with(CENTRAL)
    })
}

fn end(bytes: &[u8]) -> Option<usize> {
    let from = bytes.len().saturating_sub(END_LEN + COMMENT_MAX);
    let tail = bytes.get(from..)?;
    // The record holds zeros (numbers of disks); text holds none.
    memchr::memchr(0, tail)?;
    memchr::memmem::rfind(tail, END).map(|at| from + at)
}

/// A little-endian number.
fn number(bytes: &[u8], at: usize, length: usize) -> Option<u64> {
    let field = bytes.get(at..at.checked_add(length)?)?;
    let digits = field.iter().rev();
    Some(digits.fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

fn index(number: u64) -> Option<usize> {
    usize::try_from(number).ok()
}

fn directory(bytes: &[u8]) -> Option<Directory> {
    let end = end(bytes)?;
    let mut size = number(bytes, end + 12, 4)?;
    let mut offset = number(bytes, end + 16, 4)?;
    let mut stop = end;
    if let Some(locator) = end.checked_sub(20)
        && bytes.get(locator..)?.starts_with(LOCATOR_64)
    {
        let stated = index(number(bytes, locator + 8, 8)?)?;
        // With something before the archive it stands just before its locator.
        let is_here = |at: &usize| bytes.get(*at..).is_some_and(|at| at.starts_with(END_64));
        let record = [Some(stated), locator.checked_sub(56)];
        let record = record.into_iter().flatten().find(is_here)?;
        size = number(bytes, record + 40, 8)?;
        offset = number(bytes, record + 48, 8)?;
        stop = record;
    }
    let start = stop.checked_sub(index(size)?)?;
    let before = start.checked_sub(index(offset)?)?;
    Some(Directory {
        range: start..stop,
        before,
    })
}

/// Looks at all members.
pub(super) fn walk(walker: &mut Walker<'_, '_>, bytes: &[u8]) {
    let Some(directory) = directory(bytes) else {
        walker.unread(Reason::Corrupt);
        // A stream that was cut off still has members.
        return left_out(walker, bytes, &[]);
    };
    let mut known = vec![directory.range.clone()];
    let mut rest = bytes.get(directory.range.clone()).unwrap_or_default();
    while !rest.is_empty() && !walker.is_over() {
        let Some((member, after)) = central(rest, directory.before) else {
            walker.unread(Reason::Corrupt);
            break;
        };
        rest = after;
        walker.named(member.name, |walker| match locate(bytes, &member) {
            Some(data) => {
                known.push(member.at..data.end);
                look(walker, bytes, &member, data);
            }
            None => walker.unread(Reason::Corrupt),
        });
    }
    known.sort_by_key(|range| range.start);
    left_out(walker, bytes, &known);
}

/// Reads one entry of the central directory; yields what follows, too.
fn central(bytes: &[u8], before: usize) -> Option<(Member<'_>, &[u8])> {
    if !bytes.starts_with(CENTRAL) {
        return None;
    }
    let length = |at| number(bytes, at, 2).and_then(index);
    let (name, extra, comment) = (length(28)?, length(30)?, length(32)?);
    let extra_at = 46 + name;
    let mut member = Member {
        name: bytes.get(46..extra_at)?,
        flags: number(bytes, 8, 2)?,
        method: number(bytes, 10, 2)?,
        crc: number(bytes, 16, 4)?,
        packed: number(bytes, 20, 4)?,
        size: number(bytes, 24, 4)?,
        at: 0,
    };
    let mut at = number(bytes, 42, 4)?;
    let extras = bytes.get(extra_at..extra_at + extra)?;
    large(extras, [&mut member.size, &mut member.packed, &mut at]);
    member.at = index(at)?.checked_add(before)?;
    let after = bytes.get(extra_at + extra + comment..)?;
    Some((member, after))
}

/// Takes the numbers that do not fit four bytes from the extra field with id 1.
fn large(mut extras: &[u8], numbers: [&mut u64; 3]) {
    while let (Some(id), Some(length)) = (number(extras, 0, 2), number(extras, 2, 2)) {
        let Some((field, rest)) =
            index(length).and_then(|length| extras.get(4..)?.split_at_checked(length))
        else {
            return;
        };
        extras = rest;
        if id != 1 {
            continue;
        }
        let wanted = numbers.into_iter().filter(|it| **it == 0xFFFF_FFFF);
        for (place, value) in wanted.zip((0..).step_by(8)) {
            *place = number(field, value, 8).unwrap_or(*place);
        }
        return;
    }
}

/// Where the data of a member lies.
fn locate(bytes: &[u8], member: &Member<'_>) -> Option<Range<usize>> {
    let local = bytes.get(member.at..)?;
    if !local.starts_with(LOCAL) {
        return None;
    }
    let (name, extra) = (number(local, 26, 2)?, number(local, 28, 2)?);
    let start = member.at + 30 + index(name + extra)?;
    let end = start.checked_add(index(member.packed)?)?;
    (end <= bytes.len()).then_some(start..end)
}

fn look(walker: &mut Walker<'_, '_>, bytes: &[u8], member: &Member<'_>, data: Range<usize>) {
    let data = bytes.get(data).unwrap_or_default();
    if member.flags & ENCRYPTED != 0 {
        return walker.unread(Reason::Encrypted);
    }
    let check = Some((member.crc, member.size));
    match member.method {
        0 if data.is_empty() => {}
        0 => drop(contents(walker, data, check, member.name)),
        8 => drop(contents(
            walker,
            DeflateDecoder::new(data),
            check,
            member.name,
        )),
        _ => walker.unread(Reason::Unsupported),
    }
}

/// Looks at what a member holds; yields its checksum and length.
fn contents(
    walker: &mut Walker<'_, '_>,
    data: impl Read,
    expected: Option<(u64, u64)>,
    name: &[u8],
) -> (u64, u64) {
    let mut reader = Checked {
        inner: walker.meter.count(data),
        crc: Crc::new(),
        read: 0,
        expected,
    };
    walker.contents(&mut reader, Some(name));
    // What an inner container left unread, for the checksum's sake.
    if !walker.is_over()
        && let Err(error) = io::copy(&mut reader, &mut io::sink())
    {
        walker.failed(&error);
    }
    (u64::from(reader.crc.sum()), reader.read)
}

/// Looks at local headers outside of what is known, in ascending order.
fn left_out(walker: &mut Walker<'_, '_>, bytes: &[u8], known: &[Range<usize>]) {
    let mut at = 0;
    let mut known = known.iter().peekable();
    while !walker.is_over() {
        while let Some(range) = known.next_if(|range| range.start <= at) {
            at = at.max(range.end);
        }
        let until = known.peek().map_or(bytes.len(), |range| range.start);
        let gap = bytes.get(at..until.max(at)).unwrap_or_default();
        match memchr::memmem::find(gap, LOCAL) {
            Some(found) => at = local(walker, bytes, at + found),
            None if until >= bytes.len() => return,
            None => at = until,
        }
    }
}

/// Looks at a member that only a local header names; yields where to go on.
fn local(walker: &mut Walker<'_, '_>, bytes: &[u8], at: usize) -> usize {
    let next = at + LOCAL.len();
    let header = bytes.get(at..).unwrap_or_default();
    let field = |at, length| number(header, at, length);
    let name = || header.get(30..30 + index(field(26, 2)?)?);
    let (Some(name), Some(flags), Some(method), Some(crc), Some(packed), Some(size)) = (
        name(),
        field(6, 2),
        field(8, 2),
        field(14, 4),
        field(18, 4),
        field(22, 4),
    ) else {
        return next;
    };
    let mut member = Member {
        name,
        flags,
        method,
        crc,
        packed,
        size,
        at,
    };
    let is_open = flags & SIZES_LATER != 0 && packed == 0;
    if is_open {
        member.packed = 0;
    }
    let Some(data) = locate(bytes, &member) else {
        walker.named(name, |walker| walker.unread(Reason::Corrupt));
        return next;
    };
    let mut end = data.end;
    walker.named(name, |walker| {
        if is_open && method == 8 && flags & ENCRYPTED == 0 {
            let rest = bytes.get(data.start..).unwrap_or_default();
            let mut reader = DeflateDecoder::new(rest);
            contents(walker, &mut reader, None, name);
            end += index(reader.total_in()).unwrap_or(0);
        } else {
            look(walker, bytes, &member, data);
        }
    });
    end.max(next)
}

/// Fails at the end if checksum or size are not as stated.
struct Checked<R> {
    inner: R,
    crc: Crc,
    read: u64,
    expected: Option<(u64, u64)>,
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.read += length as u64;
        self.crc.update(buffer.get(..length).unwrap_or_default());
        let is_end = length == 0 && !buffer.is_empty();
        if is_end && let Some((crc, size)) = self.expected.take() {
            let is_whole = u64::from(self.crc.sum()) == crc && self.read == size;
            if !is_whole {
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
        Ok(length)
    }
}

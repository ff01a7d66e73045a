//! A zip archive read from front to end, for one that is too large to be held.
//!
//! Members come from their local headers. The central directory behind them is read as well and
//! held against what was seen: a reader that goes by it must not find anything else. What of it
//! was not looked into is told as unread.
//!
//! What it deliberately does not do: a member that is stored and whose length stands behind its
//! data has no end that can be told from its bytes; it is told as unread.

use std::io::{self, BufRead, Read};

use flate2::bufread::DeflateDecoder;

use super::{CENTRAL, ENCRYPTED, END, LOCAL, SIZES_LATER, contents, index, large, number};
use crate::container::{CHUNK, Walker};
use crate::inspect::Reason;

/// A local header without name and extra fields, in bytes (APPNOTE.TXT, section 4.3.7).
const LOCAL_LEN: usize = 30;

/// An entry of the central directory, likewise (section 4.3.12).
const CENTRAL_LEN: usize = 46;

/// What may stand before checksum and sizes behind a member's data (section 4.3.9.3).
const DESCRIPTOR: &[u8] = b"PK\x07\x08";

/// Why an archive is not read on.
enum Stop {
    /// The reader failed.
    Reader(io::Error),
    /// It ended in the middle of something.
    Cut,
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Reader(error)
    }
}

/// A member that was looked into, or of which it was told that it was not.
struct Seen {
    /// Where its local header stands.
    at: u64,
    packed: u64,
    crc: u64,
    method: u64,
}

/// Looks at all members.
pub(in crate::container) fn walk(walker: &mut Walker<'_, '_>, reader: &mut dyn Read) {
    let mut front = Front {
        reader,
        buffer: Vec::new(),
        begin: 0,
        offset: 0,
    };
    match parts(walker, &mut front) {
        Ok(()) => {}
        Err(Stop::Cut) => walker.unread(Reason::Corrupt),
        Err(Stop::Reader(error)) => walker.failed(&error),
    }
}

fn parts(walker: &mut Walker<'_, '_>, front: &mut Front<'_>) -> Result<(), Stop> {
    let mut seen = Vec::new();
    let mut has_ended = false;
    loop {
        if walker.is_over() {
            return Ok(());
        }
        let next = front.peek(LOCAL.len())?;
        if next == LOCAL {
            seen.extend(member(walker, front)?);
        } else if next == CENTRAL {
            entry(walker, front, &seen)?;
        } else if next == END {
            // Not its comment: a member may stand there.
            front.skip(22)?;
            has_ended = true;
        } else if !front.reach_next_part()? {
            return if has_ended { Ok(()) } else { Err(Stop::Cut) };
        }
    }
}

/// Looks at a member; none where nothing can be said of it.
fn member(walker: &mut Walker<'_, '_>, front: &mut Front<'_>) -> Result<Option<Seen>, Stop> {
    let at = front.offset;
    let header = front.whole(LOCAL_LEN)?;
    let field = |at, length| number(header, at, length).unwrap_or(0);
    let (flags, method, crc) = (field(6, 2), field(8, 2), field(14, 4));
    let (mut packed, mut size) = (field(18, 4), field(22, 4));
    let (name, extra) = (
        index(field(26, 2)).unwrap_or(0),
        index(field(28, 2)).unwrap_or(0),
    );
    front.skip(LOCAL_LEN as u64)?;
    let names = front.whole(name + extra)?;
    let (name, extras) = names.split_at_checked(name).unwrap_or_default();
    let name = name.to_vec();
    large(extras, [&mut size, &mut packed, &mut 0]);
    front.skip((name.len() + extra) as u64)?;
    let is_open = flags & SIZES_LATER != 0 && packed == 0;
    let mut seen = Seen {
        at,
        packed,
        crc,
        method,
    };
    let mut stop = Ok(());
    let mut is_known = true;
    walker.named(&name, |walker| {
        if is_open && method == 8 && flags & ENCRYPTED == 0 {
            stop = open(walker, front, &name, &mut seen);
        } else if is_open {
            // Where it ends is not known.
            walker.unread(if flags & ENCRYPTED != 0 {
                Reason::Encrypted
            } else {
                Reason::TooMuchMemory
            });
            is_known = false;
        } else {
            stop = closed(walker, front, &name, flags, size, &seen);
        }
    });
    stop?;
    Ok(is_known.then_some(seen))
}

/// A member whose length is known.
fn closed(
    walker: &mut Walker<'_, '_>,
    front: &mut Front<'_>,
    name: &[u8],
    flags: u64,
    size: u64,
    seen: &Seen,
) -> Result<(), Stop> {
    let end = front.offset.saturating_add(seen.packed);
    let mut data = front.take(seen.packed);
    let check = Some((seen.crc, size)).filter(|_| flags & SIZES_LATER == 0);
    if flags & ENCRYPTED != 0 {
        walker.unread(Reason::Encrypted);
    } else {
        match seen.method {
            0 if seen.packed == 0 => {}
            0 => drop(contents(walker, &mut data, check, name)),
            8 => drop(contents(
                walker,
                DeflateDecoder::new(&mut data),
                check,
                name,
            )),
            _ => walker.unread(Reason::Unsupported),
        }
    }
    if walker.is_over() {
        return Ok(());
    }
    front.skip(end.saturating_sub(front.offset))
}

/// A member whose length stands behind it, and which tells by itself where it ends.
fn open(
    walker: &mut Walker<'_, '_>,
    front: &mut Front<'_>,
    name: &[u8],
    seen: &mut Seen,
) -> Result<(), Stop> {
    let mut decoder = DeflateDecoder::new(&mut *front);
    let (crc, size) = contents(walker, &mut decoder, None, name);
    seen.packed = decoder.total_in();
    seen.crc = crc;
    if walker.is_over() {
        return Ok(());
    }
    // Checksum and sizes, the latter of four or eight bytes.
    let behind = front.peek(24)?;
    let skipped = if behind.starts_with(DESCRIPTOR) { 4 } else { 0 };
    let is_it = |width: usize| {
        let field = |at, length| number(behind, skipped + at, length);
        field(0, 4) == Some(crc)
            && field(4, width) == Some(seen.packed)
            && field(4 + width, width) == Some(size)
    };
    if let Some(width) = [4, 8].into_iter().find(|width| is_it(*width)) {
        front.skip((skipped + 4 + 2 * width) as u64)
    } else {
        walker.unread(Reason::Corrupt);
        Ok(())
    }
}

/// Reads an entry of the central directory and tells when it leads to what was not looked into.
fn entry(walker: &mut Walker<'_, '_>, front: &mut Front<'_>, seen: &[Seen]) -> Result<(), Stop> {
    let header = front.whole(CENTRAL_LEN)?;
    let field = |at, length| number(header, at, length).unwrap_or(0);
    let length = |at| index(field(at, 2)).unwrap_or(0);
    let (name, extra, comment) = (length(28), length(30), length(32));
    let (flags, method, crc) = (field(8, 2), field(10, 2), field(16, 4));
    let (mut packed, mut size, mut at) = (field(20, 4), field(24, 4), field(42, 4));
    front.skip(CENTRAL_LEN as u64)?;
    let rest = front.whole(name + extra + comment)?;
    let (name, extras) = rest.split_at_checked(name).unwrap_or_default();
    let extras = extras.get(..extra).unwrap_or_default();
    large(extras, [&mut size, &mut packed, &mut at]);
    let is_seen = seen
        .binary_search_by_key(&at, |seen| seen.at)
        .is_ok_and(|found| {
            seen.get(found).is_some_and(|seen| {
                seen.method == method
                    && seen.packed == packed
                    && (seen.crc == crc || flags & ENCRYPTED != 0)
            })
        });
    if !is_seen {
        let name = name.to_vec();
        walker.named(&name, |walker| walker.unread(Reason::Corrupt));
    }
    let length = rest.len() as u64;
    front.skip(length)
}

/// A reader that can be looked ahead in, and that counts.
struct Front<'r> {
    reader: &'r mut dyn Read,
    buffer: Vec<u8>,
    /// Where in the buffer what was not taken begins.
    begin: usize,
    /// Bytes taken so far.
    offset: u64,
}

impl Front<'_> {
    fn left(&self) -> &[u8] {
        self.buffer.get(self.begin..).unwrap_or_default()
    }

    /// The next bytes, without taking them; fewer at the end only.
    fn peek(&mut self, length: usize) -> io::Result<&[u8]> {
        if self.left().len() < length {
            self.buffer.drain(..self.begin);
            self.begin = 0;
            let missing = length.max(CHUNK) - self.buffer.len();
            (&mut *self.reader)
                .take(missing as u64)
                .read_to_end(&mut self.buffer)?;
        }
        let left = self.left();
        Ok(left.get(..length).unwrap_or(left))
    }

    /// As many bytes as are wanted, without taking them.
    fn whole(&mut self, length: usize) -> Result<&[u8], Stop> {
        let bytes = self.peek(length)?;
        (bytes.len() == length).then_some(bytes).ok_or(Stop::Cut)
    }

    fn skip(&mut self, mut length: u64) -> Result<(), Stop> {
        while length > 0 {
            let there = self.fill_buf()?.len();
            if there == 0 {
                return Err(Stop::Cut);
            }
            let taken = index(length).unwrap_or(usize::MAX).min(there);
            self.consume(taken);
            length -= taken as u64;
        }
        Ok(())
    }

    /// Goes on to the next bytes that begin a part of an archive; whether there are some.
    fn reach_next_part(&mut self) -> Result<bool, Stop> {
        // What stands here is none.
        let mut taken = self.peek(1)?.len();
        loop {
            self.skip(taken as u64)?;
            let there = self.peek(CHUNK)?;
            let starts = memchr::memmem::find_iter(there, b"PK");
            let mut parts = starts.filter(|at| {
                let part = there.get(*at..).unwrap_or_default();
                [LOCAL, CENTRAL, END]
                    .iter()
                    .any(|mark| part.starts_with(mark))
            });
            if let Some(found) = parts.next() {
                self.skip(found as u64)?;
                return Ok(true);
            }
            if there.len() < LOCAL.len() {
                return Ok(false);
            }
            // The last three bytes may begin one.
            taken = there.len() - (LOCAL.len() - 1);
        }
    }
}

impl Read for Front<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.fill_buf()?.read(buffer)?;
        self.consume(length);
        Ok(length)
    }
}

impl BufRead for Front<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.peek(1)?;
        Ok(self.left())
    }

    fn consume(&mut self, length: usize) {
        self.begin += length;
        self.offset += length as u64;
    }
}

//! Looks into archives and compressed files.
//!
//! Zip (and what is one: jar, docx, wheel), tar, gzip, xz and zstd, inside each other as deep as
//! the [`Limits`] say. Nothing is written anywhere; a member is scanned while it unpacks, and so
//! are, of a container inside another, the names, comments and other fields around its members.
//! Whatever cannot be looked into is told as [`Unread`], and what was found before it stays.
//!
//! What it deliberately does not do: it does not decrypt, and does not open 7z, rar, bzip2 and
//! zip members packed by other means than deflate; these are told as unread. A container that
//! does not begin like one is only recognised if it is a zip at the end of the input itself.

mod format;
mod meter;
mod tar;
mod watched;
mod zip;
mod zstd;

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use lzma_rust2::XzReader;

pub use format::Format;
use format::PREFIX;
pub use meter::Limits;
use meter::Meter;
use watched::Watched;

use crate::finding::{Finding, Step};
use crate::gathered::FINDINGS_MAX;
use crate::inspect::{Inspection, Reason, Unread};
use crate::scanner::Scanner;
use crate::secret::Fingerprint;

/// Bytes that are read at once.
const CHUNK: usize = 64 * 1024;

/// Longest name of a member that is told, in bytes.
const NAME_MAX: usize = 1024;

impl Scanner<'_> {
    /// Finds all secrets in `bytes`: as they stand, encoded, and inside containers.
    ///
    /// `path` as in [`Scanner::scan`]. A member of an archive is scanned under its path there, so
    /// a rule with a path condition applies to it too.
    pub fn inspect(&self, bytes: &[u8], path: Option<&[u8]>, limits: &Limits) -> Inspection {
        let mut inspection = self.scan_text(bytes, path);
        if !may_be_one(bytes) {
            return inspection;
        }
        let meter = limits.meter(bytes.len() as u64);
        let mut walker = Walker::new(self, limits, &meter, &mut inspection);
        match Format::of(bytes) {
            // As it stands, so that no copy is held.
            Some(Format::Zip) => walker.deeper(|walker| zip::walk(walker, bytes)),
            Some(format) => walker.open(format, &mut &*bytes, path),
            // Data that only looks like the end of a zip is not at fault for not being one.
            None if zip::is_one(bytes) => walker.deeper(|walker| zip::walk(walker, bytes)),
            None => {}
        }
        told_once(&mut inspection);
        inspection
    }

    /// The same for bytes that were inspected under another path, which found `first`. What members of
    /// an archive hold is the same, and is not looked into again.
    pub fn inspect_again(
        &self,
        bytes: &[u8],
        path: Option<&[u8]>,
        first: &Inspection,
        limits: &Limits,
    ) -> Inspection {
        if Format::of(bytes).is_some_and(Format::is_compressed) {
            return self.inspect(bytes, path, limits);
        }
        self.scan_text(bytes, path).with_contents(first.contents())
    }

    /// Finds all secrets inside a container that is read from front to end, and nothing that
    /// stands in its bytes as they are: [`Inspection::with_contents`] puts both together.
    ///
    /// `size` is the length of the container in bytes, and `path` as in [`Scanner::scan`]. A zip
    /// of no more than two ninths of [`Limits::memory`] is held; a larger one is read from front
    /// to end, and what its list of members says beyond that is told as unread.
    pub fn inspect_contents(
        &self,
        format: Format,
        reader: &mut dyn Read,
        size: u64,
        path: Option<&[u8]>,
        limits: &Limits,
    ) -> Inspection {
        let mut inspection = Inspection::default();
        let meter = limits.meter(size);
        let mut walker = Walker::new(self, limits, &meter, &mut inspection);
        walker.is_large = format == Format::Zip && size > limits.memory as u64 / 9 * 2;
        walker.open(format, reader, path);
        inspection
    }

    /// As [`Scanner::inspect_contents`], for a zip archive that is held anyway.
    pub fn inspect_zip(&self, bytes: &[u8], limits: &Limits) -> Inspection {
        let mut inspection = Inspection::default();
        let meter = limits.meter(bytes.len() as u64);
        let mut walker = Walker::new(self, limits, &meter, &mut inspection);
        walker.deeper(|walker| zip::walk(walker, bytes));
        inspection
    }
}

impl Inspection {
    /// Says of a whole input that it was not looked into.
    pub fn unread(reason: Reason) -> Self {
        Self {
            unread: vec![Unread::here(reason)],
            ..Self::default()
        }
    }

    /// What was found in the containers that the input is or holds, and what of them could not be
    /// looked into. It is the same under every path of the input.
    #[must_use]
    pub fn contents(&self) -> Self {
        let findings = self.findings.iter().filter(|it| it.is_contained());
        let findings: Vec<Finding> = findings.cloned().collect();
        let is_of_container =
            |it: &&Unread| !it.via.is_empty() || it.reason != Reason::TooMuchEncoded;
        Self {
            total: findings.len() as u64,
            findings,
            unread: self
                .unread
                .iter()
                .filter(is_of_container)
                .cloned()
                .collect(),
        }
    }

    /// Adds what was found inside of the same container.
    #[must_use]
    pub fn with_contents(mut self, contents: Self) -> Self {
        self.total += contents.total;
        let room = FINDINGS_MAX.saturating_sub(self.findings.len());
        self.findings
            .extend(contents.findings.into_iter().take(room));
        self.unread.extend(contents.unread);
        told_once(&mut self);
        self
    }
}

/// Whether bytes are to be looked into as a container.
pub(crate) fn may_be_one(bytes: &[u8]) -> bool {
    Format::of(bytes).is_some() || zip::ends_like_one(bytes)
}

/// Drops what stands in the bytes of a container as it is, where its member tells the same.
fn told_once(inspection: &mut Inspection) {
    let findings = &mut inspection.findings;
    let before = findings.len();
    let contained = findings.iter().filter(|finding| finding.is_contained());
    let contained: BTreeSet<_> = contained.map(identity).collect();
    findings.retain(|finding| finding.is_contained() || !contained.contains(&identity(finding)));
    inspection.total -= (before - findings.len()) as u64;
}

/// What is the same wherever it stands.
fn identity(finding: &Finding) -> (Arc<str>, Fingerprint) {
    (finding.rule_id.clone(), finding.fingerprint)
}

/// The way through one input.
struct Walker<'w, 'r> {
    scanner: &'w Scanner<'r>,
    limits: &'w Limits,
    meter: &'w Meter,
    members: u64,
    /// Bytes that may still be held for unpacking.
    memory: usize,
    depth: usize,
    /// Whether the input itself is a zip archive that is not to be held.
    is_large: bool,
    via: Vec<Step>,
    inspection: &'w mut Inspection,
}

impl<'w, 'r> Walker<'w, 'r> {
    fn new(
        scanner: &'w Scanner<'r>,
        limits: &'w Limits,
        meter: &'w Meter,
        inspection: &'w mut Inspection,
    ) -> Self {
        Self {
            scanner,
            limits,
            meter,
            members: 0,
            memory: limits.memory,
            depth: 0,
            is_large: false,
            via: Vec::new(),
            inspection,
        }
    }
}

impl Walker<'_, '_> {
    /// Tells that what stands at this place was not looked into.
    fn unread(&mut self, reason: Reason) {
        let via = self.via.clone();
        // Once for each place, and no more than findings: a hostile archive has many places.
        let unread = Unread { via, reason };
        let list = &mut self.inspection.unread;
        if list.len() < FINDINGS_MAX && list.last() != Some(&unread) {
            list.push(unread);
        }
    }

    /// Tells what an error of a reader means.
    fn failed(&mut self, error: &io::Error) {
        let reason = if self.meter.is_spent() {
            self.meter.reason()
        } else {
            match error.kind() {
                io::ErrorKind::OutOfMemory => Reason::TooMuchMemory,
                io::ErrorKind::Unsupported => Reason::Unsupported,
                _ => Reason::Corrupt,
            }
        };
        self.unread(reason);
    }

    /// Whether nothing further may be unpacked.
    fn is_over(&self) -> bool {
        self.meter.is_spent() || self.members > self.limits.members
    }

    /// Goes through one level of nesting.
    fn deeper(&mut self, work: impl FnOnce(&mut Self)) {
        if self.depth == self.limits.depth {
            return self.unread(Reason::TooDeep);
        }
        self.depth += 1;
        work(self);
        self.depth -= 1;
    }

    /// Looks at a member of an archive.
    fn member(&mut self, name: &[u8], reader: &mut dyn Read) {
        self.named(name, |walker| walker.contents(reader, Some(name)));
    }

    /// Counts a member, scans its name, and works under it.
    fn named(&mut self, name: &[u8], work: impl FnOnce(&mut Self)) {
        self.members += 1;
        if self.members > self.limits.members {
            return self.unread(Reason::TooManyMembers);
        }
        // In an archive's bytes other fields may stand right beside it.
        self.add(self.scanner.scan_text(name, None));
        let shown = name.get(..NAME_MAX).unwrap_or(name);
        self.via.push(Step::Member(Arc::from(shown)));
        work(self);
        self.via.pop();
    }

    /// Looks at unpacked bytes: text, or a further container.
    fn contents(&mut self, reader: &mut dyn Read, path: Option<&[u8]>) {
        let mut prefix = Vec::with_capacity(PREFIX);
        let read = reader.take(PREFIX as u64).read_to_end(&mut prefix);
        let format = Format::of(&prefix);
        let mut whole = io::Cursor::new(prefix).chain(reader);
        match (read, format) {
            (Ok(_), Some(format)) => self.open(format, &mut whole, path),
            (Ok(_), None) => self.text(&mut whole, path),
            (Err(error), _) => {
                // What came before the fault is scanned all the same.
                self.text(&mut whole.into_inner().0, path);
                self.failed(&error);
            }
        }
    }

    /// Whether nobody has scanned the bytes that the container at this place consists of.
    fn is_nested(&self) -> bool {
        !self.via.is_empty()
    }

    fn open(&mut self, format: Format, reader: &mut dyn Read, path: Option<&[u8]>) {
        if !self.is_nested() || format == Format::Tar {
            return self.open_unwatched(format, reader, path);
        }
        let before = self.inspection.findings.len();
        let mut stream = self.scanner.stream(None);
        self.open_unwatched(format, &mut Watched::new(reader, &mut stream), path);
        self.add_around(before, stream.inspect());
    }

    /// Adds what was found around members. What they or their names told, which is what was found from
    /// `before` on, is not told again.
    fn add_around(&mut self, before: usize, mut around: Inspection) {
        let told = self.inspection.findings.get(before..).unwrap_or_default();
        let told: BTreeSet<_> = told.iter().map(identity).collect();
        let all = around.findings.len();
        around.findings.retain(|it| !told.contains(&identity(it)));
        around.total -= (all - around.findings.len()) as u64;
        self.add(around);
    }

    fn open_unwatched(&mut self, format: Format, reader: &mut dyn Read, path: Option<&[u8]>) {
        self.deeper(|walker| match format {
            Format::Gzip => walker.unpack("gzip", MultiGzDecoder::new(reader), path),
            Format::Xz => walker.lent(|walker, memory| {
                let limit = u32::try_from(memory / 1024).unwrap_or(u32::MAX);
                let reader = XzReader::new_mem_limit(reader, true, limit);
                walker.unpack("xz", reader, path);
            }),
            Format::Zstd => walker.lent(|walker, memory| {
                walker.unpack("zstd", zstd::Zstd::new(reader, memory as u64), path);
            }),
            Format::Tar => tar::walk(walker, reader),
            Format::Zip => walker.held_or_read(reader),
            Format::SevenZip | Format::Rar | Format::Bzip2 => walker.unread(Reason::Unsupported),
        });
    }

    /// Looks at what a compressed stream holds.
    fn unpack(&mut self, name: &'static str, reader: impl Read, path: Option<&[u8]>) {
        self.via.push(Step::Compressed(name));
        self.contents(&mut self.meter.count(reader), path.map(without_extension));
        self.via.pop();
    }

    /// Lends a layer two thirds of the memory that is left.
    fn lent(&mut self, work: impl FnOnce(&mut Self, usize)) {
        let before = self.memory;
        let lent = before / 3 * 2;
        self.memory -= lent;
        work(self, lent);
        self.memory = before;
    }

    /// Holds a zip archive, whose list of members stands at its end; one that is too large for
    /// that is read from front to end.
    fn held_or_read(&mut self, reader: &mut dyn Read) {
        if std::mem::take(&mut self.is_large) {
            // It is the input itself, so nothing needs to be held to find out.
            return zip::front::walk(self, reader);
        }
        self.lent(|walker, memory| {
            let mut bytes = Vec::new();
            // A vector that grows holds up to three times its bytes for a moment.
            let most = memory / 3;
            match (&mut *reader).take(most as u64 + 1).read_to_end(&mut bytes) {
                Ok(length) if length > most => {
                    zip::front::walk(walker, &mut io::Cursor::new(bytes).chain(reader));
                }
                Ok(_) => zip::walk(walker, &bytes),
                Err(error) => walker.failed(&error),
            }
        });
    }

    fn text(&mut self, reader: &mut dyn Read, path: Option<&[u8]>) {
        let mut stream = self.scanner.stream(path);
        let mut chunk = vec![0; CHUNK];
        let fault = loop {
            match reader.read(&mut chunk) {
                Ok(0) => break None,
                Ok(length) => stream.push(chunk.get(..length).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Some(error),
            }
        };
        let inspected = stream.inspect();
        self.add(inspected);
        if let Some(error) = fault {
            self.failed(&error);
        }
    }

    fn add(&mut self, inspected: Inspection) {
        self.inspection.total += inspected.total;
        let kept = &mut self.inspection.findings;
        let room = FINDINGS_MAX.saturating_sub(kept.len());
        kept.extend(
            inspected
                .findings
                .into_iter()
                .take(room)
                .map(|mut finding| {
                    finding.via.splice(0..0, self.via.iter().cloned());
                    finding
                }),
        );
        for unread in inspected.unread {
            self.unread(unread.reason);
        }
    }
}

/// `a/b.tar` of `a/b.tar.gz`.
fn without_extension(path: &[u8]) -> &[u8] {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
    let extension = name.iter().rposition(|byte| *byte == b'.');
    let cut = extension.filter(|at| *at > 0).map(|at| name.len() - at);
    cut.and_then(|cut| path.get(..path.len() - cut))
        .unwrap_or(path)
}

/// A path or a name, and without its last extensions: under which paths what it holds may be scanned.
pub fn with_shorter(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let name = memchr::memrchr(b'/', path).map_or(0, |at| at + 1);
    let dots = memchr::memrchr_iter(b'.', path).take_while(move |at| *at > name);
    let shorter = dots.take(Limits::default().depth);
    let shorter = shorter.filter_map(|at| path.get(..at));
    std::iter::once(path).chain(shorter)
}

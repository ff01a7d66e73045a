//! Scans only what changed between two versions of a text.
//!
//! A *seam* is the start of a line that is out of reach of every keyword and outside of encoded
//! text: what is found on one side of it does not depend on the other side. What stands between
//! two seams of both versions and is the same in both holds the same findings. Around each change
//! the text is searched from one common seam to the next, and the other findings are taken over.
//!
//! So the cost is that of the change and not of the version: where keywords stand is carried from
//! version to version too ([`Keywords`]).
//!
//! What it deliberately does not do: containers, rules without keyword and rules of a
//! `gitleaks.toml`, which look at whole lines, at whole files and at each other. These are
//! scanned in full.

use std::ops::Range;

use crate::container::may_be_one;
use crate::decode::{Encoding, is_dense};
use crate::finding::{Finding, Step};
use crate::gathered::FINDINGS_MAX;
use crate::inspect::Inspection;
use crate::lines::Marker;
use crate::prefilter::{Applies, Hit};
use crate::scanner::Scanner;

/// Characters of base64 at the end of a line that the next line may continue.
const WRAPPED_MIN: usize = 24;

/// Bytes between two changes that are not worth two searches.
const JOINED: usize = 512;

/// Keywords that are noted of a text, at most: 12 MiB. A text with more is scanned in full.
const MARKS_MAX: usize = 1 << 20;

/// A part of the old version, and what stands in its place in the new one. Byte offsets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaced {
    /// Empty for an insertion.
    pub old: Range<u64>,
    /// Empty for a deletion.
    pub new: Range<u64>,
}

/// Something of the old version that the new one has too. Bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// Where it stands in the old version.
    pub old: usize,
    /// Where it stands in the new one.
    pub new: usize,
    /// How long it is.
    pub length: usize,
}

impl Replaced {
    /// The changes between two versions of these lengths, of which the new one has `kept` of the
    /// old, ascending by `new`. What has moved across something else counts as changed.
    pub fn around(kept: &[Kept], old_length: usize, new_length: usize) -> Vec<Self> {
        let (mut old, mut new) = (0, 0);
        let mut changes = Vec::new();
        let end = Kept {
            old: old_length,
            new: new_length,
            length: 0,
        };
        for part in in_order(kept).into_iter().chain([end]) {
            if (part.old, part.new) != (old, new) {
                changes.push(Self {
                    old: old as u64..part.old as u64,
                    new: new as u64..part.new as u64,
                });
            }
            (old, new) = (part.old + part.length, part.new + part.length);
        }
        changes
    }
}

/// Of parts that ascend by `new`, some that ascend by `old` too: of two that do not, the longer.
fn in_order(kept: &[Kept]) -> Vec<Kept> {
    let mut parts: Vec<Kept> = Vec::new();
    for &part in kept {
        let end = parts.last().map_or(0, |it| it.old + it.length);
        let cut = end.saturating_sub(part.old);
        let crossed = parts.partition_point(|it| it.old + it.length <= part.old);
        let mut lost = 0;
        for it in parts.iter().skip(crossed) {
            lost += it.length;
            if lost >= part.length {
                break;
            }
        }
        if cut < part.length && cut <= lost {
            parts.push(Kept {
                old: part.old + cut,
                new: part.new + cut,
                length: part.length - cut,
            });
        } else if lost < part.length {
            parts.truncate(crossed);
            parts.push(part);
        }
    }
    parts
}

/// Where keywords of rules stand in a text, and how far matches around them reach.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keywords {
    /// Sorted, each place once.
    marks: Vec<Mark>,
    /// Where matches may stand, as ranges that are apart.
    busy: Vec<Range<usize>>,
    /// Of the text, in bytes.
    length: usize,
}

/// A place of a keyword.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Mark {
    start: u32,
    end: u32,
    /// The longest of the rules that it is a keyword of, in bytes, with what stands around it.
    reach: u32,
}

impl Keywords {
    fn new(mut marks: Vec<Mark>, length: usize) -> Option<Self> {
        marks.sort_unstable();
        marks.dedup_by(|next, kept| {
            let is_same = (next.start, next.end) == (kept.start, kept.end);
            if is_same {
                kept.reach = next.reach;
            }
            is_same
        });
        if marks.len() > MARKS_MAX {
            return None;
        }
        let reached = |mark: &Mark| {
            let end = mark.start.saturating_add(mark.reach);
            mark.end.saturating_sub(mark.reach) as usize..end as usize
        };
        let mut ranges: Vec<Range<usize>> = marks.iter().map(reached).collect();
        ranges.sort_unstable_by_key(|range| range.start);
        ranges.dedup_by(|next, kept| {
            let touches = next.start <= kept.end;
            if touches {
                kept.end = kept.end.max(next.end);
            }
            touches
        });
        Some(Self {
            marks,
            busy: ranges,
            length,
        })
    }

    /// Bytes that this takes.
    pub fn size(&self) -> usize {
        self.marks.len() * size_of::<Mark>() + self.busy.len() * size_of::<Range<usize>>()
    }

    /// Whether none stands in this part of the text, where none is longer than `longest`.
    fn is_quiet(&self, part: &Range<usize>, longest: usize) -> bool {
        let from = part.start.saturating_sub(longest);
        let before = (self.marks).partition_point(|mark| (mark.start as usize) < from);
        let mut near = self.marks.iter().skip(before);
        let next = near.find(|mark| mark.end as usize > part.start);
        next.is_none_or(|mark| mark.start as usize >= part.end)
    }

    /// Where matches may stand around a place.
    fn around(&self, at: usize) -> Option<&Range<usize>> {
        let index = self.busy.partition_point(|range| range.start <= at);
        let range = self.busy.get(index.checked_sub(1)?)?;
        (at <= range.end).then_some(range)
    }
}

/// A version of a text.
#[derive(Debug, Clone, Copy)]
pub struct Version<'v> {
    /// All of it.
    pub bytes: &'v [u8],
    /// Where keywords stand in it.
    pub keywords: &'v Keywords,
}

impl Scanner<'_> {
    /// Where keywords stand in a text; none where later versions of it have to be scanned in
    /// full.
    pub fn keywords(&self, bytes: &[u8]) -> Option<Keywords> {
        if !self.takes_deltas_of(bytes) {
            return None;
        }
        let mut marks = Vec::new();
        self.marks(bytes, 0, |mark| marks.push(mark));
        Keywords::new(marks, bytes.len())
    }

    /// As [`Scanner::keywords`] of the new version, given those of the old one and all changes
    /// between them, ascending.
    pub fn keywords_after(
        &self,
        new: &[u8],
        old: &Keywords,
        changes: &[Replaced],
    ) -> Option<Keywords> {
        if !self.takes_deltas_of(new) {
            return None;
        }
        let parts = parts(old.length, new.len(), changes)?;
        let mut marks = Vec::with_capacity(old.marks.len());
        let mut ahead = parts.iter().peekable();
        for mark in &old.marks {
            let (start, end) = (mark.start as usize, mark.end as usize);
            while ahead.next_if(|it| it.old + it.length <= start).is_some() {}
            if let Some(part) = ahead.peek()
                && part.old <= start
                && end <= part.old + part.length
            {
                let moved = |at: usize| u32::try_from(at - part.old + part.new).ok();
                marks.push(Mark {
                    start: moved(start)?,
                    end: moved(end)?,
                    ..*mark
                });
            }
        }
        // What touches a change, and what stands near it once more.
        let around = self.ruleset().prefilter().longest();
        let mut near: Vec<Range<usize>> = Vec::new();
        for (part, next) in parts.iter().zip(parts.iter().skip(1)) {
            let begin = (part.new + part.length).saturating_sub(around);
            let end = new.len().min(next.new + around);
            match near.last_mut() {
                Some(last) if begin <= last.end => last.end = end,
                _ => near.push(begin..end),
            }
        }
        for range in near {
            let begin = range.start;
            let slice = new.get(range).unwrap_or_default();
            self.marks(slice, begin, |mark| marks.push(mark));
        }
        Keywords::new(marks, new.len())
    }

    /// Finds what [`Scanner::scan`] finds in `new`, given what it found in `old` under the same
    /// path, and all changes between them, ascending.
    ///
    /// Changes that contradict each other, rules without keyword that apply to the path, and an
    /// old version with as many findings as are kept make it a full scan.
    pub fn scan_delta(
        &self,
        new: Version<'_>,
        path: Option<&[u8]>,
        old: Version<'_>,
        found: &[Finding],
        changes: &[Replaced],
    ) -> Inspection {
        let of_changes = self.between_seams(new, path, old, found, changes);
        of_changes.unwrap_or_else(|| self.part(new, path, 0..new.bytes.len()))
    }

    /// None where a full scan is needed, or is quicker.
    fn between_seams(
        &self,
        new: Version<'_>,
        path: Option<&[u8]>,
        old: Version<'_>,
        found: &[Finding],
        changes: &[Replaced],
    ) -> Option<Inspection> {
        let lengths = (old.keywords.length, new.keywords.length);
        if lengths != (old.bytes.len(), new.bytes.len())
            || found.len() >= FINDINGS_MAX
            || self.needs_all(path)
        {
            return None;
        }
        let parts = parts(old.bytes.len(), new.bytes.len(), changes)?;
        let windows = windows(old, new, &parts);
        let searched: usize = windows.iter().map(|it| it.new.len()).sum();
        if searched > new.bytes.len() / 4 * 3 {
            return None;
        }
        let mut findings = Vec::new();
        let mut rest = found.iter().peekable();
        for Window {
            old: before,
            new: window,
        } in &windows
        {
            let before = before.start as u64..before.end as u64;
            while let Some(finding) = rest.next_if(|it| it.span.start < before.end) {
                if finding.span.end <= before.start {
                    findings.push(moved(finding, changes));
                }
            }
            // An even offset keeps the order of bytes in UTF-16 apart.
            let from = window.start.saturating_sub(1) & !1;
            let inspected = self.part(new, path, from..new.bytes.len().min(window.end + 1));
            if !inspected.unread.is_empty() || inspected.total != inspected.findings.len() as u64 {
                return None;
            }
            let shifted = inspected.findings.into_iter().map(|mut finding| {
                finding.span.start += from as u64;
                finding.span.end += from as u64;
                finding
            });
            let window = window.start as u64..window.end as u64;
            findings.extend(shifted.filter(|finding| {
                window.start <= finding.span.start && finding.span.end <= window.end
            }));
        }
        findings.extend(rest.map(|finding| moved(finding, changes)));
        if findings.len() >= FINDINGS_MAX {
            return None;
        }
        findings.sort_by(|a, b| {
            (a.span.start, a.span.end, &a.rule_id).cmp(&(b.span.start, b.span.end, &b.rule_id))
        });
        let mut place = Marker::start();
        for finding in &mut findings {
            let start = usize::try_from(finding.span.start).unwrap_or(usize::MAX);
            let passed = usize::try_from(place.offset()).unwrap_or(usize::MAX);
            place.advance(new.bytes.get(passed..start).unwrap_or_default());
            (finding.line, finding.column) = place.position();
            finding.match_line = finding.line;
        }
        Some(Inspection {
            total: findings.len() as u64,
            findings,
            unread: Vec::new(),
        })
    }

    /// Scans a part of a version as if it were alone.
    fn part(&self, of: Version<'_>, path: Option<&[u8]>, part: Range<usize>) -> Inspection {
        let longest = self.ruleset().prefilter().longest();
        let is_known = of.keywords.length == of.bytes.len();
        let is_quiet = is_known && of.keywords.is_quiet(&part, longest);
        let bytes = of.bytes.get(part).unwrap_or_default();
        if is_quiet && !self.needs_all(path) {
            self.scan_encoded(bytes, path)
        } else {
            self.scan_text(bytes, path)
        }
    }

    fn takes_deltas_of(&self, bytes: &[u8]) -> bool {
        self.ruleset().gitleaks().is_empty()
            && u32::try_from(bytes.len()).is_ok()
            && !may_be_one(bytes)
    }

    /// Whether a rule without keyword runs on this path.
    fn needs_all(&self, path: Option<&[u8]>) -> bool {
        let (rules, always) = (
            self.ruleset().compiled(),
            self.ruleset().prefilter().always(),
        );
        if always.is_empty() {
            return false;
        }
        let mut applies = Applies::new(self.ruleset().prefilter(), path);
        always.iter().any(|&rule| applies.holds(rules, rule))
    }

    /// Tells the keywords in bytes that begin at an offset.
    fn marks(&self, bytes: &[u8], offset: usize, mut tell: impl FnMut(Mark)) {
        let rules = self.ruleset().compiled();
        self.ruleset().prefilter().hits(bytes, 0, |hit: Hit| {
            let reach = rules.get(hit.rule).map_or(0, |it| it.matcher().reach + 2);
            let narrow = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
            tell(Mark {
                start: narrow(offset + hit.start),
                end: narrow(offset + hit.end),
                reach: narrow(reach),
            });
        });
    }
}

/// What both versions have: before the first change, between each two, after the last. `None` if
/// the changes contradict each other.
fn parts(old_length: usize, new_length: usize, changes: &[Replaced]) -> Option<Vec<Kept>> {
    let index = |at: u64| usize::try_from(at).ok();
    let (mut old, mut new) = (0, 0);
    let mut parts = Vec::with_capacity(changes.len() + 1);
    let mut add = |old: &mut usize, new: &mut usize, until: (usize, usize)| {
        let length = until.0.checked_sub(*old)?;
        if until.1.checked_sub(*new)? != length {
            return None;
        }
        parts.push(Kept {
            old: *old,
            new: *new,
            length,
        });
        Some(())
    };
    for change in changes {
        let begin = (index(change.old.start)?, index(change.new.start)?);
        add(&mut old, &mut new, begin)?;
        (old, new) = (index(change.old.end)?, index(change.new.end)?);
        if old < begin.0 || new < begin.1 {
            return None;
        }
    }
    add(&mut old, &mut new, (old_length, new_length))?;
    Some(parts)
}

/// A finding of the old version at its new place.
fn moved(finding: &Finding, changes: &[Replaced]) -> Finding {
    let passed = changes.partition_point(|change| change.old.end <= finding.span.start);
    let last = passed.checked_sub(1).and_then(|at| changes.get(at));
    let mut finding = finding.clone();
    if let Some(change) = last {
        let forth = |at: u64| at - change.old.end + change.new.end;
        let span = forth(finding.span.start)..forth(finding.span.end);
        // The order of the two bytes of UTF-16 is told by whether the offset is even.
        if span.start % 2 != finding.span.start % 2
            && let Some(Step::Encoding(encoding)) = finding.via.first_mut()
        {
            *encoding = match *encoding {
                Encoding::Utf16Le => Encoding::Utf16Be,
                Encoding::Utf16Be => Encoding::Utf16Le,
                other => other,
            };
        }
        finding.span = span;
    }
    finding
}

/// What is to be searched anew, from one common seam to the next.
struct Window {
    old: Range<usize>,
    new: Range<usize>,
}

/// The windows around all changes, apart and ascending.
fn windows(old: Version<'_>, new: Version<'_>, parts: &[Kept]) -> Vec<Window> {
    let both = Both { old, new };
    let mut windows = Vec::new();
    let mut open: Option<(usize, usize)> = None;
    for (number, part) in parts.iter().enumerate() {
        let is_last = number + 1 == parts.len();
        if let Some(start) = open {
            let Some(end) = both.first_seam(part) else {
                continue;
            };
            let next = if is_last { None } else { both.last_seam(part) };
            let is_apart = next.is_some_and(|next| next >= end + JOINED);
            if !is_last && !is_apart {
                continue;
            }
            windows.push(Window {
                old: start.0..end - part.new + part.old,
                new: start.1..end,
            });
            open = next.map(|at| (at - part.new + part.old, at));
        } else if !is_last {
            let start = both.last_seam(part).unwrap_or(0);
            open = Some((start - part.new + part.old, start));
        }
    }
    windows
}

struct Both<'v> {
    old: Version<'v>,
    new: Version<'v>,
}

impl Both<'_> {
    /// The first place in a part, by the new version, that is a seam of both.
    fn first_seam(&self, part: &Kept) -> Option<usize> {
        let end = part.new + part.length;
        let mut at = part.new;
        while at < end {
            if let Some(busy) = self.new.keywords.around(at) {
                at = busy.end + 1;
            } else if let Some(busy) = self.old.keywords.around(at - part.new + part.old) {
                at = busy.end + 1 - part.old + part.new;
            } else if self.is_seam(at, at - part.new + part.old) {
                return Some(at);
            } else {
                let line = self.new.bytes.get(at..end).unwrap_or_default();
                at = memchr::memchr(b'\n', line).map_or(end, |found| at + found + 1);
            }
        }
        self.is_end(part).then_some(end)
    }

    /// The last one; the beginning of both versions is one.
    fn last_seam(&self, part: &Kept) -> Option<usize> {
        let mut at = part.new + part.length;
        loop {
            let old = at - part.new + part.old;
            let busy = match self.new.keywords.around(at) {
                Some(busy) => Some(busy.start),
                // It may begin before the part does.
                None => (self.old.keywords.around(old))
                    .map(|busy| (busy.start + part.new).saturating_sub(part.old)),
            };
            let before = if let Some(start) = busy {
                start.saturating_sub(1)
            } else if self.is_seam(at, old) {
                return Some(at);
            } else {
                // A line starts behind a line feed.
                let line = self.new.bytes.get(part.new..at.saturating_sub(1));
                let feed = memchr::memrchr(b'\n', line.unwrap_or_default());
                feed.map_or(part.new, |feed| part.new + feed + 1)
            };
            if before >= at || before < part.new {
                return (part.old == 0 && part.new == 0).then_some(0);
            }
            at = before;
        }
    }

    /// Whether both versions end with a part.
    fn is_end(&self, part: &Kept) -> bool {
        let ends = (part.old + part.length, part.new + part.length);
        ends == (self.old.bytes.len(), self.new.bytes.len())
    }

    fn is_seam(&self, new: usize, old: usize) -> bool {
        is_seam(self.new.bytes, new) && is_seam(self.old.bytes, old)
    }
}

/// Whether a line starts here and no encoded text goes across.
fn is_seam(bytes: &[u8], at: usize) -> bool {
    let Some(line) = bytes
        .get(..at)
        .and_then(|before| before.strip_suffix(b"\n"))
    else {
        return false;
    };
    let around = bytes.get(at.saturating_sub(2)..bytes.len().min(at + 2));
    if around.unwrap_or_default().contains(&0) {
        return false;
    }
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let tail = line
        .get(line.len().saturating_sub(WRAPPED_MIN)..)
        .unwrap_or_default();
    tail.len() < WRAPPED_MIN || !tail.iter().all(|byte| is_dense(*byte))
}

//! Scans only what changed between two versions of a text.
//!
//! Around each change a window is searched that begins and ends where nothing can stand across:
//! at the start of a line, out of reach of every keyword, and not inside encoded text. Outside of
//! the windows the findings of the old version hold. The keywords are looked for in the whole new
//! version, which is the cheap half of a scan.

use std::ops::Range;

use crate::decode::{Encoding, is_dense};
use crate::finding::{Finding, Step};
use crate::gathered::FINDINGS_MAX;
use crate::lines::Marker;
use crate::matcher::MATCH_MAX;
use crate::prefilter::Applies;
use crate::scanner::Scanner;

/// No match and no encoded region reaches further than this, in bytes.
const MARGIN: usize = MATCH_MAX + 1024;

/// Characters of base64 at the end of a line that the next line may continue.
const WRAPPED_MIN: usize = 24;

/// A part of the old version, and what stands in its place in the new one. Byte offsets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaced {
    /// Empty for an insertion.
    pub old: Range<u64>,
    /// Empty for a deletion.
    pub new: Range<u64>,
}

impl Scanner<'_> {
    /// Finds what [`Scanner::scan`] finds in `new`, given what it found in the old version under
    /// the same path, and all changes between them, ascending.
    ///
    /// Saves time where a version is far longer than 128 KiB for each change. Changes that
    /// contradict each other, rules without keyword, and an old version with as many findings as
    /// are kept make it a full scan.
    pub fn scan_delta(
        &self,
        new: &[u8],
        path: Option<&[u8]>,
        old: &[Finding],
        changes: &[Replaced],
    ) -> Vec<Finding> {
        let places = places(new.len(), changes);
        let (Some(places), Some(busy)) = (places, self.busy(new, path)) else {
            return self.scan(new, path);
        };
        // Rules of a `gitleaks.toml` look at whole lines, at whole files and at each other.
        if old.len() >= FINDINGS_MAX || !self.ruleset().gitleaks().is_empty() {
            return self.scan(new, path);
        }
        let windows = windows(new, &busy, &places);
        let mut findings = Vec::new();
        let mut rest = old.iter().peekable();
        for window in &windows {
            let (start, end) = (before(window.start, changes), before(window.end, changes));
            while let Some(finding) = rest.next_if(|finding| finding.span.start < end) {
                if finding.span.end <= start {
                    findings.push(moved(finding, changes));
                }
            }
            // An even offset keeps the order of bytes in UTF-16 apart.
            let from = window.start.saturating_sub(1) & !1;
            let slice = new.get(from..new.len().min(window.end + 1));
            let inspected = self.scan_text(slice.unwrap_or_default(), path);
            if !inspected.unread.is_empty() {
                return self.scan(new, path);
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
            return self.scan(new, path);
        }
        findings.sort_by(|a, b| {
            (a.span.start, a.span.end, &a.rule_id).cmp(&(b.span.start, b.span.end, &b.rule_id))
        });
        let mut place = Marker::start();
        for finding in &mut findings {
            let start = usize::try_from(finding.span.start).unwrap_or(usize::MAX);
            let passed = usize::try_from(place.offset()).unwrap_or(usize::MAX);
            place.advance(new.get(passed..start).unwrap_or_default());
            (finding.line, finding.column) = place.position();
            finding.match_line = finding.line;
        }
        findings
    }

    /// Where a match could stand, as ranges that are apart; `None` if that is everywhere.
    fn busy(&self, bytes: &[u8], path: Option<&[u8]>) -> Option<Vec<Range<usize>>> {
        let (rules, prefilter) = (self.ruleset().compiled(), self.ruleset().prefilter());
        let mut applies = Applies::new(rules, path);
        let mut always = prefilter.always().iter();
        if always.any(|&rule| applies.holds(rules, rule)) {
            return None;
        }
        let mut ranges = Vec::new();
        prefilter.hits(bytes, 0, |hit| {
            if applies.holds(rules, hit.rule)
                && let Some(rule) = rules.get(hit.rule)
            {
                let reach = rule.matcher().reach + 2;
                ranges.push(hit.end.saturating_sub(reach)..hit.start + reach);
            }
        });
        ranges.sort_by_key(|range| range.start);
        let mut apart: Vec<Range<usize>> = Vec::new();
        for range in ranges {
            match apart.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => apart.push(range),
            }
        }
        Some(apart)
    }
}

/// The changed places of the new version; `None` if the changes contradict each other.
fn places(length: usize, changes: &[Replaced]) -> Option<Vec<Range<usize>>> {
    let (mut old_end, mut new_end) = (0, 0);
    let mut places = Vec::with_capacity(changes.len());
    for change in changes {
        let kept = change.old.start.checked_sub(old_end)?;
        let is_sound = change.new.start.checked_sub(new_end)? == kept
            && change.old.start <= change.old.end
            && change.new.start <= change.new.end
            && change.new.end <= length as u64;
        if !is_sound {
            return None;
        }
        (old_end, new_end) = (change.old.end, change.new.end);
        places.push(usize::try_from(change.new.start).ok()?..usize::try_from(change.new.end).ok()?);
    }
    Some(places)
}

/// The old offset of a new one that no change covers.
fn before(at: usize, changes: &[Replaced]) -> u64 {
    let at = at as u64;
    let passed = changes.iter().take_while(|change| change.new.end <= at);
    let last = passed.last();
    last.map_or(at, |change| at - change.new.end + change.old.end)
}

/// A finding of the old version at its new place.
fn moved(finding: &Finding, changes: &[Replaced]) -> Finding {
    let passed = changes
        .iter()
        .take_while(|change| change.old.end <= finding.span.start);
    let mut finding = finding.clone();
    if let Some(change) = passed.last() {
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

/// What is to be searched, as ranges that are apart.
fn windows(bytes: &[u8], busy: &[Range<usize>], places: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut windows: Vec<Range<usize>> = Vec::new();
    let mut places = places.iter().peekable();
    while let Some(place) = places.next() {
        let start = quiet_before(bytes, busy, place.start.saturating_sub(MARGIN));
        let mut end = quiet_after(bytes, busy, place.end + MARGIN);
        while let Some(next) = places.next_if(|next| next.start < end + MARGIN) {
            end = quiet_after(bytes, busy, next.end + MARGIN);
        }
        match windows.last_mut() {
            Some(last) if start <= last.end => last.end = last.end.max(end),
            _ => windows.push(start..end),
        }
    }
    windows
}

/// The busy range that holds a place.
fn holds(busy: &[Range<usize>], at: usize) -> Option<&Range<usize>> {
    let index = busy.partition_point(|range| range.start <= at);
    let range = busy.get(index.checked_sub(1)?)?;
    (at <= range.end).then_some(range)
}

/// The last quiet place up to `at`.
fn quiet_before(bytes: &[u8], busy: &[Range<usize>], mut at: usize) -> usize {
    at = at.min(bytes.len());
    while at > 0 {
        if let Some(range) = holds(busy, at) {
            at = range.start.saturating_sub(1);
        } else if is_seam(bytes, at) {
            return at;
        } else {
            // A line starts behind a line feed.
            let line = bytes.get(..at - 1).unwrap_or_default();
            at = memchr::memrchr(b'\n', line).map_or(0, |found| found + 1);
        }
    }
    0
}

/// The first quiet place from `at` on.
fn quiet_after(bytes: &[u8], busy: &[Range<usize>], mut at: usize) -> usize {
    while at < bytes.len() {
        if let Some(range) = holds(busy, at) {
            at = range.end + 1;
        } else if is_seam(bytes, at) {
            return at;
        } else {
            let line = bytes.get(at..).unwrap_or_default();
            at = memchr::memchr(b'\n', line).map_or(bytes.len(), |found| at + found + 1);
        }
    }
    bytes.len()
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

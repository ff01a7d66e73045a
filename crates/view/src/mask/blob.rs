//! Blobs and other text: findings become placeholders, line by line numbers stay.

use std::borrow::Cow;
use std::ops::Range;

use refwarden_scan::{Finding, FingerprintKey, Stream};

use super::{Dependence, Mask, splice};
use crate::placeholder::{PREFIX, placeholder};

/// Rounds of masking lines before the whole blob is masked. Each round takes lines out of what
/// can be found, so more only serve rules that find what masking itself brought about.
const ROUNDS: usize = 3;

impl Mask<'_> {
    /// Masks a blob that stands at a path; borrows where there is nothing to mask.
    ///
    /// Findings become placeholders, and the number of lines stays. What is still found then
    /// masks its lines, and in the end everything. A blob with a NUL byte is masked whole, and
    /// has one line then. Masking the result again changes nothing.
    pub fn blob<'b>(&self, bytes: &'b [u8], path: Option<&[u8]>) -> Cow<'b, [u8]> {
        mask(self, bytes, path)
    }
}

/// A blob that is too large to hold, on its way past the scanner.
pub struct Large<'m> {
    pub(super) plain: Stream<'m>,
    pub(super) conditional: Stream<'m>,
    pub(super) key: &'m FingerprintKey,
}

impl Large<'_> {
    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.plain.push(bytes);
        self.conditional.push(bytes);
    }

    /// How its findings depend on its path, and what stands for it where there are any: one
    /// line, whose digits come from the findings.
    pub fn finish(self) -> (Dependence, Vec<u8>) {
        let (plain, conditional) = (self.plain.finish(), self.conditional.finish());
        let depends = match Mask::depends(!plain.is_empty(), !conditional.is_empty()) {
            // All of it is masked either way.
            Dependence::ByPath => Dependence::Anywhere,
            other => other,
        };
        let findings = if plain.is_empty() { conditional } else { plain };
        let Some(first) = findings.first() else {
            return (depends, Vec::new());
        };
        let mut all = Vec::new();
        for finding in &findings {
            all.extend_from_slice(finding.fingerprint.as_bytes());
        }
        let mut text = placeholder(&first.rule_id, self.key.fingerprint(&all));
        text.push('\n');
        (depends, text.into_bytes())
    }
}

/// The bytes that a finding masks. The one seam for findings that stand encoded: their span in
/// the blob is that of the encoding, and is to be answered here.
pub(super) fn span(finding: &Finding) -> Range<usize> {
    let index = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX);
    index(finding.span.start)..index(finding.span.end)
}

/// Whether placeholders cover a span. It may reach over several that touch each other.
pub(super) fn within(placeholders: &[Range<usize>], span: &Range<usize>) -> bool {
    let mut at = span.start;
    for one in placeholders {
        if one.start <= at && at < one.end {
            at = one.end;
        }
    }
    at >= span.end && span.start < span.end
}

pub(super) fn mask<'b>(mask: &Mask<'_>, bytes: &'b [u8], path: Option<&[u8]>) -> Cow<'b, [u8]> {
    let findings = mask.findings(bytes, path);
    let Some(first) = findings.first() else {
        return Cow::Borrowed(bytes);
    };
    if is_whole(mask, bytes) {
        return Cow::Borrowed(bytes);
    }
    if memchr::memchr(0, bytes).is_some() {
        let mut line = placeholder(&first.rule_id, mask.key.fingerprint(bytes));
        line.push('\n');
        return Cow::Owned(line.into_bytes());
    }
    let whole = whole(mask, bytes, &first.rule_id);
    let mut masked = replaced(mask, bytes, &findings, |span| span);
    for _ in 0..ROUNDS {
        let left = mask.findings(&masked, path);
        if left.is_empty() {
            return Cow::Owned(masked);
        }
        let before = masked;
        masked = replaced(mask, &before, &left, |span| lines(&before, &span));
    }
    if mask.findings(&masked, path).is_empty() {
        return Cow::Owned(masked);
    }
    Cow::Owned(whole)
}

/// Replaces what is found, widened by `widen`. What overlaps is replaced as one.
fn replaced(
    mask: &Mask<'_>,
    bytes: &[u8],
    findings: &[Finding],
    widen: impl Fn(Range<usize>) -> Range<usize>,
) -> Vec<u8> {
    let mut spans: Vec<(Range<usize>, &str)> = findings
        .iter()
        .map(|finding| (widen(span(finding)), &*finding.rule_id))
        .collect();
    spans.sort_by_key(|(span, rule)| (span.start, std::cmp::Reverse(span.end), *rule));
    let mut merged: Vec<(Range<usize>, &str)> = Vec::with_capacity(spans.len());
    for (span, rule) in spans {
        match merged.last_mut() {
            Some((last, _)) if span.start < last.end => last.end = last.end.max(span.end),
            _ => merged.push((span, rule)),
        }
    }
    let edits: Vec<_> = merged
        .into_iter()
        .map(|(span, rule)| {
            let covered = bytes.get(span.clone()).unwrap_or_default();
            let mut with = placeholder(rule, mask.key.fingerprint(covered)).into_bytes();
            with.extend(breaks(covered));
            (span, with)
        })
        .collect();
    splice(bytes, &edits)
}

/// The line breaks in `bytes`, so that lines below keep their numbers.
fn breaks(bytes: &[u8]) -> Vec<u8> {
    let mut breaks = Vec::new();
    for at in memchr::memchr_iter(b'\n', bytes) {
        if at.checked_sub(1).and_then(|before| bytes.get(before)) == Some(&b'\r') {
            breaks.push(b'\r');
        }
        breaks.push(b'\n');
    }
    breaks
}

/// The whole lines that a span touches, without the break of the last.
fn lines(bytes: &[u8], span: &Range<usize>) -> Range<usize> {
    let before = bytes.get(..span.start).unwrap_or_default();
    let start = memchr::memrchr(b'\n', before).map_or(0, |at| at + 1);
    let last = span.end.saturating_sub(1).max(span.start);
    let after = bytes.get(last..).unwrap_or_default();
    let end = memchr::memchr(b'\n', after).map_or(bytes.len(), |at| last + at);
    start..end.max(start)
}

/// Everything masked as one, with as many lines as before.
fn whole(mask: &Mask<'_>, bytes: &[u8], rule: &str) -> Vec<u8> {
    let mut out = placeholder(rule, mask.key.fingerprint(bytes)).into_bytes();
    out.extend(breaks(bytes));
    out
}

/// Whether the bytes are what [`whole`] makes.
fn is_whole(mask: &Mask<'_>, bytes: &[u8]) -> bool {
    if !bytes.starts_with(PREFIX.as_bytes()) {
        return false;
    }
    let first = mask.known.spans(bytes).into_iter().next();
    let rest = first.and_then(|span| bytes.get(span.end..));
    rest.is_some_and(|rest| rest.iter().all(|byte| matches!(byte, b'\r' | b'\n')))
}

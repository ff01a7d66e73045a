//! Blobs and other text: findings become placeholders, line by line numbers stay.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::ops::Range;

use refwarden_scan::{Finding, Secret};

use super::contents::{Look, Opaque};
use super::{Mask, splice};
use crate::placeholder::{PREFIX, placeholder};

/// Rounds of masking lines before the whole blob is masked. Each round takes lines out of what
/// can be found, so more only serve rules that find what masking itself brought about.
const ROUNDS: usize = 3;

impl Mask<'_> {
    /// Masks a blob that stands at a path; borrows where there is nothing to mask.
    ///
    /// Findings become placeholders, and the number of lines stays. What is still found then
    /// masks its lines, and in the end everything. A blob with a NUL byte is masked whole, and
    /// has one line then; so is a container in which something is found. Masking the result
    /// again changes nothing.
    pub fn blob<'b>(&self, bytes: &'b [u8], path: Option<&[u8]>) -> Cow<'b, [u8]> {
        mask(self, bytes, |bytes| self.look(bytes, path))
    }

    /// What [`Mask::blob`] replaces first, one after the other. Nothing where the blob is masked as
    /// one.
    pub(crate) fn places(&self, bytes: &[u8], path: Option<&[u8]>) -> Vec<Replaced> {
        let Look::Lines(findings) = self.look(bytes, path) else {
            return Vec::new();
        };
        if memchr::memchr(0, bytes).is_some() {
            return Vec::new();
        }
        let edits = edits(self, bytes, &findings, |span| span);
        let place = |(at, with): (Range<usize>, Vec<u8>)| {
            let mut found: Vec<&Finding> = findings
                .iter()
                .filter(|finding| span(finding).start < at.end && at.start < span(finding).end)
                .collect();
            found.sort_by_key(|finding| named_first(&span(finding), &finding.rule_id));
            let secret = found.first().map(|finding| finding.secret.clone())?;
            let mut rules = found.iter().map(|finding| finding.rule_id.to_string());
            let rule = rules.next()?;
            let mut also: Vec<String> = rules.filter(|it| *it != rule).collect();
            also.sort_unstable();
            also.dedup();
            Some(Replaced {
                at,
                with,
                rule,
                also,
                secret,
            })
        };
        edits.into_iter().filter_map(place).collect()
    }
}

/// What masking replaces at one place.
pub(crate) struct Replaced {
    /// The bytes.
    pub(crate) at: Range<usize>,
    /// What is written for them: a placeholder, and their line breaks.
    pub(crate) with: Vec<u8>,
    /// The rule that the placeholder names.
    pub(crate) rule: String,
    /// Other rules whose findings are in these bytes, sorted.
    pub(crate) also: Vec<String>,
    /// What that rule has found.
    pub(crate) secret: Secret,
}

/// The order in which findings are taken: of those that overlap, the first names the placeholder.
fn named_first<'r>(span: &Range<usize>, rule: &'r str) -> (usize, Reverse<usize>, &'r str) {
    (span.start, Reverse(span.end), rule)
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

/// Masks what `look` sees.
pub(super) fn mask<'b>(
    mask: &Mask<'_>,
    bytes: &'b [u8],
    look: impl Fn(&[u8]) -> Look,
) -> Cow<'b, [u8]> {
    let findings = match look(bytes) {
        Look::Lines(findings) if findings.is_empty() => return Cow::Borrowed(bytes),
        _ if is_whole(mask, bytes) => return Cow::Borrowed(bytes),
        Look::Lines(findings) => findings,
        Look::Opaque(why) => return Cow::Owned(opaque(mask, bytes, why)),
    };
    let rule = findings.first().map_or("", |first| &*first.rule_id);
    if memchr::memchr(0, bytes).is_some() {
        return Cow::Owned(one_line(mask, bytes, rule));
    }
    let mut masked = replaced(mask, bytes, &findings, |span| span);
    for _ in 0..ROUNDS {
        let left = match look(&masked) {
            Look::Lines(left) if left.is_empty() => return Cow::Owned(masked),
            Look::Lines(left) => left,
            Look::Opaque(why) => return Cow::Owned(opaque(mask, bytes, why)),
        };
        let before = masked;
        masked = replaced(mask, &before, &left, |span| lines(&before, &span));
    }
    if matches!(look(&masked), Look::Lines(left) if left.is_empty()) {
        return Cow::Owned(masked);
    }
    Cow::Owned(whole(mask, bytes, rule))
}

/// What stands for bytes that are masked as one. Text keeps its lines.
fn opaque(mask: &Mask<'_>, bytes: &[u8], why: Opaque) -> Vec<u8> {
    if why == Opaque::Container || memchr::memchr(0, bytes).is_some() {
        return one_line(mask, bytes, why.id());
    }
    whole(mask, bytes, why.id())
}

fn one_line(mask: &Mask<'_>, bytes: &[u8], id: &str) -> Vec<u8> {
    let mut line = placeholder(id, mask.key.fingerprint(bytes)).into_bytes();
    line.push(b'\n');
    line
}

/// Replaces what is found, widened by `widen`.
fn replaced(
    mask: &Mask<'_>,
    bytes: &[u8],
    findings: &[Finding],
    widen: impl Fn(Range<usize>) -> Range<usize>,
) -> Vec<u8> {
    splice(bytes, &edits(mask, bytes, findings, widen))
}

/// What is found, widened by `widen`, and what is written for it. What overlaps is one.
fn edits(
    mask: &Mask<'_>,
    bytes: &[u8],
    findings: &[Finding],
    widen: impl Fn(Range<usize>) -> Range<usize>,
) -> Vec<(Range<usize>, Vec<u8>)> {
    let mut spans: Vec<(Range<usize>, &str)> = findings
        .iter()
        .map(|finding| (widen(span(finding)), &*finding.rule_id))
        .collect();
    spans.sort_by_key(|&(ref span, rule)| named_first(span, rule));
    let mut merged: Vec<(Range<usize>, &str)> = Vec::with_capacity(spans.len());
    for (span, rule) in spans {
        match merged.last_mut() {
            Some((last, _)) if span.start < last.end => last.end = last.end.max(span.end),
            _ => merged.push((span, rule)),
        }
    }
    merged
        .into_iter()
        .map(|(span, rule)| {
            let covered = bytes.get(span.clone()).unwrap_or_default();
            let mut with = placeholder(rule, mask.key.fingerprint(covered)).into_bytes();
            with.extend(breaks(covered));
            (span, with)
        })
        .collect()
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

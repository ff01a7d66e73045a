//! What of a match is the secret, and whether anything acquits it.

use super::allow::{Matched, Origin};
use super::engine::{Compiled, Engine};

/// The comment that acquits what stands in its line.
const COMMENT: &[u8] = b"gitleaks:allow";

/// Of a line, so many bytes before and after a match are looked at.
pub(super) const LINE_MAX: usize = 64 * 1024;

/// Whether the lines that hold a span of a text say `gitleaks:allow`.
///
/// For findings of rules that come from no `gitleaks.toml`: those of such a file know by
/// themselves ([`Finding::allow_comment`](crate::Finding::allow_comment)).
pub fn is_commented(text: &[u8], span: std::ops::Range<usize>) -> bool {
    let end = span.end.min(text.len());
    let line = line(text, span.start.min(end), end);
    memchr::memmem::find(line, COMMENT).is_some()
}

/// A match that counts.
#[derive(Debug, Clone)]
pub(super) struct Verdict {
    /// The secret, from the start of the match, in bytes.
    pub(super) secret: std::ops::Range<usize>,
    pub(super) entropy: f64,
    /// The line says `gitleaks:allow`.
    pub(super) comment: bool,
}

/// Judges the match at `start..end` of `text`; `None` acquits.
///
/// The match loses the line ends at both of its ends, and the pattern runs once more on what is
/// left, alone: that is how gitleaks finds the group.
pub(super) fn judge(
    engine: &Engine,
    rule: &Compiled,
    origin: Origin<'_>,
    text: &[u8],
    start: usize,
    end: usize,
) -> Option<Verdict> {
    let found = text.get(start..end)?;
    let skipped = found.iter().take_while(|byte| **byte == b'\n').count();
    let trimmed = trim_line_ends(found);
    let group = group(rule, trimmed);
    let secret = trimmed.get(group.clone())?;
    let entropy = entropy(secret);
    if rule.spec.entropy != 0.0 && entropy <= rule.spec.entropy {
        return None;
    }
    // The shift is gitleaks': the end moves by what was cut off at the start.
    let line = line(text, start, start + trimmed.len());
    let matched = Matched {
        secret,
        text: trimmed,
        line,
    };
    let mut allowlists = engine.allowlists.iter().chain(&rule.spec.allowlists);
    if allowlists.any(|list| list.allows(origin, matched)) {
        return None;
    }
    Some(Verdict {
        secret: skipped + group.start..skipped + group.end,
        entropy,
        comment: memchr::memmem::find(line, COMMENT).is_some(),
    })
}

fn trim_line_ends(mut bytes: &[u8]) -> &[u8] {
    while let [b'\n', rest @ ..] | [rest @ .., b'\n'] = bytes {
        bytes = rest;
    }
    bytes
}

/// The stated group, or the first that holds anything, or all.
fn group(rule: &Compiled, matched: &[u8]) -> std::ops::Range<usize> {
    let all = 0..matched.len();
    let Some(regex) = rule.regex().filter(|regex| regex.captures_len() > 1) else {
        return all;
    };
    let mut groups = regex.create_captures();
    regex.captures(matched, &mut groups);
    if !groups.is_match() {
        return all;
    }
    if rule.spec.secret_group > 0 {
        let group = groups.get_group(rule.spec.secret_group);
        return group.map_or(0..0, |span| span.range());
    }
    (1..regex.captures_len())
        .filter_map(|index| groups.get_group(index))
        .find(|span| !span.is_empty())
        .map_or(all, |span| span.range())
}

/// The lines that hold the match, with the line end before them but not the one behind.
fn line(text: &[u8], start: usize, end: usize) -> &[u8] {
    let lower = start.saturating_sub(LINE_MAX);
    let upper = end.saturating_add(LINE_MAX).min(text.len());
    // A match that starts with a line end counts to the line behind it.
    let before = text.get(lower..=start).unwrap_or_default();
    let first = memchr::memrchr(b'\n', before).map_or(lower, |at| lower + at);
    let after = text.get(end..upper).unwrap_or_default();
    let last = memchr::memchr(b'\n', after).map_or(upper, |at| end + at);
    text.get(first..last).unwrap_or_default()
}

/// Shannon entropy over characters, as gitleaks counts it: shares are of the length in bytes.
fn entropy(secret: &[u8]) -> f64 {
    let mut ascii = [0u32; 128];
    let mut wide = std::collections::BTreeMap::new();
    for chunk in secret.utf8_chunks() {
        for c in chunk.valid().chars() {
            match ascii.get_mut(c as usize) {
                Some(count) => *count += 1,
                None => *wide.entry(c).or_insert(0u32) += 1,
            }
        }
        if !chunk.invalid().is_empty() {
            let count = u32::try_from(chunk.invalid().len()).unwrap_or(u32::MAX);
            *wide.entry(char::REPLACEMENT_CHARACTER).or_insert(0) += count;
        }
    }
    #[expect(
        clippy::cast_precision_loss,
        reason = "secrets are far shorter than 2^52 bytes"
    )]
    let length = secret.len() as f64;
    ascii
        .into_iter()
        .chain(wide.into_values())
        .filter(|count| *count > 0)
        .map(|count| {
            let share = f64::from(count) / length;
            -share * share.log2()
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entropy_counts_characters_and_divides_by_bytes() {
        for (text, expected) in [("", 0.0), ("aaaa", 0.0), ("abab", 1.0), ("\u{e9}", 0.5)] {
            assert!((entropy(text.as_bytes()) - expected).abs() < 1e-9, "{text}");
        }
    }

    #[test]
    fn a_comment_counts_in_its_own_line_alone() {
        let text = b"a = 1 # gitleaks:allow\nb = 2\nc = 3 # gitleaks:allow";
        assert!(is_commented(text, 4..5));
        assert!(!is_commented(text, 27..28));
        assert!(is_commented(text, 33..34));
        assert!(is_commented(text, 27..34));
        assert!(!is_commented(b"", 3..9));
    }

    #[test]
    fn lines_start_with_the_line_end_before() {
        let text = b"one\ntwo\nthree";
        assert_eq!(line(text, 0, 2), b"one");
        assert_eq!(line(text, 5, 6), b"\ntwo");
        assert_eq!(line(text, 5, 9), b"\ntwo\nthree");
        assert_eq!(line(text, 3, 5), b"\ntwo");
    }
}

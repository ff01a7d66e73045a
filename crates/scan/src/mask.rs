//! Replaces known secrets in whatever is about to be written down.
//!
//! For records, messages and patches: bytes that somebody else made and that may repeat a secret
//! in part. It is not the masked view, which keeps a history consistent.

use std::borrow::Cow;
use std::collections::BTreeMap;

use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use crate::finding::Finding;
use crate::redact::{HIDDEN, redacted};
use crate::secret::Secret;
use crate::structure::pem_lines;

/// Lines of a secret shorter than this are not masked alone, in bytes.
const LINE_MIN: usize = 8;

/// Base64 texts shorter than this are not masked, in characters.
const BASE64_MIN: usize = 10;

/// Knows secrets and replaces every occurrence of them.
///
/// An occurrence is: the bytes of a secret; any line of 8 bytes or more of a secret with several
/// lines (so a patch, with a sign before each line, is covered); the base64 of either, in both
/// alphabets and at each of the three alignments, without line breaks of its own. Overlapping
/// occurrences are replaced as one.
///
/// A secret that was found encoded is known in that form too. Not covered otherwise: hexadecimal
/// and other encodings, and lines shorter than 8 bytes alone. The
/// automaton holds the secrets until dropped, and is not wiped.
pub struct Masker {
    automaton: Option<AhoCorasick>,
    /// By pattern: what to write instead.
    instead: Vec<String>,
}

impl std::fmt::Debug for Masker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Masker({} patterns)", self.instead.len())
    }
}

impl Masker {
    /// Knows the secrets of these findings.
    pub fn new(findings: &[Finding]) -> Self {
        findings.iter().collect()
    }

    /// Replaces each occurrence of a known secret; borrows when there is none.
    pub fn mask<'b>(&self, bytes: &'b [u8]) -> Cow<'b, [u8]> {
        let Some(automaton) = &self.automaton else {
            return Cow::Borrowed(bytes);
        };
        let mut spans: Vec<(usize, usize, usize)> = automaton
            .find_overlapping_iter(bytes)
            .map(|hit| (hit.start(), hit.end(), hit.pattern().as_usize()))
            .collect();
        if spans.is_empty() {
            return Cow::Borrowed(bytes);
        }
        // Longest first among those that start together: it says what to write.
        spans.sort_by_key(|&(start, end, pattern)| (start, std::cmp::Reverse(end), pattern));
        let mut out = Vec::with_capacity(bytes.len());
        let mut done = 0;
        for (start, end, pattern) in spans {
            if end <= done {
                continue;
            }
            if start >= done {
                out.extend_from_slice(bytes.get(done..start).unwrap_or_default());
                let instead = self.instead.get(pattern).map_or(HIDDEN, String::as_str);
                out.extend_from_slice(instead.as_bytes());
            }
            done = end;
        }
        out.extend_from_slice(bytes.get(done..).unwrap_or_default());
        Cow::Owned(out)
    }
}

impl<'f> FromIterator<&'f Finding> for Masker {
    /// Knows each secret both decoded and as it stands.
    fn from_iter<I: IntoIterator<Item = &'f Finding>>(findings: I) -> Self {
        let both = |finding: &'f Finding| [&finding.secret, finding.standing()];
        findings.into_iter().flat_map(both).collect()
    }
}

impl<'s> FromIterator<&'s Secret> for Masker {
    fn from_iter<I: IntoIterator<Item = &'s Secret>>(secrets: I) -> Self {
        let mut known: BTreeMap<Vec<u8>, String> = BTreeMap::new();
        for secret in secrets {
            let bytes = secret.expose();
            for line in pem_lines(bytes).map(<[u8]>::trim_ascii) {
                if line.len() >= LINE_MIN && line.len() < bytes.len() && !is_armour(line) {
                    known
                        .entry(line.to_vec())
                        .or_insert_with(|| HIDDEN.to_owned());
                    add_base64(line, &mut known);
                }
            }
            // The base64 of several lines holds the base64 of each, which is known by now.
            if !bytes.contains(&b'\n') {
                add_base64(bytes, &mut known);
            }
            if !bytes.is_empty() {
                known.insert(bytes.to_vec(), redacted(bytes));
            }
        }
        // Building fails only beyond 2^31 states; then nothing may be let through.
        let automaton = (!known.is_empty()).then(|| {
            AhoCorasick::builder()
                .match_kind(MatchKind::Standard)
                .build(known.keys())
        });
        match automaton.transpose() {
            Ok(automaton) => Self {
                automaton,
                instead: known.into_values().collect(),
            },
            Err(_) => Self {
                automaton: every_byte(),
                instead: Vec::new(),
            },
        }
    }
}

/// Matches every byte: masks all.
fn every_byte() -> Option<AhoCorasick> {
    AhoCorasick::new((0..=u8::MAX).map(|byte| [byte])).ok()
}

/// Armour lines (`-----BEGIN … KEY-----`) hold nothing secret and may stay.
fn is_armour(line: &[u8]) -> bool {
    line.starts_with(b"-----BEGIN ") || line.starts_with(b"-----END ")
}

/// The characters of base64 that `bytes` fixes, whatever stands before and after them.
fn add_base64(bytes: &[u8], known: &mut BTreeMap<Vec<u8>, String>) {
    for before in 0..3usize {
        let mut padded = vec![0; before];
        padded.extend_from_slice(bytes);
        // Characters that hold a bit of what stands before, and those wholly inside.
        let (first, end) = ((before * 8).div_ceil(6), padded.len() * 8 / 6);
        for text in [
            STANDARD_NO_PAD.encode(&padded),
            URL_SAFE_NO_PAD.encode(&padded),
        ] {
            if let Some(fixed) = text.as_bytes().get(first..end)
                && fixed.len() >= BASE64_MIN
            {
                known
                    .entry(fixed.to_vec())
                    .or_insert_with(|| HIDDEN.to_owned());
            }
        }
    }
}

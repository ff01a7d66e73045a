//! Object names that people write in messages: "This reverts commit …".

use std::ops::Range;

use refwarden_model::ObjectFormat;

use super::{Mask, splice};

/// Digits that a name has at least: git's shortest default abbreviation (`core.abbrev`).
pub const MENTION_MIN: usize = 7;

/// What an object is called in the view.
pub trait Names {
    /// The view's name for an object that another one links to.
    fn linked(&self, oid: refwarden_model::Oid) -> refwarden_model::Oid;

    /// What to write for a whole or abbreviated name, given in lower case; none when it stays.
    /// The answer is as long.
    fn mentioned(&self, digits: &str) -> Option<String>;
}

/// Runs of hexadecimal digits that may name an object, ascending and apart. Of a run that is
/// longer than a name, every stretch of a name's length.
pub fn mentions(text: &[u8], format: ObjectFormat) -> Vec<Range<usize>> {
    let whole = format.raw_len() * 2;
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let skipped = rest.iter().take_while(|byte| !byte.is_ascii_hexdigit());
        let start = at + skipped.count();
        let run = text.get(start..).unwrap_or_default();
        let length = run
            .iter()
            .take_while(|byte| byte.is_ascii_hexdigit())
            .count();
        if length > whole {
            found.extend((start..=start + length - whole).map(|from| from..from + whole));
        } else if length >= MENTION_MIN {
            found.push(start..start + length);
        }
        at = start + length;
    }
    found
}

impl Mask<'_> {
    /// Replaces what names affected objects, where a name has `digits_min` digits at least.
    /// Placeholders are left alone. None when nothing changes.
    pub(crate) fn translated(
        &self,
        text: &[u8],
        format: ObjectFormat,
        digits_min: usize,
        names: &impl Names,
    ) -> Option<Vec<u8>> {
        let mut edits: Vec<(Range<usize>, Vec<u8>)> = Vec::new();
        let mut placeholders = None;
        for span in mentions(text, format) {
            if span.len() < digits_min
                || edits.last().is_some_and(|(last, _)| span.start < last.end)
            {
                continue;
            }
            let digits = String::from_utf8_lossy(text.get(span.clone()).unwrap_or_default());
            let Some(new) = names.mentioned(&digits.to_ascii_lowercase()) else {
                continue;
            };
            let known = placeholders.get_or_insert_with(|| self.known.spans(text));
            if !super::blob::within(known, &span) {
                edits.push((span, new.into_bytes()));
            }
        }
        (!edits.is_empty()).then(|| splice(text, &edits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_digits() {
        let oid = "0123456789abcdef0123456789abcdef01234567";
        let text = format!("v1-gabcdef1 123456 {oid}0 {oid}");
        let found = mentions(text.as_bytes(), ObjectFormat::Sha1);
        assert_eq!(found, [4..11, 19..59, 20..60, 61..101]);
    }
}

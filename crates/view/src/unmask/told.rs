//! What is said of a push, in the client's terms.
//!
//! Hooks and git speak of the original, since that is what they see. No name of an object that
//! the view calls otherwise may reach the client: with everything else known, it lets a short
//! secret be guessed.

use refwarden_model::Oid;

use super::maps::{Forward, Pushed};
use super::{Translated, View};
use crate::mask::{MENTION_MIN, mentions};

/// What stands for a line that names what the view does not know.
pub const WITHHELD: &str = "(a line about objects of the original)";

/// Translates text for the client, line by line: names of objects, in full or of 7 digits or
/// more, become those of the view, and secrets become placeholders. A line that holds the whole
/// name of anything else is withheld.
///
/// `translated` is the push that it is about; none where there is none yet.
pub fn told(view: View<'_, '_>, translated: Option<&Translated>, text: &[u8]) -> Vec<u8> {
    let mut pushed = Pushed::default();
    for (original, masked) in translated.into_iter().flat_map(|it| &it.pairs) {
        pushed.add(*masked, *original);
    }
    pushed.changed = translated
        .into_iter()
        .flat_map(|it| it.changed.iter().copied())
        .collect();
    let format = view.original.object_format;
    let names = Forward {
        maps: view.maps,
        pushed: &pushed,
        links: &[],
        stand_in: &|digits| view.mask.stand_in(digits),
        like: format.zero(),
    };
    let whole = format.raw_len() * 2;
    let line = |line: &[u8]| {
        let masked = view.mask.text(line);
        let new = view.mask.translated(&masked, format, MENTION_MIN, &names);
        let new = new.unwrap_or_else(|| masked.into_owned());
        let is_known = |digits: &[u8]| {
            let oid = Oid::parse(&digits.to_ascii_lowercase()).ok();
            oid.is_some_and(|oid| {
                let of_view = view.maps.originals(oid).next().is_some();
                oid.is_zero() || of_view || pushed.original(oid).is_some()
            })
        };
        let mut spans = mentions(&new, format)
            .into_iter()
            .filter(|span| span.len() >= whole);
        if spans.any(|span| !new.get(span).is_some_and(is_known)) {
            return WITHHELD.as_bytes().to_vec();
        }
        new
    };
    let lines: Vec<Vec<u8>> = text.split(|byte| *byte == b'\n').map(line).collect();
    lines.join(&b'\n')
}

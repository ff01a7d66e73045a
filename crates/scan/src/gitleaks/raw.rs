//! A match, and where it stands.

use std::ops::Range;

use crate::lines::Marker;
use crate::secret::Secret;
use crate::sweep::View;

/// A match that nothing acquits.
#[derive(Debug, Clone)]
pub(super) struct Raw {
    pub(super) rule: usize,
    /// Where the match starts.
    pub(super) start: u64,
    pub(super) span: Range<u64>,
    pub(super) secret: Secret,
    pub(super) entropy: f64,
    pub(super) comment: bool,
    /// 1-based line and column of the match.
    pub(super) at: (u64, u64),
    /// 1-based line and column of the secret.
    pub(super) secret_at: (u64, u64),
}

impl Raw {
    /// A match of a rule that is about the path alone; the path stands for the secret.
    pub(super) fn path(rule: usize, path: Secret) -> Self {
        Self {
            rule,
            start: 0,
            span: 0..0,
            secret: path,
            entropy: 0.0,
            comment: false,
            at: (0, 0),
            secret_at: (1, 1),
        }
    }

    /// The column as gitleaks counts it: behind the first line, one more.
    pub(super) fn column(&self) -> u64 {
        self.at.1 + u64::from(self.at.0 > 1)
    }
}

/// Gives matches their lines, in order of their starts; `place` is at or before all of them.
pub(super) fn locate(raws: &mut [Raw], view: View<'_>, mut place: Marker) {
    raws.sort_by_key(|raw| raw.start);
    for raw in raws {
        place.advance(view.slice(&(place.offset()..raw.start)));
        raw.at = place.position();
        let mut there = place;
        // A match that starts with a line end counts to the line behind it.
        if view.slice(&(raw.start..raw.start + 1)) == b"\n" {
            there.advance(b"\n");
            raw.at = (there.position().0, 0);
        }
        there.advance(view.slice(&(there.offset()..raw.span.start)));
        raw.secret_at = there.position();
    }
}

//! What objects of the original are called in the view, and the other way round.

use std::collections::{BTreeMap, BTreeSet};

use refwarden_model::Oid;

use crate::mask::Names;

/// Names of commits, tags and of what has another name in the view.
#[derive(Debug)]
pub struct Maps {
    /// Commits and tags: original and view's name, sorted.
    by_original: Vec<(Oid, Oid)>,
    /// The view's name and the original, sorted.
    by_masked: Vec<(Oid, Oid)>,
    /// Trees and blobs of the original that have another name somewhere, sorted.
    changed: Vec<Oid>,
    /// Commits of the view whose trees are notes, sorted.
    notes: Vec<Oid>,
}

impl Maps {
    /// Takes every commit and tag with its name in the view, and the trees and blobs of the
    /// original that have another one.
    pub fn new(mut commits: Vec<(Oid, Oid)>, mut changed: Vec<Oid>) -> Self {
        commits.sort_unstable();
        changed.sort_unstable();
        let mut by_masked: Vec<(Oid, Oid)> =
            commits.iter().map(|(from, to)| (*to, *from)).collect();
        by_masked.sort_unstable();
        Self {
            by_original: commits,
            by_masked,
            changed,
            notes: Vec::new(),
        }
    }

    /// Takes the commits of the view whose trees are notes: nothing is pushed upon them.
    #[must_use]
    pub fn with_notes(mut self, mut notes: Vec<Oid>) -> Self {
        notes.sort_unstable();
        self.notes = notes;
        self
    }

    /// Whether a commit of the view has notes for a tree.
    pub(super) fn has_notes(&self, masked: Oid) -> bool {
        self.notes.binary_search(&masked).is_ok()
    }

    /// The commits or tags that are called so in the view. More than one where they differ in
    /// nothing but a signature that the view does not have.
    pub(super) fn originals(&self, masked: Oid) -> impl Iterator<Item = Oid> + '_ {
        from(&self.by_masked, move |(key, _)| *key < masked)
            .take_while(move |(key, _)| *key == masked)
            .map(|(_, original)| *original)
    }

    /// What a commit or tag is called in the view.
    pub(super) fn masked(&self, original: Oid) -> Option<Oid> {
        let at = self
            .by_original
            .binary_search_by_key(&original, |(key, _)| *key);
        self.by_original.get(at.ok()?).map(|(_, masked)| *masked)
    }
}

fn from<T>(sorted: &[T], before: impl FnMut(&T) -> bool) -> impl Iterator<Item = &T> {
    let at = sorted.partition_point(before);
    sorted.get(at..).unwrap_or_default().iter()
}

/// The lowest name that begins with these digits.
fn lowest(digits: &str, like: Oid) -> Option<Oid> {
    let whole = like.format().raw_len() * 2;
    Oid::parse(format!("{digits:0<whole$}").as_bytes()).ok()
}

/// Names of this push, besides those of the view.
#[derive(Debug, Default)]
pub(super) struct Pushed {
    /// New commits and tags: the original's name and the client's.
    by_original: BTreeMap<Oid, Oid>,
    /// The client's name and the original's.
    by_masked: BTreeMap<Oid, Oid>,
    /// New trees and blobs that have another name.
    pub(super) changed: BTreeSet<Oid>,
}

impl Pushed {
    pub(super) fn add(&mut self, masked: Oid, original: Oid) {
        self.by_original.insert(original, masked);
        self.by_masked.insert(masked, original);
    }

    pub(super) fn original(&self, masked: Oid) -> Option<Oid> {
        self.by_masked.get(&masked).copied()
    }

    pub(super) fn pairs(&self) -> impl Iterator<Item = (Oid, Oid)> + '_ {
        self.by_original.iter().map(|(from, to)| (*from, *to))
    }
}

/// From original to view: as the build answers, with what is known of this push besides.
pub(super) struct Forward<'n> {
    pub(super) maps: &'n Maps,
    pub(super) pushed: &'n Pushed,
    /// What the object links to.
    pub(super) links: &'n [(Oid, Oid)],
    /// What is written for a name that must not be told.
    pub(super) stand_in: &'n dyn Fn(&str) -> String,
    /// Any name, for its length.
    pub(super) like: Oid,
}

impl Names for Forward<'_> {
    fn linked(&self, oid: Oid) -> Oid {
        let known = self.links.iter().find(|(from, _)| *from == oid);
        known.map_or(oid, |(_, to)| *to)
    }

    fn mentioned(&self, digits: &str) -> Option<String> {
        let lowest = lowest(digits, self.like)?;
        let fits = |oid: &Oid| oid.to_string().starts_with(digits);
        let known = from(&self.maps.by_original, |(key, _)| *key < lowest);
        let known = known.map(|(from, to)| (*from, *to));
        let new = self.pushed.by_original.range(lowest..);
        let new = new.map(|(from, to)| (*from, *to));
        let renamed = |pairs: &mut dyn Iterator<Item = (Oid, Oid)>| {
            pairs
                .take_while(|(from, _)| fits(from))
                .find(|(from, to)| from != to)
        };
        let found = [
            renamed(&mut known.into_iter()),
            renamed(&mut new.into_iter()),
        ];
        if let Some((_, to)) = found.into_iter().flatten().min() {
            return to.to_string().get(..digits.len()).map(str::to_owned);
        }
        let mut hidden = from(&self.maps.changed, |key| *key < lowest).take(1);
        let mut new = self.pushed.changed.range(lowest..).take(1);
        let hidden = hidden.any(fits) || new.any(fits);
        hidden.then(|| (self.stand_in)(digits))
    }
}

/// From view to original, for names that people write: only where one object alone is meant.
pub(super) struct Backward<'n> {
    pub(super) maps: &'n Maps,
    pub(super) pushed: &'n Pushed,
    pub(super) like: Oid,
}

impl Names for Backward<'_> {
    fn linked(&self, oid: Oid) -> Oid {
        oid
    }

    fn mentioned(&self, digits: &str) -> Option<String> {
        let lowest = lowest(digits, self.like)?;
        let known = from(&self.maps.by_masked, |(key, _)| *key < lowest);
        let known = known.map(|(from, to)| (*from, *to));
        let new = self.pushed.by_masked.range(lowest..);
        let fits = |(key, _): &(Oid, Oid)| key.to_string().starts_with(digits);
        let mut found = known
            .take_while(fits)
            .take(2)
            .chain(new.map(|(from, to)| (*from, *to)).take_while(fits).take(2));
        let (masked, original) = found.next()?;
        if found.next().is_some() || masked == original {
            return None;
        }
        original.to_string().get(..digits.len()).map(str::to_owned)
    }
}

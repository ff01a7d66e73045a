//! Which refs a view has.

use std::collections::HashSet;

use refwarden_gitio::objects;
use refwarden_gitio::refs::{AllRefs, RefValue};
use refwarden_gitio::{Git, ObjectEnv, Refs, Repository};
use refwarden_model::{ObjectFormat, Oid, RefName};

use super::state::State;
use super::{BuildError, notes};
use crate::filter::RefFilters;
use crate::hash::Sum;
use crate::mask::Mask;

/// Replacements, which no view has: they would undo the rewrite.
const REPLACEMENTS: &[u8] = b"refs/replace/";

/// Notes, whose trees are made of names of objects.
const NOTES: &[u8] = b"refs/notes/";

/// Whether no view has a ref of this name, whatever the rules find.
fn is_absent(name: &RefName) -> bool {
    name.as_bytes().starts_with(REPLACEMENTS)
}

/// Whether a ref of this name is one of notes.
pub(crate) fn is_of_notes(name: &RefName) -> bool {
    name.as_bytes().starts_with(NOTES)
}

/// Whether nobody moves a ref of this name through a view.
pub(crate) fn is_fixed(name: &RefName) -> bool {
    is_absent(name) || is_of_notes(name)
}

/// Refs of the original that the view has.
pub(super) struct Allowed {
    pub(super) head: RefValue,
    pub(super) direct: Vec<(RefName, Oid)>,
    pub(super) symbolic: Vec<(RefName, RefName)>,
    /// How many were left out for a secret in their name.
    pub(super) secret: usize,
    /// How many were left out since they stand below `refs/notes/` and are no notes.
    pub(super) no_notes: usize,
    /// Commits whose trees are notes, that are not known as such.
    pub(super) notes: HashSet<Oid>,
    /// What refs of notes name, sorted.
    pub(super) note_tips: Vec<Oid>,
    /// What refs name that a filter, or the repository's configuration, leaves out.
    pub(super) hidden: Vec<Oid>,
    /// Tells what all refs of the original were.
    pub(super) digest: String,
}

impl Allowed {
    /// All objects that a ref names.
    pub(super) fn tips(&self) -> Vec<Oid> {
        let mut tips: Vec<Oid> = self.direct.iter().map(|(_, oid)| *oid).collect();
        if let RefValue::Direct(oid) = self.head {
            tips.push(oid);
        }
        tips.sort_unstable();
        tips.dedup();
        tips
    }
}

/// Reads the refs of the original and leaves out what a view does not have.
pub(super) fn allowed(
    original: &Repository,
    mask: &Mask<'_>,
    filters: &RefFilters,
    known: &State,
) -> Result<Allowed, BuildError> {
    let mut all = Refs::new(original).all()?;
    let digest = digest(&all);
    all.refs.retain(|(name, _)| !is_absent(name));
    all.symrefs
        .retain(|(name, target)| !is_absent(name) && !is_absent(target));
    let mut hidden = Vec::new();
    let kept_back = KeptBack::read(original)?;
    let passes = |name: &RefName| filters.shows(name) && !kept_back.holds(name);
    all.refs.retain(|(name, oid)| {
        let shown = passes(name);
        if !shown {
            hidden.push(*oid);
        }
        shown
    });
    all.symrefs
        .retain(|(name, target)| passes(name) && passes(target));
    let notes = Notes::read(original, &mut all, known)?;
    let before = all.refs.len() + all.symrefs.len();
    let tells = |name: &RefName| mask.is_affected(name.as_bytes());
    all.refs.retain(|(name, _)| !tells(name));
    all.symrefs
        .retain(|(name, target)| !tells(name) && !tells(target));
    let head = match all.head {
        RefValue::Symbolic(target) if tells(&target) || is_absent(&target) || !passes(&target) => {
            RefValue::Missing
        }
        // It has no name by which a filter could show it.
        RefValue::Direct(oid) if !filters.is_empty() => {
            hidden.push(oid);
            RefValue::Missing
        }
        head => head,
    };
    hidden.sort_unstable();
    hidden.dedup();
    let of_notes = all.refs.iter().filter(|(name, _)| is_of_notes(name));
    let mut note_tips: Vec<Oid> = of_notes.map(|(_, oid)| *oid).collect();
    note_tips.sort_unstable();
    note_tips.dedup();
    Ok(Allowed {
        head,
        no_notes: notes.absent,
        notes: notes.commits,
        note_tips,
        secret: before - all.refs.len() - all.symrefs.len(),
        direct: all.refs,
        symbolic: all.symrefs,
        hidden,
        digest,
    })
}

/// Which refs of notes are ones.
#[derive(Default)]
struct Notes {
    commits: HashSet<Oid>,
    absent: usize,
}

impl Notes {
    /// Takes those away that are none: all else below `refs/notes/` would be served with the
    /// original's names in its trees.
    fn read(original: &Repository, all: &mut AllRefs, known: &State) -> Result<Self, BuildError> {
        let mut notes = Self::default();
        let env = ObjectEnv::repository_only();
        let before = all.refs.len() + all.symrefs.len();
        let mut reader = None;
        let (mut refs, mut none) = (Vec::new(), HashSet::new());
        for (name, oid) in std::mem::take(&mut all.refs) {
            if is_of_notes(&name) {
                let reader = reader.get_or_insert_with(|| {
                    let objects = objects::open(original, &env, false);
                    notes::Reader::new(objects, original.object_format)
                });
                let known = |oid| known.has_notes(oid) || notes.commits.contains(&oid);
                let Some(commits) = reader.history(oid, &known)? else {
                    none.insert(name);
                    continue;
                };
                notes.commits.extend(commits);
            }
            refs.push((name, oid));
        }
        all.refs = refs;
        let absent = |target: &RefName| none.contains(target);
        // A ref of notes that is another name for something else is none either.
        all.symrefs.retain(|(name, target)| {
            !absent(target) && (!is_of_notes(name) || is_of_notes(target))
        });
        if matches!(&all.head, RefValue::Symbolic(target) if absent(target)) {
            all.head = RefValue::Missing;
        }
        notes.absent = before - all.refs.len() - all.symrefs.len();
        Ok(notes)
    }
}

/// What the repository's own configuration keeps back from everybody who fetches:
/// `transfer.hideRefs` and `uploadpack.hideRefs` (git-config(1)).
struct KeptBack(Vec<Vec<u8>>);

impl KeptBack {
    fn read(original: &Repository) -> Result<Self, BuildError> {
        let env = ObjectEnv::repository_only();
        let list = Git::new(&original.gitdir, &env, "config").args(["--null", "--list"]);
        let listed = list.output(b"")?;
        let entries = listed.split(|byte| *byte == 0).filter_map(|entry| {
            let at = entry.iter().position(|byte| *byte == b'\n')?;
            Some((entry.get(..at)?, entry.get(at + 1..)?))
        });
        let keys: [&[u8]; 2] = [b"transfer.hiderefs", b"uploadpack.hiderefs"];
        let values = entries.filter(|(key, _)| keys.contains(key));
        Ok(Self(values.map(|(_, value)| value.to_vec()).collect()))
    }

    /// Whether a ref is kept back: of the values that fit, the last says.
    fn holds(&self, name: &RefName) -> bool {
        for value in self.0.iter().rev() {
            let (shown, value) = match value.strip_prefix(b"!") {
                Some(rest) => (true, rest),
                None => (false, &value[..]),
            };
            let value = value.strip_prefix(b"^").unwrap_or(value);
            let value = value.strip_suffix(b"/").unwrap_or(value);
            let rest = name.as_bytes().strip_prefix(value);
            if rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/")) {
                return !shown;
            }
        }
        false
    }
}

/// Tells what the refs of a repository are now.
pub(crate) fn digest_now(original: &Repository) -> Result<String, BuildError> {
    Ok(digest(&Refs::new(original).all()?))
}

/// Two repositories with the same refs have the same digest, and no others.
fn digest(all: &AllRefs) -> String {
    let mut sum = Sum::new(ObjectFormat::Sha256);
    let mut line = |name: &[u8], kind: &[u8], value: &[u8]| {
        for part in [name, b" ", kind, b" ", value, b"\n"] {
            sum.update(part);
        }
    };
    match &all.head {
        RefValue::Symbolic(target) => line(b"HEAD", b"names", target.as_bytes()),
        RefValue::Direct(oid) => line(b"HEAD", b"is", oid.raw()),
        RefValue::Missing => line(b"HEAD", b"is", b"missing"),
    }
    for (name, oid) in &all.refs {
        line(name.as_bytes(), b"is", oid.raw());
    }
    for (name, target) in &all.symrefs {
        line(name.as_bytes(), b"names", target.as_bytes());
    }
    sum.finish().to_string()
}

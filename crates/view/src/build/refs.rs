//! Which refs a view has.

use refwarden_gitio::refs::{AllRefs, RefValue};
use refwarden_gitio::{Git, ObjectEnv, Refs, Repository};
use refwarden_model::{ObjectFormat, Oid, RefName};

use super::BuildError;
use crate::filter::RefFilters;
use crate::hash::Sum;
use crate::mask::Mask;

/// Namespaces that no view has: replacements would undo the rewrite, and the trees of notes are
/// made of original names of objects.
const ABSENT: [&[u8]; 2] = [b"refs/replace/", b"refs/notes/"];

/// Whether no view has a ref of this name, whatever the rules find.
pub(crate) fn is_absent(name: &RefName) -> bool {
    ABSENT
        .iter()
        .any(|space| name.as_bytes().starts_with(space))
}

/// Refs of the original that the view has.
pub(super) struct Allowed {
    pub(super) head: RefValue,
    pub(super) direct: Vec<(RefName, Oid)>,
    pub(super) symbolic: Vec<(RefName, RefName)>,
    /// How many were left out for a secret in their name.
    pub(super) secret: usize,
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
    Ok(Allowed {
        head,
        secret: before - all.refs.len() - all.symrefs.len(),
        direct: all.refs,
        symbolic: all.symrefs,
        hidden,
        digest,
    })
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

//! Which refs a view has.

use refwarden_gitio::refs::RefValue;
use refwarden_gitio::{Refs, Repository};
use refwarden_model::{Oid, RefName};

use super::BuildError;
use crate::mask::Mask;

/// Namespaces that no view has: replacements would undo the rewrite, and the trees of notes are
/// made of original names of objects.
const ABSENT: [&[u8]; 2] = [b"refs/replace/", b"refs/notes/"];

/// Refs of the original that the view has.
pub(super) struct Allowed {
    pub(super) head: RefValue,
    pub(super) direct: Vec<(RefName, Oid)>,
    pub(super) symbolic: Vec<(RefName, RefName)>,
    /// How many were left out for a secret in their name.
    pub(super) secret: usize,
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
pub(super) fn allowed(original: &Repository, mask: &Mask<'_>) -> Result<Allowed, BuildError> {
    let mut all = Refs::new(original).all()?;
    let absent = |name: &RefName| {
        ABSENT
            .iter()
            .any(|space| name.as_bytes().starts_with(space))
    };
    all.refs.retain(|(name, _)| !absent(name));
    all.symrefs
        .retain(|(name, target)| !absent(name) && !absent(target));
    let before = all.refs.len() + all.symrefs.len();
    let tells = |name: &RefName| mask.is_affected(name.as_bytes());
    all.refs.retain(|(name, _)| !tells(name));
    all.symrefs
        .retain(|(name, target)| !tells(name) && !tells(target));
    let head = match all.head {
        RefValue::Symbolic(target) if tells(&target) || absent(&target) => RefValue::Missing,
        head => head,
    };
    Ok(Allowed {
        head,
        secret: before - all.refs.len() - all.symrefs.len(),
        direct: all.refs,
        symbolic: all.symrefs,
    })
}

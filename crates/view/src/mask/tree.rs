//! Trees: entries are spliced, modes and order stay byte for byte.

use std::borrow::Cow;
use std::ops::Range;

use refwarden_model::{ObjectFormat, Oid};

use super::{Mask, splice};

/// One entry, borrowed from its tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'t> {
    /// The mode's digits as they stand.
    pub mode: &'t [u8],
    /// The name.
    pub name: &'t [u8],
    /// The object.
    pub oid: Oid,
    /// Offset of the entry.
    start: usize,
}

/// Bytes that are no tree.
#[derive(Debug, thiserror::Error)]
#[error("a tree is malformed")]
pub struct TreeError;

impl Entry<'_> {
    /// Whether it is a directory. Old repositories have modes with a leading zero.
    pub fn is_tree(&self) -> bool {
        matches!(self.mode, b"40000" | b"040000")
    }

    /// Whether it names a commit of another repository.
    pub fn is_link(&self) -> bool {
        self.mode == b"160000"
    }

    fn name_span(&self) -> Range<usize> {
        let start = self.start + self.mode.len() + 1;
        start..start + self.name.len()
    }
}

/// The entries of a tree, in order.
///
/// # Errors
///
/// [`TreeError`] at the first entry that is not `<mode> <name>\0<id>`.
pub fn entries(tree: &[u8], format: ObjectFormat) -> Result<Vec<Entry<'_>>, TreeError> {
    let mut found = Vec::new();
    let mut start = 0;
    while let Some(rest) = tree.get(start..).filter(|rest| !rest.is_empty()) {
        let space = memchr::memchr(b' ', rest).ok_or(TreeError)?;
        let nul = memchr::memchr(0, rest).filter(|nul| *nul > space);
        let nul = nul.ok_or(TreeError)?;
        let end = nul + 1 + format.raw_len();
        let (mode, name, raw) = (
            rest.get(..space).ok_or(TreeError)?,
            rest.get(space + 1..nul).ok_or(TreeError)?,
            rest.get(nul + 1..end).ok_or(TreeError)?,
        );
        let oid = Oid::from_raw(raw).map_err(|_| TreeError)?;
        found.push(Entry {
            mode,
            name,
            oid,
            start,
        });
        start += end;
    }
    Ok(found)
}

impl Mask<'_> {
    /// Masks a tree; borrows where nothing changes. `renamed` answers what the object of an
    /// entry is called in the view.
    ///
    /// A name that holds a secret has a placeholder in its place. The tree is sorted again only
    /// where that has happened and it was sorted before.
    ///
    /// # Errors
    ///
    /// [`TreeError`] for bytes that are no tree, else what `renamed` answers.
    pub fn tree<'t, E: From<TreeError>>(
        &self,
        tree: &'t [u8],
        format: ObjectFormat,
        renamed: impl FnMut(&Entry<'_>) -> Result<Oid, E>,
    ) -> Result<Cow<'t, [u8]>, E> {
        let name = |name: &[u8]| match self.text(name) {
            Cow::Borrowed(_) => None,
            Cow::Owned(new) => Some(new),
        };
        Self::tree_with(tree, format, name, renamed)
    }

    /// The same, for who knows what stands for a name, where it is another ([`Mask::text`]).
    pub(crate) fn tree_with<E: From<TreeError>>(
        tree: &[u8],
        format: ObjectFormat,
        mut named: impl FnMut(&[u8]) -> Option<Vec<u8>>,
        mut renamed: impl FnMut(&Entry<'_>) -> Result<Oid, E>,
    ) -> Result<Cow<'_, [u8]>, E> {
        let entries = entries(tree, format)?;
        let mut edits = Vec::new();
        let mut is_named_anew = false;
        for entry in &entries {
            if let Some(name) = named(entry.name) {
                // A name has no line breaks to keep and may hold no slash.
                let name = name.into_iter().filter(|byte| *byte != b'/').collect();
                edits.push((entry.name_span(), name));
                is_named_anew = true;
            }
            let new = renamed(entry)?;
            if new != entry.oid {
                let at = entry.name_span().end + 1;
                edits.push((at..at + format.raw_len(), new.raw().to_vec()));
            }
        }
        if edits.is_empty() {
            return Ok(Cow::Borrowed(tree));
        }
        let spliced = splice(tree, &edits);
        if is_named_anew && is_sorted(&entries) {
            return Ok(Cow::Owned(sorted(&spliced, format)?));
        }
        Ok(Cow::Owned(spliced))
    }
}

/// What git sorts by: directories as if a slash followed their name (`base_name_compare`).
fn order(entry: &Entry<'_>) -> Vec<u8> {
    let mut name = entry.name.to_vec();
    if entry.is_tree() {
        name.push(b'/');
    }
    name
}

pub(crate) fn is_sorted(entries: &[Entry<'_>]) -> bool {
    entries.is_sorted_by_key(order)
}

pub(crate) fn sorted(tree: &[u8], format: ObjectFormat) -> Result<Vec<u8>, TreeError> {
    let mut entries = entries(tree, format)?;
    entries.sort_by_key(order);
    let mut out = Vec::with_capacity(tree.len());
    for entry in entries {
        let end = entry.name_span().end + 1 + format.raw_len();
        out.extend_from_slice(tree.get(entry.start..end).unwrap_or_default());
    }
    Ok(out)
}

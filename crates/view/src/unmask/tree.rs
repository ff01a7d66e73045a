//! Trees: beside those of the parents, path by path.

use std::collections::{HashMap, HashSet};

use refwarden_gitio::objects::Kind;
use refwarden_model::Oid;

use super::{DEPTH_MAX, Problem, Refusal, UnmaskError, Walk};
use crate::mask::tree::{is_sorted, sorted};
use crate::mask::{Entry, TreeError, entries};
use crate::placeholder::form;

/// Where something stands.
pub(super) struct At {
    /// As the client has it.
    pub(super) masked: Vec<u8>,
    pub(super) original: Vec<u8>,
    depth: usize,
    /// Whether a commit is above. Without one there are no earlier versions.
    pub(super) has_commit: bool,
}

impl At {
    pub(super) fn root(has_commit: bool) -> Self {
        Self {
            masked: Vec::new(),
            original: Vec::new(),
            depth: 0,
            has_commit,
        }
    }

    fn below(&self, masked: &[u8], original: &[u8]) -> Self {
        let join = |path: &[u8], name: &[u8]| {
            let slash: &[u8] = if path.is_empty() { b"" } else { b"/" };
            [path, slash, name].concat()
        };
        Self {
            masked: join(&self.masked, masked),
            original: join(&self.original, original),
            depth: self.depth + 1,
            has_commit: self.has_commit,
        }
    }

    pub(super) fn refuse(&self, problem: Problem, line: Option<usize>) -> UnmaskError {
        self.refusal(problem, line).into()
    }

    pub(super) fn refusal(&self, problem: Problem, line: Option<usize>) -> Refusal {
        let path = Some(self.masked.clone()).filter(|path| !path.is_empty());
        Refusal {
            path,
            line,
            ..Refusal::from(problem)
        }
    }
}

/// The same entry of a parent on both sides.
#[derive(Clone)]
pub(super) struct Pair {
    pub(super) mode: Vec<u8>,
    /// The original's name.
    name: Vec<u8>,
    pub(super) masked: Oid,
    pub(super) original: Oid,
}

impl Pair {
    /// An entry whose name is the same on both sides.
    pub(super) fn new(mode: Vec<u8>, masked: Oid, original: Oid) -> Self {
        Self {
            mode,
            name: Vec::new(),
            masked,
            original,
        }
    }
}

impl Pair {
    /// Whether it is this content, under a mode of the same sort.
    pub(super) fn is(&self, blob: Oid, mode: &[u8]) -> bool {
        self.masked == blob && (self.mode == mode || is_file(&self.mode) && is_file(mode))
    }
}

fn is_tree(mode: &[u8]) -> bool {
    matches!(mode, b"40000" | b"040000")
}

/// Whether a mode is that of a file with lines: no symbolic link, no directory, no submodule.
pub(super) fn is_file(mode: &[u8]) -> bool {
    mode.starts_with(b"100") || mode.starts_with(b"0100")
}

/// The one original of those that look alike. Several are none.
pub(super) fn only(originals: impl Iterator<Item = Oid>) -> Result<Option<Oid>, Problem> {
    let mut found = None;
    for original in originals {
        if *found.get_or_insert(original) != original {
            return Err(Problem::Ambiguous);
        }
    }
    Ok(found)
}

/// The one name of the original under which parents have an entry.
fn original_name(pairs: &[&Pair], is_dir: bool) -> Result<Vec<u8>, Problem> {
    let alike = pairs.iter().filter(|pair| is_tree(&pair.mode) == is_dir);
    let mut names: Vec<&[u8]> = alike.map(|pair| pair.name.as_slice()).collect();
    names.sort_unstable();
    names.dedup();
    match names.as_slice() {
        [one] => Ok(one.to_vec()),
        [] => Err(Problem::InName),
        _ => Err(Problem::Ambiguous),
    }
}

impl Walk<'_, '_> {
    /// The original of a tree. `before` are the trees of the parents at the same path: the
    /// view's, and the original's.
    pub(super) fn tree(
        &mut self,
        tree: Oid,
        at: &At,
        before: &[(Oid, Oid)],
    ) -> Result<Oid, UnmaskError> {
        let equal = before.iter().filter(|(masked, _)| *masked == tree);
        let known = only(equal.map(|(_, original)| *original));
        if let Some(known) = known.map_err(|problem| at.refuse(problem, None))? {
            return Ok(known);
        }
        self.step()?;
        if at.depth > DEPTH_MAX {
            return Err(at.refuse(Problem::TooMuch, None));
        }
        let unreadable = || at.refuse(Problem::Unreadable(tree), None);
        let (kind, bytes) = self.masked.load(tree)?.ok_or_else(unreadable)?;
        let format = tree.format();
        let list = entries(&bytes, format).map_err(|_| unreadable())?;
        if kind != Kind::Tree {
            return Err(unreadable());
        }
        let mut beside = Vec::new();
        for (masked, original) in before {
            beside.push(self.beside(*masked, *original)?);
        }
        let mut written = Vec::with_capacity(bytes.len());
        let mut names: HashMap<(Vec<u8>, Oid), Oid> = HashMap::new();
        for entry in &list {
            let pairs: Vec<&Pair> = beside
                .iter()
                .filter_map(|them| them.get(entry.name))
                .collect();
            let name = self.name(entry, at, &pairs)?;
            let here = at.below(entry.name, &name);
            let new = if entry.is_link() {
                entry.oid
            } else if entry.is_tree() {
                let trees = pairs.iter().filter(|pair| is_tree(&pair.mode));
                let trees: Vec<(Oid, Oid)> = trees.map(|it| (it.masked, it.original)).collect();
                self.tree(entry.oid, &here, &trees)?
            } else {
                self.file(entry.oid, entry.mode, &here, &pairs)?
            };
            written.extend_from_slice(&[entry.mode, b" ", &name, b"\0", new.raw()].concat());
            names.insert((name, new), entry.oid);
        }
        let order = |bytes: Vec<u8>| sorted(&bytes, format).map_err(|_| unreadable());
        let written = if is_sorted(&list) {
            order(written)?
        } else {
            written
        };
        let again = self.view.mask.tree::<TreeError>(&written, format, |entry| {
            let known = names.get(&(entry.name.to_vec(), entry.oid));
            Ok(known.copied().unwrap_or(entry.oid))
        });
        if *again.map_err(|_| unreadable())? != *bytes {
            let tells = list
                .iter()
                .find(|entry| self.view.mask.is_affected(entry.name));
            return Err(match tells {
                Some(entry) => at.below(entry.name, b"").refuse(Problem::Secret, None),
                None => at.refuse(Problem::RoundTrip, None),
            });
        }
        if written == bytes {
            self.keep(tree)?;
            return Ok(tree);
        }
        let original = self.original.made.add(Kind::Tree, &written)?;
        self.pushed.changed.insert(original);
        Ok(original)
    }

    /// The original's name of an entry: that of a parent's, else the one that some commit of the
    /// view has in this directory.
    fn name(
        &mut self,
        entry: &Entry<'_>,
        at: &At,
        pairs: &[&Pair],
    ) -> Result<Vec<u8>, UnmaskError> {
        if form(entry.name).is_none() {
            return Ok(entry.name.to_vec());
        }
        let mut found = original_name(pairs, entry.is_tree());
        if found == Err(Problem::InName) && at.has_commit {
            let mut known = Vec::new();
            for tree in self.versions_of(at)?.iter().filter(|it| is_tree(&it.mode)) {
                known.extend(self.beside(tree.masked, tree.original)?.remove(entry.name));
            }
            found = original_name(&known.iter().collect::<Vec<_>>(), entry.is_tree());
        }
        found.map_err(|problem| at.below(entry.name, b"").refuse(problem, None))
    }

    /// The entries of a parent's tree on both sides, by the view's name. Those that cannot be
    /// told apart are left out.
    fn beside(
        &mut self,
        masked: Oid,
        original: Oid,
    ) -> Result<HashMap<Vec<u8>, Pair>, UnmaskError> {
        let here = self
            .masked
            .load(masked)?
            .ok_or(Problem::Unreadable(masked))?;
        let there = self.there(original)?.ok_or(Problem::Unreadable(masked))?;
        let format = masked.format();
        let read = |bytes| entries(bytes, format).map_err(|_| Problem::Unreadable(masked));
        let here: Vec<_> = read(&here.1)?;
        let plain: HashSet<&[u8]> = here.iter().map(|entry| entry.name).collect();
        let mut originals: HashMap<Vec<u8>, Vec<_>> = HashMap::new();
        for entry in read(&there.1)? {
            let name = if plain.contains(entry.name) {
                entry.name.to_vec()
            } else {
                let name = self.view.mask.text(entry.name);
                name.iter().copied().filter(|byte| *byte != b'/').collect()
            };
            originals.entry(name).or_default().push((
                entry.mode.to_vec(),
                entry.name.to_vec(),
                entry.oid,
            ));
        }
        let mut pairs = HashMap::new();
        let mut twice = HashSet::new();
        for entry in here {
            if let Some([(mode, name, oid)]) = originals.get(entry.name).map(Vec::as_slice)
                && mode == entry.mode
            {
                let pair = Pair {
                    mode: mode.clone(),
                    name: name.clone(),
                    masked: entry.oid,
                    original: *oid,
                };
                if pairs.insert(entry.name.to_vec(), pair).is_some() {
                    twice.insert(entry.name.to_vec());
                }
            }
        }
        pairs.retain(|name, _| !twice.contains(name));
        Ok(pairs)
    }
}

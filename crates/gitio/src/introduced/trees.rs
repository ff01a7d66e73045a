//! What commits change, read from the trees themselves: what `diff-tree -c --root` says (git-diff-tree(1)),
//! without writing out and reading again each path of a whole history.
//!
//! All trees are taken from the packs in one pass along their deltas, and then held against those
//! of the parents. What it deliberately does not do: nothing that is not as git writes it. A tree out of order, an
//! entry that cannot be read, trees deeper or larger than the bounds here: all of it is left to
//! git, which has words for what is wrong.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use refwarden_model::{ObjectFormat, Oid};

use super::{Census, IntroducedError, Listed};
use crate::command::ObjectEnv;
use crate::objects::{CatFile, Kind, Packs, ReadObjects, Walk, walk};
use crate::settings::Repository;

/// Bytes of trees that are held: three times what a history of 27 000 commits has.
const HELD_MAX: usize = 256 << 20;

/// Bytes that a tree costs besides its own.
const EACH: usize = 128;

/// Objects in packs up to which all trees are read, so that little is read in vain where they
/// turn out to be too much.
const OBJECTS_MAX: usize = 4_000_000;

/// Largest tree, in bytes.
const TREE_MAX: u64 = 32 << 20;

/// Trees in trees.
const DEPTH_MAX: usize = 256;

/// Takes in what the commits bring, parents first. False where it is left to git, and then the
/// census is of no use.
pub(super) fn changes(
    census: &mut Census<'_>,
    commits: &[Listed],
    progress: &mut dyn FnMut(u64),
) -> Result<bool, IntroducedError> {
    let repository = census.repository;
    let none = ObjectEnv::repository_only();
    let Some(packed) = packed(repository) else {
        return Ok(false);
    };
    let mut comparison = Comparison {
        census,
        held: packed.bytes,
        trees: packed.trees,
        reader: CatFile::new(repository, &none),
        format: repository.object_format,
        path: Vec::new(),
        commit: 0,
    };
    let numbers: HashMap<Oid, usize> = commits.iter().map(|it| it.oid).zip(0..).collect();
    for (number, commit) in (0u32..).zip(commits) {
        let known = |parent| Some(commits.get(*numbers.get(parent)?)?.tree);
        let parents: Option<Vec<Oid>> = commit.parents.iter().map(known).collect();
        let Some(parents) = parents else {
            return Ok(false);
        };
        comparison.commit = number;
        match comparison.tree(commit.tree, &parents, 0) {
            Ok(()) => progress(u64::from(number) + 1),
            Err(Stop::LeftToGit) => return Ok(false),
            Err(Stop::Failed(error)) => return Err(error),
        }
    }
    Ok(true)
}

/// Trees that were taken from packs.
#[derive(Default)]
struct Packed {
    trees: HashMap<Oid, Arc<[u8]>>,
    bytes: usize,
}

impl Packed {
    const fn is_full(&self) -> bool {
        self.bytes > HELD_MAX
    }
}

/// All trees in packs that can be read; none where they are too many.
fn packed(repository: &Repository) -> Option<Packed> {
    let packs = Packs::open(repository);
    let count =
        (0..packs.count()).map(|pack| packs.len_of(u32::try_from(pack).unwrap_or(u32::MAX)));
    if count.sum::<usize>() > OBJECTS_MAX {
        return None;
    }
    let format = repository.object_format;
    let what = Walk {
        kinds: &[Kind::Tree],
        wanted: &|_| true,
        whole_max: TREE_MAX,
        workers: 1,
    };
    let (mut found, _) = walk(&packs, &what, Packed::default, |packed, resolved| {
        // What is out of order is not held, and then not found in order either.
        if !packed.is_full() && is_ordered(resolved.bytes, format) {
            packed.bytes += resolved.bytes.len() + EACH;
            packed.trees.insert(resolved.oid, resolved.bytes.into());
        }
    });
    let found = found.pop().unwrap_or_default();
    (!found.is_full()).then_some(found)
}

/// Why a comparison does not go on.
enum Stop {
    LeftToGit,
    Failed(IntroducedError),
}

impl From<IntroducedError> for Stop {
    fn from(error: IntroducedError) -> Self {
        Self::Failed(error)
    }
}

struct Comparison<'c, 'r> {
    census: &'c mut Census<'r>,
    trees: HashMap<Oid, Arc<[u8]>>,
    held: usize,
    reader: CatFile<'c>,
    format: ObjectFormat,
    /// Of the tree that is looked at, with a `/` at its end.
    path: Vec<u8>,
    commit: u32,
}

impl Comparison<'_, '_> {
    /// Takes in what a tree has and none of `parents` has at the same place.
    fn tree(&mut self, oid: Oid, parents: &[Oid], depth: usize) -> Result<(), Stop> {
        if parents.contains(&oid) {
            return Ok(());
        }
        if depth > DEPTH_MAX {
            return Err(Stop::LeftToGit);
        }
        let format = self.format;
        let own = self.read(oid)?;
        let before: Result<Vec<Arc<[u8]>>, Stop> =
            parents.iter().map(|parent| self.read(*parent)).collect();
        let before = before?;
        let mut parents: Vec<Entries<'_>> = before
            .iter()
            .map(|tree| Entries::of(tree, format))
            .collect();
        let mut folders = Vec::new();
        for entry in Entries::of(&own, format) {
            folders.clear();
            let mut is_known = false;
            for parent in &mut parents {
                if let Some(there) = parent.at(&entry) {
                    is_known |= there.mode == entry.mode && there.id == entry.id;
                    folders.push(there.id);
                }
            }
            if is_known {
                continue;
            }
            let id = |raw: &[u8]| Oid::from_raw(raw).map_err(|_| Stop::LeftToGit);
            let oid = id(entry.id)?;
            let above = self.path.len();
            self.path.extend_from_slice(entry.name);
            match entry.mode {
                Mode::Folder => {
                    self.path.push(b'/');
                    let parents: Result<Vec<Oid>, Stop> = folders.iter().map(|it| id(it)).collect();
                    self.tree(oid, &parents?, depth + 1)?;
                }
                Mode::Module if oid.is_zero() => {}
                Mode::Module => drop(self.census.path(&self.path)?),
                Mode::File | Mode::Program | Mode::Link => {
                    self.census
                        .content(&self.path, oid, Vec::new(), Some(self.commit))?;
                }
            }
            self.path.truncate(above);
        }
        Ok(())
    }

    fn read(&mut self, oid: Oid) -> Result<Arc<[u8]>, Stop> {
        if let Some(tree) = self.trees.get(&oid) {
            return Ok(tree.clone());
        }
        let loaded = self.reader.load(oid, TREE_MAX, &mut |_, _| {});
        let bytes = match loaded {
            Ok((header, Some(bytes))) if header.kind == Kind::Tree => bytes,
            _ => return Err(Stop::LeftToGit),
        };
        self.held += bytes.len() + EACH;
        if self.held > HELD_MAX || !is_ordered(&bytes, self.format) {
            return Err(Stop::LeftToGit);
        }
        let tree: Arc<[u8]> = bytes.into();
        self.trees.insert(oid, tree.clone());
        Ok(tree)
    }
}

/// What stands at a name, as git tells modes apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    File,
    Program,
    Link,
    Folder,
    Module,
}

impl Mode {
    /// Octal digits; git takes what it does not know for a submodule.
    fn parse(digits: &[u8]) -> Option<Self> {
        if digits.is_empty() || digits.len() > 7 {
            return None;
        }
        let mut mode = 0u32;
        for digit in digits {
            let digit = digit.checked_sub(b'0').filter(|digit| *digit < 8)?;
            mode = mode << 3 | u32::from(digit);
        }
        Some(match mode & 0o170_000 {
            0o100_000 if mode & 0o100 == 0 => Self::File,
            0o100_000 => Self::Program,
            0o120_000 => Self::Link,
            0o040_000 => Self::Folder,
            _ => Self::Module,
        })
    }
}

/// A name in a tree.
#[derive(Clone, Copy)]
struct Entry<'t> {
    mode: Mode,
    name: &'t [u8],
    id: &'t [u8],
}

impl Entry<'_> {
    /// Git's order, in which a folder's name ends in `/`.
    fn cmp(&self, other: &Self) -> Ordering {
        let common = self.name.len().min(other.name.len());
        let (own, own_rest) = self.name.split_at(common);
        let (others, others_rest) = other.name.split_at(common);
        let next = |rest: &[u8], mode| match (rest.first(), mode) {
            (Some(byte), _) => *byte,
            (None, Mode::Folder) => b'/',
            (None, _) => 0,
        };
        let (own_next, others_next) = (next(own_rest, self.mode), next(others_rest, other.mode));
        own.cmp(others).then(own_next.cmp(&others_next))
    }
}

/// The names of a tree, one after another; ends early at what cannot be read.
struct Entries<'t> {
    rest: &'t [u8],
    id_length: usize,
    /// What was read and is not yet passed.
    ahead: Option<Entry<'t>>,
}

impl<'t> Entries<'t> {
    const fn of(tree: &'t [u8], format: ObjectFormat) -> Self {
        Self {
            rest: tree,
            id_length: format.raw_len(),
            ahead: None,
        }
    }

    /// What stands at the place of an entry of another tree. Asked in order.
    fn at(&mut self, entry: &Entry<'_>) -> Option<Entry<'t>> {
        loop {
            let next = match self.ahead.take() {
                Some(next) => next,
                None => self.next()?,
            };
            match next.cmp(entry) {
                Ordering::Less => {}
                Ordering::Equal => return Some(next),
                Ordering::Greater => {
                    self.ahead = Some(next);
                    return None;
                }
            }
        }
    }
}

impl<'t> Iterator for Entries<'t> {
    type Item = Entry<'t>;

    fn next(&mut self) -> Option<Entry<'t>> {
        let space = memchr::memchr(b' ', self.rest.get(..8).unwrap_or(self.rest))?;
        let (mode, named) = self.rest.split_at_checked(space)?;
        let named = named.get(1..)?;
        let (name, after) = named.split_at_checked(memchr::memchr(0, named)?)?;
        let (id, rest) = after.get(1..)?.split_at_checked(self.id_length)?;
        let mode = Mode::parse(mode)?;
        self.rest = rest;
        (!name.is_empty()).then_some(Entry { mode, name, id })
    }
}

/// Whether a tree can be read to its end, and is in git's order.
fn is_ordered(tree: &[u8], format: ObjectFormat) -> bool {
    let mut entries = Entries::of(tree, format);
    let mut last: Option<Entry<'_>> = None;
    for entry in entries.by_ref() {
        if last.is_some_and(|last| last.cmp(&entry) != Ordering::Less) {
            return false;
        }
        last = Some(entry);
    }
    entries.rest.is_empty()
}

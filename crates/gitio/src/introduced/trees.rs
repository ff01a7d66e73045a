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

/// Bytes that are held: three times what a history of 27 000 commits has.
const HELD_MAX: usize = 192 << 20;

/// Bytes that an object that is named costs besides: its name, twice, and where its tree is.
const EACH: usize = 144;

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
    let Some(mut trees) = packed(repository) else {
        return Ok(false);
    };
    let roots: Option<Vec<u32>> = commits.iter().map(|it| trees.number(it.tree)).collect();
    let Some(roots) = roots else { return Ok(false) };
    let mut comparison = Comparison {
        census,
        trees,
        reader: CatFile::new(repository, &none),
        path: Vec::new(),
        commit: 0,
    };
    let numbers: HashMap<Oid, usize> = commits.iter().map(|it| it.oid).zip(0..).collect();
    for ((number, commit), root) in (0u32..).zip(commits).zip(&roots) {
        let known = |parent| roots.get(*numbers.get(parent)?).copied();
        let parents: Option<Vec<u32>> = commit.parents.iter().map(known).collect();
        let Some(parents) = parents else {
            return Ok(false);
        };
        comparison.commit = number;
        match comparison.tree(*root, &parents, 0) {
            Ok(()) => progress(u64::from(number) + 1),
            Err(Stop::LeftToGit) => return Ok(false),
            Err(Stop::Failed(error)) => return Err(error),
        }
    }
    Ok(true)
}

/// Trees that are held, and every object that stands in one, by a number.
#[derive(Default)]
struct Trees {
    numbers: HashMap<Oid, u32>,
    /// By number.
    oids: Vec<Oid>,
    /// By number, for what is a tree and was read: see [`Entries`].
    held: Vec<Option<Arc<[u8]>>>,
    bytes: usize,
    /// The tree that is being shortened.
    short: Vec<u8>,
}

impl Trees {
    const fn is_full(&self) -> bool {
        self.bytes > HELD_MAX
    }

    /// None where there are more than can be counted.
    fn number(&mut self, oid: Oid) -> Option<u32> {
        let next = u32::try_from(self.oids.len()).ok()?;
        let number = *self.numbers.entry(oid).or_insert(next);
        if number == next {
            self.oids.push(oid);
            self.held.push(None);
            self.bytes += EACH;
        }
        Some(number)
    }

    /// Holds a tree. None for what git would not write, or beyond the bounds.
    fn hold(&mut self, oid: Oid, tree: &[u8]) -> Option<Arc<[u8]>> {
        let mut short = std::mem::take(&mut self.short);
        short.clear();
        let is_read = self.shorten(tree, oid.format(), &mut short);
        let held: Arc<[u8]> = short.as_slice().into();
        self.short = short;
        is_read?;
        let number = self.number(oid)?;
        self.bytes += held.len();
        *self.held.get_mut(number as usize)? = Some(held.clone());
        (!self.is_full()).then_some(held)
    }

    fn shorten(&mut self, tree: &[u8], format: ObjectFormat, short: &mut Vec<u8>) -> Option<()> {
        let mut rest = tree;
        let mut last: Option<(Mode, &[u8])> = None;
        while !rest.is_empty() {
            let (mode, named) = rest.split_at_checked(memchr::memchr(b' ', rest)?)?;
            let mode = Mode::parse(mode)?;
            let named = named.get(1..)?;
            let (name, after) = named.split_at_checked(memchr::memchr(0, named)?)?;
            let (id, left) = after.get(1..)?.split_at_checked(format.raw_len())?;
            let is_next = last.is_none_or(|last| in_order(last, (mode, name)) == Ordering::Less);
            if name.is_empty() || !is_next || self.is_full() {
                return None;
            }
            let number = self.number(Oid::from_raw(id).ok()?)?;
            short.push(mode as u8);
            short.extend_from_slice(name);
            short.push(0);
            short.extend_from_slice(&number.to_le_bytes());
            last = Some((mode, name));
            rest = left;
        }
        Some(())
    }
}

/// All trees in packs that can be read; none where they are too many.
fn packed(repository: &Repository) -> Option<Trees> {
    let packs = Packs::open(repository);
    let numbers = 0..u32::try_from(packs.count()).unwrap_or(u32::MAX);
    if numbers.map(|pack| packs.len_of(pack)).sum::<usize>() > OBJECTS_MAX {
        return None;
    }
    let what = Walk {
        kinds: &[Kind::Tree],
        wanted: &|_| true,
        whole_max: TREE_MAX,
        workers: 1,
    };
    let (mut found, _) = walk(&packs, &what, Trees::default, |trees, resolved| {
        if !trees.is_full() {
            // What git would not write is not held, and then read again, and left to git.
            let _ = trees.hold(resolved.oid, resolved.bytes);
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
    trees: Trees,
    reader: CatFile<'c>,
    /// Of the tree that is looked at, with a `/` at its end.
    path: Vec<u8>,
    commit: u32,
}

impl Comparison<'_, '_> {
    /// Takes in what a tree has and none of `parents` has at the same place.
    fn tree(&mut self, number: u32, parents: &[u32], depth: usize) -> Result<(), Stop> {
        if parents.contains(&number) {
            return Ok(());
        }
        if depth > DEPTH_MAX {
            return Err(Stop::LeftToGit);
        }
        let own = self.read(number)?;
        let before: Result<Vec<Arc<[u8]>>, Stop> =
            parents.iter().map(|parent| self.read(*parent)).collect();
        let before = before?;
        let mut parents: Vec<Entries<'_>> = before.iter().map(|tree| Entries::of(tree)).collect();
        let mut folders = Vec::new();
        for entry in Entries::of(&own) {
            folders.clear();
            let mut is_known = false;
            for parent in &mut parents {
                if let Some(there) = parent.at(&entry) {
                    is_known |= (there.mode, there.number) == (entry.mode, entry.number);
                    folders.push(there.number);
                }
            }
            if is_known {
                continue;
            }
            let above = self.path.len();
            self.path.extend_from_slice(entry.name);
            if entry.mode == Mode::Folder {
                self.path.push(b'/');
                self.tree(entry.number, &folders, depth + 1)?;
            } else {
                self.file(&entry)?;
            }
            self.path.truncate(above);
        }
        Ok(())
    }

    fn file(&mut self, entry: &Entry<'_>) -> Result<(), Stop> {
        let oid = self.trees.oids.get(entry.number as usize);
        let oid = *oid.ok_or(Stop::LeftToGit)?;
        if entry.mode != Mode::Module {
            let commit = Some(self.commit);
            self.census.content(&self.path, oid, Vec::new(), commit)?;
        } else if !oid.is_zero() {
            self.census.path(&self.path)?;
        }
        Ok(())
    }

    fn read(&mut self, number: u32) -> Result<Arc<[u8]>, Stop> {
        if let Some(Some(tree)) = self.trees.held.get(number as usize) {
            return Ok(tree.clone());
        }
        let oid = self.trees.oids.get(number as usize);
        let oid = *oid.ok_or(Stop::LeftToGit)?;
        let read = match self.reader.load(oid, TREE_MAX, &mut |_, _| {}) {
            Ok((header, Some(bytes))) if header.kind == Kind::Tree => self.trees.hold(oid, &bytes),
            _ => None,
        };
        read.ok_or(Stop::LeftToGit)
    }
}

/// What stands at a name, as git tells modes apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    File = 0,
    Program = 1,
    Link = 2,
    Folder = 3,
    Module = 4,
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

    const fn of_short(byte: u8) -> Self {
        match byte {
            0 => Self::File,
            1 => Self::Program,
            2 => Self::Link,
            3 => Self::Folder,
            _ => Self::Module,
        }
    }
}

/// Git's order of names in a tree, in which a folder's name ends in `/`.
fn in_order(one: (Mode, &[u8]), other: (Mode, &[u8])) -> Ordering {
    let common = one.1.len().min(other.1.len());
    let (own, own_rest) = one.1.split_at(common);
    let (others, others_rest) = other.1.split_at(common);
    let next = |rest: &[u8], mode| match (rest.first(), mode) {
        (Some(byte), _) => *byte,
        (None, Mode::Folder) => b'/',
        (None, _) => 0,
    };
    own.cmp(others)
        .then_with(|| next(own_rest, one.0).cmp(&next(others_rest, other.0)))
}

/// A name in a tree.
#[derive(Clone, Copy)]
struct Entry<'t> {
    mode: Mode,
    name: &'t [u8],
    number: u32,
}

/// The names of a tree in order. A tree is held as a byte for the mode, the name, a zero and four bytes for
/// the object's number, entry by entry.
struct Entries<'t> {
    rest: &'t [u8],
    /// What was read and is not yet passed.
    ahead: Option<Entry<'t>>,
}

impl<'t> Entries<'t> {
    const fn of(tree: &'t [u8]) -> Self {
        Self {
            rest: tree,
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
            match in_order((next.mode, next.name), (entry.mode, entry.name)) {
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
        let (mode, named) = self.rest.split_first()?;
        let (name, after) = named.split_at_checked(memchr::memchr(0, named)?)?;
        let (number, rest) = after.get(1..)?.split_first_chunk()?;
        self.rest = rest;
        Some(Entry {
            mode: Mode::of_short(*mode),
            name,
            number: u32::from_le_bytes(*number),
        })
    }
}

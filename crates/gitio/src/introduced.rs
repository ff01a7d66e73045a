//! What a whole repository, a range of commits or an index holds: every blob once, with the
//! commits and paths that bring it in, and every commit and tag.
//!
//! For a look at a repository from outside a push. A push is read by [`crate::history`] and
//! [`crate::quarantine`], which also see what nothing reaches.
//!
//! `rev-list` names the commits; what each of them changes, `diff-tree --raw -c` says, or for a whole
//! history their trees ([`trees`]). A blob in a commit's tree either differs from every parent, and is listed for this commit, or
//! equals a parent's, which is reached too; so nothing is missed. What tags and refs name
//! without a commit in between (a tagged tree, a tagged blob) is read object by object.

mod raw;
mod roots;
mod trees;

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::sync::Arc;

use refwarden_model::Oid;

use crate::checkout::Checkout;
use crate::command::{Git, GitError, ObjectEnv};
use crate::objects::{CatFile, Kind, ObjectError, empty_tree};
use crate::settings::Repository;

/// Paths of one blob that are kept though it does not matter under which of them it is scanned.
const PLACES_MAX: usize = 8;

/// Git writes out each commit on its own without this (git(1)).
const FLUSH: (&str, &str) = ("GIT_FLUSH", "0");

/// Paths that are kept at most: ten times what the largest public histories have, and a bound
/// for trees that repeat each other without end.
pub const PATHS_MAX: usize = 20_000_000;

/// Why it cannot be said what there is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IntroducedError {
    /// A git command failed.
    #[error(transparent)]
    Git(#[from] GitError),
    /// A tag or a tree that a ref names without a commit cannot be read.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// A tag or a tree is not what it should be.
    #[error("object {0} is broken")]
    Broken(Oid),
    /// More paths than [`PATHS_MAX`], or more than 2^32 blobs.
    #[error("there are too many paths or blobs")]
    TooMany,
}

/// How a blob comes in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The commit, as an index of [`Introduced::commits`]; none for an index, or for what a tag
    /// names without a commit.
    pub commit: Option<u32>,
    /// The path, as an index of [`Introduced::paths`]; none for a blob that a tag or ref names.
    pub path: Option<u32>,
    /// What stood at this path in the parents, or in HEAD. Empty for [`everything`].
    pub before: Vec<Oid>,
    /// Whether other commits bring it in here, too.
    pub again: bool,
}

/// A file's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// Its id.
    pub oid: Oid,
    /// Where it comes in first.
    pub first: Place,
    /// Other paths at which it comes in; in [`everything`], of those that do not matter only some.
    pub more: Vec<Place>,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Introduced {
    /// Commits, parents before children.
    pub commits: Vec<Oid>,
    /// Annotated tags.
    pub tags: Vec<Oid>,
    /// Blobs, in the order in which they come in.
    pub blobs: Vec<Blob>,
    /// Every path at which something comes in, links to submodules included, each once.
    pub paths: Vec<Arc<[u8]>>,
    /// Every ref name; only for [`everything`].
    pub refs: Vec<Vec<u8>>,
}

/// Everything that refs and HEAD reach. Of paths that do not matter, only some of one blob are kept.
pub fn everything(
    repository: &Repository,
    matters: &dyn Fn(&[u8]) -> bool,
    progress: &mut dyn FnMut(u64),
) -> Result<Introduced, IntroducedError> {
    let listed = lineage(repository)?;
    let mut census = reached(repository, matters, &listed)?;
    if !trees::changes(&mut census, &listed, progress)? {
        census = reached(repository, matters, &listed)?;
        census.changes(progress)?;
    }
    Ok(census.found)
}

/// A census of commits, and of what refs name without one.
fn reached<'r>(
    repository: &'r Repository,
    matters: &'r Matters<'r>,
    commits: &[Listed],
) -> Result<Census<'r>, IntroducedError> {
    let mut census = Census::new(repository, Some(matters));
    census.found.commits = commits.iter().map(|it| it.oid).collect();
    let none = ObjectEnv::repository_only();
    let mut reader = CatFile::new(repository, &none);
    for (kind, oid, name) in roots::refs(repository)? {
        census.found.refs.push(name);
        if kind != Kind::Commit {
            roots::follow(&mut census, &mut reader, oid)?;
        }
    }
    Ok(census)
}

/// Adds what a repository has besides: objects that nothing reaches, until git takes them away.
///
/// # Errors
/// When git cannot list them.
pub fn add_unreached(
    repository: &Repository,
    found: &mut Introduced,
) -> Result<(), IntroducedError> {
    let none = ObjectEnv::repository_only();
    let git = Git::new(&repository.gitdir, &none, "cat-file").args([
        "--batch-check=%(objectname) %(objecttype)",
        "--batch-all-objects",
        "--unordered",
    ]);
    let blobs = found.blobs.iter().map(|blob| blob.oid);
    let others = found.commits.iter().chain(&found.tags).copied();
    let known: HashSet<Oid> = others.chain(blobs).collect();
    let listed = git.output(b"")?;
    for line in listed.split(|&byte| byte == b'\n') {
        let Some((oid, kind)) = line.split_at_checked(repository.object_format.raw_len() * 2)
        else {
            continue;
        };
        let Ok(oid) = Oid::parse(oid) else { continue };
        if known.contains(&oid) {
            continue;
        }
        match kind.trim_ascii() {
            b"commit" => found.commits.push(oid),
            b"tag" => found.tags.push(oid),
            b"blob" => found.blobs.push(Blob {
                oid,
                first: Place {
                    commit: None,
                    path: None,
                    before: Vec::new(),
                    again: false,
                },
                more: Vec::new(),
            }),
            _ => {}
        }
    }
    Ok(())
}

/// What `to` reaches and `from` does not; without `from`, everything that `to` reaches.
pub fn range(
    repository: &Repository,
    from: Option<Oid>,
    to: Oid,
    progress: &mut dyn FnMut(u64),
) -> Result<Introduced, IntroducedError> {
    let mut census = Census::new(repository, None);
    let mut tips = vec![to.to_string()];
    tips.extend(from.map(|from| format!("^{from}")));
    let none = ObjectEnv::repository_only();
    roots::follow(&mut census, &mut CatFile::new(repository, &none), to)?;
    census.found.commits = commits(repository, &tips)?;
    census.changes(progress)?;
    Ok(census.found)
}

/// What the index has that HEAD has not, or everything in it before the first commit.
pub fn staged(checkout: &Checkout) -> Result<Introduced, IntroducedError> {
    let head = checkout
        .git("rev-parse")
        .args(["-q", "--verify", "HEAD^{commit}"]);
    let head = match head.output(b"") {
        Ok(id) => String::from_utf8_lossy(id.trim_ascii()).into_owned(),
        // A branch that is yet to be born; a HEAD that names a missing commit also ends here,
        // and then everything counts as new.
        Err(GitError::Failed { .. }) => empty_tree(checkout.repository.object_format).to_owned(),
        Err(error) => return Err(error.into()),
    };
    let mut process = checkout
        .git("diff-index")
        .args(["--cached", "--raw", "-r", "-z", "--no-renames"])
        .args(["--no-abbrev", "--ignore-submodules=none", &head, "--"])
        .spawn()?;
    drop(process.stdin()?);
    let mut reader = BufReader::with_capacity(64 * 1024, process.stdout()?);
    let mut census = Census::new(&checkout.repository, None);
    while let Some(record) = raw::next(&mut reader, &process)? {
        match record {
            raw::Record::Entry(entry) => census.entry(entry, None)?,
            raw::Record::Commit(_) => return Err(process.unexpected("no commit's id").into()),
        }
    }
    process.finish()?;
    Ok(census.found)
}

/// Names an object as a person does (`HEAD~3`, `v1.2`, an id). Never read as an option.
pub fn resolve(checkout: &Checkout, name: &str) -> Result<Oid, GitError> {
    let git = checkout.git("rev-parse");
    let git = git.args(["-q", "--verify", "--end-of-options", name]);
    let id = git.output(b"")?;
    Oid::parse(id.trim_ascii()).map_err(|_| GitError::Unexpected {
        command: "rev-parse".into(),
        what: "an object's id",
    })
}

/// A commit, as `rev-list` tells it: grafts and the ends of shallow clones are in its parents.
struct Listed {
    oid: Oid,
    tree: Oid,
    parents: Vec<Oid>,
}

impl Listed {
    fn parse(line: &[u8]) -> Option<Self> {
        let mut ids = line.split(|byte| *byte == b' ').filter(|id| !id.is_empty());
        let mut next = || Some(Oid::parse(ids.next()?));
        Some(Self {
            oid: next()?.ok()?,
            tree: next()?.ok()?,
            parents: std::iter::from_fn(next).collect::<Result<_, _>>().ok()?,
        })
    }
}

/// Every commit that refs and HEAD reach, parents before children.
fn lineage(repository: &Repository) -> Result<Vec<Listed>, GitError> {
    let arguments = ["--no-commit-header", "--format=%H %T %P", "--all"];
    rev_list(repository, &arguments.map(str::to_owned), Listed::parse)
}

fn commits(repository: &Repository, tips: &[String]) -> Result<Vec<Oid>, GitError> {
    rev_list(repository, tips, |line| Oid::parse(line).ok())
}

/// What `rev-list` says, line by line, parents before children.
fn rev_list<T>(
    repository: &Repository,
    arguments: &[String],
    parse: impl Fn(&[u8]) -> Option<T>,
) -> Result<Vec<T>, GitError> {
    let git = Git::new(
        &repository.gitdir,
        &ObjectEnv::repository_only(),
        "rev-list",
    );
    let git = git.args(["--topo-order", "--reverse"]).args(arguments);
    let mut process = git.arg("--").env(FLUSH.0, FLUSH.1).spawn()?;
    drop(process.stdin()?);
    let mut reader = BufReader::with_capacity(64 * 1024, process.stdout()?);
    let mut found = Vec::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = reader.read_until(b'\n', &mut line);
        if read.map_err(|e| process.io(e))? == 0 {
            break;
        }
        let parsed = parse(line.trim_ascii_end());
        found.push(parsed.ok_or_else(|| process.unexpected("a commit's id"))?);
    }
    process.finish()?;
    Ok(found)
}

/// Says of a path whether it matters.
type Matters<'m> = dyn Fn(&[u8]) -> bool + 'm;

/// A count in progress.
struct Census<'r> {
    repository: &'r Repository,
    found: Introduced,
    blobs: HashMap<Oid, u32>,
    paths: HashMap<Arc<[u8]>, u32>,
    tags: HashSet<Oid>,
    /// Which paths matter; none where every place is kept, with what stood there before.
    matters: Option<&'r Matters<'r>>,
    /// By path: whether it matters.
    matter: Vec<bool>,
    /// By blob and path: where a place stands in a long list of them.
    places: HashMap<(u32, u32), usize>,
}

impl<'r> Census<'r> {
    fn new(repository: &'r Repository, matters: Option<&'r Matters<'r>>) -> Self {
        Self {
            repository,
            found: Introduced::default(),
            blobs: HashMap::new(),
            paths: HashMap::new(),
            tags: HashSet::new(),
            matters,
            matter: Vec::new(),
            places: HashMap::new(),
        }
    }

    /// Reads what the commits change.
    fn changes(&mut self, progress: &mut dyn FnMut(u64)) -> Result<(), IntroducedError> {
        if self.found.commits.is_empty() {
            return Ok(());
        }
        let none = ObjectEnv::repository_only();
        let mut process = Git::new(&self.repository.gitdir, &none, "diff-tree")
            .args(["--stdin", "--raw", "-r", "-z", "-c", "--root"])
            .args(["--no-renames", "--no-abbrev", "--ignore-submodules=none"])
            .env(FLUSH.0, FLUSH.1)
            .spawn()?;
        let stdin = process.stdin()?;
        let mut reader = BufReader::with_capacity(256 * 1024, process.stdout()?);
        let commits = std::mem::take(&mut self.found.commits);
        let (asked, census) = (&commits, &mut *self);
        // Moved, so that git is gone before the writer is waited for.
        let process = std::thread::scope(move |scope| {
            scope.spawn(move || {
                let mut stdin = BufWriter::new(stdin);
                for commit in asked {
                    if writeln!(stdin, "{commit}").is_err() {
                        return;
                    }
                }
                let _ = stdin.flush();
            });
            let mut ahead = asked.iter().zip(0u32..);
            let mut current = None;
            while let Some(record) = raw::next(&mut reader, &process)? {
                match record {
                    raw::Record::Entry(entry) => census.entry(entry, current)?,
                    // A commit that changes nothing is not named.
                    raw::Record::Commit(oid) => {
                        let found = ahead.find(|(commit, _)| **commit == oid);
                        let (_, index) =
                            found.ok_or_else(|| process.unexpected("a commit that was asked"))?;
                        progress(u64::from(index) + 1);
                        current = Some(index);
                    }
                }
            }
            Ok::<_, IntroducedError>(process)
        })?;
        process.finish()?;
        self.found.commits = commits;
        Ok(())
    }

    fn entry(&mut self, entry: raw::Entry, commit: Option<u32>) -> Result<(), IntroducedError> {
        // What is deleted is nothing that comes in. A submodule's commit stands in another
        // repository.
        match entry.mode.as_str() {
            "000000" => Ok(()),
            "160000" if !entry.oid.is_zero() => self.path(&entry.path).map(drop),
            _ => self.content(&entry.path, entry.oid, entry.before, commit),
        }
    }

    /// Takes in a file's content. `before` as in [`Place`].
    fn content(
        &mut self,
        path: &[u8],
        oid: Oid,
        before: Vec<Oid>,
        commit: Option<u32>,
    ) -> Result<(), IntroducedError> {
        // What is only intended to be added.
        if oid.is_zero() {
            return Ok(());
        }
        let place = Place {
            commit,
            path: Some(self.path(path)?),
            before: match self.matters {
                None => before,
                Some(_) => Vec::new(),
            },
            again: false,
        };
        self.blob(oid, place)
    }

    fn path(&mut self, path: &[u8]) -> Result<u32, IntroducedError> {
        if let Some(&index) = self.paths.get(path) {
            return Ok(index);
        }
        let known = self.found.paths.len();
        let index = u32::try_from(known).ok().filter(|_| known < PATHS_MAX);
        let index = index.ok_or(IntroducedError::TooMany)?;
        self.matter.push(self.matters.is_none_or(|it| it(path)));
        let path: Arc<[u8]> = path.into();
        self.found.paths.push(path.clone());
        self.paths.insert(path, index);
        Ok(index)
    }

    fn blob(&mut self, oid: Oid, place: Place) -> Result<(), IntroducedError> {
        let next = u32::try_from(self.found.blobs.len()).map_err(|_| IntroducedError::TooMany)?;
        let index = *self.blobs.entry(oid).or_insert(next);
        let Some(blob) = self.found.blobs.get_mut(index as usize) else {
            self.found.blobs.push(Blob {
                oid,
                first: place,
                more: Vec::new(),
            });
            return Ok(());
        };
        let is_long = blob.more.len() >= PLACES_MAX;
        let key = place.path.map(|path| (index, path));
        let known = if blob.first.path == place.path {
            Some(&mut blob.first)
        } else if is_long {
            let at = key.and_then(|key| self.places.get(&key));
            at.and_then(|at| blob.more.get_mut(*at))
        } else {
            blob.more.iter_mut().find(|it| it.path == place.path)
        };
        if let Some(known) = known {
            known.again |= known.commit != place.commit;
            return Ok(());
        }
        let matters = |path: u32| self.matter.get(path as usize) == Some(&true);
        if blob.more.len() + 1 >= PLACES_MAX && !place.path.is_none_or(matters) {
            return Ok(());
        }
        blob.more.push(place);
        if blob.more.len() == PLACES_MAX {
            let all = blob.more.iter().enumerate();
            let keyed = all.filter_map(|(at, it)| Some(((index, it.path?), at)));
            self.places.extend(keyed);
        } else if let Some(key) = key.filter(|_| is_long) {
            self.places.insert(key, blob.more.len() - 1);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;

//! Keeps shadows on disk: `CACHE/<repository>/<view>/current`, a symbolic link to one of
//! `generations/`.
//!
//! A cache is disposable: deleting it, at any time, costs the time of another build. A build works
//! in a directory of its own under a lock, and the link is replaced by one rename, so a reader
//! sees the old shadow or the new one and never half of one. Who reads a generation holds a lock
//! on it ([`Open`]), and only generations that nobody reads go. What a killed build leaves behind
//! goes with the next.

use std::fs::{DirBuilder, File};
use std::io::{BufWriter, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, symlink};
use std::path::{Path, PathBuf};

use refwarden_gitio::Repository;
use refwarden_model::{ObjectFormat, Oid};
use refwarden_scan::{FingerprintKey, Ruleset};
use serde::{Deserialize, Serialize};

use crate::build::{BuildError, Built, Counts, State, build_filtered, digest_now, extend};
use crate::filter::RefFilters;
use crate::mask::Mask;
use crate::unmask::Maps;

/// Version of what a view does with the same rules. Part of every view's id; raised with each
/// change that can change a masked object.
pub const VIEW_VERSION: u32 = 5;

const SHADOW: &str = "shadow.git";
const MAP: &str = "commits.map";
const STATE: &str = "state";
const ABOUT: &str = "view.json";
/// Locked by all who read a generation.
const READERS: &str = "readers";
/// What the directory of a build begins with.
const MAKING: &str = "making-";
/// How often a generation may be taken away while it is being opened.
const OPEN_TRIES: usize = 100;

/// What is kept beside a shadow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The original's git directory.
    pub repository: PathBuf,
    /// The view's id.
    pub view: String,
    /// The ruleset's id.
    pub ruleset: String,
    /// Which build it is, counted from 1.
    pub generation: u64,
    /// Tells what all refs of the original were.
    pub refs: String,
    /// Whether it extends the generation before; else it was built from nothing.
    pub extended: bool,
    /// Numbers; of one that extends, what it rewrote again is counted again.
    pub counts: Counts,
}

/// The place of one view of one repository in a cache.
#[derive(Clone, Debug)]
pub struct Place {
    directory: PathBuf,
    view: String,
    filters: RefFilters,
}

/// A generation that stays while this lives.
#[derive(Debug)]
pub struct Open {
    /// Its directory.
    pub directory: PathBuf,
    /// What is known of it.
    pub about: About,
    lock: File,
}

impl Open {
    /// From now on it also stays while a program runs that was started after this: git must not
    /// lose what it reads because whoever started it was killed.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn lend(&self) -> std::io::Result<()> {
        rustix::io::fcntl_setfd(&self.lock, rustix::io::FdFlags::empty())?;
        Ok(())
    }
}

/// What a repository is called where its key and its place are derived: its id where it has one,
/// else its path.
fn identity(repository: &Repository) -> Vec<u8> {
    match &repository.id {
        Some(id) => id.to_string().into_bytes(),
        None => repository.gitdir.as_os_str().as_encoded_bytes().to_vec(),
    }
}

/// The key of a repository's placeholders, derived from an installation's: the same secret looks
/// different in two repositories.
pub fn repository_key(installation: &FingerprintKey, repository: &Repository) -> FingerprintKey {
    let name = [b"refwarden view\0".as_slice(), &identity(repository)].concat();
    FingerprintKey::new(*installation.fingerprint(&name).as_bytes())
}

/// The first digits of a sum, for names of directories.
fn digits(bytes: &[u8]) -> String {
    let mut sum = crate::hash::Sum::new(ObjectFormat::Sha256);
    sum.update(bytes);
    let mut text = sum.finish().to_string();
    text.truncate(16);
    text
}

impl Place {
    /// Where the view of a repository under these rules and this key stands.
    pub fn new(
        cache: &Path,
        repository: &Repository,
        ruleset: &Ruleset,
        key: &FingerprintKey,
    ) -> Self {
        Self::filtered(cache, repository, ruleset, key, RefFilters::default())
    }

    /// The same, for a view that has only refs that pass the filters.
    pub fn filtered(
        cache: &Path,
        repository: &Repository,
        ruleset: &Ruleset,
        key: &FingerprintKey,
        filters: RefFilters,
    ) -> Self {
        let name = key.fingerprint(b"refwarden view: the name of this key");
        let mut view = format!("{VIEW_VERSION}\0{}\0{name}", ruleset.id());
        if !filters.is_empty() {
            view.push('\0');
            view.push_str(filters.text());
        }
        let view = digits(view.as_bytes());
        let directory = cache.join(digits(&identity(repository))).join(&view);
        Self {
            directory,
            view,
            filters,
        }
    }

    /// The view's id.
    pub fn view(&self) -> &str {
        &self.view
    }

    /// The directory of the view.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Builds a new generation from nothing and switches to it. Whoever comes second waits.
    ///
    /// # Errors
    ///
    /// [`BuildError`]; the old generation stays.
    pub fn build(
        &self,
        repository: &Repository,
        ruleset: &Ruleset,
        key: &FingerprintKey,
    ) -> Result<About, BuildError> {
        let lock = self.lock()?;
        self.make(&lock, repository, ruleset, key, true)
    }

    /// Builds a new generation unless the current one was built from the refs that the repository
    /// has now. Where refs have only come and moved forward, only what is new is read and masked.
    ///
    /// # Errors
    ///
    /// As for [`build`](Self::build).
    pub fn refresh(
        &self,
        repository: &Repository,
        ruleset: &Ruleset,
        key: &FingerprintKey,
    ) -> Result<About, BuildError> {
        let lock = self.lock()?;
        match self.current() {
            Some((_, about)) if about.refs == digest_now(repository)? => Ok(about),
            _ => self.make(&lock, repository, ruleset, key, false),
        }
    }

    fn make(
        &self,
        lock: &Lock,
        repository: &Repository,
        ruleset: &Ruleset,
        key: &FingerprintKey,
        cold: bool,
    ) -> Result<About, BuildError> {
        let mask = Mask::new(ruleset, &repository_key(key, repository));
        let mask = mask.map_err(|error| BuildError::NotAsPlanned(error.to_string()))?;
        let generations = self.generations();
        let before = self.current().map(|(_, about)| about.generation);
        // Nobody else builds here: what is neither current nor read was left by a build that was
        // killed, or by a switch.
        self.sweep(before)?;
        let making = tempfile::Builder::new()
            .prefix(MAKING)
            .tempdir_in(&generations)?;
        let making_path = making.path();
        let into = making_path.join(SHADOW);
        let from_before = self.extended(repository, &mask, &into, cold)?;
        let extended = from_before.is_some();
        let built = match from_before {
            Some(built) => built,
            None => build_filtered(repository, &mask, &self.filters, &into)?,
        };
        let Built {
            counts,
            map,
            refs,
            state,
        } = built;
        let generation = self.next(before)?;
        let about = About {
            repository: repository.gitdir.clone(),
            view: self.view.clone(),
            ruleset: ruleset.id().to_string(),
            generation,
            refs,
            extended,
            counts,
        };
        let pairs = map.iter().map(|(from, to)| format!("{from} {to}"));
        write_lines(&making_path.join(MAP), pairs)?;
        write(&making_path.join(STATE), state.to_text().as_bytes())?;
        let text = serde_json::to_vec_pretty(&about).map_err(std::io::Error::other)?;
        write(&making_path.join(READERS), b"")?;
        write(&making_path.join(ABOUT), &text)?;
        File::open(making_path)?.sync_all()?;
        lock.stands()?;
        // The directory has a name of its own until here, so a build whose cache was deleted
        // cannot put anything into that of the build which came after it.
        std::fs::rename(making_path, generations.join(generation.to_string()))?;
        // It is gone from where it was, so there is nothing left to clean up.
        let _ = making.keep();
        let link = self.directory.join("next");
        remove(&link)?;
        symlink(Path::new("generations").join(generation.to_string()), &link)?;
        std::fs::rename(&link, self.directory.join("current"))?;
        File::open(&self.directory)?.sync_all()?;
        self.sweep(Some(generation))?;
        Ok(about)
    }

    /// Extends the current generation by what is new, where that can be done.
    fn extended(
        &self,
        repository: &Repository,
        mask: &Mask<'_>,
        into: &Path,
        cold: bool,
    ) -> Result<Option<Built>, BuildError> {
        // What only hidden refs reach is looked at anew each time.
        if cold || !self.filters.is_empty() {
            return Ok(None);
        }
        let Some((directory, about)) = self.current() else {
            return Ok(None);
        };
        let Some(state) = read_state(&directory) else {
            return Ok(None);
        };
        let before = (&*shadow(&directory), state, &about.counts);
        if let Ok(built) = extend(repository, mask, before, into) {
            return Ok(built);
        }
        // Whatever was in the way, such as an object that is gone from the original, a cold build
        // tells.
        if into.exists() {
            std::fs::remove_dir_all(into)?;
        }
        Ok(None)
    }

    /// Takes the view away. Who reads it may be cut off.
    ///
    /// # Errors
    ///
    /// What the system says; some of it may be gone then.
    pub fn drop_view(&self) -> std::io::Result<bool> {
        if !self.directory.exists() {
            return Ok(false);
        }
        let _lock = self.lock()?;
        remove(&self.directory.join("current"))?;
        std::fs::remove_dir_all(&self.directory)?;
        Ok(true)
    }

    /// The current generation's directory and what is known of it.
    pub fn current(&self) -> Option<(PathBuf, About)> {
        let directory = std::fs::canonicalize(self.directory.join("current")).ok()?;
        let about = about(&directory)?;
        Some((directory, about))
    }

    /// The current generation, which then stays until the answer is dropped.
    pub fn open(&self) -> Option<Open> {
        // A generation that was taken away between the two steps has a successor.
        (0..OPEN_TRIES).find_map(|_| {
            let directory = std::fs::canonicalize(self.directory.join("current")).ok()?;
            let lock = File::open(directory.join(READERS)).ok()?;
            lock.lock_shared().ok()?;
            let about = about(&directory)?;
            Some(Open {
                directory,
                about,
                lock,
            })
        })
    }

    /// Whether somebody is making a generation of it.
    pub fn is_being_made(&self) -> bool {
        let lock = File::open(self.directory.with_extension("lock"));
        lock.is_ok_and(|lock| lock.try_lock_shared().is_err())
    }

    /// Whether a generation was built from the refs that the repository has now.
    ///
    /// # Errors
    ///
    /// [`BuildError`] where the refs cannot be read.
    pub fn is_fresh(about: &About, repository: &Repository) -> Result<bool, BuildError> {
        Ok(about.refs == digest_now(repository)?)
    }

    fn generations(&self) -> PathBuf {
        self.directory.join("generations")
    }

    /// Takes the lock of all that changes the view. It stands beside the directory: whoever
    /// deletes the view must not take the lock along.
    fn lock(&self) -> std::io::Result<Lock> {
        let path = self.directory.with_extension("lock");
        // What is the view's own is touched under the lock only: somebody may be deleting it.
        if let Some(beside) = path.parent() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(beside)?;
        }
        let file = File::create(&path)?;
        file.lock()?;
        // Whoever held it before may have deleted what stood here.
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(self.generations())?;
        let lock = Lock { path, file };
        lock.stands()?;
        Ok(lock)
    }

    /// The number of the next generation: above all that stand.
    fn next(&self, before: Option<u64>) -> std::io::Result<u64> {
        let mut last = before.unwrap_or(0);
        for entry in std::fs::read_dir(self.generations())? {
            let number = entry?.file_name().to_str().and_then(|it| it.parse().ok());
            last = last.max(number.unwrap_or(0));
        }
        Ok(last + 1)
    }

    /// Takes away all generations but one and those that are read.
    fn sweep(&self, keep: Option<u64>) -> std::io::Result<()> {
        let keep = keep.map(|number| number.to_string());
        for entry in std::fs::read_dir(self.generations())? {
            let entry = entry?;
            if entry.file_name().to_str() == keep.as_deref() {
                continue;
            }
            let directory = entry.path();
            let readers = File::open(directory.join(READERS)).ok();
            if readers.as_ref().is_some_and(|it| it.try_lock().is_err()) {
                continue;
            }
            // First what makes it one, so that nobody opens it from now on.
            remove(&directory.join(ABOUT))?;
            std::fs::remove_dir_all(&directory)?;
        }
        remove(&self.directory.join("next"))
    }
}

/// The lock of all that changes a view.
struct Lock {
    path: PathBuf,
    file: File,
}

impl Lock {
    /// Whether it still is the lock: not where the whole cache was deleted meanwhile.
    fn stands(&self) -> std::io::Result<()> {
        let (there, held) = (std::fs::metadata(&self.path)?, self.file.metadata()?);
        if (there.dev(), there.ino()) == (held.dev(), held.ino()) {
            return Ok(());
        }
        Err(std::io::Error::other("the cache was deleted meanwhile"))
    }
}

fn about(directory: &Path) -> Option<About> {
    let about = std::fs::read(directory.join(ABOUT)).ok()?;
    serde_json::from_slice(&about).ok()
}

/// The id of the view that a generation is of.
///
/// # Errors
///
/// What the system says; a file that a build does not write.
pub fn view_of(generation: &Path) -> std::io::Result<String> {
    let broken = || std::io::Error::new(ErrorKind::InvalidData, "a view is malformed");
    Ok(about(generation).ok_or_else(broken)?.view)
}

/// The shadow in a generation's directory.
pub fn shadow(generation: &Path) -> PathBuf {
    generation.join(SHADOW)
}

/// The commits and tags of a generation that a name or an abbreviation fits, on either side:
/// original and view's name.
///
/// # Errors
///
/// What the system says.
pub fn lookup(generation: &Path, digits: &str) -> std::io::Result<Vec<(Oid, Oid)>> {
    let text = std::fs::read_to_string(generation.join(MAP))?;
    let pairs = text.lines().filter_map(|line| line.split_once(' '));
    let fits = pairs.filter(|(from, to)| from.starts_with(digits) || to.starts_with(digits));
    Ok(fits
        .filter_map(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)))
        .collect())
}

/// Every view of a cache: its current generation's directory and what is known of it.
///
/// # Errors
///
/// What the system says. A cache that does not exist has no views.
pub fn list(cache: &Path) -> std::io::Result<Vec<(PathBuf, About)>> {
    let mut found = Vec::new();
    for repository in folders(cache)? {
        for directory in folders(&repository)? {
            let place = Place {
                directory,
                view: String::new(),
                filters: RefFilters::default(),
            };
            found.extend(place.current());
        }
    }
    found.sort_by(|(_, a), (_, b)| (&a.repository, &a.view).cmp(&(&b.repository, &b.view)));
    Ok(found)
}

fn folders(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.push(entry.path());
        }
    }
    Ok(found)
}

fn remove(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// What a generation knows for the next.
fn read_state(generation: &Path) -> Option<State> {
    let text = std::fs::read_to_string(generation.join(MAP)).ok()?;
    let pair = |line: &str| {
        let (from, to) = line.split_once(' ')?;
        Some((from.parse().ok()?, to.parse().ok()?))
    };
    let map: Option<Vec<(Oid, Oid)>> = text.lines().map(pair).collect();
    let state = std::fs::read_to_string(generation.join(STATE)).ok()?;
    State::parse(&state, map?)
}

/// What is kept of a generation for pushes: every commit and tag with its name in the view, and
/// the trees and blobs of the original that have another one.
///
/// # Errors
///
/// What the system says; a file that a build does not write.
pub fn maps(generation: &Path) -> std::io::Result<Maps> {
    let broken = || std::io::Error::new(ErrorKind::InvalidData, "a map of a view is malformed");
    let state = read_state(generation).ok_or_else(broken)?;
    let (changed, notes) = (state.changed().collect(), state.notes());
    Ok(Maps::new(state.into_map(), changed).with_notes(notes))
}

/// A list of names, in order. Never inside the shadow.
fn write_lines(path: &Path, lines: impl Iterator<Item = String>) -> std::io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for line in lines {
        writeln!(file, "{line}")?;
    }
    file.into_inner()
        .map_err(std::io::IntoInnerError::into_error)?
        .sync_all()
}

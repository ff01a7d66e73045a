//! Keeps shadows on disk: `CACHE/<repository>/<view>/current`, a symbolic link to one of
//! `generations/`.
//!
//! A cache is disposable: deleting it costs the time of another build. A build works in a
//! directory of its own under a lock, and the link is replaced by one rename, so a reader sees
//! the old shadow or the new one and never half of one. What a killed build leaves behind goes
//! with the next.

use std::fs::{DirBuilder, File};
use std::io::{BufWriter, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};

use refwarden_gitio::Repository;
use refwarden_model::{ObjectFormat, Oid};
use refwarden_scan::{FingerprintKey, Ruleset};
use serde::{Deserialize, Serialize};

use crate::build::{BuildError, Built, Counts, build};
use crate::mask::Mask;

/// Version of what a view does with the same rules. Part of every view's id; raised with each
/// change that can change a masked object.
pub const VIEW_VERSION: u32 = 1;

const SHADOW: &str = "shadow.git";
const MAP: &str = "commits.map";
const ABOUT: &str = "view.json";

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
    /// Numbers.
    pub counts: Counts,
}

/// The place of one view of one repository in a cache.
#[derive(Clone, Debug)]
pub struct Place {
    directory: PathBuf,
    view: String,
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
        let name = key.fingerprint(b"refwarden view: the name of this key");
        let view = format!("{VIEW_VERSION}\0{}\0{name}", ruleset.id());
        let view = digits(view.as_bytes());
        let directory = cache.join(digits(&identity(repository))).join(&view);
        Self { directory, view }
    }

    /// The directory of the view.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Builds a new generation and switches to it. Whoever comes second waits.
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
        let mask = Mask::new(ruleset, &repository_key(key, repository));
        let mask = mask.map_err(|error| BuildError::NotAsPlanned(error.to_string()))?;
        let generations = self.directory.join("generations");
        let mut directories = DirBuilder::new();
        directories
            .recursive(true)
            .mode(0o700)
            .create(&generations)?;
        let _lock = self.lock()?;
        let before = self.current().map(|(_, about)| about.generation);
        let generation = before.unwrap_or(0) + 1;
        // Nobody else builds here: whatever is not current was left by a build that was killed.
        self.sweep(&generations, before)?;
        let making = generations.join(generation.to_string());
        DirBuilder::new().mode(0o700).create(&making)?;
        let Built { counts, map } = build(repository, &mask, &making.join(SHADOW))?;
        let about = About {
            repository: repository.gitdir.clone(),
            view: self.view.clone(),
            ruleset: ruleset.id().to_string(),
            generation,
            counts,
        };
        write_map(&making.join(MAP), &map)?;
        let text = serde_json::to_vec_pretty(&about).map_err(std::io::Error::other)?;
        write(&making.join(ABOUT), &text)?;
        File::open(&making)?.sync_all()?;
        let link = self.directory.join("next");
        remove(&link)?;
        symlink(Path::new("generations").join(generation.to_string()), &link)?;
        std::fs::rename(&link, self.directory.join("current"))?;
        File::open(&self.directory)?.sync_all()?;
        self.sweep(&generations, Some(generation))?;
        Ok(about)
    }

    /// Takes the view away.
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
        let about = std::fs::read(directory.join(ABOUT)).ok()?;
        Some((directory, serde_json::from_slice(&about).ok()?))
    }

    fn lock(&self) -> std::io::Result<File> {
        let file = File::create(self.directory.join("lock"))?;
        file.lock()?;
        Ok(file)
    }

    fn sweep(&self, generations: &Path, keep: Option<u64>) -> std::io::Result<()> {
        let keep = keep.map(|number| number.to_string());
        for entry in std::fs::read_dir(generations)? {
            let entry = entry?;
            if entry.file_name().to_str() != keep.as_deref() {
                std::fs::remove_dir_all(entry.path())?;
            }
        }
        remove(&self.directory.join("next"))
    }
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
            let view = String::new();
            found.extend(Place { directory, view }.current());
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

/// One line for each commit and tag: original, view's name. Never inside the shadow.
fn write_map(path: &Path, map: &[(Oid, Oid)]) -> std::io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for (from, to) in map {
        writeln!(file, "{from} {to}")?;
    }
    file.into_inner()
        .map_err(std::io::IntoInnerError::into_error)?
        .sync_all()
}

//! Translates a push from a masked clone back into the original history.
//!
//! The client has made commits upon commits of the view. Each becomes what somebody who sees the
//! original would have written: what the client left alone is the original's, what it changed is
//! the client's. A secret returns only to where it was, because otherwise somebody who may not
//! read it could move it to where it can be read:
//!
//! 1. Parents, old values and names in messages are looked up in what the view was built from.
//! 2. An entry of a tree that equals a parent's at the same path becomes the original's.
//! 3. In a changed file, a line with a placeholder gets its secret back where an earlier version
//!    of the file at the same path, of the same mode, has that very line, and as often. Earlier
//!    versions are those of the parents, and then those of any commit in the view: somebody who
//!    merges such a commit would get there as well, and a rebase, a revert or a cherry-pick has
//!    other parents than the commit that it repeats.
//! 4. Everything else that looks like a placeholder is refused. Where people are to be asked
//!    instead ([`View::moves`]), a line with placeholders that stands in the view may stand as a
//!    whole elsewhere in files; what moves is told ([`Translated::moves`]).
//! 5. Every new object is masked again, and has to come out as it was pushed, byte for byte. So
//!    what the client has is what the next build makes, and no secret is in a place where
//!    masking does not find it. What the rules find in what the client wrote is refused too.
//!    Where a secret moves and a file does not come out so, that is no refusal, which could tell
//!    something of the secret, but said of what moves ([`SecretMove::unsound`]).
//! 6. A signature that the client made covers the view's object. It is kept under another name,
//!    and masking gives it back.
//!
//! The same push gives the same originals. What it deliberately does not do: it moves no ref,
//! writes nothing into the original or the shadow, and verifies no signature.

mod commit;
mod file;
mod lines;
mod maps;
mod moves;
mod refs;
mod refusal;
mod stood;
mod store;
mod told;
mod tree;
mod versions;

use std::collections::{BTreeMap, HashSet};
use std::io::{BufWriter, Read, Write as _};
use std::path::{Path, PathBuf};

use refwarden_gitio::objects::{Kind, ObjectError};
use refwarden_gitio::pack::{PackStream, Selection, stream};
use refwarden_gitio::quarantine::{Quarantine, QuarantineError};
use refwarden_gitio::refs::RefsError;
use refwarden_gitio::{Git, GitError, ObjectEnv, Repository};
use refwarden_model::facts::SecretMove;
use refwarden_model::{Oid, RefName};
use refwarden_scan::FingerprintKey;

use crate::mask::Mask;

pub use maps::Maps;
pub use refusal::{Problem, Refusal};
pub use told::{WITHHELD, told};

/// Trees and files that one push is looked at at most.
pub const PLACES_MAX: usize = 1_000_000;

/// Directories that may stand in one another.
pub const DEPTH_MAX: usize = 512;

/// A view of a repository, as it stands in its shadow.
#[derive(Clone, Copy)]
pub struct View<'v, 'r> {
    /// The original.
    pub original: &'v Repository,
    /// The shadow from which the client has fetched.
    pub shadow: &'v Repository,
    /// The rules and the key that the shadow was built with.
    pub mask: &'v Mask<'r>,
    /// What the build says of names.
    pub maps: &'v Maps,
    /// Whether the view has refs of this name: one may leave some out. What nobody sees there is
    /// not pushed there either, and whether such a ref exists is not told.
    pub shows: &'v dyn Fn(&RefName) -> bool,
    /// The key of findings' fingerprints, where lines with placeholders may stand where they did
    /// not: people are asked then, and told which secret it is. None where that is refused.
    pub moves: Option<&'v FingerprintKey>,
}

/// One ref that a push moves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Its name.
    pub name: RefName,
    /// What it is; zero where it does not exist.
    pub old: Oid,
    /// What it becomes; zero where it goes.
    pub new: Oid,
}

/// Why a push is not translated. The client is told of [`UnmaskError::Refused`] alone: the others
/// may name objects of the original.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnmaskError {
    /// The push is at fault.
    #[error(transparent)]
    Refused(Box<Refusal>),
    /// git failed.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The refs cannot be read.
    #[error(transparent)]
    Refs(#[from] RefsError),
    /// An object cannot be read.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// What was received cannot be listed.
    #[error(transparent)]
    Quarantine(#[from] QuarantineError),
    /// Reading or writing failed.
    #[error("the push cannot be translated: {0}")]
    Io(#[from] std::io::Error),
}

impl From<Problem> for UnmaskError {
    fn from(problem: Problem) -> Self {
        Refusal::from(problem).into()
    }
}

impl From<Refusal> for UnmaskError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

/// Indexes a received pack in a directory of its own, strictly: every object has to be sound,
/// and to link only to what the pack or the shadow has. `objects` must not exist yet.
///
/// # Errors
///
/// [`Problem::Pack`] where git refuses the pack, as with one above `bytes_max`.
pub fn receive(
    shadow: &Repository,
    objects: &Path,
    pack: &mut dyn Read,
    bytes_max: Option<u64>,
) -> Result<(), UnmaskError> {
    std::fs::create_dir_all(objects.join("pack"))?;
    let env = ObjectEnv::apart(objects, &[&shadow.gitdir.join("objects")]);
    let git = Git::new(&shadow.gitdir, &env, "index-pack");
    let mut git = git.args(["--stdin", "--fix-thin", "--strict"]);
    if let Some(max) = bytes_max {
        git = git.arg(format!("--max-input-size={max}"));
    }
    let mut process = git.spawn()?;
    let mut out = BufWriter::with_capacity(64 * 1024, process.stdin()?);
    // git closes its end where it has seen enough; its status says why.
    let copied = std::io::copy(pack, &mut out).and_then(|_| out.flush());
    if let Err(error) = copied
        && error.kind() != std::io::ErrorKind::BrokenPipe
    {
        return Err(error.into());
    }
    drop(out);
    process.finish().map_err(|_| Problem::Pack)?;
    Ok(())
}

/// A push in terms of the original.
pub struct Translated {
    /// What becomes of the refs.
    pub commands: Vec<Command>,
    /// New commits and tags: the original's name and the client's.
    pub pairs: Vec<(Oid, Oid)>,
    /// Secrets that come to stand where they did not, sorted. None unless [`View::moves`].
    pub moves: Vec<SecretMove>,
    /// New files of the original that the client has otherwise: their names, sorted, and the
    /// length in bytes that the client has them in.
    pub sizes: Vec<(Oid, u64)>,
    /// New trees and blobs of the original that the client has under another name.
    changed: Vec<Oid>,
    shadow: Repository,
    env: ObjectEnv,
    objects: Vec<Oid>,
}

impl Translated {
    /// The pack that belongs to the commands. It depends on nothing but what the original has.
    ///
    /// # Errors
    ///
    /// git cannot be started. A later failure shows where the pack is read.
    pub fn pack(&self) -> Result<PackStream, GitError> {
        let objects = Selection::Objects(self.objects.clone());
        stream(&self.shadow, &self.env, objects)
    }
}

/// Translates a push. `received` is the directory that [`receive`] has filled; none where no pack
/// came. `into` is an empty directory for the objects that are made; both have to stand until
/// the pack is read.
///
/// # Errors
///
/// [`UnmaskError::Refused`] for the first thing that cannot stay; nothing is translated then.
pub fn unmask(
    view: View<'_, '_>,
    received: Option<&Path>,
    commands: &[Command],
    into: &Path,
) -> Result<Translated, UnmaskError> {
    let format = view.shadow.object_format;
    let sent: HashSet<Oid> = match received {
        Some(objects) => Quarantine::list(objects, format)?
            .objects
            .into_iter()
            .collect(),
        None => HashSet::new(),
    };
    let shadow_objects = view.shadow.gitdir.join("objects");
    let masked_env = match received {
        Some(objects) => ObjectEnv::apart(objects, &[&shadow_objects]),
        None => ObjectEnv::repository_only(),
    };
    let original_env = ObjectEnv::repository_only();
    let mut walk = Walk {
        view,
        sent: &sent,
        masked: store::Side::open(view.shadow, &masked_env),
        original: store::Original::open(view.original, &original_env)?,
        pushed: maps::Pushed::default(),
        kept: HashSet::new(),
        versions: versions::Versions::default(),
        moves: moves::Moves::default(),
        sizes: BTreeMap::new(),
        places: 0,
        tips: Vec::new(),
    };
    let translated = walk.refs(commands)?;
    let mut moves: Vec<SecretMove> = std::mem::take(&mut walk.moves.made).into_iter().collect();
    if let Some(refusal) = walk.moves.unsound.take() {
        if moves.is_empty() {
            return Err(UnmaskError::Refused(refusal));
        }
        for secret in &mut moves {
            secret.unsound = true;
        }
    }
    walk.original.made.put(view.shadow, into)?;
    let mut objects: Vec<Oid> = walk.original.made.oids().chain(walk.kept).collect();
    objects.sort_unstable();
    objects.dedup();
    let mut others: Vec<PathBuf> = received.map(Path::to_owned).into_iter().collect();
    others.push(shadow_objects);
    let others: Vec<&Path> = others.iter().map(PathBuf::as_path).collect();
    Ok(Translated {
        commands: translated,
        pairs: walk.pushed.pairs().collect(),
        moves,
        sizes: walk.sizes.into_iter().collect(),
        changed: walk.pushed.changed.into_iter().collect(),
        shadow: view.shadow.clone(),
        env: ObjectEnv::apart(into, &others),
        objects,
    })
}

/// A push that is being translated.
struct Walk<'a, 'r> {
    view: View<'a, 'r>,
    /// What the client sent.
    sent: &'a HashSet<Oid>,
    /// What the client sees and sent.
    masked: store::Side<'a>,
    original: store::Original<'a>,
    pushed: maps::Pushed,
    /// Objects that are the same on both sides, and that the original may lack.
    kept: HashSet<Oid>,
    versions: versions::Versions,
    moves: moves::Moves,
    /// By name in the original, how long files are that the client has otherwise.
    sizes: BTreeMap<Oid, u64>,
    places: usize,
    /// What the refs of the push are now, in the original.
    tips: Vec<Oid>,
}

impl Walk<'_, '_> {
    /// Takes an object along as it is. What was sent always goes, whether the original has it or
    /// not: otherwise it would be judged differently where somebody has guessed it.
    fn keep(&mut self, oid: Oid) -> Result<(), UnmaskError> {
        if self.sent.contains(&oid) || !self.original.holds(oid)? {
            self.kept.insert(oid);
        }
        Ok(())
    }

    /// An object of the original as it will be after the push.
    fn there(&mut self, oid: Oid) -> Result<Option<(Kind, Vec<u8>)>, UnmaskError> {
        if self.kept.contains(&oid) {
            return self.masked.load(oid);
        }
        self.original.load(oid)
    }

    fn step(&mut self) -> Result<(), Problem> {
        self.places += 1;
        if self.places > PLACES_MAX {
            return Err(Problem::TooMuch);
        }
        Ok(())
    }
}

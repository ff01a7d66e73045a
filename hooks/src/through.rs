//! What `refwarden-receive` leaves to the hook of a push from a masked clone: the push as its client
//! made it, which secrets move with it, and how long files are that the client has otherwise.
//!
//! The environment names where that is, and may come from whoever pushes. It is believed only where
//! `refwarden-receive` has started this very run of `git receive-pack`, in the directory that it was
//! told to work in, and where nobody but its own account could have written there. Everything else
//! is refused.
//!
//! What it deliberately does not do: it judges nothing. Whether a secret may move, policy says.

use std::collections::HashMap;
use std::fs::{File, Metadata, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use refwarden_gitio::history::Change;
use refwarden_model::facts::{Place, SecretMove};
use refwarden_model::{ByteText, Code, Oid};
use refwarden_wire::hook::{MASKED_JSON, MASKED_PACK, MaskedPush};
use rustix::fs::OFlags;

use crate::correlation::{Parent, Starter};
use crate::fault::Fault;
use crate::scanning::Found;

/// The program that translates pushes.
const RECEIVE: &str = "refwarden-receive";

/// What the directories begin with in which it works.
pub const WORK: &str = "push-";

/// What others may do, and write (inode(7)).
const OTHERS: u32 = 0o077;
const OTHERS_WRITE: u32 = 0o022;

/// Longest description that is read, in bytes.
const JSON_MAX: u64 = 64 << 20;

/// What was left.
pub struct Left {
    /// The push as its client made it.
    pub push: MaskedPush,
    /// Its pack.
    pub pack: File,
    /// What is for the hook alone.
    pub aside: Aside,
}

/// What a push through a view is judged by, besides what git has.
#[derive(Default)]
pub struct Aside {
    /// Secrets that would come to stand where they did not.
    pub moves: Vec<SecretMove>,
    sizes: HashMap<Oid, u64>,
}

impl Left {
    /// Reads it; none where the push came through no view.
    pub fn read(directory: Option<&Path>, parent: &Parent) -> Result<Option<Self>, Fault> {
        let Some(directory) = directory else {
            return Ok(None);
        };
        let forged = || {
            Fault::hook("what is said of a push through a view was not left by refwarden-receive")
        };
        let starter = parent.starter(RECEIVE).ok_or_else(forged)?;
        let mut left = Self::of(directory, &starter).ok_or_else(forged)?;
        if left.push.by.take().as_ref() != Some(&starter.correlation) {
            return Err(forged());
        }
        left.aside = Aside {
            moves: std::mem::take(&mut left.push.moves),
            sizes: std::mem::take(&mut left.push.sizes).into_iter().collect(),
        };
        Ok(Some(left))
    }

    fn of(directory: &Path, starter: &Starter) -> Option<Self> {
        let name = directory.file_name()?.to_str()?;
        let beside = directory.parent()?.canonicalize().ok()?;
        if !name.starts_with(WORK) || beside != work_of(starter)? {
            return None;
        }
        let own = std::fs::symlink_metadata(directory).ok()?;
        let around = std::fs::symlink_metadata(&beside).ok()?;
        if !own.is_dir()
            || !is_private(&own)
            || !is_ours(&around)
            || around.mode() & OTHERS_WRITE != 0
        {
            return None;
        }
        let mut json = Vec::new();
        let file = open(&directory.join(MASKED_JSON))?;
        file.take(JSON_MAX).read_to_end(&mut json).ok()?;
        Some(Self {
            push: serde_json::from_slice(&json).ok()?,
            pack: open(&directory.join(MASKED_PACK))?,
            aside: Aside::default(),
        })
    }
}

/// Where it was told to make directories.
fn work_of(starter: &Starter) -> Option<PathBuf> {
    let mut words = starter.arguments.iter();
    words.find(|word| *word == "--work")?;
    starter.directory.join(words.next()?).canonicalize().ok()
}

/// A file that nobody else could have written, nor reached in by another name.
fn open(path: &Path) -> Option<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).ok()?;
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let file = opened.ok()?;
    let about = file.metadata().ok()?;
    (about.is_file() && about.nlink() == 1 && is_private(&about)).then_some(file)
}

fn is_ours(about: &Metadata) -> bool {
    about.uid() == rustix::process::geteuid().as_raw()
}

fn is_private(about: &Metadata) -> bool {
    is_ours(about) && about.mode() & OTHERS == 0
}

impl Aside {
    /// Whether a finding reaches into lines that move, in the file itself.
    pub fn reaches(&self, found: &Found) -> bool {
        let finding = &found.finding;
        let breaks = memchr::memchr_iter(b'\n', finding.standing().expose()).count();
        let last = finding.line + breaks as u64;
        let is_met = |it: &SecretMove| {
            found.object == Some(it.object)
                && found.path.as_deref() == Some(it.path.as_bytes())
                && it.is_met(finding.line, last)
        };
        found.place == Place::Blob && !finding.is_contained() && self.moves.iter().any(is_met)
    }

    /// What moves, under the paths that findings have.
    pub fn told(&self, mask: impl Fn(&[u8]) -> ByteText) -> Vec<SecretMove> {
        let masked = |it: &SecretMove| SecretMove {
            from: mask(it.from.as_bytes()),
            path: mask(it.path.as_bytes()),
            ..it.clone()
        };
        self.moves.iter().map(masked).collect()
    }

    /// How long a file is as the client has it, in bytes; none for one that is the same here. Held
    /// against limits in place of its own length, which would measure the secrets in it.
    pub fn size(&self, file: Oid) -> Option<u64> {
        self.sizes.get(&file).copied()
    }

    /// Whether what a change is, line by line, may show a secret that moves: the scan has not found
    /// each of them where it comes to stand, so that nothing else masks it.
    pub fn hides(&self, change: &Change, found: &[Found]) -> bool {
        let has_secrets = [change.new_oid, change.old_oid];
        if !has_secrets.iter().any(|file| self.sizes.contains_key(file)) {
            return false;
        }
        let is_found = |it: &SecretMove| {
            let is_it = |found: &Found| found.finding.fingerprint.to_string() == it.fingerprint;
            !it.unsound && found.iter().any(is_it)
        };
        !self.moves.iter().all(is_found)
    }

    /// Refuses what no approval makes whole: the next view would not have it as it was pushed, or
    /// would show a secret.
    pub fn check(&self) -> Result<(), Fault> {
        if !self.moves.iter().any(|it| it.unsound) {
            return Ok(());
        }
        let text = "in the view, this would not look as it was pushed";
        Err(Fault::new(Code::NotTranslated, text)
            .hint("ask someone who sees the original to make this change"))
    }
}

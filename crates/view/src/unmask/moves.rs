//! Secrets that a push puts where they did not stand, where people are asked about that.
//!
//! What a placeholder stands for is looked up where the view has it: in the history that its
//! reader sees, and nowhere else. A placeholder that does not stand there stands for nothing. One
//! placeholder has one secret, so whichever commit tells it, the same push gives the same
//! originals.
//!
//! What it deliberately does not do: it asks nobody. Links, names, messages and files that are
//! masked as one are no places to or from which a secret moves.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::rc::Rc;

use refwarden_gitio::objects::Kind;
use refwarden_gitio::{Git, ObjectEnv};
use refwarden_model::facts::SecretMove;
use refwarden_model::{ByteText, Oid};

use super::lines::{Earlier, Wrong};
use super::tree::{At, is_file};
use super::{Problem, UnmaskError, Walk};
use crate::mask::splice;
use crate::placeholder::{DIGITS, PREFIX, form};

/// Secrets that one push moves, and placeholders that are looked up for it.
const MOVES_MAX: usize = 100;

/// Commits that are looked at for one placeholder, newest first.
const COMMITS_MAX: usize = 100;

/// What moves in a push.
#[derive(Default)]
pub(super) struct Moves {
    /// By placeholder; none for one that the view does not have.
    issued: HashMap<Vec<u8>, Option<Rc<Issued>>>,
    pub(super) made: BTreeSet<SecretMove>,
}

/// What a placeholder stands for.
struct Issued {
    /// Where the view has it.
    path: Vec<u8>,
    /// All that is written for the secret: the placeholder, and its line breaks.
    masked: Vec<u8>,
    secret: Vec<u8>,
}

/// A placeholder where it did not stand.
pub(super) struct Moved {
    rule: Vec<u8>,
    from: Vec<u8>,
    line: usize,
}

impl Walk<'_, '_> {
    /// Whether a secret may come to stand at a path. One that is itself another in the original
    /// would have to be told.
    pub(super) fn may_move_to(&self, at: &At) -> bool {
        self.view.may_move && at.has_commit && at.masked == at.original
    }

    /// A changed file with its secrets, wherever they are from, and those that are not its own.
    pub(super) fn moved(
        &mut self,
        earlier: &Earlier,
        bytes: &[u8],
        at: &At,
    ) -> Result<(Vec<u8>, Vec<Moved>), UnmaskError> {
        let mut moved = Vec::new();
        let written = earlier.restore_or(bytes, &mut |wrong, rest| {
            let found = match wrong {
                Wrong::Ambiguous(_) => None,
                Wrong::Changed(line) | Wrong::Repeated(line) => {
                    self.lines(rest, line, &mut moved)?
                }
            };
            found.ok_or_else(|| at.refuse(wrong.problem(), Some(wrong.line())))
        })?;
        Ok((written, moved))
    }

    /// Records what comes to stand in a file.
    pub(super) fn note(
        &mut self,
        moved: Vec<Moved>,
        at: &At,
        object: Oid,
    ) -> Result<(), UnmaskError> {
        for Moved { rule, from, line } in moved {
            self.moves.made.insert(SecretMove {
                rule_id: String::from_utf8_lossy(&rule).into_owned(),
                from: ByteText::new(from),
                path: ByteText::new(at.original.clone()),
                line: line as u64,
                object,
            });
        }
        if self.moves.made.len() > MOVES_MAX {
            return Err(at.refuse(Problem::TooMuch, None));
        }
        Ok(())
    }

    /// What a line with placeholders becomes, or the lines of a secret that has several, and how
    /// much of `rest` that is. None where the view has no such placeholder.
    fn lines(
        &mut self,
        rest: &[u8],
        number: usize,
        moved: &mut Vec<Moved>,
    ) -> Result<Option<(Vec<u8>, usize)>, UnmaskError> {
        let (mut written, mut at, mut number) = (Vec::new(), 0, number);
        loop {
            let here = rest.get(at..).unwrap_or_default();
            let end = memchr::memchr(b'\n', here).unwrap_or(here.len());
            let line = here.get(..end).unwrap_or_default();
            let Some(span) = form(line) else {
                written.extend_from_slice(line);
                return Ok(Some((written, at + end)));
            };
            let placeholder = line.get(span.clone()).unwrap_or_default();
            let Some(issued) = self.issued(placeholder)? else {
                return Ok(None);
            };
            let behind = here.get(span.start..).unwrap_or_default();
            if !behind.starts_with(&issued.masked) {
                return Ok(None);
            }
            moved.push(Moved {
                rule: rule(placeholder).to_vec(),
                from: issued.path.clone(),
                line: number,
            });
            written.extend_from_slice(line.get(..span.start).unwrap_or_default());
            written.extend_from_slice(&issued.secret);
            number += memchr::memchr_iter(b'\n', &issued.masked).count();
            at += span.start + issued.masked.len();
        }
    }

    fn issued(&mut self, placeholder: &[u8]) -> Result<Option<Rc<Issued>>, UnmaskError> {
        if let Some(known) = self.moves.issued.get(placeholder) {
            return Ok(known.clone());
        }
        if self.moves.issued.len() >= MOVES_MAX {
            return Err(Problem::TooMuch.into());
        }
        let found = self.look_up(placeholder)?.map(Rc::new);
        self.moves
            .issued
            .insert(placeholder.to_vec(), found.clone());
        Ok(found)
    }

    fn look_up(&mut self, placeholder: &[u8]) -> Result<Option<Issued>, UnmaskError> {
        let pickaxe = [b"-S", placeholder].concat();
        let pickaxe = OsStr::from_bytes(&pickaxe);
        let env = ObjectEnv::repository_only();
        let shadow = self.view.shadow.gitdir.clone();
        let git = Git::new(&shadow, &env, "log");
        let git = git.args(["--all", "-m", "-s", "--no-renames", "--format=%H"]);
        let listed = git.arg(pickaxe).output(b"")?;
        let commits = listed.split(|byte| *byte == b'\n').take(COMMITS_MAX);
        for commit in commits.filter_map(|line| Oid::parse(line).ok()) {
            let git = Git::new(&shadow, &env, "diff-tree");
            let git = git.args(["-r", "-m", "-z", "--root", "--no-commit-id", "--no-renames"]);
            let git = git.args(["--name-only"]).arg(pickaxe);
            let paths = git.arg(commit.to_string()).output(b"")?;
            for path in paths.split(|byte| *byte == 0) {
                if let Some(issued) = self.stood(commit, path, placeholder)? {
                    return Ok(Some(issued));
                }
            }
        }
        Ok(None)
    }

    /// What a placeholder stands for in a file of a commit, where it stands there.
    fn stood(
        &mut self,
        commit: Oid,
        path: &[u8],
        placeholder: &[u8],
    ) -> Result<Option<Issued>, UnmaskError> {
        if path.is_empty() || form(path).is_some() {
            return Ok(None);
        }
        // Whichever original it is: where they differ, it is in a signature.
        let original = self.view.maps.originals(commit).next();
        let (Some((mode, here)), Some(original)) = (self.here(commit, path)?, original) else {
            return Ok(None);
        };
        let Some((_, there)) = self.beyond(original, path)?.filter(|_| is_file(&mode)) else {
            return Ok(None);
        };
        let (here, there) = (self.masked.load(here)?, self.there(there)?);
        let (Some((Kind::Blob, here)), Some((Kind::Blob, there))) = (here, there) else {
            return Ok(None);
        };
        let secrets = self.view.mask.secrets(&there, Some(path));
        // Where more was masked than what was found, nothing tells which bytes are the secret.
        if splice(&there, &secrets) != here {
            return Ok(None);
        }
        let is_it = |masked: &[u8]| {
            let breaks = masked.strip_prefix(placeholder);
            breaks.is_some_and(|it| it.iter().all(|byte| matches!(byte, b'\r' | b'\n')))
        };
        let found = secrets.into_iter().find(|(_, masked)| is_it(masked));
        Ok(found.map(|(span, masked)| Issued {
            path: path.to_vec(),
            masked,
            secret: there.get(span).unwrap_or_default().to_vec(),
        }))
    }
}

/// The rule that a placeholder names.
fn rule(placeholder: &[u8]) -> &[u8] {
    let end = placeholder.len().saturating_sub(DIGITS + 1);
    placeholder.get(PREFIX.len()..end).unwrap_or_default()
}

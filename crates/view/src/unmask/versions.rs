//! What has stood at a path in any commit of the view.

use std::collections::HashMap;
use std::rc::Rc;

use refwarden_gitio::{Git, ObjectEnv};
use refwarden_model::Oid;

use super::tree::{At, Pair};
use super::{Problem, UnmaskError, Walk};
use crate::mask::{entries, links};

/// Different contents of one path that are looked at: as they come, newest first.
const VERSIONS_MAX: usize = 1000;

/// Commits that are looked at for one path, newest first.
const COMMITS_MAX: usize = 20_000;

/// Paths that are asked for in one push.
const PATHS_MAX: usize = 1000;

/// By path, what was found.
#[derive(Default)]
pub(super) struct Versions(HashMap<Vec<u8>, Rc<[Pair]>>);

impl Walk<'_, '_> {
    /// What has stood at a path, on both sides. The empty path is that of the trees of commits.
    pub(super) fn versions_of(&mut self, at: &At) -> Result<Rc<[Pair]>, UnmaskError> {
        let path = at.masked.as_slice();
        if let Some(known) = self.versions.0.get(path) {
            return Ok(Rc::clone(known));
        }
        if self.versions.0.len() >= PATHS_MAX {
            return Err(Problem::TooMuch.into());
        }
        let mut found: Vec<Pair> = Vec::new();
        for commit in self.commits_at(path)? {
            let Some((mode, masked)) = self.here(commit, path)? else {
                continue;
            };
            if found
                .iter()
                .any(|pair| pair.masked == masked && pair.mode == mode)
            {
                continue;
            }
            // Whichever original it is: where they differ, it is in a signature.
            let original = self.view.maps.originals(commit).next();
            if let Some(original) = original
                && let Some((_, original)) = self.beyond(original, &at.original)?
            {
                found.push(Pair::new(mode, masked, original));
            }
            if found.len() >= VERSIONS_MAX {
                break;
            }
        }
        let found: Rc<[Pair]> = found.into();
        self.versions.0.insert(path.to_vec(), Rc::clone(&found));
        Ok(found)
    }

    /// Commits of the view that change what stands at a path.
    fn commits_at(&self, path: &[u8]) -> Result<Vec<Oid>, UnmaskError> {
        use std::os::unix::ffi::OsStrExt as _;
        let env = ObjectEnv::repository_only();
        let git = Git::new(&self.view.shadow.gitdir, &env, "rev-list");
        let git = git.env("GIT_LITERAL_PATHSPECS", "1");
        let git = git.args(["--all", "--full-history", "--"]);
        let paths = (!path.is_empty()).then(|| std::ffi::OsStr::from_bytes(path));
        let listed = git.args(paths).output(b"")?;
        let lines = listed.split(|byte| *byte == b'\n').take(COMMITS_MAX);
        Ok(lines.filter_map(|line| Oid::parse(line).ok()).collect())
    }

    /// What a commit of the view has at a path: its mode and its name.
    pub(super) fn here(
        &mut self,
        commit: Oid,
        path: &[u8],
    ) -> Result<Option<(Vec<u8>, Oid)>, UnmaskError> {
        let side = &mut self.masked;
        at_path(commit, path, &mut |oid| Ok(side.load(oid)?.map(|it| it.1)))
    }

    /// The same of a commit of the original.
    pub(super) fn beyond(
        &mut self,
        commit: Oid,
        path: &[u8],
    ) -> Result<Option<(Vec<u8>, Oid)>, UnmaskError> {
        at_path(commit, path, &mut |oid| Ok(self.there(oid)?.map(|it| it.1)))
    }
}

/// How an object is read; none where it cannot be.
type Load<'l> = &'l mut dyn FnMut(Oid) -> Result<Option<Vec<u8>>, UnmaskError>;

/// What a commit has at a path: its mode and its name.
fn at_path(
    commit: Oid,
    path: &[u8],
    load: Load<'_>,
) -> Result<Option<(Vec<u8>, Oid)>, UnmaskError> {
    let Some(mut next) = load(commit)?.and_then(|bytes| links(&bytes).tree) else {
        return Ok(None);
    };
    let mut found = Some((b"40000".to_vec(), next));
    for part in path
        .split(|byte| *byte == b'/')
        .filter(|part| !part.is_empty())
    {
        let Some(bytes) = load(next)? else {
            return Ok(None);
        };
        let list = entries(&bytes, commit.format()).map_err(|_| Problem::Unreadable(commit))?;
        let Some(entry) = list.iter().find(|entry| entry.name == part) else {
            return Ok(None);
        };
        next = entry.oid;
        found = Some((entry.mode.to_vec(), entry.oid));
    }
    Ok(found)
}

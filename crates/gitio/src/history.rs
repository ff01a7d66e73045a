//! What a push makes reachable: `rev-list --objects <new…> --not --all`, and what its commits
//! change against their first parent. Read in the quarantine's environment.
//!
//! Two processes, the second fed from the first's output. Every list has a bound, and says how
//! long it would have been. What most pushes bring is read without a process ([`read_line`]).

mod changes;
mod line;
mod reach;

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};

use refwarden_model::Oid;

use crate::command::{Git, GitError, ObjectEnv};
use crate::settings::Repository;

pub use changes::{Change, CommitChanges};
pub use line::read_line;
pub use reach::{Counts, counts, gained_within, reachable, unreferenced_without};

/// Blobs above this size have no patch, in bytes.
pub const PATCH_BLOB_MAX: u64 = 4 << 20;

/// Bounds of what is read.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Commits that are listed with their changes; the newest ones.
    pub commits: usize,
    /// Changes that are listed for one commit.
    pub changes_per_commit: usize,
    /// Changes that are listed for all commits.
    pub changes: usize,
    /// Bytes of one file's patch.
    pub patch: usize,
    /// Bytes of all patches.
    pub patches: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            commits: 20_000,
            changes_per_commit: 5_000,
            changes: 100_000,
            patch: 256 << 10,
            patches: 8 << 20,
        }
    }
}

/// A commit that was not reachable before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCommit {
    /// Its id.
    pub oid: Oid,
    /// Its parents, in order.
    pub parents: Vec<Oid>,
}

/// What a push makes reachable.
#[derive(Debug, Default)]
pub struct History {
    /// New commits, parents before children.
    pub commits: Vec<NewCommit>,
    /// How many there are; more than `commits.len()` where the list was cut.
    pub commits_total: u64,
    /// New objects of any type for which `keep` said yes, commits included.
    pub objects: Vec<Oid>,
    /// What commits change. A commit without changes has no entry.
    pub changes: HashMap<Oid, CommitChanges>,
}

/// Reads what `tips` make reachable beyond all refs. `keep` says which objects to list.
pub fn read(
    repository: &Repository,
    objects: &ObjectEnv,
    tips: &[Oid],
    limits: &Limits,
    keep: impl FnMut(Oid) -> bool,
) -> Result<History, GitError> {
    if tips.is_empty() {
        return Ok(History::default());
    }
    // Started first, so that both start up at the same time.
    let differ = changes::start(repository, objects)?;
    let mut history = list(repository, objects, tips, None, limits, keep)?;
    history.changes = changes::read(differ, &history.commits, limits)?;
    Ok(history)
}

/// Reads the commits that `tip` reaches and none of `without` does, but for those of which
/// `skip` says yes, and what they change. No other objects are listed.
pub fn between(
    repository: &Repository,
    objects: &ObjectEnv,
    tip: Oid,
    without: &[Oid],
    limits: &Limits,
    skip: impl Fn(Oid) -> bool,
) -> Result<History, GitError> {
    let mut history = list(repository, objects, &[tip], Some(without), limits, |_| {
        false
    })?;
    let listed = history.commits.len();
    history.commits.retain(|commit| !skip(commit.oid));
    history.commits_total -= (listed - history.commits.len()) as u64;
    if !history.commits.is_empty() {
        let differ = changes::start(repository, objects)?;
        history.changes = changes::read(differ, &history.commits, limits)?;
    }
    Ok(history)
}

/// Lists beyond all refs, objects included, or, with `without`, commits beyond those.
fn list(
    repository: &Repository,
    objects: &ObjectEnv,
    tips: &[Oid],
    without: Option<&[Oid]>,
    limits: &Limits,
    mut keep: impl FnMut(Oid) -> bool,
) -> Result<History, GitError> {
    let git = Git::new(&repository.gitdir, objects, "rev-list").args([
        "--topo-order",
        "--format=parents %P",
        "--stdin",
    ]);
    let git = match without {
        None => git.args(["--objects", "--not", "--all"]),
        Some(_) => git,
    };
    let mut process = git.spawn()?;
    let mut stdin = process.stdin()?;
    let stdout = process.stdout()?;
    let mut history = History::default();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for tip in tips {
                if writeln!(stdin, "{tip}").is_err() {
                    return;
                }
            }
            for other in without.unwrap_or_default() {
                if writeln!(stdin, "^{other}").is_err() {
                    return;
                }
            }
        });
        let mut reader = BufReader::with_capacity(64 * 1024, stdout);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line);
            if read.map_err(|e| process.io(e))? == 0 {
                return Ok(());
            }
            let text = line.trim_ascii_end();
            if let Some(id) = text.strip_prefix(b"commit ") {
                let oid = parse(id).ok_or_else(|| process.unexpected("a commit's id"))?;
                line.clear();
                let read = reader.read_until(b'\n', &mut line);
                read.map_err(|e| process.io(e))?;
                if keep(oid) {
                    history.objects.push(oid);
                }
                history.commits_total += 1;
                if history.commits.len() < limits.commits {
                    // With a word before them: git leaves out a line that would be empty.
                    let ids = line.strip_prefix(b"parents ");
                    let ids = ids.ok_or_else(|| process.unexpected("parents"))?;
                    let ids = ids.split(u8::is_ascii_whitespace);
                    let parents: Option<Vec<Oid>> =
                        ids.filter(|id| !id.is_empty()).map(parse).collect();
                    let parents = parents.ok_or_else(|| process.unexpected("parents"))?;
                    history.commits.push(NewCommit { oid, parents });
                }
                continue;
            }
            // `<oid> SP <path>`: the path is a hint of git's and not used.
            let id = text.split(|&byte| byte == b' ').next().unwrap_or_default();
            let oid = parse(id).ok_or_else(|| process.unexpected("an object's id"))?;
            if keep(oid) {
                history.objects.push(oid);
            }
        }
    })?;
    process.finish()?;
    history.commits.reverse();
    Ok(history)
}

fn parse(id: &[u8]) -> Option<Oid> {
    Oid::parse(id).ok()
}

#[cfg(test)]
mod tests;

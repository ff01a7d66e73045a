//! Questions about what reaches what.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io::{BufRead, BufReader};
use std::time::Instant;

use refwarden_model::{Oid, RefName};

use super::NewCommit;
use crate::command::{Git, GitError, ObjectEnv};
use crate::settings::Repository;

/// Commits between two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Reachable from the new one only.
    pub gained: u64,
    /// Reachable from the old one only; zero for a fast-forward.
    pub lost: u64,
}

/// Counts what is reachable from only one of two commits (or tags of commits).
pub fn counts(
    repository: &Repository,
    objects: &ObjectEnv,
    old: Oid,
    new: Oid,
) -> Result<Counts, GitError> {
    let range = format!("{old}...{new}");
    let git = Git::new(&repository.gitdir, objects, "rev-list");
    let text = git
        .args(["--count", "--left-right", &range, "--"])
        .output(b"")?;
    let text = String::from_utf8_lossy(&text);
    let mut numbers = text.split_ascii_whitespace().map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(lost)), Some(Ok(gained))) => Ok(Counts { gained, lost }),
        _ => Err(unexpected("two counts")),
    }
}

/// How many commits no ref would reach any more if this ref were deleted.
pub fn unreferenced_without(
    repository: &Repository,
    name: &RefName,
    old: Oid,
) -> Result<u64, GitError> {
    use std::os::unix::ffi::OsStrExt;
    // A ref name holds none of the characters that mean something in a pattern.
    let exclude = [b"--exclude=", name.as_bytes()].concat();
    let none = ObjectEnv::repository_only();
    let git = Git::new(&repository.gitdir, &none, "rev-list");
    let git = git.args(["--count", &old.to_string(), "--not"]);
    let git = git.arg(std::ffi::OsStr::from_bytes(&exclude));
    let text = git.args(["--glob=refs/*", "--"]).output(b"")?;
    let text = String::from_utf8_lossy(&text);
    text.trim().parse().map_err(|_| unexpected("a count"))
}

/// Walks from `new` through new commits alone. Where all that lies behind them is `old`, the
/// move is a fast-forward, and the answer is how many commits it gains; otherwise none, and
/// [`counts`] has to be asked. Without `old` it counts the new commits that `new` reaches.
pub fn gained_within(commits: &[NewCommit], old: Option<Oid>, new: Oid) -> Option<u64> {
    let parents: HashMap<Oid, &[Oid]> = commits
        .iter()
        .map(|commit| (commit.oid, commit.parents.as_slice()))
        .collect();
    let mut seen = HashSet::from([new]);
    let mut open = vec![new];
    let mut gained = 0;
    while let Some(oid) = open.pop() {
        match parents.get(&oid) {
            Some(list) => {
                gained += 1;
                open.extend(list.iter().filter(|&&parent| seen.insert(parent)));
            }
            None if old.is_some_and(|old| old != oid) => return None,
            None => {}
        }
    }
    match old {
        Some(old) if !seen.contains(&old) => None,
        _ => Some(gained),
    }
}

/// Which of `wanted` the repository's refs reach already, without the quarantine. Stops at the
/// deadline with what was found till then.
pub fn reachable(
    repository: &Repository,
    wanted: &BTreeSet<Oid>,
    deadline: Instant,
) -> Result<BTreeSet<Oid>, GitError> {
    let mut found = BTreeSet::new();
    if wanted.is_empty() {
        return Ok(found);
    }
    let none = ObjectEnv::repository_only();
    let git = Git::new(&repository.gitdir, &none, "rev-list");
    let mut process = git.args(["--objects", "--all"]).spawn()?;
    drop(process.stdin()?);
    let mut reader = BufReader::with_capacity(64 * 1024, process.stdout()?);
    let mut line = Vec::new();
    while found.len() < wanted.len() && Instant::now() < deadline {
        line.clear();
        let read = reader.read_until(b'\n', &mut line);
        if read.map_err(|e| process.io(e))? == 0 {
            drop(reader);
            process.finish()?;
            break;
        }
        let id = line.trim_ascii_end().split(|&byte| byte == b' ').next();
        let oid = id.and_then(|id| Oid::parse(id).ok());
        let oid = oid.ok_or_else(|| process.unexpected("an object's id"))?;
        if wanted.contains(&oid) {
            found.insert(oid);
        }
    }
    Ok(found)
}

fn unexpected(what: &'static str) -> GitError {
    GitError::Unexpected {
        command: "rev-list".into(),
        what,
    }
}

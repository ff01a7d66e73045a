//! Contents that the repository held already and that the push puts elsewhere: a file that is
//! renamed, copied or brought back. They were not sent and become no more reachable than they
//! were, so that nothing else would look at them; but at another path a secret is news.
//!
//! A merge brings nothing by itself that one of its parents has at the same path.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt::Write as _;

use refwarden_gitio::history::Change;
use refwarden_gitio::{Git, Repository};
use refwarden_model::Oid;

use crate::fault::Fault;
use crate::incoming::Incoming;

/// Where contents are put by new commits, less what merges have from a parent.
///
/// Where a push brings more changes than are listed, what is listed is all that is found: the
/// rest is judged by whether the repository had it reachable.
pub struct Placements<'h> {
    contents: HashSet<Oid>,
    /// By their address: a change is one of a list that is borrowed as long.
    changes: HashSet<usize>,
    /// Those contents that were not sent.
    pub moved: BTreeSet<Oid>,
    listed: std::marker::PhantomData<&'h Change>,
}

impl<'h> Placements<'h> {
    /// Finds them.
    pub fn find(repository: &Repository, incoming: &'h Incoming) -> Result<Self, Fault> {
        let own = own_paths(repository, incoming)?;
        let mut found = Self {
            contents: HashSet::new(),
            changes: HashSet::new(),
            moved: BTreeSet::new(),
            listed: std::marker::PhantomData,
        };
        for commit in &incoming.history.commits {
            let listed = incoming.history.changes.get(&commit.oid);
            for change in listed.into_iter().flat_map(|listed| &listed.changes) {
                let is_file = !change.new_oid.is_zero() && change.new_mode != "160000";
                let is_same = change.new_oid == change.old_oid;
                let is_own = |paths: &HashSet<Vec<u8>>| paths.contains(&change.path);
                let of_parent =
                    commit.parents.len() > 1 && !own.get(&commit.oid).is_some_and(is_own);
                if !is_file || is_same || of_parent {
                    continue;
                }
                found.contents.insert(change.new_oid);
                found.changes.insert(std::ptr::from_ref(change).addr());
                if !incoming.holds(change.new_oid) {
                    found.moved.insert(change.new_oid);
                }
            }
        }
        Ok(found)
    }

    /// Whether a new commit puts this content somewhere.
    pub fn puts(&self, content: Oid) -> bool {
        self.contents.contains(&content)
    }

    /// Whether this change, of the list that was read, puts a content somewhere.
    pub fn has(&self, change: &Change) -> bool {
        self.changes.contains(&std::ptr::from_ref(change).addr())
    }
}

/// By merge: paths at which it differs from each of its parents (git-diff-tree(1), `-c`).
fn own_paths(
    repository: &Repository,
    incoming: &Incoming,
) -> Result<HashMap<Oid, HashSet<Vec<u8>>>, Fault> {
    let commits = &incoming.history.commits;
    let merges: Vec<Oid> = commits
        .iter()
        .filter(|commit| commit.parents.len() > 1)
        .map(|commit| commit.oid)
        .collect();
    let mut own: HashMap<Oid, HashSet<Vec<u8>>> = HashMap::new();
    if merges.is_empty() {
        return Ok(own);
    }
    let mut asked = String::new();
    for merge in &merges {
        let _ = writeln!(asked, "{merge}");
    }
    let git = Git::new(&repository.gitdir, &incoming.objects, "diff-tree");
    let git = git.args(["--stdin", "-r", "-c", "-z", "--no-renames"]);
    let said = git.output(asked.as_bytes())?;
    // The name of a merge; then for each path modes and names of objects, which begin with a
    // colon, and the path, which may be anything.
    let unread = || Fault::unscanned("what a merge changes cannot be read");
    let mut parts = said
        .split(|&byte| byte == 0)
        .filter(|part| !part.is_empty());
    let mut current = None;
    while let Some(part) = parts.next() {
        if part.first() == Some(&b':') {
            let (merge, path) = current.zip(parts.next()).ok_or_else(unread)?;
            own.entry(merge).or_default().insert(path.to_vec());
        } else {
            current = Some(Oid::parse(part).map_err(|_| unread())?);
        }
    }
    Ok(own)
}

//! Where lines with placeholders stand in the view's history: one walk for all of a push, newest
//! first, and only as far as it is needed.
//!
//! It ends after [`COMMITS_MAX`] commits or [`BYTES_MAX`] bytes of files. Then what stands in the
//! newest branches is looked at, as many bytes again, however old it is. What stands only elsewhere
//! is not found, and the push is told so. All is counted and nothing timed, so that the same push
//! has the same answer.
//!
//! What it deliberately does not do: it knows nothing of the original. Names, links, and files
//! below a name that is masked are not looked at.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::hash::{BuildHasher as _, RandomState};
use std::rc::Rc;

use refwarden_gitio::objects::Kind;
use refwarden_gitio::{Git, ObjectEnv};
use refwarden_model::Oid;

use super::tree::is_file;
use super::{Problem, UnmaskError, Walk};
use crate::placeholder::{PREFIX, form};

/// Commits that are looked at in one push.
pub(super) const COMMITS_MAX: usize = 20_000;

/// Bytes of files that are looked at in one push.
const BYTES_MAX: u64 = 1 << 30;

/// Commits that are compared with their parents at once.
const STEP: usize = 500;

/// Branches whose files are looked at where the history was too long, the newest of them.
const TIPS_MAX: usize = 8;

/// Files that are remembered for one line: a line says what its secret is, wherever it stands.
const SITES_MAX: usize = 4;

/// A file of the view in which a placeholder stands.
pub(super) struct Site {
    pub(super) commit: Oid,
    pub(super) path: Vec<u8>,
    pub(super) blob: Oid,
}

/// What was walked so far.
#[derive(Default)]
pub(super) struct Stood {
    /// Commits that are still to be looked at, the next one last; none before the walk began.
    open: Option<Vec<Oid>>,
    seen: HashSet<Oid>,
    bytes: u64,
    /// By the hash of a line.
    sites: HashMap<u64, Vec<Rc<Site>>>,
    hasher: RandomState,
    /// Whether the walk ended before the history did.
    pub(super) is_cut: bool,
    /// Whether branches were looked at after that.
    has_tips: bool,
}

impl Stood {
    /// Files in which a line stands, of those that were looked at.
    pub(super) fn sites(&self, line: &[u8]) -> Vec<Rc<Site>> {
        let known = self.sites.get(&self.hasher.hash_one(line));
        known.cloned().unwrap_or_default()
    }

    /// Notes the lines of a file.
    fn note(&mut self, site: Site, bytes: &[u8]) {
        let site = Rc::new(site);
        for line in bytes.split(|byte| *byte == b'\n') {
            if form(line).is_none() {
                continue;
            }
            let sites = self.sites.entry(self.hasher.hash_one(line)).or_default();
            if sites.len() < SITES_MAX && !sites.iter().any(|it| Rc::ptr_eq(it, &site)) {
                sites.push(Rc::clone(&site));
            }
        }
    }
}

impl Walk<'_, '_> {
    /// Looks at some more of the history; false where there is no more to be looked at.
    pub(super) fn look_further(&mut self) -> Result<bool, UnmaskError> {
        let mut open = match self.moves.stood.open.take() {
            Some(open) => open,
            None => self.newest()?,
        };
        let next = open.split_off(open.len().saturating_sub(STEP));
        self.moves.stood.open = Some(open);
        if !next.is_empty() {
            let sites = self.changed_by(next.into_iter().rev())?;
            if !self.note_all(sites)? {
                self.moves.stood.is_cut = true;
                self.moves.stood.open = Some(Vec::new());
            }
            return Ok(true);
        }
        let stood = &mut self.moves.stood;
        if !stood.is_cut || stood.has_tips {
            return Ok(false);
        }
        (stood.has_tips, stood.bytes) = (true, 0);
        let sites = self.of_branches()?;
        self.note_all(sites)?;
        Ok(true)
    }

    /// Looks at files that were not looked at; false where these are more than may be.
    fn note_all(&mut self, sites: Vec<Site>) -> Result<bool, UnmaskError> {
        for site in sites {
            if !self.moves.stood.seen.insert(site.blob) {
                continue;
            }
            // What is larger is masked whole, and has no lines.
            let Some((Kind::Blob, bytes)) = self.masked.load(site.blob)? else {
                continue;
            };
            let stood = &mut self.moves.stood;
            stood.bytes = stood.bytes.saturating_add(bytes.len() as u64);
            if stood.bytes > BYTES_MAX {
                return Ok(false);
            }
            if memchr::memmem::find(&bytes, PREFIX.as_bytes()).is_some() {
                stood.note(site, &bytes);
            }
        }
        Ok(true)
    }

    /// The files of the newest branches.
    fn of_branches(&self) -> Result<Vec<Site>, UnmaskError> {
        let env = ObjectEnv::repository_only();
        let gitdir = &self.view.shadow.gitdir;
        let most = format!("--count={TIPS_MAX}");
        let git = Git::new(gitdir, &env, "for-each-ref");
        let git = git.args(["--sort=-committerdate", "--format=%(objectname)", &most]);
        let tips = git.arg("refs/heads").output(b"")?;
        let mut found = Vec::new();
        let tips = tips.split(|byte| *byte == b'\n');
        for commit in tips.filter_map(|line| Oid::parse(line).ok()) {
            let git = Git::new(gitdir, &env, "ls-tree").args(["-r", "-z"]);
            let files = git.arg(commit.to_string()).output(b"")?;
            // Mode, type and name; then a tab and the path.
            for entry in files.split(|byte| *byte == 0) {
                let Some(tab) = memchr::memchr(b'\t', entry) else {
                    continue;
                };
                let (about, path) = entry.split_at(tab);
                let path = path.get(1..).unwrap_or_default();
                let mut words = about.split(|byte| *byte == b' ');
                let mode = words.next().unwrap_or_default();
                let blob = words.nth(1).and_then(|word| Oid::parse(word).ok());
                found.extend(site(commit, mode, blob, path));
            }
        }
        Ok(found)
    }

    /// The commits to look at, the newest last.
    fn newest(&mut self) -> Result<Vec<Oid>, UnmaskError> {
        let env = ObjectEnv::repository_only();
        let git = Git::new(&self.view.shadow.gitdir, &env, "rev-list");
        let most = format!("--max-count={}", COMMITS_MAX + 1);
        let listed = git.args(["--all", &most]).output(b"")?;
        let lines = listed.split(|byte| *byte == b'\n');
        let mut commits: Vec<Oid> = lines.filter_map(|line| Oid::parse(line).ok()).collect();
        self.moves.stood.is_cut |= commits.len() > COMMITS_MAX;
        commits.truncate(COMMITS_MAX);
        commits.reverse();
        Ok(commits)
    }

    /// Files that commits of the view have otherwise than a parent (git-diff-tree(1), `--stdin`
    /// and `-z`: the name of a commit, then for each file what changed, and its path).
    fn changed_by(&self, commits: impl Iterator<Item = Oid>) -> Result<Vec<Site>, UnmaskError> {
        let mut asked = String::new();
        for commit in commits {
            let _ = writeln!(asked, "{commit}");
        }
        let env = ObjectEnv::repository_only();
        let git = Git::new(&self.view.shadow.gitdir, &env, "diff-tree");
        let git = git.args(["--stdin", "--root", "-r", "-m", "-z", "--raw"]);
        let git = git.args(["--no-renames", "--no-abbrev"]);
        let said = git.output(asked.as_bytes())?;
        let mut parts = said
            .split(|byte| *byte == 0)
            .filter(|part| !part.is_empty());
        let mut found = Vec::new();
        let mut current = None;
        while let Some(part) = parts.next() {
            let Some(change) = part.strip_prefix(b":") else {
                current = Oid::parse(part).ok();
                continue;
            };
            let Some((commit, path)) = current.zip(parts.next()) else {
                continue;
            };
            // Modes before and after, names before and after, status.
            let mut words = change.split(|byte| *byte == b' ').skip(1);
            let mode = words.next().unwrap_or_default();
            let blob = words.nth(1).and_then(|word| Oid::parse(word).ok());
            found.extend(site(commit, mode, blob, path));
        }
        Ok(found)
    }

    /// What to say of a line that does not stand in what was looked at.
    pub(super) fn not_found(&self, otherwise: Problem) -> Problem {
        if self.moves.stood.is_cut && otherwise != Problem::Ambiguous {
            return Problem::TooFar;
        }
        otherwise
    }
}

/// A file with lines that stands under its own name.
fn site(commit: Oid, mode: &[u8], blob: Option<Oid>, path: &[u8]) -> Option<Site> {
    let blob = blob.filter(|blob| !blob.is_zero() && is_file(mode))?;
    let path = path.to_vec();
    form(&path).is_none().then_some(Site { commit, path, blob })
}

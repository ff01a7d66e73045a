//! Which of a push's commits belong to which of its refs.

use std::collections::{HashMap, HashSet};

use refwarden_model::Oid;
use refwarden_model::facts::{ChangeFacts, CommitFacts, PushFacts, RefFacts, TagFacts, UpdateKind};

/// Tags of tags that are followed; git itself makes one by an explicit wish only.
const MAX_TAGS: usize = 100;

/// The listed commits of a push, those that the repository held already included.
pub struct History<'a> {
    facts: &'a PushFacts,
    commits: Vec<&'a CommitFacts>,
    places: HashMap<Oid, usize>,
    parents: Vec<Vec<usize>>,
    tags: HashMap<Oid, &'a TagFacts>,
}

/// What one ref update brings.
pub struct View<'a> {
    /// The commits that the ref gains and that are listed.
    pub commits: Vec<&'a CommitFacts>,
    /// Their changes. A merge's change that another of the commits made is listed once.
    pub changes: Vec<(&'a CommitFacts, &'a ChangeFacts)>,
    /// Why this is not all that the ref gains.
    pub missing: Vec<String>,
    /// Commits that the ref gains, listed or not.
    pub gained: u64,
    /// The tag object that it names.
    pub tag: Option<&'a TagFacts>,
    oids: HashSet<Oid>,
}

impl View<'_> {
    /// Whether a listed commit of the push belongs to this update.
    pub fn holds(&self, commit: Oid) -> bool {
        self.oids.contains(&commit)
    }
}

impl<'a> History<'a> {
    pub fn new(facts: &'a PushFacts) -> Self {
        let commits: Vec<_> = facts.commits.iter().chain(&facts.known_commits).collect();
        let numbered = commits.iter().enumerate();
        let places: HashMap<Oid, usize> = numbered.map(|(place, c)| (c.oid, place)).collect();
        let parents = |commit: &&CommitFacts| {
            let parents = commit.parents.iter();
            parents.filter_map(|oid| places.get(oid).copied()).collect()
        };
        Self {
            facts,
            parents: commits.iter().map(parents).collect(),
            tags: facts.tags.iter().map(|tag| (tag.oid, tag)).collect(),
            commits,
            places,
        }
    }

    /// What an update brings.
    pub fn view(&self, update: &RefFacts) -> View<'a> {
        let mut view = View {
            commits: Vec::new(),
            changes: Vec::new(),
            missing: Vec::new(),
            gained: update.gained,
            tag: self.tags.get(&update.new).copied(),
            oids: HashSet::new(),
        };
        if matches!(update.kind, UpdateKind::Delete | UpdateKind::NoOp) {
            view.gained = 0;
            return view;
        }
        view.commits = match self.tip(update) {
            Ok(tip) => {
                let held = self.walk(update.actual_old, &HashSet::new());
                let mut gained: Vec<usize> = self.walk(tip, &held).into_iter().collect();
                gained.sort_unstable();
                let commit = |place: usize| self.commits.get(place).copied();
                gained.into_iter().filter_map(commit).collect()
            }
            Err(why) => {
                view.missing.extend(why);
                self.facts.commits.iter().collect()
            }
        };
        view.oids = view.commits.iter().map(|commit| commit.oid).collect();
        let listed = count(view.commits.len());
        view.gained = view.gained.max(listed);
        if view.gained > listed {
            let hidden = view.gained - listed;
            view.missing.push(format!(
                "{hidden} of the commits that {} gains are not listed, which counts as a breach",
                update.ref_name
            ));
        }
        view.list_changes();
        view
    }

    /// The commit behind an update's new value. The error says that there is none, and why
    /// anything may stand behind it then; nothing where all that the push brings is listed.
    fn tip(&self, update: &RefFacts) -> Result<Oid, Option<String>> {
        let mut oid = update.new;
        let mut kind = update.new_type.as_deref().unwrap_or("commit");
        for _ in 0..MAX_TAGS {
            match kind {
                "commit" => return Ok(oid),
                "tag" => match self.tags.get(&oid) {
                    Some(tag) => (oid, kind) = (tag.target, tag.target_type.as_str()),
                    // What it names is not told; it brings no commit that is not listed.
                    None => return Err(None),
                },
                kind => {
                    return Err(Some(format!(
                        "{} names a {kind}, whose content is not listed, which counts as a breach",
                        update.ref_name
                    )));
                }
            }
        }
        Err(Some(format!(
            "{} names too many tags of tags",
            update.ref_name
        )))
    }

    fn walk(&self, from: Oid, held: &HashSet<usize>) -> HashSet<usize> {
        let mut seen = HashSet::new();
        let mut open: Vec<usize> = self.places.get(&from).copied().into_iter().collect();
        while let Some(place) = open.pop() {
            if !held.contains(&place) && seen.insert(place) {
                open.extend(self.parents.get(place).into_iter().flatten());
            }
        }
        seen
    }
}

impl View<'_> {
    fn list_changes(&mut self) {
        let is_merge = |commit: &CommitFacts| commit.parents.len() > 1;
        let mut made = HashSet::new();
        for commit in self.commits.iter().filter(|commit| !is_merge(commit)) {
            let changes = commit.changes.iter();
            made.extend(changes.map(|change| (&change.path, change.new_oid)));
        }
        for commit in &self.commits {
            let again = |change: &&ChangeFacts| {
                is_merge(commit) && made.contains(&(&change.path, change.new_oid))
            };
            let changes = commit.changes.iter().filter(|change| !again(change));
            self.changes.extend(changes.map(|change| (*commit, change)));
            let listed = count(commit.changes.len());
            if commit.changes_total > listed {
                let hidden = commit.changes_total - listed;
                self.missing.push(format!(
                    "{hidden} changes of commit {} are not listed, which counts as a breach",
                    commit.oid.short()
                ));
            }
        }
    }
}

/// A length as the facts count.
pub fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

//! Which of a push's commits belong to which of its refs.

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use refwarden_model::Oid;
use refwarden_model::facts::{ChangeFacts, CommitFacts, PushFacts, RefFacts, TagFacts, UpdateKind};

/// Tags of tags that are followed; git itself makes one by an explicit wish only.
const MAX_TAGS: usize = 100;

/// The listed commits of a push, those that the repository held already included.
pub struct History<'a> {
    facts: &'a PushFacts,
    commits: Vec<&'a CommitFacts>,
    places: Rc<HashMap<Oid, usize>>,
    parents: Vec<Vec<usize>>,
    tags: HashMap<Oid, &'a TagFacts>,
}

/// A commit and one of its changes.
pub type Changed<'a> = (&'a CommitFacts, &'a ChangeFacts);

/// What one ref update brings.
pub struct View<'a> {
    /// The commits that the ref gains and that are listed.
    pub commits: Vec<&'a CommitFacts>,
    /// Why this is not all that the ref gains.
    pub missing: Vec<String>,
    /// Commits that the ref gains, listed or not.
    pub gained: u64,
    /// The tag object that it names.
    pub tag: Option<&'a TagFacts>,
    /// Listed when a rule first asks.
    changes: OnceCell<Vec<Changed<'a>>>,
    oids: OnceCell<HashSet<Oid>>,
    listed: Rc<HashMap<Oid, usize>>,
}

impl<'a> View<'a> {
    /// Whether a commit is listed as another update's and not as this one's.
    pub fn is_elsewhere(&self, commit: Oid) -> bool {
        let own = || self.commits.iter().map(|commit| commit.oid).collect();
        self.listed.contains_key(&commit) && !self.oids.get_or_init(own).contains(&commit)
    }

    /// The changes of its commits. A merge's change that another of the commits made is listed
    /// once.
    pub fn changes(&self) -> &[Changed<'a>] {
        self.changes.get_or_init(|| {
            let is_merge = |commit: &CommitFacts| commit.parents.len() > 1;
            let mut made = HashSet::new();
            if self.commits.iter().any(|commit| is_merge(commit)) {
                for commit in self.commits.iter().filter(|commit| !is_merge(commit)) {
                    let changes = commit.changes.iter();
                    made.extend(changes.map(|change| (&change.path, change.new_oid)));
                }
            }
            let mut listed = Vec::new();
            for commit in &self.commits {
                let again = |change: &&ChangeFacts| {
                    is_merge(commit) && made.contains(&(&change.path, change.new_oid))
                };
                let changes = commit.changes.iter().filter(|change| !again(change));
                listed.extend(changes.map(|change| (*commit, change)));
            }
            listed
        })
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
            places: Rc::new(places),
        }
    }

    /// What an update brings.
    pub fn view(&self, update: &RefFacts) -> View<'a> {
        let mut view = View {
            commits: Vec::new(),
            missing: Vec::new(),
            gained: update.gained,
            tag: self.tags.get(&update.new).copied(),
            changes: OnceCell::new(),
            oids: OnceCell::new(),
            listed: Rc::clone(&self.places),
        };
        if matches!(update.kind, UpdateKind::Delete | UpdateKind::NoOp) {
            view.gained = 0;
            return view;
        }
        view.commits = match self.tip(update) {
            Ok(tip) => {
                let mut seen = vec![false; self.commits.len()];
                self.walk(update.actual_old, &mut seen);
                let mut gained = self.walk(tip, &mut seen);
                gained.sort_unstable();
                let commit = |place: usize| self.commits.get(place).copied();
                gained.into_iter().filter_map(commit).collect()
            }
            Err(why) => {
                view.missing.extend(why);
                self.facts.commits.iter().collect()
            }
        };
        let listed = count(view.commits.len());
        view.gained = view.gained.max(listed);
        if view.gained > listed {
            let hidden = view.gained - listed;
            view.missing.push(format!(
                "{hidden} of the commits that {} gains are not listed, which counts as a breach",
                update.ref_name
            ));
        }
        for commit in &view.commits {
            let listed = count(commit.changes.len());
            if commit.changes_total > listed {
                let hidden = commit.changes_total - listed;
                view.missing.push(format!(
                    "{hidden} changes of commit {} are not listed, which counts as a breach",
                    commit.oid.short()
                ));
            }
        }
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

    /// The commits that one reaches and that were not seen before, which marks them.
    fn walk(&self, from: Oid, seen: &mut [bool]) -> Vec<usize> {
        let mut open: Vec<usize> = self.places.get(&from).copied().into_iter().collect();
        let mut reached = Vec::new();
        while let Some(place) = open.pop() {
            if let Some(seen) = seen.get_mut(place).filter(|seen| !**seen) {
                *seen = true;
                reached.push(place);
                open.extend(self.parents.get(place).into_iter().flatten());
            }
        }
        reached
    }
}

/// A length as the facts count.
pub fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

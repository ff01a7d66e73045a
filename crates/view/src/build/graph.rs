//! What is known of all objects that matter: what they are, and what a secret touches.

use std::collections::{BTreeSet, HashSet};

use refwarden_gitio::objects::{Kind, Packs, Place};
use refwarden_model::{ObjectFormat, Oid};

use super::reader::Link;
use super::rewrite::Plan;
use super::state::{State, Touched};
use super::universe::Names;
use crate::mask::{Dependence, mentions as mentions_in};

/// What is known of an object.
pub(super) struct Object {
    pub(super) oid: Oid,
    pub(super) kind: Kind,
    /// For blobs and trees: how what it becomes depends on its path.
    pub(super) touched: Dependence,
    /// For commits and tags: all of it. For large blobs that are touched: what stands for it.
    pub(super) bytes: Vec<u8>,
    /// Whether it was there when the refs were last looked at: a touched tree or blob then.
    pub(super) old: bool,
    /// Whether it stands in trees of notes alone: the view has it only where one there has.
    pub(super) noted: bool,
    /// Where it can be copied from as it stands.
    pub(super) place: Option<Place>,
}

impl Object {
    pub(super) fn new(oid: Oid, kind: Kind) -> Self {
        Self {
            oid,
            kind,
            touched: Dependence::Clean,
            bytes: Vec::new(),
            old: false,
            noted: false,
            place: None,
        }
    }
}

/// All objects that the allowed refs reach; where something is known of before, what is new since
/// then, and what is touched of the rest.
pub(super) struct Graph {
    pub(super) format: ObjectFormat,
    /// Sorted by name.
    pub(super) objects: Vec<Object>,
    names: Names,
    /// What only refs that the view does not have reach, sorted.
    hidden: Vec<Oid>,
    /// What is known of before.
    pub(super) known: State,
    /// Known commits, tags and others that what is new goes back to.
    pub(super) boundary: Vec<Oid>,
    /// Names of files for which path conditions hold in some folders only, one of each kind.
    pub(super) examples: Vec<Vec<u8>>,
    /// Commits whose trees are notes.
    pub(super) notes: HashSet<Oid>,
    /// Commits of other repositories.
    pub(super) links: BTreeSet<Link>,
    /// The original's packs, where they were read.
    pub(super) packs: Option<Packs>,
}

impl Graph {
    /// `objects` and `hidden` in order.
    pub(super) fn new(
        format: ObjectFormat,
        objects: Vec<Object>,
        hidden: Vec<Oid>,
        known: State,
        packs: Option<Packs>,
    ) -> Self {
        let names = Names::new(objects.iter().map(|object| object.oid).collect());
        Self {
            format,
            objects,
            names,
            hidden,
            known,
            boundary: Vec::new(),
            examples: Vec::new(),
            notes: HashSet::new(),
            links: BTreeSet::new(),
            packs,
        }
    }

    pub(super) fn index(&self, oid: Oid) -> Option<usize> {
        self.names.find(oid).map(|index| index as usize)
    }

    pub(super) fn object(&self, oid: Oid) -> Option<&Object> {
        self.objects.get(self.index(oid)?)
    }

    /// The objects whose name begins with these digits.
    pub(super) fn beginning(&self, digits: &str) -> impl Iterator<Item = &Object> {
        let lowest = self.lowest(digits);
        let from = lowest.map(|lowest| self.objects.partition_point(|it| it.oid < lowest));
        let rest = from.and_then(|from| self.objects.get(from..));
        let rest = rest.unwrap_or_default().iter();
        rest.take_while(move |it| it.oid.to_string().starts_with(digits))
    }

    /// What the next build can begin with.
    pub(super) fn into_state(self, tips: Vec<Oid>, note_tips: Vec<Oid>, plan: &Plan) -> State {
        let mut noted = self.known.noted;
        noted.tips = note_tips;
        noted.commits.extend(self.notes);
        let new = self.objects.iter().filter(|it| it.noted);
        noted.objects.extend(new.map(|it| it.oid));
        noted.left.extend(&plan.notes_left);
        noted.kept.extend(&plan.notes_on);
        noted.sort();
        let mut mentions = self.known.mentions;
        // What was looked at now stands before what was known of it.
        let mut touched = Vec::new();
        let known = self.known.touched;
        for object in &self.objects {
            match object.kind {
                Kind::Commit | Kind::Tag => {
                    for span in mentions_in(&object.bytes, self.format) {
                        let digits = object.bytes.get(span).unwrap_or_default();
                        mentions.push(String::from_utf8_lossy(digits).to_ascii_lowercase());
                    }
                }
                Kind::Tree | Kind::Blob if object.touched != Dependence::Clean => {
                    let before = known.binary_search_by_key(&object.oid, |it| it.oid);
                    let before = before.ok().and_then(|at| known.get(at));
                    let was_changed = before.is_some_and(|it| it.changed);
                    touched.push(Touched {
                        oid: object.oid,
                        kind: object.kind,
                        dependence: object.touched,
                        changed: was_changed || plan.changed.contains(&object.oid),
                    });
                }
                Kind::Tree | Kind::Blob => {}
            }
        }
        mentions.sort_unstable();
        mentions.dedup();
        touched.extend(known);
        touched.sort_by_key(|it| it.oid);
        touched.dedup_by_key(|it| it.oid);
        State {
            tips,
            map: plan.map.clone(),
            touched,
            mentions,
            noted,
            links: self.links,
            examples: self.examples,
        }
    }

    /// Whether an object that the view does not have has a name that begins with these digits.
    pub(super) fn is_hidden(&self, digits: &str) -> bool {
        let lowest = self.lowest(digits);
        let from = lowest.map(|lowest| self.hidden.partition_point(|oid| *oid < lowest));
        let first = from.and_then(|from| self.hidden.get(from));
        first.is_some_and(|oid| oid.to_string().starts_with(digits))
    }

    /// The lowest name that begins with these digits.
    pub(super) fn lowest(&self, digits: &str) -> Option<Oid> {
        let whole = self.format.raw_len() * 2;
        Oid::parse(format!("{digits:0<whole$}").as_bytes()).ok()
    }
}

/// Carries what is known of blobs and names up to all trees above. Both lists by number.
pub(super) fn touch(touched: &mut [Dependence], children: &[Vec<u32>]) {
    let mut done = vec![false; touched.len()];
    for root in 0..touched.len() {
        let mut open = vec![(root, 0)];
        while let Some((at, next)) = open.pop() {
            if done.get(at) == Some(&true) {
                continue;
            }
            let below = children.get(at).map(Vec::as_slice).unwrap_or_default();
            if let Some(child) = below.get(next) {
                let child = *child as usize;
                open.push((at, next + 1));
                if done.get(child) == Some(&false) {
                    open.push((child, 0));
                }
                continue;
            }
            let below = below.iter().filter_map(|it| touched.get(*it as usize));
            let most = below.map(|it| rank(*it)).max().unwrap_or(0);
            if let Some(own) = touched.get_mut(at)
                && most > rank(*own)
            {
                *own = unrank(most);
            }
            if let Some(done) = done.get_mut(at) {
                *done = true;
            }
        }
    }
}

fn rank(touched: Dependence) -> u8 {
    match touched {
        Dependence::Clean => 0,
        Dependence::Anywhere => 1,
        Dependence::ByPath | Dependence::OnlyByPath => 2,
    }
}

fn unrank(rank: u8) -> Dependence {
    match rank {
        0 => Dependence::Clean,
        1 => Dependence::Anywhere,
        _ => Dependence::ByPath,
    }
}

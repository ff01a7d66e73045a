//! Rewrites what a secret touches: trees from the roots of commits down, then commits and tags.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, HashSet};

use refwarden_gitio::objects::{self, Kind, Place, ReadObjects};
use refwarden_gitio::{ObjectEnv, Repository};
use refwarden_model::Oid;

use super::graph::{Graph, Object};
use super::notes::{self, Notes};
use super::pile::Pile;
use super::reader::Blobs;
use super::{BuildError, PLACES_MAX, WHOLE_MAX, order};
use crate::mask::{Dependence, Entry, Mask, Names, links, target};

/// What a shadow is made of.
pub(super) struct Plan {
    /// Rewritten objects.
    pub(super) pile: Pile,
    /// Objects that are as in the original, sorted, and where they can be copied from.
    pub(super) same: Vec<(Oid, Option<Place>)>,
    /// Every commit and tag, sorted, with its name in the view.
    pub(super) map: Vec<(Oid, Oid)>,
    /// Trees and blobs without a path above them, which only a ref or a tag names.
    roots: HashMap<Oid, Oid>,
    /// Trees and blobs that have another name at one path at least, of those that were looked at
    /// now.
    pub(super) changed: HashSet<Oid>,
    /// What notes are on that the view does not have.
    pub(super) notes_left: HashSet<Oid>,
    /// Trees and blobs of the view that notes are on.
    pub(super) notes_on: HashSet<Oid>,
    /// Of what was left out: what was not looked for among all that was there before.
    pub(super) notes_unsure: Vec<Oid>,
}

impl Plan {
    /// The view's name for what a ref names.
    pub(super) fn tip(&self, oid: Oid) -> Oid {
        if let Ok(at) = self.map.binary_search_by_key(&oid, |(from, _)| *from) {
            return self.map.get(at).map_or(oid, |(_, to)| *to);
        }
        self.roots.get(&oid).copied().unwrap_or(oid)
    }
}

/// Rewrites all that has to be, each object once.
pub(super) fn rewrite(
    original: &Repository,
    mask: &Mask<'_>,
    graph: &Graph,
    tips: &[Oid],
) -> Result<Plan, BuildError> {
    let env = ObjectEnv::repository_only();
    let names = RefCell::default();
    let mut trees = Trees {
        original,
        mask,
        graph,
        reader: objects::open(original, &env, false),
        pile: Pile::new(graph.format)?,
        anywhere: HashMap::new(),
        by_path: HashMap::new(),
        kept: Vec::new(),
        changed: HashSet::new(),
        conditions: HashMap::new(),
        names: &names,
    };
    let mut reader = notes::Reader::new(objects::open(original, &env, false), graph.format);
    let groups = order::groups(graph, &notes::named(&mut reader, graph)?);
    // Whatever a commit, a tag or a ref may name directly stands at the root. What came last
    // comes first: older versions become differences to newer ones.
    let mut roots = HashMap::new();
    let objects = groups.iter().rev().flatten();
    let tagged = objects.filter_map(|at| {
        let object = graph.objects.get(*at)?;
        match object.kind {
            Kind::Commit if graph.notes.contains(&object.oid) => None,
            Kind::Commit => links(&object.bytes).tree,
            Kind::Tag => target(&object.bytes),
            Kind::Tree | Kind::Blob => None,
        }
    });
    for oid in tagged {
        trees.root(oid, &mut roots)?;
    }
    for oid in tips {
        trees.root(*oid, &mut roots)?;
    }
    let noted = Noted::new(Notes::new(reader));
    let (renamed, noted) = commits(&mut trees, groups, &roots, noted)?;
    let Trees {
        mut pile,
        kept,
        changed,
        ..
    } = trees;
    pile.close()?;
    let new = graph.objects.iter();
    let new = new.filter(|object| !object.old && !object.noted);
    let clean = new.filter(|object| match object.kind {
        Kind::Tree | Kind::Blob => object.touched == Dependence::Clean,
        Kind::Commit | Kind::Tag => renamed.get(&object.oid) == Some(&object.oid),
    });
    let clean = clean.map(|object| (object.oid, object.place));
    let place = |oid: Oid| graph.object(oid).and_then(|object| object.place);
    let kept = kept.into_iter().map(|oid| (oid, place(oid)));
    let mut same: Vec<(Oid, Option<Place>)> = clean.chain(kept).collect();
    same.sort_unstable();
    same.dedup_by_key(|(oid, _)| *oid);
    let mut map: Vec<(Oid, Oid)> = renamed.into_iter().collect();
    map.extend(&graph.known.map);
    map.sort_unstable();
    map.dedup();
    Ok(Plan {
        pile,
        same,
        map,
        roots,
        changed,
        notes_left: noted.notes.left,
        notes_on: noted.on,
        notes_unsure: noted.unsure,
    })
}

/// Rewrites trees and what stands in them.
struct Trees<'a, 'r> {
    original: &'a Repository,
    mask: &'a Mask<'r>,
    graph: &'a Graph,
    reader: Box<dyn ReadObjects + 'a>,
    pile: Pile,
    anywhere: HashMap<Oid, Oid>,
    by_path: HashMap<(Oid, Vec<u8>), Oid>,
    /// Objects that might have changed and did not.
    kept: Vec<Oid>,
    /// Trees and blobs that have another name at one path at least.
    changed: HashSet<Oid>,
    /// By path: whether a rule with a path condition is meant for it.
    conditions: HashMap<Vec<u8>, bool>,
    /// Names of entries, and what stands for those that hold a secret.
    names: &'a RefCell<HashMap<Vec<u8>, Option<Vec<u8>>>>,
}

impl Trees<'_, '_> {
    fn root(&mut self, oid: Oid, roots: &mut HashMap<Oid, Oid>) -> Result<(), BuildError> {
        let kind = self.graph.object(oid).map(|object| object.kind);
        let known = &self.graph.known;
        match kind {
            None if known.is_empty() => Err(BuildError::Unlisted(oid)),
            None if known.renamed(oid).is_some() => Ok(()),
            // None: a tree or blob that was there before.
            None | Some(Kind::Tree | Kind::Blob) if !roots.contains_key(&oid) => {
                let new = self.renamed(oid, &[])?;
                roots.insert(oid, new);
                Ok(())
            }
            None | Some(_) => Ok(()),
        }
    }

    /// The view's name for a tree or blob at a path. git reads no tree deeper than
    /// `core.maxTreeDepth`, so the recursion ends.
    fn renamed(&mut self, oid: Oid, path: &[u8]) -> Result<Oid, BuildError> {
        let graph = self.graph;
        let before;
        let object = match graph.object(oid) {
            Some(object) => object,
            None if graph.known.is_empty() => return Err(BuildError::Unlisted(oid)),
            // Below a tree that was there before.
            None => {
                let Some(known) = graph.known.touched(oid) else {
                    return Ok(oid);
                };
                before = Object {
                    touched: known.dependence,
                    old: true,
                    ..Object::new(oid, known.kind)
                };
                &before
            }
        };
        let mut touched = object.touched;
        let by_path = matches!(touched, Dependence::ByPath | Dependence::OnlyByPath);
        if by_path && object.kind == Kind::Blob && !self.has_conditions(path) {
            touched = match touched {
                Dependence::OnlyByPath => Dependence::Clean,
                Dependence::ByPath => Dependence::Anywhere,
                other => other,
            };
        }
        let known = match touched {
            Dependence::Clean => {
                let goes_along = object.touched == Dependence::Clean && !object.noted;
                if !goes_along && self.kept.last() != Some(&oid) {
                    self.kept.push(oid);
                }
                return Ok(oid);
            }
            Dependence::Anywhere => self.anywhere.get(&oid),
            Dependence::ByPath | Dependence::OnlyByPath => self.by_path.get(&(oid, path.to_vec())),
        };
        if let Some(new) = known {
            return Ok(*new);
        }
        if self.anywhere.len() + self.by_path.len() >= PLACES_MAX {
            return Err(BuildError::TooManyPlaces);
        }
        let new = self.rewritten(object, path)?;
        if new == oid {
            self.kept.push(oid);
        }
        if new != oid {
            self.changed.insert(oid);
        }
        if touched == Dependence::Anywhere {
            self.anywhere.insert(oid, new);
        } else {
            self.by_path.insert((oid, path.to_vec()), new);
        }
        Ok(new)
    }

    /// Asked once for each path.
    fn has_conditions(&mut self, path: &[u8]) -> bool {
        if let Some(known) = self.conditions.get(path) {
            return *known;
        }
        let has = self.mask.has_conditions_for(path);
        self.conditions.insert(path.to_vec(), has);
        has
    }

    fn rewritten(&mut self, object: &Object, path: &[u8]) -> Result<Oid, BuildError> {
        if object.kind == Kind::Blob && !object.bytes.is_empty() {
            return Ok(self.pile.add(Kind::Blob, &object.bytes, None)?);
        }
        let (_, bytes) = self.reader.load(object.oid, WHOLE_MAX, &mut |_, _| {})?;
        let Some(bytes) = bytes else {
            return self.large(object);
        };
        let mask = self.mask;
        let names = self.names;
        let masked = if object.kind == Kind::Tree {
            let name = |name: &[u8]| known_name(mask, names, name);
            Mask::tree_with(&bytes, self.graph.format, name, |entry: &Entry<'_>| {
                if entry.is_link() {
                    return Ok::<Oid, BuildError>(entry.oid);
                }
                let mut below = path.to_vec();
                if !below.is_empty() {
                    below.push(b'/');
                }
                below.extend_from_slice(entry.name);
                self.renamed(entry.oid, &below)
            })?
        } else {
            mask.blob(&bytes, Some(path).filter(|path| !path.is_empty()))
        };
        if *masked == *bytes {
            return Ok(object.oid);
        }
        Ok(self.pile.add(object.kind, &masked, Some(path))?)
    }

    /// A large blob that was there before: what stands for it was not kept.
    fn large(&mut self, object: &Object) -> Result<Oid, BuildError> {
        let env = ObjectEnv::repository_only();
        let mut blobs = Blobs::new(self.mask);
        let mut found = None;
        let mut failed = None;
        let oids = [object.oid];
        objects::each(
            self.original,
            &env,
            &oids,
            WHOLE_MAX,
            &mut |_, event| match blobs.see(object.oid, true, event) {
                Ok(seen) => found = found.take().or(seen),
                Err(error) => failed = failed.take().or(Some(error)),
            },
        )?;
        if let Some(error) = failed {
            return Err(error);
        }
        let masked = found.map(|found| found.masked);
        let masked = masked.filter(|masked| !masked.is_empty());
        let masked = masked.ok_or(BuildError::Unlisted(object.oid))?;
        Ok(self.pile.add(Kind::Blob, &masked, None)?)
    }
}

/// What stands for a name, where it is another. Asked once for each.
fn known_name(
    mask: &Mask<'_>,
    known: &RefCell<HashMap<Vec<u8>, Option<Vec<u8>>>>,
    name: &[u8],
) -> Option<Vec<u8>> {
    if let Some(found) = known.borrow().get(name) {
        return found.clone();
    }
    let found = match mask.text(name) {
        std::borrow::Cow::Borrowed(_) => None,
        std::borrow::Cow::Owned(new) => Some(new),
    };
    known.borrow_mut().insert(name.to_vec(), found.clone());
    found
}

/// What is known of notes while commits are rewritten.
struct Noted<'a> {
    notes: Notes<'a>,
    on: HashSet<Oid>,
    unsure: Vec<Oid>,
}

impl<'a> Noted<'a> {
    fn new(notes: Notes<'a>) -> Self {
        Self {
            notes,
            on: HashSet::new(),
            unsure: Vec::new(),
        }
    }
}

/// Answers what notes ask of the rest of the view.
struct Asked<'x, 'a, 'r> {
    trees: &'x mut Trees<'a, 'r>,
    renamed: &'x HashMap<Oid, Oid>,
    /// Commits that name each other in a circle with that of the notes.
    circle: &'x HashSet<Oid>,
    on: &'x mut HashSet<Oid>,
    unsure: &'x mut Vec<Oid>,
}

impl notes::Translate for Asked<'_, '_, '_> {
    fn object(&mut self, object: Oid) -> Option<Oid> {
        if self.circle.contains(&object) {
            return None;
        }
        if let Some(new) = self.renamed.get(&object) {
            return Some(*new);
        }
        let known = &self.trees.graph.known;
        let is_there = if let Some(there) = self.trees.graph.object(object) {
            // What is masked has a name for each path.
            let is_file = matches!(there.kind, Kind::Tree | Kind::Blob);
            is_file && !there.noted && there.touched == Dependence::Clean
        } else if let Some(new) = known.renamed(object) {
            return Some(new);
        } else {
            let is_there = known.noted.kept.binary_search(&object).is_ok();
            let is_known = known.is_noted(object)
                || known.touched(object).is_some()
                || known.noted.left.binary_search(&object).is_ok();
            if !is_there && !is_known && !known.is_empty() {
                self.unsure.push(object);
            }
            is_there
        };
        is_there.then(|| {
            self.on.insert(object);
            object
        })
    }

    fn text(&mut self, blob: Oid, path: &[u8]) -> Result<Oid, BuildError> {
        self.trees.renamed(blob, path)
    }

    fn out(&mut self) -> notes::Out<'_> {
        notes::Out {
            graph: self.trees.graph,
            pile: &mut self.trees.pile,
            kept: &mut self.trees.kept,
        }
    }
}

/// Rewrites commits and tags; answers the view's name for each.
fn commits<'a>(
    trees: &mut Trees<'a, '_>,
    groups: Vec<Vec<usize>>,
    roots: &HashMap<Oid, Oid>,
    mut noted: Noted<'a>,
) -> Result<(HashMap<Oid, Oid>, Noted<'a>), BuildError> {
    let (mask, graph) = (trees.mask, trees.graph);
    let mut renamed = HashMap::new();
    for group in groups {
        let members = group.iter().filter_map(|at| graph.objects.get(*at));
        let circle: HashSet<Oid> = members.map(|it| it.oid).collect();
        for index in group_order(graph, group) {
            let Some(object) = graph.objects.get(index) else {
                continue;
            };
            let mut tree_of_notes = None;
            if graph.notes.contains(&object.oid)
                && let Some(tree) = links(&object.bytes).tree
            {
                if circle.len() > 1 {
                    noted.notes.forget();
                }
                let mut asked = Asked {
                    trees: &mut *trees,
                    renamed: &renamed,
                    circle: &circle,
                    on: &mut noted.on,
                    unsure: &mut noted.unsure,
                };
                tree_of_notes = Some((tree, noted.notes.tree(tree, &mut asked)?));
            }
            let names = Known {
                mask,
                graph,
                roots,
                changed: &trees.changed,
                notes: tree_of_notes,
                renamed: &renamed,
                unlisted: RefCell::new(None),
            };
            let masked = match object.kind {
                Kind::Tag => mask.tag(&object.bytes, graph.format, &names),
                _ => mask.commit(&object.bytes, graph.format, &names),
            };
            if let Some(oid) = names.unlisted.into_inner() {
                return Err(BuildError::Unlisted(oid));
            }
            let new = if *masked == *object.bytes {
                object.oid
            } else {
                trees.pile.add(object.kind, &masked, None)?
            };
            renamed.insert(object.oid, new);
        }
        if circle.len() > 1 {
            noted.notes.forget();
        }
    }
    Ok((renamed, noted))
}

/// Within a group of commits that name each other, parents come first all the same: only
/// mentions can close a circle, and those are hidden. Of several that could be next, the one with
/// the lowest name is.
fn group_order(graph: &Graph, group: Vec<usize>) -> Vec<usize> {
    if group.len() == 1 {
        return group;
    }
    let members: HashSet<usize> = group.iter().copied().collect();
    let mut waits: HashMap<usize, usize> = HashMap::new();
    let mut above: HashMap<usize, Vec<usize>> = HashMap::new();
    for &index in &group {
        let oids = graph
            .objects
            .get(index)
            .map_or_else(Vec::new, |it| match it.kind {
                Kind::Tag => target(&it.bytes).into_iter().collect(),
                _ => links(&it.bytes).parents,
            });
        let mut below: Vec<usize> = oids
            .into_iter()
            .filter_map(|oid| graph.index(oid))
            .filter(|it| members.contains(it))
            .collect();
        below.sort_unstable();
        below.dedup();
        waits.insert(index, below.len());
        for it in below {
            above.entry(it).or_default().push(index);
        }
    }
    let ready = waits.iter().filter(|(_, count)| **count == 0);
    let mut ready: BTreeSet<usize> = ready.map(|(index, _)| *index).collect();
    let mut done = Vec::with_capacity(group.len());
    while let Some(index) = ready.pop_first() {
        done.push(index);
        for it in above.remove(&index).unwrap_or_default() {
            if let Some(count) = waits.get_mut(&it) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    ready.insert(it);
                }
            }
        }
    }
    done
}

/// The names that are known so far.
struct Known<'a, 'r> {
    mask: &'a Mask<'r>,
    graph: &'a Graph,
    roots: &'a HashMap<Oid, Oid>,
    changed: &'a HashSet<Oid>,
    /// A tree of notes, and what it becomes.
    notes: Option<(Oid, Oid)>,
    renamed: &'a HashMap<Oid, Oid>,
    unlisted: RefCell<Option<Oid>>,
}

impl Names for Known<'_, '_> {
    fn linked(&self, oid: Oid) -> Oid {
        if let Some((_, new)) = self.notes.filter(|(tree, _)| *tree == oid) {
            return new;
        }
        let known = self.renamed.get(&oid).or_else(|| self.roots.get(&oid));
        let known = known.copied().or_else(|| self.graph.known.renamed(oid));
        known.unwrap_or_else(|| {
            *self.unlisted.borrow_mut() = Some(oid);
            oid
        })
    }

    fn mentioned(&self, digits: &str) -> Option<String> {
        let mut hidden = false;
        // Of several that fit, the one with the lowest name, whenever each of them was made.
        let mut named: Option<(Oid, Oid)> = None;
        let mut fits = |from: Oid, to: Oid| {
            if from != to && named.is_none_or(|(lowest, _)| from < lowest) {
                named = Some((from, to));
            }
        };
        for object in self.graph.beginning(digits) {
            match object.kind {
                Kind::Commit | Kind::Tag => match self.renamed.get(&object.oid) {
                    Some(new) => fits(object.oid, *new),
                    // In a circle of mentions.
                    None => hidden = true,
                },
                // A tree or blob has a name for each path, and some have its own.
                // What stands in notes alone may tell of others by its name.
                Kind::Tree | Kind::Blob => {
                    hidden |= object.noted || self.changed.contains(&object.oid);
                }
            }
        }
        let known = &self.graph.known;
        if let Some(lowest) = self.graph.lowest(digits) {
            for &(from, to) in known.from(lowest) {
                if !from.to_string().starts_with(digits) {
                    break;
                }
                fits(from, to);
            }
            let changed = known.touched_from(lowest).iter();
            let mut changed = changed.take_while(|it| it.oid.to_string().starts_with(digits));
            hidden |= changed.any(|it| it.changed);
            let noted = known.noted_from(lowest).first();
            hidden |= noted.is_some_and(|oid| oid.to_string().starts_with(digits));
        }
        if let Some((_, to)) = named {
            return to.to_string().get(..digits.len()).map(str::to_owned);
        }
        hidden |= self.graph.is_hidden(digits);
        hidden.then(|| self.mask.stand_in(digits))
    }
}

//! Reads all objects of a repository, each once, on all processors.
//!
//! First everything but blobs, which says what the refs reach and what each blob is called; then
//! the blobs that are reached.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};

use refwarden_gitio::objects::{self, Event, Kind, Packs, Place, Resolved, Walk, walk};
use refwarden_gitio::{ObjectEnv, Repository};
use refwarden_model::Oid;
use refwarden_scan::{Class, Conditions};

use super::graph::{Graph, Object, touch};
use super::reader::{Blobs, Found, Link, Seen, Structure, check, too_large};
use super::state::State;
use super::universe::{Names, Places};
use super::{BuildError, WHOLE_MAX, list};
use crate::mask::{Dependence, Mask, links, target};

/// Processors that are used at most: each holds what it works on.
const WORKERS_MAX: usize = 8;

/// Reads everything that the tips reach. Of what `hidden` reaches besides, only the names. The
/// trees of `notes`, which are commits, are not there for their own sake.
pub(super) fn read(
    original: &Repository,
    mask: &Mask<'_>,
    tips: &[Oid],
    hidden: &[Oid],
    notes: HashSet<Oid>,
) -> Result<Graph, BuildError> {
    let packs = Packs::open(original);
    let packed = packs.objects();
    let mut all: Vec<Oid> = packed.iter().map(|(oid, _)| *oid).collect();
    all.extend(loose(original));
    let attempt = |oids: Vec<Oid>| Read::new(original, mask, &packs, &packed, oids);
    let mut read = attempt(all.clone())?;
    let all_of = HashSet::new();
    let mut reached = read.reach(tips, &all_of)?;
    let mut beyond = read.reach(hidden, &all_of)?;
    if !reached.is_whole || !beyond.is_whole {
        // Some of it stands elsewhere, in an alternate. git knows where.
        let named: Vec<Oid> = tips.iter().chain(hidden).copied().collect();
        all.extend(list(original, &named, &[])?);
        read = attempt(all)?;
        reached = read.reach(tips, &all_of)?;
        beyond = read.reach(hidden, &all_of)?;
        if let Some(oid) = reached.lacking.or(beyond.lacking) {
            return Err(BuildError::Unlisted(oid));
        }
    }
    read.name(tips);
    read.blobs(&reached.marks)?;
    let mut examples = std::mem::take(&mut read.examples);
    examples.sort_unstable();
    examples.dedup();
    let ordinary = if notes.is_empty() {
        None
    } else {
        Some(read.reach(tips, &notes)?.marks)
    };
    let links = read.links_of(&reached.marks);
    let (objects, hidden) = read.chosen(&reached.marks, &beyond.marks, ordinary.as_deref());
    let format = original.object_format;
    let mut graph = Graph::new(format, objects, hidden, State::default(), Some(packs));
    graph.examples = examples;
    graph.notes = notes;
    graph.links = links;
    Ok(graph)
}

/// Objects that stand as files of their own (gitrepository-layout(5)).
fn loose(original: &Repository) -> Vec<Oid> {
    let objects = original.gitdir.join("objects");
    let mut found = Vec::new();
    for first in 0..=u8::MAX {
        let first = format!("{first:02x}");
        let entries = std::fs::read_dir(objects.join(&first));
        for entry in entries.into_iter().flatten().filter_map(Result::ok) {
            let name = entry.file_name();
            let rest = name.to_str().unwrap_or_default();
            let oid = Oid::parse(format!("{first}{rest}").as_bytes()).ok();
            found.extend(oid.filter(|oid| oid.format() == original.object_format));
        }
    }
    found
}

/// What refs reach, by number.
struct Reached {
    marks: Vec<bool>,
    is_whole: bool,
    /// An object that is named and is not there.
    lacking: Option<Oid>,
}

/// What was read so far; every list by number.
struct Read<'a, 'r> {
    original: &'a Repository,
    mask: &'a Mask<'r>,
    packs: &'a Packs,
    names: Names,
    places: Places,
    kinds: Vec<Kind>,
    touched: Vec<Dependence>,
    /// Of trees.
    children: Vec<Vec<u32>>,
    /// For each child of a tree.
    classes: Vec<Vec<Class>>,
    /// Names under which trees stand.
    folders: HashMap<u32, Vec<Vec<u8>>>,
    /// Names of each class that is meant in some folders only.
    examples: Vec<Vec<u8>>,
    known_conditions: Conditions<'r>,
    /// Of commits and tags: all of it; of large blobs: what stands for it.
    bytes: Vec<Vec<u8>>,
    /// Blobs for a place of which a path condition may hold.
    conditions: Vec<bool>,
    /// Which may be copied as they stand.
    exact: Vec<bool>,
    /// Trees with an entry that is not there, and what that is.
    lacking: HashMap<u32, Oid>,
    /// Of trees that have any.
    links: HashMap<u32, Vec<Link>>,
    /// What is wrong with an object, which matters where it is reached.
    failed: HashMap<u32, BuildError>,
}

/// What a worker of the first walk brings.
struct Brought<'a, 'r> {
    structure: Structure<'a, 'r>,
    seen: Vec<(u32, bool, Result<Seen, BuildError>)>,
}

impl<'a, 'r> Read<'a, 'r> {
    fn new(
        original: &'a Repository,
        mask: &'a Mask<'r>,
        packs: &'a Packs,
        packed: &[(Oid, Place)],
        oids: Vec<Oid>,
    ) -> Result<Self, BuildError> {
        let names = Names::new(oids);
        let places = Places::new(&names, packs, packed);
        let count = names.len();
        let mut read = Self {
            original,
            mask,
            packs,
            names,
            places,
            kinds: vec![Kind::Blob; count],
            touched: vec![Dependence::Clean; count],
            children: vec![Vec::new(); count],
            classes: vec![Vec::new(); count],
            folders: HashMap::new(),
            examples: Vec::new(),
            known_conditions: mask.conditions(),
            bytes: vec![Vec::new(); count],
            conditions: vec![false; count],
            exact: vec![false; count],
            lacking: HashMap::new(),
            links: HashMap::new(),
            failed: HashMap::new(),
        };
        read.structure()?;
        Ok(read)
    }

    /// Reads all that is no blob.
    fn structure(&mut self) -> Result<(), BuildError> {
        let (mask, format) = (self.mask, self.original.object_format);
        let (places, names, conditions) = (&self.places, &self.names, &self.known_conditions);
        let (brought, left) = walk(
            self.packs,
            &Walk {
                kinds: &[Kind::Commit, Kind::Tree, Kind::Tag],
                wanted: &|place| places.number(place).is_some(),
                whole_max: WHOLE_MAX,
                workers: workers(),
            },
            || Brought {
                structure: Structure::new(mask, format, names, conditions),
                seen: Vec::new(),
            },
            |brought, it: &Resolved<'_>| {
                let Some(number) = places.number(it.place) else {
                    return;
                };
                let seen = check(format, it.oid, it.kind, it.bytes)
                    .and_then(|()| brought.structure.see(it.kind, it.bytes));
                brought.seen.push((number, it.is_exact, seen));
            },
        );
        let mut seen = Vec::new();
        for brought in brought {
            let structure = brought.structure;
            seen.push((structure.examples(), structure.folders, brought.seen));
        }
        for (examples, folders, seen) in seen {
            self.examples.extend(examples);
            for (number, is_exact, seen) in seen {
                self.take(number, is_exact, seen, &folders);
            }
        }
        let mut others: Vec<u32> = left
            .iter()
            .filter_map(|place| self.places.number(*place))
            .collect();
        let count = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        others.extend((0..count).filter(|it| self.places.place(*it).is_none()));
        self.others(&others)
    }

    /// Reads what does not stand in a pack, or cannot be read there.
    fn others(&mut self, numbers: &[u32]) -> Result<(), BuildError> {
        let oids = self.oids(numbers);
        let env = ObjectEnv::repository_only();
        let mut found = Vec::new();
        let format = self.original.object_format;
        let conditions = &self.known_conditions;
        let mut structure = Structure::new(self.mask, format, &self.names, conditions);
        objects::each(self.original, &env, &oids, WHOLE_MAX, &mut |at, event| {
            let (Some(number), Some(oid)) = (numbers.get(at), oids.get(at)) else {
                return;
            };
            let seen = match event {
                Event::Failed(error) => Err(error.into()),
                Event::Whole(header, bytes) => structure.see(header.kind, bytes),
                Event::Piece(..) => return,
                Event::End(header) if header.kind == Kind::Blob => Ok(Seen::Blob),
                Event::End(_) => Err(too_large(*oid)),
            };
            found.push((*number, seen));
        })?;
        let (examples, folders) = (structure.examples(), structure.folders);
        self.examples.extend(examples);
        for (number, seen) in found {
            self.take(number, false, seen, &folders);
        }
        Ok(())
    }

    fn oids(&self, numbers: &[u32]) -> Vec<Oid> {
        let all = self.names.all();
        let oids = numbers.iter().map(|it| all.get(*it as usize).copied());
        oids.map(|oid| oid.unwrap_or(self.original.object_format.zero()))
            .collect()
    }

    fn take(
        &mut self,
        number: u32,
        is_exact: bool,
        seen: Result<Seen, BuildError>,
        folders: &[Vec<u8>],
    ) {
        let at = number as usize;
        set(&mut self.exact, at, is_exact);
        match seen {
            Err(error) => {
                self.failed.insert(number, error);
            }
            Ok(Seen::Blob) => set(&mut self.kinds, at, Kind::Blob),
            Ok(Seen::Text(kind, bytes)) => {
                set(&mut self.kinds, at, kind);
                set(&mut self.bytes, at, bytes);
            }
            Ok(Seen::Tree(tree)) => {
                set(&mut self.kinds, at, Kind::Tree);
                if tree.tells {
                    set(&mut self.touched, at, Dependence::Anywhere);
                }
                if let Some(unknown) = tree.unknown.first() {
                    self.lacking.insert(number, unknown.oid);
                }
                if !tree.links.is_empty() {
                    self.links.insert(number, tree.links);
                }
                for (child, folder) in tree.folders {
                    let known = self.folders.entry(child).or_default();
                    known.extend(folders.get(folder as usize).cloned());
                }
                set(&mut self.children, at, tree.children);
                set(&mut self.classes, at, tree.classes);
            }
        }
    }

    /// Commits of other repositories that stand in trees which are marked.
    fn links_of(&self, marks: &[bool]) -> BTreeSet<Link> {
        let links = self.links.iter();
        let links = links.filter(|(number, _)| marks.get(**number as usize) == Some(&true));
        links.flat_map(|(_, links)| links.iter().cloned()).collect()
    }

    /// Marks all that these reach, but for the trees of some commits.
    fn reach(&mut self, tips: &[Oid], without_tree: &HashSet<Oid>) -> Result<Reached, BuildError> {
        let mut reached = Reached {
            marks: vec![false; self.names.len()],
            is_whole: true,
            lacking: None,
        };
        let mut open: Vec<u32> = Vec::new();
        for tip in tips {
            self.mark(*tip, &mut reached, &mut open);
        }
        while let Some(number) = open.pop() {
            if let Some(error) = self.failed.remove(&number) {
                return Err(error);
            }
            let at = number as usize;
            if let Some(oid) = self.lacking.get(&number) {
                reached.is_whole = false;
                reached.lacking = Some(*oid);
            }
            let bytes = self.bytes.get(at).map(Vec::as_slice).unwrap_or_default();
            match self.kinds.get(at) {
                Some(Kind::Commit) => {
                    let mut named = links(bytes);
                    let oid = self.names.all().get(at);
                    if oid.is_some_and(|oid| without_tree.contains(oid)) {
                        named.tree = None;
                    }
                    for oid in named.tree.into_iter().chain(named.parents) {
                        self.mark(oid, &mut reached, &mut open);
                    }
                }
                Some(Kind::Tag) => {
                    if let Some(oid) = target(bytes) {
                        self.mark(oid, &mut reached, &mut open);
                    }
                }
                Some(Kind::Tree) => {
                    for child in self.children.get(at).into_iter().flatten() {
                        // What only a tree names is not followed unless it is one.
                        let kind = self.kinds.get(*child as usize);
                        if newly(&mut reached.marks, *child) && kind == Some(&Kind::Tree) {
                            open.push(*child);
                        }
                    }
                }
                Some(Kind::Blob) | None => {}
            }
        }
        Ok(reached)
    }

    fn mark(&self, oid: Oid, reached: &mut Reached, open: &mut Vec<u32>) {
        match self.names.find(oid) {
            Some(number) if newly(&mut reached.marks, number) => open.push(number),
            Some(_) => {}
            None => {
                reached.is_whole = false;
                reached.lacking = Some(oid);
            }
        }
    }

    /// Finds the blobs for a place of which a path condition may hold.
    fn name(&mut self, tips: &[Oid]) {
        let mut at_root = vec![false; self.names.len()];
        let mut root = |oid: Option<Oid>| {
            if let Some(number) = oid.and_then(|oid| self.names.find(oid)) {
                set(&mut at_root, number as usize, true);
            }
        };
        for tip in tips {
            root(Some(*tip));
        }
        for (kind, bytes) in self.kinds.iter().zip(&self.bytes) {
            match kind {
                Kind::Commit => root(links(bytes).tree),
                Kind::Tag => root(target(bytes)),
                Kind::Tree | Kind::Blob => {}
            }
        }
        let trees = self.children.iter().zip(&self.classes).zip(at_root);
        for (number, ((children, classes), at_root)) in (0u32..).zip(trees) {
            let folders = self.folders.get(&number).map(Vec::as_slice);
            let named = folders.unwrap_or_default().iter().map(|it| Some(&**it));
            let places = named.chain(at_root.then_some(None));
            for place in places {
                let mut asked: Vec<(Class, bool)> = Vec::new();
                for (child, class) in children.iter().zip(classes) {
                    let known = asked.iter().find(|(known, _)| known == class);
                    let known = known.map(|(_, may)| *may);
                    let may =
                        known.unwrap_or_else(|| self.known_conditions.in_folder(*class, place));
                    if known.is_none() {
                        asked.push((*class, may));
                    }
                    if may {
                        set(&mut self.conditions, *child as usize, true);
                    }
                }
            }
        }
        self.classes = Vec::new();
    }

    /// Scans the blobs that are marked.
    fn blobs(&mut self, marks: &[bool]) -> Result<(), BuildError> {
        let (mask, format) = (self.mask, self.original.object_format);
        let (places, kinds, conditions) = (&self.places, &self.kinds, &self.conditions);
        let is_wanted = |number: u32| {
            let at = number as usize;
            marks.get(at) == Some(&true) && kinds.get(at) == Some(&Kind::Blob)
        };
        let stop = AtomicBool::new(false);
        let (brought, left) = walk(
            self.packs,
            &Walk {
                kinds: &[Kind::Blob],
                wanted: &|place| places.number(place).is_some_and(is_wanted),
                whole_max: WHOLE_MAX,
                workers: workers(),
            },
            || Ok(Vec::new()),
            |brought: &mut Result<Vec<(u32, Dependence, bool)>, BuildError>, it| {
                let Some(number) = places.number(it.place) else {
                    return;
                };
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                if let Err(error) = check(format, it.oid, it.kind, it.bytes) {
                    stop.store(true, Ordering::Relaxed);
                    *brought = Err(error);
                } else if let Ok(brought) = brought {
                    let named = conditions.get(number as usize) == Some(&true);
                    let touched = mask.dependence_where(it.bytes, named);
                    brought.push((number, touched, it.is_exact));
                }
            },
        );
        let mut others: Vec<u32> = left
            .iter()
            .filter_map(|place| places.number(*place))
            .filter(|number| is_wanted(*number))
            .collect();
        let count = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        others.extend((0..count).filter(|it| places.place(*it).is_none() && is_wanted(*it)));
        for brought in brought {
            for (number, touched, is_exact) in brought? {
                set(&mut self.touched, number as usize, touched);
                set(&mut self.exact, number as usize, is_exact);
            }
        }
        self.large(&others)
    }

    /// Scans blobs that are too large to hold, or do not stand in a pack.
    fn large(&mut self, numbers: &[u32]) -> Result<(), BuildError> {
        let oids = self.oids(numbers);
        let env = ObjectEnv::repository_only();
        let mut blobs = Blobs::new(self.mask);
        let mut failed = None;
        objects::each(self.original, &env, &oids, WHOLE_MAX, &mut |at, event| {
            let (Some(number), Some(oid)) = (numbers.get(at), oids.get(at)) else {
                return;
            };
            let at = *number as usize;
            let named = self.conditions.get(at) == Some(&true);
            match blobs.see(*oid, named, event) {
                Ok(None) => {}
                Ok(Some(Found { touched, masked })) => {
                    set(&mut self.touched, at, touched);
                    set(&mut self.bytes, at, masked);
                }
                Err(error) => failed = failed.take().or(Some(error)),
            }
        })?;
        failed.map_or(Ok(()), Err)
    }

    /// The objects that are marked, in order, and the names of those that are only in the other
    /// list.
    fn chosen(
        mut self,
        marks: &[bool],
        beyond: &[bool],
        ordinary: Option<&[bool]>,
    ) -> (Vec<Object>, Vec<Oid>) {
        touch(&mut self.touched, &self.children);
        let mut objects = Vec::with_capacity(marks.iter().filter(|it| **it).count());
        let mut hidden = Vec::new();
        let (names, places) = (self.names, self.places);
        let each = self.kinds.into_iter().zip(self.touched).zip(self.bytes);
        for ((at, oid), ((kind, touched), bytes)) in (0..).zip(names.all()).zip(each) {
            let number = at as usize;
            if marks.get(number) == Some(&true) {
                let exact = self.exact.get(number) == Some(&true);
                objects.push(Object {
                    touched,
                    bytes,
                    noted: ordinary.is_some_and(|it| it.get(number) == Some(&false)),
                    place: places.place(at).filter(|_| exact),
                    ..Object::new(*oid, kind)
                });
            } else if beyond.get(number) == Some(&true) {
                hidden.push(*oid);
            }
        }
        (objects, hidden)
    }
}

fn set<T>(list: &mut [T], at: usize, value: T) {
    if let Some(slot) = list.get_mut(at) {
        *slot = value;
    }
}

/// Marks a number; whether it was not marked.
fn newly(marks: &mut [bool], number: u32) -> bool {
    match marks.get_mut(number as usize) {
        Some(mark) if !*mark => {
            *mark = true;
            true
        }
        _ => false,
    }
}

fn workers() -> usize {
    let processors = std::thread::available_parallelism();
    processors.map_or(1, usize::from).min(WORKERS_MAX)
}

//! Reads what is new since a build, and asks what is known of the rest.

use std::collections::{BTreeSet, HashMap, HashSet};

use refwarden_gitio::objects::{self, Event, Kind, Packs};
use refwarden_gitio::{ObjectEnv, Repository};
use refwarden_model::Oid;
use refwarden_scan::{Class, with_shorter};

use super::graph::{Graph, Object, touch};
use super::reader::{Blobs, Found, Seen, Structure, Tree, too_large};
use super::state::State;
use super::universe::Names;
use super::{BuildError, WHOLE_MAX, list};
use crate::mask::{self, Dependence, Mask, target};

/// New objects from which on the packs of the original are opened.
const COPIED_MIN: usize = 2000;

/// Reads everything that the tips reach and that is not known.
pub(super) fn read(
    original: &Repository,
    mask: &Mask<'_>,
    tips: &[Oid],
    notes: HashSet<Oid>,
    known: State,
) -> Result<Graph, BuildError> {
    let (fresh, boundary) = frontier(original, tips, &known)?;
    let names = Names::new(list(original, &fresh, &boundary)?);
    let mut objects: Vec<Object> = names
        .all()
        .iter()
        .map(|oid| Object::new(*oid, Kind::Blob))
        .collect();
    let mut children: Vec<Vec<u32>> = vec![Vec::new(); objects.len()];
    let mut trees: Vec<(u32, Tree)> = Vec::new();
    let mut links = known.links.clone();
    let conditions = mask.conditions();
    let mut examples: BTreeSet<Vec<u8>> = known.examples.iter().cloned().collect();
    let class = |name: &Vec<u8>| conditions.class(with_shorter(name));
    let mut somewhere: Vec<Class> = examples.iter().map(class).collect();
    let mut reader = Structure::new(mask, original.object_format, &names, &conditions);
    structure(original, mask, &names, &mut reader, &mut |number, what| {
        let Some(object) = objects.get_mut(number as usize) else {
            return;
        };
        match what {
            What::Blob(found) => {
                (object.touched, object.bytes) = (found.touched, found.masked);
            }
            What::Other(Seen::Blob) => object.kind = Kind::Blob,
            What::Other(Seen::Text(kind, bytes)) => (object.kind, object.bytes) = (kind, bytes),
            What::Other(Seen::Tree(mut tree)) => {
                object.kind = Kind::Tree;
                if tree.tells {
                    object.touched = Dependence::Anywhere;
                }
                links.append(&mut tree.links.drain(..).collect());
                if let Some(own) = children.get_mut(number as usize) {
                    *own = std::mem::take(&mut tree.children);
                }
                trees.push((number, tree));
            }
        }
    })?;
    for name in reader.examples() {
        // Those of before stay.
        if !somewhere.contains(&class(&name)) {
            somewhere.push(class(&name));
            examples.insert(name);
        }
    }
    let ordinary = ordinary(&names, &objects, &children, tips, &notes);
    // What was in notes alone is now elsewhere, too.
    let out_of_notes = || BuildError::NotAsPlanned("what stood in notes".to_owned());
    if (ordinary.others.iter()).any(|oid| known.is_noted(*oid)) {
        return Err(out_of_notes());
    }
    let stands = Stands::new(&names, &objects, &trees, &reader.folders, tips);
    // What was there before and stands in a new tree: which trees, and whether at a place for
    // which a path condition may hold.
    let mut before: HashMap<Oid, (Vec<u32>, bool)> = HashMap::new();
    let mut chosen: Vec<Oid> = Vec::new();
    for (number, tree) in &trees {
        let may = |class: Class| {
            let mut places = stands.of(*number);
            places.any(|place| conditions.in_folder(class, place))
        };
        let own = children.get(*number as usize).into_iter().flatten();
        let meant = own.zip(&tree.classes).filter(|(_, class)| may(**class));
        chosen.extend(meant.filter_map(|(child, _)| names.all().get(*child as usize)));
        for it in &tree.unknown {
            if known.is_noted(it.oid) && ordinary.holds(*number) {
                return Err(out_of_notes());
            }
            if let Some(folder) = &it.folder
                && (somewhere.iter()).any(|class| conditions.in_folder(*class, Some(folder)))
            {
                // Its files may be meant here and not have been where they were.
                return Err(BuildError::NotAsPlanned("a folder of names".to_owned()));
            }
            let known = before.entry(it.oid).or_default();
            known.0.push(*number);
            known.1 |= may(it.class);
        }
    }
    for (oid, (above, conditions)) in before {
        let touched = known.touched(oid);
        let is_tree = touched.is_some_and(|it| it.kind == Kind::Tree);
        if conditions && !is_tree && known.renamed(oid).is_none() {
            chosen.push(oid);
        }
        if touched.is_none() && !conditions {
            continue;
        }
        let number = u32::try_from(objects.len()).unwrap_or(u32::MAX);
        objects.push(Object {
            touched: touched.map_or(Dependence::Clean, |it| it.dependence),
            old: true,
            ..Object::new(oid, touched.map_or(Kind::Blob, |it| it.kind))
        });
        children.push(Vec::new());
        for tree in above {
            if let Some(children) = children.get_mut(tree as usize) {
                children.push(number);
            }
        }
    }
    again(original, mask, chosen, &mut objects)?;
    for (number, object) in (0..).zip(&mut objects) {
        object.noted = !object.old && !ordinary.holds(number);
    }
    // What refs name directly.
    for tip in tips {
        if names.find(*tip).is_none()
            && let Some(it) = known.touched(*tip)
            && !objects.iter().any(|object| object.oid == *tip)
        {
            objects.push(Object {
                touched: it.dependence,
                old: true,
                ..Object::new(*tip, it.kind)
            });
            children.push(Vec::new());
        }
    }
    let mut touched: Vec<Dependence> = objects.iter().map(|it| it.touched).collect();
    touch(&mut touched, &children);
    for (object, touched) in objects.iter_mut().zip(touched) {
        object.touched = touched;
    }
    objects.retain(|object| !object.old || object.touched != Dependence::Clean);
    objects.sort_unstable_by_key(|object| object.oid);
    let format = original.object_format;
    // A push that brings much is copied as it stands.
    let packs = (objects.len() > COPIED_MIN).then(|| Packs::open(original));
    if let Some(packs) = &packs {
        place(packs, &mut objects)?;
    }
    let mut graph = Graph::new(format, objects, Vec::new(), known, packs);
    graph.boundary = boundary;
    graph.examples = examples.into_iter().collect();
    graph.notes = notes;
    graph.links = links;
    Ok(graph)
}

/// What is reached otherwise than through trees of notes.
struct Ordinary {
    /// By number, of what is new.
    marks: Vec<bool>,
    /// What commits, tags and refs name that is not new.
    others: Vec<Oid>,
}

impl Ordinary {
    fn holds(&self, number: u32) -> bool {
        self.marks.get(number as usize) != Some(&false)
    }
}

fn ordinary(
    names: &Names,
    objects: &[Object],
    children: &[Vec<u32>],
    tips: &[Oid],
    notes: &HashSet<Oid>,
) -> Ordinary {
    let mut found = Ordinary {
        marks: vec![notes.is_empty(); objects.len()],
        others: Vec::new(),
    };
    let mut open: Vec<u32> = Vec::new();
    let roots = objects.iter().flat_map(|object| match object.kind {
        Kind::Commit => {
            let mut links = mask::links(&object.bytes);
            links.tree = links.tree.filter(|_| !notes.contains(&object.oid));
            let oids = links.tree.into_iter().chain(links.parents);
            oids.chain([object.oid]).collect()
        }
        Kind::Tag => target(&object.bytes)
            .into_iter()
            .chain([object.oid])
            .collect(),
        Kind::Tree | Kind::Blob => Vec::new(),
    });
    for oid in roots.chain(tips.iter().copied()) {
        match names.find(oid) {
            Some(number) => open.push(number),
            None => found.others.push(oid),
        }
    }
    while let Some(number) = open.pop() {
        let at = number as usize;
        if let Some(mark) = found.marks.get_mut(at)
            && !std::mem::replace(mark, true)
        {
            open.extend(children.get(at).into_iter().flatten());
        }
    }
    found
}

/// Where new trees stand: names of folders, or the root.
struct Stands<'a>(HashMap<u32, Vec<Option<&'a [u8]>>>);

impl<'a> Stands<'a> {
    fn new(
        names: &Names,
        objects: &[Object],
        trees: &[(u32, Tree)],
        folders: &'a [Vec<u8>],
        tips: &[Oid],
    ) -> Self {
        let mut stands: HashMap<u32, Vec<Option<&'a [u8]>>> = HashMap::new();
        for (child, folder) in trees.iter().flat_map(|(_, tree)| &tree.folders) {
            let folder = folders.get(*folder as usize).map(Vec::as_slice);
            stands.entry(*child).or_default().push(folder);
        }
        let roots = objects.iter().filter_map(|object| match object.kind {
            Kind::Commit => mask::links(&object.bytes).tree,
            Kind::Tag => target(&object.bytes),
            Kind::Tree | Kind::Blob => None,
        });
        for oid in roots.chain(tips.iter().copied()) {
            if let Some(number) = names.find(oid) {
                stands.entry(number).or_default().push(None);
            }
        }
        Self(stands)
    }

    fn of(&self, tree: u32) -> impl Iterator<Item = Option<&'a [u8]>> + '_ {
        self.0.get(&tree).into_iter().flatten().copied()
    }
}

/// Says where new objects can be copied from.
fn place(packs: &Packs, objects: &mut [Object]) -> Result<(), BuildError> {
    let places = packs.objects();
    for object in objects.iter_mut().filter(|object| !object.old) {
        let found = places.binary_search_by_key(&object.oid, |(oid, _)| *oid);
        if let Some((_, place)) = found.ok().and_then(|at| places.get(at))
            && packs.is_exact(*place)?
        {
            object.place = Some(*place);
        }
    }
    Ok(())
}

/// The tips that are new, and what they go back to of what is known: everything that the new ones
/// reach and these do not is new, or little more than that.
fn frontier(
    original: &Repository,
    tips: &[Oid],
    known: &State,
) -> Result<(Vec<Oid>, Vec<Oid>), BuildError> {
    let is_new = |oid: &Oid| known.tips.binary_search(oid).is_err();
    let fresh: Vec<Oid> = tips.iter().copied().filter(is_new).collect();
    let mut boundary = Vec::new();
    let env = ObjectEnv::repository_only();
    let mut reader = objects::open(original, &env, false);
    let mut seen: HashSet<Oid> = fresh.iter().copied().collect();
    let mut open = fresh.clone();
    while let Some(oid) = open.pop() {
        if known.renamed(oid).is_some() {
            boundary.push(oid);
            continue;
        }
        let (header, bytes) = reader.load(oid, WHOLE_MAX, &mut |_, _| {})?;
        let bytes = bytes.unwrap_or_default();
        let below = match header.kind {
            Kind::Commit => mask::links(&bytes).parents,
            Kind::Tag => target(&bytes).into_iter().collect(),
            Kind::Tree | Kind::Blob => Vec::new(),
        };
        open.extend(below.into_iter().filter(|oid| seen.insert(*oid)));
    }
    boundary.sort_unstable();
    Ok((fresh, boundary))
}

/// What an object turned out to be.
enum What {
    Blob(Found),
    Other(Seen),
}

/// Reads all that is new. Blobs are scanned as if no path condition held for any.
fn structure(
    original: &Repository,
    mask: &Mask<'_>,
    names: &Names,
    structure: &mut Structure<'_, '_>,
    take: &mut dyn FnMut(u32, What),
) -> Result<(), BuildError> {
    let env = ObjectEnv::repository_only();
    let mut blobs = Blobs::new(mask);
    let mut failed = None;
    objects::each(original, &env, names.all(), WHOLE_MAX, &mut |at, event| {
        let (Some(oid), Ok(number)) = (names.all().get(at).copied(), u32::try_from(at)) else {
            return;
        };
        let seen = match event {
            Event::Whole(header, bytes) if header.kind != Kind::Blob => {
                structure.see(header.kind, bytes).map(What::Other).map(Some)
            }
            Event::End(header) if header.kind != Kind::Blob => Err(too_large(oid)),
            event => blobs.see(oid, false, event).map(|it| it.map(What::Blob)),
        };
        match seen {
            Ok(Some(what)) => take(number, what),
            Ok(None) => {}
            Err(error) => failed = failed.take().or(Some(error)),
        }
    })?;
    failed.map_or(Ok(()), Err)
}

/// Scans those blobs once more for which a path condition may hold.
fn again(
    original: &Repository,
    mask: &Mask<'_>,
    mut oids: Vec<Oid>,
    objects: &mut [Object],
) -> Result<(), BuildError> {
    oids.sort_unstable();
    oids.dedup();
    let by_name: HashMap<Oid, usize> = objects.iter().map(|it| it.oid).zip(0..).collect();
    let env = ObjectEnv::repository_only();
    let mut blobs = Blobs::new(mask);
    let mut failed = None;
    objects::each(original, &env, &oids, WHOLE_MAX, &mut |at, event| {
        let Some(oid) = oids.get(at).copied() else {
            return;
        };
        let object = by_name.get(&oid).and_then(|at| objects.get_mut(*at));
        if let Event::Whole(header, _) | Event::End(header) | Event::Piece(header, _) = event
            && header.kind != Kind::Blob
        {
            // A folder may have such a name, too.
            return;
        }
        match (blobs.see(oid, true, event), object) {
            (Ok(Some(found)), Some(object)) => {
                (object.touched, object.bytes) = (found.touched, found.masked);
            }
            (Ok(_), _) => {}
            (Err(error), _) => failed = failed.take().or(Some(error)),
        }
    })?;
    failed.map_or(Ok(()), Err)
}

//! Notes (git-notes(1)): trees whose names are names of objects.
//!
//! A note stands in the view under the name that its object has there, in as many folders as
//! before, and its text is masked like any file. A note on what the view does not have is left
//! out: its name alone would let a short secret be guessed. What no git would take for notes is no
//! history of notes, and the view does not have the ref.
//!
//! What it deliberately does not do: it looks at no ref but those that it is given, and knows
//! nothing of what a note says.

use std::collections::{BTreeMap, HashMap, HashSet};

use refwarden_gitio::objects::{Kind, ReadObjects};
use refwarden_model::{ObjectFormat, Oid};

use super::graph::Graph;
use super::pile::Pile;
use super::{BuildError, WHOLE_MAX};
use crate::hash::object_id;
use crate::mask::tree::is_sorted;
use crate::mask::{Entry, entries, links};

/// Digits of a folder's name, as git divides notes (`construct_path_with_fanout`).
const FOLDER: usize = 2;

/// Reads trees and commits of notes.
pub(super) struct Reader<'a> {
    objects: Box<dyn ReadObjects + 'a>,
    format: ObjectFormat,
    /// Trees by the digits above them: whether they hold notes and nothing else.
    checked: HashMap<(Oid, usize), bool>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(objects: Box<dyn ReadObjects + 'a>, format: ObjectFormat) -> Self {
        Self {
            objects,
            format,
            checked: HashMap::new(),
        }
    }

    fn load(&mut self, oid: Oid) -> Result<(Kind, Vec<u8>), BuildError> {
        let (header, bytes) = self.objects.load(oid, WHOLE_MAX, &mut |_, _| {})?;
        Ok((header.kind, bytes.unwrap_or_default()))
    }

    /// The tree of a commit.
    pub(super) fn tree_of(&mut self, commit: Oid) -> Result<Option<Oid>, BuildError> {
        Ok(links(&self.load(commit)?.1).tree)
    }

    /// The commits of a history of notes, but for those that hold none and for what is known to
    /// be one. None where something in it is none.
    pub(super) fn history(
        &mut self,
        tip: Oid,
        is_known: &dyn Fn(Oid) -> bool,
    ) -> Result<Option<Vec<Oid>>, BuildError> {
        let empty = object_id(self.format, Kind::Tree, b"");
        let (mut seen, mut open) = (HashSet::from([tip]), vec![tip]);
        let mut found = Vec::new();
        while let Some(oid) = open.pop() {
            if is_known(oid) {
                continue;
            }
            let (kind, bytes) = self.load(oid)?;
            let links = links(&bytes);
            let (Kind::Commit, Some(tree)) = (kind, links.tree) else {
                return Ok(None);
            };
            if tree != empty {
                if !self.is_notes(tree, 0)? {
                    return Ok(None);
                }
                found.push(oid);
            }
            open.extend(links.parents.into_iter().filter(|it| seen.insert(*it)));
        }
        Ok(Some(found))
    }

    /// Whether git takes every entry of a tree, `digits` below the root, for a note.
    fn is_notes(&mut self, tree: Oid, digits: usize) -> Result<bool, BuildError> {
        if let Some(known) = self.checked.get(&(tree, digits)) {
            return Ok(*known);
        }
        let (kind, bytes) = self.load(tree)?;
        let list = entries(&bytes, self.format);
        let list = list.ok().filter(|list| {
            let names: HashSet<&[u8]> = list.iter().map(|entry| entry.name).collect();
            kind == Kind::Tree && names.len() == list.len() && is_sorted(list)
        });
        let rest = self.format.raw_len() * 2 - digits;
        let mut is = list.as_ref().is_some_and(|list| !list.is_empty());
        for entry in list.unwrap_or_default() {
            is = is && is_hex(entry.name);
            is = is
                && match Sort::of(&entry) {
                    Sort::Note => entry.name.len() == rest,
                    Sort::Folder if entry.name.len() == FOLDER && rest > FOLDER => {
                        self.is_notes(entry.oid, digits + FOLDER)?
                    }
                    Sort::Folder | Sort::Other => false,
                };
            if !is {
                break;
            }
        }
        self.checked.insert((tree, digits), is);
        Ok(is)
    }

    /// What one tree of notes has and another has not, and the other way round.
    fn differences(
        &mut self,
        before: Option<Oid>,
        now: Option<Oid>,
        above: &str,
        into: &mut Differences,
    ) -> Result<(), BuildError> {
        if before == now {
            return Ok(());
        }
        let format = self.format;
        let mut read = |tree: Option<Oid>| match tree {
            Some(tree) => Ok(self.load(tree)?.1),
            None => Ok::<Vec<u8>, BuildError>(Vec::new()),
        };
        let (before, now) = (read(before)?, read(now)?);
        let (before, now) = (entries(&before, format)?, entries(&now, format)?);
        let by_name = |list: &[Entry<'_>]| -> HashMap<Vec<u8>, (bool, Vec<u8>, Oid)> {
            let each = list.iter().map(|it| {
                let is_folder = Sort::of(it) == Sort::Folder;
                (it.name.to_vec(), (is_folder, it.mode.to_vec(), it.oid))
            });
            each.collect()
        };
        let (before, mut now) = (by_name(&before), by_name(&now));
        let text = |name: &[u8]| format!("{above}{}", String::from_utf8_lossy(name));
        let folder = |it: &(bool, Vec<u8>, Oid)| it.0.then_some(it.2);
        for (name, old) in before {
            let new = now.remove(&name);
            if new.as_ref() == Some(&old) {
                continue;
            }
            let name = text(&name);
            let folders = (folder(&old), new.as_ref().and_then(folder));
            if folders != (None, None) {
                self.differences(folders.0, folders.1, &name, into)?;
            }
            if !old.0 {
                into.gone.push(Note::new(&name, above, &old)?);
            }
            if let Some(new) = new.filter(|new| !new.0) {
                into.come.push(Note::new(&name, above, &new)?);
            }
        }
        for (name, new) in now {
            let name = text(&name);
            if new.0 {
                self.differences(None, Some(new.2), &name, into)?;
            } else {
                into.come.push(Note::new(&name, above, &new)?);
            }
        }
        Ok(())
    }
}

/// What an entry of a tree of notes is.
#[derive(PartialEq, Eq)]
enum Sort {
    Note,
    Folder,
    Other,
}

impl Sort {
    fn of(entry: &Entry<'_>) -> Self {
        match entry.mode {
            b"40000" => Self::Folder,
            [b'1', b'0', b'0', _, _, _] => Self::Note,
            _ => Self::Other,
        }
    }
}

fn is_hex(name: &[u8]) -> bool {
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    name.iter().all(is_digit)
}

/// One note.
struct Note {
    /// What it is on.
    object: Oid,
    /// Digits that are names of folders above it.
    digits: usize,
    mode: Vec<u8>,
    /// What it says.
    blob: Oid,
}

impl Note {
    fn new(name: &str, above: &str, entry: &(bool, Vec<u8>, Oid)) -> Result<Self, BuildError> {
        let object = Oid::parse(name.as_bytes());
        let object =
            object.map_err(|_| BuildError::NotAsPlanned("a note without an object".to_owned()))?;
        Ok(Self {
            object,
            digits: above.len(),
            mode: entry.1.clone(),
            blob: entry.2,
        })
    }

    /// Where a note on this object stands, in as many folders.
    fn path(&self, object: Oid) -> Vec<Vec<u8>> {
        let name = object.to_string().into_bytes();
        let (folders, rest) = name.split_at_checked(self.digits).unwrap_or((&name, b""));
        let folders = folders.chunks(FOLDER).map(<[u8]>::to_vec);
        folders.chain([rest.to_vec()]).collect()
    }
}

#[derive(Default)]
struct Differences {
    gone: Vec<Note>,
    come: Vec<Note>,
}

/// For each new commit of notes: the objects on which it has notes that its first parent has not.
pub(super) fn named(
    reader: &mut Reader<'_>,
    graph: &Graph,
) -> Result<HashMap<Oid, Vec<Oid>>, BuildError> {
    let mut named = HashMap::new();
    for object in &graph.objects {
        if !graph.notes.contains(&object.oid) {
            continue;
        }
        let links = links(&object.bytes);
        let first = links.parents.first().copied();
        let first = first.filter(|it| graph.notes.contains(it) || graph.known.has_notes(*it));
        let before = match first {
            Some(parent) => reader.tree_of(parent)?,
            None => None,
        };
        let mut found = Differences::default();
        reader.differences(before, links.tree, "", &mut found)?;
        let oids = found.come.into_iter().map(|note| note.object);
        named.insert(object.oid, oids.collect());
    }
    Ok(named)
}

/// A folder of the view, of notes.
#[derive(Default)]
struct Folder {
    /// By name; that of a folder ends in a slash, so their order is git's.
    items: BTreeMap<Vec<u8>, Item>,
    /// Its name in the view, where it was written since it changed.
    written: Option<Oid>,
}

enum Item {
    Folder(Folder),
    /// By what they are on in the original: mode and text in the view. Two originals may have one
    /// name in the view; the first counts.
    Notes(BTreeMap<Oid, (Vec<u8>, Oid)>),
}

impl Folder {
    fn put(&mut self, path: &[Vec<u8>], object: Oid, note: (Vec<u8>, Oid)) {
        self.written = None;
        match path {
            [] => {}
            [name] => {
                let fresh = || Item::Notes(BTreeMap::new());
                if let Item::Notes(notes) = self.items.entry(name.clone()).or_insert_with(fresh) {
                    notes.insert(object, note);
                }
            }
            [name, rest @ ..] => {
                let fresh = || Item::Folder(Self::default());
                let name = [name, b"/".as_slice()].concat();
                if let Item::Folder(folder) = self.items.entry(name).or_insert_with(fresh) {
                    folder.put(rest, object, note);
                }
            }
        }
    }

    fn take(&mut self, path: &[Vec<u8>], object: Oid) {
        self.written = None;
        let Some((name, rest)) = path.split_first() else {
            return;
        };
        let mut name = name.clone();
        if !rest.is_empty() {
            name.push(b'/');
        }
        let is_empty = match self.items.get_mut(&name) {
            None => return,
            Some(Item::Notes(notes)) => {
                notes.remove(&object);
                notes.is_empty()
            }
            Some(Item::Folder(folder)) => {
                folder.take(rest, object);
                folder.items.is_empty()
            }
        };
        if is_empty {
            self.items.remove(&name);
        }
    }

    /// Writes what was not; answers its name.
    fn write(&mut self, path: &mut Vec<u8>, out: &mut Out<'_>) -> Result<Oid, BuildError> {
        if let Some(oid) = self.written {
            return Ok(oid);
        }
        let mut bytes = Vec::new();
        for (name, item) in &mut self.items {
            let (mode, name, oid) = match item {
                Item::Folder(folder) => {
                    let length = path.len();
                    path.extend_from_slice(name);
                    let oid = folder.write(path, out)?;
                    path.truncate(length);
                    (&b"40000"[..], name.strip_suffix(b"/").unwrap_or(name), oid)
                }
                Item::Notes(notes) => match notes.first_key_value() {
                    Some((_, (mode, blob))) => (&mode[..], &name[..], *blob),
                    None => continue,
                },
            };
            bytes.extend_from_slice(&[mode, b" ", name, b"\0", oid.raw()].concat());
        }
        let oid = object_id(out.graph.format, Kind::Tree, &bytes);
        if out.graph.object(oid).is_some() {
            out.kept.push(oid);
        } else {
            let series = [b"notes:", path.as_slice()].concat();
            out.pile.add(Kind::Tree, &bytes, Some(&series))?;
        }
        self.written = Some(oid);
        Ok(oid)
    }
}

/// Where trees of the view go.
pub(super) struct Out<'a> {
    pub(super) graph: &'a Graph,
    pub(super) pile: &'a mut Pile,
    /// Objects that are as in the original.
    pub(super) kept: &'a mut Vec<Oid>,
}

/// Rewrites trees of notes, each from what it has else than the one before.
pub(super) struct Notes<'a> {
    reader: Reader<'a>,
    /// The tree of the original that was rewritten last.
    at: Option<Oid>,
    root: Folder,
    /// Where the notes of that tree stand, by what they are on and the digits above.
    placed: HashMap<(Oid, usize), Vec<Vec<u8>>>,
    /// What notes are on that were left out.
    pub(super) left: HashSet<Oid>,
}

/// What asks for a note's object and text: their names in the view; no object where the note is to
/// be left out.
pub(super) trait Translate {
    fn object(&mut self, object: Oid) -> Option<Oid>;
    fn text(&mut self, blob: Oid, path: &[u8]) -> Result<Oid, BuildError>;
    fn out(&mut self) -> Out<'_>;
}

impl<'a> Notes<'a> {
    pub(super) fn new(reader: Reader<'a>) -> Self {
        Self {
            reader,
            at: None,
            root: Folder::default(),
            placed: HashMap::new(),
            left: HashSet::new(),
        }
    }

    /// Begins anew with the next tree: what is known of names is not what it was.
    pub(super) fn forget(&mut self) {
        self.at = None;
        self.root = Folder::default();
        self.placed = HashMap::new();
    }

    /// The view's name for a tree of notes.
    pub(super) fn tree(
        &mut self,
        tree: Oid,
        names: &mut impl Translate,
    ) -> Result<Oid, BuildError> {
        let mut found = Differences::default();
        self.reader
            .differences(self.at, Some(tree), "", &mut found)?;
        for note in found.gone {
            if let Some(path) = self.placed.remove(&(note.object, note.digits)) {
                self.root.take(&path, note.object);
            }
        }
        for note in found.come {
            let Some(object) = names.object(note.object) else {
                self.left.insert(note.object);
                continue;
            };
            let blob = names.text(note.blob, &note.path(note.object).join(&b'/'))?;
            let path = note.path(object);
            self.root.put(&path, note.object, (note.mode.clone(), blob));
            self.placed.insert((note.object, note.digits), path);
        }
        self.at = Some(tree);
        self.root.write(&mut Vec::new(), &mut names.out())
    }
}

//! Looks at one object after the other: blobs are scanned, trees and commits say what they name.

use std::collections::{HashMap, HashSet};

use refwarden_gitio::objects::{Event, Kind};
use refwarden_model::{ObjectFormat, Oid};
use refwarden_scan::{Class, Conditions, with_shorter};

use super::universe::Names;
use super::{BuildError, WHOLE_MAX};
use crate::hash::object_id;
use crate::mask::{Dependence, Large, Mask, entries};

/// What is known of a name in a tree.
#[derive(Clone, Copy)]
struct Name {
    /// Whether it holds a secret.
    tells: bool,
    /// What path conditions may hold for it.
    class: Class,
}

/// What an object is.
pub(super) enum Seen {
    /// A commit or a tag, all of it.
    Text(Kind, Vec<u8>),
    /// A tree.
    Tree(Tree),
    /// A blob that was not looked into.
    Blob,
}

/// What a tree names, but for commits of other repositories.
#[derive(Default)]
pub(super) struct Tree {
    /// Whether a secret stands in a name.
    pub(super) tells: bool,
    /// By number.
    pub(super) children: Vec<u32>,
    /// For each: what path conditions may hold for its name.
    pub(super) classes: Vec<Class>,
    /// Those that are folders, and their names by number.
    pub(super) folders: Vec<(u32, u32)>,
    /// What has no number.
    pub(super) unknown: Vec<Unknown>,
    /// Commits of other repositories.
    pub(super) links: Vec<Link>,
}

/// A commit of another repository: the entry's name, as the view has it, and what it names.
pub(super) type Link = (Vec<u8>, Oid);

/// An entry of a tree whose object has no number.
pub(super) struct Unknown {
    pub(super) oid: Oid,
    pub(super) class: Class,
    /// The name of a folder.
    pub(super) folder: Option<Vec<u8>>,
}

/// Looks at objects that are no blobs.
pub(super) struct Structure<'a, 'r> {
    mask: &'a Mask<'r>,
    format: ObjectFormat,
    numbers: &'a Names,
    conditions: &'a Conditions<'r>,
    /// Names of entries that were looked at.
    names: HashMap<Vec<u8>, Name>,
    /// Names of folders, by number.
    pub(super) folders: Vec<Vec<u8>>,
    folder_numbers: HashMap<Vec<u8>, u32>,
    /// Which folder has which name, where that was told already.
    told: HashSet<(u32, u32)>,
}

impl<'a, 'r> Structure<'a, 'r> {
    pub(super) fn new(
        mask: &'a Mask<'r>,
        format: ObjectFormat,
        numbers: &'a Names,
        conditions: &'a Conditions<'r>,
    ) -> Self {
        Self {
            mask,
            format,
            numbers,
            conditions,
            names: HashMap::new(),
            folders: Vec::new(),
            folder_numbers: HashMap::new(),
            told: HashSet::new(),
        }
    }

    pub(super) fn see(&mut self, kind: Kind, bytes: &[u8]) -> Result<Seen, BuildError> {
        match kind {
            Kind::Blob => Ok(Seen::Blob),
            Kind::Tree => Ok(Seen::Tree(self.tree(bytes)?)),
            Kind::Commit | Kind::Tag => Ok(Seen::Text(kind, bytes.to_vec())),
        }
    }

    fn tree(&mut self, bytes: &[u8]) -> Result<Tree, BuildError> {
        let mut tree = Tree::default();
        let entries = entries(bytes, self.format)?;
        tree.children.reserve_exact(entries.len());
        tree.classes.reserve_exact(entries.len());
        for entry in entries {
            let name = self.name(entry.name);
            tree.tells |= name.tells;
            if entry.is_link() {
                let name = self.mask.text(entry.name).into_owned();
                tree.links.push((name, entry.oid));
                continue;
            }
            let Some(number) = self.numbers.find(entry.oid) else {
                tree.unknown.push(Unknown {
                    oid: entry.oid,
                    class: name.class,
                    folder: entry.is_tree().then(|| entry.name.to_vec()),
                });
                continue;
            };
            tree.children.push(number);
            tree.classes.push(name.class);
            if entry.is_tree() {
                let folder = self.folder(entry.name);
                if self.told.insert((number, folder)) {
                    tree.folders.push((number, folder));
                }
            }
        }
        Ok(tree)
    }

    fn name(&mut self, name: &[u8]) -> Name {
        if let Some(known) = self.names.get(name) {
            return *known;
        }
        let found = Name {
            tells: self.mask.is_affected(name),
            class: self.conditions.class(with_shorter(name)),
        };
        self.names.insert(name.to_vec(), found);
        found
    }

    fn folder(&mut self, name: &[u8]) -> u32 {
        if let Some(known) = self.folder_numbers.get(name) {
            return *known;
        }
        let number = u32::try_from(self.folders.len()).unwrap_or(u32::MAX);
        self.folders.push(name.to_vec());
        self.folder_numbers.insert(name.to_vec(), number);
        number
    }

    /// A name of each class that is meant in some folders only.
    pub(super) fn examples(&self) -> Vec<Vec<u8>> {
        let mut found: HashMap<Class, &Vec<u8>> = HashMap::new();
        for (name, known) in &self.names {
            let first = found.entry(known.class).or_insert(name);
            // Whatever the order, the same.
            if name < *first {
                *first = name;
            }
        }
        let some = found
            .into_iter()
            .filter(|(class, _)| *class != Class::NEVER && !self.conditions.anywhere(*class));
        let mut names: Vec<Vec<u8>> = some.map(|(_, name)| name.clone()).collect();
        names.sort_unstable();
        names
    }
}

/// Checks that bytes are what they are called.
pub(super) fn check(
    format: ObjectFormat,
    oid: Oid,
    kind: Kind,
    bytes: &[u8],
) -> Result<(), BuildError> {
    if object_id(format, kind, bytes) == oid {
        return Ok(());
    }
    Err(BuildError::NotAsPlanned(format!(
        "{oid} is another object than its name says"
    )))
}

/// What is found of a blob: how it depends on its path, and what stands for it where it is too
/// large to hold.
pub(super) struct Found {
    pub(super) touched: Dependence,
    pub(super) masked: Vec<u8>,
}

/// Looks at blobs that come in events.
pub(super) struct Blobs<'a, 'r> {
    mask: &'a Mask<'r>,
    /// One that is being scanned.
    large: Option<Large<'a, 'r>>,
}

impl<'a, 'r> Blobs<'a, 'r> {
    pub(super) fn new(mask: &'a Mask<'r>) -> Self {
        Self { mask, large: None }
    }

    /// None until a large one has ended. `conditions`: whether a path condition may hold for a
    /// name of it.
    pub(super) fn see(
        &mut self,
        oid: Oid,
        conditions: bool,
        event: Event<'_>,
    ) -> Result<Option<Found>, BuildError> {
        match event {
            Event::Failed(error) => Err(error.into()),
            Event::Whole(_, bytes) => Ok(Some(Found {
                touched: self.mask.dependence_where(bytes, conditions),
                masked: Vec::new(),
            })),
            Event::Piece(header, bytes) => {
                if header.kind != Kind::Blob {
                    return Err(too_large(oid));
                }
                let mask = self.mask;
                let large = self
                    .large
                    .get_or_insert_with(|| mask.large_where(conditions));
                large.push(bytes);
                Ok(None)
            }
            Event::End(_) => {
                let large = self.large.take().map(Large::finish).transpose()?;
                let (touched, masked) = large.unwrap_or((Dependence::Clean, Vec::new()));
                Ok(Some(Found { touched, masked }))
            }
        }
    }
}

/// What is said of a tree, a commit or a tag above [`WHOLE_MAX`].
pub(super) fn too_large(oid: Oid) -> BuildError {
    BuildError::NotAsPlanned(format!(
        "{oid} is no blob and larger than {WHOLE_MAX} bytes"
    ))
}

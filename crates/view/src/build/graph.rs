//! One pass over all objects: what they are, what they link to, and what a secret touches.

use std::collections::HashMap;

use refwarden_gitio::objects::{self, Event, Kind};
use refwarden_gitio::{Git, ObjectEnv, Repository};
use refwarden_model::{ObjectFormat, Oid};

use super::rewrite::Plan;
use super::state::{State, Touched};
use super::{BuildError, WHOLE_MAX};
use crate::mask::{Dependence, Large, Mask, entries, mentions as mentions_in};

/// What is known of an object.
pub(super) struct Object {
    pub(super) oid: Oid,
    pub(super) kind: Kind,
    /// For blobs and trees: how what it becomes depends on its path.
    pub(super) touched: Dependence,
    /// For trees: the objects of its entries, by index.
    children: Vec<u32>,
    /// For commits and tags: all of it. For large blobs that are touched: what stands for it.
    pub(super) bytes: Vec<u8>,
    /// Whether it was there when the refs were last looked at: a touched tree or blob then.
    pub(super) old: bool,
}

/// All objects that the allowed refs reach; where something is known of before, what is new since
/// then, and what is touched of the rest.
pub(super) struct Graph {
    pub(super) format: ObjectFormat,
    /// Sorted by name.
    pub(super) objects: Vec<Object>,
    index: HashMap<Oid, u32>,
    /// What only refs that the view does not have reach, sorted.
    hidden: Vec<Oid>,
    /// What is known of before.
    pub(super) known: State,
}

impl Graph {
    pub(super) fn index(&self, oid: Oid) -> Option<usize> {
        self.index.get(&oid).map(|index| *index as usize)
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
    pub(super) fn into_state(self, tips: Vec<Oid>, plan: &Plan) -> State {
        let mut mentions = self.known.mentions;
        let mut touched = Vec::new();
        for object in &self.objects {
            match object.kind {
                Kind::Commit | Kind::Tag => {
                    for span in mentions_in(&object.bytes, self.format) {
                        let digits = object.bytes.get(span).unwrap_or_default();
                        mentions.push(String::from_utf8_lossy(digits).to_ascii_lowercase());
                    }
                }
                Kind::Tree | Kind::Blob if object.touched != Dependence::Clean => {
                    touched.push(Touched {
                        oid: object.oid,
                        kind: object.kind,
                        dependence: object.touched,
                        changed: plan.changed.contains(&object.oid),
                    });
                }
                Kind::Tree | Kind::Blob => {}
            }
        }
        mentions.sort_unstable();
        mentions.dedup();
        State {
            tips,
            map: plan.map.clone(),
            touched,
            mentions,
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

/// Reads everything that the tips reach and that is not known. Of what `hidden` reaches besides,
/// only the names.
pub(super) fn read(
    original: &Repository,
    mask: &Mask<'_>,
    tips: &[Oid],
    hidden: &[Oid],
    known: State,
) -> Result<Graph, BuildError> {
    let new = list(original, tips, &known.tips)?;
    let mut hidden = list(original, hidden, tips)?;
    hidden.retain(|oid| new.binary_search(oid).is_err());
    let mut oids = new.clone();
    oids.extend(known.touched.iter().map(|it| it.oid));
    oids.sort_unstable();
    oids.dedup();
    let index: HashMap<Oid, u32> = oids.iter().copied().zip(0u32..).collect();
    let mut slots: Vec<Option<Object>> = oids.iter().map(|_| None).collect();
    let slot = |oid: Oid| index.get(&oid).map(|slot| *slot as usize);
    for it in &known.touched {
        if let Some(slot) = slot(it.oid).and_then(|slot| slots.get_mut(slot)) {
            *slot = Some(Object {
                oid: it.oid,
                kind: it.kind,
                touched: it.dependence,
                children: Vec::new(),
                bytes: Vec::new(),
                old: true,
            });
        }
    }
    let order = objects::in_pack_order(original, &new);
    let ordered: Vec<Oid> = order
        .iter()
        .filter_map(|at| new.get(*at).copied())
        .collect();
    let mut reader = Reader {
        mask,
        format: original.object_format,
        index: &index,
        rest_is_known: !known.is_empty(),
        names: HashMap::new(),
        large: None,
    };
    let mut failed = None;
    let env = ObjectEnv::repository_only();
    objects::each(original, &env, &ordered, WHOLE_MAX, &mut |at, event| {
        let Some(&oid) = ordered.get(at) else {
            return;
        };
        match reader.see(oid, event) {
            Ok(Some(object)) => {
                if let Some(slot) = slot(oid).and_then(|slot| slots.get_mut(slot)) {
                    *slot = Some(object);
                }
            }
            Ok(None) => {}
            Err(error) => failed = failed.take().or(Some(error)),
        }
    })?;
    if let Some(error) = failed {
        return Err(error);
    }
    let objects = slots.into_iter().zip(&oids);
    let objects: Result<Vec<Object>, BuildError> = objects
        .map(|(slot, oid)| slot.ok_or(BuildError::Unlisted(*oid)))
        .collect();
    let mut graph = Graph {
        format: original.object_format,
        objects: objects?,
        index,
        hidden,
        known,
    };
    graph.touch();
    Ok(graph)
}

/// Everything that the tips reach, sorted, but for what git knows that `not` reaches. Of that,
/// some may be listed all the same.
pub(super) fn list(
    original: &Repository,
    tips: &[Oid],
    not: &[Oid],
) -> Result<Vec<Oid>, BuildError> {
    let mut input = String::new();
    for (sign, oids) in [("", tips), ("^", not)] {
        for oid in oids {
            input.push_str(sign);
            input.push_str(&oid.to_string());
            input.push('\n');
        }
    }
    let env = ObjectEnv::repository_only();
    let git = Git::new(&original.gitdir, &env, "rev-list");
    let git = git.args(["--objects", "--no-object-names", "--stdin"]);
    let listed = if tips.is_empty() {
        Vec::new()
    } else {
        git.output(input.as_bytes())?
    };
    let mut oids = Vec::new();
    for line in listed
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        let oid = Oid::parse(line).map_err(|_| {
            BuildError::NotAsPlanned("git rev-list lists what is no object".to_owned())
        })?;
        oids.push(oid);
    }
    oids.sort_unstable();
    oids.dedup();
    Ok(oids)
}

struct Reader<'a, 'r> {
    mask: &'a Mask<'r>,
    format: ObjectFormat,
    index: &'a HashMap<Oid, u32>,
    /// Whether an object that is not in the index is known not to be touched.
    rest_is_known: bool,
    /// Names of entries that were scanned, and what came of it.
    names: HashMap<Vec<u8>, bool>,
    /// A large blob that is being scanned.
    large: Option<Large<'a, 'r>>,
}

impl Reader<'_, '_> {
    fn see(&mut self, oid: Oid, event: Event<'_>) -> Result<Option<Object>, BuildError> {
        let object = |kind, touched| Object {
            oid,
            kind,
            touched,
            children: Vec::new(),
            bytes: Vec::new(),
            old: false,
        };
        match event {
            Event::Failed(error) => Err(error.into()),
            Event::Whole(header, bytes) => match header.kind {
                Kind::Blob => Ok(Some(object(Kind::Blob, self.mask.dependence(bytes)))),
                Kind::Tree => self.tree(oid, bytes).map(Some),
                kind => Ok(Some(Object {
                    bytes: bytes.to_vec(),
                    ..object(kind, Dependence::Clean)
                })),
            },
            Event::Piece(header, bytes) => {
                if header.kind != Kind::Blob {
                    return Err(BuildError::NotAsPlanned(format!(
                        "{oid} is no blob and larger than {WHOLE_MAX} bytes"
                    )));
                }
                let mask = self.mask;
                self.large.get_or_insert_with(|| mask.large()).push(bytes);
                Ok(None)
            }
            Event::End(header) => {
                let large = self.large.take().map(Large::finish).transpose()?;
                let (touched, masked) = large.unwrap_or((Dependence::Clean, Vec::new()));
                Ok(Some(Object {
                    bytes: masked,
                    ..object(header.kind, touched)
                }))
            }
        }
    }

    fn tree(&mut self, oid: Oid, bytes: &[u8]) -> Result<Object, BuildError> {
        let mut children = Vec::new();
        let mut touched = Dependence::Clean;
        for entry in entries(bytes, self.format)? {
            let known = self.names.get(entry.name).copied();
            let tells = known.unwrap_or_else(|| self.mask.is_affected(entry.name));
            if known.is_none() {
                self.names.insert(entry.name.to_vec(), tells);
            }
            if tells {
                touched = Dependence::Anywhere;
            }
            if !entry.is_link() {
                match self.index.get(&entry.oid) {
                    Some(child) => children.push(*child),
                    None if self.rest_is_known => {}
                    None => return Err(BuildError::Unlisted(entry.oid)),
                }
            }
        }
        Ok(Object {
            oid,
            kind: Kind::Tree,
            touched,
            children,
            bytes: Vec::new(),
            old: false,
        })
    }
}

impl Graph {
    /// Carries what is known of blobs and names up to all trees above.
    fn touch(&mut self) {
        let mut done = vec![false; self.objects.len()];
        for root in 0..self.objects.len() {
            let mut open = vec![(root, 0)];
            while let Some((at, next)) = open.pop() {
                let Some(object) = self.objects.get(at) else {
                    continue;
                };
                if done.get(at) == Some(&true) {
                    continue;
                }
                if let Some(child) = object.children.get(next) {
                    let child = *child as usize;
                    open.push((at, next + 1));
                    if done.get(child) == Some(&false) {
                        open.push((child, 0));
                    }
                    continue;
                }
                let below = object
                    .children
                    .iter()
                    .filter_map(|it| self.objects.get(*it as usize));
                let most = below.map(|it| rank(it.touched)).max().unwrap_or(0);
                let touched = if most > rank(object.touched) {
                    unrank(most)
                } else {
                    object.touched
                };
                if let Some(object) = self.objects.get_mut(at) {
                    object.touched = touched;
                    object.children = Vec::new();
                }
                if let Some(done) = done.get_mut(at) {
                    *done = true;
                }
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

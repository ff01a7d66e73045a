//! Cold build: from a repository to a shadow that holds nothing but what a masked reader may see.
//!
//! 1. Every object is read once, along the deltas of the packs: first trees and commits, which say
//!    what they link to, then the blobs that allowed refs reach, which are scanned.
//! 2. What a secret touches is found from the bottom up, and those trees are rewritten.
//! 3. Commits and tags follow, each after all that it names.
//! 4. One pack is written: what is unchanged is copied as it stands compressed, what is rewritten
//!    comes as differences between versions. git makes the rest, and the shadow is compared with
//!    what it may hold.
//!
//! Memory: some 150 bytes for each object and 4 for each entry of each tree, the bytes of all
//! commits and tags, and for each processor the bases of one object ([`refwarden_gitio::objects::walk`]), none
//! larger than [`WHOLE_MAX`]; a zip archive up to [`ZIP_MAX`](crate::mask::ZIP_MAX).

mod differ;
mod graph;
mod news;
mod notes;
mod order;
mod packfile;
mod pile;
mod read;
mod reader;
mod refs;
mod rewrite;
mod shadow;
mod state;
mod universe;

pub(crate) use refs::digest_now;

use std::collections::BTreeMap;
use std::path::Path;

use refwarden_gitio::objects::{self, ObjectError};
use refwarden_gitio::refs::RefsError;
use refwarden_gitio::{Git, GitError, ObjectEnv, Repository};
use refwarden_model::{Oid, bytes};

use self::graph::Graph;
use self::rewrite::Plan;
pub(crate) use self::state::State;
use crate::filter::RefFilters;
use crate::mask::{Dependence, Mask, TreeError};
use crate::unmask::Maps;

pub(crate) use refs::{is_fixed, is_of_notes};

/// Blobs above this, in bytes, are scanned piece by piece and masked whole.
pub const WHOLE_MAX: u64 = 16 << 20;

/// Trees and blobs at different paths that are rewritten at most. A tree that holds itself many
/// times over would otherwise never end.
pub const PLACES_MAX: usize = 20_000_000;

/// Why no shadow was built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// git failed.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The refs cannot be read.
    #[error(transparent)]
    Refs(#[from] RefsError),
    /// An object cannot be read.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// A tree cannot be understood.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// Reading or writing failed.
    #[error("the view cannot be written: {0}")]
    Io(#[from] std::io::Error),
    /// More places than [`PLACES_MAX`].
    #[error("there are too many places with secrets")]
    TooManyPlaces,
    /// An object that a commit or tag names is not among those that git listed.
    #[error("object {0} is named and not listed")]
    Unlisted(Oid),
    /// The shadow holds an object that it may not, or lacks one.
    #[error("the shadow does not hold what it should: {0}")]
    NotAsPlanned(String),
}

/// What a build came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Counts {
    /// Objects that allowed refs of the original reach.
    pub objects: usize,
    /// Objects that were rewritten.
    pub rewritten: usize,
    /// Commits and tags with another name than in the original.
    pub renamed: usize,
    /// Refs of the view.
    pub refs: usize,
    /// Refs that are left out because a secret stands in their name.
    pub refs_with_secrets: usize,
    /// Refs below `refs/notes/` that are left out because something in their history is no note.
    #[serde(default)]
    pub refs_without_notes: usize,
    /// Names under which commits of other repositories stand, and how many stand there. They stay
    /// as they are, whatever those commits are called in a view of their own repository.
    #[serde(default)]
    pub links: BTreeMap<String, usize>,
}

/// What a build made, besides the shadow.
#[derive(Debug)]
pub struct Built {
    /// Numbers.
    pub counts: Counts,
    /// Every commit and tag, with its name in the view, sorted.
    pub map: Vec<(Oid, Oid)>,
    /// Tells what all refs of the original were.
    pub refs: String,
    /// What the next build can begin with.
    pub(crate) state: State,
}

impl Built {
    /// What a push through this view needs to know.
    pub fn maps(&self) -> Maps {
        Maps::new(self.map.clone(), self.state.changed().collect()).with_notes(self.state.notes())
    }
}

/// Builds the shadow of `original`, with all refs, in the directory `into`, which must not exist
/// yet.
///
/// The result depends on the original's objects and refs, the rules and the key, and on nothing
/// else.
///
/// # Errors
///
/// [`BuildError`]; what stands in `into` then is to be thrown away.
pub fn build(original: &Repository, mask: &Mask<'_>, into: &Path) -> Result<Built, BuildError> {
    build_filtered(original, mask, &RefFilters::default(), into)
}

/// Builds a shadow that has only the refs that pass the filters, and what those reach.
///
/// # Errors
///
/// As for [`build`].
pub fn build_filtered(
    original: &Repository,
    mask: &Mask<'_>,
    filters: &RefFilters,
    into: &Path,
) -> Result<Built, BuildError> {
    let mut refs = refs::allowed(original, mask, filters, &State::default())?;
    let tips = refs.tips();
    let notes = std::mem::take(&mut refs.notes);
    let graph = read::read(original, mask, &tips, &refs.hidden, notes)?;
    let plan = rewrite::rewrite(original, mask, &graph, &tips)?;
    shadow::make(original, &refs, &graph, &plan, into)?;
    Ok(built(graph, &refs, tips, &plan, &Counts::default()))
}

/// Extends a shadow by what is new since it was built: the result is what [`build`] would make.
/// None where it cannot be extended, since some of what it holds is no longer reached, or since
/// what is new changes what was masked before; nothing is made then.
///
/// # Errors
///
/// As for [`build`].
pub(crate) fn extend(
    original: &Repository,
    mask: &Mask<'_>,
    (before, known, counts): (&Path, State, &Counts),
    into: &Path,
) -> Result<Option<Built>, BuildError> {
    let mut refs = refs::allowed(original, mask, &RefFilters::default(), &known)?;
    let tips = refs.tips();
    if known.is_empty()
        || !refs.hidden.is_empty()
        || is_any_gone(original, &known.tips, &tips)?
        || is_any_gone(original, &known.noted.tips, &refs.note_tips)?
        || refs.notes.iter().any(|oid| known.renamed(*oid).is_some())
    {
        return Ok(None);
    }
    let notes = std::mem::take(&mut refs.notes);
    let graph = news::read(original, mask, &tips, notes, known)?;
    let plan = rewrite::rewrite(original, mask, &graph, &tips)?;
    if changes_notes(&graph, &plan, before)? {
        return Ok(None);
    }
    let was_changed = |oid: &Oid| graph.known.touched(*oid).is_some_and(|it| it.changed);
    let names = plan.map.iter().filter(|(from, to)| from != to);
    let names = names.map(|(from, _)| *from);
    let names = names.filter(|oid| graph.known.renamed(*oid).is_none());
    let changed = plan.changed.iter().filter(|oid| !was_changed(oid)).copied();
    // A mention of one of notes may close a circle, and nobody may have seen what stands in them.
    let within = graph.objects.iter().filter(|it| it.noted).map(|it| it.oid);
    let within = within.chain(graph.notes.iter().copied());
    if (graph.known).mentions_any(names.chain(changed).chain(within)) {
        return Ok(None);
    }
    shadow::extend(original, &refs, &graph, &plan, before, into)?;
    Ok(Some(built(graph, &refs, tips, &plan, counts)))
}

/// Whether notes that were there before are others now, or what is new in notes is not new.
fn changes_notes(graph: &Graph, plan: &Plan, before: &Path) -> Result<bool, BuildError> {
    let known = &graph.known;
    let is_in = |list: &[Oid], oid: Oid| list.binary_search(&oid).is_ok();
    let mut asked = plan.notes_unsure.clone();
    for object in &graph.objects {
        let is_touched = object.touched != Dependence::Clean;
        let is_new = !known.is_noted(object.oid);
        if !object.old && is_new && is_in(&known.noted.left, object.oid)
            || is_touched && is_in(&known.noted.kept, object.oid)
            || object.noted && is_new && known.touched(object.oid).is_some()
            || !object.noted && !object.old && !is_new
        {
            return Ok(true);
        }
        if object.noted && is_new {
            asked.push(object.oid);
        }
    }
    if asked.is_empty() {
        return Ok(false);
    }
    let before = Repository::open(before).map_err(std::io::Error::other)?;
    let env = ObjectEnv::repository_only();
    let mut reader = objects::open(&before, &env, false);
    for oid in asked {
        match reader.header(oid) {
            Ok(_) => return Ok(true),
            Err(ObjectError::Missing(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(false)
}

/// Whether something that the tips reached is reached no more.
fn is_any_gone(original: &Repository, before: &[Oid], now: &[Oid]) -> Result<bool, BuildError> {
    let without = |from: &[Oid], others: &[Oid]| -> Vec<Oid> {
        let is_other = |oid: &Oid| others.binary_search(oid).is_ok();
        from.iter().copied().filter(|oid| !is_other(oid)).collect()
    };
    let (gone, come) = (without(before, now), without(now, before));
    // Mostly a ref has moved forward, which what has come tells, however many others there are.
    let is_gone = !list(original, &gone, &come)?.is_empty();
    Ok(is_gone && !list(original, &gone, now)?.is_empty())
}

/// Everything that the tips reach, sorted, but for what git knows that `not` reaches. Of that,
/// some may be listed all the same.
fn list(original: &Repository, tips: &[Oid], not: &[Oid]) -> Result<Vec<Oid>, BuildError> {
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

fn links(graph: &Graph) -> BTreeMap<String, usize> {
    let mut links = BTreeMap::new();
    for (name, _) in &graph.links {
        *links.entry(bytes::escape(name)).or_default() += 1;
    }
    links
}

fn built(
    graph: Graph,
    refs: &refs::Allowed,
    tips: Vec<Oid>,
    plan: &Plan,
    before: &Counts,
) -> Built {
    let counts = Counts {
        objects: before.objects + graph.objects.iter().filter(|it| !it.old).count(),
        rewritten: before.rewritten + plan.pile.len(),
        renamed: plan.map.iter().filter(|(from, to)| from != to).count(),
        refs: refs.direct.len() + refs.symbolic.len(),
        refs_with_secrets: refs.secret,
        refs_without_notes: refs.no_notes,
        links: links(&graph),
    };
    Built {
        counts,
        map: plan.map.clone(),
        refs: refs.digest.clone(),
        state: graph.into_state(tips, refs.note_tips.clone(), plan),
    }
}

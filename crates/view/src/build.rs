//! Cold build: from a repository to a shadow that holds nothing but what a masked reader may see.
//!
//! 1. All objects that allowed refs reach are read once, in pack order: blobs are scanned, trees
//!    and commits say what they link to.
//! 2. What a secret touches is found from the bottom up, and those trees are rewritten.
//! 3. Commits and tags follow, each after all that it names.
//! 4. What is unchanged is copied with its deltas, what is rewritten comes as one pack, and the
//!    shadow is packed by git and compared with what it may hold.
//!
//! Memory: 4 bytes for each entry of each tree, the bytes of all commits and tags, and one object
//! at a time of no more than [`WHOLE_MAX`]; a zip archive up to [`ZIP_MAX`](crate::mask::ZIP_MAX).

mod graph;
mod order;
mod refs;
mod rewrite;
mod shadow;
mod state;

pub(crate) use refs::digest_now;

use std::collections::HashSet;
use std::path::Path;

use refwarden_gitio::objects::ObjectError;
use refwarden_gitio::refs::RefsError;
use refwarden_gitio::{GitError, Repository};
use refwarden_model::Oid;

use self::graph::Graph;
use self::rewrite::Plan;
pub(crate) use self::state::State;
use crate::filter::RefFilters;
use crate::mask::{Mask, TreeError};
use crate::unmask::Maps;

pub(crate) use refs::is_absent;

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
        Maps::new(self.map.clone(), self.state.changed().collect())
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
    let refs = refs::allowed(original, mask, filters)?;
    let tips = refs.tips();
    let graph = graph::read(original, mask, &tips, &refs.hidden, State::default())?;
    let plan = rewrite::rewrite(original, mask, &graph, &tips)?;
    let built = built(graph, &refs, tips, &plan, &Counts::default());
    shadow::make(original, &refs, plan, into)?;
    Ok(built)
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
    let refs = refs::allowed(original, mask, &RefFilters::default())?;
    let tips = refs.tips();
    let gone = || graph::list(original, &known.tips, &tips);
    if known.is_empty() || !refs.hidden.is_empty() || !gone()?.is_empty() {
        return Ok(None);
    }
    let graph = graph::read(original, mask, &tips, &[], known)?;
    let plan = rewrite::rewrite(original, mask, &graph, &tips)?;
    let changed_before: HashSet<Oid> = graph.known.changed().collect();
    let names = plan.map.iter().filter(|(from, to)| from != to);
    let names = names.map(|(from, _)| *from);
    let names = names.filter(|oid| graph.known.renamed(*oid).is_none());
    let changed = plan.changed.difference(&changed_before).copied();
    if graph.known.mentions_any(names.chain(changed)) {
        return Ok(None);
    }
    let built = built(graph, &refs, tips, &plan, counts);
    shadow::extend(original, &refs, plan, before, into)?;
    Ok(Some(built))
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
        rewritten: before.rewritten + plan.spool.known().len(),
        renamed: plan.map.iter().filter(|(from, to)| from != to).count(),
        refs: refs.direct.len() + refs.symbolic.len(),
        refs_with_secrets: refs.secret,
    };
    Built {
        counts,
        map: plan.map.clone(),
        refs: refs.digest.clone(),
        state: graph.into_state(tips, plan),
    }
}

//! Writes a shadow and proves that it holds what was planned and nothing else.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use refwarden_gitio::refs::RefValue;
use refwarden_gitio::{Git, ObjectEnv, Repository, packidx};
use refwarden_model::{ObjectFormat, Oid};

use super::BuildError;
use super::graph::Graph;
use super::packfile;
use super::refs::Allowed;
use super::rewrite::Plan;

/// Where HEAD points when the original's branch is none that may be named.
const NOWHERE: &str = "refs/heads/absent";

/// Packs beyond which small ones become one.
const PACKS_MAX: usize = 20;

/// Makes the shadow at `into`.
pub(super) fn make(
    original: &Repository,
    refs: &Allowed,
    graph: &Graph,
    plan: &Plan,
    into: &Path,
) -> Result<(), BuildError> {
    init(original, into)?;
    let allowed = fill(original, refs, graph, plan, into)?;
    pack(into)?;
    verify(into, &allowed)
}

/// Makes the shadow at `into` from one that holds nothing but what refs still reach, and what is
/// new.
pub(super) fn extend(
    original: &Repository,
    refs: &Allowed,
    graph: &Graph,
    plan: &Plan,
    before: &Path,
    into: &Path,
) -> Result<(), BuildError> {
    init(original, into)?;
    let (from, to) = (before.join("objects"), into.join("objects"));
    let mut linked = HashSet::new();
    for entry in std::fs::read_dir(from.join("pack"))? {
        let entry = entry?;
        std::fs::hard_link(entry.path(), to.join("pack").join(entry.file_name()))?;
        linked.insert(entry.file_name());
    }
    let commits = Path::new("info").join("commit-graph");
    if from.join(&commits).exists() {
        std::fs::hard_link(from.join(&commits), to.join(&commits))?;
    }
    let allowed = fill(original, refs, graph, plan, into)?;
    let mut packs = 0;
    for entry in std::fs::read_dir(to.join("pack"))? {
        let entry = entry?;
        if entry.path().extension() != Some(OsStr::new("idx")) {
            continue;
        }
        packs += 1;
        if !linked.contains(&entry.file_name()) {
            let held = packidx::parse(&std::fs::read(entry.path())?, original.object_format);
            let held = held.map_err(|error| BuildError::NotAsPlanned(error.to_string()))?;
            for it in held {
                is_planned(it.oid, &allowed)?;
            }
        }
    }
    if packs > PACKS_MAX {
        roll_up(into)?;
    }
    nothing_foreign(into)?;
    whole(refs, graph, plan, into)
}

/// What the old refs reach was there, so what the new ones reach besides has to be.
fn whole(refs: &Allowed, graph: &Graph, plan: &Plan, into: &Path) -> Result<(), BuildError> {
    let named = |oid: Oid| graph.known.renamed(oid).unwrap_or(oid);
    let mut input = String::new();
    for tip in refs.tips() {
        if graph.known.tips.binary_search(&tip).is_err() {
            let _ = writeln!(input, "{}", plan.tip(tip));
        }
    }
    if input.is_empty() {
        return Ok(());
    }
    for oid in &graph.boundary {
        let _ = writeln!(input, "^{}", named(*oid));
    }
    let reach = git(into, "rev-list").args(["--objects", "--quiet", "--stdin"]);
    reach.output(input.as_bytes())?;
    Ok(())
}

/// Makes one pack of small ones. Where a large one goes along, all that helps reading is made
/// anew.
fn roll_up(into: &Path) -> Result<(), BuildError> {
    let repack = git(into, "repack").args(["-d", "--geometric=2", "-n", "-q"]);
    repack.output(b"")?;
    if !into.join("objects/pack/multi-pack-index").exists() {
        pack(into)?;
    }
    Ok(())
}

/// Puts in objects and refs; answers the objects.
fn fill(
    original: &Repository,
    refs: &Allowed,
    graph: &Graph,
    plan: &Plan,
    into: &Path,
) -> Result<HashSet<Oid>, BuildError> {
    let tips: Vec<Oid> = refs.direct.iter().map(|(_, oid)| plan.tip(*oid)).collect();
    let head = match refs.head {
        RefValue::Direct(oid) => RefValue::Direct(plan.tip(oid)),
        ref other => other.clone(),
    };
    let mut allowed: HashSet<Oid> = plan.same.iter().map(|(oid, _)| *oid).collect();
    allowed.extend(plan.pile.items().iter().map(|item| item.oid));
    if !allowed.is_empty() {
        let packs = graph.packs.as_ref();
        let directory = into.join("objects/pack");
        packfile::write(original, packs, &plan.same, &plan.pile, &directory)?;
    }
    write_refs(into, refs, &tips, &head)?;
    Ok(allowed)
}

/// Makes what helps reading: a commit-graph, and an index of all packs with a bitmap.
fn pack(into: &Path) -> Result<(), BuildError> {
    if std::fs::read_dir(into.join("objects/pack"))?
        .next()
        .is_none()
    {
        return Ok(());
    }
    let graph = git(into, "commit-graph").args(["write", "--reachable", "--no-progress"]);
    graph.output(b"")?;
    let midx = git(into, "multi-pack-index").args(["write", "--bitmap", "--no-progress"]);
    midx.output(b"")?;
    Ok(())
}

fn git(into: &Path, subcommand: &str) -> Git {
    Git::new(into, &ObjectEnv::repository_only(), subcommand)
}

/// What `git init --bare` makes, without a process (gitrepository-layout(5)).
fn init(original: &Repository, into: &Path) -> Result<(), BuildError> {
    for directory in ["objects/info", "objects/pack", "refs/heads", "refs/tags"] {
        std::fs::create_dir_all(into.join(directory))?;
    }
    let (version, extensions) = match original.object_format {
        ObjectFormat::Sha1 => (0, ""),
        ObjectFormat::Sha256 => (1, "[extensions]\n\tobjectformat = sha256\n"),
    };
    // Nothing repacks, prunes or receives here but a build.
    let config = format!(
        "[core]\n\trepositoryformatversion = {version}\n\tfilemode = true\n\tbare = true\n\
         [gc]\n\tauto = 0\n[http]\n\treceivepack = false\n{extensions}"
    );
    std::fs::write(into.join("config"), config)?;
    Ok(std::fs::write(
        into.join("HEAD"),
        format!("ref: {NOWHERE}\n"),
    )?)
}

/// Writes `packed-refs` (gitrepository-layout(5)) in one go: a hundred thousand refs as files
/// would take longer than the rest.
fn write_refs(
    into: &Path,
    refs: &Allowed,
    tips: &[Oid],
    head: &RefValue,
) -> Result<(), BuildError> {
    let mut packed = b"# pack-refs with: sorted \n".to_vec();
    for ((name, _), tip) in refs.direct.iter().zip(tips) {
        packed.extend_from_slice(tip.to_string().as_bytes());
        packed.push(b' ');
        packed.extend_from_slice(name.as_bytes());
        packed.push(b'\n');
    }
    if !refs.direct.is_empty() {
        std::fs::write(into.join("packed-refs"), packed)?;
    }
    for (name, target) in &refs.symbolic {
        let (name, target) = (name.as_bytes(), target.as_bytes());
        let link =
            git(into, "symbolic-ref").args([OsStr::from_bytes(name), OsStr::from_bytes(target)]);
        link.output(b"")?;
    }
    let head = match head {
        RefValue::Symbolic(target) => [b"ref: ", target.as_bytes(), b"\n"].concat(),
        RefValue::Direct(oid) => format!("{oid}\n").into_bytes(),
        RefValue::Missing => format!("ref: {NOWHERE}\n").into_bytes(),
    };
    std::fs::write(into.join("HEAD"), head)?;
    Ok(())
}

/// Every object that is there was planned, all that refs reach is there, and nothing is
/// borrowed.
fn verify(into: &Path, allowed: &HashSet<Oid>) -> Result<(), BuildError> {
    let listing = git(into, "cat-file").args([
        "--batch-check=%(objectname)",
        "--batch-all-objects",
        "--unordered",
    ]);
    for line in listing.output(b"")?.split(|byte| *byte == b'\n') {
        if !line.is_empty() {
            let oid = Oid::parse(line);
            let oid = oid.map_err(|_| BuildError::NotAsPlanned("what is no object".to_owned()))?;
            is_planned(oid, allowed)?;
        }
    }
    nothing_foreign(into)?;
    let reach = git(into, "rev-list").args(["--objects", "--all", "--quiet"]);
    reach.output(b"")?;
    Ok(())
}

fn is_planned(oid: Oid, allowed: &HashSet<Oid>) -> Result<(), BuildError> {
    if allowed.contains(&oid) {
        return Ok(());
    }
    Err(BuildError::NotAsPlanned("an object too many".to_owned()))
}

fn nothing_foreign(into: &Path) -> Result<(), BuildError> {
    for path in ["objects/info/alternates", "hooks"] {
        if into.join(path).exists() {
            return Err(BuildError::NotAsPlanned(format!("{path} exists")));
        }
    }
    Ok(())
}

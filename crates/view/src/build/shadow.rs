//! Writes a shadow and proves that it holds what was planned and nothing else.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::io::{BufWriter, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use refwarden_gitio::pack::{Selection, stream};
use refwarden_gitio::refs::RefValue;
use refwarden_gitio::{Git, ObjectEnv, Repository};
use refwarden_model::Oid;

use super::BuildError;
use super::refs::Allowed;
use super::rewrite::Plan;

/// Where HEAD points when the original's branch is none that may be named.
const NOWHERE: &str = "refs/heads/absent";

/// Packs beyond which an extended shadow is packed anew.
const PACKS_MAX: usize = 20;

/// Makes the shadow at `into`.
pub(super) fn make(
    original: &Repository,
    refs: &Allowed,
    plan: Plan,
    into: &Path,
) -> Result<(), BuildError> {
    init(original, into)?;
    let allowed = fill(original, refs, plan, into)?;
    pack(into)?;
    verify(into, &allowed)
}

/// Makes the shadow at `into` from one that holds nothing but what refs still reach, and what is
/// new.
pub(super) fn extend(
    original: &Repository,
    refs: &Allowed,
    plan: Plan,
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
    let graph = Path::new("info").join("commit-graph");
    if from.join(&graph).exists() {
        std::fs::hard_link(from.join(&graph), to.join(&graph))?;
    }
    let allowed = fill(original, refs, plan, into)?;
    let mut packs = 0;
    for entry in std::fs::read_dir(to.join("pack"))? {
        let entry = entry?;
        if entry.path().extension() != Some(OsStr::new("idx")) {
            continue;
        }
        packs += 1;
        if !linked.contains(&entry.file_name()) {
            let held = git(into, "show-index").output(&std::fs::read(entry.path())?)?;
            // Each line is an offset, a name, a checksum in parentheses.
            for line in held
                .split(|byte| *byte == b'\n')
                .filter(|it| !it.is_empty())
            {
                let name = line.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
                is_planned(name, &allowed)?;
            }
        }
    }
    if packs > PACKS_MAX {
        pack(into)?;
    }
    nothing_foreign(into)?;
    // What the old refs reach was there, so what the new ones reach besides has to be.
    let known = git(before, "for-each-ref").arg("--format=^%(objectname)");
    let known = known.output(b"")?;
    let reach = git(into, "rev-list").args(["--objects", "--quiet", "--all", "--stdin"]);
    reach.output(&known)?;
    Ok(())
}

/// Puts in objects and refs; answers the objects.
fn fill(
    original: &Repository,
    refs: &Allowed,
    plan: Plan,
    into: &Path,
) -> Result<HashSet<Oid>, BuildError> {
    let tips: Vec<Oid> = refs.direct.iter().map(|(_, oid)| plan.tip(*oid)).collect();
    let head = match refs.head {
        RefValue::Direct(oid) => RefValue::Direct(plan.tip(oid)),
        ref other => other.clone(),
    };
    let mut allowed: HashSet<Oid> = plan.same.iter().copied().collect();
    allowed.extend(plan.spool.known());
    if !plan.same.is_empty() {
        let env = ObjectEnv::repository_only();
        let mut pack = stream(original, &env, Selection::Objects(plan.same))?;
        index(into, |out| std::io::copy(&mut pack, out).map(|_| ()))?;
    }
    if !plan.spool.known().is_empty() {
        let spool = plan.spool;
        index(into, |out| spool.write(out))?;
    }
    write_refs(into, refs, &tips, &head)?;
    Ok(allowed)
}

/// Makes one pack of what refs reach, with a bitmap, and a commit-graph.
fn pack(into: &Path) -> Result<(), BuildError> {
    // Takes nothing along that no ref reaches.
    let repack = git(into, "repack").args(["-a", "-d", "-b", "-n", "-q"]);
    repack.output(b"")?;
    let graph = git(into, "commit-graph").args(["write", "--reachable", "--no-progress"]);
    graph.output(b"")?;
    Ok(())
}

fn git(into: &Path, subcommand: &str) -> Git {
    Git::new(into, &ObjectEnv::repository_only(), subcommand)
}

fn init(original: &Repository, into: &Path) -> Result<(), BuildError> {
    let format = format!("--object-format={}", original.object_format.name());
    let init = git(into, "init").args(["-q", "--bare", "--template=", &format]);
    init.output(b"")?;
    // Nothing repacks, prunes or receives here but a build.
    for (key, value) in [("gc.auto", "0"), ("http.receivepack", "false")] {
        git(into, "config").args([key, value]).output(b"")?;
    }
    Ok(())
}

/// Feeds a pack to `git index-pack`, which checks it.
fn index(
    into: &Path,
    feed: impl FnOnce(&mut dyn std::io::Write) -> std::io::Result<()>,
) -> Result<(), BuildError> {
    let mut process = git(into, "index-pack").args(["--stdin"]).spawn()?;
    let mut out = BufWriter::with_capacity(64 * 1024, process.stdin()?);
    feed(&mut out)?;
    out.flush()?;
    drop(out);
    process.finish()?;
    Ok(())
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
            is_planned(line, allowed)?;
        }
    }
    nothing_foreign(into)?;
    let reach = git(into, "rev-list").args(["--objects", "--all", "--quiet"]);
    reach.output(b"")?;
    Ok(())
}

fn is_planned(name: &[u8], allowed: &HashSet<Oid>) -> Result<(), BuildError> {
    if Oid::parse(name).is_ok_and(|oid| allowed.contains(&oid)) {
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

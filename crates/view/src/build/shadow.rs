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

/// Makes the shadow at `into`.
pub(super) fn make(
    original: &Repository,
    refs: &Allowed,
    plan: Plan,
    into: &Path,
) -> Result<(), BuildError> {
    init(original, into)?;
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
    // Takes nothing along that no ref reaches.
    let repack = git(into, "repack").args(["-a", "-d", "-b", "-n", "-q"]);
    repack.output(b"")?;
    let graph = git(into, "commit-graph").args(["write", "--reachable", "--no-progress"]);
    graph.output(b"")?;
    verify(into, &allowed)
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
        if !line.is_empty() && !Oid::parse(line).is_ok_and(|oid| allowed.contains(&oid)) {
            return Err(BuildError::NotAsPlanned("an object too many".to_owned()));
        }
    }
    for path in ["objects/info/alternates", "hooks"] {
        if into.join(path).exists() {
            return Err(BuildError::NotAsPlanned(format!("{path} exists")));
        }
    }
    let reach = git(into, "rev-list").args(["--objects", "--all", "--quiet"]);
    reach.output(b"")?;
    Ok(())
}

//! The objects that came with moves out of band, as one pack: without them the repository could
//! not be rebuilt from the records.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};

use refwarden_gitio::refs::{AllRefs, RefValue};
use refwarden_gitio::{Git, GitError, ObjectEnv, Repository};
use refwarden_model::{ByteText, Oid};
use refwarden_wire::reconcile::{LedgerOut, ReconcileIn};

/// What could be gathered.
#[derive(Default)]
pub struct Gathered {
    /// The pack, from its beginning; none when there is nothing to record.
    pub pack: Option<File>,
    /// Why something is missing.
    pub defect: Option<String>,
}

/// Packs what the changed refs reach and the ledger's refs do not. Deltas are made inside of the
/// pack only, so that it can be read without any other.
pub fn gather(
    repository: &Repository,
    known: &LedgerOut,
    report: &ReconcileIn,
    live: &AllRefs,
) -> Gathered {
    match try_gather(repository, known, report, live) {
        Ok(gathered) => gathered,
        Err(_) => Gathered {
            pack: None,
            defect: Some("objects of a move out of band cannot be read".to_owned()),
        },
    }
}

fn oid(value: Option<&ByteText>) -> Option<Oid> {
    Oid::parse(value?.as_bytes()).ok()
}

fn try_gather(
    repository: &Repository,
    known: &LedgerOut,
    report: &ReconcileIn,
    live: &AllRefs,
) -> Result<Gathered, GitError> {
    let changed = report
        .changes
        .iter()
        .filter_map(|one| oid(one.new.as_ref()));
    let skipped = report
        .gaps
        .iter()
        .filter_map(|gap| oid(gap.change.new.as_ref()));
    let mut wanted: BTreeSet<Oid> = changed.chain(skipped).collect();
    if wanted.is_empty() {
        return Ok(Gathered::default());
    }
    if let RefValue::Direct(oid) = live.head {
        wanted.insert(oid);
    }
    // Where the ledger has a gap, later values may build on objects that it does not hold.
    let mut held: BTreeSet<Oid> = BTreeSet::new();
    if report.gaps.is_empty() {
        held.extend(known.refs.iter().filter_map(|one| oid(Some(&one.value))));
    }
    held.extend(
        report
            .gaps
            .iter()
            .filter_map(|gap| oid(gap.change.old.as_ref())),
    );
    let present = present(repository, wanted.iter().chain(&held))?;
    let missing = wanted.iter().any(|oid| !present.contains(oid));
    let mut input = Vec::new();
    for oid in wanted.iter().filter(|oid| present.contains(oid)) {
        input.extend_from_slice(format!("{oid}\n").as_bytes());
    }
    for oid in held.iter().filter(|oid| present.contains(oid)) {
        input.extend_from_slice(format!("^{oid}\n").as_bytes());
    }
    let git = Git::new(
        repository.gitdir.as_path(),
        &ObjectEnv::repository_only(),
        "pack-objects",
    );
    let mut process = git
        .args(["--revs", "--stdout", "-q", "--delta-base-offset"])
        .spawn()?;
    let (mut stdin, mut stdout) = (process.stdin()?, process.stdout()?);
    // It reads all of its input before it writes.
    let written = stdin.write_all(&input);
    drop(stdin);
    let copied = written.and_then(|()| {
        let mut file = tempfile::tempfile()?;
        std::io::copy(&mut stdout, &mut file)?;
        Ok((objects_in(&mut file)?, file))
    });
    let (objects, file) = copied.map_err(|source| process.io(source))?;
    process.finish()?;
    Ok(Gathered {
        pack: (objects > 0).then_some(file),
        defect: missing.then(|| "a ref names an object that is missing".to_owned()),
    })
}

/// The count of objects in a pack's header: bytes 8 to 11, big-endian (gitformat-pack(5)). The
/// file is at its beginning afterwards.
fn objects_in(pack: &mut File) -> std::io::Result<u32> {
    let mut count = [0; 4];
    pack.seek(SeekFrom::Start(8))?;
    pack.read_exact(&mut count)?;
    pack.seek(SeekFrom::Start(0))?;
    Ok(u32::from_be_bytes(count))
}

/// Which of these objects the repository has.
fn present<'a>(
    repository: &Repository,
    oids: impl Iterator<Item = &'a Oid>,
) -> Result<BTreeSet<Oid>, GitError> {
    let mut input = Vec::new();
    for oid in oids {
        input.extend_from_slice(format!("{oid}\n").as_bytes());
    }
    let git = Git::new(
        repository.gitdir.as_path(),
        &ObjectEnv::repository_only(),
        "cat-file",
    );
    let output = git.arg("--batch-check=%(objectname)").output(&input)?;
    // Of a missing one it says `<oid> missing`.
    let lines = output.split(|&byte| byte == b'\n');
    Ok(lines.filter_map(|line| Oid::parse(line).ok()).collect())
}

//! What is scanned: source of real packages, as cargo has unpacked it, in three sizes; a large
//! file; a history; pushes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use refwarden_testkit::Git;

/// Bytes of the largest tree; the others have a tenth and a hundredth.
const TREE: u64 = 200_000_000;

/// Bytes of the large file, where there are so many.
const LARGE: u64 = 256_000_000;

/// Everything but histories.
pub struct Corpus {
    /// A directory with one small file.
    pub small: PathBuf,
    /// Trees, each ten times the one before.
    pub trees: Vec<Tree>,
    /// A directory with one large file.
    pub large: PathBuf,
    /// Its size.
    pub large_bytes: u64,
}

/// A tree of source.
pub struct Tree {
    /// Where.
    pub path: PathBuf,
    /// Files in it.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Where everything of this benchmark is kept between runs.
pub fn directory() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let directory = PathBuf::from(target).join("scan-bench");
    fs::create_dir_all(&directory).unwrap();
    directory.canonicalize().unwrap()
}

impl Corpus {
    /// Makes it anew.
    pub fn make(work: &Path) -> Self {
        eprintln!("scan: copying source");
        let small = fresh(&work.join("small"));
        fs::write(small.join("file"), "hello\n").unwrap();
        let source = source();
        let mut files = Vec::new();
        list(&source, &mut files);
        files.sort();
        let trees = [100, 10, 1].map(|share| {
            let path = fresh(&work.join(format!("tree-{share}")));
            copy(&source, &files, TREE / share, &path)
        });
        let large = fresh(&work.join("large"));
        let large_bytes = join(&files, &large.join("file"));
        Self {
            small,
            trees: trees.into(),
            large,
            large_bytes,
        }
    }
}

/// `SCAN_BENCH_TREE`, or the source of packages that cargo has unpacked.
fn source() -> PathBuf {
    if let Some(named) = std::env::var_os("SCAN_BENCH_TREE") {
        return named.into();
    }
    let home = std::env::var_os("CARGO_HOME").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cargo"),
        PathBuf::from,
    );
    home.join("registry/src")
}

/// Files below a directory.
pub fn count(directory: &Path) -> usize {
    let mut files = Vec::new();
    list(directory, &mut files);
    files.len()
}

/// An empty directory in the place of what is there.
pub fn fresh(path: &Path) -> PathBuf {
    if path.exists() {
        fs::remove_dir_all(path).unwrap();
    }
    fs::create_dir_all(path).unwrap();
    path.to_owned()
}

fn list(directory: &Path, files: &mut Vec<(PathBuf, u64)>) {
    for entry in fs::read_dir(directory).unwrap_or_else(|e| panic!("{}: {e}", directory.display()))
    {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            list(&entry.path(), files);
        } else if kind.is_file() {
            files.push((entry.path(), entry.metadata().unwrap().len()));
        }
    }
}

/// Copies files, evenly picked from all, until there are `wanted` bytes.
fn copy(source: &Path, files: &[(PathBuf, u64)], wanted: u64, into: &Path) -> Tree {
    let all: u64 = files.iter().map(|(_, bytes)| bytes).sum();
    let (mut passed, mut bytes, mut count) = (0, 0, 0);
    for (path, length) in files {
        passed += length;
        // As much of what was passed as is wanted of all.
        if bytes + length > passed * wanted.min(all) / all {
            continue;
        }
        let to = into.join(path.strip_prefix(source).unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(path, to).unwrap();
        bytes += length;
        count += 1;
    }
    Tree {
        path: into.to_owned(),
        files: count,
        bytes,
    }
}

/// Joins files to one large one, no larger than all of them; its size.
fn join(files: &[(PathBuf, u64)], into: &Path) -> u64 {
    let mut out = std::io::BufWriter::new(fs::File::create(into).unwrap());
    let mut bytes = 0;
    for (path, _) in files {
        bytes += std::io::copy(&mut fs::File::open(path).unwrap(), &mut out).unwrap();
        if bytes >= LARGE {
            break;
        }
    }
    bytes
}

/// A bare copy of `SCAN_BENCH_REPO`, or of this project's repository, and what is in it.
pub fn repository(work: &Path) -> (PathBuf, String) {
    let named = std::env::var_os("SCAN_BENCH_REPO").unwrap_or_else(|| ".".into());
    let path = work.join("history.git");
    if path.exists() {
        fs::remove_dir_all(&path).unwrap();
    }
    let mut clone = Command::new("git");
    clone.args(["clone", "-q", "--mirror", "--no-hardlinks"]);
    let status = clone.arg(&named).arg(&path).status().unwrap();
    assert!(status.success(), "git clone of {} failed", named.display());
    let git = Git::new(work);
    git.run(&path, &["repack", "-adq"]).passes();
    let commits = git.text(&path, &["rev-list", "--all", "--count"]);
    let packed = git.text(&path, &["count-objects", "-v"]);
    let packed = packed
        .lines()
        .find_map(|line| line.strip_prefix("in-pack: "));
    let name = Path::new(&named).canonicalize().unwrap();
    let name = name
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let objects = packed.unwrap_or("?");
    (
        path,
        format!("{name}, {commits} commits, {objects} objects"),
    )
}

/// A repository whose second commit brings in some files of the corpus; both commits.
pub fn push(work: &Path, corpus: &Corpus, files: usize) -> (PathBuf, String, String) {
    let path = fresh(&work.join(format!("push-{files}")));
    let git = Git::new(work);
    git.run(&path, &["init", "-q", "-b", "main", "."]).passes();
    let commit = || {
        git.run(&path, &["add", "-A"]).passes();
        git.run(&path, &["commit", "-q", "-m", "Some files"])
            .passes();
        git.text(&path, &["rev-parse", "HEAD"])
    };
    fs::write(path.join("README"), "A repository.\n").unwrap();
    let before = commit();
    let mut all = Vec::new();
    list(&corpus.trees[1].path, &mut all);
    all.sort();
    let step = (all.len() / files).max(1);
    for (number, (from, _)) in all.iter().step_by(step).take(files).enumerate() {
        let name = from.file_name().unwrap().to_string_lossy();
        fs::copy(from, path.join(format!("{number}-{name}"))).unwrap();
    }
    let after = commit();
    (path, before, after)
}

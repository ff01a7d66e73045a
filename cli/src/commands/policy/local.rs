//! The facts of a move of a ref in a repository on this machine, as a hook would gather them.
//!
//! The commits are those that NEW adds to OLD, though other refs may hold them by now: they are
//! read in a throwaway repository that borrows the objects and has only the refs that stood
//! before. Nothing is scanned for secrets and no signature is checked.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use refwarden_gitio::history::{self, Change, NewCommit};
use refwarden_gitio::objects::{self, Kind, ReadObjects};
use refwarden_gitio::refs::RefValue;
use refwarden_gitio::{ObjectEnv, Refs, Repository};
use refwarden_model::facts::{
    ChangeFacts, CommitFacts, PushFacts, RefFacts, SignatureFacts, SignatureState, TagFacts,
    UpdateKind,
};
use refwarden_model::{ByteText, Oid, RefName};

use crate::failure::{Context as _, Failure, Outcome};
use crate::git;

/// The longest commit, tag or LFS pointer that is read, in bytes.
const OBJECT_MAX: u64 = 16 << 20;

/// The longest LFS pointer (git-lfs/docs/spec.md: less than 1024 bytes).
const POINTER_MAX: u64 = 1024;
const POINTER: &[u8] = b"version https://git-lfs.github.com/spec/v1\n";

/// A move of a ref as a person names it.
pub struct Move<'a> {
    /// A revision, or `-` where the ref does not exist.
    pub old: &'a str,
    /// A revision, or `-` where the ref is deleted.
    pub new: &'a str,
    /// The full name.
    pub ref_name: RefName,
}

/// Opens a git directory, or the one in a working directory.
pub fn open(path: &Path) -> Outcome<Repository> {
    let inside = path.join(".git");
    let gitdir = if inside.is_dir() {
        inside
    } else {
        path.to_owned()
    };
    Repository::open(&gitdir).context(|| format!("{} cannot be used", path.display()))
}

/// Gathers the facts.
pub fn facts(repository: &Repository, wanted: &Move<'_>) -> Outcome<PushFacts> {
    let old = resolve(repository, wanted.old)?;
    let new = resolve(repository, wanted.new)?;
    let refs = Refs::new(repository);
    let all = refs
        .all()
        .context(|| "the refs cannot be read".to_owned())?;
    let before: Vec<Oid> = if old.is_zero() {
        let stood = all.refs.iter();
        let stood = stood.filter(|(name, oid)| *name != wanted.ref_name && *oid != new);
        stood.map(|(_, oid)| *oid).collect()
    } else {
        vec![old]
    };
    let scratch = Scratch::new(repository, &before)?;
    let objects = ObjectEnv::repository_only();
    let mut reader = objects::open(&scratch.repository, &objects, false);
    let tips: Vec<Oid> = [new].into_iter().filter(|oid| !oid.is_zero()).collect();
    let limits = history::Limits {
        patch: 0,
        patches: 0,
        ..history::Limits::default()
    };
    let history = history::read(&scratch.repository, &objects, &tips, &limits, |_| false)
        .context(|| "the commits cannot be read".to_owned())?;
    let mut commits = Vec::new();
    for commit in &history.commits {
        let listed = history.changes.get(&commit.oid);
        let changes = listed.map_or(&[][..], |listed| &listed.changes);
        let total = listed.map_or(0, |listed| listed.total);
        commits.push(commit_facts(&mut *reader, commit, changes, total)?);
    }
    let mut update = RefFacts {
        default_branch: Some(all.head == RefValue::Symbolic(wanted.ref_name.clone())),
        target: wanted.ref_name.clone(),
        ref_name: wanted.ref_name.clone(),
        claimed_old: old,
        actual_old: old,
        new,
        kind: UpdateKind::NoOp,
        new_type: None,
        gained: history.commits_total,
        lost: 0,
    };
    let mut kind_of = |oid: Oid| -> Outcome<Option<Kind>> {
        if oid.is_zero() {
            return Ok(None);
        }
        let header = reader
            .header(oid)
            .context(|| format!("{oid} cannot be read"))?;
        Ok(Some(header.kind))
    };
    let (old_kind, new_kind) = (kind_of(old)?, kind_of(new)?);
    update.new_type = new_kind.map(|kind| kind.name().to_owned());
    update.kind = match (old_kind, new_kind) {
        _ if old == new => UpdateKind::NoOp,
        (_, None) => UpdateKind::Delete,
        (None, _) => UpdateKind::Create,
        (Some(Kind::Commit), Some(Kind::Commit)) => {
            let counts = history::counts(&scratch.repository, &objects, old, new)
                .context(|| "the commits cannot be counted".to_owned())?;
            (update.gained, update.lost) = (counts.gained, counts.lost);
            if counts.lost == 0 && !update.target.is_tag() {
                UpdateKind::FastForward
            } else {
                UpdateKind::NonFastForward
            }
        }
        _ => UpdateKind::NonFastForward,
    };
    Ok(PushFacts {
        object_format: repository.object_format,
        updates: vec![update],
        commits,
        commits_total: history.commits_total,
        known_commits: Vec::new(),
        tags: tags(&mut *reader, new, new_kind)?,
        certificate: None,
        properties: None,
        findings: Vec::new(),
        findings_total: 0,
        secret_moves: Vec::new(),
        objects_scanned: 0,
        push_options: Vec::new(),
        ruleset_id: String::new(),
        policy_rules: None,
    })
}

fn resolve(repository: &Repository, revision: &str) -> Outcome<Oid> {
    if revision == "-" {
        return Ok(repository.object_format.zero());
    }
    let mut command = git::within(&repository.gitdir, "rev-parse");
    command.args(["--verify", "--quiet", "--end-of-options", revision]);
    let said = git::output(command).ok();
    said.and_then(|said| Oid::parse(said.trim_ascii()).ok())
        .ok_or_else(|| Failure::new(format!("'{revision}' is no revision of the repository")))
}

/// A repository that borrows another's objects.
struct Scratch {
    repository: Repository,
    /// Removes it when this goes away.
    _directory: tempfile::TempDir,
}

impl Scratch {
    fn new(real: &Repository, refs: &[Oid]) -> Outcome<Self> {
        let failed = || "a temporary repository cannot be made".to_owned();
        let directory = tempfile::tempdir().context(failed)?;
        let path: PathBuf = directory.path().join("scratch.git");
        let mut command = git::within(&path, "init");
        let format = format!("--object-format={}", real.object_format.name());
        command
            .args(["--quiet", "--bare", "--template=", &format])
            .arg(&path);
        git::output(command)?;
        let info = path.join("objects/info");
        std::fs::create_dir_all(&info).context(failed)?;
        let mut alternates = std::fs::File::create(info.join("alternates")).context(failed)?;
        let borrowed = real.gitdir.join("objects");
        writeln!(alternates, "{}", borrowed.display()).context(failed)?;
        let numbered = refs.iter().enumerate();
        let lines = numbered.map(|(index, oid)| format!("create refs/before/{index} {oid}\n"));
        let mut command = git::within(&path, "update-ref");
        command.arg("--stdin");
        git::feed(command, lines.collect::<String>().as_bytes())?;
        Ok(Self {
            repository: Repository::open(&path).context(failed)?,
            _directory: directory,
        })
    }
}

fn load(reader: &mut dyn ReadObjects, oid: Oid) -> Outcome<Vec<u8>> {
    let loaded = reader.load(oid, OBJECT_MAX, &mut |_, _| {});
    let (_, bytes) = loaded.context(|| format!("{oid} cannot be read"))?;
    bytes.ok_or_else(|| Failure::new(format!("{oid} is too large to be read")))
}

fn commit_facts(
    reader: &mut dyn ReadObjects,
    commit: &NewCommit,
    changes: &[Change],
    total: u64,
) -> Outcome<CommitFacts> {
    let bytes = load(reader, commit.oid)?;
    let parsed = Parsed::of(&bytes);
    let tree = parsed.header(b"tree").and_then(|id| Oid::parse(id).ok());
    let tree = tree.ok_or_else(|| Failure::new(format!("{} names no tree", commit.oid)))?;
    let mut listed = Vec::new();
    for change in changes {
        listed.push(change_facts(reader, change)?);
    }
    let signed = parsed.is_signed();
    Ok(CommitFacts {
        oid: commit.oid,
        parents: commit.parents.clone(),
        tree,
        author: ByteText::new(parsed.header(b"author").unwrap_or_default()),
        committer: ByteText::new(parsed.header(b"committer").unwrap_or_default()),
        message: ByteText::new(parsed.message),
        message_cut: false,
        patch_id: None,
        signed,
        signature: Some(unchecked(signed)),
        changes: listed,
        changes_total: total,
    })
}

/// No signers are configured here, so a signature is by an unknown key.
fn unchecked(signed: bool) -> SignatureFacts {
    SignatureFacts {
        kind: None,
        state: if signed {
            SignatureState::UnknownKey
        } else {
            SignatureState::Unsigned
        },
        signer: None,
        key: None,
    }
}

fn change_facts(reader: &mut dyn ReadObjects, change: &Change) -> Outcome<ChangeFacts> {
    let is_blob = !change.new_oid.is_zero() && change.new_mode != "160000";
    let (mut size, mut pointer) = (None, None);
    if is_blob {
        let oid = change.new_oid;
        let header = reader
            .header(oid)
            .context(|| format!("{oid} cannot be read"))?;
        size = Some(header.size);
        let small = header.size < POINTER_MAX;
        pointer = Some(small && load(reader, oid)?.starts_with(POINTER));
    }
    Ok(ChangeFacts {
        path: ByteText::new(change.path.clone()),
        old_mode: change.old_mode.clone(),
        new_mode: change.new_mode.clone(),
        old_oid: change.old_oid,
        new_oid: change.new_oid,
        status: change.status,
        added: change.added,
        deleted: change.deleted,
        patch: ByteText::default(),
        patch_cut: true,
        size,
        binary: Some(change.added.is_none()),
        lfs_pointer: pointer,
    })
}

/// The tag objects between a ref's new value and what is no tag.
fn tags(reader: &mut dyn ReadObjects, new: Oid, kind: Option<Kind>) -> Outcome<Vec<TagFacts>> {
    let mut tags = Vec::new();
    let mut next = (kind == Some(Kind::Tag)).then_some(new);
    while let Some(oid) = next {
        let bytes = load(reader, oid)?;
        let parsed = Parsed::of(&bytes);
        let target = parsed.header(b"object").and_then(|id| Oid::parse(id).ok());
        let target = target.ok_or_else(|| Failure::new(format!("tag {oid} names no object")))?;
        let target_type = parsed.header(b"type").unwrap_or_default();
        let tag = TagFacts {
            oid,
            target,
            target_type: String::from_utf8_lossy(target_type).into_owned(),
            name: ByteText::new(parsed.header(b"tag").unwrap_or_default()),
            tagger: parsed.header(b"tagger").map(ByteText::new),
            message: ByteText::new(parsed.message),
            signature: Some(unchecked(parsed.is_signed())),
        };
        next = (tag.target_type == "tag").then_some(target);
        tags.push(tag);
    }
    Ok(tags)
}

/// A commit or tag object: headers, an empty line, the message (gitformat-signature(5) says
/// where signatures stand).
struct Parsed<'a> {
    headers: Vec<(&'a [u8], &'a [u8])>,
    message: &'a [u8],
}

impl<'a> Parsed<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        let mut headers = Vec::new();
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
            let (line, after) = rest.split_at(end);
            rest = after.get(1..).unwrap_or_default();
            if line.is_empty() {
                break;
            }
            let space = line.iter().position(|&byte| byte == b' ');
            let (key, value) = line.split_at(space.unwrap_or(line.len()));
            headers.push((key, value.get(1..).unwrap_or_default()));
        }
        Self {
            headers,
            message: rest,
        }
    }

    fn header(&self, key: &[u8]) -> Option<&'a [u8]> {
        let found = self.headers.iter().find(|(name, _)| *name == key);
        found.map(|(_, value)| *value)
    }

    fn is_signed(&self) -> bool {
        let in_header = self
            .headers
            .iter()
            .any(|(key, _)| key.starts_with(b"gpgsig"));
        let begins = |line: &[u8]| {
            line.starts_with(b"-----BEGIN ")
                && (line.ends_with(b" SIGNATURE-----") || line.ends_with(b" MESSAGE-----"))
        };
        // A tag's signature follows its message; a commit's stands in a header.
        let is_tag = self.header(b"object").is_some();
        in_header || (is_tag && self.message.split(|&byte| byte == b'\n').any(begins))
    }
}

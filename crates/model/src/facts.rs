//! What was learned about a push: the input of policy, the content of the ledger.
//!
//! Facts are gathered by the hook, on the Git server, from the repository itself; nothing here
//! is the client's word except where a field says `claimed`. No text in them holds a secret:
//! the hook masks what the scanner found before it fills them in.

use serde::{Deserialize, Serialize};

use crate::{ByteText, ObjectFormat, Oid, RefName};

/// Everything that was learned about one push.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PushFacts {
    /// The repository's hash function.
    pub object_format: ObjectFormat,
    /// The ref updates, in the client's order.
    pub updates: Vec<RefFacts>,
    /// Commits that the push makes newly reachable, parents before children.
    pub commits: Vec<CommitFacts>,
    /// How many commits there are; more than `commits.len()` where the list was cut.
    pub commits_total: u64,
    /// Secrets found in the push.
    pub findings: Vec<FindingFacts>,
    /// How many findings there are; more than `findings.len()` where the list was cut.
    pub findings_total: u64,
    /// Number of objects that were scanned.
    pub objects_scanned: u64,
    /// Push options as sent, less `token=`, which never leaves the hook in a record.
    pub push_options: Vec<ByteText>,
    /// The id of the ruleset that the scan used.
    pub ruleset_id: String,
}

/// What happens to a ref.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UpdateKind {
    /// It did not exist.
    Create,
    /// The new commit descends from the old one.
    FastForward,
    /// It moves to something that does not descend from the old value. Moving a tag is this.
    NonFastForward,
    /// It ceases to exist.
    Delete,
    /// It already has the new value, or is deleted without existing.
    NoOp,
}

impl UpdateKind {
    /// The word used in policy files, records and pages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::FastForward => "fast-forward",
            Self::NonFastForward => "non-fast-forward",
            Self::Delete => "delete",
            Self::NoOp => "no-op",
        }
    }

    /// The kind that a word names.
    pub fn from_name(name: &str) -> Option<Self> {
        [
            Self::Create,
            Self::FastForward,
            Self::NonFastForward,
            Self::Delete,
            Self::NoOp,
        ]
        .into_iter()
        .find(|kind| kind.name() == name)
    }
}

/// One ref update: the client's claim, and what the repository says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefFacts {
    /// The name the client sent.
    pub ref_name: RefName,
    /// The ref that would really move: differs from `ref_name` when that is a symbolic ref.
    pub target: RefName,
    /// The old oid as the client claims it. For a delete git does not check it.
    pub claimed_old: Oid,
    /// The value of `target` now; zero when it does not exist.
    pub actual_old: Oid,
    /// The new oid; zero for a delete.
    pub new: Oid,
    /// What happens.
    pub kind: UpdateKind,
    /// The type of the new object: `commit`, `tag`, `tree`, `blob`; none for a delete.
    pub new_type: Option<String>,
    /// Commits that the ref gains.
    pub gained: u64,
    /// Commits that the ref loses (reachable from the old value and not from the new one).
    pub lost: u64,
}

/// One new commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitFacts {
    /// Its id.
    pub oid: Oid,
    /// Its parents, in order.
    pub parents: Vec<Oid>,
    /// Its tree.
    pub tree: Oid,
    /// The author header's value, as stored: name, address, time, zone.
    pub author: ByteText,
    /// The committer header's value, as stored.
    pub committer: ByteText,
    /// The message, masked.
    pub message: ByteText,
    /// Whether the commit carries a signature. Whether it is good is not judged here.
    pub signed: bool,
    /// Files changed against the first parent.
    pub changes: Vec<ChangeFacts>,
    /// How many files are changed; more than `changes.len()` where the list was cut.
    pub changes_total: u64,
}

/// One changed file of a commit, against its first parent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeFacts {
    /// The path after the change (before it, for a deletion).
    pub path: ByteText,
    /// File mode before, octal as git prints it; `000000` when it did not exist.
    pub old_mode: String,
    /// File mode after.
    pub new_mode: String,
    /// Object before; zero when it did not exist.
    pub old_oid: Oid,
    /// Object after.
    pub new_oid: Oid,
    /// Git's status letter: `A`dded, `M`odified, `D`eleted, `T`ype changed.
    pub status: char,
    /// Lines added; none for a binary file.
    pub added: Option<u64>,
    /// Lines removed; none for a binary file.
    pub deleted: Option<u64>,
    /// The unified diff's hunks, masked; empty for a binary file.
    pub patch: ByteText,
    /// Whether `patch` was cut or left out for its size; the pack still holds everything.
    pub patch_cut: bool,
}

/// Where in a push a finding stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// A file's content.
    Blob,
    /// A commit object: message, author, committer or another header.
    Commit,
    /// A tag object.
    Tag,
    /// An entry name in a tree.
    Path,
    /// A ref's name.
    RefName,
    /// A push option.
    PushOption,
}

impl Place {
    /// The word used in records and pages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Blob => "blob",
            Self::Commit => "commit",
            Self::Tag => "tag",
            Self::Path => "path",
            Self::RefName => "ref-name",
            Self::PushOption => "push-option",
        }
    }
}

/// One secret found, without the secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FindingFacts {
    /// The rule that found it.
    pub rule_id: String,
    /// Keyed hash of the secret, hexadecimal.
    pub fingerprint: String,
    /// Where it stands.
    pub place: Place,
    /// The object that holds it; none for a ref name or a push option.
    pub object: Option<Oid>,
    /// The file's path, masked, where one is known. An unreachable blob has none.
    pub path: Option<ByteText>,
    /// The commit that introduces it, where one is known.
    pub commit: Option<Oid>,
    /// Line, from 1.
    pub line: u64,
    /// Column in bytes, from 1.
    pub column: u64,
    /// A shortened form for people: at most four leading and two trailing characters.
    pub redacted: String,
    /// Whether the same secret already stands in what the repository had reachable.
    pub pre_existing: bool,
    /// The format's checksum: `valid`, `invalid`, or none where the format has none.
    pub checksum: Option<String>,
}

//! What was learned about a push: the input of policy, the content of the ledger.
//!
//! Facts are gathered by the hook, on the Git server, from the repository itself; nothing here
//! is the client's word except where a field says `claimed`. No text in them holds a secret:
//! the hook masks what the scanner found before it fills them in.
//!
//! A field that is `Option` and none was not gathered: by an older hook, or because it would
//! have cost too much. Policy counts what is not known against the push, never for it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{ByteText, ObjectFormat, Oid, RefName, bytes};

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
    /// Commits that a ref of this push gains and that the repository held already: another ref
    /// brought them. Parents before children; none of them is in `commits`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub known_commits: Vec<CommitFacts>,
    /// Tag objects that the push's refs name, directly or by way of another tag.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<TagFacts>,
    /// The push certificate (`git push --signed`, git-receive-pack(1)); none where the hook does
    /// not tell. A push without a certificate has one here with state `unsigned`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateFacts>,
    /// Properties that administrators gave the repository, such as `tier = "production"`; none
    /// where nobody asked for them, empty where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub properties: Option<BTreeMap<String, String>>,
    /// Secrets found in the push.
    pub findings: Vec<FindingFacts>,
    /// How many findings there are; more than `findings.len()` where the list was cut.
    pub findings_total: u64,
    /// Secrets that a push from a masked clone would put where they did not stand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secret_moves: Vec<SecretMove>,
    /// Number of objects that were scanned.
    pub objects_scanned: u64,
    /// Push options as sent, less `token=`, which never leaves the hook in a record.
    pub push_options: Vec<ByteText>,
    /// The id of the ruleset that the scan used.
    pub ruleset_id: String,
    /// Digest of what was added to the scanner's own rules, as a policy names it; none where
    /// nothing was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_rules: Option<String>,
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
    /// Whether `target` is the branch that `HEAD` names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_branch: Option<bool>,
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
    /// Whether `message` was cut for its length.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub message_cut: bool,
    /// Whether the commit carries a signature. Whether it is good, `signature` says.
    pub signed: bool,
    /// What checking the signature gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<SignatureFacts>,
    /// Files changed against the first parent.
    pub changes: Vec<ChangeFacts>,
    /// How many files are changed; more than `changes.len()` where the list was cut.
    pub changes_total: u64,
    /// What the changes are, whatever they are applied to: hexadecimal SHA-256, equal for a commit
    /// and its clean rebase. None where it was not computed or not everything is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch_id: Option<String>,
}

/// How something is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignatureKind {
    /// `OpenPGP`, `-----BEGIN PGP SIGNATURE-----`.
    Gpg,
    /// OpenSSH, `-----BEGIN SSH SIGNATURE-----`.
    Ssh,
    /// CMS, `-----BEGIN SIGNED MESSAGE-----`.
    X509,
}

impl SignatureKind {
    /// The word used in policy files, records and pages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gpg => "gpg",
            Self::Ssh => "ssh",
            Self::X509 => "x509",
        }
    }
}

/// What checking a signature with git and the configured signers gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignatureState {
    /// Made by a key of a configured signer, valid when it was checked.
    Good,
    /// It does not verify, or the key has expired or was revoked.
    Bad,
    /// It may be right, but no configured signer has that key.
    UnknownKey,
    /// There is none.
    Unsigned,
}

impl SignatureState {
    /// The word used in policy files, records and pages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Bad => "bad",
            Self::UnknownKey => "unknown-key",
            Self::Unsigned => "unsigned",
        }
    }
}

/// The signature of a commit, a tag or a push.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignatureFacts {
    /// Its format; none where there is no signature or the format is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<SignatureKind>,
    /// What checking it gave.
    pub state: SignatureState,
    /// Whose key it is: the principal of an allowed-signers file, the user id of an `OpenPGP` key,
    /// the subject of a certificate. Only where `state` is `good`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<String>,
    /// The key's fingerprint: `SHA256:…` for SSH, hexadecimal otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// The certificate of a signed push.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateFacts {
    /// What checking the certificate's signature gave.
    pub signature: SignatureFacts,
    /// Whether the certificate carries the nonce that the server asked for (`GIT_PUSH_CERT_NONCE_STATUS`
    /// is `OK`), so that it is no replay of an earlier one.
    pub nonce_ok: bool,
}

/// One annotated tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagFacts {
    /// The tag object.
    pub oid: Oid,
    /// What it names.
    pub target: Oid,
    /// The type of what it names: `commit`, `tag`, `tree`, `blob`.
    pub target_type: String,
    /// The name in its `tag` header, which need not be the ref's.
    pub name: ByteText,
    /// The tagger header's value, as stored; none where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tagger: Option<ByteText>,
    /// The message, masked, without the signature.
    pub message: ByteText,
    /// What checking the signature gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<SignatureFacts>,
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
    /// Size of the file after the change, in bytes; none for a deletion and a submodule too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Whether git takes the file for binary (a NUL in its first 8000 bytes, unless attributes
    /// say otherwise).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binary: Option<bool>,
    /// Whether the file after the change is a Git LFS pointer
    /// (git-lfs/docs/spec.md, version 1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lfs_pointer: Option<bool>,
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

/// How sure the scanner's rule is. Ordered: `Low` is the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingConfidence {
    /// A generic shape.
    Low,
    /// A shape with a keyword near by.
    Medium,
    /// A provider's own format.
    High,
}

/// Whether a rule acts, or only says what it would have done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// It acts.
    #[default]
    Enforce,
    /// It is recorded and does nothing.
    Evaluate,
    /// It is not asked.
    Off,
}

impl Mode {
    /// The word used in policy files, records and pages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Evaluate => "evaluate",
            Self::Off => "off",
        }
    }

    /// Whether the mode is the usual one.
    pub fn is_enforce(&self) -> bool {
        *self == Self::Enforce
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
    /// How sure the rule is, the checksum considered; none where the scanner did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<FindingConfidence>,
    /// The scanner rule's mode.
    #[serde(default, skip_serializing_if = "Mode::is_enforce")]
    pub mode: Mode,
    /// The layers around the secret, outermost first, masked: `!` and a path for a member of an
    /// archive, else the name of a compression or an encoding. Line and column are inside the
    /// innermost member.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub via: Vec<String>,
    /// What speaks for it. Whether that counts, policy says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed: Vec<Allowed>,
}

/// A secret that comes to stand where it did not: the push, made in a masked view, has its
/// placeholder there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SecretMove {
    /// The rule that the placeholder names.
    pub rule_id: String,
    /// Other rules of the view that find something of it where it stands, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
    /// A path at which the secret stands or stood.
    pub from: ByteText,
    /// The line there, from 1; 0 where it was not recorded.
    #[serde(default)]
    pub from_line: u64,
    /// Its fingerprint, as findings have it; empty where it was not recorded.
    #[serde(default)]
    pub fingerprint: String,
    /// The path at which it would stand.
    pub path: ByteText,
    /// The line there, from 1.
    pub line: u64,
    /// The first of the lines that move with it, as they are where it stands.
    #[serde(default)]
    pub first: u64,
    /// The last of them.
    #[serde(default)]
    pub last: u64,
    /// The file, by the original's name.
    pub object: Oid,
    /// Whether masking the push would not give back what its client sent. That may depend on the
    /// secret, so whoever pushed is not told before people have looked; nobody can approve it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unsound: bool,
}

/// `secret github-pat from conf/app:2 to conf/new:3`, in printable ASCII. The pusher reads it, so
/// the fingerprint is not in it.
impl std::fmt::Display for SecretMove {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            from, path, line, ..
        } = self;
        let rule = bytes::escape(self.rule_id.as_bytes());
        write!(f, "secret {rule} from {from}")?;
        if self.from_line > 0 {
            write!(f, ":{}", self.from_line)?;
        }
        write!(f, " to {path}:{line}")
    }
}

impl SecretMove {
    /// All that people who decide are shown of it, in one line.
    pub fn in_full(&self) -> String {
        let rules = self.rules().skip(1);
        let also: Vec<String> = rules
            .map(|rule| format!(", also {}", bytes::escape(rule.as_bytes())))
            .collect();
        let also = also.concat();
        let unsound = if self.unsound {
            ", not masked there"
        } else {
            ""
        };
        let fingerprint = bytes::escape(self.fingerprint.as_bytes());
        format!("{self}{also}, fingerprint {fingerprint}{unsound}")
    }

    /// The rules that cover it, that of its placeholder first.
    pub fn rules(&self) -> impl Iterator<Item = &str> {
        let also = self.also.iter().map(String::as_str);
        std::iter::once(self.rule_id.as_str()).chain(also)
    }

    /// Whether a finding is what this move brings: this secret, found in the file itself, or what
    /// the hook has seen to reach into the lines that move.
    pub fn brings(&self, finding: &FindingFacts) -> bool {
        let is_here = finding.place == Place::Blob
            && finding.object == Some(self.object)
            && finding.path.as_ref() == Some(&self.path)
            && finding.members().is_empty();
        let is_it = finding.line == self.line
            && finding.rule_id == self.rule_id
            && finding.fingerprint == self.fingerprint;
        is_here && (is_it || finding.allowed.contains(&Allowed::Move))
    }

    /// Whether something in the file, from one line to another, reaches into the lines that move.
    pub fn is_met(&self, first: u64, last: u64) -> bool {
        first <= self.last && self.first <= last
    }
}

/// Something that may acquit a finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "by")]
pub enum Allowed {
    /// A comment `gitleaks:allow` in its line. Found by the hook.
    Comment,
    /// A line of a `.gitleaksignore` that the policy names. Found by the hook.
    IgnoreFile {
        /// The file, as the policy names it.
        file: String,
        /// The line.
        entry: String,
    },
    /// A line of the repository's own `.gitleaksignore`, as the default branch has it. Found by the
    /// hook.
    RepositoryIgnore {
        /// The line.
        entry: String,
    },
    /// An exception that people approved. Found by the service.
    Exception {
        /// Its code.
        id: String,
    },
    /// It reaches into lines that move as a whole ([`SecretMove`]). Found by the hook; counts for
    /// what people are asked about.
    Move,
}

impl std::fmt::Display for Allowed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Comment => f.write_str("a comment gitleaks:allow"),
            Self::IgnoreFile { file, entry } => write!(f, "{file}: {entry}"),
            Self::RepositoryIgnore { entry } => write!(f, ".gitleaksignore: {entry}"),
            Self::Exception { id } => write!(f, "exception {id}"),
            Self::Move => f.write_str("lines that move as a whole"),
        }
    }
}

impl FindingFacts {
    /// The members of archives that lead to the secret, to be put behind the path:
    /// `!inner.zip!a.txt`; empty for a secret in the file itself.
    pub fn members(&self) -> String {
        let members = self.via.iter().filter(|step| step.starts_with('!'));
        members.map(String::as_str).collect()
    }

    /// What had to be undone to read the secret: ` (gzip, base64)`; empty for plain text.
    pub fn undone(&self) -> String {
        let names = self.via.iter().filter(|step| !step.starts_with('!'));
        let names: Vec<&str> = names.map(String::as_str).collect();
        if names.is_empty() {
            String::new()
        } else {
            format!(" ({})", names.join(", "))
        }
    }
}

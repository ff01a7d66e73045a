//! A rule as parsed: where, who, what, and what follows.

use std::collections::{BTreeMap, BTreeSet};

use refwarden_model::facts::{FindingConfidence, Mode, Place, SignatureKind};
use regex::bytes::Regex;
use serde::{Deserialize, Serialize};

use crate::glob::Glob;
use crate::owners::Owners;
use crate::verdict::Bind;
use crate::when::When;

/// What a rule does where it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Nothing stands against it.
    Allow,
    /// People have to approve.
    RequireApproval,
    /// It is refused.
    Deny,
}

impl Effect {
    /// The word used in policy files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::RequireApproval => "require_approval",
            Self::Deny => "deny",
        }
    }
}

/// One rule.
#[derive(Clone, Debug, Serialize)]
pub struct Rule {
    /// Its name, unique over all files.
    pub id: String,
    /// The file it stands in; for people only.
    #[serde(skip)]
    pub file: String,
    /// The line of its id, from 1.
    #[serde(skip)]
    pub line: usize,
    /// Repositories and refs.
    pub scope: Scope,
    /// Actors.
    pub who: Who,
    /// Kinds of update: names of `UpdateKind`, or `tag-move`.
    pub on: BTreeSet<&'static str>,
    /// Paths it is about; all where empty.
    pub paths: Vec<Glob>,
    /// Paths it leaves out.
    pub exclude_paths: Vec<Glob>,
    /// Times at which it speaks; always where none.
    pub when: Option<When>,
    /// What has to hold: the rule speaks where one is broken, or always where there is none.
    pub limits: Limits,
    /// What it does.
    pub effect: Effect,
    /// Whether it acts.
    pub mode: Mode,
    /// Who may pass it by giving a reason.
    pub bypass: Vec<String>,
    /// What it asks of people, for `require_approval`.
    pub asks: Asks,
}

/// Which repositories and refs a rule is about.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Scope {
    /// Repositories; all where empty.
    pub repositories: Vec<Glob>,
    /// Repositories it leaves out.
    pub exclude_repositories: Vec<Glob>,
    /// Properties that the repository must have, each with one of the values.
    pub properties: BTreeMap<String, Vec<Glob>>,
    /// Full ref names.
    pub refs: Vec<Glob>,
    /// Full ref names it leaves out.
    pub exclude: Vec<Glob>,
    /// Only the default branch, or only other refs.
    pub default_branch: Option<bool>,
}

/// Which actors a rule is about. All that is given has to hold.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Who {
    /// Issuers, exactly.
    pub issuers: Vec<String>,
    /// Pushers: `group:…`, `user:…`, `email:…`, `kind:human|agent|ci`.
    pub actors: Vec<String>,
    /// Pushers it leaves out.
    pub exclude_actors: Vec<String>,
    /// Those an agent acts for, by the same entries.
    pub behalf_of: Vec<String>,
    /// Claims of the pusher's token, each with one of the values.
    pub claims: BTreeMap<String, Vec<Glob>>,
    /// Claims by which it leaves a pusher out: one whose token holds all of them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub exclude_claims: BTreeMap<String, Vec<Glob>>,
}

/// Something that has to be so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Require {
    /// No merge commits.
    LinearHistory,
    /// A good signature on every commit.
    SignedCommits,
    /// Tags are tag objects with a good signature.
    SignedTags,
    /// A good push certificate (`git push --signed`).
    SignedPush,
    /// Tags are tag objects.
    AnnotatedTags,
    /// The author signed each commit off (Developer Certificate of Origin).
    SignOff,
    /// The author's address is the pusher's verified one, or that of whom the pusher acts for.
    AuthorIsPusher,
    /// The same of the committer's.
    CommitterIsPusher,
}

/// Something that must not come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Forbid {
    /// Binary files.
    Binary,
    /// Submodules: entries of mode 160000.
    Submodule,
    /// Symbolic links: entries of mode 120000.
    Symlink,
    /// Executable files: entries of mode 100755.
    Executable,
}

/// A regular expression, searched for anywhere unless it is anchored.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// As written.
    pub source: String,
    /// Compiled; linear in time by construction.
    pub regex: Regex,
}

impl Serialize for Pattern {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.source)
    }
}

/// What a rule holds a push to.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Limits {
    /// What has to be so.
    pub require: BTreeSet<Require>,
    /// What must not come in.
    pub forbid: BTreeSet<Forbid>,
    /// Signature formats that count; all where empty.
    pub signature_kinds: BTreeSet<&'static str>,
    /// Signers, or fingerprints of keys, that count; every good one where empty.
    pub signers: Vec<Glob>,
    /// Each has to be found in the full ref name.
    pub ref_must_match: Vec<Pattern>,
    /// None may be found in the full ref name.
    pub ref_must_not_match: Vec<Pattern>,
    /// Each has to be found in every commit's message.
    pub message_must_match: Vec<Pattern>,
    /// None may be found in a commit's message.
    pub message_must_not_match: Vec<Pattern>,
    /// One has to match the author's address.
    pub author_email: Vec<Glob>,
    /// One has to match the committer's address.
    pub committer_email: Vec<Glob>,
    /// Longest path, in bytes.
    pub max_path_length: Option<u64>,
    /// Endings of file names, lower case, without the dot.
    pub forbidden_extensions: BTreeSet<String>,
    /// Largest file, in bytes.
    pub max_file_size: Option<u64>,
    /// Files that have to be Git LFS pointers.
    pub lfs: Vec<Glob>,
    /// Most commits that the ref may gain.
    pub max_commits: Option<u64>,
    /// Most files that may change.
    pub max_files: Option<u64>,
    /// Most lines that may be added and removed.
    pub max_changed_lines: Option<u64>,
    /// Most refs that one push may update.
    pub max_refs: Option<u64>,
    /// Most pushes of the pusher within an hour, this one with them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_pushes_per_hour: Option<u64>,
    /// The same within 24 hours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_pushes_per_day: Option<u64>,
    /// Secrets that must not be found.
    pub secrets: Option<SecretLimit>,
}

impl Limits {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        let nothing = Self::default();
        // Kinds and signers only narrow what `require` asks for.
        self.require == nothing.require
            && self.forbid.is_empty()
            && [
                &self.ref_must_match,
                &self.ref_must_not_match,
                &self.message_must_match,
                &self.message_must_not_match,
            ]
            .iter()
            .all(|patterns| patterns.is_empty())
            && self.author_email.is_empty()
            && self.committer_email.is_empty()
            && self.forbidden_extensions.is_empty()
            && self.lfs.is_empty()
            && [
                self.max_path_length,
                self.max_file_size,
                self.max_commits,
                self.max_files,
                self.max_changed_lines,
                self.max_refs,
                self.max_pushes_per_hour,
                self.max_pushes_per_day,
            ]
            .iter()
            .all(Option::is_none)
            && self.secrets.is_none()
    }

    /// Whether any of them is about what commits bring, which a delete has none of.
    pub fn only_about_commits(&self) -> bool {
        let about_the_push = [Require::SignedPush];
        !self.is_empty()
            && !self
                .require
                .iter()
                .any(|word| about_the_push.contains(word))
            && self.ref_must_match.is_empty()
            && self.ref_must_not_match.is_empty()
            && self.max_refs.is_none()
            && self.max_pushes_per_hour.is_none()
            && self.max_pushes_per_day.is_none()
            && self.secrets.is_none()
    }
}

/// Secrets that a rule is about.
#[derive(Clone, Debug, Serialize)]
pub struct SecretLimit {
    /// Scanner rules, by globs over their ids; all where empty.
    pub rules: Vec<Glob>,
    /// The least confidence.
    pub confidence: FindingConfidence,
    /// Modes of the scanner's rules.
    pub modes: Vec<Mode>,
    /// Where they stand; anywhere where empty.
    pub places: Vec<Place>,
    /// Whether secrets that the repository held already count.
    pub pre_existing: bool,
}

/// Some people, and how many of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Quorum {
    /// How many.
    pub quorum: u32,
    /// `group:…`, `user:…` or `email:…`.
    pub approvers: Vec<String>,
}

/// What a rule asks of people.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Asks {
    /// How many of `approvers`, or of a path's owners where the file names no number.
    pub quorum: u32,
    /// Who counts. Beside `owners`, who counts for paths that nobody owns.
    pub approvers: Vec<String>,
    /// Further people, each of whose quorum has to be met too.
    pub all_of: Vec<Quorum>,
    /// Owners of the changed paths have to approve.
    pub owners: Option<Owners>,
    /// How long a request stays open, in seconds; the service's own time where none.
    pub expires: Option<u64>,
    /// What an approval is bound to.
    pub bind: Bind,
    /// What approvers have to answer.
    pub questions: Vec<String>,
    /// Who may release without approval in an emergency.
    pub break_glass: Vec<String>,
    /// Who may open a window of time for an actor; the approvers where empty.
    pub grants: Vec<String>,
    /// The longest window of time, in seconds; none may be opened where none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub longest_grant: Option<u64>,
    /// Whether authors and committers of the pushed commits may approve.
    pub authors_may_approve: bool,
}

/// The kinds of signature that a word names.
pub fn signature_kind(word: &str) -> Option<&'static str> {
    [SignatureKind::Gpg, SignatureKind::Ssh, SignatureKind::X509]
        .into_iter()
        .map(SignatureKind::name)
        .find(|name| *name == word)
}

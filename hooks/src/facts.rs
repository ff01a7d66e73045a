//! Puts what was learned into the facts that are sent, with every known secret masked.

use std::borrow::Cow;
use std::collections::HashMap;

use refwarden_gitio::Repository;
use refwarden_gitio::history::{self, Change, CommitChanges, History, NewCommit};
use refwarden_gitio::objects::{Kind, ReadObjects};
use refwarden_gitio::refs::Resolved;
use refwarden_model::facts::{
    Allowed, CertificateFacts, ChangeFacts, CommitFacts, FindingConfidence, FindingFacts, Mode,
    Place, PushFacts, RefFacts, SignatureFacts, SignatureKind, SignatureState, TagFacts,
    UpdateKind,
};
use refwarden_model::{ByteText, Oid, RefName};
use refwarden_scan::{Checksum, Confidence, Masker, Step};

use crate::fault::Fault;
use crate::incoming::{Incoming, Occurrence};
use crate::patch_id;
use crate::rules::Ignores;
use crate::scanning::{Content, Found, LFS_POINTER_MAX, NotRead, Report};
use crate::signing::{self, Signatures};
use crate::through::Aside;
use crate::updates::Update;

/// Findings that are listed.
const FINDINGS_MAX: usize = 1000;

/// No signature.
const UNSIGNED: SignatureFacts = SignatureFacts {
    kind: None,
    state: SignatureState::Unsigned,
    signer: None,
    key: None,
};

/// Tags of tags that are followed.
const TAGS_DEEP: usize = 10;

/// Longest message that is sent, in bytes. The pack holds all of it.
const MESSAGE_MAX: usize = 64 << 10;

/// Facts about one ref update.
pub fn update(
    repository: &Repository,
    incoming: &Incoming,
    reader: &mut dyn ReadObjects,
    claimed: &Update,
    resolved: Resolved,
    head: Option<&RefName>,
) -> Result<RefFacts, Fault> {
    let (old, new) = (resolved.value, claimed.new);
    let mut facts = RefFacts {
        default_branch: Some(head == Some(&resolved.target)),
        ref_name: claimed.name.clone(),
        target: resolved.target,
        claimed_old: claimed.claimed_old,
        actual_old: old,
        new,
        kind: UpdateKind::NoOp,
        new_type: None,
        gained: 0,
        lost: 0,
    };
    let commits = &incoming.history.commits;
    let is_whole = commits.len() as u64 == incoming.history.commits_total;
    let new_kind = if new.is_zero() {
        None
    } else {
        Some(reader.header(new)?.kind)
    };
    facts.new_type = new_kind.map(|kind| kind.name().to_owned());
    if old == new {
        return Ok(facts);
    }
    if new.is_zero() {
        facts.kind = UpdateKind::Delete;
        if matches!(reader.header(old)?.kind, Kind::Commit | Kind::Tag) {
            let target = &facts.target;
            // A tag may name something that is no commit; then there is nothing to count.
            facts.lost = history::unreferenced_without(repository, target, old).unwrap_or(0);
        }
        return Ok(facts);
    }
    if old.is_zero() {
        facts.kind = UpdateKind::Create;
        facts.gained = match history::gained_within(commits, None, new) {
            Some(gained) if is_whole => gained,
            _ => incoming.history.commits_total,
        };
        return Ok(facts);
    }
    facts.kind = UpdateKind::NonFastForward;
    if new_kind != Some(Kind::Commit) || reader.header(old)?.kind != Kind::Commit {
        return Ok(facts);
    }
    let quick = if is_whole {
        history::gained_within(commits, Some(old), new)
    } else {
        None
    };
    (facts.gained, facts.lost) = if let Some(gained) = quick {
        (gained, 0)
    } else {
        let counts = history::counts(repository, &incoming.objects, old, new)?;
        (counts.gained, counts.lost)
    };
    if facts.lost == 0 && !facts.target.is_tag() {
        facts.kind = UpdateKind::FastForward;
    }
    Ok(facts)
}

/// Takes secrets out of the names of refs that do not stand yet. Such a push is refused, so the
/// name need not be exact; the name of a ref that stands is told as it is.
pub fn hide_names(updates: &mut [RefFacts], report: &Report) {
    for found in &report.found {
        let Some(name) = found
            .path
            .as_deref()
            .filter(|_| found.place == Place::RefName)
        else {
            continue;
        };
        let secret = found.finding.standing().expose();
        let mut instead = format!("masked-{}", found.finding.fingerprint);
        instead.truncate("masked-".len() + 8);
        let named = |update: &&mut RefFacts| {
            update.actual_old.is_zero() && update.ref_name.as_bytes() == name
        };
        for update in updates.iter_mut().filter(named) {
            let hidden = replace(name, secret, instead.as_bytes());
            if let Ok(hidden) = RefName::parse(&hidden) {
                update.ref_name = hidden.clone();
                update.target = hidden;
            }
        }
    }
}

fn replace(text: &[u8], part: &[u8], instead: &[u8]) -> Vec<u8> {
    let mut rest = text;
    let mut replaced = Vec::new();
    while let Some((first, after)) = rest.split_first() {
        if let Some(after) = rest.strip_prefix(part).filter(|_| !part.is_empty()) {
            replaced.extend_from_slice(instead);
            rest = after;
        } else {
            replaced.push(*first);
            rest = after;
        }
    }
    replaced
}

/// What goes into [`push`].
pub struct Learned<'a> {
    /// The repository.
    pub repository: &'a Repository,
    /// What the push brings.
    pub incoming: &'a Incoming,
    /// Where contents come in.
    pub occurrences: &'a HashMap<Oid, Vec<Occurrence<'a>>>,
    /// What was found.
    pub report: &'a Report,
    /// Commits that a ref gains and that the repository held already.
    pub gained: &'a History,
    /// What signatures are worth.
    pub signatures: &'a Signatures,
    /// What the push's own signature is worth.
    pub certificate: CertificateFacts,
    /// By finding: whether it is no news.
    pub known: &'a [bool],
    /// Knows every secret that was found.
    pub masker: &'a Masker,
    /// The ref updates.
    pub updates: Vec<RefFacts>,
    /// Push options, without the token.
    pub options: &'a [Vec<u8>],
    /// The ruleset's id.
    pub ruleset_id: String,
    /// The digest of the rules that the policy names.
    pub policy_rules: Option<String>,
    /// Places that somebody has looked at.
    pub ignores: &'a Ignores,
    /// What else is told of a push from a masked clone.
    pub aside: &'a Aside,
}

/// Facts about the push.
pub fn push(learned: Learned<'_>, reader: &mut dyn ReadObjects) -> Result<PushFacts, Fault> {
    let history = &learned.incoming.history;
    let mut commits = Vec::with_capacity(history.commits.len());
    for commit in &history.commits {
        commits.push(learned.commit(commit, &history.changes, reader)?);
    }
    let mut known_commits = Vec::with_capacity(learned.gained.commits.len());
    for commit in &learned.gained.commits {
        known_commits.push(learned.commit(commit, &learned.gained.changes, reader)?);
    }
    let mut tags = Vec::new();
    for update in &learned.updates {
        if update.new_type.as_deref() == Some("tag") {
            learned.tags(update.new, &mut tags, reader)?;
        }
    }
    let listed = learned.report.found.iter().zip(learned.known);
    let mut findings: Vec<FindingFacts> = listed
        .map(|(found, &known)| learned.finding(found, known))
        .collect();
    // What blocks comes first, should the list be cut.
    findings.sort_by_key(|finding| finding.pre_existing);
    findings.truncate(FINDINGS_MAX);
    let unread: Vec<FindingFacts> = learned
        .report
        .unread
        .iter()
        .map(|it| learned.not_read(it))
        .collect();
    let findings_total = learned.report.total + unread.len() as u64;
    // Before all that is no news, and never cut themselves.
    findings.splice(0..0, unread);
    let mask = |text: &Vec<u8>| ByteText::new(learned.masker.mask(text).into_owned());
    Ok(PushFacts {
        secret_moves: learned.aside.told(|text| learned.mask(text)),
        object_format: learned.repository.object_format,
        commits,
        commits_total: history.commits_total,
        known_commits,
        tags,
        certificate: Some(learned.certificate),
        properties: Some(learned.repository.properties.clone()),
        findings,
        findings_total,
        objects_scanned: learned.report.objects,
        push_options: learned.options.iter().map(mask).collect(),
        ruleset_id: learned.ruleset_id.clone(),
        policy_rules: learned.policy_rules.clone(),
        updates: learned.updates,
    })
}

impl Learned<'_> {
    fn mask(&self, text: &[u8]) -> ByteText {
        if self.report.is_cut() {
            // Not every secret is known, so nothing that may hold one is told.
            return ByteText::from("[left out: too many secrets]");
        }
        ByteText::new(self.masker.mask(text).into_owned())
    }

    fn commit(
        &self,
        commit: &NewCommit,
        changes: &HashMap<Oid, CommitChanges>,
        reader: &mut dyn ReadObjects,
    ) -> Result<CommitFacts, Fault> {
        let unread = || Fault::unscanned(format!("commit {} cannot be read", commit.oid));
        let (_, bytes) = reader.load(commit.oid, 16 << 20, &mut |_, _| {})?;
        let bytes = bytes.ok_or_else(unread)?;
        let parsed = ParsedCommit::parse(&bytes).ok_or_else(unread)?;
        let listed = changes.get(&commit.oid);
        let patch_id = listed.and_then(|listed| self.patch_id(listed));
        let changes = listed.into_iter().flat_map(|listed| &listed.changes);
        let message = parsed.message.get(..MESSAGE_MAX);
        Ok(CommitFacts {
            oid: commit.oid,
            parents: commit.parents.clone(),
            tree: parsed.tree,
            author: self.mask(parsed.author),
            committer: self.mask(parsed.committer),
            message: self.mask(message.unwrap_or(parsed.message)),
            message_cut: parsed.message.len() > MESSAGE_MAX,
            signed: parsed.signed,
            signature: if parsed.signed {
                self.signatures.of(commit.oid, parsed.signature)
            } else {
                Some(UNSIGNED)
            },
            changes: changes
                .map(|change| self.change(change, reader))
                .collect::<Result<_, _>>()?,
            changes_total: listed.map_or(0, |listed| listed.total),
            patch_id,
        })
    }

    /// None where a secret stands in the changes: a digest of it would be told with the facts.
    fn patch_id(&self, listed: &CommitChanges) -> Option<String> {
        let is_plain = |change: &Change| {
            let is_plain = |text: &[u8]| matches!(self.masker.mask(text), Cow::Borrowed(_));
            let hides = self.aside.hides(change, &self.report.found);
            !hides && is_plain(&change.path) && is_plain(&change.patch)
        };
        let all_plain = !self.report.is_cut() && listed.changes.iter().all(is_plain);
        all_plain.then(|| patch_id::of(listed)).flatten()
    }

    fn change(&self, change: &Change, reader: &mut dyn ReadObjects) -> Result<ChangeFacts, Fault> {
        let hides = self.report.is_cut() || self.aside.hides(change, &self.report.found);
        let withheld = hides && !change.patch.is_empty();
        let patch = if withheld {
            ByteText::default()
        } else {
            self.mask(&change.patch)
        };
        let content = self.content(change, reader)?;
        Ok(ChangeFacts {
            path: self.mask(&change.path),
            old_mode: change.old_mode.clone(),
            new_mode: change.new_mode.clone(),
            old_oid: change.old_oid,
            new_oid: change.new_oid,
            status: change.status,
            added: change.added,
            deleted: change.deleted,
            patch,
            patch_cut: change.patch_cut || withheld,
            size: content.map(|it| self.aside.size(change.new_oid).unwrap_or(it.size)),
            binary: content.map(|content| content.binary),
            lfs_pointer: content.map(|content| content.lfs_pointer),
        })
    }

    /// What policy asks about the file after a change. Most were scanned just now; others stood
    /// in the repository already.
    fn content(
        &self,
        change: &Change,
        reader: &mut dyn ReadObjects,
    ) -> Result<Option<Content>, Fault> {
        let oid = change.new_oid;
        if let Some(content) = self.report.contents.get(&oid) {
            return Ok(Some(*content));
        }
        if oid.is_zero() || change.new_mode == "160000" {
            return Ok(None);
        }
        let size = reader.header(oid)?.size;
        if size <= LFS_POINTER_MAX {
            let (_, whole) = reader.load(oid, LFS_POINTER_MAX, &mut |_, _| {})?;
            return Ok(whole.map(|bytes| Content::of(size, &bytes)));
        }
        Ok(Some(Content {
            size,
            binary: change.added.is_none(),
            lfs_pointer: false,
        }))
    }

    /// The tag object, and those that it names in turn.
    fn tags(
        &self,
        first: Oid,
        tags: &mut Vec<TagFacts>,
        reader: &mut dyn ReadObjects,
    ) -> Result<(), Fault> {
        let mut next = first;
        for _ in 0..TAGS_DEEP {
            if tags.iter().any(|known| known.oid == next) {
                return Ok(());
            }
            let unread = || Fault::unscanned(format!("tag {next} cannot be read"));
            let (_, bytes) = reader.load(next, 16 << 20, &mut |_, _| {})?;
            let bytes = bytes.ok_or_else(unread)?;
            let parsed = ParsedTag::parse(&bytes).ok_or_else(unread)?;
            let target = parsed.target;
            let is_tag = parsed.target_type == "tag";
            tags.push(TagFacts {
                oid: next,
                target,
                target_type: parsed.target_type.to_owned(),
                name: self.mask(parsed.name),
                tagger: parsed.tagger.map(|tagger| self.mask(tagger)),
                message: self.mask(parsed.message.get(..MESSAGE_MAX).unwrap_or(parsed.message)),
                signature: if parsed.signed {
                    let (repository, kind) = (self.repository, parsed.signature);
                    self.signatures
                        .of_tag(repository, self.incoming, next, kind)?
                } else {
                    Some(UNSIGNED)
                },
            });
            if !is_tag {
                return Ok(());
            }
            next = target;
        }
        Ok(())
    }

    /// The first commit that brings an object in at a path.
    fn comes_in(&self, object: Option<Oid>, path: Option<&Vec<u8>>) -> Option<Oid> {
        let mut list = self.occurrences.get(&object?)?.iter();
        let found = list.find(|occurrence| Some(&occurrence.change.path) == path);
        found.map(|occurrence| occurrence.commit)
    }

    /// What could not be searched, in the form of a finding: policy judges both alike. What was
    /// made to exhaust the scanner refuses by itself; the rest is told.
    fn not_read(&self, unread: &NotRead) -> FindingFacts {
        let is_attack = unread.reason.is_attack();
        let more = match unread.parts {
            1 => String::new(),
            parts => format!(" ({parts} parts)"),
        };
        let told = |step: &Step| self.mask(step.to_string().as_bytes()).to_string();
        FindingFacts {
            rule_id: format!("unread-{}", unread.reason.name()),
            fingerprint: unread.fingerprint.to_string(),
            place: Place::Blob,
            object: unread.object,
            path: unread.path.as_deref().map(|path| self.mask(path)),
            commit: self.comes_in(unread.object, unread.path.as_ref()),
            line: 1,
            column: 1,
            redacted: format!("{}{more}", unread.reason),
            pre_existing: false,
            checksum: None,
            confidence: Some(if is_attack {
                FindingConfidence::High
            } else {
                FindingConfidence::Low
            }),
            mode: if is_attack {
                Mode::Enforce
            } else {
                Mode::Evaluate
            },
            via: unread.via.iter().map(told).collect(),
            allowed: Vec::new(),
        }
    }

    fn finding(&self, found: &Found, pre_existing: bool) -> FindingFacts {
        let finding = &found.finding;
        let comes_in = self.comes_in(found.object, found.path.as_ref());
        let commit = match (found.place, comes_in) {
            (Place::Commit, _) => found.object,
            _ => comes_in,
        };
        let told = |step: &Step| self.mask(step.to_string().as_bytes()).to_string();
        FindingFacts {
            rule_id: finding.rule_id.to_string(),
            fingerprint: finding.fingerprint.to_string(),
            place: found.place,
            object: found.object,
            path: found.path.as_deref().map(|path| self.mask(path)),
            commit,
            line: finding.line,
            column: finding.column,
            redacted: finding.redacted.clone(),
            pre_existing,
            checksum: match finding.checksum {
                Checksum::Valid => Some("valid".into()),
                Checksum::Invalid => Some("invalid".into()),
                Checksum::NotApplicable => None,
            },
            confidence: Some(match finding.confidence {
                Confidence::Low => FindingConfidence::Low,
                Confidence::Medium => FindingConfidence::Medium,
                Confidence::High => FindingConfidence::High,
            }),
            // What looks like a secret by its name alone is told, and refuses nothing unless a
            // policy asks for it.
            mode: if finding.generic {
                Mode::Evaluate
            } else {
                Mode::Enforce
            },
            via: finding.via.iter().map(told).collect(),
            allowed: self.allowed(found, commit),
        }
    }

    /// What speaks for a finding, as far as the host knows. No entry holds the secret: it names
    /// a file whose path was masked, a rule and a line.
    fn allowed(&self, found: &Found, commit: Option<Oid>) -> Vec<Allowed> {
        let mut allowed = Vec::new();
        if found.is_commented {
            allowed.push(Allowed::Comment);
        }
        if found.place == Place::Blob {
            let path = found.path.as_deref();
            allowed.extend(self.ignores.covering(&found.finding, path, commit));
        }
        if self.aside.reaches(found) {
            allowed.push(Allowed::Move);
        }
        for one in &mut allowed {
            if let Allowed::IgnoreFile { entry, .. } | Allowed::RepositoryIgnore { entry } = one {
                *entry = self.mask(entry.as_bytes()).to_string();
            }
        }
        allowed
    }
}

/// The parts of a tag object (headers, an empty line, the message with the signature at its
/// end; git-mktag(1)).
struct ParsedTag<'a> {
    target: Oid,
    target_type: &'a str,
    name: &'a [u8],
    tagger: Option<&'a [u8]>,
    message: &'a [u8],
    signed: bool,
    signature: Option<SignatureKind>,
}

impl<'a> ParsedTag<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (headers, message) = match memchr::memmem::find(bytes, b"\n\n") {
            Some(end) => (bytes.get(..end)?, bytes.get(end + 2..)?),
            None => (bytes, &b""[..]),
        };
        let header = |name: &[u8]| {
            let mut lines = headers.split(|&byte| byte == b'\n');
            lines.find_map(|line| line.strip_prefix(name))
        };
        let begin = [b"-----BEGIN PGP ", b"-----BEGIN SSH ", b"-----BEGIN SIGN"]
            .iter()
            .filter_map(|mark| memchr::memmem::find(message, *mark))
            .min();
        Some(Self {
            target: Oid::parse(header(b"object ")?).ok()?,
            target_type: std::str::from_utf8(header(b"type ")?).ok()?,
            name: header(b"tag ")?,
            tagger: header(b"tagger "),
            message: begin.map_or(message, |end| message.get(..end).unwrap_or_default()),
            signed: begin.is_some() || header(b"gpgsig").is_some(),
            signature: begin.and_then(|begin| signing::kind(message.get(begin..)?)),
        })
    }
}

/// The parts of a commit object (headers, an empty line, the message).
struct ParsedCommit<'a> {
    tree: Oid,
    author: &'a [u8],
    committer: &'a [u8],
    signed: bool,
    signature: Option<SignatureKind>,
    message: &'a [u8],
}

impl<'a> ParsedCommit<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut rest = bytes;
        let (mut tree, mut author, mut committer) = (None, &b""[..], &b""[..]);
        let (mut signed, mut signature) = (false, None);
        loop {
            let end = rest.iter().position(|&byte| byte == b'\n');
            let (line, after) = match end {
                Some(end) => (rest.get(..end)?, rest.get(end + 1..)?),
                None => (rest, &b""[..]),
            };
            rest = after;
            if line.is_empty() {
                break;
            }
            if let Some(id) = line.strip_prefix(b"tree ") {
                tree = Oid::parse(id).ok();
            } else if let Some(value) = line.strip_prefix(b"author ") {
                author = value;
            } else if let Some(value) = line.strip_prefix(b"committer ") {
                committer = value;
            } else if line.starts_with(b"gpgsig") {
                signed = true;
                signature = signing::kind(line);
            }
        }
        Some(Self {
            tree: tree?,
            author,
            committer,
            signed,
            signature,
            message: rest,
        })
    }
}

/// Those of some commits that carry a signature.
pub fn signed<'c>(
    commits: impl Iterator<Item = &'c NewCommit>,
    reader: &mut dyn ReadObjects,
) -> Result<Vec<Oid>, Fault> {
    let mut signed = Vec::new();
    for commit in commits {
        let (_, bytes) = reader.load(commit.oid, 16 << 20, &mut |_, _| {})?;
        let bytes = bytes.unwrap_or_default();
        if ParsedCommit::parse(&bytes).is_some_and(|parsed| parsed.signed) {
            signed.push(commit.oid);
        }
    }
    Ok(signed)
}

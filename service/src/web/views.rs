//! What the request page shows of an update: its commits with their files and diffs, findings,
//! people, decisions. Everything that is left out is said: nobody approves what they do not know
//! is there.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use diesel::PgConnection;
use refwarden_model::facts::{ChangeFacts, CommitFacts};
use refwarden_model::{Actor, ActorChain};
use refwarden_wire::api::AnswerIn;

use super::patch::{self, Row};
use super::text::{count, distance, short, visible, visible_line};
use crate::approval;
use crate::db::ancestry::{self, Brought};
use crate::db::comments;
use crate::db::pushes::RefUpdate;
use crate::db::records::{self, Change};
use crate::db::requests::{self, Request};
use crate::error::AppError;

/// What one page shows at the most.
const MAX_COMMITS: usize = 200;
const MAX_FILES: usize = 500;
const MAX_ROWS: usize = 10_000;
const MAX_ROWS_OF_FILE: usize = 2_000;

/// Somebody, and what they are.
pub struct Person {
    pub name: String,
    /// `human`, `agent` or `ci`.
    pub kind: &'static str,
}

/// What one rule asks.
pub struct Need {
    pub rule: String,
    pub have: u32,
    pub quorum: u32,
    pub approvers: String,
}

/// What somebody said.
pub struct Decision {
    pub who: String,
    /// `approved` or `rejected`.
    pub what: &'static str,
    pub reason: String,
    /// Questions and answers.
    pub answers: Vec<(String, String)>,
    pub when: String,
}

/// What somebody said without deciding.
pub struct Comment {
    pub who: String,
    pub text: String,
    pub when: String,
}

/// A secret that was found.
pub struct Finding {
    pub rule: String,
    pub place: String,
    pub redacted: String,
    pub pre_existing: bool,
}

/// A commit.
pub struct Commit {
    pub oid: String,
    pub subject: String,
    pub body: String,
    pub author: String,
    pub signed: bool,
    pub is_merge: bool,
    /// Whether another push has brought it to the repository.
    pub is_from_elsewhere: bool,
    pub files: Vec<File>,
}

/// A changed file of a commit.
pub struct File {
    /// Its anchor in the page.
    pub anchor: String,
    pub status: &'static str,
    pub path: String,
    /// Lines added and deleted; none for a binary file.
    pub lines: Option<(i64, i64)>,
    /// What is special about its mode, where something is.
    pub mode: Option<String>,
    pub rows: Vec<Row>,
    pub note: Option<&'static str>,
}

/// All that an update brings, as far as one page shows it.
pub struct Content {
    pub commits: Vec<Commit>,
    pub findings: Vec<Finding>,
    /// `2 commits, 7 changed files`.
    pub summary: String,
    /// What is not shown.
    pub warnings: Vec<String>,
    /// What else to know.
    pub note: Option<&'static str>,
}

impl Person {
    /// Names somebody.
    pub fn of(actor: &Actor) -> Self {
        Self {
            name: visible_line(actor.subject.as_bytes()),
            kind: actor.kind.name(),
        }
    }
}

impl Decision {
    /// Tells a decision.
    pub fn of(made: &requests::Decision, now: DateTime<Utc>) -> Self {
        Self {
            who: visible_line(made.approver_subject.as_bytes()),
            what: if made.decision == "approve" {
                "approved"
            } else {
                "rejected"
            },
            reason: visible(made.reason.as_bytes()),
            answers: serde_json::from_value::<Vec<AnswerIn>>(made.answers.clone())
                .unwrap_or_default()
                .iter()
                .map(|it| {
                    (
                        visible(it.question.as_bytes()),
                        visible(it.answer.as_bytes()),
                    )
                })
                .collect(),
            when: distance(made.decided_at, now),
        }
    }
}

impl Comment {
    /// Tells a comment.
    pub fn of(said: &comments::Comment, now: DateTime<Utc>) -> Self {
        let chain: Option<ActorChain> = serde_json::from_value(said.author.clone()).ok();
        let who = chain.map(|chain| chain.describe()).unwrap_or_default();
        Self {
            who: visible_line(who.as_bytes()),
            text: visible(said.text.as_bytes()),
            when: distance(said.created_at, now),
        }
    }
}

impl Finding {
    fn of(finding: &records::Finding) -> Self {
        let place = match &finding.path {
            Some(path) => format!("{}:{}", visible_line(path), finding.line),
            None => format!("{} line {}", finding.place, finding.line),
        };
        Self {
            rule: finding.rule_id.clone(),
            place,
            redacted: visible_line(finding.redacted.as_bytes()),
            pre_existing: finding.pre_existing,
        }
    }
}

/// Collects what an update brings: the commits of its own push, and those that earlier pushes
/// have brought to other refs.
///
/// # Errors
/// [`AppError`] from the database.
pub fn content(
    conn: &mut PgConnection,
    request: &Request,
    update: Option<&RefUpdate>,
) -> Result<Content, AppError> {
    let gained = update.map_or(0, |update| update.gained);
    let is_commit = update.is_some_and(|update| update.new_type.as_deref() == Some("commit"));
    let brought = approval::brought(conn, request, update)?;
    let total = brought.commits.len();
    let wanted = brought.commits.get(..total.min(MAX_COMMITS));
    let mut rows = Vec::new();
    let mut files_total = 0;
    let mut left = Left {
        files: MAX_FILES,
        rows: MAX_ROWS,
        was_cut: false,
    };
    for commit in ancestry::load(conn, wanted.unwrap_or_default())? {
        let limit = i64::try_from(left.files).unwrap_or(0);
        let changes = records::changes_of(conn, commit.push_id, commit.ordinal, limit)?;
        left.files -= changes.len().min(left.files);
        files_total += commit.changes_total;
        let files = changes.iter().enumerate();
        let files = files.map(|(index, change)| file(change, rows.len(), index, &mut left));
        let files = files.collect();
        rows.push(shown(&commit, request, files));
    }
    // Commits from before the repository was adopted: the hook told them, no push has their diffs.
    let recorded: HashSet<&str> = brought.commits.iter().map(|it| it.oid.as_str()).collect();
    let known = approval::known_commits(conn, request)?;
    let known = known
        .iter()
        .filter(|it| !recorded.contains(it.oid.to_string().as_str()));
    let known: Vec<&CommitFacts> = known.collect();
    let total = total + known.len();
    for commit in known
        .into_iter()
        .take(MAX_COMMITS.saturating_sub(rows.len()))
    {
        files_total += i64::try_from(commit.changes_total).unwrap_or(i64::MAX);
        let listed = commit.changes.iter().take(left.files).enumerate();
        let files: Vec<File> = listed
            .map(|(index, change)| told(change, rows.len(), index))
            .collect();
        left.files -= files.len();
        rows.push(known_commit(commit, files));
    }
    let files_shown: usize = rows.iter().map(|commit| commit.files.len()).sum();
    let known = i64::try_from(total).unwrap_or(i64::MAX);
    let summary = Summary {
        kind: &request.kind,
        is_commit,
        gained: gained.max(known),
        hidden: gained.max(known) - i64::try_from(rows.len()).unwrap_or(i64::MAX),
        hidden_files: files_total - i64::try_from(files_shown).unwrap_or(i64::MAX),
        rows_cut: left.was_cut,
        walk_cut: brought.is_cut,
    };
    Ok(Content {
        findings: findings(conn, request, &brought)?,
        summary: if request.kind == "delete" {
            String::new()
        } else {
            format!(
                "{}, {}",
                count(summary.gained, "commit"),
                count(files_total, "changed file")
            )
        },
        warnings: summary.warnings(request),
        note: summary.note(),
        commits: rows,
    })
}

/// Findings of the push, and of earlier ones in the commits that are brought.
fn findings(
    conn: &mut PgConnection,
    request: &Request,
    brought: &Brought,
) -> Result<Vec<Finding>, AppError> {
    let mut pushes: Vec<_> = brought.commits.iter().map(|it| it.push_id).collect();
    pushes.sort_unstable();
    pushes.dedup();
    pushes.retain(|&push| Some(push) != request.push_id);
    let mut found = match request.push_id {
        Some(push) => records::findings(conn, push)?,
        None => Vec::new(),
    };
    for push in pushes {
        let of_push = records::findings(conn, push)?;
        found.extend(of_push.into_iter().filter(|finding| {
            let commit = finding.commit_oid.as_ref();
            brought.commits.iter().any(|it| Some(&it.oid) == commit)
        }));
    }
    Ok(found.iter().map(Finding::of).collect())
}

/// What room is left on the page.
struct Left {
    files: usize,
    rows: usize,
    was_cut: bool,
}

fn shown(commit: &records::Commit, request: &Request, files: Vec<File>) -> Commit {
    let message = visible(&commit.message);
    let (subject, body) = message.split_once('\n').unwrap_or((message.as_str(), ""));
    Commit {
        oid: short(&commit.oid).to_owned(),
        subject: if subject.trim().is_empty() {
            "(no message)".to_owned()
        } else {
            subject.to_owned()
        },
        body: body.trim().to_owned(),
        author: visible_line(author(&commit.author)),
        signed: commit.signed,
        is_merge: commit.parents.len() > 1,
        is_from_elsewhere: Some(commit.push_id) != request.push_id,
        files,
    }
}

/// A commit of which only what the hook told is known.
fn known_commit(commit: &CommitFacts, files: Vec<File>) -> Commit {
    let message = visible(commit.message.as_bytes());
    let (subject, body) = message.split_once('\n').unwrap_or((message.as_str(), ""));
    Commit {
        oid: short(&commit.oid.to_string()).to_owned(),
        subject: if subject.trim().is_empty() {
            "(no message)".to_owned()
        } else {
            subject.to_owned()
        },
        body: body.trim().to_owned(),
        author: visible_line(author(commit.author.as_bytes())),
        signed: commit.signed,
        is_merge: commit.parents.len() > 1,
        is_from_elsewhere: true,
        files,
    }
}

fn told(change: &ChangeFacts, commit: usize, index: usize) -> File {
    let signed = |count: Option<u64>| count.map(|it| i64::try_from(it).unwrap_or(i64::MAX));
    File {
        anchor: format!("f{commit}-{index}"),
        status: match change.status {
            'A' => "added",
            'D' => "deleted",
            'T' => "type changed",
            _ => "modified",
        },
        path: visible_line(change.path.as_bytes()),
        lines: signed(change.added).zip(signed(change.deleted)),
        mode: mode(&change.old_mode, &change.new_mode),
        rows: Vec::new(),
        note: Some("The repository held this before it was put under guard: no diff is recorded."),
    }
}

/// An ident line without its time.
fn author(ident: &[u8]) -> &[u8] {
    let end = ident
        .iter()
        .rposition(|&byte| byte == b'>')
        .map_or(ident.len(), |at| at + 1);
    ident.get(..end).unwrap_or_default()
}

fn file(change: &Change, commit: usize, index: usize, left: &mut Left) -> File {
    let (rows, cut) = patch::rows(&change.patch, left.rows.min(MAX_ROWS_OF_FILE));
    left.rows = left.rows.saturating_sub(rows.len());
    let cut = cut || change.patch_cut;
    left.was_cut |= cut;
    let status = match change.status.as_str() {
        "A" => "added",
        "D" => "deleted",
        "T" => "type changed",
        _ => "modified",
    };
    let note = match change.added {
        _ if cut => Some("The diff is too long for this page; the record holds all of it."),
        None if rows.is_empty() => Some("A binary file: its content is not shown."),
        Some(0) if rows.is_empty() && matches!(status, "added" | "deleted") => {
            Some("An empty file.")
        }
        _ => None,
    };
    File {
        anchor: format!("f{commit}-{index}"),
        status,
        path: visible_line(&change.path),
        lines: change.added.zip(change.deleted),
        mode: mode(&change.old_mode, &change.new_mode),
        rows,
        note,
    }
}

/// What is special about a file's mode, in words; plain files are not.
fn mode(old: &str, new: &str) -> Option<String> {
    let name = |mode: &str| match mode {
        "100755" => "executable".to_owned(),
        "120000" => "symbolic link".to_owned(),
        "160000" => "submodule".to_owned(),
        "100644" => "plain file".to_owned(),
        other => format!("mode {other}"),
    };
    match (old, new) {
        ("000000", "100644") | ("100644", "000000") => None,
        ("000000", only) | (only, "000000") => Some(name(only)),
        (old, new) if old == new => (new != "100644").then(|| name(new)),
        (old, new) => Some(format!("{} becomes {}", name(old), name(new))),
    }
}

/// How much there is, and how much of it the page shows.
struct Summary<'a> {
    kind: &'a str,
    is_commit: bool,
    gained: i64,
    hidden: i64,
    hidden_files: i64,
    rows_cut: bool,
    walk_cut: bool,
}

impl Summary<'_> {
    fn warnings(&self, request: &Request) -> Vec<String> {
        let mut warnings = Vec::new();
        let mut parts = Vec::new();
        if self.hidden > 0 {
            parts.push(format!(
                "{} of {}",
                self.hidden,
                count(self.gained, "commit")
            ));
        }
        if self.hidden_files > 0 {
            parts.push(count(self.hidden_files, "changed file"));
        }
        if self.rows_cut {
            parts.push("parts of long diffs".to_owned());
        }
        if !parts.is_empty() {
            let look = match self.kind {
                "create" => format!("git log -p {}", request.new_oid),
                _ => format!("git log -p {}..{}", request.old_oid, request.new_oid),
            };
            warnings.push(format!(
                "This page does not show everything. Missing: {}. See the rest with: {look}",
                parts.join(", ")
            ));
        }
        if self.walk_cut {
            warnings.push(
                "The history is too long to be compared in full: commits that the ref has \
                 already may be listed here."
                    .to_owned(),
            );
        }
        warnings
    }

    fn note(&self) -> Option<&'static str> {
        match self.kind {
            "delete" => None,
            _ if !self.is_commit => Some(
                "The new value is not a commit but a tag or another object. Shown is what the \
                 push brought with it.",
            ),
            "create" => Some(
                "Shown are the commits that the default branch does not have, also those that \
                 another branch brought earlier.",
            ),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_modes_are_named() {
        for (old, new, named) in [
            ("000000", "100644", None),
            ("100644", "100644", None),
            ("000000", "120000", Some("symbolic link")),
            ("100644", "100755", Some("plain file becomes executable")),
            ("100644", "160000", Some("plain file becomes submodule")),
            ("120000", "000000", Some("symbolic link")),
        ] {
            assert_eq!(mode(old, new).as_deref(), named, "{old} {new}");
        }
    }

    #[test]
    fn an_author_is_told_without_time() {
        assert_eq!(author(b"A <a@x> 1 +0000"), b"A <a@x>");
        assert_eq!(author(b"broken"), b"broken");
    }
}

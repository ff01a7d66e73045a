//! What a push holds: commits, changed files, findings. Inserted once, read for pages.

use diesel::prelude::*;
use refwarden_model::facts::{CommitFacts, FindingFacts, PushFacts};
use refwarden_policy::co_authors;
use uuid::Uuid;

use super::pushes::signed;
use super::schema::{changes, commits, findings};

/// Postgres takes at most 65 535 parameters a statement; the widest row here has 14.
const CHUNK: usize = 2000;

/// A commit as it is stored.
#[derive(Clone, Debug, Queryable, Selectable, Insertable)]
#[diesel(treat_none_as_default_value = false, table_name = commits)]
pub struct Commit {
    pub push_id: Uuid,
    pub ordinal: i32,
    pub oid: String,
    pub parents: Vec<String>,
    pub tree: String,
    pub author: Vec<u8>,
    pub author_text: String,
    pub committer: Vec<u8>,
    pub message: Vec<u8>,
    pub message_text: String,
    pub signed: bool,
    pub changes_total: i64,
}

/// A changed file as it is stored.
#[derive(Clone, Debug, Queryable, Selectable, Insertable)]
#[diesel(treat_none_as_default_value = false, table_name = changes)]
pub struct Change {
    pub push_id: Uuid,
    pub commit_ordinal: i32,
    pub ordinal: i32,
    pub path: Vec<u8>,
    pub path_text: String,
    pub old_mode: String,
    pub new_mode: String,
    pub old_oid: String,
    pub new_oid: String,
    pub status: String,
    pub added: Option<i64>,
    pub deleted: Option<i64>,
    pub patch: Vec<u8>,
    pub patch_cut: bool,
}

/// A finding as it is stored.
#[derive(Clone, Debug, Queryable, Selectable, Insertable)]
#[diesel(treat_none_as_default_value = false, table_name = findings)]
pub struct Finding {
    pub push_id: Uuid,
    pub ordinal: i32,
    pub rule_id: String,
    pub fingerprint: String,
    pub place: String,
    pub object_oid: Option<String>,
    pub path: Option<Vec<u8>>,
    pub path_text: Option<String>,
    pub commit_oid: Option<String>,
    pub line: i64,
    pub column_: i64,
    pub redacted: String,
    pub pre_existing: bool,
    pub checksum: Option<String>,
}

/// Text for search: lossy, and without NUL, which Postgres text cannot hold.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace('\0', "\u{fffd}")
}

fn ordinal(index: usize) -> i32 {
    i32::try_from(index).unwrap_or(i32::MAX)
}

/// Inserts everything that a push's facts list.
///
/// # Errors
/// What diesel says.
pub fn insert(conn: &mut PgConnection, push: Uuid, facts: &PushFacts) -> QueryResult<()> {
    let commit_rows: Vec<Commit> = facts
        .commits
        .iter()
        .enumerate()
        .map(|(index, commit)| commit_row(push, ordinal(index), commit))
        .collect();
    insert_rows!(conn, commits::table, commit_rows.as_slice(), CHUNK);
    let mut change_rows = Vec::new();
    for (index, commit) in facts.commits.iter().enumerate() {
        change_rows.extend(change_rows_of(push, ordinal(index), commit));
        if change_rows.len() >= CHUNK {
            insert_changes(conn, &change_rows)?;
            change_rows.clear();
        }
    }
    insert_changes(conn, &change_rows)?;
    let finding_rows: Vec<Finding> = facts
        .findings
        .iter()
        .enumerate()
        .map(|(index, finding)| finding_row(push, ordinal(index), finding))
        .collect();
    insert_rows!(conn, findings::table, finding_rows.as_slice(), CHUNK);
    Ok(())
}

fn insert_changes(conn: &mut PgConnection, rows: &[Change]) -> QueryResult<()> {
    insert_rows!(conn, changes::table, rows, CHUNK);
    Ok(())
}

fn commit_row(push: Uuid, ordinal: i32, commit: &CommitFacts) -> Commit {
    Commit {
        push_id: push,
        ordinal,
        oid: commit.oid.to_string(),
        parents: commit.parents.iter().map(ToString::to_string).collect(),
        tree: commit.tree.to_string(),
        author: commit.author.as_bytes().to_vec(),
        author_text: text(commit.author.as_bytes()),
        committer: commit.committer.as_bytes().to_vec(),
        message: commit.message.as_bytes().to_vec(),
        message_text: text(commit.message.as_bytes()),
        signed: commit.signed,
        changes_total: signed(commit.changes_total),
    }
}

fn change_rows_of(
    push: Uuid,
    commit_ordinal: i32,
    commit: &CommitFacts,
) -> impl Iterator<Item = Change> {
    commit
        .changes
        .iter()
        .enumerate()
        .map(move |(index, change)| Change {
            push_id: push,
            commit_ordinal,
            ordinal: ordinal(index),
            path: change.path.as_bytes().to_vec(),
            path_text: text(change.path.as_bytes()),
            old_mode: change.old_mode.clone(),
            new_mode: change.new_mode.clone(),
            old_oid: change.old_oid.to_string(),
            new_oid: change.new_oid.to_string(),
            status: change.status.to_string(),
            added: change.added.map(signed),
            deleted: change.deleted.map(signed),
            patch: change.patch.as_bytes().to_vec(),
            patch_cut: change.patch_cut,
        })
}

fn finding_row(push: Uuid, ordinal: i32, finding: &FindingFacts) -> Finding {
    Finding {
        push_id: push,
        ordinal,
        rule_id: finding.rule_id.clone(),
        fingerprint: finding.fingerprint.clone(),
        place: finding.place.name().to_owned(),
        object_oid: finding.object.map(|oid| oid.to_string()),
        path: finding.path.as_ref().map(|path| path.as_bytes().to_vec()),
        path_text: finding.path.as_ref().map(|path| text(path.as_bytes())),
        commit_oid: finding.commit.map(|oid| oid.to_string()),
        line: signed(finding.line),
        column_: signed(finding.column),
        redacted: finding.redacted.clone(),
        pre_existing: finding.pre_existing,
        checksum: finding.checksum.clone(),
    }
}

/// Author, committer and co-authors, from the columns of a commit.
pub fn everyone((author, committer, message): (Vec<u8>, Vec<u8>, Vec<u8>)) -> Vec<Vec<u8>> {
    let named = co_authors(&message);
    let named = named.iter().map(|ident| ident.as_bytes().to_vec());
    named.chain([author, committer]).collect()
}

/// Author and committer lines of a push's commits, and those of co-authors that their messages
/// name, without repetition.
///
/// # Errors
/// What diesel says.
pub fn idents(conn: &mut PgConnection, push: Uuid) -> QueryResult<Vec<Vec<u8>>> {
    let rows: Vec<(Vec<u8>, Vec<u8>, Vec<u8>)> = commits::table
        .filter(commits::push_id.eq(push))
        .select((commits::author, commits::committer, commits::message))
        .load(conn)?;
    let mut idents: Vec<Vec<u8>> = rows.into_iter().flat_map(everyone).collect();
    idents.sort();
    idents.dedup();
    Ok(idents)
}

/// The changed files of one commit of a push, at most `limit`.
///
/// # Errors
/// What diesel says.
pub fn changes_of(
    conn: &mut PgConnection,
    push: Uuid,
    commit: i32,
    limit: i64,
) -> QueryResult<Vec<Change>> {
    changes::table
        .filter(changes::push_id.eq(push))
        .filter(changes::commit_ordinal.eq(commit))
        .order(changes::ordinal)
        .limit(limit)
        .select(Change::as_select())
        .load(conn)
}

/// A push's findings.
///
/// # Errors
/// What diesel says.
pub fn findings(conn: &mut PgConnection, push: Uuid) -> QueryResult<Vec<Finding>> {
    findings::table
        .filter(findings::push_id.eq(push))
        .order(findings::ordinal)
        .select(Finding::as_select())
        .load(conn)
}

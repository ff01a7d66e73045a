//! The terms of migration 25: which events a question may mean, found in little time.
//!
//! What is found here is a guess that leaves nothing out: whoever uses it holds each event against
//! the whole question (`pages`).

use chrono::{DateTime, Utc};
use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text, Timestamptz};
use refwarden_query::{ActorKind, Field, Glob, State, Term};
use uuid::Uuid;

use super::events::{Filter, Place};
use super::pieces::{Piece, Pieces};

/// The most names that a pattern is written out as.
const MOST_NAMES: usize = 256;

/// How many characters of the last part of a name there are terms for, as in `make_event_terms`; of
/// paths also none, for their folder.
const STARTS: [usize; 4] = [16, 8, 4, 0];

/// The most events without terms that are looked at one by one.
const MOST_FRESH: i64 = 20_000;

/// Makes the terms of the next events of the log, at most so many; says how many those were.
///
/// # Errors
/// What diesel says.
pub fn make(conn: &mut PgConnection, at_most: i64) -> QueryResult<i64> {
    #[derive(QueryableByName)]
    struct Made {
        #[diesel(sql_type = BigInt)]
        made: i64,
    }
    conn.transaction(|conn| {
        // A push of many thousand refs is gone through at once.
        conn.batch_execute("SET LOCAL statement_timeout = '60s'")?;
        let made: Made = diesel::sql_query("SELECT make_event_terms($1) AS made")
            .bind::<BigInt, _>(at_most)
            .get_result(conn)?;
        Ok(made.made)
    })
}

/// Terms that an event must have: one of each set.
#[derive(Debug, Default)]
pub struct Wanted(Vec<Vec<String>>);

impl Wanted {
    /// What a filter asks for; none where no term can say it.
    ///
    /// # Errors
    /// What diesel says.
    pub fn of(conn: &mut PgConnection, filter: &Filter) -> QueryResult<Option<Self>> {
        let mut sets = Vec::new();
        for term in filter.query.terms.iter().filter(|term| !term.negated) {
            sets.extend(names(conn, term)?);
        }
        let repository = filter.repository.map(|id| format!("repo:{id}"));
        let ref_name = filter.ref_name.as_ref().map(|name| format!("ref:{name}"));
        let kind = filter.kind.as_ref().map(|kind| format!("kind:{kind}"));
        let own = [repository, ref_name, kind].into_iter().flatten();
        sets.extend(own.map(|term| vec![term]));
        // The most telling ones come first where there are too many.
        sets.sort_by_key(Vec::len);
        sets.truncate(SETS.len());
        Ok((!sets.is_empty()).then_some(Self(sets)))
    }
}

/// The alternatives of a term; none where one of them cannot be said.
fn names(conn: &mut PgConnection, term: &Term) -> QueryResult<Option<Vec<String>>> {
    let mut all = Vec::new();
    for field in &term.any {
        match field_names(conn, field)? {
            Some(names) => all.extend(names),
            None => return Ok(None),
        }
    }
    Ok((all.len() <= MOST_NAMES).then_some(all))
}

fn field_names(conn: &mut PgConnection, field: &Field) -> QueryResult<Option<Vec<String>>> {
    let one = |term: String| Ok(Some(vec![term]));
    match field {
        Field::Repository(glob) => repositories(conn, glob),
        Field::Actor(glob) => values(conn, "actor", glob),
        Field::OnBehalfOf(glob) => values(conn, "for", glob),
        Field::Rule(glob) => values(conn, "rule", glob),
        Field::Ref(glob) => Ok(ref_name(glob).map(|term| vec![term])),
        Field::Path(glob) => Ok(path(glob).map(|term| vec![term, "path".to_owned()])),
        Field::Kind(kind) => one(format!("kind:{kind}")),
        Field::Code(code) => one(format!("code:{code}")),
        Field::ActorKind(kind) => one(match kind {
            ActorKind::Human => "by:human".to_owned(),
            ActorKind::Agent => "by:agent".to_owned(),
            ActorKind::Ci => "by:ci".to_owned(),
        }),
        Field::State(state) => one(match state {
            State::Refused => "push:denied".to_owned(),
            State::Waiting => "push:waiting".to_owned(),
            State::Released => "push:granted".to_owned(),
            State::Cancelled => "push:cancelled".to_owned(),
            State::Committed => "move:committed".to_owned(),
            State::Prepared => "move:prepared".to_owned(),
            State::NotMoved => "move:not_moved".to_owned(),
        }),
        _ => Ok(None),
    }
}

/// Whether what it finds changes while a push goes on.
pub fn is_changing(filter: &Filter) -> bool {
    let mut fields = filter.query.terms.iter().flat_map(|term| &term.any);
    fields.any(|field| matches!(field, Field::State(_)))
}

fn ref_name(glob: &Glob) -> Option<String> {
    let text = glob.as_str();
    if let Some(exact) = glob.exact() {
        return Some(format!("ref:{exact}"));
    }
    if let Some((start, 1..)) = start(text) {
        return Some(format!("begins:{start}"));
    }
    let literal = text.split(['*', '?']).next().unwrap_or_default();
    let under: Vec<&str> = literal
        .rsplit_once('/')
        .map(|(directory, _)| directory.split('/').take(8).collect())
        .unwrap_or_default();
    // All refs are under refs/heads or something like it.
    if under.len() >= 3 {
        return Some(format!("under:{}", under.join("/")));
    }
    let end = text.rsplit(['*', '?']).next().unwrap_or_default();
    end.rsplit_once('/').map(|(_, end)| format!("end:{end}"))
}

fn path(glob: &Glob) -> Option<String> {
    let text = glob.as_str();
    if let Some(exact) = glob.exact() {
        return Some(format!("path:{exact}"));
    }
    let literal = text.split(['*', '?']).next().unwrap_or_default();
    let end = text.rsplit(['*', '?']).next().unwrap_or_default();
    // The most telling first: a file's name or its beginning, its folder, two folders above it, what
    // kind of file, one folder.
    if let Some((_, name)) = end.rsplit_once('/').filter(|(_, name)| !name.is_empty()) {
        return Some(format!("file:{name}"));
    }
    let start = start(text);
    let starts = |(start, _)| format!("starts:{start}");
    if let Some((_, 1..)) = start {
        return start.map(starts);
    }
    let folders: Vec<&str> = literal
        .rsplit_once('/')
        .map(|(folders, _)| folders.split('/').take(2).collect())
        .unwrap_or_default();
    let top = (!folders.is_empty()).then(|| format!("top:{}", folders.join("/")));
    let kind = end.rsplit_once('.').map(|(_, kind)| format!("type:{kind}"));
    if folders.len() == 2 {
        start.map(starts).or(top)
    } else {
        kind.or(top)
    }
}

/// The folder of all names that a pattern stands for, and how their last part begins as far as there is
/// a term for it, with the number of those characters. None where they are in several folders.
fn start(pattern: &str) -> Option<(String, usize)> {
    let literal = pattern.split(['*', '?']).next()?;
    let rest = pattern.strip_prefix(literal)?;
    if rest.contains('/') || rest.contains("**") {
        return None;
    }
    let part = literal.rsplit('/').next()?;
    let folder = literal.strip_suffix(part)?;
    let given = part.chars().count();
    let known = STARTS.into_iter().find(|known| *known <= given)?;
    let start = folder.chars().chain(part.chars().take(known)).collect();
    Some((start, known))
}

#[derive(QueryableByName)]
struct Name {
    #[diesel(sql_type = Text)]
    name: String,
}

fn repositories(conn: &mut PgConnection, glob: &Glob) -> QueryResult<Option<Vec<String>>> {
    let mut query = Pieces::default();
    query.sql("SELECT 'repo:' || id AS name FROM repositories WHERE name ~ ");
    query.bind(Piece::Text(glob.regex()));
    written_out(conn, query)
}

fn values(
    conn: &mut PgConnection,
    field: &'static str,
    glob: &Glob,
) -> QueryResult<Option<Vec<String>>> {
    if let Some(exact) = glob.exact() {
        return Ok(Some(vec![format!("{field}:{exact}")]));
    }
    let mut query = Pieces::default();
    query.sql("SELECT field || ':' || value AS name FROM event_values WHERE field = '");
    query.sql(field);
    query.sql("' AND value ~ ");
    query.bind(Piece::Text(glob.regex()));
    written_out(conn, query)
}

fn written_out(conn: &mut PgConnection, mut query: Pieces) -> QueryResult<Option<Vec<String>>> {
    query.sql(" LIMIT 257");
    let found: Vec<Name> = query.load(conn)?;
    let is_few = found.len() <= MOST_NAMES;
    Ok(is_few.then(|| found.into_iter().map(|found| found.name).collect()))
}

/// An event that may be meant.
#[derive(Debug, QueryableByName)]
pub struct Candidate {
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    repository_id: Uuid,
    #[diesel(sql_type = BigInt)]
    seq: i64,
    #[diesel(sql_type = Timestamptz)]
    recorded_at: DateTime<Utc>,
    /// Where it was found.
    #[diesel(sql_type = BigInt)]
    pub block: i64,
}

impl Candidate {
    /// Where it stands in a list.
    pub const fn place(&self) -> Place {
        (self.recorded_at, self.repository_id, self.seq)
    }
}

/// Events whose terms were not made yet; none where there are too many to look at.
///
/// # Errors
/// What diesel says.
pub fn fresh(conn: &mut PgConnection, with_push: bool) -> QueryResult<Option<Vec<Candidate>>> {
    let mut query = Pieces::default();
    // The limits inside say that there are few: without, all events are read and hashed.
    query.sql(
        "WITH fresh AS MATERIALIZED (
            SELECT e.repository_id, e.seq, e.recorded_at, e.push_id
            FROM (SELECT stream, seq FROM log_leaves
                WHERE leaf_index >= (SELECT leaves FROM event_terms_made)
                ORDER BY leaf_index LIMIT 20001) AS l
            CROSS JOIN LATERAL (SELECT * FROM events
                WHERE repository_id = l.stream AND seq = l.seq LIMIT 1) AS e
            UNION ALL
            SELECT e.repository_id, e.seq, e.recorded_at, e.push_id
            FROM repositories AS r LEFT JOIN log_positions AS p ON p.stream = r.id
            CROSS JOIN LATERAL (SELECT * FROM events
                WHERE repository_id = r.id AND seq > coalesce(p.seq, 0)
                ORDER BY seq LIMIT 20001) AS e
            WHERE r.next_seq > coalesce(p.seq, 0) + 1
            LIMIT ",
    );
    query.bind(Piece::Number(MOST_FRESH + 1));
    query.sql(") SELECT repository_id, seq, recorded_at, 0::bigint AS block FROM fresh");
    if with_push {
        // Earlier events of a push whose state has just changed have the terms of the old one.
        query.sql(
            " UNION SELECT e.repository_id, e.seq, e.recorded_at, 0::bigint
            FROM (SELECT DISTINCT push_id FROM fresh) AS p JOIN events AS e USING (push_id)
            LIMIT ",
        );
        query.bind(Piece::Number(MOST_FRESH + 1));
    }
    let found: Vec<Candidate> = query.load(conn)?;
    let is_few = i64::try_from(found.len()).unwrap_or(i64::MAX) <= MOST_FRESH;
    Ok(is_few.then_some(found))
}

/// Events of one block, some of which may be meant.
#[derive(Clone, Copy, Debug, QueryableByName)]
pub struct Block {
    /// Which one.
    #[diesel(sql_type = BigInt)]
    pub number: i64,
    /// None of its events was recorded before.
    #[diesel(sql_type = Timestamptz)]
    pub first_at: DateTime<Utc>,
    /// None of its events was recorded after.
    #[diesel(sql_type = Timestamptz)]
    pub last_at: DateTime<Utc>,
}

/// A span of time, both ends included.
#[derive(Clone, Copy, Debug, Default)]
pub struct Span {
    /// Then or later.
    pub from: Option<DateTime<Utc>>,
    /// Then or earlier.
    pub to: Option<DateTime<Utc>>,
}

impl Span {
    fn on(self, query: &mut Pieces, first: &'static str, last: &'static str) {
        if let Some(from) = self.from {
            query.sql(" AND ");
            query.sql(last);
            query.sql(" >= ");
            query.bind(Piece::Time(from));
        }
        if let Some(to) = self.to {
            query.sql(" AND ");
            query.sql(first);
            query.sql(" <= ");
            query.bind(Piece::Time(to));
        }
    }
}

/// All blocks with events of that time.
///
/// # Errors
/// What diesel says.
pub fn blocks(conn: &mut PgConnection, span: Span) -> QueryResult<Vec<Block>> {
    let mut query = Pieces::default();
    query.sql("SELECT block AS number, first_at, last_at FROM event_term_blocks WHERE TRUE");
    span.on(&mut query, "first_at", "last_at");
    query.load(conn)
}

/// For each set but those of one alternative: declared, and used.
const SETS: [(&str, &str); 8] = [
    (" AS a", " AND terms && keys.a"),
    (" AS b", " AND terms && keys.b"),
    (" AS c", " AND terms && keys.c"),
    (" AS d", " AND terms && keys.d"),
    (" AS e", " AND terms && keys.e"),
    (" AS f", " AND terms && keys.f"),
    (" AS g", " AND terms && keys.g"),
    (" AS h", " AND terms && keys.h"),
];

/// Of each of these blocks, the first events in the order of a list that have the terms, at most so
/// many of each.
///
/// # Errors
/// What diesel says.
pub fn candidates(
    conn: &mut PgConnection,
    wanted: &Wanted,
    span: Span,
    blocks: Vec<i64>,
    newest_first: bool,
    at_most: i64,
) -> QueryResult<Vec<Candidate>> {
    let (single, several): (Vec<_>, Vec<_>) = wanted.0.iter().partition(|set| set.len() == 1);
    let mut query = Pieces::default();
    query.sql("SELECT found.*, asked.block FROM unnest(");
    query.bind(Piece::Numbers(blocks));
    query.sql(") AS asked (block) CROSS JOIN LATERAL (SELECT ");
    let keys = |query: &mut Pieces, terms: Vec<String>| {
        query.sql("ARRAY(SELECT (asked.block << 32) | term_hash(term) FROM unnest(");
        query.bind(Piece::Texts(terms));
        query.sql(") AS term)");
    };
    keys(
        &mut query,
        single.iter().copied().flatten().cloned().collect(),
    );
    query.sql(" AS every");
    for (set, (declared, _)) in several.iter().zip(SETS) {
        query.sql(", ");
        keys(&mut query, (*set).clone());
        query.sql(declared);
    }
    query.sql(
        " OFFSET 0) AS keys CROSS JOIN LATERAL (SELECT repository_id, seq, recorded_at \
         FROM event_terms WHERE terms @> keys.every",
    );
    for (_, (_, used)) in several.iter().zip(SETS) {
        query.sql(used);
    }
    span.on(&mut query, "recorded_at", "recorded_at");
    query.sql(if newest_first {
        " ORDER BY recorded_at DESC, repository_id DESC, seq DESC LIMIT "
    } else {
        " ORDER BY recorded_at, repository_id, seq LIMIT "
    });
    query.bind(Piece::Number(at_most));
    query.sql(") AS found");
    query.load(conn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_found_by_the_longest_beginning_that_has_a_term() {
        for (pattern, expected) in [
            (
                "refs/heads/feature/user799-*",
                Some(("refs/heads/feature/user799-", 8)),
            ),
            (
                "refs/heads/feature/user799-x?",
                Some(("refs/heads/feature/user799-", 8)),
            ),
            ("refs/heads/main?", Some(("refs/heads/main", 4))),
            ("refs/heads/mai*", Some(("refs/heads/", 0))),
            ("docs/m1/*", Some(("docs/m1/", 0))),
            ("README*", Some(("READ", 4))),
            ("a/éééé*b", Some(("a/éééé", 4))),
            ("*.md", Some(("", 0))),
            ("src/main**", None),
            ("src/main*/x", None),
            ("**/main*", None),
        ] {
            let found = start(pattern);
            let found = found
                .as_ref()
                .map(|(start, known)| (start.as_str(), *known));
            assert_eq!(found, expected, "{pattern}");
        }
    }

    #[test]
    fn refs_and_paths_go_by_the_most_telling_term() {
        let of_ref = |pattern: &str| ref_name(&Glob::new(pattern));
        let of_path = |pattern: &str| path(&Glob::new(pattern));
        for (found, expected) in [
            (
                of_ref("refs/heads/feature/user*"),
                Some("begins:refs/heads/feature/user"),
            ),
            (
                of_ref("refs/heads/feature/us*"),
                Some("under:refs/heads/feature"),
            ),
            (
                of_ref("refs/heads/feature/user**"),
                Some("under:refs/heads/feature"),
            ),
            (of_ref("refs/heads/*-fix"), None),
            (of_ref("**/main"), Some("end:main")),
            (of_path("src/3/file7*.rs"), Some("starts:src/3/file")),
            (of_path("docs/m1/*"), Some("starts:docs/m1/")),
            (of_path("docs/m1/**"), Some("top:docs/m1")),
            (of_path("docs/*.md"), Some("type:md")),
            (of_path("docs/*"), Some("top:docs")),
            (of_path("src/*/main.rs"), Some("file:main.rs")),
        ] {
            assert_eq!(found.as_deref(), expected);
        }
    }
}

//! Which commits a ref update brings, as far as pushes have recorded them. A push records the
//! commits that are new to the repository; an update may bring more than its own push did,
//! because another branch brought them earlier.

use std::collections::{HashMap, HashSet};

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text, Uuid as SqlUuid};
use uuid::Uuid;

use super::records::Commit;
use super::schema::{commits, pushes};

/// Commits that are looked at from one end of an update.
const WALKED: i64 = 5_000;

/// A recorded commit's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Its id.
    pub oid: String,
    /// Its parents.
    pub parents: Vec<String>,
    /// A push that recorded it: the one that asks, where it did.
    pub push_id: Uuid,
    /// Its place there.
    pub ordinal: i32,
}

type Row = (String, Vec<String>, Uuid, i32);

const ROW: (
    commits::oid,
    commits::parents,
    commits::push_id,
    commits::ordinal,
) = (
    commits::oid,
    commits::parents,
    commits::push_id,
    commits::ordinal,
);

impl From<Row> for Recorded {
    fn from((oid, parents, push_id, ordinal): Row) -> Self {
        Self {
            oid,
            parents,
            push_id,
            ordinal,
        }
    }
}

/// What is known of the commits that an update brings.
#[derive(Clone, Debug, Default)]
pub struct Brought {
    /// The recorded ones, parents first.
    pub commits: Vec<Recorded>,
    /// Whether a walk was broken off, so that the list may not be exact.
    pub is_cut: bool,
}

/// The recorded commits that `new` reaches and `old` does not. `gained` is how many there are
/// in truth, `own` the push that asks; where the list has as many and ends at `old`, what `old`
/// reaches is not looked at.
///
/// # Errors
/// What diesel says.
pub fn brought(
    conn: &mut PgConnection,
    repository: Uuid,
    own: Uuid,
    old: &str,
    new: &str,
    gained: i64,
) -> QueryResult<Brought> {
    let reached = walk(conn, repository, new, old)?;
    let mut is_cut = is_full(&reached);
    let mut found = recorded(conn, repository, own, &reached)?;
    let ends_at_old = found.len() == reached.len();
    if !ends_at_old || i64::try_from(found.len()) != Ok(gained) {
        let behind = walk(conn, repository, old, "")?;
        is_cut |= is_full(&behind);
        let behind: HashSet<String> = behind.into_iter().collect();
        found.retain(|commit| !behind.contains(&commit.oid));
    }
    Ok(Brought {
        commits: parents_first(found, new),
        is_cut,
    })
}

/// The commits that a push itself brought and `new` reaches; where there are none, the commit
/// `new` alone, if any push has recorded it.
///
/// # Errors
/// What diesel says.
pub fn brought_by(
    conn: &mut PgConnection,
    repository: Uuid,
    push: Uuid,
    new: &str,
) -> QueryResult<Brought> {
    let reached = walk(conn, repository, new, "")?;
    let rows: Vec<Row> = commits::table
        .filter(commits::push_id.eq(push))
        .filter(commits::oid.eq_any(&reached))
        .select(ROW)
        .load(conn)?;
    let mut found: Vec<Recorded> = rows.into_iter().map(Recorded::from).collect();
    if found.is_empty() {
        found = recorded(conn, repository, push, &[new.to_owned()])?;
    }
    Ok(Brought {
        commits: parents_first(found, new),
        is_cut: is_full(&reached),
    })
}

/// All commits of a push.
///
/// # Errors
/// What diesel says.
pub fn all_of(conn: &mut PgConnection, push: Uuid) -> QueryResult<Brought> {
    let rows: Vec<Row> = commits::table
        .filter(commits::push_id.eq(push))
        .order(commits::ordinal)
        .limit(WALKED)
        .select(ROW)
        .load(conn)?;
    Ok(Brought {
        is_cut: i64::try_from(rows.len()).unwrap_or(i64::MAX) >= WALKED,
        commits: rows.into_iter().map(Recorded::from).collect(),
    })
}

/// Loads recorded commits, in the order given.
///
/// # Errors
/// What diesel says.
pub fn load(conn: &mut PgConnection, wanted: &[Recorded]) -> QueryResult<Vec<Commit>> {
    let mut by_push: HashMap<Uuid, Vec<i32>> = HashMap::new();
    for commit in wanted {
        by_push
            .entry(commit.push_id)
            .or_default()
            .push(commit.ordinal);
    }
    let mut loaded: HashMap<(Uuid, i32), Commit> = HashMap::new();
    for (push, ordinals) in by_push {
        let rows: Vec<Commit> = commits::table
            .filter(commits::push_id.eq(push))
            .filter(commits::ordinal.eq_any(ordinals))
            .select(Commit::as_select())
            .load(conn)?;
        loaded.extend(rows.into_iter().map(|row| ((push, row.ordinal), row)));
    }
    let in_order = wanted
        .iter()
        .filter_map(|commit| loaded.remove(&(commit.push_id, commit.ordinal)));
    Ok(in_order.collect())
}

/// Author and committer lines of recorded commits, and those of co-authors.
///
/// # Errors
/// What diesel says.
pub fn idents(conn: &mut PgConnection, of: &[Recorded]) -> QueryResult<Vec<Vec<u8>>> {
    let oids: Vec<&str> = of.iter().map(|commit| commit.oid.as_str()).collect();
    let pushes: HashSet<Uuid> = of.iter().map(|commit| commit.push_id).collect();
    let rows: Vec<(Vec<u8>, Vec<u8>, Vec<u8>)> = commits::table
        .filter(commits::oid.eq_any(oids))
        .filter(commits::push_id.eq_any(pushes))
        .select((commits::author, commits::committer, commits::message))
        .distinct()
        .load(conn)?;
    Ok(rows
        .into_iter()
        .flat_map(super::records::everyone)
        .collect())
}

fn is_full(walked: &[String]) -> bool {
    i64::try_from(walked.len()).unwrap_or(i64::MAX) >= WALKED
}

/// `from` and what it reaches through recorded commits, up to `until`, which is left out; ends
/// at commits that are not recorded, which are in the list.
fn walk(
    conn: &mut PgConnection,
    repository: Uuid,
    from: &str,
    until: &str,
) -> QueryResult<Vec<String>> {
    #[derive(QueryableByName)]
    struct Reached {
        #[diesel(sql_type = Text)]
        oid: String,
    }
    // Postgres evaluates a recursive query only as far as the outer LIMIT asks for rows.
    let rows: Vec<Reached> = diesel::sql_query(
        "WITH RECURSIVE reached(oid) AS (
             SELECT $1
             UNION
             SELECT parent.oid FROM reached
             JOIN commits ON commits.oid = reached.oid
             JOIN pushes ON pushes.id = commits.push_id AND pushes.repository_id = $2
             CROSS JOIN LATERAL unnest(commits.parents) AS parent(oid)
             WHERE parent.oid <> $3
         )
         SELECT oid FROM reached LIMIT $4",
    )
    .bind::<Text, _>(from)
    .bind::<SqlUuid, _>(repository)
    .bind::<Text, _>(until)
    .bind::<BigInt, _>(WALKED)
    .load(conn)?;
    Ok(rows.into_iter().map(|row| row.oid).collect())
}

/// These commits, as far as pushes have recorded them, in the order given.
///
/// # Errors
/// What diesel says.
pub fn recorded_in_order(
    conn: &mut PgConnection,
    repository: Uuid,
    own: Uuid,
    oids: &[String],
) -> QueryResult<Vec<Recorded>> {
    let mut found: HashMap<String, Recorded> = recorded(conn, repository, own, oids)?
        .into_iter()
        .map(|commit| (commit.oid.clone(), commit))
        .collect();
    Ok(oids.iter().filter_map(|oid| found.remove(oid)).collect())
}

fn recorded(
    conn: &mut PgConnection,
    repository: Uuid,
    own: Uuid,
    oids: &[String],
) -> QueryResult<Vec<Recorded>> {
    let of_repository = pushes::table
        .filter(pushes::repository_id.eq(repository))
        .select(pushes::id);
    let rows: Vec<Row> = commits::table
        .filter(commits::oid.eq_any(oids))
        .filter(commits::push_id.eq_any(of_repository))
        .distinct_on(commits::oid)
        // The asking push's own record before another's; the facts of a commit never differ.
        .order((commits::oid, commits::push_id.ne(own), commits::push_id))
        .select(ROW)
        .load(conn)?;
    Ok(rows.into_iter().map(Recorded::from).collect())
}

/// Orders commits so that each stands after its parents, and `tip`'s first parents stay together.
fn parents_first(commits: Vec<Recorded>, tip: &str) -> Vec<Recorded> {
    let mut left: HashMap<String, Recorded> = commits
        .into_iter()
        .map(|commit| (commit.oid.clone(), commit))
        .collect();
    let mut ordered = Vec::with_capacity(left.len());
    // A commit stands twice on the stack: to visit its parents, then to be put down itself.
    let mut open: Vec<Result<Recorded, String>> = vec![Err(tip.to_owned())];
    while let Some(next) = open.pop() {
        match next {
            Ok(commit) => ordered.push(commit),
            Err(oid) => {
                if let Some(commit) = left.remove(&oid) {
                    let parents: Vec<_> = commit.parents.iter().rev().cloned().map(Err).collect();
                    open.push(Ok(commit));
                    open.extend(parents);
                }
            }
        }
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_stands_after_its_parents() {
        let commit = |oid: &str, parents: &[&str]| Recorded {
            oid: oid.into(),
            parents: parents.iter().map(|&parent| parent.into()).collect(),
            push_id: Uuid::nil(),
            ordinal: 0,
        };
        let commits = vec![
            commit("merge", &["a2", "b1"]),
            commit("a2", &["a1"]),
            commit("b1", &["a1"]),
            commit("a1", &["base"]),
            commit("elsewhere", &[]),
        ];
        let order = parents_first(commits, "merge");
        let order: Vec<_> = order.iter().map(|commit| commit.oid.as_str()).collect();
        assert_eq!(order, ["a1", "a2", "b1", "merge"]);
    }
}

//! The ledger's events: appended under the repository's lock, read in order.

mod append;

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::{Text, Timestamptz};
use refwarden_query::Query;
use uuid::Uuid;

use super::log::LeafPlace;
use super::schema::{events, repositories};
use super::search::{Condition, Way};
use append::Append;

pub use super::pages::is_out_of_time;

/// Where an event stands in a list: time, repository, number. An event is named by the last two.
pub type Place = (DateTime<Utc>, Uuid, i64);

/// An event to append; its number and time are given when it is.
#[derive(Clone, Debug, Default)]
pub struct NewEvent {
    /// For example `push.denied`.
    pub kind: &'static str,
    /// Who did it.
    pub actor: String,
    /// The push it belongs to.
    pub push_id: Option<Uuid>,
    /// The request it belongs to.
    pub request_id: Option<String>,
    /// The ref it is about.
    pub ref_name: Option<Vec<u8>>,
    /// Value before.
    pub old_oid: Option<String>,
    /// Value after.
    pub new_oid: Option<String>,
    /// Codes that the pusher was shown.
    pub codes: Vec<String>,
    /// One sentence for people.
    pub summary: String,
}

/// An event as it is stored.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = events)]
pub struct Event {
    /// The repository.
    pub repository_id: Uuid,
    /// Its number, from 1 without gaps.
    pub seq: i64,
    /// When it was appended.
    pub recorded_at: DateTime<Utc>,
    /// For example `push.denied`.
    pub kind: String,
    /// Who did it.
    pub actor: String,
    /// The push it belongs to.
    pub push_id: Option<Uuid>,
    /// The request it belongs to.
    pub request_id: Option<String>,
    /// The ref it is about.
    pub ref_name: Option<Vec<u8>>,
    /// Value before.
    pub old_oid: Option<String>,
    /// Value after.
    pub new_oid: Option<String>,
    /// Codes that the pusher was shown.
    pub codes: Vec<String>,
    /// One sentence for people.
    pub summary: String,
}

impl Event {
    /// Where it stands in a list.
    pub const fn place(&self) -> Place {
        (self.recorded_at, self.repository_id, self.seq)
    }
}

/// Appends events in order and returns the number of the last. Takes the repository's lock,
/// which holds until the transaction ends, so that numbers have no gaps.
///
/// # Errors
/// What diesel says; `NotFound` when there is no such repository.
pub fn append(
    conn: &mut PgConnection,
    repository: Uuid,
    now: DateTime<Utc>,
    new: impl AsRef<[NewEvent]>,
) -> QueryResult<i64> {
    let new = new.as_ref();
    if new.is_empty() {
        let of_it = repositories::table.find(repository);
        let next: i64 = of_it.select(repositories::next_seq).first(conn)?;
        return Ok(next - 1);
    }
    let numbers: Vec<i64> = Append::of(repository, now, new).load(conn)?;
    let last = numbers.last().ok_or(diesel::result::Error::NotFound)?;
    let appended: Vec<_> = new
        .iter()
        .zip(&numbers)
        .map(|(event, seq)| super::outbox::Appended {
            seq: *seq,
            kind: event.kind,
            request: event.request_id.as_deref(),
        })
        .collect();
    super::outbox::tell(conn, repository, now, &appended)?;
    Ok(*last)
}

/// What to list.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Events of this repository only.
    pub repository: Option<Uuid>,
    /// Of this kind, or of every kind that begins with it and a dot.
    pub kind: Option<String>,
    /// About this ref.
    pub ref_name: Option<String>,
    /// By an actor whose description holds this.
    pub actor: Option<String>,
    /// Of this push.
    pub push: Option<Uuid>,
    /// Not before.
    pub since: Option<DateTime<Utc>>,
    /// What was asked for in the grammar.
    pub query: Query,
    /// Before this time.
    pub before: Option<DateTime<Utc>>,
    /// After this event in the order of the list.
    pub after: Option<Place>,
    /// The newest first.
    pub newest_first: bool,
    /// At most this many.
    pub limit: i64,
}

/// Lists events, oldest first unless said, by keyset.
///
/// # Errors
/// What diesel says.
pub fn list(conn: &mut PgConnection, filter: &Filter) -> QueryResult<Vec<Event>> {
    super::pages::list(conn, filter)
}

/// Those of the leaves whose events meet the filter, in the order of the log.
///
/// # Errors
/// What diesel says.
pub fn among(
    conn: &mut PgConnection,
    filter: &Filter,
    leaves: &[LeafPlace],
) -> QueryResult<Vec<(u64, Event)>> {
    let places: Vec<Place> = leaves.iter().filter_map(|leaf| leaf.place).collect();
    if places.is_empty() {
        return Ok(Vec::new());
    }
    let query = selected(filter, Way::Each).filter(Condition::one_of(&places));
    let found: Vec<Event> = query.load(conn)?;
    let mut found: HashMap<Place, Event> = found
        .into_iter()
        .map(|event| (event.place(), event))
        .collect();
    let in_order = leaves.iter().filter_map(|leaf| {
        let event = found.remove(&leaf.place?)?;
        Some((leaf.index, event))
    });
    Ok(in_order.collect())
}

/// The query for a page.
pub(super) fn selected(
    filter: &Filter,
    way: Way,
) -> events::BoxedQuery<'static, Pg, diesel::dsl::SqlTypeOf<diesel::dsl::AsSelect<Event, Pg>>> {
    let mut query = filter.apply(events::table.select(Event::as_select()).into_boxed(), way);
    // Of each pair, the first condition follows from the second, and an index can begin there.
    if let Some((at, repository, seq)) = filter.after {
        let same = events::recorded_at.eq(at);
        let here = events::repository_id.eq(repository);
        query = if filter.newest_first {
            let earlier = here.and(events::seq.lt(seq));
            let earlier = same.and(events::repository_id.lt(repository).or(earlier));
            query
                .filter(events::recorded_at.le(at))
                .filter(events::recorded_at.lt(at).or(earlier))
        } else {
            let later = here.and(events::seq.gt(seq));
            let later = same.and(events::repository_id.gt(repository).or(later));
            query
                .filter(events::recorded_at.ge(at))
                .filter(events::recorded_at.gt(at).or(later))
        };
    }
    let by = (events::recorded_at, events::repository_id, events::seq);
    let (at, repository, seq) = by;
    query = if filter.newest_first {
        query.order((at.desc(), repository.desc(), seq.desc()))
    } else {
        query.order(by)
    };
    query.limit(filter.limit)
}

/// How many events there are, on all pages.
///
/// # Errors
/// What diesel says.
pub fn count(conn: &mut PgConnection, filter: &Filter) -> QueryResult<i64> {
    let all = events::table.select(diesel::dsl::count_star()).into_boxed();
    filter.apply(all, Way::Among).first(conn)
}

impl Filter {
    /// Every condition but the place of the page.
    fn apply<'a, ST>(
        &self,
        mut query: events::BoxedQuery<'a, Pg, ST>,
        way: Way,
    ) -> events::BoxedQuery<'a, Pg, ST> {
        if let Some(repository) = self.repository {
            query = query.filter(events::repository_id.eq(repository));
        }
        if let Some(kind) = &self.kind {
            let within = format!("{}.%", escape_like(kind));
            query = query.filter(events::kind.eq(kind.clone()).or(events::kind.like(within)));
        }
        if let Some(ref_name) = &self.ref_name {
            query = query.filter(events::ref_name_text.eq(ref_name.clone()));
        }
        if let Some(actor) = &self.actor {
            query = query.filter(events::actor.like(format!("%{}%", escape_like(actor))));
        }
        if let Some(push) = self.push {
            query = query.filter(events::push_id.eq(push));
        }
        if let Some(since) = self.since {
            query = query.filter(events::recorded_at.ge(since));
        }
        if let Some(before) = self.before {
            query = query.filter(events::recorded_at.lt(before));
        }
        for term in &self.query.terms {
            query = query.filter(Condition::new(term, way));
        }
        query
    }
}

/// A text for LIKE, in which nothing stands for anything else.
pub(super) fn escape_like(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('%', "\\%")
        .replace('_', "\\_")
}

/// Events of a repository that decide its state, up to and including a number.
///
/// # Errors
/// What diesel says.
pub fn of_kinds(
    conn: &mut PgConnection,
    repository: Uuid,
    kinds: &[&str],
    from: i64,
    to: i64,
) -> QueryResult<Vec<Event>> {
    events::table
        .filter(events::repository_id.eq(repository))
        .filter(events::kind.eq_any(kinds.to_vec()))
        .filter(events::seq.between(from, to))
        .order(events::seq)
        .select(Event::as_select())
        .load(conn)
}

/// How many events a push has.
///
/// # Errors
/// What diesel says.
pub fn count_of_push(conn: &mut PgConnection, push: Uuid) -> QueryResult<i64> {
    let of_it = events::table.filter(events::push_id.eq(push));
    of_it.count().get_result(conn)
}

/// Finds an event.
///
/// # Errors
/// What diesel says.
pub fn find(conn: &mut PgConnection, repository: Uuid, seq: i64) -> QueryResult<Option<Event>> {
    events::table
        .find((repository, seq))
        .select(Event::as_select())
        .first(conn)
        .optional()
}

/// The number of the last event at or before a time; 0 when there is none.
///
/// # Errors
/// What diesel says.
pub fn last_at(conn: &mut PgConnection, repository: Uuid, at: DateTime<Utc>) -> QueryResult<i64> {
    let last: Option<i64> = events::table
        .filter(events::repository_id.eq(repository))
        .filter(events::recorded_at.le(at))
        .select(diesel::dsl::max(events::seq))
        .first(conn)?;
    Ok(last.unwrap_or(0))
}

/// Records that somebody read the records.
///
/// # Errors
/// What diesel says.
pub fn record_reading(
    conn: &mut PgConnection,
    now: DateTime<Utc>,
    reader: &str,
    what: &str,
) -> QueryResult<()> {
    // One statement, so that the numbers' row is locked for no longer than it runs.
    diesel::sql_query(
        "WITH number AS (UPDATE reading_numbers SET next = next + 1 RETURNING next - 1 AS seq)
        INSERT INTO readings (recorded_at, reader, what, seq) SELECT $1, $2, $3, seq FROM number",
    )
    .bind::<Timestamptz, _>(now)
    .bind::<Text, _>(reader)
    .bind::<Text, _>(what)
    .execute(conn)?;
    Ok(())
}

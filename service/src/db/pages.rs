//! A page of events, whatever is asked for, in a time that does not grow with the ledger.
//!
//! What many events meet is found among the next thousand of them. What few meet is found by its terms,
//! block by block in the order of the list, until nothing that is left can stand on the page. Events
//! whose terms are not made yet are looked at one by one. Where no term says what is asked for, too
//! many are not made, or too much is found that is not meant, Postgres goes about it as it thinks
//! best, in the time that a statement has: no question is worked on for long.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use refwarden_query::Field;
use uuid::Uuid;

use super::events::{Event, Filter, Place, selected};
use super::schema::events;
use super::search::{Condition, Way};
use super::terms::{self, Candidate, Span, Wanted};

/// How far a search looks at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reach {
    /// Events that are walked along before terms are asked, at least.
    pub walk: i64,
    /// Candidates that are taken from a block at first.
    pub candidates: i64,
    /// How long blocks are gone through.
    pub time: Duration,
}

const REACH: Reach = Reach {
    walk: 1000,
    candidates: 200,
    time: Duration::from_secs(2),
};

/// Blocks that are looked at together, at most.
const MOST_BLOCKS: usize = 64;
/// Candidates that are looked for together, at most, where it is more than one block.
const MOST_CANDIDATES: i64 = 100_000;
/// Candidates that are read together, at most.
const MOST_READ: usize = 2000;

/// The page.
pub(super) fn list(conn: &mut PgConnection, filter: &Filter) -> QueryResult<Vec<Event>> {
    list_within(conn, filter, REACH)
}

pub(super) fn list_within(
    conn: &mut PgConnection,
    filter: &Filter,
    reach: Reach,
) -> QueryResult<Vec<Event>> {
    if is_simple(filter) {
        return selected(filter, Way::Among).load(conn);
    }
    let (found, end) = match walk(conn, filter, reach) {
        // An index may lead past a push of very many files that has to be held against a path.
        Err(error) if is_out_of_time(&error) => {
            return selected(filter, Way::Among).load(conn);
        }
        walked => walked?,
    };
    let Some(end) = end else {
        return Ok(found);
    };
    // Before names and blocks: what comes to be among them meanwhile is found twice, and not never.
    let Some(fresh) = terms::fresh(conn, terms::is_changing(filter))? else {
        return selected(filter, Way::Among).load(conn);
    };
    let Some(wanted) = Wanted::of(conn, filter)? else {
        return selected(filter, Way::Among).load(conn);
    };
    let span = if filter.newest_first {
        Span {
            to: Some(end),
            ..span(filter)
        }
    } else {
        Span {
            from: Some(end),
            ..span(filter)
        }
    };
    let mut search = Search {
        filter,
        reach,
        wanted: &wanted,
        span,
        seen: found.iter().map(name).collect(),
        found,
        waiting: Vec::new(),
        blocks: Vec::new(),
    };
    search.add(fresh);
    if search.run(conn)? {
        Ok(search.found)
    } else {
        selected(filter, Way::Among).load(conn)
    }
}

/// Whether a statement took longer than the connection's settings allow.
pub fn is_out_of_time(error: &diesel::result::Error) -> bool {
    use diesel::result::Error;
    matches!(error, Error::DatabaseError(_, said) if said.message().contains("statement timeout"))
}

/// Whether Postgres needs no help: an index has the order of the list, or has a few events.
fn is_simple(filter: &Filter) -> bool {
    let of_few =
        |field: &Field| matches!(field, Field::Push(_) | Field::Request(_) | Field::Event(_));
    let of_time = |field: &Field| matches!(field, Field::Since(_) | Field::Until(_));
    let terms = &filter.query.terms;
    let is_bare = filter.repository.is_none()
        && filter.kind.is_none()
        && filter.ref_name.is_none()
        && filter.actor.is_none();
    filter.push.is_some()
        || terms
            .iter()
            .any(|term| !term.negated && term.any.iter().all(of_few))
        || is_bare && terms.iter().all(|term| term.any.iter().all(of_time))
}

/// When the events of the list were recorded, as far as the filter says.
fn span(filter: &Filter) -> Span {
    let mut span = Span {
        from: filter.since,
        to: filter.before,
    };
    for term in filter.query.terms.iter().filter(|term| !term.negated) {
        match term.any.as_slice() {
            [Field::Since(at)] => span.from = span.from.max(Some(*at)),
            [Field::Until(at)] => span.to = Some(span.to.map_or(*at, |to| to.min(*at))),
            _ => {}
        }
    }
    if let Some((at, ..)) = filter.after {
        if filter.newest_first {
            span.to = Some(span.to.map_or(at, |to| to.min(at)));
        } else {
            span.from = span.from.max(Some(at));
        }
    }
    span
}

/// What is found among the next events, and where those end; no end where the page is complete.
fn walk(
    conn: &mut PgConnection,
    filter: &Filter,
    reach: Reach,
) -> QueryResult<(Vec<Event>, Option<DateTime<Utc>>)> {
    let Span { from, to } = span(filter);
    let mut along = events::table.select(events::recorded_at).into_boxed();
    if let Some(from) = from {
        along = along.filter(events::recorded_at.ge(from));
    }
    if let Some(to) = to {
        along = along.filter(events::recorded_at.le(to));
    }
    along = if filter.newest_first {
        along.order(events::recorded_at.desc())
    } else {
        along.order(events::recorded_at)
    };
    let far = reach.walk.max(filter.limit.saturating_mul(4));
    let end: Option<DateTime<Utc>> = along.offset(far).first(conn).optional()?;
    let mut query = selected(filter, Way::Each);
    if let Some(end) = end {
        query = if filter.newest_first {
            query.filter(events::recorded_at.ge(end))
        } else {
            query.filter(events::recorded_at.le(end))
        };
    }
    let found: Vec<Event> = query.load(conn)?;
    let is_full = count(found.len()) >= filter.limit;
    Ok((found, end.filter(|_| !is_full)))
}

/// A block that was not, or not wholly, looked at.
struct Ahead {
    number: i64,
    /// None of its events that are left comes before this in the list.
    edge: DateTime<Utc>,
    /// Candidates to take from it.
    at_most: i64,
}

struct Search<'a> {
    filter: &'a Filter,
    reach: Reach,
    wanted: &'a Wanted,
    span: Span,
    found: Vec<Event>,
    /// What is found, or waits to be read.
    seen: HashSet<(Uuid, i64)>,
    /// Candidates, the last of them first.
    waiting: Vec<Place>,
    /// The last of them first.
    blocks: Vec<Ahead>,
}

impl Search<'_> {
    /// Fills the page; says whether there was time to.
    fn run(&mut self, conn: &mut PgConnection) -> QueryResult<bool> {
        let begun = Instant::now();
        let newest_first = self.filter.newest_first;
        let ahead = |block: terms::Block| Ahead {
            number: block.number,
            edge: if newest_first {
                block.last_at
            } else {
                block.first_at
            },
            at_most: self.reach.candidates.max(self.filter.limit),
        };
        let blocks = terms::blocks(conn, self.span)?;
        self.blocks = blocks.into_iter().map(ahead).collect();
        self.sort();
        let (mut together, mut to_read) = (1, usize::try_from(self.filter.limit).unwrap_or(1));
        loop {
            let ready = self.ready();
            if ready > 0 {
                self.read(conn, ready.min(to_read.max(1)))?;
                to_read = (to_read * 2).min(MOST_READ);
                if count(self.found.len()) >= self.filter.limit {
                    let limit = usize::try_from(self.filter.limit).unwrap_or(usize::MAX);
                    self.found.truncate(limit);
                    return Ok(true);
                }
            } else if self.blocks.is_empty() {
                return Ok(true);
            } else {
                self.look(conn, self.at_once(together))?;
                together = (together * 2).min(MOST_BLOCKS);
            }
            if begun.elapsed() >= self.reach.time {
                return Ok(false);
            }
        }
    }

    /// Whether the first of two times comes earlier in the list.
    fn precedes(&self, one: DateTime<Utc>, other: DateTime<Utc>) -> bool {
        if self.filter.newest_first {
            one > other
        } else {
            one < other
        }
    }

    /// Candidates that wait and come before whatever is left in the blocks.
    fn ready(&self) -> usize {
        let Some(next) = self.blocks.last() else {
            return self.waiting.len();
        };
        let waiting = self.waiting.iter().rev();
        waiting
            .take_while(|place| self.precedes(place.0, next.edge))
            .count()
    }

    /// How many blocks to look at, so that no more candidates come than memory should hold.
    fn at_once(&self, together: usize) -> usize {
        let mut at_most = 1;
        let few = self.blocks.iter().rev().take(together).zip(1..);
        let few = few.take_while(|(block, blocks)| {
            at_most = block.at_most.max(at_most);
            at_most.saturating_mul(*blocks) <= MOST_CANDIDATES
        });
        few.count().max(1)
    }

    /// Holds the next candidates against the filter.
    fn read(&mut self, conn: &mut PgConnection, many: usize) -> QueryResult<()> {
        let next = self.waiting.split_off(self.waiting.len() - many);
        let filter = Filter {
            limit: count(many),
            ..self.filter.clone()
        };
        let query = selected(&filter, Way::Each).filter(Condition::one_of(&next));
        self.found.extend(query.load::<Event>(conn)?);
        Ok(())
    }

    /// Looks for candidates in the next blocks.
    fn look(&mut self, conn: &mut PgConnection, together: usize) -> QueryResult<()> {
        let at = self.blocks.len().saturating_sub(together);
        let mut next = self.blocks.split_off(at);
        let numbers = next.iter().map(|block| block.number).collect();
        let at_most = next.iter().map(|block| block.at_most).max().unwrap_or(1);
        let candidates = terms::candidates(
            conn,
            self.wanted,
            self.span,
            numbers,
            self.filter.newest_first,
            at_most,
        )?;
        next.retain_mut(|block| {
            let of_it = || {
                candidates
                    .iter()
                    .filter(|found| found.block == block.number)
            };
            let last = of_it().map(|found| found.place().0);
            let last = if self.filter.newest_first {
                last.min()
            } else {
                last.max()
            };
            let is_cut = count(of_it().count()) >= at_most;
            block.edge = last.unwrap_or(block.edge);
            block.at_most = at_most.saturating_mul(16);
            is_cut
        });
        self.blocks.append(&mut next);
        self.add(candidates);
        Ok(())
    }

    fn add(&mut self, candidates: Vec<Candidate>) {
        for candidate in candidates {
            let place = candidate.place();
            let is_within = self.span.from.is_none_or(|from| place.0 >= from)
                && self.span.to.is_none_or(|to| place.0 <= to);
            if is_within && self.seen.insert((place.1, place.2)) {
                self.waiting.push(place);
            }
        }
        self.sort();
    }

    fn sort(&mut self) {
        self.waiting.sort_unstable();
        self.blocks.sort_unstable_by_key(|block| block.edge);
        if !self.filter.newest_first {
            self.waiting.reverse();
            self.blocks.reverse();
        }
    }
}

const fn name(event: &Event) -> (Uuid, i64) {
    (event.repository_id, event.seq)
}

fn count(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

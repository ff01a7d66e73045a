//! The outbox: what people are to be told, and how far each delivery has come. Rows and queries;
//! who is told and how is decided in `notify`.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use refwarden_config::Told;
use serde_json::Value;
use uuid::Uuid;

use super::schema::{deliveries, outbox, requests};

/// States of a delivery.
pub mod state {
    /// It is tried, or will be.
    pub const PENDING: &str = "pending";
    /// The receiver has it.
    pub const DELIVERED: &str = "delivered";
    /// It was given up.
    pub const FAILED: &str = "failed";
}

/// What an event of the ledger is told as, if it is told at all.
fn told_as(kind: &str, is_of_request: bool) -> Option<Told> {
    match kind {
        // The barrier consumes the approval in the transaction of this event.
        "ref.prepared" if is_of_request => Some(Told::Used),
        _ => Told::from_name(kind),
    }
}

/// An event that was just appended.
pub struct Appended<'a> {
    /// Its number in the repository.
    pub seq: i64,
    /// Its kind.
    pub kind: &'a str,
    /// The request it belongs to.
    pub request: Option<&'a str>,
}

/// Puts what people are told of into the outbox. Runs in the transaction that appends the
/// events; the states of their requests have been changed before.
///
/// # Errors
/// What diesel says.
pub fn tell(
    conn: &mut PgConnection,
    repository: Uuid,
    now: DateTime<Utc>,
    appended: &[Appended<'_>],
) -> QueryResult<()> {
    for event in appended {
        let Some(told) = told_as(event.kind, event.request.is_some()) else {
            continue;
        };
        let request_state: Option<String> = match event.request {
            None => None,
            Some(request) => requests::table
                .find(request)
                .select(requests::state)
                .first(conn)
                .optional()?,
        };
        diesel::insert_into(outbox::table)
            .values((
                outbox::id.eq(Uuid::now_v7()),
                outbox::kind.eq(told.name()),
                outbox::recorded_at.eq(now),
                outbox::repository_id.eq(repository),
                outbox::seq.eq(event.seq),
                outbox::request_id.eq(event.request),
                outbox::request_state.eq(request_state),
            ))
            .execute(conn)?;
    }
    Ok(())
}

/// Something to tell that was not handed out to channels yet.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = outbox)]
pub struct Fresh {
    /// Its id.
    pub id: Uuid,
    /// What it is told as.
    pub kind: String,
    /// When it happened.
    pub recorded_at: DateTime<Utc>,
    /// The event's repository.
    pub repository_id: Uuid,
    /// The event's number there.
    pub seq: i64,
    /// The request it is about.
    pub request_id: Option<String>,
    /// The request's state right after the event.
    pub request_state: Option<String>,
}

/// The oldest thing that was not handed out and is not `left_out`, locked; what another service
/// works on is skipped.
///
/// # Errors
/// What diesel says.
pub fn fresh(conn: &mut PgConnection, left_out: &[Uuid]) -> QueryResult<Option<Fresh>> {
    outbox::table
        .filter(outbox::notice.is_null())
        .filter(outbox::id.ne_all(left_out))
        .order(outbox::id)
        .select(Fresh::as_select())
        .for_update()
        .skip_locked()
        .first(conn)
        .optional()
}

/// Hands it out: `to` is a list of channels and recipients.
///
/// # Errors
/// What diesel says.
pub fn hand_out(
    conn: &mut PgConnection,
    id: Uuid,
    notice: &Value,
    to: &[(String, String)],
    now: DateTime<Utc>,
) -> QueryResult<()> {
    diesel::update(outbox::table.find(id))
        .set(outbox::notice.eq(notice))
        .execute(conn)?;
    let row = |(channel, recipient): &(String, String)| {
        (
            deliveries::id.eq(Uuid::now_v7()),
            deliveries::outbox_id.eq(id),
            deliveries::channel.eq(channel.clone()),
            deliveries::recipient.eq(recipient.clone()),
            deliveries::state.eq(state::PENDING),
            deliveries::attempts.eq(0),
            deliveries::made_at.eq(now),
            deliveries::due_at.eq(now),
            deliveries::said.eq(""),
        )
    };
    diesel::insert_into(deliveries::table)
        .values(to.iter().map(row).collect::<Vec<_>>())
        .on_conflict_do_nothing()
        .execute(conn)?;
    Ok(())
}

/// A delivery that is ours to try until the lease ends.
#[derive(Clone, Debug, Queryable)]
pub struct Claimed {
    /// Its id.
    pub id: Uuid,
    /// The address, by mail.
    pub recipient: String,
    /// Which attempt this is, from 1.
    pub attempts: i32,
    /// When it was handed out.
    pub made_at: DateTime<Utc>,
    /// What is told.
    pub notice: Option<Value>,
}

/// Claims deliveries of a channel that are due. Nobody else tries them before `lease`; whoever
/// is killed meanwhile is found out by that.
///
/// # Errors
/// What diesel says.
pub fn claim(
    conn: &mut PgConnection,
    channel: &str,
    limit: i64,
    now: DateTime<Utc>,
    lease: DateTime<Utc>,
) -> QueryResult<Vec<Claimed>> {
    conn.transaction(|conn| {
        let ids: Vec<Uuid> = deliveries::table
            .filter(deliveries::state.eq(state::PENDING))
            .filter(deliveries::channel.eq(channel))
            .filter(deliveries::due_at.le(now))
            .order((deliveries::due_at, deliveries::id))
            .limit(limit)
            .select(deliveries::id)
            .for_update()
            .skip_locked()
            .load(conn)?;
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        diesel::update(deliveries::table.filter(deliveries::id.eq_any(&ids)))
            .set((
                deliveries::attempts.eq(deliveries::attempts + 1),
                deliveries::due_at.eq(lease),
            ))
            .execute(conn)?;
        deliveries::table
            .inner_join(outbox::table)
            .filter(deliveries::id.eq_any(&ids))
            .order(deliveries::id)
            .select((
                deliveries::id,
                deliveries::recipient,
                deliveries::attempts,
                deliveries::made_at,
                outbox::notice,
            ))
            .load(conn)
    })
}

/// Records that the receiver has it.
///
/// # Errors
/// What diesel says.
pub fn delivered(
    conn: &mut PgConnection,
    id: Uuid,
    said: &str,
    now: DateTime<Utc>,
) -> QueryResult<()> {
    end(conn, id, state::DELIVERED, said, now)
}

/// Records that it was given up.
///
/// # Errors
/// What diesel says.
pub fn failed(
    conn: &mut PgConnection,
    id: Uuid,
    said: &str,
    now: DateTime<Utc>,
) -> QueryResult<()> {
    end(conn, id, state::FAILED, said, now)
}

fn end(
    conn: &mut PgConnection,
    id: Uuid,
    state: &str,
    said: &str,
    now: DateTime<Utc>,
) -> QueryResult<()> {
    let pending = deliveries::state.eq(state::PENDING);
    diesel::update(deliveries::table.find(id).filter(pending))
        .set((
            deliveries::state.eq(state),
            deliveries::ended_at.eq(now),
            deliveries::said.eq(said),
        ))
        .execute(conn)?;
    Ok(())
}

/// Records an attempt that failed, and when the next is due. Whoever has claimed the delivery
/// since, because this took too long, is not disturbed.
///
/// # Errors
/// What diesel says.
pub fn try_again(
    conn: &mut PgConnection,
    claimed: &Claimed,
    said: &str,
    due_at: DateTime<Utc>,
) -> QueryResult<()> {
    let mine = deliveries::state
        .eq(state::PENDING)
        .and(deliveries::attempts.eq(claimed.attempts));
    diesel::update(deliveries::table.find(claimed.id).filter(mine))
        .set((deliveries::due_at.eq(due_at), deliveries::said.eq(said)))
        .execute(conn)?;
    Ok(())
}

/// Gives up what was handed out before `oldest` and is not being tried: of channels that are no
/// longer configured, too. Returns how many.
///
/// # Errors
/// What diesel says.
pub fn give_up(
    conn: &mut PgConnection,
    oldest: DateTime<Utc>,
    now: DateTime<Utc>,
) -> QueryResult<usize> {
    let over = deliveries::state
        .eq(state::PENDING)
        .and(deliveries::made_at.lt(oldest))
        .and(deliveries::due_at.le(now));
    diesel::update(deliveries::table.filter(over))
        .set((
            deliveries::state.eq(state::FAILED),
            deliveries::ended_at.eq(now),
        ))
        .execute(conn)
}

/// Forgets what was told before `oldest`, unless some delivery of it is pending.
///
/// # Errors
/// What diesel says.
pub fn forget(conn: &mut PgConnection, oldest: DateTime<Utc>) -> QueryResult<usize> {
    let pending = deliveries::table
        .filter(deliveries::outbox_id.eq(outbox::id))
        .filter(deliveries::state.eq(state::PENDING));
    let over = outbox::table
        .filter(outbox::recorded_at.lt(oldest))
        .filter(outbox::notice.is_not_null())
        .filter(diesel::dsl::not(diesel::dsl::exists(pending)));
    diesel::delete(over).execute(conn)
}

/// How the deliveries of a channel stand.
#[derive(Clone, Debug, Default, Queryable)]
pub struct Standing {
    /// How many have arrived.
    pub delivered: i64,
    /// How many are tried, or will be.
    pub pending: i64,
    /// How many were given up.
    pub failed: i64,
    /// When the oldest that is pending was handed out.
    pub oldest_pending: Option<DateTime<Utc>>,
    /// How the last attempt ended that did not succeed, of what is pending or was given up.
    pub last_problem: Option<String>,
}

/// How the deliveries of a channel stand, as far as they are remembered.
///
/// # Errors
/// What diesel says.
pub fn standing(conn: &mut PgConnection, channel: &str) -> QueryResult<Standing> {
    use diesel::dsl::{count_star, min};
    let counts: Vec<(String, i64)> = deliveries::table
        .filter(deliveries::channel.eq(channel))
        .group_by(deliveries::state)
        .select((deliveries::state, count_star()))
        .load(conn)?;
    let count = |state: &str| {
        let found = counts.iter().find(|(it, _)| it == state);
        found.map_or(0, |(_, count)| *count)
    };
    let open = deliveries::table
        .filter(deliveries::channel.eq(channel))
        .filter(deliveries::state.eq(state::PENDING));
    let oldest_pending = open.select(min(deliveries::made_at)).first(conn)?;
    let last_problem = deliveries::table
        .filter(deliveries::channel.eq(channel))
        .filter(deliveries::state.ne(state::DELIVERED))
        .filter(deliveries::said.ne(""))
        .order(deliveries::due_at.desc())
        .select(deliveries::said)
        .first(conn)
        .optional()?;
    Ok(Standing {
        delivered: count(state::DELIVERED),
        pending: count(state::PENDING),
        failed: count(state::FAILED),
        oldest_pending,
        last_problem,
    })
}

//! How every repository and its guard were found last.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::PgConnection;
use refwarden_wire::reconcile::GuardOut;

use crate::db::{reconcile, repositories};
use crate::error::AppError;

/// How old a look may be: the bound within which a move out of band is reported.
const OVERDUE: TimeDelta = TimeDelta::seconds(60);

/// How far back moves out of band are counted.
const COUNTED: TimeDelta = TimeDelta::days(30);

/// All repositories, by name.
///
/// # Errors
/// What the database says.
pub fn health(conn: &mut PgConnection, now: DateTime<Utc>) -> Result<Vec<GuardOut>, AppError> {
    let guards = reconcile::guards(conn)?.into_iter();
    let mut guards: HashMap<_, _> = guards
        .map(|(id, at, defects)| (id, (at, defects)))
        .collect();
    let prepared: HashMap<_, _> = reconcile::count_prepared(conn)?.into_iter().collect();
    let moves = reconcile::count_out_of_band(conn, now - COUNTED)?;
    let moves: HashMap<_, _> = moves.into_iter().collect();
    let known = repositories::list(conn)?.into_iter();
    let out = known.map(|repository| {
        let id = repository.id;
        let (checked_at, defects) = guards.remove(&id).unzip();
        GuardOut {
            id,
            repository: repository.name,
            host: repository.host,
            checked_at,
            overdue: checked_at.unwrap_or(repository.adopted_at) < now - OVERDUE,
            defects: defects.unwrap_or_default(),
            prepared: prepared.get(&id).copied().unwrap_or_default(),
            out_of_band: moves.get(&id).copied().unwrap_or_default(),
        }
    });
    Ok(out.collect())
}

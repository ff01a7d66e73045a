//! People as their identity provider described them when they last signed in.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use refwarden_model::Actor;

use super::schema::people;

/// Remembers somebody who signs in.
///
/// # Errors
/// What diesel says.
pub fn remember(conn: &mut PgConnection, actor: &Actor, now: DateTime<Utc>) -> QueryResult<()> {
    let value = serde_json::to_value(actor)
        .map_err(|error| diesel::result::Error::SerializationError(Box::new(error)))?;
    diesel::insert_into(people::table)
        .values((
            people::issuer.eq(&actor.issuer),
            people::subject.eq(&actor.subject),
            people::actor.eq(&value),
            people::seen_at.eq(now),
        ))
        .on_conflict((people::issuer, people::subject))
        .do_update()
        .set((people::actor.eq(&value), people::seen_at.eq(now)))
        .execute(conn)?;
    Ok(())
}

/// Everybody who has signed in since a time.
///
/// # Errors
/// What diesel says.
pub fn since(conn: &mut PgConnection, since: DateTime<Utc>) -> QueryResult<Vec<Actor>> {
    let rows: Vec<serde_json::Value> = people::table
        .filter(people::seen_at.ge(since))
        .order((people::issuer, people::subject))
        .select(people::actor)
        .load(conn)?;
    let read = |row| {
        serde_json::from_value(row)
            .map_err(|error| diesel::result::Error::DeserializationError(Box::new(error)))
    };
    rows.into_iter().map(read).collect()
}

//! Tokens and people whose tokens are good no longer.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use uuid::Uuid;

use super::schema::revocations;

/// A revocation.
#[derive(Clone, Debug, Queryable, Selectable, Insertable)]
#[diesel(table_name = revocations)]
pub struct Revocation {
    /// Its id.
    pub id: Uuid,
    /// The issuer of the token, or of the subject.
    pub issuer: String,
    /// The token's id, where one token is revoked.
    pub token_id: Option<String>,
    /// The subject, where all of somebody's tokens are.
    pub subject: Option<String>,
    /// From when on.
    pub revoked_at: DateTime<Utc>,
    /// Who did it.
    pub revoked_by: String,
    /// Why.
    pub reason: String,
}

/// Inserts a revocation.
///
/// # Errors
/// What diesel says.
pub fn insert(conn: &mut PgConnection, revocation: &Revocation) -> QueryResult<()> {
    diesel::insert_into(revocations::table)
        .values(revocation)
        .execute(conn)?;
    Ok(())
}

/// Whether a token that was made at that time is revoked, or anybody whom it names is. `people`
/// are pairs of issuer and subject.
///
/// # Errors
/// What diesel says.
pub fn is_revoked<'a>(
    conn: &mut PgConnection,
    issuer: &str,
    token_id: &str,
    people: impl Iterator<Item = (&'a str, &'a str)>,
    made_at: DateTime<Utc>,
) -> QueryResult<bool> {
    let mut query = revocations::table
        .filter(revocations::issuer.eq(issuer.to_owned()))
        .filter(revocations::token_id.eq(token_id.to_owned()))
        .select(revocations::id)
        .into_boxed();
    for (issuer, subject) in people {
        query = query.or_filter(
            revocations::issuer
                .eq(issuer.to_owned())
                .and(revocations::subject.eq(subject.to_owned()))
                .and(revocations::revoked_at.gt(made_at)),
        );
    }
    let found: Option<Uuid> = query.first(conn).optional()?;
    Ok(found.is_some())
}

/// The newest revocations.
///
/// # Errors
/// What diesel says.
pub fn list(conn: &mut PgConnection, limit: i64) -> QueryResult<Vec<Revocation>> {
    revocations::table
        .order((revocations::revoked_at.desc(), revocations::id))
        .limit(limit)
        .select(Revocation::as_select())
        .load(conn)
}

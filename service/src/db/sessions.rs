//! Web sessions and sign-ins under way, found by the hash of an id that only the browser holds.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use refwarden_model::Actor;

use super::schema::{pending_sign_ins, sessions};

/// A signed-in session.
#[derive(Clone, Debug)]
pub struct Session {
    /// Who signed in.
    pub actor: Actor,
    /// The token that every form of the session carries.
    pub csrf: String,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
}

/// A sign-in under way.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = pending_sign_ins)]
pub struct PendingSignIn {
    /// The PKCE verifier.
    pub verifier: String,
    /// The nonce that the ID token must carry.
    pub nonce: String,
    /// The local path to go to afterwards.
    pub return_to: String,
}

/// Stores a session under the hash of its id.
///
/// # Errors
/// What diesel says.
pub fn insert(
    conn: &mut PgConnection,
    id_sha256: &str,
    session: &Session,
    now: DateTime<Utc>,
) -> QueryResult<()> {
    let actor = serde_json::to_value(&session.actor)
        .map_err(|error| diesel::result::Error::SerializationError(Box::new(error)))?;
    diesel::delete(sessions::table.filter(sessions::expires_at.lt(now))).execute(conn)?;
    diesel::insert_into(sessions::table)
        .values((
            sessions::id_sha256.eq(id_sha256),
            sessions::actor.eq(actor),
            sessions::csrf.eq(&session.csrf),
            sessions::created_at.eq(now),
            sessions::expires_at.eq(session.expires_at),
        ))
        .execute(conn)?;
    super::people::remember(conn, &session.actor, now)
}

/// Finds a session that has not ended.
///
/// # Errors
/// What diesel says.
pub fn find(
    conn: &mut PgConnection,
    id_sha256: &str,
    now: DateTime<Utc>,
) -> QueryResult<Option<Session>> {
    let found: Option<(serde_json::Value, String, DateTime<Utc>)> = sessions::table
        .find(id_sha256)
        .filter(sessions::expires_at.gt(now))
        .select((sessions::actor, sessions::csrf, sessions::expires_at))
        .first(conn)
        .optional()?;
    found
        .map(|(actor, csrf, expires_at)| {
            let actor = serde_json::from_value(actor)
                .map_err(|error| diesel::result::Error::DeserializationError(Box::new(error)))?;
            Ok(Session {
                actor,
                csrf,
                expires_at,
            })
        })
        .transpose()
}

/// Ends a session.
///
/// # Errors
/// What diesel says.
pub fn delete(conn: &mut PgConnection, id_sha256: &str) -> QueryResult<()> {
    diesel::delete(sessions::table.find(id_sha256)).execute(conn)?;
    Ok(())
}

/// Stores a sign-in under way under the hash of its state parameter.
///
/// # Errors
/// What diesel says.
pub fn insert_pending(
    conn: &mut PgConnection,
    state_sha256: &str,
    pending: &PendingSignIn,
    expires_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> QueryResult<()> {
    let over = pending_sign_ins::expires_at.lt(now);
    diesel::delete(pending_sign_ins::table.filter(over)).execute(conn)?;
    diesel::insert_into(pending_sign_ins::table)
        .values((
            pending_sign_ins::state_sha256.eq(state_sha256),
            pending_sign_ins::verifier.eq(&pending.verifier),
            pending_sign_ins::nonce.eq(&pending.nonce),
            pending_sign_ins::return_to.eq(&pending.return_to),
            pending_sign_ins::expires_at.eq(expires_at),
        ))
        .execute(conn)?;
    Ok(())
}

/// Takes a sign-in under way out: it can be finished once.
///
/// # Errors
/// What diesel says.
pub fn take_pending(
    conn: &mut PgConnection,
    state_sha256: &str,
    now: DateTime<Utc>,
) -> QueryResult<Option<PendingSignIn>> {
    let row = pending_sign_ins::table
        .find(state_sha256)
        .filter(pending_sign_ins::expires_at.gt(now));
    diesel::delete(row)
        .returning(PendingSignIn::as_returning())
        .get_result(conn)
        .optional()
}

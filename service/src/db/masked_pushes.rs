//! Pushes through masked views, as their clients made them: those that were translated, and those
//! that could not be.

use diesel::prelude::*;
use refwarden_wire::hook::MaskedPush;
use serde_json::Value;
use uuid::Uuid;

use super::schema::{masked_pushes, untranslated_pushes};
use crate::error::AppError;

/// What is kept of one.
#[derive(Clone, Debug, Queryable, Selectable, Insertable)]
#[diesel(table_name = masked_pushes)]
pub struct MaskedPushRow {
    /// The push that it became.
    pub push_id: Uuid,
    /// The view's id.
    pub view_id: String,
    /// The id of the rules that mask it.
    pub view_ruleset: String,
    /// What was to become of refs, in the view's names.
    pub updates: Value,
    /// The client's pack.
    pub pack_digest: Option<String>,
    /// What the view was made of, where that was told.
    pub made_of: Option<Value>,
}

/// Records what a push was before it was translated, after the push itself and the pack, whose
/// digest is given.
///
/// # Errors
/// [`AppError`] from the database.
pub fn insert(
    conn: &mut PgConnection,
    push: Uuid,
    masked: &MaskedPush,
    pack: Option<&str>,
) -> Result<(), AppError> {
    let row = MaskedPushRow {
        push_id: push,
        view_id: masked.view.clone(),
        view_ruleset: masked.ruleset.clone(),
        updates: serde_json::to_value(&masked.updates).map_err(AppError::internal)?,
        pack_digest: pack.map(str::to_owned),
        made_of: made_of(masked)?,
    };
    diesel::insert_into(masked_pushes::table)
        .values(row)
        .execute(conn)?;
    Ok(())
}

/// What a push was before it was translated; none where it came through no view.
///
/// # Errors
/// What diesel says.
pub fn find(conn: &mut PgConnection, push: Uuid) -> QueryResult<Option<MaskedPushRow>> {
    masked_pushes::table
        .find(push)
        .select(MaskedPushRow::as_select())
        .first(conn)
        .optional()
}

/// What is kept of one that could not be translated.
#[derive(Clone, Debug, Insertable)]
#[diesel(table_name = untranslated_pushes)]
struct Untranslated {
    repository_id: Uuid,
    seq: i64,
    view_id: String,
    view_ruleset: String,
    updates: Value,
    pack_digest: Option<String>,
    made_of: Option<Value>,
}

/// Records a push that could not be translated, after its event, whose number is given, and the
/// pack, whose digest is given.
///
/// # Errors
/// [`AppError`] from the database.
pub fn insert_untranslated(
    conn: &mut PgConnection,
    repository: Uuid,
    seq: i64,
    masked: &MaskedPush,
    pack: Option<&str>,
) -> Result<(), AppError> {
    let row = Untranslated {
        repository_id: repository,
        seq,
        view_id: masked.view.clone(),
        view_ruleset: masked.ruleset.clone(),
        updates: serde_json::to_value(&masked.updates).map_err(AppError::internal)?,
        pack_digest: pack.map(str::to_owned),
        made_of: made_of(masked)?,
    };
    diesel::insert_into(untranslated_pushes::table)
        .values(row)
        .execute(conn)?;
    Ok(())
}

fn made_of(masked: &MaskedPush) -> Result<Option<Value>, AppError> {
    let written = masked.made_of.as_ref().map(serde_json::to_value);
    written.transpose().map_err(AppError::internal)
}

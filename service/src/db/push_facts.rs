//! Facts about pushes, as policy judged them.

use diesel::prelude::*;
use refwarden_model::ByteText;
use refwarden_model::facts::PushFacts;
use uuid::Uuid;

use super::schema::push_facts;
use crate::error::AppError;

/// Records the facts of a push, less the text of patches: policy does not read it, and
/// `changes` has it.
///
/// # Errors
/// [`AppError`] from the database.
pub fn insert(conn: &mut PgConnection, push: Uuid, facts: &PushFacts) -> Result<(), AppError> {
    let mut facts = facts.clone();
    let commits = facts.commits.iter_mut().chain(&mut facts.known_commits);
    for change in commits.flat_map(|commit| &mut commit.changes) {
        change.patch = ByteText::default();
    }
    let text = serde_json::to_string(&facts).map_err(AppError::internal)?;
    diesel::insert_into(push_facts::table)
        .values((push_facts::push_id.eq(push), push_facts::facts.eq(text)))
        .execute(conn)?;
    Ok(())
}

/// The facts of a push; none where it was recorded before facts were.
///
/// # Errors
/// [`AppError`] from the database or its JSON.
pub fn find(conn: &mut PgConnection, push: Uuid) -> Result<Option<PushFacts>, AppError> {
    let text: Option<String> = push_facts::table
        .find(push)
        .select(push_facts::facts)
        .first(conn)
        .optional()?;
    let facts = text.map(|text| serde_json::from_str(&text));
    facts.transpose().map_err(AppError::internal)
}

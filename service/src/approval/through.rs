//! Through which masked view the push of a request came, so that whoever decides knows what the
//! pusher has not seen, and which secrets would move.
//!
//! What it deliberately does not do: it says nothing to those who read a masked view themselves;
//! whoever asks for it looks after that.

use diesel::PgConnection;
use refwarden_model::facts::SecretMove;
use refwarden_wire::api::{RefFilterOut, RequestMaskedOut, SecretMoveOut};
use refwarden_wire::hook::MaskedView;

use crate::db::requests::Request;
use crate::db::{masked_pushes, push_facts};
use crate::error::AppError;

/// The view; none where the push came through none.
///
/// # Errors
/// [`AppError`] from the database or its JSON.
pub fn through(
    conn: &mut PgConnection,
    request: &Request,
) -> Result<Option<RequestMaskedOut>, AppError> {
    let Some(push) = request.push_id else {
        return Ok(None);
    };
    let Some(masked) = masked_pushes::find(conn, push)? else {
        return Ok(None);
    };
    let facts = push_facts::find(conn, push)?;
    let moves = facts.map(|facts| facts.secret_moves).unwrap_or_default();
    let made_of: Option<MaskedView> = masked
        .made_of
        .map(serde_json::from_value)
        .transpose()
        .map_err(AppError::internal)?;
    Ok(Some(RequestMaskedOut {
        view: masked.view_id,
        ruleset: masked.view_ruleset,
        generic: made_of.as_ref().map(|view| view.generic),
        rules: made_of.iter().flat_map(|view| view.rules.clone()).collect(),
        filters: made_of.into_iter().flat_map(filters).collect(),
        moves: moves.iter().map(told).collect(),
    }))
}

/// Whether nobody can approve it: with what moves, the view would not be what was pushed.
///
/// # Errors
/// [`AppError`] from the database.
pub fn is_unsound(conn: &mut PgConnection, request: &Request) -> Result<bool, AppError> {
    let Some(push) = request.push_id else {
        return Ok(false);
    };
    let facts = push_facts::find(conn, push)?;
    Ok(facts.is_some_and(|facts| facts.secret_moves.iter().any(|it| it.unsound)))
}

fn filters(view: MaskedView) -> impl Iterator<Item = RefFilterOut> {
    view.filters.into_iter().map(|filter| RefFilterOut {
        refs: filter.refs,
        hide: filter.hide,
    })
}

fn told(secret: &SecretMove) -> SecretMoveOut {
    SecretMoveOut {
        rule: secret.rule_id.clone(),
        also: secret.also.clone(),
        from: secret.from.to_string(),
        from_line: Some(secret.from_line).filter(|line| *line > 0),
        fingerprint: Some(secret.fingerprint.clone()).filter(|it| !it.is_empty()),
        path: secret.path.to_string(),
        line: secret.line,
        unsound: secret.unsound,
    }
}

//! What happens to a push, step by step (ARCHITECTURE.md, "A push, step by step"). Each step is
//! one transaction: it is recorded whole before anybody is told, or not at all.

mod adopt;
mod ask;
mod complete;
mod emergency;
mod fetched;
mod hold;
mod prepare;
mod receive;
mod refuse;
mod series;
mod settle;
mod turn_away;

pub use adopt::adopt;
pub use complete::complete;
pub use fetched::{fetched, fetched_objects, known_pack};
pub use hold::{cancel, look};
pub use prepare::prepare;
pub use receive::{Received, receive};
pub use refuse::{Came, refuse};
pub use settle::{settle, settle_one};
pub use turn_away::turn_away;

use chrono::{DateTime, Utc};
use refwarden_model::ActorChain;
use refwarden_wire::hook::Reason;

use crate::db::events::NewEvent;
use crate::db::pushes::Push;
use crate::db::{events, requests};
use crate::error::AppError;

#[cfg(test)]
mod race_tests;

/// How a push's actor is named in events.
fn actor_of(push: &Push) -> String {
    let chain = push
        .actor_chain
        .clone()
        .and_then(|chain| serde_json::from_value(chain).ok());
    chain.map_or_else(
        || "unknown".to_owned(),
        |chain: ActorChain| chain.describe(),
    )
}

fn reason(code: refwarden_model::Code, text: impl Into<String>) -> Reason {
    Reason {
        code,
        ref_name: None,
        text: text.into(),
        hint: None,
        request: None,
    }
}

/// Closes requests that start from a value that the ref no longer has.
///
/// # Errors
/// What the database says.
pub fn mark_overtaken(
    conn: &mut diesel::PgConnection,
    repository: uuid::Uuid,
    ref_name: &[u8],
    present: &str,
    now: DateTime<Utc>,
) -> Result<(), AppError> {
    for request in requests::overtaken(conn, repository, ref_name, present)? {
        requests::set_state(conn, &request.id, requests::state::STALE, now)?;
        let event = NewEvent {
            kind: "request.stale",
            actor: "refwarden".to_owned(),
            request_id: Some(request.id.clone()),
            ref_name: Some(ref_name.to_vec()),
            old_oid: Some(request.old_oid),
            new_oid: Some(request.new_oid),
            summary: format!("request {} is stale: the ref has moved", request.id),
            ..NewEvent::default()
        };
        events::append(conn, repository, now, vec![event])?;
    }
    Ok(())
}

/// The page of a push, for its pusher too.
fn push_page(public_url: &str, id: uuid::Uuid) -> String {
    format!("{public_url}/p/{id}")
}

/// Where a program reads what was found in a push.
fn findings_url(public_url: &str, id: uuid::Uuid) -> String {
    format!("{public_url}/api/v1/pushes/{id}/findings")
}

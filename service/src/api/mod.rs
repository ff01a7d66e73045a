//! The API for people's tools: requests and decisions, events, repositories, replay. A bearer
//! token says who asks; what they may see follows from it.

mod bundle;
mod caller;
mod events;
pub mod exceptions;
mod export;
pub mod exposure;
mod grants;
mod health;
mod hint;
pub mod holds;
pub mod log;
mod openapi;
mod pushes;
mod replay;
mod requests;
pub mod stream;

pub use bundle::bundle;
pub use caller::{Caller, is_auditor};
pub use events::{
    event_out, find_repository, list as events, page as events_page, parse as parse_query,
    parse_cursor,
};
pub use export::export as export_events;
pub use grants::{ask as ask_for_grant, list as grants, revoke as revoke_grant};
pub use health::show as health;
pub use openapi::document as openapi;
pub use pushes::{record as push_record, show as push};
pub use replay::{pack, replay, repositories};
pub use requests::{
    comment, decide, list as requests, may_see, reads_whole, request_out, show as request,
};

use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::web::Data;

use crate::error::AppError;
use crate::state::AppState;

/// The process runs.
pub async fn livez() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain").body("ok\n")
}

/// How long a look at what every push needs may take: less than those who ask wait for an answer.
const LOOK: Duration = Duration::from_secs(2);

/// The service can decide: the database answers, and packs can be kept.
pub async fn readyz(state: Data<AppState>) -> Result<HttpResponse, AppError> {
    let looked = tokio::time::timeout(LOOK, look(&state)).await;
    looked.map_err(|_| {
        let cause = format!("nothing came within {} s", LOOK.as_secs());
        AppError::NotReady(NO_ANSWER, cause)
    })??;
    Ok(HttpResponse::Ok().content_type("text/plain").body("ok\n"))
}

const NO_ANSWER: &str =
    "Database or pack store do not answer in time. Pushes are refused until they do.";
const NO_PACKS: &str =
    "Packs cannot be kept. Pushes are refused until they can; the log tells why.";

/// One look at a time: a database that says nothing holds up one thread, not one for each who asks.
async fn look(state: &Data<AppState>) -> Result<(), AppError> {
    let turn = Arc::clone(&state.looking).lock_owned().await;
    let packs = state.packs.clone();
    state
        .db(move |conn| {
            let _turn = turn;
            crate::db::ping(conn)?;
            let tried = packs.try_out();
            tried.map_err(|error| AppError::NotReady(NO_PACKS, error.to_string()))
        })
        .await
}

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
pub use pushes::show as push;
pub use replay::{pack, replay, repositories};
pub use requests::{comment, decide, list as requests, may_see, reads_whole, show as request};

use actix_web::HttpResponse;
use actix_web::web::Data;

use crate::error::AppError;
use crate::state::AppState;

/// The process runs.
pub async fn livez() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain").body("ok\n")
}

/// The service can decide: the database answers.
pub async fn readyz(state: Data<AppState>) -> Result<HttpResponse, AppError> {
    state.db(|conn| Ok(crate::db::ping(conn)?)).await?;
    Ok(HttpResponse::Ok().content_type("text/plain").body("ok\n"))
}

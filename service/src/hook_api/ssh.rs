//! Trades the SSH certificate of a session for a token that is good for one operation.

use actix_web::HttpResponse;
use actix_web::web::{Data, Json};
use chrono::Utc;
use refwarden_wire::hook::{AuthenticateIn, Operation};
use refwarden_wire::ssh::{SshTokenIn, SshTokenOut};

use super::{HostCredential, record_refusal, refusal};
use crate::error::AppError;
use crate::state::AppState;
use crate::tokens;

/// Answers with a token. Whether its holder may do what they want is asked with it, as with any
/// other token.
pub async fn ssh_token(
    host: HostCredential,
    state: Data<AppState>,
    body: Json<SshTokenIn>,
) -> Result<HttpResponse, AppError> {
    let asked = body.into_inner();
    let now = Utc::now();
    let certified = match state.authorities.verify(&asked.certificate, now) {
        Ok(certified) => certified,
        Err(error) => {
            let about = AuthenticateIn {
                repository: asked.repository,
                operation: asked.operation,
                client_address: asked.client_address,
                client_agent: None,
                admits_anonymous: false,
            };
            record_refusal(&state, host, &about, error.clone()).await?;
            return Err(refusal(&error));
        }
    };
    let reads = asked.operation == Operation::Fetch;
    let token = tokens::for_session(&state, &certified, reads, now)?;
    tracing::info!(
        repository = %asked.repository.0,
        actor = certified.chain.describe(),
        operation = ?asked.operation,
        "a session over SSH gets a token"
    );
    Ok(HttpResponse::Ok()
        .insert_header(("Cache-Control", "no-store"))
        .json(SshTokenOut { token }))
}

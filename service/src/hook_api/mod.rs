//! What Git hosts call: hooks, the proxy and `refwarden install`, with the host's credential.
//! Handlers read, hand over to `lifecycle`, and answer; they decide nothing.

pub mod fetches;
mod framed;
mod host;
mod ssh;

use std::time::Duration;

use actix_web::web::{Data, Json, Payload};
use actix_web::{HttpRequest, HttpResponse};
use chrono::Utc;
use refwarden_model::{ActorChain, Code};
use refwarden_policy::{Masking, Reading, is_listed};
use refwarden_wire::hook::{
    AdoptIn, AuthenticateIn, AuthenticateOut, CancelIn, CompleteIn, MaskedView, Operation, Outcome,
    PrepareIn, PushIn, RefFilter, RefusedIn, RulesOut, SettleIn, TOKEN_HEADER, UntranslatedIn,
    View, WAIT_SECONDS_MAX, WaitIn,
};
use refwarden_wire::reconcile::{LedgerIn, ReconcileIn};

pub use host::HostCredential;
pub use ssh::ssh_token;

use crate::db::fetches::last_view;
use crate::db::repositories;
use crate::error::AppError;
use crate::identity::{TokenError, VerifiedToken, token_sha256};
use crate::lifecycle::{self, Came, Received};
use crate::state::AppState;
use crate::tokens;

/// Answers 204: the credential is good.
pub async fn ping(_host: HostCredential) -> HttpResponse {
    HttpResponse::NoContent().finish()
}

/// Tells the rules of the scanner that the policy names.
pub async fn rules(_host: HostCredential, state: Data<AppState>) -> HttpResponse {
    let scanning = &state.policy.scanning;
    HttpResponse::Ok().json(RulesOut {
        digest: scanning.digest.clone(),
        rules: scanning.rules.clone(),
    })
}

/// Records a push and answers with the verdict.
pub async fn pushes(
    host: HostCredential,
    state: Data<AppState>,
    request: HttpRequest,
    body: Payload,
) -> Result<HttpResponse, AppError> {
    let before = |push: &PushIn| push.masked.as_ref().map_or(0, |masked| masked.pack_bytes);
    let expected = |push: &PushIn| push.pack_bytes;
    let (push, packs) = framed::read_both(body, &state.packs, before, expected).await?;
    let token = pusher_token(&request);
    let verified = verify(&state, token.as_deref()).await?;
    let shared = state.clone();
    let out = state
        .db(move |conn| {
            let mut received = Received {
                host: &host.name,
                push,
                token: verified,
                token_sha256: token.as_deref().map(token_sha256),
                pack: packs.rest,
                masked_pack: packs.first,
                policy: &shared.policy,
                public_url: &shared.config.service.public_url,
                request_days: shared.config.service.request_days,
            };
            lifecycle::receive(conn, &mut received, Utc::now())
        })
        .await?;
    state.announce();
    Ok(HttpResponse::Ok().json(out))
}

/// Says how far people are with a push that is held, at once where something is new.
pub async fn wait(
    host: HostCredential,
    state: Data<AppState>,
    body: Json<WaitIn>,
) -> Result<HttpResponse, AppError> {
    let asked = body.into_inner();
    let wait = Duration::from_secs(asked.seconds.min(WAIT_SECONDS_MAX));
    let deadline = tokio::time::Instant::now() + wait;
    let mut changed = state.changed.subscribe();
    loop {
        changed.mark_unchanged();
        let (name, question, shared) = (host.name.clone(), asked.clone(), state.clone());
        let out = state
            .db(move |conn| {
                let policy = shared.policy.hash();
                lifecycle::look(conn, &name, &question, policy, Utc::now())
            })
            .await?;
        let is_news = out.outcome != Outcome::Waiting || out.standing != asked.standing;
        let in_time = !is_news
            && tokio::time::timeout_at(deadline, changed.changed())
                .await
                .is_ok();
        if !in_time {
            if out.outcome != Outcome::Waiting {
                state.announce();
            }
            return Ok(HttpResponse::Ok().json(out));
        }
    }
}

/// Gives up a push that was held.
pub async fn cancel(
    host: HostCredential,
    state: Data<AppState>,
    body: Json<CancelIn>,
) -> Result<HttpResponse, AppError> {
    state
        .db(move |conn| lifecycle::cancel(conn, &host.name, &body, Utc::now()))
        .await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Takes note of a push that the hook refused by itself.
pub async fn refused(
    host: HostCredential,
    state: Data<AppState>,
    request: HttpRequest,
    body: Json<RefusedIn>,
) -> Result<HttpResponse, AppError> {
    let actor = named(&state, &request).await;
    state
        .db(move |conn| lifecycle::refuse(conn, &host.name, &body, None, actor, Utc::now()))
        .await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Takes note of a push from a masked clone that could not be translated.
pub async fn untranslated(
    host: HostCredential,
    state: Data<AppState>,
    request: HttpRequest,
    body: Payload,
) -> Result<HttpResponse, AppError> {
    let expected = |told: &UntranslatedIn| Some(told.masked.pack_bytes);
    let (told, pack) = framed::read(body, &state.packs, expected).await?;
    let actor = named(&state, &request).await;
    state
        .db(move |conn| {
            let came = Some(Came {
                masked: &told.masked,
                pack: pack.as_ref(),
            });
            lifecycle::refuse(conn, &host.name, &told.refused, came, actor, Utc::now())
        })
        .await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Whom a request's token names, for the record alone: what was refused needs no right to
/// anything.
async fn named(state: &AppState, request: &HttpRequest) -> Option<String> {
    let verified = verify(state, pusher_token(request).as_deref()).await;
    let actor = verified.ok().and_then(Result::ok);
    actor.map(|token| token.actor_chain.describe())
}

/// Consumes what a push was granted.
pub async fn prepare(
    host: HostCredential,
    state: Data<AppState>,
    body: Json<PrepareIn>,
) -> Result<HttpResponse, AppError> {
    let out = state
        .db(move |conn| lifecycle::prepare(conn, &host.name, &body, Utc::now()))
        .await?;
    state.announce();
    Ok(HttpResponse::Ok().json(out))
}

/// Takes note of where refs are after a transaction.
pub async fn settle(
    host: HostCredential,
    state: Data<AppState>,
    body: Json<SettleIn>,
) -> Result<HttpResponse, AppError> {
    let out = state
        .db(move |conn| lifecycle::settle(conn, &host.name, &body, Utc::now()))
        .await?;
    state.announce();
    Ok(HttpResponse::Ok().json(out))
}

/// Completes the record of a push.
pub async fn complete(
    host: HostCredential,
    state: Data<AppState>,
    body: Json<CompleteIn>,
) -> Result<HttpResponse, AppError> {
    let url = state.config.service.public_url.clone();
    let out = state
        .db(move |conn| lifecycle::complete(conn, &host.name, &body, &url, Utc::now()))
        .await?;
    state.announce();
    Ok(HttpResponse::Ok().json(out))
}

/// Adopts a repository.
pub async fn adopt(
    host: HostCredential,
    state: Data<AppState>,
    body: Payload,
) -> Result<HttpResponse, AppError> {
    let (adopted, pack) =
        framed::read::<AdoptIn>(body, &state.packs, |adopted| adopted.pack_bytes).await?;
    let out = state
        .db(move |conn| lifecycle::adopt(conn, &host.name, &adopted, pack.as_ref(), Utc::now()))
        .await?;
    Ok(HttpResponse::Ok().json(out))
}

/// Says where the ledger has a repository's refs.
pub async fn ledger(
    host: HostCredential,
    state: Data<AppState>,
    body: Json<LedgerIn>,
) -> Result<HttpResponse, AppError> {
    let out = state
        .db(move |conn| crate::reconcile::ledger(conn, &host.name, *body, Utc::now()))
        .await?;
    Ok(HttpResponse::Ok().json(out))
}

/// Takes note of refs that are not where the ledger has them.
pub async fn reconcile(
    host: HostCredential,
    state: Data<AppState>,
    body: Payload,
) -> Result<HttpResponse, AppError> {
    let (report, pack) = framed::read::<ReconcileIn>(body, &state.packs, |_| None).await?;
    let out = state
        .db(move |conn| {
            crate::reconcile::reconcile(conn, &host.name, &report, pack.as_ref(), Utc::now())
        })
        .await?;
    state.announce();
    Ok(HttpResponse::Ok().json(out))
}

/// Says who a token names and what they read, before the proxy starts anything.
pub async fn authenticate(
    host: HostCredential,
    state: Data<AppState>,
    request: HttpRequest,
    body: Json<AuthenticateIn>,
) -> Result<HttpResponse, AppError> {
    let asked = body.into_inner();
    let token = pusher_token(&request);
    let verified = match (verify(&state, token.as_deref()).await?, asked.operation) {
        (Ok(token), _) => Some(token),
        (Err(TokenError::Missing), Operation::Fetch)
            if asked.admits_anonymous || anonymous_reads(&state) =>
        {
            None
        }
        (Err(error), _) => {
            record_refusal(&state, host, &asked, error.clone()).await?;
            return Err(refusal(&error));
        }
    };
    let repository = asked.repository.0;
    let presented = verified.clone();
    let (known, revoked) = state
        .db(move |conn| {
            let revoked = match &presented {
                Some(token) => tokens::is_revoked(conn, token)?,
                None => false,
            };
            Ok((repositories::find(conn, repository)?, revoked))
        })
        .await?;
    let known = known.filter(|known| known.host == host.name);
    let known = known.ok_or_else(AppError::not_found)?;
    let refused = match &verified {
        Some(_) if revoked => Some(TokenError::Revoked),
        Some(token) => {
            let may = match asked.operation {
                Operation::Fetch => token.scopes.may_fetch(&known.name),
                Operation::Push => token.scopes.may_push(&known.name),
            };
            (!may).then_some(TokenError::OutOfScope)
        }
        None => None,
    };
    if let Some(error) = refused {
        record_refusal(&state, host, &asked, error.clone()).await?;
        return Err(refusal(&error));
    }
    let token_seconds = verified.as_ref().map(|token| {
        let left = token.expires_at - Utc::now();
        u64::try_from(left.num_seconds()).unwrap_or_default()
    });
    let actor = verified.map(|token| token.actor_chain);
    let keep = keeps(&state, actor.as_ref());
    let described = actor.as_ref().map(ActorChain::describe);
    let reading = state.policy.reading(&known.name, actor.as_ref());
    tracing::info!(
        %repository,
        operation = ?asked.operation,
        actor = described.as_deref().unwrap_or("anonymous"),
        address = asked.client_address.as_deref().unwrap_or("unknown"),
        ?reading,
        "access"
    );
    let view = match (reading, &actor) {
        (Reading::Whole, _) => View::Whole,
        (Reading::Masked(masking), _) => View::Masked(masked(masking)),
        (Reading::Refused, Some(_)) => {
            let text = "policy lets you see nothing of this repository";
            return Err(AppError::refused(Code::NotReadable, text));
        }
        // With a token there may be more to see.
        (Reading::Refused, None) => return Err(refusal(&TokenError::Missing)),
    };
    let view_before = match (&view, &actor, asked.operation) {
        (View::Masked(_), Some(chain), Operation::Fetch) => {
            let chain = chain.clone();
            state
                .db(move |conn| Ok(last_view(conn, repository, &chain)?))
                .await?
        }
        _ => None,
    };
    Ok(HttpResponse::Ok().json(AuthenticateOut {
        actor,
        view,
        policy: state.policy.hash().to_owned(),
        distinguishes: !state.policy.views.is_empty(),
        keep,
        token_seconds,
        view_before,
    }))
}

/// Whether what an actor fetches is kept whole. Whoever acts for somebody is an agent.
fn keeps(state: &AppState, actor: Option<&ActorChain>) -> bool {
    let kept = &state.config.fetches.keep;
    actor.is_some_and(|chain| {
        is_listed(kept, &chain.pusher)
            || (!chain.on_behalf_of.is_empty() && kept.iter().any(|entry| entry == "kind:agent"))
    })
}

fn masked(masking: Masking) -> MaskedView {
    let filter = |filter: refwarden_policy::RefFilter| RefFilter {
        refs: filter.refs,
        hide: filter.hide,
    };
    MaskedView {
        generic: masking.generic,
        rules: masking.rules,
        filters: masking.filters.into_iter().map(filter).collect(),
        may_move: masking.may_move,
    }
}

/// A token that was refused at the door is an event of the repository. A request without one is
/// not: git always tries so first.
async fn record_refusal(
    state: &AppState,
    host: HostCredential,
    asked: &AuthenticateIn,
    error: TokenError,
) -> Result<(), AppError> {
    if error == TokenError::Missing {
        return Ok(());
    }
    let asked = asked.clone();
    state
        .db(move |conn| lifecycle::turn_away(conn, &host.name, &asked, &error, Utc::now()))
        .await
}

fn anonymous_reads(state: &AppState) -> bool {
    state
        .config
        .proxy
        .as_ref()
        .is_some_and(|proxy| proxy.anonymous_reads)
}

fn pusher_token(request: &HttpRequest) -> Option<String> {
    let value = request.headers().get(TOKEN_HEADER)?.to_str().ok()?;
    (!value.is_empty()).then(|| value.to_owned())
}

/// A token that is refused is an answer; only keys that cannot be fetched are an error.
async fn verify(
    state: &AppState,
    token: Option<&str>,
) -> Result<Result<VerifiedToken, TokenError>, AppError> {
    let Some(token) = token else {
        return Ok(Err(TokenError::Missing));
    };
    match state
        .issuers
        .verify(token, &state.config.service.audience, Utc::now())
        .await
    {
        Err(TokenError::IssuerUnavailable) => {
            Err(AppError::internal("the issuer's keys cannot be fetched"))
        }
        verified => Ok(verified),
    }
}

fn refusal(error: &TokenError) -> AppError {
    let code: Code = error.code();
    AppError::unauthorized(Some(code), error.to_string())
}

//! How the channels stand, for auditors, and a test message, for administrators.

use actix_web::web::{Data, Json};
use chrono::Utc;
use refwarden_policy::is_listed;
use refwarden_wire::notify::{ChannelOut, NotificationsOut, TestIn, TestOut};
use uuid::Uuid;

use super::channels::Way;
use super::dispatch::message_id;
use super::notice::Notice;
use crate::api::Caller;
use crate::db::outbox;
use crate::error::AppError;
use crate::state::AppState;

/// How the deliveries of each channel stand.
#[utoipa::path(
    get, path = "/api/v1/notifications",
    responses((status = 200, body = NotificationsOut), (status = 403))
)]
pub async fn status(
    caller: Caller,
    state: Data<AppState>,
) -> Result<Json<NotificationsOut>, AppError> {
    caller.auditor()?;
    let channels: Vec<_> = state
        .notify
        .iter()
        .map(|it| (it.name.clone(), it.way.name()))
        .collect();
    let standing = move |conn: &mut _| {
        let of = |(name, way): (String, &str)| {
            let it = outbox::standing(conn, &name)?;
            Ok(ChannelOut {
                channel: name,
                kind: way.to_owned(),
                delivered: it.delivered,
                pending: it.pending,
                failed: it.failed,
                oldest_pending: it.oldest_pending,
                last_problem: it.last_problem,
            })
        };
        channels
            .into_iter()
            .map(of)
            .collect::<Result<Vec<_>, AppError>>()
    };
    let channels = state.db(standing).await?;
    Ok(Json(NotificationsOut { channels }))
}

/// Sends a test message by one channel, at once and once; by mail to the caller's own address.
#[utoipa::path(
    post, path = "/api/v1/notifications/test", request_body = TestIn,
    responses((status = 200, body = TestOut), (status = 403), (status = 404))
)]
pub async fn test(
    caller: Caller,
    state: Data<AppState>,
    wanted: Json<TestIn>,
) -> Result<Json<TestOut>, AppError> {
    let chain = &caller.chain;
    if !chain.on_behalf_of.is_empty() || !is_listed(&state.config.access.admins, &chain.pusher) {
        return Err(AppError::forbidden(
            "Only administrators send test messages; see [access].",
        ));
    }
    let channel = state
        .notify
        .find(&wanted.channel)
        .ok_or_else(AppError::not_found)?;
    let recipient = match (&channel.way, &chain.pusher.email) {
        (Way::Email(_), Some(address)) => address.as_str(),
        (Way::Email(_), None) => {
            return Err(AppError::bad_request(
                "Your identity provider names no address of yours.",
            ));
        }
        _ => "",
    };
    let now = Utc::now();
    let notice = Notice::test(&chain.describe(), &state.config.service.public_url, now);
    let id = message_id(Uuid::now_v7());
    let result = channel
        .attempt(&id, recipient, &notice, now.timestamp())
        .await;
    Ok(Json(TestOut {
        delivered: result.is_ok(),
        said: match &result {
            Ok(said) => said.clone(),
            Err(failure) => failure.said().to_owned(),
        },
    }))
}

//! The background task: hands out, claims what is due, makes attempts, writes down how they
//! ended. Several services may run it on one database.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::web::Data;
use chrono::{DateTime, Utc};
use tokio::sync::{Notify, OwnedSemaphorePermit};
use uuid::Uuid;

use super::channels::Channel;
use super::hand_out::Outcome;
use super::notice::Notice;
use super::{Failure, backoff, email, http, syslog};
use crate::approval;
use crate::db::outbox::{self, Claimed};
use crate::error::AppError;
use crate::state::AppState;

/// Time between two looks at the outbox, when nothing wakes the task.
const LOOK: Duration = Duration::from_secs(1);
/// Time between two rounds of closing what is over.
const ROUND: Duration = Duration::from_secs(30);
/// How long a claim holds: longer than any attempt takes.
const LEASE: Duration = Duration::from_mins(1);
/// Days that deliveries are remembered for.
const REMEMBERED_DAYS: i64 = 30;

const _: () = assert!(LEASE.as_secs() > email::TOTAL.as_secs() + http::TOTAL.as_secs());
const _: () = assert!(LEASE.as_secs() > syslog::TOTAL.as_secs());

/// Starts the task. It ends with the process: what it had claimed is due again when the lease
/// is over.
pub fn start(state: &Data<AppState>) {
    actix_web::rt::spawn(run(state.clone()));
}

async fn run(state: Data<AppState>) {
    let mut changed = state.changed.subscribe();
    let free = Arc::new(Notify::new());
    let mut round: Option<Instant> = None;
    let mut is_failing = false;
    let mut stuck = Vec::new();
    loop {
        let is_due = round.is_none_or(|last| last.elapsed() >= ROUND);
        match turn(&state, &free, is_due, &mut stuck).await {
            Ok(()) => {
                is_failing = false;
                if is_due {
                    round = Some(Instant::now());
                }
            }
            // A database that is away for an hour is told of once.
            Err(error) if !is_failing => {
                is_failing = true;
                tracing::warn!(cause = %error, "notifications wait for the database");
            }
            Err(_) => {}
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            _ = changed.changed() => {}
            () = free.notified() => {}
        }
    }
}

/// Does what is to be done now. `stuck` is what the database has failed on since the last round.
async fn turn(
    state: &Data<AppState>,
    free: &Arc<Notify>,
    is_due: bool,
    stuck: &mut Vec<Uuid>,
) -> Result<(), AppError> {
    if is_due {
        stuck.clear();
        close(state).await?;
    }
    loop {
        let (shared, left_out) = (state.clone(), stuck.clone());
        let one = move |conn: &mut _| super::hand_out::one(conn, &shared, &left_out, Utc::now());
        match state.db(one).await? {
            Outcome::Nothing => break,
            Outcome::HandedOut => {}
            Outcome::Stuck(id) => stuck.push(id),
        }
    }
    for channel in state.notify.iter() {
        let room = i64::try_from(channel.room.available_permits()).unwrap_or(0);
        if room == 0 {
            continue;
        }
        let name = channel.name.clone();
        let now = Utc::now();
        let claimed = state
            .db(move |conn| Ok(outbox::claim(conn, &name, room, now, now + LEASE)?))
            .await?;
        for delivery in claimed {
            let Ok(permit) = channel.room.clone().acquire_owned().await else {
                continue;
            };
            let (state, channel, free) = (state.clone(), channel.clone(), free.clone());
            actix_web::rt::spawn(async move {
                deliver(&state, &channel, delivery, permit).await;
                free.notify_one();
            });
        }
    }
    Ok(())
}

/// Closes requests and deliveries whose time is over, and forgets what is long over.
async fn close(state: &Data<AppState>) -> Result<(), AppError> {
    let hours = u32::from(state.config.notify.give_up_after_hours);
    let given_up = state
        .db(move |conn| {
            let now = Utc::now();
            approval::expire(conn, now)?;
            outbox::forget(conn, now - chrono::Duration::days(REMEMBERED_DAYS))?;
            let oldest = now - chrono::Duration::hours(i64::from(hours));
            Ok(outbox::give_up(conn, oldest, now)?)
        })
        .await?;
    if given_up > 0 {
        tracing::error!(
            given_up,
            hours,
            "notifications were given up: they are too old"
        );
    }
    Ok(())
}

/// Makes one attempt and writes down how it ended. Should that fail, the delivery is due again
/// when the lease is over: a receiver may get a message twice, never not at all.
async fn deliver(
    state: &Data<AppState>,
    channel: &Channel,
    claimed: Claimed,
    permit: OwnedSemaphorePermit,
) {
    let id = message_id(claimed.id);
    let result = match notice(&claimed) {
        Some(notice) => {
            let now = Utc::now().timestamp();
            channel.attempt(&id, &claimed.recipient, &notice, now).await
        }
        None => Err(Failure::ForGood {
            said: "the outbox holds no notice that can be read".to_owned(),
        }),
    };
    let hours = u32::from(state.config.notify.give_up_after_hours);
    let attempts = claimed.attempts;
    let ended = state
        .db(move |conn| {
            let now = Utc::now();
            match &result {
                Ok(said) => outbox::delivered(conn, claimed.id, said, now)?,
                Err(failure) => match retry(&claimed, failure, hours, now) {
                    Some(due) => outbox::try_again(conn, &claimed, failure.said(), due)?,
                    None => outbox::failed(conn, claimed.id, failure.said(), now)?,
                },
            }
            let due = result
                .as_ref()
                .err()
                .map(|failure| retry(&claimed, failure, hours, now));
            Ok((result, due.flatten()))
        })
        .await;
    drop(permit);
    let channel = &channel.name;
    match ended {
        Ok((Ok(said), _)) => tracing::info!(channel, id, attempts, said, "notification delivered"),
        Ok((Err(failure), Some(due))) => {
            tracing::warn!(channel, id, attempts, said = failure.said(), %due, "notification not delivered yet");
        }
        Ok((Err(failure), None)) => {
            tracing::error!(
                channel,
                id,
                attempts,
                said = failure.said(),
                "notification given up"
            );
        }
        Err(error) => {
            tracing::warn!(channel, id, cause = %error, "how a notification ended is not written down");
        }
    }
}

fn notice(claimed: &Claimed) -> Option<Notice> {
    serde_json::from_value(claimed.notice.clone()?).ok()
}

/// When to try again; none when the delivery is given up.
fn retry(
    claimed: &Claimed,
    failure: &Failure,
    hours: u32,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let Failure::ForNow { wait, .. } = failure else {
        return None;
    };
    let give_up = chrono::Duration::hours(i64::from(hours));
    let jitter = claimed.id.as_bytes().last().copied().unwrap_or_default();
    let jitter = jitter.wrapping_add(
        u8::try_from(claimed.attempts & 0x7f)
            .unwrap_or(0)
            .wrapping_mul(83),
    );
    backoff::next(
        claimed.attempts,
        claimed.made_at,
        now,
        give_up,
        *wait,
        jitter,
    )
}

/// The id that a receiver tells repetitions by.
pub fn message_id(delivery: Uuid) -> String {
    format!("msg_{}", delivery.simple())
}

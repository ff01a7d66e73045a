//! Retention: drops packs that are older than `[retention] packs_days`, unless a hold keeps them.
//!
//! First it is recorded, with an event for each repository that refers to the pack, then the
//! file is deleted: what the record does not call dropped is there. Records, hashes and leaves
//! of the log are never touched. Files that no row names are left alone: after a restore from an
//! older backup they may be all that is left of what the rows told. Only what was put into another
//! store and never recorded is deleted, by the note that was made before it was put.

mod holds;

pub use holds::{place, release};

use std::time::Duration;

use actix_web::web::Data;
use chrono::{DateTime, TimeDelta, Utc};
use diesel::{Connection as _, PgConnection};

use crate::db::events::{self, NewEvent};
use crate::db::packs::{self, Old};
use crate::db::{holds as rows, repositories};
use crate::error::AppError;
use crate::state::AppState;

/// Time between two runs.
const EVERY: Duration = Duration::from_hours(1);
/// Files that are looked at together.
const PAGE: i64 = 500;
/// Days for which it is tried again to delete a file that was dropped: at the start, and until a run gets
/// through.
const AGAIN: TimeDelta = TimeDelta::days(30);

/// Starts the task. Its first run is at once.
pub fn start(state: &Data<AppState>) {
    let days = state.config.retention.packs_days;
    if days.is_none() && state.packs.elsewhere().is_none() {
        return;
    }
    let state = state.clone();
    actix_web::rt::spawn(async move {
        // When a run began after which no file was left that had been dropped.
        let mut clean: Option<DateTime<Utc>> = None;
        loop {
            let shared = state.clone();
            let settled = actix_web::web::block(move || settle(&shared));
            match settled.await.map_err(AppError::from).and_then(|done| done) {
                Ok(0) => {}
                Ok(deleted) => tracing::info!(deleted, "packs deleted that were never recorded"),
                Err(error) => {
                    tracing::error!(cause = %error, "packs may be left that nothing names");
                }
            }
            if let Some(days) = days {
                let (shared, now) = (state.clone(), Utc::now());
                let since = clean.unwrap_or(now - AGAIN);
                let run = actix_web::web::block(move || run(&shared, days.get(), since, now));
                let ended = run.await.map_err(AppError::from).and_then(|done| done);
                if ended.is_ok() {
                    clean = Some(now);
                }
                match ended {
                    Ok(0) => {}
                    Ok(dropped) => tracing::info!(dropped, days = days.get(), "packs dropped"),
                    Err(error) => {
                        tracing::error!(cause = %error, "retention did not get through");
                    }
                }
            }
            tokio::time::sleep(EVERY).await;
        }
    });
}

/// Deletes what was put elsewhere and never recorded; how many files that were. One that cannot be
/// deleted keeps no other from it.
fn settle(state: &AppState) -> Result<u64, AppError> {
    let (mut deleted, mut failed) = (0, None);
    for location in state.packs.unsettled().map_err(AppError::internal)? {
        let is_recorded = packs::is_named(&mut *state.pool.get()?, &location)?;
        match state.packs.settle(&location, is_recorded) {
            Ok(()) => deleted += u64::from(!is_recorded),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    failed.map_or(Ok(deleted), |error| Err(AppError::internal(error)))
}

/// Drops what is too old, after deleting again what was dropped since a time; how many files were
/// dropped. A file that cannot be deleted keeps no other from it, and is tried again.
fn run(
    state: &AppState,
    days: u16,
    since: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<u64, AppError> {
    let cutoff = now - TimeDelta::days(i64::from(days));
    let gone = packs::dropped_since(&mut *state.pool.get()?, since)?;
    let mut failed = None;
    let mut delete = |location: &str| {
        if let Err(error) = state.packs.delete(location) {
            failed.get_or_insert(error);
        }
    };
    for location in gone {
        delete(&location);
    }
    let mut dropped = 0;
    let mut last: Option<Old> = None;
    loop {
        let page = packs::old(&mut *state.pool.get()?, cutoff, last.as_ref(), PAGE)?;
        for old in &page {
            // A connection for each, so that pushes wait for none.
            if drop_one(&mut *state.pool.get()?, old, days, cutoff, now)? {
                delete(&old.location);
                dropped += 1;
            }
        }
        last = page.last().cloned();
        if last.is_none() {
            return failed.map_or(Ok(dropped), |error| Err(AppError::internal(error)));
        }
    }
}

/// Records that a file is dropped, if it may be.
fn drop_one(
    conn: &mut PgConnection,
    old: &Old,
    days: u16,
    cutoff: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<bool, AppError> {
    conn.transaction(|conn| {
        rows::lock(conn)?;
        let locked = packs::lock(conn, [&*old.digest])?;
        // Nobody else comes to refer to it meanwhile.
        let uses = packs::uses(conn, &old.digest)?;
        for one in &uses {
            repositories::lock(conn, one.repository_id)?;
        }
        if !packs::may_drop(conn, &locked, old, cutoff)? {
            return Ok(false);
        }
        packs::insert_drop(conn, old, days, now)?;
        for one in uses {
            let event = NewEvent {
                kind: "pack.dropped",
                actor: "retention".to_owned(),
                push_id: one.push_id,
                summary: format!("pack {} was dropped after {days} days", old.digest),
                ..NewEvent::default()
            };
            events::append(conn, one.repository_id, now, vec![event])?;
        }
        Ok(true)
    })
}

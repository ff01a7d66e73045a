//! Holds are placed and released, with an event in every repository that they are about.

use chrono::{DateTime, Utc};
use diesel::{Connection as _, PgConnection};
use refwarden_wire::api::{HoldIn, HoldReleaseIn};
use uuid::Uuid;

use crate::db::events::{self, NewEvent};
use crate::db::holds::{self, Hold, Release};
use crate::db::{pushes, repositories};
use crate::error::AppError;

/// Places a hold: when it is in the record, nothing that it keeps is dropped any more.
///
/// # Errors
/// [`AppError::BadRequest`] for one that names nothing or gives no reason, [`AppError::NotFound`]
/// for a repository or push that is not known, and what the database says.
pub fn place(
    conn: &mut PgConnection,
    asked: &HoldIn,
    who: &str,
    now: DateTime<Utc>,
) -> Result<Hold, AppError> {
    let reason = reason(&asked.reason)?;
    let names = [asked.repository.is_some(), asked.push.is_some()];
    let is_period = asked.since.is_some() || asked.before.is_some();
    if !is_period && !names.contains(&true) {
        return Err(AppError::bad_request(
            "A hold needs a repository, a push or a period.",
        ));
    }
    if asked.push.is_some() && (is_period || asked.repository.is_some()) {
        return Err(AppError::bad_request(
            "A push is one of one repository and time: name nothing else.",
        ));
    }
    if let (Some(since), Some(before)) = (asked.since, asked.before)
        && since >= before
    {
        return Err(AppError::bad_request("The period ends before it begins."));
    }
    conn.transaction(|conn| {
        holds::lock(conn)?;
        let repository_id = match (&asked.repository, asked.push) {
            (Some(name), _) => Some(crate::api::find_repository(conn, name)?.id),
            (None, Some(push)) => {
                let push = pushes::find(conn, push)?.ok_or_else(AppError::not_found)?;
                Some(push.repository_id)
            }
            (None, None) => None,
        };
        let hold = Hold {
            id: Uuid::now_v7(),
            repository_id,
            push_id: asked.push,
            since: asked.since,
            before: asked.before,
            reason,
            placed_by: who.to_owned(),
            placed_at: now,
        };
        holds::insert(conn, &hold)?;
        record(conn, &hold, "hold.placed", who, &hold.reason, now)?;
        Ok(hold)
    })
}

/// Releases a hold.
///
/// # Errors
/// [`AppError::NotFound`] where there is none, [`AppError::Conflict`] where it is released
/// already, [`AppError::BadRequest`] without a reason, and what the database says.
pub fn release(
    conn: &mut PgConnection,
    id: Uuid,
    asked: &HoldReleaseIn,
    who: &str,
    now: DateTime<Utc>,
) -> Result<(Hold, Release), AppError> {
    let reason = reason(&asked.reason)?;
    conn.transaction(|conn| {
        holds::lock(conn)?;
        let (hold, released) = holds::find(conn, id)?.ok_or_else(AppError::not_found)?;
        if released.is_some() {
            return Err(AppError::conflict("The hold is released already."));
        }
        let release = Release {
            hold_id: id,
            reason,
            released_by: who.to_owned(),
            released_at: now,
        };
        holds::release(conn, &release)?;
        record(conn, &hold, "hold.released", who, &release.reason, now)?;
        Ok((hold, release))
    })
}

fn reason(text: &str) -> Result<String, AppError> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > 2000 || text.contains('\0') {
        return Err(AppError::bad_request(
            "A hold needs a reason of 1 to 2000 characters.",
        ));
    }
    Ok(text.to_owned())
}

fn record(
    conn: &mut PgConnection,
    hold: &Hold,
    kind: &'static str,
    who: &str,
    reason: &str,
    now: DateTime<Utc>,
) -> Result<(), AppError> {
    let mut concerned: Vec<Uuid> = match hold.repository_id {
        Some(id) => vec![id],
        None => repositories::list(conn)?.iter().map(|it| it.id).collect(),
    };
    // The order in which retention takes them.
    concerned.sort_unstable();
    for repository in concerned {
        let event = NewEvent {
            kind,
            actor: who.to_owned(),
            push_id: hold.push_id,
            summary: format!("hold {} on {}: {reason}", hold.id, described(hold)),
            ..NewEvent::default()
        };
        events::append(conn, repository, now, vec![event])?;
    }
    Ok(())
}

fn described(hold: &Hold) -> String {
    let mut text = match hold.push_id {
        Some(push) => format!("the pack of push {push}"),
        None if hold.repository_id.is_some() => "the repository's packs".to_owned(),
        None => "all packs".to_owned(),
    };
    let shown = |at: DateTime<Utc>| at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    if let Some(since) = hold.since {
        text = format!("{text} since {}", shown(since));
    }
    if let Some(before) = hold.before {
        text = format!("{text} before {}", shown(before));
    }
    text
}

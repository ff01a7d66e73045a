//! A push that is held while people decide. Only the hook that holds it can have it released,
//! by asking here; so a hook that has gone moves nothing, whatever people decide later.

use chrono::{DateTime, Utc};
use diesel::{Connection as _, PgConnection};
use refwarden_model::{Code, RefName};
use refwarden_wire::hook::{CancelIn, GivenUp, Outcome, Reason, WaitIn, WaitOut};

use super::{actor_of, reason};
use crate::approval::{self, Bound};
use crate::db::events::{self, NewEvent};
use crate::db::pushes::{self, Push, push_state};
use crate::db::repositories;
use crate::db::requests::{self, Request, state};
use crate::error::AppError;
use crate::identity::TokenError;
use crate::tokens;

/// Says how far people are with a held push, and releases or refuses it once they have decided.
///
/// # Errors
/// [`AppError::NotFound`] when no push of that run is known, and what the database says.
pub fn look(
    conn: &mut PgConnection,
    host: &str,
    asked: &WaitIn,
    policy_hash: &str,
    now: DateTime<Utc>,
) -> Result<WaitOut, AppError> {
    approval::expire(conn, now)?;
    conn.transaction(|conn| {
        let push = pushes::lock(conn, host, asked.repository.0, &asked.correlation)?
            .ok_or_else(AppError::not_found)?;
        if push.state != push_state::WAITING {
            // The answer to an earlier question was lost, or the push was cancelled.
            let released = push.state == push_state::GRANTED;
            return Ok(WaitOut {
                outcome: if released {
                    Outcome::Released
                } else {
                    Outcome::Denied
                },
                reasons: if released {
                    Vec::new()
                } else {
                    vec![reason(Code::NotReleased, "the push is held no longer")]
                },
                standing: Vec::new(),
            });
        }
        repositories::lock(conn, push.repository_id)?;
        let mut held = Held::of(conn, &push)?;
        if tokens::is_push_revoked(conn, &push)? {
            let text = TokenError::Revoked.to_string();
            held.reasons.push(reason(Code::RevokedToken, text));
        }
        if push.policy_hash != policy_hash {
            let text = "the policy has changed while the push waited; push again";
            held.reasons.push(reason(Code::NeedsApproval, text));
        }
        let outcome = if !held.reasons.is_empty() {
            Outcome::Denied
        } else if held.waiting > 0 {
            Outcome::Waiting
        } else {
            Outcome::Released
        };
        settle(conn, &push, outcome, &held.reasons, now)?;
        Ok(WaitOut {
            outcome,
            reasons: held.reasons,
            standing: held.standing,
        })
    })
}

struct Held {
    /// Requests that people have yet to decide on.
    waiting: usize,
    reasons: Vec<Reason>,
    standing: Vec<String>,
}

impl Held {
    fn of(conn: &mut PgConnection, push: &Push) -> Result<Self, AppError> {
        let mut held = Self {
            waiting: 0,
            reasons: Vec::new(),
            standing: Vec::new(),
        };
        for update in pushes::updates(conn, push.id)? {
            let Some(id) = &update.request_id else {
                continue;
            };
            let request = requests::lock(conn, id)?.ok_or_else(AppError::not_found)?;
            let name = &update.ref_name_text;
            let ended = match request.state.as_str() {
                state::WAITING => {
                    held.waiting += 1;
                    None
                }
                state::APPROVED | state::REVIEW | state::REVIEWED => None,
                state::REJECTED => Some((Code::Rejected, "was rejected by an approver")),
                state::EXPIRED => Some((Code::NeedsApproval, "was not approved in time")),
                state::REVOKED => Some((Code::NeedsApproval, "is in no window of time any more")),
                state::USED => Some((Code::NeedsApproval, "was let through for another push")),
                _ => Some((Code::StaleOldOid, "has moved while the push waited")),
            };
            held.standing.push(standing(conn, &request, name)?);
            if let Some((code, what)) = ended {
                let mut reason = reason(code, format!("{name} {what}"));
                reason.ref_name = RefName::parse(&update.ref_name).ok();
                held.reasons.push(reason);
            }
        }
        Ok(held)
    }
}

/// One line about a request: how many people of how many have approved.
fn standing(conn: &mut PgConnection, request: &Request, name: &str) -> Result<String, AppError> {
    let bound = Bound::of(request)?;
    let decisions = requests::decisions(conn, &request.id)?;
    let counted = approval::progress(&bound.requirements, &decisions)?.counted;
    let parts = bound
        .requirements
        .iter()
        .zip(counted)
        .map(|(needed, have)| {
            let who: Vec<&str> = needed
                .approvers
                .iter()
                .map(|entry| {
                    entry
                        .split_once(':')
                        .map_or(entry.as_str(), |(_, name)| name)
                })
                .collect();
            format!("{have} of {} from {}", needed.quorum, who.join(", "))
        });
    let parts: Vec<String> = parts.collect();
    Ok(format!(
        "{name} is {}: {}",
        request.state,
        parts.join(" and ")
    ))
}

fn settle(
    conn: &mut PgConnection,
    push: &Push,
    outcome: Outcome,
    reasons: &[Reason],
    now: DateTime<Utc>,
) -> Result<(), AppError> {
    let (state, kind, summary) = match outcome {
        Outcome::Waiting => return Ok(()),
        Outcome::Released => {
            pushes::release_updates(conn, push.id)?;
            let text = "released after it was held".to_owned();
            (push_state::GRANTED, "push.released", text)
        }
        Outcome::Denied => {
            let texts: Vec<&str> = reasons.iter().map(|reason| reason.text.as_str()).collect();
            (push_state::DENIED, "push.denied", texts.join("; "))
        }
    };
    pushes::set_state(conn, push.id, state)?;
    let event = NewEvent {
        kind,
        actor: actor_of(push),
        push_id: Some(push.id),
        codes: reasons.iter().map(|one| one.code.to_string()).collect(),
        summary,
        ..NewEvent::default()
    };
    events::append(conn, push.repository_id, now, vec![event])?;
    Ok(())
}

/// Gives up a held push. Its requests stay open: the same push may come again.
///
/// # Errors
/// [`AppError::NotFound`] when no push of that run is known, and what the database says.
pub fn cancel(
    conn: &mut PgConnection,
    host: &str,
    asked: &CancelIn,
    now: DateTime<Utc>,
) -> Result<(), AppError> {
    conn.transaction(|conn| {
        let push = pushes::lock(conn, host, asked.repository.0, &asked.correlation)?
            .ok_or_else(AppError::not_found)?;
        if push.state == push_state::DENIED || push.state == push_state::CANCELLED {
            return Ok(());
        }
        pushes::set_state(conn, push.id, push_state::CANCELLED)?;
        let summary = match asked.why {
            GivenUp::TimeOver => "nobody decided in the time that the push was held",
            GivenUp::ClientGone => "the client went away while the push was held",
        };
        let event = NewEvent {
            kind: "push.cancelled",
            actor: actor_of(&push),
            push_id: Some(push.id),
            summary: summary.to_owned(),
            ..NewEvent::default()
        };
        events::append(conn, push.repository_id, now, vec![event])?;
        Ok(())
    })
}

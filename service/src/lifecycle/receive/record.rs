//! What was judged becomes rows and events: nothing is decided here, and nobody is told.

use chrono::{DateTime, Utc};
use diesel::PgConnection;
use refwarden_model::facts::RefFacts;
use refwarden_wire::hook::Outcome;
use uuid::Uuid;

use super::{Judged, Received, json};
use crate::db::events::{self, NewEvent};
use crate::db::packs::Locked;
use crate::db::pushes::{self, Push, RefUpdate, push_state, signed, update_state};
use crate::db::requests::{self, Request};
use crate::db::{masked_pushes, packs, push_facts, records};
use crate::error::AppError;
use crate::lifecycle::actor_of;

/// Records it.
///
/// # Errors
/// [`AppError::Conflict`] when this run of receive-pack has a push already, and what the database
/// says.
pub(super) fn record(
    conn: &mut PgConnection,
    locked: &Locked,
    received: &Received<'_>,
    id: Uuid,
    judged: &Judged,
    more: Vec<NewEvent>,
    now: DateTime<Utc>,
) -> Result<(), AppError> {
    let push = &received.push;
    let repository = push.repository.0;
    for pack in received.packs() {
        packs::insert(conn, locked, pack, now)?;
    }
    let mut codes: Vec<String> = judged
        .reasons
        .iter()
        .map(|reason| reason.code.to_string())
        .collect();
    codes.sort();
    codes.dedup();
    let (push_state, ref_state, kind) = match judged.outcome {
        Outcome::Released => (push_state::GRANTED, update_state::RELEASED, "push.released"),
        Outcome::Waiting => (push_state::WAITING, update_state::CLAIMED, "push.waiting"),
        Outcome::Denied => (push_state::DENIED, update_state::CLAIMED, "push.denied"),
    };
    let row = push_row(received, id, judged, push_state, codes.clone(), now)?;
    // A ref update names its request and a request names its push, so requests that are new go
    // in between and are linked by the rows that follow.
    pushes::insert(conn, &row).map_err(|error| match error {
        diesel::result::Error::DatabaseError(
            diesel::result::DatabaseErrorKind::UniqueViolation,
            _,
        ) => AppError::conflict("This run of receive-pack has sent a push already."),
        other => other.into(),
    })?;
    if let Some(masked) = &push.masked {
        let pack = received.masked_pack.as_ref();
        masked_pushes::insert(conn, id, masked, pack.map(|pack| &*pack.digest))?;
    }
    for request in &judged.new_requests {
        requests::insert(conn, request)?;
    }
    let updates = update_rows(received, id, judged, ref_state);
    pushes::insert_updates(conn, &updates)?;
    records::insert(conn, id, &push.facts)?;
    push_facts::insert(conn, id, &push.facts)?;
    let actor = actor_of(&row);
    let mut new_events = Vec::new();
    let waits = |request: &&Request| request.state == requests::state::WAITING;
    for request in judged.new_requests.iter().filter(waits) {
        new_events.push(NewEvent {
            kind: "request.created",
            actor: actor.clone(),
            push_id: Some(id),
            request_id: Some(request.id.clone()),
            ref_name: Some(request.ref_name.clone()),
            old_oid: Some(request.old_oid.clone()),
            new_oid: Some(request.new_oid.clone()),
            summary: format!("request {} waits for approval", request.id),
            ..NewEvent::default()
        });
    }
    new_events.extend(more);
    // A push to one ref names it; one to several is told by its ref updates.
    let only = match updates.as_slice() {
        [only] => Some(only),
        _ => None,
    };
    let texts: Vec<&str> = judged
        .reasons
        .iter()
        .take(3)
        .map(|reason| reason.text.as_str())
        .collect();
    new_events.push(NewEvent {
        kind,
        actor,
        push_id: Some(id),
        ref_name: only.map(|update| update.target.clone()),
        old_oid: only.map(|update| update.actual_old.clone()),
        new_oid: only.map(|update| update.new_oid.clone()),
        codes,
        summary: if texts.is_empty() {
            format!("{} ref update(s) released", updates.len())
        } else {
            texts.join("; ")
        },
        ..NewEvent::default()
    });
    events::append(conn, repository, now, new_events)?;
    Ok(())
}

fn push_row(
    received: &Received<'_>,
    id: Uuid,
    judged: &Judged,
    state: &str,
    codes: Vec<String>,
    now: DateTime<Utc>,
) -> Result<Push, AppError> {
    let push = &received.push;
    let run = &push.correlation;
    let pusher = judged.chain.as_ref().map(|chain| &chain.pusher);
    let behalf = judged
        .chain
        .as_ref()
        .and_then(|chain| chain.on_behalf_of.first());
    Ok(Push {
        id,
        repository_id: push.repository.0,
        host: received.host.to_owned(),
        received_at: now,
        boot_id: run.boot_id.clone(),
        pid_namespace: signed(run.pid_namespace),
        pid: i64::from(run.pid),
        start_ticks: signed(run.start_ticks),
        transport: push.transport.clone(),
        client_address: push.client_address.clone(),
        client_agent: push.client_agent.clone(),
        hook_version: push.hook_version.clone(),
        pusher_issuer: pusher.map(|actor| actor.issuer.clone()),
        pusher_subject: pusher.map(|actor| actor.subject.clone()),
        pusher_kind: pusher.map(|actor| actor.kind.name().to_owned()),
        behalf_subject: behalf.map(|actor| actor.subject.clone()),
        actor_chain: judged.chain.as_ref().map(json).transpose()?,
        token_sha256: received.token_sha256.clone(),
        token_id: judged.token.as_ref().map(|(_, token_id)| token_id.clone()),
        token_issuer: judged.token.as_ref().map(|(issuer, _)| issuer.clone()),
        push_options: json(&push.facts.push_options)?,
        policy_hash: received.policy.hash().to_owned(),
        ruleset_id: push.facts.ruleset_id.clone(),
        verdict: json(&judged.verdict)?,
        codes,
        state: state.to_owned(),
        commits_total: signed(push.facts.commits_total),
        findings_total: signed(push.facts.findings_total),
        objects_scanned: signed(push.facts.objects_scanned),
        pack_digest: received.pack.as_ref().map(|pack| pack.digest.clone()),
        timings: json(&push.timings)?,
    })
}

fn update_rows(received: &Received<'_>, id: Uuid, judged: &Judged, state: &str) -> Vec<RefUpdate> {
    let row = |(index, (update, request)): (usize, (&RefFacts, &Option<String>))| RefUpdate {
        push_id: id,
        ordinal: i32::try_from(index).unwrap_or(i32::MAX),
        repository_id: received.push.repository.0,
        ref_name: update.ref_name.as_bytes().to_vec(),
        ref_name_text: records::text(update.ref_name.as_bytes()),
        target: update.target.as_bytes().to_vec(),
        claimed_old: update.claimed_old.to_string(),
        actual_old: update.actual_old.to_string(),
        new_oid: update.new.to_string(),
        kind: update.kind.name().to_owned(),
        new_type: update.new_type.clone(),
        gained: signed(update.gained),
        lost: signed(update.lost),
        request_id: request.clone(),
        state: state.to_owned(),
    };
    received
        .push
        .facts
        .updates
        .iter()
        .zip(&judged.requests)
        .enumerate()
        .map(row)
        .collect()
}

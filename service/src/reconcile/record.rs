//! Reports of the reconciler, taken into the ledger in one transaction each.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{Connection as _, PgConnection};
use refwarden_model::{ByteText, Oid, PushId, RefName};
use refwarden_wire::hook::Correlation;
use refwarden_wire::reconcile::{
    CHANGES_MAX, Change, Gap, GivenUp, LedgerIn, LedgerOut, Prepared, ReconcileIn, ReconcileOut,
};

use super::fold::fold;
use crate::db::events::{self, NewEvent};
use crate::db::packs;
use crate::db::reconcile::{self, InDoubt, OutOfBand};
use crate::db::repositories::{self, Repository};
use crate::error::AppError;
use crate::lifecycle::{mark_overtaken, settle_one};
use crate::packs::StoredPack;

/// How far back pushes are told that were granted and moved nothing: what they left behind is looked
/// for as long.
const RELEASED: TimeDelta = TimeDelta::days(1);

/// Says where the ledger has a repository's refs, as of one event.
///
/// # Errors
/// [`AppError::NotFound`] for a repository that is not this host's, and what the database says.
pub fn ledger(
    conn: &mut PgConnection,
    host: &str,
    asked: LedgerIn,
    now: DateTime<Utc>,
) -> Result<LedgerOut, AppError> {
    // One snapshot, so that number, fold and prepared updates belong together.
    conn.build_transaction()
        .repeatable_read()
        .read_only()
        .run(|conn| {
            let repository = own(conn, host, asked.repository.0)?;
            let seq = repository.next_seq - 1;
            let state = fold(conn, repository.id, seq)?.ok_or_else(AppError::not_found)?;
            let head = state.head.clone();
            let gaps = state.gaps.iter().take(CHANGES_MAX).cloned().collect();
            Ok(LedgerOut {
                seq,
                head,
                gaps,
                prepared: told(reconcile::prepared(conn, repository.id)?)?,
                released: told(reconcile::released(conn, repository.id, now - RELEASED)?)?,
                refs: state.into_refs(),
            })
        })
}

fn own(conn: &mut PgConnection, host: &str, id: uuid::Uuid) -> Result<Repository, AppError> {
    let known = repositories::find(conn, id)?.filter(|known| known.host == host);
    known.ok_or_else(AppError::not_found)
}

fn told(found: Vec<InDoubt>) -> Result<Vec<Prepared>, AppError> {
    let out = found.into_iter().map(|(update, since, run)| {
        let (boot_id, namespace, pid, start) = run;
        Ok(Prepared {
            push_id: PushId(update.push_id),
            correlation: Correlation {
                boot_id,
                pid_namespace: u64::try_from(namespace).map_err(AppError::internal)?,
                pid: u32::try_from(pid).map_err(AppError::internal)?,
                start_ticks: u64::try_from(start).map_err(AppError::internal)?,
            },
            target: RefName::parse(&update.target).map_err(AppError::internal)?,
            old: update.actual_old.parse().map_err(AppError::internal)?,
            new: update.new_oid.parse().map_err(AppError::internal)?,
            since,
        })
    });
    out.collect()
}

/// Takes a report into the ledger.
///
/// # Errors
/// [`AppError::NotFound`] for a repository that is not this host's, [`AppError::Conflict`] when
/// it was adopted again meanwhile, and what the database says.
pub fn reconcile(
    conn: &mut PgConnection,
    host: &str,
    report: &ReconcileIn,
    pack: Option<&StoredPack>,
    now: DateTime<Utc>,
) -> Result<ReconcileOut, AppError> {
    if report.changes.len().max(report.gaps.len()) > CHANGES_MAX {
        return Err(AppError::bad_request("Too many changes in one report."));
    }
    conn.transaction(|conn| {
        let repository = own(conn, host, report.repository.0)?;
        let locked = packs::lock(conn, pack.map(|pack| &*pack.digest))?;
        repositories::lock(conn, repository.id)?;
        let baseline = repositories::baseline_at(conn, repository.id, i64::MAX)?;
        if baseline.is_some_and(|baseline| baseline.seq > report.seq) {
            return Err(AppError::conflict("The repository was adopted meanwhile."));
        }
        let mut out = ReconcileOut::default();
        // Before anything is settled here: what the host has compared is of before that.
        let mut unsure: HashSet<Vec<u8>> = reconcile::moved_since(conn, repository.id, report.seq)?
            .into_iter()
            .collect();
        for (update, _, _) in reconcile::prepared(conn, repository.id)? {
            let ended = report.ended.iter().find(|ended| {
                ended.push_id.0 == update.push_id && ended.target.as_bytes() == update.target
            });
            if let Some(ended) = ended {
                let moved = ended.value.to_string() == update.new_oid;
                out.settled += u64::from(settle_one(conn, &update, moved, now)?);
            }
            unsure.insert(update.target);
        }
        give_up(conn, &repository, &report.given_up, now)?;
        if let Some(pack) = pack {
            packs::insert(conn, &locked, pack, now)?;
        }
        let mut found = Vec::new();
        for change in &report.changes {
            if unsure.contains(change.name.as_bytes()) {
                out.deferred += 1;
            } else {
                found.push((change, None));
            }
        }
        let reported = reconcile::out_of_band(conn, repository.id, 0, i64::MAX)?;
        let reported: HashSet<i64> = reported.iter().filter_map(|row| row.before_seq).collect();
        for Gap { before, change } in &report.gaps {
            if !reported.contains(before) {
                found.push((change, Some(*before)));
            }
        }
        out.recorded = u64::try_from(found.len()).unwrap_or_default();
        record(conn, host, &repository, &found, pack, now)?;
        note_guard(conn, host, &repository, &report.defects, now)?;
        Ok(out)
    })
}

fn record(
    conn: &mut PgConnection,
    host: &str,
    repository: &Repository,
    found: &[(&Change, Option<i64>)],
    pack: Option<&StoredPack>,
    now: DateTime<Utc>,
) -> Result<(), AppError> {
    if found.is_empty() {
        return Ok(());
    }
    let zero = "0".repeat(if repository.object_format == "sha256" {
        64
    } else {
        40
    });
    let shown = |value: Option<&ByteText>| value.map_or_else(|| zero.clone(), ByteText::lossy);
    let event = |(change, before): &(&Change, Option<i64>)| NewEvent {
        kind: "ref.out_of_band",
        actor: format!("unknown, on host {host}"),
        ref_name: Some(change.name.as_bytes().to_vec()),
        old_oid: Some(shown(change.old.as_ref())),
        new_oid: Some(shown(change.new.as_ref())),
        summary: match before {
            None => format!("{} was moved outside of every push", change.name.lossy()),
            Some(before) => format!(
                "{} was moved outside of every push before event {before}",
                change.name.lossy()
            ),
        },
        ..NewEvent::default()
    };
    let new_events: Vec<NewEvent> = found.iter().map(event).collect();
    let count = i64::try_from(new_events.len()).unwrap_or_default();
    let last = events::append(conn, repository.id, now, new_events)?;
    let row = |(seq, (change, before)): (i64, &(&Change, Option<i64>))| OutOfBand {
        repository_id: repository.id,
        seq,
        name: change.name.as_bytes().to_vec(),
        old_value: change.old.clone().map(ByteText::into_bytes),
        new_value: change.new.clone().map(ByteText::into_bytes),
        before_seq: *before,
        pack_digest: pack.map(|pack| pack.digest.clone()),
    };
    let rows: Vec<OutOfBand> = (last + 1 - count..).zip(found).map(row).collect();
    reconcile::insert(conn, &rows)?;
    for (change, before) in found {
        let present = change
            .new
            .as_ref()
            .map_or(zero.as_bytes(), ByteText::as_bytes);
        // A request starts from an object id; one that starts from another value is stale.
        if before.is_none()
            && let Ok(oid) = Oid::parse(present)
        {
            let name = change.name.as_bytes();
            mark_overtaken(conn, repository.id, name, &oid.to_string(), now)?;
        }
    }
    Ok(())
}

/// Records that updates of pushes have not moved that were granted and ended before the barrier,
/// for example because the database did not answer there. Else "released" would be the last that
/// is said of them. What post-receive has completed, it has counted.
fn give_up(
    conn: &mut PgConnection,
    repository: &Repository,
    given_up: &[GivenUp],
    now: DateTime<Utc>,
) -> Result<(), AppError> {
    if given_up.is_empty() {
        return Ok(());
    }
    let pushes: Vec<_> = given_up.iter().map(|one| one.push_id.0).collect();
    for update in reconcile::never_prepared(conn, repository.id, &pushes)? {
        let is_meant = given_up
            .iter()
            .any(|one| one.push_id.0 == update.push_id && one.target.as_bytes() == update.target);
        if is_meant {
            settle_one(conn, &update, false, now)?;
        }
    }
    Ok(())
}

/// An event for each change of the guard, none while it stays as it is.
fn note_guard(
    conn: &mut PgConnection,
    host: &str,
    repository: &Repository,
    defects: &[String],
    now: DateTime<Utc>,
) -> Result<(), AppError> {
    let before = reconcile::set_guard(conn, repository.id, now, defects)?;
    let event = |kind, summary: &String| NewEvent {
        kind,
        actor: format!("unknown, on host {host}"),
        summary: summary.clone(),
        ..NewEvent::default()
    };
    let came = defects.iter().filter(|one| !before.contains(one));
    let went = before.iter().filter(|one| !defects.contains(one));
    let new_events: Vec<NewEvent> = came
        .map(|one| event("guard.weakened", one))
        .chain(went.map(|one| event("guard.mended", one)))
        .collect();
    if !new_events.is_empty() {
        events::append(conn, repository.id, now, new_events)?;
    }
    Ok(())
}

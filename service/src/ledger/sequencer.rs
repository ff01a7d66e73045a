//! The background task. Several services may run it on one database: one at a time holds the lock.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use actix_web::web::Data;
use chrono::{DateTime, Utc};
use diesel::{Connection as _, PgConnection};
use refwarden_merkle::{Checkpoint, Hash, Subtrees as _, Tree, root_of};
use uuid::Uuid;

use super::Ledger;
use crate::db::log::{self, Entry, NewLeaf, Stored};
use crate::error::AppError;
use crate::state::AppState;

/// Time between two looks for new events.
const LOOK: Duration = Duration::from_millis(500);
/// Time between two complaints about the same thing.
const COMPLAIN: Duration = Duration::from_mins(1);
/// Events put into the log at once; also the most between two checkpoints.
const BATCH: usize = 1000;

/// Starts the task. It ends with the process; a transaction that was under way never was.
pub fn start(state: &Data<AppState>) {
    actix_web::rt::spawn(run(state.clone()));
}

async fn run(state: Data<AppState>) {
    let mut complained: Option<Instant> = None;
    loop {
        let shared = state.clone();
        let done = state
            .db(move |conn| turn(conn, &shared.ledger, Utc::now()))
            .await;
        let is_more = matches!(done, Ok(true));
        if let Err(error) = done
            && complained.is_none_or(|last| last.elapsed() >= COMPLAIN)
        {
            complained = Some(Instant::now());
            tracing::error!(cause = %error, "events are not put into the tamper-evident log");
        }
        if !is_more {
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// Puts one batch into the log, signs a checkpoint if one is due, and writes to the second place.
/// Says whether there is more to do at once.
fn turn(conn: &mut PgConnection, ledger: &Ledger, now: DateTime<Utc>) -> Result<bool, AppError> {
    let last = ledger.second_place.last().map_err(AppError::internal)?;
    let (tree, is_more) = conn.transaction(|conn| extend(conn, ledger, last.as_ref(), now))?;
    if let (Some(tree), Ok(mut known)) = (tree, ledger.tree.lock()) {
        *known = Some(tree);
    }
    let written = last.map_or(0, |last| last.size);
    ledger.second_place.follow(conn, written)?;
    Ok(is_more)
}

/// The tree after this turn; none when another service is at it.
fn extend(
    conn: &mut PgConnection,
    ledger: &Ledger,
    last: Option<&Checkpoint>,
    now: DateTime<Utc>,
) -> Result<(Option<Tree>, bool), AppError> {
    if !log::try_lock(conn)? {
        return Ok((None, false));
    }
    let size = log::size(conn)?;
    let known = ledger.tree.lock().ok().and_then(|known| known.clone());
    let mut tree = match known {
        Some(tree) if tree.size() == size => tree,
        _ => {
            check(conn, size, last)?;
            stored(conn, size)?
        }
    };
    let pending = log::pending(conn, i64::try_from(BATCH).unwrap_or(i64::MAX))?;
    let found = pending.len();
    let chosen = in_order(conn, pending)?;
    let is_more = found >= BATCH && !chosen.is_empty();
    let leaves: Vec<NewLeaf> = chosen
        .into_iter()
        .map(|entry| {
            let hash = Hash::of_leaf(entry.leaf().as_bytes());
            let leaf_index = i64::try_from(tree.size()).unwrap_or(i64::MAX);
            tree.append(hash);
            NewLeaf {
                leaf_index,
                stream: entry.stream,
                seq: entry.seq,
                hash: hash.as_bytes().to_vec(),
                records: entry.records,
            }
        })
        .collect();
    log::append(conn, &leaves)?;
    sign(conn, ledger, &tree, now)?;
    Ok((Some(tree), is_more))
}

/// Signs nothing over a history that is not the one that was signed before.
fn check(conn: &mut PgConnection, size: u64, last: Option<&Checkpoint>) -> Result<(), AppError> {
    let Some(last) = last else {
        return Ok(());
    };
    if last.size > size {
        return Err(AppError::internal(format!(
            "the database has {size} events, and a checkpoint attests {}: it was cut off, or an \
             older one was restored (docs/auditing.md says what to do)",
            last.size
        )));
    }
    if root_of(&mut Stored(conn), last.size)? != last.root {
        return Err(AppError::internal(format!(
            "the first {} events are not those that a checkpoint attests: run refwarden audit \
             verify",
            last.size
        )));
    }
    Ok(())
}

fn stored(conn: &mut PgConnection, size: u64) -> Result<Tree, AppError> {
    let mut source = Stored(conn);
    let (mut peaks, mut from) = (Vec::new(), 0);
    for level in (0..u64::BITS).rev() {
        if size >> level & 1 == 1 {
            peaks.push(source.subtree(level, from >> level)?);
            from += 1 << level;
        }
    }
    Tree::from_peaks(size, peaks).ok_or_else(|| AppError::internal("no such tree"))
}

/// At most a batch, by time across streams and by number within each. A stream in which a number
/// is missing stops there.
fn in_order(conn: &mut PgConnection, pending: Vec<Entry>) -> Result<Vec<Entry>, AppError> {
    let mut streams: Vec<Uuid> = pending.iter().map(|entry| entry.stream).collect();
    streams.dedup();
    let mut next: HashMap<Uuid, i64> = log::positions(conn, &streams)?.into_iter().collect();
    let mut latest: HashMap<Uuid, DateTime<Utc>> = HashMap::new();
    let mut timed = Vec::with_capacity(pending.len());
    for entry in pending {
        let position = next.entry(entry.stream).or_default();
        if entry.seq != *position + 1 {
            if entry.seq > *position {
                tracing::error!(
                    stream = %entry.stream,
                    seq = *position + 1,
                    "an event that was recorded is missing before it came into the log"
                );
                *position = i64::MAX - 1;
            }
            continue;
        }
        *position += 1;
        // A clock that was set back must not change the order of a stream.
        let at = entry.at.unwrap_or_default();
        let time = latest.entry(entry.stream).or_insert(at);
        *time = at.max(*time);
        timed.push((*time, entry));
    }
    timed.sort_by_key(|(time, entry)| (*time, entry.stream, entry.seq));
    timed.truncate(BATCH);
    Ok(timed.into_iter().map(|(_, entry)| entry).collect())
}

fn sign(
    conn: &mut PgConnection,
    ledger: &Ledger,
    tree: &Tree,
    now: DateTime<Utc>,
) -> Result<(), AppError> {
    let (size, at) = log::last_checkpoint(conn)?.map_or((0, DateTime::UNIX_EPOCH), |last| {
        (u64::try_from(last.0).unwrap_or_default(), last.1)
    });
    let most = u64::try_from(BATCH).unwrap_or(u64::MAX);
    let is_due = tree.size() - size.min(tree.size()) >= most
        || (now - at).abs() >= chrono::Duration::seconds(ledger.seconds);
    if tree.size() > size && is_due {
        let checkpoint = Checkpoint::sign(tree.size(), tree.root(), &ledger.key);
        log::insert_checkpoint(conn, tree.size(), &checkpoint.note.to_string(), now)?;
    }
    Ok(())
}

//! A repository comes under guard: its refs and one pack of everything reachable become the
//! first event of its ledger, from which replay starts.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use diesel::{Connection as _, PgConnection};
use refwarden_model::{ByteText, ObjectFormat};
use refwarden_wire::api::ReplayRef;
use refwarden_wire::hook::{AdoptIn, AdoptOut};

use crate::db::events::{self, NewEvent};
use crate::db::packs;
use crate::db::repositories::{self, Baseline, Repository};
use crate::error::AppError;
use crate::packs::StoredPack;
use crate::reconcile;

/// Adopts a repository, or begins a further epoch of one that is known.
///
/// # Errors
/// [`AppError::Conflict`] when the name is another repository's, [`AppError::Forbidden`] when
/// the repository is another host's, and what the database says.
pub fn adopt(
    conn: &mut PgConnection,
    host: &str,
    adopted: &AdoptIn,
    pack: Option<&StoredPack>,
    now: DateTime<Utc>,
) -> Result<AdoptOut, AppError> {
    if !is_name(&adopted.name) {
        return Err(AppError::bad_request(
            "A repository's name is 1 to 200 letters, digits and any of - _ . /, \
             without a slash or dot at either end of a component.",
        ));
    }
    conn.transaction(|conn| {
        let locked = packs::lock(conn, pack.map(|pack| &*pack.digest))?;
        let id = adopted.repository.0;
        let mut new_events = Vec::new();
        let epoch = match repositories::find(conn, id)? {
            None => {
                insert(conn, host, adopted, now)?;
                1
            }
            Some(known) if known.host != host => {
                return Err(AppError::forbidden("The repository is another host's."));
            }
            Some(known) => {
                let epoch = known.epoch + 1;
                new_events = moved_unguarded(conn, host, &known, adopted)?;
                repositories::begin_epoch(conn, id, epoch, now)?;
                epoch
            }
        };
        if let Some(pack) = pack {
            packs::insert(conn, &locked, pack, now)?;
        }
        let mut summary = format!("{} ref(s) recorded, epoch {epoch}", adopted.refs.len());
        if epoch > 1 {
            let moved = new_events.len();
            summary = format!("{summary}; {moved} moved since the record of the one before");
        }
        new_events.push(NewEvent {
            kind: "repository.adopted",
            actor: format!("host {host}"),
            summary,
            ..NewEvent::default()
        });
        let seq = events::append(conn, id, now, new_events)?;
        let baseline = Baseline {
            repository_id: id,
            epoch,
            seq,
            recorded_at: now,
            head: adopted.head.as_bytes().to_vec(),
            refs: serde_json::to_value(refs(adopted)).map_err(AppError::internal)?,
            pack_digest: pack.map(|pack| pack.digest.clone()),
        };
        repositories::insert_baseline(conn, &baseline)?;
        Ok(AdoptOut {
            repository: adopted.repository,
            epoch,
            pack_digest: pack.map(|pack| pack.digest.clone()),
        })
    })
}

/// What moved while the repository was not under guard: the new epoch's baseline against the state
/// that the record had come to.
fn moved_unguarded(
    conn: &mut PgConnection,
    host: &str,
    known: &Repository,
    adopted: &AdoptIn,
) -> Result<Vec<NewEvent>, AppError> {
    let Some(before) = reconcile::fold(conn, known.id, known.next_seq - 1)? else {
        return Ok(Vec::new());
    };
    let head = ByteText::from("HEAD");
    let mut old = before.refs;
    old.insert(head.clone(), before.head);
    let now = refs(adopted).into_iter().map(|one| (one.name, one.value));
    let mut now: BTreeMap<ByteText, ByteText> = now.collect();
    now.insert(head, adopted.head.clone());
    let names = old
        .keys()
        .chain(now.keys().filter(|name| !old.contains_key(*name)));
    let moved = names.filter(|name| old.get(*name) != now.get(*name));
    let shown = |value: Option<&ByteText>| value.map(ByteText::lossy);
    let event = |name: &ByteText| NewEvent {
        kind: "ref.moved_unguarded",
        actor: format!("unknown, on host {host}"),
        ref_name: Some(name.as_bytes().to_vec()),
        old_oid: shown(old.get(name)),
        new_oid: shown(now.get(name)),
        summary: format!("{} moved while nothing guarded it", name.lossy()),
        ..NewEvent::default()
    };
    Ok(moved.map(event).collect())
}

fn insert(
    conn: &mut PgConnection,
    host: &str,
    adopted: &AdoptIn,
    now: DateTime<Utc>,
) -> Result<(), AppError> {
    if repositories::find_named(conn, &adopted.name)?.is_some() {
        let text = format!(
            "The name {} is another repository's; choose one.",
            adopted.name
        );
        return Err(AppError::conflict(text));
    }
    let format = match adopted.object_format {
        ObjectFormat::Sha1 => "sha1",
        ObjectFormat::Sha256 => "sha256",
    };
    let repository = Repository {
        id: adopted.repository.0,
        name: adopted.name.clone(),
        object_format: format.to_owned(),
        host: host.to_owned(),
        epoch: 1,
        adopted_at: now,
        next_seq: 1,
    };
    Ok(repositories::insert(conn, &repository)?)
}

fn refs(adopted: &AdoptIn) -> Vec<ReplayRef> {
    let direct = adopted.refs.iter().map(|observed| ReplayRef {
        name: ByteText::new(observed.target.as_bytes()),
        value: ByteText::new(observed.value.to_string()),
    });
    let symbolic = adopted.symrefs.iter().map(|symref| ReplayRef {
        name: ByteText::new(symref.name.as_bytes()),
        value: ByteText::new([b"ref: ", symref.target.as_bytes()].concat()),
    });
    direct.chain(symbolic).collect()
}

fn is_name(name: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let component = |part: &str| {
        !part.is_empty() && !part.starts_with('.') && !part.ends_with('.') && part.chars().all(good)
    };
    name.len() <= 200 && name.split('/').all(component)
}

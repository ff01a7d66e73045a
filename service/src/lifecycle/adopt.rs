//! A repository comes under guard: its refs and one pack of everything reachable become the
//! first event of its ledger, from which replay starts.

use chrono::{DateTime, Utc};
use diesel::{Connection as _, PgConnection};
use refwarden_model::{ByteText, ObjectFormat};
use refwarden_wire::api::ReplayRef;
use refwarden_wire::hook::{AdoptIn, AdoptOut};

use crate::db::events::{self, NewEvent};
use crate::db::repositories::{self, Baseline, Repository};
use crate::error::AppError;
use crate::packs::StoredPack;

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
        let id = adopted.repository.0;
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
                repositories::begin_epoch(conn, id, epoch, now)?;
                epoch
            }
        };
        if let Some(pack) = pack {
            repositories::insert_pack(conn, pack, now)?;
        }
        let event = NewEvent {
            kind: "repository.adopted",
            actor: format!("host {host}"),
            summary: format!("{} ref(s) recorded, epoch {epoch}", adopted.refs.len()),
            ..NewEvent::default()
        };
        let seq = events::append(conn, id, now, vec![event])?;
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

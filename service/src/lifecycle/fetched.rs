//! A fetch is over: it is recorded, once, with the set of objects that were sent.

use chrono::{DateTime, Utc};
use diesel::{Connection as _, PgConnection};
use refwarden_model::{ActorChain, oidset};
use refwarden_wire::fetch::{
    Ended, FetchIn, FetchOut, KnownIn, KnownOut, NAMED_MAX, OIDS_MAX, ObjectsIn, ObjectsOut,
};

use crate::db::events::{self, NewEvent};
use crate::db::fetches::{self, Fetch};
use crate::db::packs::{self, Locked};
use crate::db::pushes::signed;
use crate::db::repositories::{self, Repository};
use crate::error::AppError;
use crate::packs::StoredPack;

/// The most parts of a set.
const PARTS_MAX: usize = 1 << oidset::BITS_MAX;

/// Says what is known of a pack that was fetched.
///
/// # Errors
/// [`AppError::NotFound`] for a repository that is not this host's, and what the database says.
pub fn known_pack(
    conn: &mut PgConnection,
    host: &str,
    asked: &KnownIn,
) -> Result<KnownOut, AppError> {
    own(conn, host, asked.repository.0)?;
    Ok(KnownOut {
        objects: fetches::objects_of_pack(conn, &asked.pack_digest)?,
        kept: packs::find(conn, &asked.pack_digest)?.is_some(),
    })
}

/// Takes the parts of a set that were brought, and says which it lacks.
///
/// # Errors
/// [`AppError::BadRequest`] for what is no set, and as for [`known_pack`].
pub fn fetched_objects(
    conn: &mut PgConnection,
    host: &str,
    said: &ObjectsIn,
) -> Result<ObjectsOut, AppError> {
    let format = said.format;
    let bad =
        |_| AppError::bad_request("The set of objects is not of the form that it has to have.");
    if said.parts.len() > PARTS_MAX {
        return Err(AppError::bad_request(
            "The set of objects has too many parts.",
        ));
    }
    let digests: Vec<[u8; 32]> = said
        .parts
        .iter()
        .map(|digest| {
            let mut raw = [0; 32];
            hex::decode_to_slice(digest, &mut raw).map(|()| raw)
        })
        .collect::<Result<_, _>>()
        .map_err(|_| bad(oidset::PartError))?;
    let mut brought = Vec::new();
    let mut count = 0;
    for part in &said.brought {
        let oids = hex::decode(&part.oids).map_err(|_| bad(oidset::PartError))?;
        let part = oidset::Part::new(format, part.bits, part.prefix, oids).map_err(bad)?;
        count += part.count();
        // Only what belongs to the set that is named.
        if count > OIDS_MAX.max(part.count()) || !digests.contains(&part.digest()) {
            return Err(bad(oidset::PartError));
        }
        brought.push(part);
    }
    conn.transaction(|conn| {
        own(conn, host, said.repository.0)?;
        let width = format.raw_len();
        fetches::insert_parts(conn, width, &brought)?;
        let raw: Vec<Vec<u8>> = digests.iter().map(|digest| digest.to_vec()).collect();
        let present = fetches::present_parts(conn, width, &raw)?;
        let objects: i64 = present.iter().map(|(_, objects)| objects).sum();
        let present: std::collections::HashSet<Vec<u8>> =
            present.into_iter().map(|(digest, _)| digest).collect();
        let missing: Vec<usize> = (0..raw.len())
            .filter(|&index| {
                raw.get(index)
                    .is_some_and(|digest| !present.contains(digest))
            })
            .collect();
        let mut out = ObjectsOut {
            missing,
            objects: None,
        };
        if out.missing.is_empty() {
            let digest = hex::encode(oidset::set_digest(format, &digests));
            fetches::insert_set(conn, &digest, objects, &raw)?;
            out.objects = Some(digest);
        }
        Ok(out)
    })
}

/// Records a fetch. Told twice, it is recorded once.
///
/// # Errors
/// [`AppError::Internal`] where its objects or its pack are not there: the host then tells them
/// again. As for [`known_pack`].
pub fn fetched(
    conn: &mut PgConnection,
    host: &str,
    told: &FetchIn,
    pack: Option<&StoredPack>,
    now: DateTime<Utc>,
) -> Result<FetchOut, AppError> {
    check(told)?;
    conn.transaction(|conn| {
        let session = &told.session;
        let repository = own(conn, host, session.repository.0)?;
        let kept_pack = told.pack_digest.as_deref().filter(|_| told.keep);
        let locked = packs::lock(conn, kept_pack)?;
        // Held until the end, so that the same fetch told twice at once is recorded once.
        repositories::lock(conn, repository.id)?;
        if let Some(seq) = fetches::seq_of(conn, told.id.0)? {
            return Ok(FetchOut { seq });
        }
        if let Some(objects) = &told.objects
            && !fetches::has_set(conn, objects)?
        {
            return Err(AppError::internal("the objects of a fetch were not told"));
        }
        let kept = kept(conn, &locked, told, pack, now)?;
        let event = NewEvent {
            kind: match told.ended {
                Ended::Complete => "fetch.complete",
                Ended::Aborted => "fetch.aborted",
            },
            actor: name_of(session.actor.as_ref()),
            summary: summary(told),
            ..NewEvent::default()
        };
        let seq = events::append(conn, repository.id, now, vec![event])?;
        fetches::insert(conn, &row(told, host, &repository, seq, kept, now)?)?;
        Ok(FetchOut { seq })
    })
}

fn own(conn: &mut PgConnection, host: &str, id: uuid::Uuid) -> Result<Repository, AppError> {
    let known = repositories::find(conn, id)?.filter(|known| known.host == host);
    known.ok_or_else(AppError::not_found)
}

/// What a host says is held to its form: it may be an old one, or not the host.
fn check(told: &FetchIn) -> Result<(), AppError> {
    let asked = &told.asked;
    let long = [&asked.wants, &asked.haves, &asked.shallow];
    let texts = [
        &told.session.client_address,
        &told.session.client_agent,
        &asked.filter,
    ];
    let is_digest =
        |text: &String| text.len() == 64 && text.bytes().all(|it| it.is_ascii_hexdigit());
    let digests = [&told.pack_digest, &told.objects, &told.session.token_sha256];
    let good = long.iter().all(|oids| oids.len() <= NAMED_MAX)
        && texts
            .iter()
            .all(|text| text.as_ref().is_none_or(|text| text.len() <= 4096))
        && digests
            .iter()
            .all(|text| text.as_ref().is_none_or(is_digest))
        && told.objects.is_some() == told.certainty.is_some();
    if good {
        Ok(())
    } else {
        Err(AppError::bad_request(
            "The record of the fetch is not of the form that it has to have.",
        ))
    }
}

/// The digest of the pack, where it is to be kept and is there.
fn kept(
    conn: &mut PgConnection,
    locked: &Locked,
    told: &FetchIn,
    pack: Option<&StoredPack>,
    now: DateTime<Utc>,
) -> Result<Option<String>, AppError> {
    let Some(digest) = told.pack_digest.as_ref().filter(|_| told.keep) else {
        return Ok(None);
    };
    if let Some(pack) = pack {
        if pack.digest != *digest {
            return Err(AppError::bad_request(
                "The pack is not the one that the head names.",
            ));
        }
        packs::insert(conn, locked, pack, now)?;
    } else if !packs::receive_again(conn, locked, digest, now)? {
        // Dropped meanwhile. The host asks again, and sends it.
        return Err(AppError::internal(
            "the pack of a fetch was dropped meanwhile",
        ));
    }
    Ok(Some(digest.clone()))
}

fn name_of(actor: Option<&ActorChain>) -> String {
    actor.map_or_else(|| "anonymous".to_owned(), ActorChain::describe)
}

fn summary(told: &FetchIn) -> String {
    let what = match &told.session.view {
        None => "the repository".to_owned(),
        Some(view) => format!("the masked view {}", view.id),
    };
    let from = told.session.client_address.as_deref();
    let from = from.unwrap_or("an unknown address");
    let objects = match told.pack_objects {
        Some(objects) => format!("{objects} objects, "),
        None => String::new(),
    };
    let stopped = match told.ended {
        Ended::Complete => "",
        Ended::Aborted => "stopped: ",
    };
    let bytes = told.pack_bytes;
    format!("{stopped}fetched {what} from {from}: {objects}{bytes} bytes")
}

fn row(
    told: &FetchIn,
    host: &str,
    repository: &Repository,
    seq: i64,
    pack_digest: Option<String>,
    now: DateTime<Utc>,
) -> Result<Fetch, AppError> {
    let session = &told.session;
    let time = |micros| {
        DateTime::from_timestamp_micros(micros)
            .ok_or_else(|| AppError::bad_request("The fetch is of no time."))
    };
    let pusher = session.actor.as_ref().map(|chain| &chain.pusher);
    let behalf = session
        .actor
        .as_ref()
        .and_then(|chain| chain.on_behalf_of.first());
    let chain = session.actor.as_ref().map(serde_json::to_value);
    Ok(Fetch {
        id: told.id.0,
        repository_id: repository.id,
        seq,
        host: host.to_owned(),
        recorded_at: now,
        begun_at: time(told.begun_at)?,
        ended_at: told.ended_at.map(time).transpose()?,
        transport: session.transport.clone(),
        client_address: session.client_address.clone(),
        client_agent: session.client_agent.clone(),
        actor_chain: chain.transpose().map_err(AppError::internal)?,
        reader_issuer: pusher.map(|actor| actor.issuer.clone()),
        reader_subject: pusher.map(|actor| actor.subject.clone()),
        reader_kind: pusher.map(|actor| actor.kind.name().to_owned()),
        behalf_subject: behalf.map(|actor| actor.subject.clone()),
        token_sha256: session.token_sha256.clone(),
        policy_hash: session.policy.clone(),
        view_id: session.view.as_ref().map(|view| view.id.clone()),
        view_ruleset: session.view.as_ref().map(|view| view.ruleset.clone()),
        refs_count: session.refs.as_ref().map(|refs| signed(refs.count)),
        refs_digest: session.refs.as_ref().map(|refs| refs.digest.clone()),
        asked: serde_json::to_value(&told.asked).map_err(AppError::internal)?,
        ended: told.ended.name().to_owned(),
        pack_bytes: signed(told.pack_bytes),
        pack_objects: told.pack_objects.map(signed),
        pack_sha256: told.pack_digest.clone(),
        pack_digest,
        objects: told.objects.clone(),
        certainty: told.certainty.map(|certainty| certainty.name().to_owned()),
    })
}

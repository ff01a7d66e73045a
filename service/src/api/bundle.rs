//! Evidence bundles (`refwarden_merkle::bundle`): what the record says of one push or a period,
//! with proofs and packs, signed. Sealed packs go out sealed.

use std::io;

use actix_web::HttpResponse;
use actix_web::http::header::CONTENT_DISPOSITION;
use actix_web::web::{Bytes, Data, Query};
use chrono::{DateTime, Utc};
use futures_util::stream;
use refwarden_merkle::bundle::{Event, Manifest, Pack, Writer};
use refwarden_merkle::{Hash, inclusion_proof};
use serde::Deserialize;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::Caller;
use super::events::find_repository;
use crate::db::log::{Selection, Stored};
use crate::db::{events, log, packs, pushes};
use crate::error::AppError;
use crate::state::AppState;

/// Leaves that are looked up at once.
const PAGE: i64 = 500;
/// Bytes that are sent at once.
const CHUNK: usize = 256 << 10;

/// Of what to make a bundle: a push, or what happened in a period.
#[derive(Clone, Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub struct BundleQuery {
    /// The push; then nothing else.
    push: Option<Uuid>,
    /// What happened then or later.
    since: Option<DateTime<Utc>>,
    /// What happened earlier.
    before: Option<DateTime<Utc>>,
    /// In this repository only; its name or id.
    repository: Option<String>,
}

/// Streams a bundle. A stream that ends early is cut off without its last chunk.
#[utoipa::path(get, path = "/api/v1/bundle", params(BundleQuery),
    responses((status = 200, content_type = "application/x-tar"),
        (status = 409, body = refwarden_wire::Problem)))]
pub async fn bundle(
    caller: Caller,
    state: Data<AppState>,
    query: Query<BundleQuery>,
) -> Result<HttpResponse, AppError> {
    caller.auditor()?;
    let asked = query.into_inner();
    let is_period = asked.since.is_some() || asked.before.is_some();
    if asked.push.is_some() == is_period || asked.push.is_some() && asked.repository.is_some() {
        return Err(AppError::bad_request(
            "Name a push, or a period with since, before and perhaps a repository.",
        ));
    }
    let reader = caller.chain.describe();
    let what = format!("evidence bundle: {}", described(&asked));
    let request = Request {
        asked: described(&asked),
        reader: reader.clone(),
        now: Utc::now(),
    };
    let (selection, size, checkpoint) = state
        .db(move |conn| {
            let (size, _, checkpoint) = log::last_checkpoint(conn)?.ok_or_else(unattested)?;
            let size = u64::try_from(size).unwrap_or_default();
            let selection = match (asked.push, &asked.repository) {
                (Some(push), _) => {
                    pushes::find(conn, push)?.ok_or_else(AppError::not_found)?;
                    let events = events::count_of_push(conn, push)?;
                    if log::count_of_push(conn, push, size)? < events {
                        return Err(unattested());
                    }
                    Selection {
                        push: Some(push),
                        ..Selection::default()
                    }
                }
                (None, name) => Selection {
                    since: asked.since,
                    before: asked.before,
                    stream: match name {
                        Some(name) => Some(find_repository(conn, name)?.id),
                        None => None,
                    },
                    ..Selection::default()
                },
            };
            events::record_reading(conn, Utc::now(), &reader, &what)?;
            Ok((selection, size, checkpoint))
        })
        .await?;
    let (sender, receiver) = mpsc::channel(2);
    // Ends with its channel: when everything was sent, or when the client has gone.
    actix_web::rt::task::spawn_blocking(move || {
        if let Err(error) = send(&state, &selection, size, &checkpoint, request, &sender) {
            tracing::error!(cause = %error, "a bundle was cut off");
            let _ = sender.blocking_send(Err(error));
        }
    });
    let parts = stream::unfold(receiver, |mut receiver| async move {
        let part: Result<Bytes, AppError> = receiver.recv().await?;
        Some((part, receiver))
    });
    Ok(HttpResponse::Ok()
        .content_type("application/x-tar")
        .insert_header((CONTENT_DISPOSITION, "attachment; filename=\"evidence.tar\""))
        .streaming(parts))
}

struct Request {
    asked: String,
    reader: String,
    now: DateTime<Utc>,
}

fn unattested() -> AppError {
    AppError::conflict(
        "The log's checkpoint does not attest all of it yet; ask again in some seconds.",
    )
}

fn described(asked: &BundleQuery) -> String {
    let mut parts = Vec::new();
    parts.extend(asked.push.map(|push| format!("push {push}")));
    parts.extend(
        asked
            .repository
            .as_ref()
            .map(|it| format!("repository {it}")),
    );
    let shown = |at: DateTime<Utc>| at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    parts.extend(asked.since.map(|at| format!("since {}", shown(at))));
    parts.extend(asked.before.map(|at| format!("before {}", shown(at))));
    parts.join(" ")
}

/// Event by event, each page with a connection of its own, so that a slow reader holds none.
fn send(
    state: &AppState,
    selection: &Selection,
    size: u64,
    checkpoint: &str,
    request: Request,
    sender: &mpsc::Sender<Result<Bytes, AppError>>,
) -> Result<(), AppError> {
    let out = io::BufWriter::with_capacity(CHUNK, Sending(sender));
    let broken = |error: io::Error| AppError::internal(format!("bundle: {error}"));
    let mut writer = Writer::begin(out, checkpoint).map_err(broken)?;
    let mut next = 0;
    loop {
        let page = log::select(&mut *state.pool.get()?, selection, next, size, PAGE)?;
        let Some(last) = page.last() else {
            break;
        };
        next = last.index + 1;
        for selected in &page {
            let conn = &mut *state.pool.get()?;
            let found = log::entries(conn, selected.index, 1, false)?;
            let entry = found.first().ok_or_else(AppError::not_found)?;
            let proof = inclusion_proof(&mut Stored(conn), selected.index, size)?;
            let event = Event {
                index: selected.index,
                leaf: entry.entry.leaf(),
                proof: proof.unwrap_or_default().iter().map(Hash::base64).collect(),
            };
            let records = match &entry.entry.records {
                Some(_) => log::records_of(conn, selected.index)?,
                None => None,
            };
            writer.event(&event, records.as_deref()).map_err(broken)?;
        }
        for digest in log::packs_of(&mut *state.pool.get()?, &page)? {
            if !writer.has_pack(&digest) {
                add_pack(state, &mut writer, &digest)?;
            }
        }
    }
    let described = Manifest {
        v: 1,
        origin: state.ledger.public_key().name().to_owned(),
        made_at: request.now,
        made_for: request.reader,
        asked: request.asked,
        events: 0,
        files: Vec::new(),
        packs: Vec::new(),
    };
    let ended = state.ledger.end_bundle(writer, described);
    ended.map(drop).map_err(broken)
}

fn add_pack<W: io::Write>(
    state: &AppState,
    writer: &mut Writer<W>,
    digest: &str,
) -> Result<(), AppError> {
    let conn = &mut *state.pool.get()?;
    let broken = |error: io::Error| AppError::internal(format!("pack {digest}: {error}"));
    let mut described = Pack {
        digest: digest.to_owned(),
        bytes: 0,
        file: None,
        recipients: Vec::new(),
        dropped_at: None,
    };
    let Some(pack) = packs::find(conn, digest)? else {
        described.dropped_at = packs::dropped(conn, digest)?.map(|(at, _)| at);
        return writer.pack(described, None).map_err(broken);
    };
    described.bytes = u64::try_from(pack.bytes).unwrap_or_default();
    described.recipients = pack.recipients;
    let mut file = state.packs.read(&pack.location).map_err(broken)?;
    let length = u64::try_from(pack.stored_bytes).unwrap_or_default();
    let file: &mut dyn io::Read = &mut file;
    writer.pack(described, Some((length, file))).map_err(broken)
}

/// The client, as somewhere to write to.
struct Sending<'a>(&'a mpsc::Sender<Result<Bytes, AppError>>);

impl io::Write for Sending<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let part = Bytes::copy_from_slice(bytes);
        match self.0.blocking_send(Ok(part)) {
            Ok(()) => Ok(bytes.len()),
            Err(_) => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

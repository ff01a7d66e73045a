//! The ledger's events as they happen: server-sent events (WHATWG HTML, "Server-sent events"), in the
//! order of the tamper-evident log.
//!
//! An event's id is the number of its leaf, so that a client that comes again with `Last-Event-ID`
//! misses nothing and gets nothing twice. An event comes once it is in the log, half a second after it
//! happened. The stream ends when the token does or is revoked, when the service stops, and when the
//! client reads nothing for half a minute; clients come again by themselves. How many may be open says
//! [`room`].

pub mod room;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use actix_web::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use actix_web::web::{Bytes, Data, Query};
use actix_web::{HttpRequest, HttpResponse};
use chrono::Utc;
use diesel::PgConnection;
use futures_util::stream;
use refwarden_wire::api::EventOut;
use serde::Deserialize;
use tokio::sync::mpsc;

use self::room::Place;
use super::Caller;
use crate::db::events::{Event, Filter};
use crate::db::{events, log, repositories};
use crate::error::AppError;
use crate::identity::VerifiedToken;
use crate::state::AppState;
use crate::tokens::is_revoked;

/// Time between two looks at the log.
const LOOK: Duration = Duration::from_millis(500);
/// Time after which something is sent: so that whoever is between keeps the connection, and since a
/// client that has gone is noticed only by that.
const ALIVE: Duration = Duration::from_secs(5);
/// How long a client may read nothing.
const PATIENCE: Duration = Duration::from_secs(30);
/// Leaves that are looked at together.
const PAGE: i64 = 1000;

/// What to stream.
#[derive(Clone, Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub struct StreamQuery {
    /// What to look for, in the grammar of docs/auditing.md; everything if not given.
    #[serde(default)]
    q: String,
    /// Events after the one with this id; those that happen from now on if not given. The header
    /// `Last-Event-ID` goes before it.
    after: Option<u64>,
}

/// Streams events as they happen.
#[utoipa::path(get, path = "/api/v1/events/stream", params(StreamQuery),
    responses((status = 200, body = String, content_type = "text/event-stream"),
        (status = 400, body = refwarden_wire::Problem),
        (status = 403, body = refwarden_wire::Problem),
        (status = 410, body = refwarden_wire::Problem),
        (status = 429, body = refwarden_wire::Problem)))]
pub async fn events(
    caller: Caller,
    state: Data<AppState>,
    request: HttpRequest,
    query: Query<StreamQuery>,
) -> Result<HttpResponse, AppError> {
    caller.auditor()?;
    let asked = query.into_inner();
    let filter = Filter {
        query: super::events::parse(&asked.q)?,
        limit: PAGE,
        ..Filter::default()
    };
    let after = match request.headers().get("last-event-id") {
        None => asked.after,
        Some(id) => Some(number(id.as_bytes())?),
    };
    let place = state.streams.enter(caller.actor())?;
    let reader = caller.chain.describe();
    let what = format!("stream {asked:?}, after {after:?}");
    let size = state
        .db(move |conn| {
            events::record_reading(conn, Utc::now(), &reader, &what)?;
            Ok(log::size(conn)?)
        })
        .await?;
    let next = match after {
        None => size,
        Some(after) if after < size => after + 1,
        Some(after) => {
            return Err(AppError::gone(format!(
                "There is no event {after}: the log has {size}. Come again without its id."
            )));
        }
    };
    let (sender, receiver) = mpsc::channel(1);
    let following = Following {
        state,
        filter,
        token: caller.token,
        next,
        sender,
        _place: place,
    };
    actix_web::rt::spawn(following.run());
    let chunks = stream::unfold(receiver, |mut receiver| async move {
        let chunk: Bytes = receiver.recv().await?;
        Some((Ok::<_, AppError>(chunk), receiver))
    });
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/event-stream"))
        .insert_header((CONTENT_ENCODING, "identity"))
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(chunks))
}

fn number(id: &[u8]) -> Result<u64, AppError> {
    let text = std::str::from_utf8(id).ok();
    text.and_then(|text| text.parse().ok()).ok_or_else(|| {
        AppError::bad_request("Last-Event-ID: expected the id of an event of this stream.")
    })
}

/// What a look at the log finds.
struct Looked {
    found: Vec<(u64, EventOut)>,
    /// The leaf behind those that were looked at.
    next: u64,
    is_more: bool,
    is_revoked: bool,
}

/// One client's stream.
struct Following {
    state: Data<AppState>,
    filter: Filter,
    token: VerifiedToken,
    /// The leaf to look at next.
    next: u64,
    sender: mpsc::Sender<Bytes>,
    _place: Place,
}

impl Following {
    async fn run(mut self) {
        let mut stopping = self.state.stopping.clone();
        let follow = async {
            if let Err(error) = self.follow().await {
                tracing::warn!(cause = %error, "a stream of events ended");
            }
        };
        tokio::select! {
            () = follow => {}
            _ = stopping.wait_for(|is_stopping| *is_stopping) => {}
        }
    }

    async fn follow(&mut self) -> Result<(), AppError> {
        let mut text = String::from("retry: 3000\n");
        self.mark(&mut text);
        let mut last = Instant::now();
        loop {
            let is_silent = text.is_empty() && last.elapsed() >= ALIVE;
            let looked = self.look(is_silent).await?;
            if self.token.expires_at <= Utc::now() || looked.is_revoked {
                return Ok(());
            }
            for (leaf, event) in looked.found {
                let json = serde_json::to_string(&event).map_err(AppError::internal)?;
                // JSON has no line ends outside of its texts, and none but escaped ones in them.
                let _ = write!(text, "id: {leaf}\ndata: {json}\n\n");
            }
            self.next = looked.next;
            if text.is_empty() && is_silent {
                self.mark(&mut text);
            }
            if !text.is_empty() {
                let chunk = Bytes::from(std::mem::take(&mut text));
                let sent = tokio::time::timeout(PATIENCE, self.sender.send(chunk)).await;
                if !matches!(sent, Ok(Ok(()))) {
                    return Ok(());
                }
                last = Instant::now();
            }
            if !looked.is_more {
                tokio::select! {
                    () = tokio::time::sleep(LOOK) => {}
                    () = self.sender.closed() => return Ok(()),
                }
            }
        }
    }

    /// What has come into the log. Whoever may not have it any more, or is about to be told that the
    /// stream goes on, is looked up behind it: nothing that came after a revocation goes out.
    async fn look(&self, is_silent: bool) -> Result<Looked, AppError> {
        let (next, filter, token) = (self.next, self.filter.clone(), self.token.clone());
        let read = move |conn: &mut PgConnection| {
            let leaves = log::events_from(conn, next, PAGE)?;
            let found = events::among(conn, &filter, &leaves)?;
            let has_found = !found.is_empty();
            let names = if has_found {
                repositories::list(conn)?
            } else {
                Vec::new()
            };
            let name_of = |id| names.iter().find(|known| known.id == id);
            let out = |(leaf, event): (u64, Event)| {
                let name = name_of(event.repository_id).map(|known| known.name.clone());
                (leaf, super::event_out(event, name.unwrap_or_default()))
            };
            Ok(Looked {
                found: found.into_iter().map(out).collect(),
                next: leaves.last().map_or(next, |last| last.index + 1),
                is_more: i64::try_from(leaves.len()) == Ok(PAGE),
                is_revoked: (has_found || is_silent) && is_revoked(conn, &token)?,
            })
        };
        self.state.db(read).await
    }

    /// Writes where to go on: an id without data, which is no event.
    fn mark(&self, text: &mut String) {
        match self.next.checked_sub(1) {
            Some(seen) => {
                let _ = write!(text, "id: {seen}\n\n");
            }
            None => text.push_str(":\n\n"),
        }
    }
}

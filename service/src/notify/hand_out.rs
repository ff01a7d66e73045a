//! From the outbox to channels: what is told, by which channels, and by mail to whom.

use std::collections::BTreeSet;

use chrono::{DateTime, Duration, Utc};
use diesel::{Connection as _, PgConnection};
use refwarden_config::{Person, Told};
use refwarden_model::{Actor, ActorChain, ActorKind};
use refwarden_policy::is_listed;
use uuid::Uuid;

use super::channels::Way;
use super::email::{self, Mailer};
use super::notice::Notice;
use crate::approval::{self, Bound};
use crate::db::outbox::Fresh;
use crate::db::requests::{self, Request};
use crate::db::{comments, events, outbox, people};
use crate::error::AppError;
use crate::state::AppState;

/// Days after a sign-in during which somebody's groups and address are believed.
const KNOWN_DAYS: i64 = 90;
/// The most people that one request is mailed to.
const MAX_RECIPIENTS: usize = 200;

/// What became of the oldest thing that was not handed out yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There was none.
    Nothing,
    /// It is handed out.
    HandedOut,
    /// The database failed on it: for a while, it should stand in nothing else's way.
    Stuck(Uuid),
}

/// Hands out the oldest thing that was not yet, leaving out `stuck`.
///
/// # Errors
/// [`AppError`] from the database.
pub fn one(
    conn: &mut PgConnection,
    state: &AppState,
    stuck: &[Uuid],
    now: DateTime<Utc>,
) -> Result<Outcome, AppError> {
    conn.transaction(|conn| {
        let Some(fresh) = outbox::fresh(conn, stuck)? else {
            return Ok(Outcome::Nothing);
        };
        match to_channels(conn, state, &fresh, now) {
            Ok(()) => Ok(Outcome::HandedOut),
            Err(AppError::Database(cause)) => {
                tracing::warn!(outbox = %fresh.id, %cause, "cannot be told of yet");
                Ok(Outcome::Stuck(fresh.id))
            }
            Err(cause) => {
                tracing::error!(outbox = %fresh.id, %cause, "cannot be told of");
                outbox::hand_out(conn, fresh.id, &serde_json::Value::Null, &[], now)?;
                Ok(Outcome::HandedOut)
            }
        }
    })
}

/// In a transaction within the caller's, which outlives its failure.
fn to_channels(
    conn: &mut PgConnection,
    state: &AppState,
    fresh: &Fresh,
    now: DateTime<Utc>,
) -> Result<(), AppError> {
    conn.transaction(|conn| {
        let Some(event) = events::find(conn, fresh.repository_id, fresh.seq)? else {
            return Err(AppError::internal("the outbox tells of no event"));
        };
        let request = match &fresh.request_id {
            Some(id) => requests::find(conn, id)?,
            None => None,
        };
        let repository = match &request {
            Some(request) => approval::repository_name(conn, request)?,
            None => String::new(),
        };
        let public_url = &state.config.service.public_url;
        let notice = Notice::of(conn, fresh, event, request.as_ref(), repository, public_url)?;
        let mut to = Vec::new();
        for channel in state.notify.iter() {
            let Some(told) = notice.told().filter(|told| channel.events.contains(told)) else {
                continue;
            };
            match (&channel.way, &request) {
                (Way::Email(mailer), Some(request)) => {
                    let addresses = recipients(conn, state, mailer, told, request, now)?;
                    to.extend(addresses.into_iter().map(|it| (channel.name.clone(), it)));
                }
                (Way::Email(_), None) => {}
                _ => to.push((channel.name.clone(), String::new())),
            }
        }
        let value = serde_json::to_value(&notice).map_err(AppError::internal)?;
        Ok(outbox::hand_out(conn, fresh.id, &value, &to, now)?)
    })
}

/// Whom mail goes to: who can decide is asked; how it ended is told to the people of the chain.
fn recipients(
    conn: &mut PgConnection,
    state: &AppState,
    mailer: &Mailer,
    told: Told,
    request: &Request,
    now: DateTime<Utc>,
) -> Result<Vec<String>, AppError> {
    let bound = Bound::of(request)?;
    let (mut addresses, mut seen) = (Vec::new(), BTreeSet::new());
    if told == Told::Commented {
        commenters(conn, request, &mut addresses, &mut seen)?;
    }
    if told != Told::Created {
        let people = bound
            .chain
            .everyone()
            .filter(|it| it.kind == ActorKind::Human);
        for address in people.filter_map(|it| it.email.as_ref()) {
            email::add(&mut addresses, &mut seen, address);
        }
        let asks = told == Told::BreakGlass
            || (told == Told::Commented && request.state == requests::state::WAITING);
        if !asks {
            return Ok(addresses);
        }
    }
    let issuer = state.config.sign_in.as_ref().map(|it| it.issuer.as_str());
    let configured = mailer
        .people
        .iter()
        .map(|it| actor(it, issuer.unwrap_or_default()));
    let mut known: Vec<Actor> = configured.collect();
    known.extend(people::since(conn, now - Duration::days(KNOWN_DAYS))?);
    let listed = |person: &Actor| {
        let named = |it: &refwarden_policy::Requirement| is_listed(&it.approvers, person);
        bound.requirements.iter().any(named)
    };
    for person in known.iter().filter(|it| listed(it)) {
        let Some(address) = &person.email else {
            continue;
        };
        if addresses.len() < MAX_RECIPIENTS && approval::may_decide(conn, request, person)?.is_ok()
        {
            email::add(&mut addresses, &mut seen, address);
        }
    }
    if told == Told::BreakGlass {
        // Loud: administrators and auditors hear of it too.
        let access = &state.config.access;
        let entries: Vec<String> = access
            .admins
            .iter()
            .chain(&access.auditors)
            .cloned()
            .collect();
        for person in known.iter().filter(|it| is_listed(&entries, it)) {
            if let Some(address) = &person.email {
                email::add(&mut addresses, &mut seen, address);
            }
        }
    }
    if addresses.is_empty() {
        tracing::warn!(
            request = request.id,
            "nobody whose address is known may decide: no mail is sent"
        );
    }
    Ok(addresses)
}

/// Who has said something, but whoever spoke last: they know what they said.
fn commenters(
    conn: &mut PgConnection,
    request: &Request,
    addresses: &mut Vec<String>,
    seen: &mut BTreeSet<String>,
) -> Result<(), AppError> {
    let said = comments::of(conn, &request.id)?;
    let by = |it: &comments::Comment| serde_json::from_value::<ActorChain>(it.author.clone()).ok();
    let last = said.last().and_then(by).and_then(|it| it.pusher.email);
    seen.extend(last.map(|it| it.to_ascii_lowercase()));
    for person in said.iter().filter_map(by).map(|chain| chain.pusher) {
        if let Some(address) = person.email.filter(|_| person.kind == ActorKind::Human) {
            email::add(addresses, seen, &address);
        }
    }
    Ok(())
}

fn actor(person: &Person, issuer: &str) -> Actor {
    Actor {
        issuer: issuer.to_owned(),
        subject: person.user.clone(),
        kind: ActorKind::Human,
        name: None,
        email: Some(person.address.clone()),
        groups: person.groups.clone(),
        claims: std::collections::BTreeMap::new(),
    }
}

//! What is told of an event: the same for all channels and attempts. The body of a signed
//! webhook is this, as JSON.

use chrono::{DateTime, Utc};
use diesel::PgConnection;
use refwarden_config::Told;
use refwarden_model::{Actor, ByteText};
use refwarden_policy::Requirement;
use serde::{Deserialize, Serialize};

use crate::approval::{self, Bound};
use crate::db::events::Event;
use crate::db::outbox::Fresh;
use crate::db::requests::Request;
use crate::error::AppError;

/// What is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// For example `request.created`.
    #[serde(rename = "type")]
    pub kind: String,
    /// When it happened.
    pub timestamp: DateTime<Utc>,
    /// What happened.
    pub data: Data,
}

/// What happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Data {
    /// Where people look at it.
    pub url: String,
    /// One sentence.
    pub summary: String,
    /// The repository's name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub repository: String,
    /// Who did what is told: `grace`, or `agent for ada`; `refwarden` for what time brings about.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub by: String,
    /// The ref that would move: text, or `{"base64": ...}` where it is none.
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub ref_name: Option<ByteText>,
    /// Its value before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<String>,
    /// Its value after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<String>,
    /// The request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<About>,
}

/// The request that a notice is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Its code.
    pub id: String,
    /// Its state right after the event.
    pub state: String,
    /// `create`, `fast-forward`, `non-fast-forward` or `delete`.
    pub update: String,
    /// Commits that the ref would gain.
    pub gained: i64,
    /// Commits that it would lose.
    pub lost: i64,
    /// The pusher, then those it acts for.
    pub chain: Vec<Who>,
    /// What the policy asks of people.
    pub requirements: Vec<Requirement>,
    /// When the request expires.
    pub expires_at: DateTime<Utc>,
}

/// Somebody, without their address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// The issuer that names them.
    pub issuer: String,
    /// Their name there.
    pub subject: String,
    /// `human`, `agent` or `ci`.
    pub kind: String,
}

impl Who {
    fn of(actor: &Actor) -> Self {
        Self {
            issuer: actor.issuer.clone(),
            subject: actor.subject.clone(),
            kind: actor.kind.name().to_owned(),
        }
    }
}

impl Notice {
    /// What to tell of an event. Links begin with `public_url`.
    ///
    /// # Errors
    /// [`AppError`] from the database or its JSON.
    pub fn of(
        conn: &mut PgConnection,
        fresh: &Fresh,
        event: Event,
        request: Option<&Request>,
        repository: String,
        public_url: &str,
    ) -> Result<Self, AppError> {
        let about = request
            .map(|request| about(conn, fresh, request))
            .transpose()?;
        let url = match &about {
            Some(about) => format!("{public_url}/r/{}", about.id),
            None => public_url.to_owned(),
        };
        Ok(Self {
            kind: fresh.kind.clone(),
            timestamp: fresh.recorded_at,
            data: Data {
                url,
                summary: event.summary,
                repository,
                by: event.actor,
                ref_name: event.ref_name.map(ByteText::new),
                old: event.old_oid,
                new: event.new_oid,
                request: about,
            },
        })
    }

    /// A message that tells only that messages arrive.
    pub fn test(by: &str, public_url: &str, now: DateTime<Utc>) -> Self {
        Self {
            kind: "notification.test".to_owned(),
            timestamp: now,
            data: Data {
                url: public_url.to_owned(),
                summary: "a test of this channel; nothing has happened".to_owned(),
                by: by.to_owned(),
                ..Data::default()
            },
        }
    }

    /// What it tells; none for a test.
    pub fn told(&self) -> Option<Told> {
        Told::from_name(&self.kind)
    }
}

fn about(conn: &mut PgConnection, fresh: &Fresh, request: &Request) -> Result<About, AppError> {
    let bound = Bound::of(request)?;
    let update = approval::update_of(conn, request)?;
    let update = update.as_ref();
    let state = fresh.request_state.as_ref().unwrap_or(&request.state);
    Ok(About {
        id: request.id.clone(),
        state: state.clone(),
        update: request.kind.clone(),
        gained: update.map_or(0, |update| update.gained),
        lost: update.map_or(0, |update| update.lost),
        chain: bound.chain.everyone().map(Who::of).collect(),
        requirements: bound.requirements,
        expires_at: request.expires_at,
    })
}

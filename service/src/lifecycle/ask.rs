//! What one ref update asks of people: the request that was made for it earlier, or a new one.

use chrono::{DateTime, Duration, Utc};
use diesel::PgConnection;
use refwarden_model::facts::{RefFacts, SecretMove};
use refwarden_model::{ActorChain, Code, RequestId};
use refwarden_policy::{Bind, Requirement, grantable};
use refwarden_wire::hook::{Reason, RequestRef};
use uuid::Uuid;

use super::receive::{Received, json};
use super::{emergency, mark_overtaken, reason, series};
use crate::approval::lasting::is_same_chain;
use crate::approval::{self, grants};
use crate::db::events::{self, NewEvent};
use crate::db::records;
use crate::db::repositories::{self, Repository};
use crate::db::requests::{self, Request, state};
use crate::error::AppError;

/// The request that releases an update, or would.
pub struct Asked {
    /// The request.
    pub request: Request,
    /// Whether it is new with this push.
    pub is_fresh: bool,
    /// Whether it releases the update.
    pub released: bool,
    /// What else to record, once the push is.
    pub event: Option<NewEvent>,
}

/// Says by whom an update has to be approved.
pub fn needs_approval(
    update: &RefFacts,
    requirements: &[Requirement],
    request: Option<RequestRef>,
) -> Reason {
    let names = |entries: &[String]| {
        let name = |entry: &String| {
            entry
                .split_once(':')
                .map_or_else(|| entry.clone(), |(_, name)| name.to_owned())
        };
        entries.iter().map(name).collect::<Vec<_>>().join(", ")
    };
    let needed: Vec<String> = requirements
        .iter()
        .map(|needed| format!("{} of {}", needed.quorum, names(&needed.approvers)))
        .collect();
    let text = format!(
        "{} needs approval by {}",
        update.ref_name,
        needed.join(" and ")
    );
    Reason {
        ref_name: Some(update.ref_name.clone()),
        request,
        ..reason(Code::NeedsApproval, text)
    }
}

/// Where a request is found.
pub fn link(base: &str, request: &Request, now: DateTime<Utc>) -> Option<RequestRef> {
    let id = RequestId::try_from(request.id.clone()).ok()?;
    Some(RequestRef {
        url: format!("{base}/r/{id}"),
        poll: format!("{base}/api/v1/requests/{id}?wait=30"),
        expires_in: u64::try_from((request.expires_at - now).num_seconds()).unwrap_or(0),
        id,
    })
}

/// One ref update that people have to approve.
pub struct Asking<'a> {
    pub received: &'a Received<'a>,
    pub repository: &'a Repository,
    pub chain: &'a ActorChain,
    /// The push.
    pub id: Uuid,
    pub update: &'a RefFacts,
    pub requirements: Vec<Requirement>,
    /// Whether the pusher breaks the glass, and may.
    pub is_emergency: bool,
}

impl Asking<'_> {
    /// The request for this move.
    pub fn find_or_make(
        &self,
        conn: &mut PgConnection,
        now: DateTime<Utc>,
    ) -> Result<Asked, AppError> {
        repositories::lock(conn, self.repository.id)?;
        let target = self.update.target.as_bytes();
        let old = self.update.actual_old.to_string();
        mark_overtaken(conn, self.repository.id, target, &old, now)?;
        let new = self.update.new.to_string();
        if let Some(grant) = self.open_window(conn, now)? {
            let event = Some(self.within(&grant));
            let earlier = Asked::earlier(grant, true);
            return Ok(Asked { event, ..earlier });
        }
        let bound = requests::bound_to(conn, self.repository.id, target, &old, &new)?;
        if let Some(request) = self.that_stands(conn, bound, now)? {
            let released = request.state == state::APPROVED;
            if released || !self.is_emergency {
                return Ok(Asked::earlier(request, released));
            }
        }
        let series = self.series();
        if let Some(series) = &series {
            let kept = requests::kept_for(conn, self.repository.id, target, series)?;
            if let Some(request) = self.that_stands(conn, kept, now)? {
                let event = Some(self.kept(&request));
                let earlier = Asked::earlier(request, true);
                return Ok(Asked { event, ..earlier });
            }
        }
        let request = self.make(conn, series, now)?;
        Ok(Asked {
            is_fresh: true,
            released: self.is_emergency,
            event: self
                .is_emergency
                .then(|| emergency::event(&request, self.chain, &self.received.push.facts)),
            request,
        })
    }

    /// The first of these requests that is this chain's and still says what the policy asks. Open
    /// ones that say something else become stale.
    fn that_stands(
        &self,
        conn: &mut PgConnection,
        found: Vec<Request>,
        now: DateTime<Utc>,
    ) -> Result<Option<Request>, AppError> {
        for request in found {
            let open = request.state == state::WAITING || request.state == state::APPROVED;
            if !self.is_same_chain(&request) || request.expires_at <= now {
                continue;
            }
            if request.state == state::REJECTED
                || (open && request.requirements == json(&self.requirements)?)
            {
                return Ok(Some(request));
            }
            if open {
                // The policy asks for something else than people were shown.
                requests::set_state(conn, &request.id, state::STALE, now)?;
                let event = NewEvent {
                    kind: "request.stale",
                    actor: "refwarden".to_owned(),
                    request_id: Some(request.id.clone()),
                    ref_name: Some(request.ref_name),
                    old_oid: Some(request.old_oid),
                    new_oid: Some(request.new_oid),
                    summary: format!(
                        "request {} is stale: the policy asks for something else",
                        request.id
                    ),
                    ..NewEvent::default()
                };
                events::append(conn, self.repository.id, now, vec![event])?;
            }
        }
        Ok(None)
    }

    /// What an approval may be kept for; none where a rule that asks binds it to the oids.
    fn series(&self) -> Option<String> {
        let by_patch = |needed: &Requirement| needed.bind == Bind::Patch;
        let all = self.requirements.iter().all(by_patch);
        all.then(|| series::of(&self.received.push.facts, self.update))
            .flatten()
    }

    /// The window of time that stands for all that is asked, if one is open.
    fn open_window(
        &self,
        conn: &mut PgConnection,
        now: DateTime<Utc>,
    ) -> Result<Option<Request>, AppError> {
        let (policy, target) = (self.received.policy, &self.update.target);
        let rules = grantable(policy, &self.repository.name, self.chain, target);
        if rules.is_empty() {
            return Ok(None);
        }
        let (repository, target) = (self.repository.id, target.as_bytes());
        let asked = &self.requirements;
        grants::covering(conn, repository, target, self.chain, asked, &rules, now)
    }

    fn within(&self, grant: &Request) -> NewEvent {
        NewEvent {
            kind: "grant.used",
            actor: self.chain.describe(),
            push_id: Some(self.id),
            request_id: Some(grant.id.clone()),
            ref_name: Some(grant.ref_name.clone()),
            old_oid: Some(self.update.actual_old.to_string()),
            new_oid: Some(self.update.new.to_string()),
            summary: format!("released within the window of grant {}", grant.id),
            ..NewEvent::default()
        }
    }

    fn kept(&self, request: &Request) -> NewEvent {
        NewEvent {
            kind: "request.kept",
            actor: self.chain.describe(),
            push_id: Some(self.id),
            request_id: Some(request.id.clone()),
            ref_name: Some(request.ref_name.clone()),
            old_oid: Some(self.update.actual_old.to_string()),
            new_oid: Some(self.update.new.to_string()),
            summary: format!(
                "request {} is kept: the same patches, rebased from {} to {}",
                request.id, request.old_oid, self.update.actual_old
            ),
            ..NewEvent::default()
        }
    }

    fn is_same_chain(&self, request: &Request) -> bool {
        let chain: Option<ActorChain> = serde_json::from_value(request.actor_chain.clone()).ok();
        chain.is_some_and(|chain| is_same_chain(&chain, self.chain))
    }

    fn make(
        &self,
        conn: &mut PgConnection,
        patch_series: Option<String>,
        now: DateTime<Utc>,
    ) -> Result<Request, AppError> {
        let longest = Duration::days(i64::from(self.received.request_days));
        // The shortest time that a rule gives counts.
        let asked = self.requirements.iter().filter_map(|needed| needed.expires);
        let asked = asked.min().and_then(|seconds| i64::try_from(seconds).ok());
        let open_for = asked.and_then(Duration::try_seconds).unwrap_or(longest);
        let mut request = Request {
            id: requests::new_id(conn)?,
            repository_id: self.repository.id,
            ref_name: self.update.target.as_bytes().to_vec(),
            ref_name_text: records::text(self.update.target.as_bytes()),
            old_oid: self.update.actual_old.to_string(),
            new_oid: self.update.new.to_string(),
            kind: self.update.kind.name().to_owned(),
            push_id: Some(self.id),
            actor_chain: json(self.chain)?,
            policy_hash: self.received.policy.hash().to_owned(),
            requirements: json(&self.requirements)?,
            digest: String::new(),
            state: if self.is_emergency {
                state::REVIEW.to_owned()
            } else {
                state::WAITING.to_owned()
            },
            created_at: now,
            expires_at: now + open_for,
            closed_at: None,
            consumed_by: self.is_emergency.then_some(self.id),
            patch_series,
        };
        // What would move is shown with the request, and decided on.
        let moves = self.received.push.facts.secret_moves.iter();
        let moves: Vec<String> = moves.map(SecretMove::in_full).collect();
        let moves: Vec<&str> = moves.iter().map(String::as_str).collect();
        request.digest = approval::digest(&request, &moves);
        Ok(request)
    }

    /// What the pusher is told of a request that does not release the move.
    pub fn reason(&self, request: &Request, now: DateTime<Utc>) -> Reason {
        let found = link(self.received.public_url, request, now);
        if request.state == state::REJECTED {
            let text = format!("{} was rejected by an approver", self.update.ref_name);
            let ref_name = Some(self.update.ref_name.clone());
            return Reason {
                ref_name,
                request: found,
                ..reason(Code::Rejected, text)
            };
        }
        needs_approval(self.update, &self.requirements, found)
    }
}

impl Asked {
    fn earlier(request: Request, released: bool) -> Self {
        Self {
            request,
            is_fresh: false,
            released,
            event: None,
        }
    }
}

//! A push arrives: it is judged and recorded, before the verdict is shown to anybody.

use chrono::{DateTime, Duration, Utc};
use diesel::{Connection as _, PgConnection};
use refwarden_model::facts::{Allowed, RefFacts};
use refwarden_model::{ActorChain, Code, PushId};
use refwarden_policy::{
    Denial, Effect, Policy, RecentPushes, RefOutcome, RefVerdict, Rule, Spoken, Verdict, acquittal,
    describe_finding, evaluate,
};
use refwarden_wire::hook::{DRY_RUN, Outcome, PushIn, PushOut, Reason};
use uuid::Uuid;

use super::ask::{Asking, needs_approval};
use super::{emergency, findings_url, push_page, reason};
use crate::approval::exceptions::{self, may_be_asked_for};
use crate::db;
use crate::db::events::{self, NewEvent};
use crate::db::exceptions::{Use, insert_uses};
use crate::db::pushes::{self, Push, RefUpdate, push_state, signed, update_state};
use crate::db::repositories::{self, Repository};
use crate::db::requests::{self, Request};
use crate::db::{masked_pushes, push_facts, records};
use crate::error::AppError;
use crate::identity::{TokenError, VerifiedToken};
use crate::packs::StoredPack;
use crate::tokens;

/// Findings that are looked up for a request that waits.
const LINKED_MAX: usize = 20;

/// A push as it came in, with what was found out about it on the way.
pub struct Received<'a> {
    /// The Git host that sent it.
    pub host: &'a str,
    /// What the hook says.
    pub push: PushIn,
    /// The pusher's token.
    pub token: Result<VerifiedToken, TokenError>,
    /// Hash of a token that was sent, good or not.
    pub token_sha256: Option<String>,
    /// The pack, stored.
    pub pack: Option<StoredPack>,
    /// The client's own pack, stored, where the push came through a masked view.
    pub masked_pack: Option<StoredPack>,
    /// The policy in force.
    pub policy: &'a Policy,
    /// How links begin.
    pub public_url: &'a str,
    /// Days that a request stays open.
    pub request_days: u32,
}

/// Judges and records a push, in one transaction.
///
/// # Errors
/// [`AppError::NotFound`] for a repository that is not known, [`AppError::Forbidden`] when it
/// belongs to another host, [`AppError::Conflict`] when this run of receive-pack has a push
/// already, [`AppError::OtherRules`] when it was not scanned with the rules of the policy in
/// force, and what the database says.
pub fn receive(
    conn: &mut PgConnection,
    received: &mut Received<'_>,
    now: DateTime<Utc>,
) -> Result<PushOut, AppError> {
    conn.transaction(|conn| receive_in_transaction(conn, received, now))
}

fn receive_in_transaction(
    conn: &mut PgConnection,
    received: &mut Received<'_>,
    now: DateTime<Utc>,
) -> Result<PushOut, AppError> {
    let repository =
        repositories::find(conn, received.push.repository.0)?.ok_or_else(AppError::not_found)?;
    if repository.host != received.host {
        return Err(AppError::forbidden(
            "This host may not speak for that repository.",
        ));
    }
    if received.policy.scanning.digest != received.push.facts.policy_rules {
        return Err(AppError::OtherRules);
    }
    let id = match received.push.push_id {
        // The id comes from the environment, which a local pusher chooses: a taken one is not
        // an error, the push just gets another.
        Some(id) if pushes::find(conn, id.0)?.is_none() => id.0,
        _ => Uuid::now_v7(),
    };
    let pushing = match &received.token {
        Ok(token) => {
            let recent = recent(conn, received.policy, &token.actor_chain, now)?;
            let (chain, facts) = (&token.actor_chain, &mut received.push.facts);
            let uses =
                exceptions::apply(conn, received.policy, &repository, id, chain, facts, now)?;
            Pushing { recent, uses }
        }
        Err(_) => Pushing::default(),
    };
    let mut judged = judge(conn, received, &repository, id, &pushing, now)?;
    let mut events = std::mem::take(&mut judged.events);
    let passes = judged.outcome != Outcome::Denied;
    if passes && let Some(chain) = &judged.chain {
        let facts = &received.push.facts;
        events.extend(exceptions::used(&pushing.uses, facts, chain));
        events.extend(acquitted(received, &repository, id, chain));
    }
    record(conn, received, id, &judged, events, now)?;
    if passes {
        insert_uses(conn, &pushing.uses)?;
    }
    if judged.outcome == Outcome::Released {
        // Nobody is told of it before `prepared`, which waits for both to be durable.
        db::commit_lazily(conn)?;
    }
    let may_ask = judged.asks_for_exceptions(received, &repository);
    let base = received.public_url;
    Ok(PushOut {
        findings: may_ask.then(|| findings_url(base, id)),
        push_id: PushId(id),
        outcome: judged.outcome,
        reasons: judged.reasons,
        url: push_page(base, id),
    })
}

/// What is known of the pusher before the push is judged.
#[derive(Default)]
struct Pushing {
    recent: Option<RecentPushes>,
    uses: Vec<Use>,
}

struct Judged {
    chain: Option<ActorChain>,
    token: Option<(String, String)>,
    verdict: Verdict,
    outcome: Outcome,
    reasons: Vec<Reason>,
    /// For each ref update, the request that releases it or would.
    requests: Vec<Option<String>>,
    /// Requests that are new with this push; inserted after it.
    new_requests: Vec<Request>,
    /// What else to record of the push.
    events: Vec<NewEvent>,
}

fn judge(
    conn: &mut PgConnection,
    received: &Received<'_>,
    repository: &Repository,
    id: Uuid,
    pushing: &Pushing,
    now: DateTime<Utc>,
) -> Result<Judged, AppError> {
    let updates = &received.push.facts.updates;
    let mut judged = Judged {
        chain: None,
        token: None,
        verdict: Verdict {
            updates: Vec::new(),
            denials: Vec::new(),
        },
        outcome: Outcome::Denied,
        reasons: Vec::new(),
        requests: vec![None; updates.len()],
        new_requests: Vec::new(),
        events: Vec::new(),
    };
    let token = match &received.token {
        Ok(token) => token,
        Err(error) => {
            judged.refuse(error.code(), error.to_string());
            return Ok(judged);
        }
    };
    let chain = &token.actor_chain;
    judged.chain = Some(chain.clone());
    judged.token = Some((token.issuer.clone(), token.token_id.clone()));
    let push = refwarden_policy::Push {
        repository: &repository.name,
        chain,
        facts: &received.push.facts,
        now,
        recent: pushing.recent,
    };
    judged.verdict = evaluate(received.policy, &push);
    judged
        .reasons
        .extend(judged.verdict.denials.iter().map(denial_reason));
    if tokens::is_revoked(conn, token)? {
        judged.refuse(Code::RevokedToken, TokenError::Revoked.to_string());
    }
    for denial in token.scopes.denials(&repository.name, &received.push.facts) {
        judged.refuse(denial.code, denial.text);
    }
    if pushes::token_user(conn, &token.issuer, &token.token_id)?.is_some() {
        judged.refuse(
            Code::UsedToken,
            "the token has released a push already; get a new one",
        );
    }
    for (update, verdict) in updates.iter().zip(&judged.verdict.updates) {
        if let RefOutcome::Deny { denials } = &verdict.outcome {
            judged.reasons.extend(denials.iter().map(|denial| Reason {
                ref_name: Some(update.ref_name.clone()),
                ..denial_reason(denial)
            }));
        }
    }
    for (code, text) in emergency::problems(chain, &received.push.facts, &judged.verdict) {
        judged.refuse(code, text);
    }
    let denied = judged.verdict.is_denied();
    let options = &received.push.facts.push_options;
    let dry_run = options.iter().any(|option| option.as_bytes() == DRY_RUN);
    let requirements_of = |verdict: &RefVerdict| match &verdict.outcome {
        RefOutcome::RequireApproval { requirements } => requirements.clone(),
        RefOutcome::Allow | RefOutcome::Deny { .. } => Vec::new(),
    };
    let asked: Vec<_> = judged
        .verdict
        .updates
        .iter()
        .map(|verdict| (requirements_of(verdict), why(verdict)))
        .collect();
    for (index, (update, (requirements, why))) in updates.iter().zip(asked).enumerate() {
        if requirements.is_empty() {
            continue;
        }
        if denied || dry_run {
            let mut reason = needs_approval(update, &requirements, None);
            reason.hint = why;
            judged.reasons.push(reason);
            continue;
        }
        let asking = Asking {
            received,
            repository,
            chain,
            id,
            update,
            requirements,
            is_emergency: emergency::is_asked(&received.push.facts, update),
        };
        let asked = asking.find_or_make(conn, now)?;
        if let Some(slot) = judged.requests.get_mut(index) {
            *slot = Some(asked.request.id.clone());
        }
        if !asked.released {
            let mut reason = asking.reason(&asked.request, now);
            reason.hint = why.filter(|_| reason.code == Code::NeedsApproval);
            judged.reasons.push(reason);
        }
        judged.events.extend(asked.event);
        if asked.is_fresh {
            judged.new_requests.push(asked.request);
        }
    }
    add_hints(&mut judged.reasons);
    judged.link_exceptions(conn, received, repository, now)?;
    judged.events.extend(bypasses(chain, &judged.verdict, id));
    let rejected = judged
        .reasons
        .iter()
        .any(|reason| reason.code == Code::Rejected);
    if dry_run {
        let text = if judged.reasons.is_empty() {
            "dry run: this push would pass; nothing was changed"
        } else {
            "dry run: this push would be stopped; nothing was changed"
        };
        judged.reasons.insert(0, reason(Code::DryRun, text));
    }
    judged.outcome = if denied || rejected || dry_run {
        Outcome::Denied
    } else if judged.reasons.is_empty() {
        Outcome::Released
    } else {
        Outcome::Waiting
    };
    Ok(judged)
}

/// What the policy lets pass other than by exceptions, as one event.
fn acquitted(
    received: &Received<'_>,
    repository: &Repository,
    push: Uuid,
    chain: &ActorChain,
) -> Option<NewEvent> {
    let is_exception = |it: &Allowed| matches!(it, Allowed::Exception { .. });
    let findings = received.push.facts.findings.iter();
    let findings = findings.filter(|it| !it.pre_existing && !it.allowed.iter().any(is_exception));
    let sentences: Vec<String> = findings
        .filter_map(|finding| {
            let by = acquittal(received.policy, &repository.name, finding)?;
            let by = refwarden_model::bytes::escape(by.as_bytes());
            Some(format!("{} by {by}", describe_finding(finding)))
        })
        .collect();
    let more = match sentences.len() {
        0 => return None,
        1..=5 => String::new(),
        many => format!("; and {} more", many - 5),
    };
    let told: Vec<&str> = sentences.iter().take(5).map(String::as_str).collect();
    Some(NewEvent {
        kind: "secret.allowed",
        actor: chain.describe(),
        push_id: Some(push),
        summary: format!("let pass: {}{more}", told.join("; ")),
        ..NewEvent::default()
    })
}

impl Judged {
    /// Whether the push is refused for something that an exception could let pass.
    fn asks_for_exceptions(&self, received: &Received<'_>, repository: &Repository) -> bool {
        let of_secrets = |it: &Reason| matches!(it.code, Code::SecretFound | Code::ScanFailed);
        let mut findings = received.push.facts.findings.iter();
        self.outcome == Outcome::Denied
            && self.reasons.iter().any(of_secrets)
            && findings.any(|it| may_be_asked_for(received.policy, &repository.name, it))
    }

    /// Links the findings for which this chain has asked for an exception to the request.
    fn link_exceptions(
        &mut self,
        conn: &mut PgConnection,
        received: &Received<'_>,
        repository: &Repository,
        now: DateTime<Utc>,
    ) -> Result<(), AppError> {
        let Some(chain) = &self.chain else {
            return Ok(());
        };
        for finding in received.push.facts.findings.iter().take(LINKED_MAX) {
            let text = describe_finding(finding);
            let about = |it: &&mut Reason| it.text == text && it.request.is_none();
            let Some(reason) = self.reasons.iter_mut().find(about) else {
                continue;
            };
            let waiting = exceptions::waiting_for(conn, repository.id, finding, chain, now)?;
            reason.request = waiting.and_then(|it| super::ask::link(received.public_url, &it, now));
        }
        Ok(())
    }

    fn refuse(&mut self, code: Code, text: impl Into<String>) {
        let text = text.into();
        self.reasons.push(reason(code, text.clone()));
        self.verdict.denials.push(Denial { code, text });
    }
}

/// How often the pusher pushed lately, where a rule asks.
fn recent(
    conn: &mut PgConnection,
    policy: &Policy,
    chain: &ActorChain,
    now: DateTime<Utc>,
) -> Result<Option<RecentPushes>, AppError> {
    let asks = |rule: &Rule| {
        let limits = &rule.limits;
        limits.max_pushes_per_hour.is_some() || limits.max_pushes_per_day.is_some()
    };
    if !policy.rules.iter().any(asks) {
        return Ok(None);
    }
    let pusher = &chain.pusher;
    // Pushes that come at once would all count the same.
    pushes::one_at_a_time(conn, &pusher.issuer, &pusher.subject)?;
    let mut within = |span| pushes::count_of(conn, &pusher.issuer, &pusher.subject, span, now);
    Ok(Some(RecentPushes {
        hour: within(Duration::hours(1))?,
        day: within(Duration::hours(24))?,
    }))
}

/// Why the rules ask that ask for approval: the conditions that held, less the one that the ref
/// fits, which the pusher knows.
fn why(verdict: &RefVerdict) -> Option<String> {
    let asks = |spoken: &&Spoken| spoken.acted() && spoken.effect == Effect::RequireApproval;
    let rule = |spoken: &Spoken| {
        let because = match spoken.because.as_slice() {
            [only] => only.clone(),
            [_, rest @ ..] => rest.iter().take(3).cloned().collect::<Vec<_>>().join("; "),
            [] => return spoken.rule.clone(),
        };
        format!("{}: {because}", spoken.rule)
    };
    let all: Vec<String> = verdict
        .spoke
        .iter()
        .filter(asks)
        .take(3)
        .map(rule)
        .collect();
    (!all.is_empty()).then(|| format!("asked by {}", all.join(", and by ")))
}

/// Rules that somebody has passed by, each an event of its own.
fn bypasses(chain: &ActorChain, verdict: &Verdict, push: Uuid) -> Vec<NewEvent> {
    let of_update = |update: &RefVerdict| {
        let ref_name = update.ref_name.as_bytes().to_vec();
        let used = update.spoke.iter().filter_map(|spoken| {
            let bypass = spoken.bypass.as_ref()?;
            let reason = refwarden_model::bytes::escape(bypass.reason.as_bytes());
            Some(format!(
                "rule {} is passed by as {}: {reason}",
                spoken.rule, bypass.by
            ))
        });
        let event = |summary| NewEvent {
            kind: "policy.bypassed",
            actor: chain.describe(),
            push_id: Some(push),
            ref_name: Some(ref_name.clone()),
            summary,
            ..NewEvent::default()
        };
        used.map(event).collect::<Vec<_>>()
    };
    verdict.updates.iter().flat_map(of_update).collect()
}

fn denial_reason(denial: &Denial) -> Reason {
    reason(denial.code, denial.text.clone())
}

/// Says once for each code what to do next, where the code alone does not.
fn add_hints(reasons: &mut [Reason]) {
    let mut told = Vec::new();
    for reason in reasons {
        let hint = match reason.code {
            Code::SecretFound => {
                "take it out of that commit (amend or rebase), then push again; revoke it"
            }
            Code::ScanFailed => {
                "take it out of that commit, or have an administrator let it in by a rule"
            }
            Code::StaleOldOid => "fetch, look at what changed, then push again",
            Code::Rejected => "read why at the link, change the commits, push again",
            _ => continue,
        };
        if !told.contains(&reason.code) {
            told.push(reason.code);
            reason.hint = Some(hint.to_owned());
        }
    }
}

pub(super) fn json<T: serde::Serialize>(value: &T) -> Result<serde_json::Value, AppError> {
    serde_json::to_value(value).map_err(AppError::internal)
}

fn record(
    conn: &mut PgConnection,
    received: &Received<'_>,
    id: Uuid,
    judged: &Judged,
    more: Vec<NewEvent>,
    now: DateTime<Utc>,
) -> Result<(), AppError> {
    let push = &received.push;
    let repository = push.repository.0;
    // In one order, whichever is which: each is locked.
    let packs = received.pack.iter().chain(&received.masked_pack);
    let mut packs: Vec<&StoredPack> = packs.collect();
    packs.sort_by(|a, b| a.digest.cmp(&b.digest));
    for pack in packs {
        repositories::insert_pack(conn, pack, now)?;
    }
    let mut codes: Vec<String> = judged
        .reasons
        .iter()
        .map(|reason| reason.code.to_string())
        .collect();
    codes.sort();
    codes.dedup();
    let (push_state, ref_state, kind) = match judged.outcome {
        Outcome::Released => (push_state::GRANTED, update_state::RELEASED, "push.released"),
        Outcome::Waiting => (push_state::WAITING, update_state::CLAIMED, "push.waiting"),
        Outcome::Denied => (push_state::DENIED, update_state::CLAIMED, "push.denied"),
    };
    let row = push_row(received, id, judged, push_state, codes.clone(), now)?;
    // A ref update names its request and a request names its push, so requests that are new go
    // in between and are linked by the rows that follow.
    pushes::insert(conn, &row).map_err(|error| match error {
        diesel::result::Error::DatabaseError(
            diesel::result::DatabaseErrorKind::UniqueViolation,
            _,
        ) => AppError::conflict("This run of receive-pack has sent a push already."),
        other => other.into(),
    })?;
    if let Some(masked) = &push.masked {
        let pack = received.masked_pack.as_ref();
        masked_pushes::insert(conn, id, masked, pack.map(|pack| &*pack.digest))?;
    }
    for request in &judged.new_requests {
        requests::insert(conn, request)?;
    }
    let updates = update_rows(received, id, judged, ref_state);
    pushes::insert_updates(conn, &updates)?;
    records::insert(conn, id, &push.facts)?;
    push_facts::insert(conn, id, &push.facts)?;
    let actor = super::actor_of(&row);
    let mut new_events = Vec::new();
    let waits = |request: &&Request| request.state == requests::state::WAITING;
    for request in judged.new_requests.iter().filter(waits) {
        new_events.push(NewEvent {
            kind: "request.created",
            actor: actor.clone(),
            push_id: Some(id),
            request_id: Some(request.id.clone()),
            ref_name: Some(request.ref_name.clone()),
            old_oid: Some(request.old_oid.clone()),
            new_oid: Some(request.new_oid.clone()),
            summary: format!("request {} waits for approval", request.id),
            ..NewEvent::default()
        });
    }
    new_events.extend(more);
    // A push to one ref names it; one to several is told by its ref updates.
    let only = match updates.as_slice() {
        [only] => Some(only),
        _ => None,
    };
    let texts: Vec<&str> = judged
        .reasons
        .iter()
        .take(3)
        .map(|reason| reason.text.as_str())
        .collect();
    new_events.push(NewEvent {
        kind,
        actor,
        push_id: Some(id),
        ref_name: only.map(|update| update.target.clone()),
        old_oid: only.map(|update| update.actual_old.clone()),
        new_oid: only.map(|update| update.new_oid.clone()),
        codes,
        summary: if texts.is_empty() {
            format!("{} ref update(s) released", updates.len())
        } else {
            texts.join("; ")
        },
        ..NewEvent::default()
    });
    events::append(conn, repository, now, new_events)?;
    Ok(())
}

fn push_row(
    received: &Received<'_>,
    id: Uuid,
    judged: &Judged,
    state: &str,
    codes: Vec<String>,
    now: DateTime<Utc>,
) -> Result<Push, AppError> {
    let push = &received.push;
    let run = &push.correlation;
    let pusher = judged.chain.as_ref().map(|chain| &chain.pusher);
    let behalf = judged
        .chain
        .as_ref()
        .and_then(|chain| chain.on_behalf_of.first());
    Ok(Push {
        id,
        repository_id: push.repository.0,
        host: received.host.to_owned(),
        received_at: now,
        boot_id: run.boot_id.clone(),
        pid_namespace: signed(run.pid_namespace),
        pid: i64::from(run.pid),
        start_ticks: signed(run.start_ticks),
        transport: push.transport.clone(),
        client_address: push.client_address.clone(),
        client_agent: push.client_agent.clone(),
        hook_version: push.hook_version.clone(),
        pusher_issuer: pusher.map(|actor| actor.issuer.clone()),
        pusher_subject: pusher.map(|actor| actor.subject.clone()),
        pusher_kind: pusher.map(|actor| actor.kind.name().to_owned()),
        behalf_subject: behalf.map(|actor| actor.subject.clone()),
        actor_chain: judged.chain.as_ref().map(json).transpose()?,
        token_sha256: received.token_sha256.clone(),
        token_id: judged.token.as_ref().map(|(_, token_id)| token_id.clone()),
        token_issuer: judged.token.as_ref().map(|(issuer, _)| issuer.clone()),
        push_options: json(&push.facts.push_options)?,
        policy_hash: received.policy.hash().to_owned(),
        ruleset_id: push.facts.ruleset_id.clone(),
        verdict: json(&judged.verdict)?,
        codes,
        state: state.to_owned(),
        commits_total: signed(push.facts.commits_total),
        findings_total: signed(push.facts.findings_total),
        objects_scanned: signed(push.facts.objects_scanned),
        pack_digest: received.pack.as_ref().map(|pack| pack.digest.clone()),
        timings: json(&push.timings)?,
    })
}

fn update_rows(received: &Received<'_>, id: Uuid, judged: &Judged, state: &str) -> Vec<RefUpdate> {
    let row = |(index, (update, request)): (usize, (&RefFacts, &Option<String>))| RefUpdate {
        push_id: id,
        ordinal: i32::try_from(index).unwrap_or(i32::MAX),
        repository_id: received.push.repository.0,
        ref_name: update.ref_name.as_bytes().to_vec(),
        ref_name_text: records::text(update.ref_name.as_bytes()),
        target: update.target.as_bytes().to_vec(),
        claimed_old: update.claimed_old.to_string(),
        actual_old: update.actual_old.to_string(),
        new_oid: update.new.to_string(),
        kind: update.kind.name().to_owned(),
        new_type: update.new_type.clone(),
        gained: signed(update.gained),
        lost: signed(update.lost),
        request_id: request.clone(),
        state: state.to_owned(),
    };
    received
        .push
        .facts
        .updates
        .iter()
        .zip(&judged.requests)
        .enumerate()
        .map(row)
        .collect()
}

//! A push arrives: it is judged and recorded, before the verdict is shown to anybody.

mod record;

use chrono::{DateTime, Duration, Utc};
use diesel::{Connection as _, PgConnection};
use refwarden_model::facts::Allowed;
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
use crate::db::events::NewEvent;
use crate::db::exceptions::{Use, insert_uses};
use crate::db::repositories::{self, Repository};
use crate::db::requests::Request;
use crate::db::{packs, pushes};
use crate::error::AppError;
use crate::identity::{TokenError, VerifiedToken};
use crate::packs::StoredPack;
use crate::tokens;
use record::record;

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

impl Received<'_> {
    fn packs(&self) -> impl Iterator<Item = &StoredPack> {
        self.pack.iter().chain(&self.masked_pack)
    }
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
    let locked = packs::lock(conn, received.packs().map(|pack| &*pack.digest))?;
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
    record(conn, &locked, received, id, &judged, events, now)?;
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

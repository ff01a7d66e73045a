//! Asking for an exception: what may be asked, and the request that comes of it.

use chrono::{DateTime, Duration, Utc};
use diesel::{Connection as _, PgConnection};
use refwarden_model::ActorChain;
use refwarden_model::bytes::escape;
use refwarden_model::facts::FindingFacts;
use refwarden_policy::{Glob, Policy, longest_exception, owners_of};
use refwarden_wire::api::ExceptionIn;

use super::{Looked, SORTS, chain_of, covers, holds, look, refuses, sort_in_words};
use crate::approval::lasting::{about, reason};
use crate::db::events::{self, NewEvent};
use crate::db::exceptions::{self, Exception, KIND};
use crate::db::requests::{self, Request, state};
use crate::db::{records, repositories};
use crate::error::AppError;

/// How long an exception holds unless it is said, in seconds: 30 days.
const UNLESS_SAID: u64 = 30 * 86_400;
/// The shortest one, in seconds.
const SHORTEST: u64 = 60;

/// Asks for an exception for a finding of a push, for whoever pushed, and returns the request. They
/// ask, or an owner of a rule does.
///
/// # Errors
/// [`AppError::NotFound`] for no push of theirs or no such finding; [`AppError::BadRequest`] for what
/// cannot be asked; [`AppError::Forbidden`] for one that is too long; [`AppError::Conflict`] where it
/// is asked for already, or not needed.
pub fn ask(
    conn: &mut PgConnection,
    policy: &Policy,
    chain: &ActorChain,
    asked: &ExceptionIn,
    request_days: u32,
    now: DateTime<Utc>,
) -> Result<Request, AppError> {
    let Looked {
        push,
        repository,
        facts,
    } = look(conn, policy, asked.push, chain, false)?;
    let pushed = chain_of(&push)?.ok_or_else(AppError::not_found)?;
    let index = usize::try_from(asked.finding).unwrap_or(usize::MAX);
    let no_finding = || AppError::bad_request("That push has no finding of this number.");
    let finding = facts.findings.get(index).ok_or_else(no_finding)?;
    let wanted = Wanted::of(policy, &repository.name, finding, asked)?;
    let requirements = owners_of(policy, &repository.name, &finding.rule_id);
    conn.transaction(|conn| {
        repositories::lock(conn, repository.id)?;
        let standing = exceptions::standing(conn, repository.id, &[&finding.fingerprint], now)?;
        for (request, exception) in standing {
            if !covers(&exception, finding) {
                continue;
            }
            if request.state == state::WAITING {
                return Err(AppError::conflict(format!(
                    "Request {} asks for this exception already.",
                    request.id
                )));
            }
            if holds(conn, &request, policy, &repository.name, finding, &pushed)? {
                return Err(AppError::conflict(format!(
                    "Exception {} lets it pass already: push again.",
                    request.id
                )));
            }
        }
        let mut request = Request {
            id: requests::new_id(conn)?,
            repository_id: repository.id,
            ref_name: Vec::new(),
            ref_name_text: String::new(),
            old_oid: String::new(),
            new_oid: String::new(),
            kind: KIND.to_owned(),
            push_id: Some(push.id),
            actor_chain: serde_json::to_value(&pushed).map_err(AppError::internal)?,
            policy_hash: policy.hash().to_owned(),
            requirements: serde_json::to_value(&requirements).map_err(AppError::internal)?,
            digest: String::new(),
            state: state::WAITING.to_owned(),
            created_at: now,
            expires_at: now + Duration::days(i64::from(request_days)),
            closed_at: None,
            consumed_by: None,
            patch_series: None,
        };
        let exception = wanted.exception(&request.id, asked);
        request.digest = digest(&request, &exception);
        requests::insert(conn, &request)?;
        exceptions::insert(conn, &exception)?;
        let event = NewEvent {
            kind: "request.created",
            actor: chain.describe(),
            // Messages repeat this, and hold neither findings nor names of files.
            summary: format!(
                "request {} asks for an exception from a rule for secrets ({})",
                request.id,
                sort_in_words(&exception.sort)
            ),
            ..about(&request)
        };
        events::append(conn, repository.id, now, vec![event])?;
        Ok(request)
    })
}

/// What was asked for, after it was looked at.
struct Wanted<'f> {
    finding: &'f FindingFacts,
    seconds: u64,
    paths: Option<&'f str>,
}

impl<'f> Wanted<'f> {
    fn of(
        policy: &Policy,
        repository: &str,
        finding: &'f FindingFacts,
        asked: &'f ExceptionIn,
    ) -> Result<Self, AppError> {
        reason(&asked.reason)?;
        if !SORTS.iter().any(|(name, _)| *name == asked.kind) {
            let names = SORTS.map(|(name, _)| name).join(", ");
            return Err(AppError::bad_request(format!(
                "kind: expected one of {names}."
            )));
        }
        if !refuses(policy, repository, finding) {
            return Err(AppError::conflict(
                "This finding refuses no push: it needs no exception.",
            ));
        }
        let longest = longest_exception(policy, repository, &finding.rule_id);
        let longest = longest.ok_or_else(|| {
            let rule = escape(finding.rule_id.as_bytes());
            AppError::forbidden(format!(
                "Nobody owns the rule {rule} here, so there is no exception from it; a \
                 [[secret_owner]] of the policy says who does."
            ))
        })?;
        let seconds = asked.seconds.unwrap_or(UNLESS_SAID.min(longest));
        if !(SHORTEST.min(longest)..=longest).contains(&seconds) {
            return Err(AppError::forbidden(format!(
                "An exception from this rule lasts at most {longest} seconds, and a minute at least."
            )));
        }
        let paths = asked.paths.as_deref().map(str::trim);
        let paths = paths.filter(|paths| !paths.is_empty());
        if let Some(paths) = paths {
            check(paths, finding)?;
        }
        Ok(Self {
            finding,
            seconds,
            paths,
        })
    }

    fn path(&self) -> Option<&[u8]> {
        self.finding
            .path
            .as_ref()
            .map(refwarden_model::ByteText::as_bytes)
    }

    fn exception(&self, request: &str, asked: &ExceptionIn) -> Exception {
        Exception {
            request_id: request.to_owned(),
            finding: i32::try_from(asked.finding).unwrap_or(i32::MAX),
            rule_id: self.finding.rule_id.clone(),
            fingerprint: self.finding.fingerprint.clone(),
            place: self.finding.place.name().to_owned(),
            path: self.path().map(<[u8]>::to_vec),
            path_text: self.path().map(records::text),
            paths: self.paths.map(str::to_owned),
            sort: asked.kind.clone(),
            reason: asked.reason.trim().to_owned(),
            seconds: i64::try_from(self.seconds).unwrap_or(i64::MAX),
            ended_by: None,
            end_reason: None,
        }
    }
}

/// Whether files that are to be covered too can be, and are at least that of the finding.
fn check(paths: &str, finding: &FindingFacts) -> Result<(), AppError> {
    let wrong = |why: &str| AppError::bad_request(format!("paths: {why}."));
    let Some(path) = &finding.path else {
        return Err(wrong("the finding is in no file, so leave it out"));
    };
    if paths.contains('\0') {
        return Err(wrong("no path holds a NUL"));
    }
    let glob = Glob::for_paths(paths).map_err(|error| wrong(&error.to_string()))?;
    if !glob.is_match(path.as_bytes()) {
        let (paths, path) = (escape(paths.as_bytes()), escape(path.as_bytes()));
        return Err(wrong(&format!(
            "{paths} does not match {path}, which is asked for"
        )));
    }
    Ok(())
}

fn digest(request: &Request, exception: &Exception) -> String {
    let path = exception.path.as_deref().map(hex::encode);
    let seconds = exception.seconds.to_string();
    let mut asked = vec![
        exception.rule_id.as_str(),
        &exception.fingerprint,
        &exception.place,
        path.as_deref().unwrap_or("-"),
        &exception.sort,
        &seconds,
        &exception.reason,
    ];
    asked.extend(exception.paths.as_deref());
    crate::approval::digest(request, &asked)
}

//! Exceptions from the scanner's rules: asked for by who was refused for a finding, approved by the
//! rule's owners, bound to one repository, rule, fingerprint and path (or a glob of paths), ended by
//! time or taken back. While one holds, any push of anybody passes with that finding, but for pushes of
//! those who approved it: nobody lets their own secrets pass. It is bound to no ref: what is in the
//! repository is in it for everybody, and what rules ask of a ref is asked all the same.

mod ask;

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Duration, Utc};
use diesel::PgConnection;
use refwarden_model::ActorChain;
use refwarden_model::bytes::escape;
use refwarden_model::facts::{Allowed, FindingFacts, PushFacts};
use refwarden_policy::{
    Glob, Policy, Reading, Requirement, acquittal, longest_exception, owners_of, tally,
};
use uuid::Uuid;

use super::Bound;
use super::lasting::{about, is_same_chain};
use crate::db::events::NewEvent;
use crate::db::exceptions::{self, Exception, Use};
use crate::db::pushes::Push;
use crate::db::repositories::{self, Repository};
use crate::db::requests::{self, Request, state};
use crate::db::{push_facts, pushes};
use crate::error::AppError;
pub use ask::ask;

/// What exceptions are for, as they are called in records, and in words.
pub const SORTS: [(&str, &str); 3] = [
    ("test-data", "test data"),
    ("false-positive", "a false positive"),
    ("fix-later", "will be fixed later"),
];

/// A sort in words.
pub fn sort_in_words(sort: &str) -> &str {
    let found = SORTS.iter().find(|(name, _)| *name == sort);
    found.map_or(sort, |(_, words)| words)
}

/// Who pushed and for whom; none where the token was not accepted.
///
/// # Errors
/// [`AppError::Internal`] when the record cannot be read back.
pub fn chain_of(push: &Push) -> Result<Option<ActorChain>, AppError> {
    let chain = push.actor_chain.clone().map(serde_json::from_value);
    chain.transpose().map_err(AppError::internal)
}

/// Whether a push is somebody's own: they pushed, or were acted for. One agent acts for many
/// people, each of whom has pushes of their own.
///
/// # Errors
/// [`AppError::Internal`] when the record cannot be read back.
pub fn is_own(push: &Push, chain: &ActorChain) -> Result<bool, AppError> {
    let Some(pushed) = chain_of(push)? else {
        return Ok(false);
    };
    if !chain.on_behalf_of.is_empty() {
        return Ok(is_same_chain(&pushed, chain));
    }
    let mut everyone = pushed.everyone();
    Ok(everyone.any(|actor| actor.is_same_person(&chain.pusher)))
}

/// Whether a finding may have an exception: it may refuse pushes, and somebody owns its rule.
pub fn may_be_asked_for(policy: &Policy, repository: &str, finding: &FindingFacts) -> bool {
    refuses(policy, repository, finding)
        && longest_exception(policy, repository, &finding.rule_id).is_some()
}

fn refuses(policy: &Policy, repository: &str, finding: &FindingFacts) -> bool {
    !finding.pre_existing && acquittal(policy, repository, finding).is_none()
}

/// A push that somebody may look at for its findings.
pub struct Looked {
    pub push: Push,
    pub repository: Repository,
    pub facts: PushFacts,
}

/// Finds a push with its findings, for those who pushed or are acted for, who own a rule that found
/// something, and for auditors. For everyone else there is none.
///
/// # Errors
/// [`AppError::NotFound`] for them, [`AppError::Forbidden`] for who reads a masked view, and what the
/// database says.
pub fn look(
    conn: &mut PgConnection,
    policy: &Policy,
    push: Uuid,
    chain: &ActorChain,
    is_auditor: bool,
) -> Result<Looked, AppError> {
    let push = pushes::find(conn, push)?.ok_or_else(AppError::not_found)?;
    let repository =
        repositories::find(conn, push.repository_id)?.ok_or_else(AppError::not_found)?;
    let facts = push_facts::find(conn, push.id)?.ok_or_else(AppError::not_found)?;
    if !is_auditor && !is_own(&push, chain)? && !owns_any(policy, &repository.name, &facts, chain) {
        return Err(AppError::not_found());
    }
    // What was found tells where in the original something stands.
    if !is_auditor && policy.reading(&repository.name, Some(chain)) != Reading::Whole {
        return Err(AppError::forbidden(
            "You read a masked view of this repository, so what was found is not shown to you.",
        ));
    }
    Ok(Looked {
        push,
        repository,
        facts,
    })
}

/// What an exception lets pass, printable: `github-pat in tests/a.env`.
pub fn in_words(exception: &Exception) -> String {
    let place = match (&exception.paths, &exception.path) {
        (Some(paths), _) => escape(paths.as_bytes()),
        (None, Some(path)) => escape(path),
        (None, None) => format!("a {}", exception.place),
    };
    format!("{} in {place}", escape(exception.rule_id.as_bytes()))
}

/// Whether an exception is about a finding.
pub fn covers(exception: &Exception, finding: &FindingFacts) -> bool {
    let path = finding
        .path
        .as_ref()
        .map(refwarden_model::ByteText::as_bytes);
    exception.rule_id == finding.rule_id
        && exception.fingerprint == finding.fingerprint
        && exception.place == finding.place.name()
        && match (&exception.paths, path) {
            (Some(paths), Some(path)) => {
                Glob::for_paths(paths).is_ok_and(|glob| glob.is_match(path))
            }
            (Some(_), None) => false,
            (None, _) => exception.path.as_deref() == path,
        }
}

/// Whether an exception holds for a push of that chain: enough people have approved it who do not
/// push now, and they are still those whom the policy names.
fn holds(
    conn: &mut PgConnection,
    request: &Request,
    policy: &Policy,
    repository: &str,
    finding: &FindingFacts,
    chain: &ActorChain,
) -> Result<bool, AppError> {
    let requirements = Bound::of(request)?.requirements;
    if request.state != state::APPROVED
        || requirements.is_empty()
        || requirements != owners_of(policy, repository, &finding.rule_id)
    {
        return Ok(false);
    }
    let decisions = requests::decisions(conn, &request.id)?;
    let mut people = Vec::new();
    for made in decisions.into_iter().filter(|it| it.decision == "approve") {
        let person = serde_json::from_value(made.approver).map_err(AppError::internal)?;
        if !chain.everyone().any(|actor| actor.is_same_person(&person)) {
            people.push(person);
        }
    }
    Ok(tally(&requirements, &people).met)
}

/// Notes in the facts of a push which findings exceptions let pass, and returns what is to be
/// recorded once the push is. Where there are any, the repository is locked: what is taken back
/// from then on is seen at the barrier, before refs move.
///
/// # Errors
/// [`AppError`] from the database.
pub fn apply(
    conn: &mut PgConnection,
    policy: &Policy,
    repository: &Repository,
    push: Uuid,
    chain: &ActorChain,
    facts: &mut PushFacts,
    now: DateTime<Utc>,
) -> Result<Vec<Use>, AppError> {
    // No hook says this.
    for finding in &mut facts.findings {
        let is_exception = |it: &Allowed| matches!(it, Allowed::Exception { .. });
        finding.allowed.retain(|it| !is_exception(it));
    }
    let new = facts.findings.iter().filter(|it| !it.pre_existing);
    let mut fingerprints: Vec<&str> = new.map(|it| it.fingerprint.as_str()).collect();
    fingerprints.sort_unstable();
    fingerprints.dedup();
    if fingerprints.is_empty()
        || exceptions::standing(conn, repository.id, &fingerprints, now)?.is_empty()
    {
        return Ok(Vec::new());
    }
    repositories::lock(conn, repository.id)?;
    let standing = exceptions::standing(conn, repository.id, &fingerprints, now)?;
    let mut holding: HashMap<&str, bool> = HashMap::new();
    let mut uses = Vec::new();
    for (index, finding) in facts.findings.iter_mut().enumerate() {
        if finding.pre_existing {
            continue;
        }
        for (request, exception) in &standing {
            if !covers(exception, finding) {
                continue;
            }
            let holds = match holding.get(request.id.as_str()) {
                Some(known) => *known,
                None => holds(conn, request, policy, &repository.name, finding, chain)?,
            };
            holding.insert(&request.id, holds);
            if holds {
                let id = request.id.clone();
                finding.allowed.push(Allowed::Exception { id: id.clone() });
                uses.push(Use {
                    push_id: push,
                    finding: i32::try_from(index).unwrap_or(i32::MAX),
                    request_id: id,
                });
                break;
            }
        }
    }
    Ok(uses)
}

/// What is recorded of a push that exceptions let pass: one event for each of them.
pub fn used(uses: &[Use], facts: &PushFacts, chain: &ActorChain) -> Vec<NewEvent> {
    let mut by_exception: BTreeMap<&str, Vec<&Use>> = BTreeMap::new();
    for one in uses {
        by_exception.entry(&one.request_id).or_default().push(one);
    }
    let event = |(id, uses): (&str, Vec<&Use>)| {
        let first = uses.first();
        let finding = first.and_then(|it| facts.findings.get(usize::try_from(it.finding).ok()?));
        let what = finding
            .map(refwarden_policy::describe_finding)
            .unwrap_or_default();
        let more = match uses.len() {
            0 | 1 => String::new(),
            many => format!(" and {} more", many - 1),
        };
        NewEvent {
            kind: "exception.used",
            actor: chain.describe(),
            push_id: first.map(|it| it.push_id),
            request_id: Some(id.to_owned()),
            summary: format!("exception {id} lets pass: {what}{more}"),
            ..NewEvent::default()
        }
    };
    by_exception.into_iter().map(event).collect()
}

/// The request that waits for people to let a finding pass, if this chain has one.
///
/// # Errors
/// [`AppError`] from the database.
pub fn waiting_for(
    conn: &mut PgConnection,
    repository: Uuid,
    finding: &FindingFacts,
    chain: &ActorChain,
    now: DateTime<Utc>,
) -> Result<Option<Request>, AppError> {
    for (request, exception) in
        exceptions::standing(conn, repository, &[&finding.fingerprint], now)?
    {
        if request.state == state::WAITING
            && covers(&exception, finding)
            && is_same_chain(&Bound::of(&request)?.chain, chain)
        {
            return Ok(Some(request));
        }
    }
    Ok(None)
}

/// Lets an exception hold that enough people have approved.
///
/// # Errors
/// [`AppError`] from the database.
pub(super) fn open(
    conn: &mut PgConnection,
    request: &Request,
    now: DateTime<Utc>,
) -> Result<NewEvent, AppError> {
    let exception = exceptions::find(conn, &request.id)?.ok_or_else(AppError::not_found)?;
    let length = Duration::try_seconds(exception.seconds).unwrap_or_default();
    requests::open(conn, &request.id, now + length)?;
    Ok(NewEvent {
        kind: "exception.granted",
        actor: "refwarden".to_owned(),
        summary: format!(
            "{} passes until {}",
            in_words(&exception),
            (now + length).format("%Y-%m-%dT%H:%M:%SZ")
        ),
        ..about(request)
    })
}

/// Whether somebody owns a rule that found something in a push, and so may look at it.
fn owns_any(policy: &Policy, repository: &str, facts: &PushFacts, chain: &ActorChain) -> bool {
    let owns = |finding: &FindingFacts| {
        let owners: Vec<Requirement> = owners_of(policy, repository, &finding.rule_id);
        let mut lists = owners.iter().map(|it| &it.approvers);
        lists.any(|list| refwarden_policy::is_listed(list, &chain.pusher))
    };
    chain.on_behalf_of.is_empty() && facts.findings.iter().any(owns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use refwarden_model::facts::{Mode, Place};

    fn finding(rule: &str, print: &str, place: Place, path: Option<&str>) -> FindingFacts {
        FindingFacts {
            rule_id: rule.into(),
            fingerprint: print.into(),
            place,
            object: None,
            path: path.map(Into::into),
            commit: None,
            line: 1,
            column: 1,
            redacted: "****".into(),
            pre_existing: false,
            checksum: None,
            confidence: None,
            mode: Mode::Enforce,
            via: vec![],
            allowed: vec![],
        }
    }

    fn exception(path: Option<&str>, paths: Option<&str>) -> Exception {
        Exception {
            paths: paths.map(Into::into),
            request_id: "8FZK2M0T".into(),
            finding: 0,
            rule_id: "r".into(),
            fingerprint: "f".into(),
            place: "blob".into(),
            path: path.map(|it| it.as_bytes().to_vec()),
            path_text: path.map(Into::into),
            sort: "test-data".into(),
            reason: "x".into(),
            seconds: 60,
            ended_by: None,
            end_reason: None,
        }
    }

    #[test]
    fn an_exception_is_about_one_rule_secret_place_and_path() {
        let here = Some("tests/a*b");
        for (path, found, expected) in [
            (here, finding("r", "f", Place::Blob, here), true),
            (here, finding("s", "f", Place::Blob, here), false),
            (here, finding("r", "g", Place::Blob, here), false),
            (here, finding("r", "f", Place::Path, here), false),
            // A star in a path is a star.
            (
                here,
                finding("r", "f", Place::Blob, Some("tests/axb")),
                false,
            ),
            (here, finding("r", "f", Place::Blob, None), false),
            (None, finding("r", "f", Place::Blob, None), true),
            (None, finding("r", "f", Place::Blob, here), false),
        ] {
            let covered = covers(&exception(path, None), &found);
            assert_eq!(covered, expected, "{path:?} {found:?}");
        }
    }

    #[test]
    fn or_about_the_paths_that_a_glob_names() {
        for (paths, path, expected) in [
            ("tests/**", Some("tests/deep/x.env"), true),
            ("tests/**", Some("src/tests/x.env"), false),
            ("*.env", Some("tests/deep/x.env"), true),
            ("*.env", Some("tests/x.envy"), false),
            ("**", None, false),
        ] {
            let exception = exception(Some("tests/x.env"), Some(paths));
            let covered = |rule| covers(&exception, &finding(rule, "f", Place::Blob, path));
            assert_eq!(covered("r"), expected, "{paths} {path:?}");
            assert!(!covered("s"), "{paths} {path:?}");
        }
    }
}

//! Breaking the glass: somebody whom every rule that asks names for it lets a push through without
//! approval, by typing the ref's full name, with a reason. What a rule denies stays denied. An
//! event of its own is recorded, and the request stays open until somebody else has looked.

use refwarden_model::bytes::escape;
use refwarden_model::facts::{PushFacts, RefFacts};
use refwarden_model::{ActorChain, ActorKind, Code};
use refwarden_policy::{RefOutcome, Verdict, is_listed};

use crate::db::events::NewEvent;
use crate::db::requests::Request;

/// The push option's beginning; the ref's full name follows.
const OPTION: &[u8] = b"break-glass=";

/// The longest reason that an event tells, in characters.
const REASON_MAX: usize = 500;

/// Whether a push asks for it, for this update.
pub fn is_asked(facts: &PushFacts, update: &RefFacts) -> bool {
    named(facts).any(|name| name == update.ref_name.as_bytes())
}

/// Why a push that breaks the glass may not; nothing for one that does not try.
pub fn problems(chain: &ActorChain, facts: &PushFacts, verdict: &Verdict) -> Vec<(Code, String)> {
    let mut problems = Vec::new();
    if named(facts).next().is_some() && facts.updates.len() > 1 {
        let text = "push option break-glass: push that ref alone";
        problems.push((Code::BadOption, text.to_owned()));
    }
    for name in named(facts) {
        let update = facts.updates.iter().zip(&verdict.updates);
        let found = update
            .into_iter()
            .find(|(it, _)| it.ref_name.as_bytes() == name);
        let Some((update, verdict)) = found else {
            let text = "push option break-glass: type the full name of a ref that this push \
                        updates, such as break-glass=refs/heads/main";
            problems.push((Code::BadOption, text.to_owned()));
            continue;
        };
        let RefOutcome::RequireApproval { requirements } = &verdict.outcome else {
            continue;
        };
        let is_person = chain.pusher.kind == ActorKind::Human && chain.on_behalf_of.is_empty();
        for needed in requirements {
            if !is_person || !is_listed(&needed.break_glass, &chain.pusher) {
                let text = format!(
                    "{}: rule {} does not let {} break the glass",
                    update.ref_name,
                    needed.rule,
                    escape(chain.describe().as_bytes())
                );
                problems.push((Code::DeniedByRule, text));
            }
        }
        if reason(facts).is_none() {
            let text = format!(
                "{}: who breaks the glass says why: git push -o reason=\"...\"",
                update.ref_name
            );
            problems.push((Code::DeniedByRule, text));
        }
    }
    problems.dedup();
    problems
}

/// What is recorded of it.
pub fn event(request: &Request, chain: &ActorChain, facts: &PushFacts) -> NewEvent {
    let reason: String = reason(facts)
        .map(escape)
        .unwrap_or_default()
        .chars()
        .take(REASON_MAX)
        .collect();
    NewEvent {
        kind: "break_glass.used",
        actor: chain.describe(),
        push_id: request.push_id,
        request_id: Some(request.id.clone()),
        ref_name: Some(request.ref_name.clone()),
        old_oid: Some(request.old_oid.clone()),
        new_oid: Some(request.new_oid.clone()),
        summary: format!("released without approval in an emergency: {reason}"),
        ..NewEvent::default()
    }
}

fn named(facts: &PushFacts) -> impl Iterator<Item = &[u8]> {
    let options = facts.push_options.iter();
    options.filter_map(|option| option.as_bytes().strip_prefix(OPTION))
}

fn reason(facts: &PushFacts) -> Option<&[u8]> {
    let options = facts.push_options.iter();
    options
        .filter_map(|option| option.as_bytes().strip_prefix(b"reason="))
        .map(<[u8]>::trim_ascii)
        .find(|reason| !reason.is_empty())
}

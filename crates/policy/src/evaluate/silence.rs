//! Why rules do not speak. For people who wrote one and wonder.

use refwarden_model::facts::{RefFacts, UpdateKind};

use super::{Push, commits, scope};
use crate::parse::Policy;
use crate::rule::Rule;
use crate::verdict::Verdict;

/// A rule that does not speak of an update.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Silent {
    /// The rule's id.
    pub rule: String,
    /// The first condition that does not hold, as a sentence.
    pub because: &'static str,
}

/// For each update, in the verdict's order, the rules that do not speak of it. The verdict is
/// that of the same policy on the same push.
pub fn silent(policy: &Policy, push: &Push<'_>, verdict: &Verdict) -> Vec<Vec<Silent>> {
    let updates = push.facts.updates.iter().zip(&verdict.updates);
    updates
        .map(|(update, verdict)| {
            let spoke = |rule: &Rule| verdict.spoke.iter().any(|spoken| spoken.rule == rule.id);
            let silent = policy.rules.iter().filter(|rule| !spoke(rule));
            silent
                .map(|rule| Silent {
                    rule: rule.id.clone(),
                    because: why(rule, push, update),
                })
                .collect()
        })
        .collect()
}

fn why(rule: &Rule, push: &Push<'_>, update: &RefFacts) -> &'static str {
    if update.kind == UpdateKind::NoOp {
        return "nothing moves";
    }
    let apart = scope::applies(rule, push)
        .and_then(|()| scope::about(rule, update))
        .and_then(|_| scope::default_branch(rule, update));
    match (apart, commits::is_narrowed(rule), rule.limits.is_empty()) {
        (Err(why), _, _) => why,
        (Ok(_), true, true) => "nothing changes that it is about",
        (Ok(_), false, _) => "none of its limits is broken",
        (Ok(_), true, false) => "nothing changes that it is about, or none of its limits is broken",
    }
}

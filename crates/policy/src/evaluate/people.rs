//! What a rule that speaks asks of people.

use std::collections::BTreeMap;

use refwarden_model::ByteText;

use super::commits;
use super::history::View;
use crate::owners::{Owned, Owners};
use crate::rule::Rule;
use crate::verdict::Requirement;

/// Paths that a requirement names.
const PATHS_SHOWN: usize = 20;

/// The requirements of a rule. Several where it names several groups of people, or the changed
/// paths have different owners; all have to be met.
pub fn requirements<'v, 'a: 'v>(rule: &Rule, view: impl Fn() -> &'v View<'a>) -> Vec<Requirement> {
    let asks = &rule.asks;
    let requirement = |quorum: u32, approvers: &[String], paths: Vec<ByteText>| Requirement {
        expires: asks.expires,
        bind: asks.bind,
        questions: asks.questions.clone(),
        break_glass: asks.break_glass.clone(),
        grants: asks.grants.clone(),
        authors_may_approve: asks.authors_may_approve,
        paths,
        ..Requirement::new(rule.id.clone(), quorum, approvers.to_vec())
    };
    let mut requirements = Vec::new();
    let mut is_owned = false;
    if let Some(owners) = &asks.owners {
        let (owned, unowned) = owned(rule, owners, view());
        is_owned = !unowned;
        for (owned, paths) in owned {
            let quorum = owned.quorum.max(asks.quorum);
            requirements.push(requirement(quorum, owned.owners, paths));
        }
    }
    if !asks.approvers.is_empty() && !is_owned {
        requirements.push(requirement(asks.quorum, &asks.approvers, Vec::new()));
    }
    for group in &asks.all_of {
        requirements.push(requirement(group.quorum, &group.approvers, Vec::new()));
    }
    requirements
}

/// The owners of what changes, each with some paths; and whether there is something that
/// nobody owns.
fn owned<'o>(
    rule: &Rule,
    owners: &'o Owners,
    view: &View<'_>,
) -> (BTreeMap<Owned<'o>, Vec<ByteText>>, bool) {
    let mut found: BTreeMap<Owned<'o>, Vec<ByteText>> = BTreeMap::new();
    let paths = commits::paths(rule, view);
    // What is not known to change may belong to anybody.
    let mut unowned = paths.is_empty();
    if !view.missing.is_empty() {
        unowned = true;
        found.extend(owners.all().into_iter().map(|owned| (owned, Vec::new())));
    }
    for path in paths {
        let of_path = owners.of(path.as_bytes());
        unowned |= of_path.is_empty();
        for owned in of_path {
            let paths = found.entry(owned).or_default();
            if paths.len() < PATHS_SHOWN {
                paths.push(path.clone());
            }
        }
    }
    (found, unowned)
}

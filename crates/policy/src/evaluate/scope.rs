//! Where and who: whether a rule is about a push and a ref at all.

use refwarden_model::RefName;
use refwarden_model::facts::{RefFacts, UpdateKind};

use super::{Push, is_asked, printable};
use crate::approval::{is_listed, listed_by};
use crate::glob::Glob;
use crate::rule::{Effect, Rule};

/// The word of policy files for a tag that is made to name something else.
const TAG_MOVE: &str = "tag-move";

/// Whether repository, actor and time fit a rule.
pub fn applies(rule: &Rule, push: &Push<'_>) -> bool {
    is_asked(rule)
        && is_about_repository(rule, push.repository)
        && has_properties(rule, push)
        && is_by(rule, push)
        && rule.when.as_ref().is_none_or(|when| when.holds(push.now))
}

/// Whether a rule is about the repository of that name.
pub fn is_about_repository(rule: &Rule, repository: &str) -> bool {
    let name = repository.as_bytes();
    let scope = &rule.scope;
    (scope.repositories.is_empty() || any(&scope.repositories, name))
        && !any(&scope.exclude_repositories, name)
}

fn any(globs: &[Glob], name: &[u8]) -> bool {
    globs.iter().any(|glob| glob.is_match(name))
}

fn has_properties(rule: &Rule, push: &Push<'_>) -> bool {
    let Some(properties) = &push.facts.properties else {
        return rule.scope.properties.is_empty() || rule.effect != Effect::Allow;
    };
    rule.scope.properties.iter().all(|(key, values)| {
        let value = properties.get(key);
        value.is_some_and(|value| any(values, value.as_bytes()))
    })
}

fn is_by(rule: &Rule, push: &Push<'_>) -> bool {
    let who = &rule.who;
    let pusher = &push.chain.pusher;
    let claim = |(name, values): (&String, &Vec<Glob>)| {
        let held = pusher.claims.get(name);
        held.is_some_and(|held| held.iter().any(|value| any(values, value.as_bytes())))
    };
    let behind = &push.chain.on_behalf_of;
    (who.issuers.is_empty() || who.issuers.contains(&pusher.issuer))
        && (who.actors.is_empty() || is_listed(&who.actors, pusher))
        && !is_listed(&who.exclude_actors, pusher)
        && (who.behalf_of.is_empty() || behind.iter().any(|actor| is_listed(&who.behalf_of, actor)))
        && who.claims.iter().all(claim)
}

/// The glob by which a rule is about an update's name, or that of the ref behind it, if its
/// kind fits too.
pub fn about<'r>(rule: &'r Rule, update: &RefFacts) -> Option<&'r str> {
    let moved_tag = update.kind == UpdateKind::NonFastForward && update.target.is_tag();
    let kind = rule.on.contains(update.kind.name()) || (moved_tag && rule.on.contains(TAG_MOVE));
    let named = |name: &RefName| {
        let name = name.as_bytes();
        let glob = rule.scope.refs.iter().find(|glob| glob.is_match(name))?;
        (!any(&rule.scope.exclude, name)).then_some(glob.source())
    };
    let glob = named(&update.ref_name).or_else(|| named(&update.target))?;
    kind.then_some(glob)
}

/// The conditions of a rule that applies, as sentences.
pub fn because(rule: &Rule, push: &Push<'_>) -> Vec<String> {
    let mut because = Vec::new();
    let pusher = &push.chain.pusher;
    if let Some(entry) = listed_by(&rule.who.actors, pusher) {
        let subject = printable(&pusher.subject);
        because.push(format!("{subject} is {}", printable(entry)));
    }
    for actor in &push.chain.on_behalf_of {
        if let Some(entry) = listed_by(&rule.who.behalf_of, actor) {
            let subject = printable(&actor.subject);
            because.push(format!("it is for {subject}, who is {}", printable(entry)));
        }
    }
    for name in rule.who.claims.keys() {
        let held = pusher.claims.get(name).map(|held| held.join(", "));
        let held = printable(&held.unwrap_or_default());
        because.push(format!("the token's claim {} is {held}", printable(name)));
    }
    for key in rule.scope.properties.keys() {
        let key_shown = printable(key);
        let value = push.facts.properties.as_ref().map(|all| all.get(key));
        because.push(match value {
            Some(value) => {
                let value = printable(value.map_or("", String::as_str));
                format!("the repository's property {key_shown} is {value}")
            }
            None => format!(
                "the repository's property {key_shown} is not known, which counts as if it fitted"
            ),
        });
    }
    because.extend(rule.when.as_ref().map(|when| when.describe(push.now)));
    because
}

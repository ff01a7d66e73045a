//! Where and who: whether a rule is about a push and a ref at all.

use refwarden_model::facts::{Mode, RefFacts, UpdateKind};
use refwarden_model::{ActorChain, RefName};

use super::{Push, printable};
use crate::approval::{is_listed, listed_by};
use crate::glob::Glob;
use crate::rule::{Effect, Rule, Who};

/// The word of policy files for a tag that is made to name something else.
const TAG_MOVE: &str = "tag-move";

/// Whether repository, actor and time fit a rule; the error says what does not.
pub fn applies(rule: &Rule, push: &Push<'_>) -> Result<(), &'static str> {
    let fits = |fits: bool, why| if fits { Ok(()) } else { Err(why) };
    fits(rule.mode != Mode::Off, "it is off")?;
    fits(
        is_about_repository(rule, push.repository),
        "it is about other repositories",
    )?;
    fits(
        has_properties(rule, push),
        "it is about repositories with other properties",
    )?;
    fits(is_by(rule, push.chain), "it is about other actors")?;
    let when = rule.when.as_ref();
    let now = when.is_none_or(|when| when.holds(push.now));
    fits(now, "it does not speak at this time")
}

/// Whether a rule is about the repository of that name.
pub fn is_about_repository(rule: &Rule, repository: &str) -> bool {
    let name = repository.as_bytes();
    let scope = &rule.scope;
    (scope.repositories.is_empty() || any(&scope.repositories, name))
        && !any(&scope.exclude_repositories, name)
}

/// Whether one of the globs matches.
pub fn any(globs: &[Glob], name: &[u8]) -> bool {
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

/// Whether a rule is about pushes of a chain.
pub fn is_by(rule: &Rule, chain: &ActorChain) -> bool {
    is_who(&rule.who, chain)
}

/// Whether a chain is among those that are meant.
pub fn is_who(who: &Who, chain: &ActorChain) -> bool {
    let pusher = &chain.pusher;
    let holds = |(name, values): (&String, &Vec<Glob>)| {
        let held = pusher.claims.get(name);
        held.is_some_and(|held| held.iter().any(|value| any(values, value.as_bytes())))
    };
    let behind = &chain.on_behalf_of;
    (who.issuers.is_empty() || who.issuers.contains(&pusher.issuer))
        && (who.actors.is_empty() || is_listed(&who.actors, pusher))
        && !is_listed(&who.exclude_actors, pusher)
        && (who.behalf_of.is_empty() || behind.iter().any(|actor| is_listed(&who.behalf_of, actor)))
        && who.claims.iter().all(holds)
        && (who.exclude_claims.is_empty() || !who.exclude_claims.iter().all(holds))
}

/// Whether a rule is about a ref of that name.
pub fn is_about_ref(rule: &Rule, name: &RefName) -> bool {
    let name = name.as_bytes();
    any(&rule.scope.refs, name) && !any(&rule.scope.exclude, name)
}

/// The glob by which a rule is about an update's name, or that of the ref behind it, if its
/// kind fits too; the error says what does not.
pub fn about<'r>(rule: &'r Rule, update: &RefFacts) -> Result<&'r str, &'static str> {
    let moved_tag = update.kind == UpdateKind::NonFastForward && update.target.is_tag();
    let kind = rule.on.contains(update.kind.name()) || (moved_tag && rule.on.contains(TAG_MOVE));
    let named = |name: &RefName| {
        let name = name.as_bytes();
        let glob = rule.scope.refs.iter().find(|glob| glob.is_match(name))?;
        (!any(&rule.scope.exclude, name)).then_some(glob.source())
    };
    let glob = named(&update.ref_name).or_else(|| named(&update.target));
    let glob = glob.ok_or("it is about other refs")?;
    kind.then_some(glob)
        .ok_or("it is about other kinds of update")
}

/// Says how the default branch matters to a rule, where it does; the error says that the ref
/// does not fit.
pub fn default_branch(
    rule: &Rule,
    update: &RefFacts,
) -> Result<Option<&'static str>, &'static str> {
    match (rule.scope.default_branch, update.default_branch) {
        (None, _) => Ok(None),
        (Some(true), Some(true)) => Ok(Some("it is the default branch")),
        (Some(false), Some(false)) => Ok(Some("it is not the default branch")),
        (Some(_), None) if rule.effect != Effect::Allow => Ok(Some(
            "whether it is the default branch is not known, which counts as if it fitted",
        )),
        (Some(true), _) => Err("it is about the default branch"),
        (Some(false), _) => Err("it is about other refs than the default branch"),
    }
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

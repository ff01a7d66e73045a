//! The part of an update that a rule is about: commits and changes, narrowed by its paths.

use std::collections::BTreeSet;

use refwarden_model::ByteText;
use refwarden_model::facts::{ChangeFacts, CommitFacts};

use super::history::View;
use crate::rule::{Effect, Rule};

/// Whether a rule is about a path.
pub fn is_about(rule: &Rule, path: &ByteText) -> bool {
    let path = path.as_bytes();
    (rule.paths.is_empty() || rule.paths.iter().any(|glob| glob.is_match(path)))
        && !rule.exclude_paths.iter().any(|glob| glob.is_match(path))
}

/// Whether a rule narrows what it is about by paths.
pub fn is_narrowed(rule: &Rule) -> bool {
    !rule.paths.is_empty() || !rule.exclude_paths.is_empty()
}

/// The changes that a rule is about.
pub fn changes<'v, 'a>(
    rule: &'v Rule,
    view: &'v View<'a>,
) -> impl Iterator<Item = (&'a CommitFacts, &'a ChangeFacts)> + 'v {
    let changes = view.changes().iter().copied();
    changes.filter(|(_, change)| !is_narrowed(rule) || is_about(rule, &change.path))
}

/// The commits that a rule is about: with paths, those that change one.
pub fn commits<'v, 'a>(
    rule: &'v Rule,
    view: &'v View<'a>,
) -> impl Iterator<Item = &'a CommitFacts> + 'v {
    let narrowed = is_narrowed(rule);
    let touches = move |commit: &CommitFacts| {
        !narrowed
            || commit
                .changes
                .iter()
                .any(|change| is_about(rule, &change.path))
    };
    view.commits
        .iter()
        .copied()
        .filter(move |commit| touches(commit))
}

/// The paths of the changes that a rule is about, each once.
pub fn paths<'a>(rule: &Rule, view: &View<'a>) -> BTreeSet<&'a ByteText> {
    changes(rule, view)
        .map(|(_, change)| &change.path)
        .collect()
}

/// Says which paths bring a rule that has some to speak; none where it stays silent. A rule
/// that allows speaks only where it is about all that changes.
pub fn touched(rule: &Rule, view: &View<'_>) -> Option<String> {
    let paths = paths(rule, view);
    if rule.effect == Effect::Allow {
        let all = view
            .changes()
            .iter()
            .all(|(_, change)| is_about(rule, &change.path));
        let all = all && view.missing.is_empty();
        return all.then(|| "all changed paths are the rule's".to_owned());
    }
    match (paths.first(), paths.len(), view.missing.first()) {
        (Some(first), 1, _) => Some(format!("{first} is changed")),
        (Some(first), more, _) => Some(format!("{more} of its paths are changed, such as {first}")),
        (None, _, missing) => missing.cloned(),
    }
}

//! From a view as typed to one that readers can be held against.

use super::file::ViewIn;
use super::rule::{actors, full_names, globs, id, values};
use super::{PolicyError, Source};
use crate::rule::Who;
use crate::view::{See, ViewRule};

pub fn resolve(source: &Source<'_>, view: ViewIn) -> Result<ViewRule, PolicyError> {
    let at = view.id.span().start;
    let id = id(source, "view", &view.id)?;
    let wrong = |problem: &str| Err(source.error(at, format!("view '{id}': {problem}")));
    let masked_only = [
        ("generic", view.generic.is_some()),
        ("rules", view.rules.is_some()),
        ("refs", view.refs.is_some()),
        ("hide", !view.hide.is_empty()),
        ("placeholder_move", view.placeholder_move.is_some()),
    ];
    if view.see != See::Masked
        && let Some((key, _)) = masked_only.iter().find(|(_, given)| *given)
    {
        return wrong(&format!("{key} goes with see = \"masked\" only"));
    }
    if view.refs.as_ref().is_some_and(Vec::is_empty) {
        return wrong("refs: expected at least one ref glob; leave it out for all refs");
    }
    if view.rules.as_ref().is_some_and(Vec::is_empty) {
        return wrong("rules: expected at least one rule of the scanner; leave it out for all");
    }
    Ok(ViewRule {
        file: source.file.to_owned(),
        line: source.line(at),
        repositories: globs(source, view.repositories)?,
        exclude_repositories: globs(source, view.exclude_repositories)?,
        who: Who {
            issuers: view.issuers,
            actors: actors(source, view.actors)?,
            exclude_actors: actors(source, view.exclude_actors)?,
            behalf_of: actors(source, view.behalf_of)?,
            claims: values(source, view.claims)?,
            exclude_claims: values(source, view.exclude_claims)?,
        },
        see: view.see,
        generic: view.generic.unwrap_or(false),
        rules: globs(source, view.rules.unwrap_or_default())?,
        refs: full_names(source, view.refs.unwrap_or_default())?,
        hide: full_names(source, view.hide)?,
        placeholder_move: view.placeholder_move.unwrap_or_default(),
        id,
    })
}

//! The rules that mask a view: those of the host, and of these the ones that policy names for it.
//!
//! Whoever builds a view, finds it or translates a push comes here, so that all of them mean the
//! same. What it deliberately does not do: it reads no file.

use refwarden_policy::{Glob, GlobError};
use refwarden_scan::{RuleError, Ruleset};
use refwarden_wire::hook::MaskedView;

/// Why a view has no rules to be masked with.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// A file of rules cannot be used.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// What names rules is no glob.
    #[error("the rules of a view cannot be understood: {0}")]
    Glob(#[from] GlobError),
    /// The host has no such rule, so that nobody knows what it is to mask.
    #[error(
        "policy has a view masked with rules '{0}', and no rule here is called so: \
         name its file in `rules` of the section for views, or change the policy"
    )]
    None(String),
}

/// The built-in rules and those of `files`, pairs of a name and TOML text, less what the view
/// does not mask.
///
/// # Errors
///
/// [`RulesError`]. A glob that matches no rule is an error: it may mean one that this host lacks.
pub fn ruleset(files: &[(&str, &str)], view: &MaskedView) -> Result<Ruleset, RulesError> {
    let all = if view.generic {
        Ruleset::builtin_and_generic(files)?
    } else {
        Ruleset::builtin_with(files)?
    };
    if view.rules.is_empty() {
        return Ok(all);
    }
    let globs: Vec<Glob> = view
        .rules
        .iter()
        .map(|text| Glob::new(text))
        .collect::<Result<_, _>>()?;
    let idle = globs
        .iter()
        .find(|glob| !all.rules().any(|rule| glob.is_match(rule.id().as_bytes())));
    if let Some(glob) = idle {
        return Err(RulesError::None(glob.source().to_owned()));
    }
    Ok(all.only(|rule| globs.iter().any(|glob| glob.is_match(rule.id().as_bytes()))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(rules: &[&str]) -> MaskedView {
        MaskedView {
            rules: rules.iter().map(|&it| it.to_owned()).collect(),
            ..MaskedView::default()
        }
    }

    #[test]
    fn a_view_is_masked_with_the_rules_that_it_names_and_never_with_none() {
        let ids = |rules: &[&str]| {
            let ruleset = ruleset(&[], &view(rules)).unwrap();
            let ids: Vec<String> = ruleset.rules().map(|it| it.id().to_owned()).collect();
            (ids, ruleset.id().clone())
        };
        let (all, whole) = ids(&[]);
        let (some, narrow) = ids(&["github-*", "private-key"]);
        assert!(some.len() > 2 && some.len() < all.len(), "{some:?}");
        let fits = |id: &String| id.starts_with("github-") || id == "private-key";
        assert!(some.iter().all(fits), "{some:?}");
        assert_ne!(whole, narrow);
        assert_eq!(ids(&["**"]).1, whole);
        for wrong in [&["acme-key"][..], &["github-*", "acme-*"]] {
            let error = ruleset(&[], &view(wrong)).unwrap_err().to_string();
            assert!(
                error.contains("acme-") && error.contains("no rule here"),
                "{error}"
            );
        }
    }
}

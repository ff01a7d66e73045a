//! Who reads what: a repository as it is, a masked view of it, or nothing.
//!
//! What it deliberately does not do: it masks nothing and knows no scanner's rules. It says what
//! a view is made of; whoever serves the repository makes it.

use refwarden_model::ActorChain;
use serde::{Deserialize, Serialize};

use crate::approval::is_listed;
use crate::evaluate::scope::{any, is_who};
use crate::glob::Glob;
use crate::parse::Policy;
use crate::rule::Who;

/// What a reader sees. The later of two is the stricter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum See {
    /// The repository itself.
    Whole,
    /// A history in which no secret stands.
    Masked,
    /// Nothing.
    Refused,
}

impl See {
    /// The word used in policy files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Masked => "masked",
            Self::Refused => "refused",
        }
    }
}

/// What becomes of a push that puts a placeholder where it did not stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PlaceholderMove {
    /// It is refused.
    #[default]
    Refuse,
    /// The owners of the scanner's rule have to approve that the secret moves.
    Approve,
}

impl PlaceholderMove {
    /// Whether it is the usual one.
    pub fn is_refuse(&self) -> bool {
        *self == Self::Refuse
    }
}

/// One `[[view]]`: who sees what of which repositories.
#[derive(Clone, Debug, Serialize)]
pub struct ViewRule {
    /// Its name, unique over all files.
    pub id: String,
    /// The file it stands in; for people only.
    #[serde(skip)]
    pub file: String,
    /// The line of its id, from 1.
    #[serde(skip)]
    pub line: usize,
    /// Repositories; all where empty.
    pub repositories: Vec<Glob>,
    /// Repositories it leaves out.
    pub exclude_repositories: Vec<Glob>,
    /// Readers, by the same entries as pushers of rules.
    pub who: Who,
    /// What they see.
    pub see: See,
    /// Whether a masked view masks what generic rules find, too.
    pub generic: bool,
    /// Scanner rules that a masked view masks with, by globs over their ids; all where empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Glob>,
    /// Full names of the refs that a masked view has; all where empty.
    pub refs: Vec<Glob>,
    /// Full names of refs that it does not have.
    pub hide: Vec<Glob>,
    /// What becomes of placeholders that are pushed elsewhere.
    #[serde(skip_serializing_if = "PlaceholderMove::is_refuse")]
    pub placeholder_move: PlaceholderMove,
}

impl ViewRule {
    /// Whether it is about the repository of that name.
    pub fn is_about_repository(&self, name: &str) -> bool {
        let name = name.as_bytes();
        (self.repositories.is_empty() || any(&self.repositories, name))
            && !any(&self.exclude_repositories, name)
    }

    fn filter(&self) -> RefFilter {
        RefFilter {
            refs: texts(&self.refs),
            hide: texts(&self.hide),
        }
    }
}

/// What stands in globs, sorted.
fn texts<'g>(globs: impl IntoIterator<Item = &'g Glob>) -> Vec<String> {
    let globs = globs.into_iter();
    let mut texts: Vec<String> = globs.map(|it| it.source().to_owned()).collect();
    texts.sort_unstable();
    texts.dedup();
    texts
}

/// Everything that policy says of readers.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Views {
    /// The rules, by id.
    pub rules: Vec<ViewRule>,
    /// What a reader sees whom no rule is about, where a file says.
    pub default: Option<See>,
    /// What a reader without a token sees, where a file says.
    pub anonymous: Option<See>,
}

impl Views {
    /// Whether no file says anything: then everybody who may read sees the repository itself.
    pub const fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.default.is_none() && self.anonymous.is_none()
    }
}

/// Which refs a view has: one of `refs`, or any where that is empty, and none of `hide`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct RefFilter {
    /// Globs over full names, sorted.
    pub refs: Vec<String>,
    /// Globs over full names, sorted.
    pub hide: Vec<String>,
}

/// What a masked view is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Masking {
    /// Whether what generic rules find is masked, too.
    pub generic: bool,
    /// Globs over the ids of the rules that mask, sorted; all of them where empty.
    pub rules: Vec<String>,
    /// A ref has to pass all of them; sorted.
    pub filters: Vec<RefFilter>,
    /// Whether people are asked about secrets that a push from it would move.
    pub may_move: bool,
}

/// What a reader gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// The repository itself.
    Whole,
    /// A masked view.
    Masked(Masking),
    /// Nothing.
    Refused,
}

impl Policy {
    /// What a reader gets of the repository of that name; `chain` is none for one without a
    /// token. All rules that fit hold together and the strictest wins: of several masked views
    /// the reader gets what each of them would show, with all that any of them masks, and moves
    /// secrets only where each of them has people asked.
    pub fn reading(&self, repository: &str, chain: Option<&ActorChain>) -> Reading {
        if self.views.is_empty() {
            return Reading::Whole;
        }
        let fitting = self.views_for(repository, chain);
        let otherwise = match chain {
            Some(_) => self.views.default,
            None => self.views.anonymous,
        };
        let strictest = fitting.iter().map(|rule| rule.see).max();
        match strictest.or(otherwise).unwrap_or(See::Refused) {
            See::Whole => Reading::Whole,
            See::Refused => Reading::Refused,
            See::Masked => {
                let masked = || fitting.iter().filter(|rule| rule.see == See::Masked);
                let mut filters: Vec<RefFilter> = masked().map(|rule| rule.filter()).collect();
                filters.retain(|filter| *filter != RefFilter::default());
                filters.sort_unstable();
                filters.dedup();
                let asks = |rule: &&ViewRule| rule.placeholder_move == PlaceholderMove::Approve;
                Reading::Masked(Masking {
                    generic: masked().any(|rule| rule.generic),
                    rules: if masked().any(|rule| rule.rules.is_empty()) {
                        Vec::new()
                    } else {
                        texts(masked().flat_map(|rule| &rule.rules))
                    },
                    filters,
                    may_move: masked().next().is_some() && masked().all(asks),
                })
            }
        }
    }

    /// The rules that are about a reader of the repository of that name; none are about one
    /// without a token.
    pub fn views_for(&self, repository: &str, chain: Option<&ActorChain>) -> Vec<&ViewRule> {
        let Some(chain) = chain else {
            return Vec::new();
        };
        let fits =
            |rule: &&ViewRule| rule.is_about_repository(repository) && is_reader(rule, chain);
        self.views.rules.iter().filter(fits).collect()
    }
}

/// A view that takes something away also holds for whoever acts for somebody it is about, and one
/// that gives the whole repository only for readers who fit themselves.
fn is_reader(rule: &ViewRule, chain: &ActorChain) -> bool {
    if is_who(&rule.who, chain) {
        return true;
    }
    let who = &rule.who;
    let only_actors = who.issuers.is_empty()
        && who.behalf_of.is_empty()
        && who.claims.is_empty()
        && who.exclude_claims.is_empty();
    rule.see != See::Whole
        && only_actors
        && !is_listed(&who.exclude_actors, &chain.pusher)
        && chain
            .on_behalf_of
            .iter()
            .any(|actor| is_listed(&who.actors, actor) && !is_listed(&who.exclude_actors, actor))
}

#[cfg(test)]
mod tests;

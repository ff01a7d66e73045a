//! What a token's holder may do at most. A scope only narrows: it is checked beside the rules,
//! and nothing that they refuse passes because of it.

use std::collections::BTreeSet;

use refwarden_model::facts::{PushFacts, RefFacts, UpdateKind};
use refwarden_model::{ByteText, Code};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::glob::Glob;
use crate::verdict::Denial;

/// Most globs of one list, and most scopes of one token.
const LIST_MAX: usize = 100;

/// What a holder does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// Clones and fetches.
    Fetch,
    /// Creates refs.
    Create,
    /// Moves refs forward.
    Update,
    /// Moves refs elsewhere; moving a tag is this.
    Force,
    /// Deletes refs.
    Delete,
}

impl Verb {
    const fn name(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Force => "force",
            Self::Delete => "delete",
        }
    }

    const fn of(kind: UpdateKind) -> Option<Self> {
        match kind {
            UpdateKind::Create => Some(Self::Create),
            UpdateKind::FastForward => Some(Self::Update),
            UpdateKind::NonFastForward => Some(Self::Force),
            UpdateKind::Delete => Some(Self::Delete),
            UpdateKind::NoOp => None,
        }
    }
}

/// One scope, as the claim `refwarden` writes it. A list that is absent limits nothing; an empty
/// one allows nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TokenScope {
    /// Globs over repository names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repositories: Option<Vec<String>>,
    /// Globs over full ref names; for pushes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refs: Option<Vec<String>>,
    /// What may be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verbs: Option<BTreeSet<Verb>>,
    /// Globs over the paths of changed files; for pushes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paths: Option<Vec<String>>,
}

/// All scopes of a token; every one of them has to allow what is done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Scopes(Vec<TokenScope>);

/// Why a scope is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the scope is not understood: {0}")]
pub struct ScopeError(String);

impl Scopes {
    /// Reads the claim: a scope, or a list of scopes. A claim that is not understood in full is
    /// an error, since what it meant to forbid is not known.
    ///
    /// # Errors
    /// [`ScopeError`] for another JSON type, an unknown member, a bad glob or too long a list.
    pub fn from_claim(claim: &Value) -> Result<Self, ScopeError> {
        let fail = |error: serde_json::Error| ScopeError(error.to_string());
        let claims = match claim {
            Value::Array(claims) => claims.as_slice(),
            one => std::slice::from_ref(one),
        };
        // Derived readers take a list for a struct, member by member.
        if !claims.iter().all(Value::is_object) {
            return Err(ScopeError("expected an object".into()));
        }
        let scopes = claims.iter().cloned().map(serde_json::from_value);
        let scopes: Vec<TokenScope> = scopes.collect::<Result<_, _>>().map_err(fail)?;
        if scopes.is_empty() || scopes.len() > LIST_MAX {
            return Err(ScopeError("expected one scope, or a list of some".into()));
        }
        for scope in &scopes {
            for list in [&scope.repositories, &scope.refs, &scope.paths] {
                let globs = list.as_deref().unwrap_or_default();
                if globs.len() > LIST_MAX {
                    return Err(ScopeError(format!("more than {LIST_MAX} globs")));
                }
                for glob in globs {
                    Glob::new(glob).map_err(|error| ScopeError(error.to_string()))?;
                }
            }
        }
        Ok(Self(scopes))
    }

    /// Whether nothing is narrowed.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// These and others.
    #[must_use]
    pub fn and(mut self, others: Self) -> Self {
        for scope in others.0 {
            if !self.0.contains(&scope) {
                self.0.push(scope);
            }
        }
        self
    }

    /// Whether the repository of that name may be fetched.
    pub fn may_fetch(&self, repository: &str) -> bool {
        let may = |scope: &TokenScope| {
            matches(scope.repositories.as_ref(), repository.as_bytes())
                && scope
                    .verbs
                    .as_ref()
                    .is_none_or(|verbs| verbs.contains(&Verb::Fetch))
        };
        self.0.iter().all(may)
    }

    /// Whether anything at all may be pushed to the repository of that name.
    pub fn may_push(&self, repository: &str) -> bool {
        let may = |scope: &TokenScope| {
            matches(scope.repositories.as_ref(), repository.as_bytes())
                && scope
                    .verbs
                    .as_ref()
                    .is_none_or(|verbs| verbs.iter().any(|verb| *verb != Verb::Fetch))
        };
        self.0.iter().all(may)
    }

    /// What the scopes have against a push to the repository of that name.
    pub fn denials(&self, repository: &str, facts: &PushFacts) -> Vec<Denial> {
        let mut denials = Vec::new();
        let mut deny = |text: String| {
            let code = Code::OutOfScope;
            if !denials.iter().any(|known: &Denial| known.text == text) {
                denials.push(Denial { code, text });
            }
        };
        for scope in &self.0 {
            if !matches(scope.repositories.as_ref(), repository.as_bytes()) {
                deny("the token is not for this repository".into());
            }
            for update in &facts.updates {
                let Some(verb) = Verb::of(update.kind) else {
                    continue;
                };
                let name = &update.ref_name;
                if scope.verbs.as_ref().is_some_and(|it| !it.contains(&verb)) {
                    deny(format!("{name}: the token is not for {}", verb.name()));
                }
                let by_name = matches(scope.refs.as_ref(), name.as_bytes())
                    && matches(scope.refs.as_ref(), update.target.as_bytes());
                if !by_name {
                    deny(format!("{name}: the token is not for this ref"));
                }
                if scope.paths.is_some() && !shows_all_paths(update, facts) {
                    let why = "the token is for some paths only, and which ones this changes";
                    deny(format!("{name}: {why} is not known"));
                }
            }
            if let Some(path) = other_path(scope, facts) {
                deny(format!("the token is not for the path {path}"));
            }
        }
        denials
    }
}

/// Whether the commits that a push lists are all that a ref gains, with all of their changes.
fn shows_all_paths(update: &RefFacts, facts: &PushFacts) -> bool {
    let is_forward = matches!(update.kind, UpdateKind::Create | UpdateKind::FastForward);
    let is_commit = update.new_type.as_deref() == Some("commit");
    let is_whole = facts.commits_total == facts.commits.len() as u64;
    let mut commits = facts.commits.iter();
    is_forward
        && is_commit
        && is_whole
        && update.gained <= facts.commits_total
        && commits.all(|commit| commit.changes_total == commit.changes.len() as u64)
}

fn other_path<'a>(scope: &TokenScope, facts: &'a PushFacts) -> Option<&'a ByteText> {
    let paths = scope.paths.as_ref()?;
    let globs = compile(paths);
    let mut changed = facts.commits.iter().flat_map(|commit| &commit.changes);
    let other = changed.find(|change| !any(&globs, change.path.as_bytes()));
    other.map(|change| &change.path)
}

fn matches(list: Option<&Vec<String>>, name: &[u8]) -> bool {
    list.is_none_or(|list| any(&compile(list), name))
}

/// A glob that does not compile matches nothing; `from_claim` has refused it before.
fn compile(globs: &[String]) -> Vec<Glob> {
    globs
        .iter()
        .filter_map(|glob| Glob::new(glob).ok())
        .collect()
}

fn any(globs: &[Glob], name: &[u8]) -> bool {
    globs.iter().any(|glob| glob.is_match(name))
}

#[cfg(test)]
mod tests;

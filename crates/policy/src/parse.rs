//! Policy files, parsed strictly: an unknown key, a bad pattern or a rule that contradicts
//! itself is an error with file, line and what was expected.

mod file;
mod rule;
mod secrets;
mod view;

use std::collections::HashSet;

use sha2::{Digest, Sha256};

use crate::index::PrefixIndex;
use crate::lookalike::Lookalikes;
use crate::rule::{Effect, Rule};
use crate::secrets::Scanning;
use crate::view::{See, Views};
use crate::warnings::{self, Warning};
use file::FileIn;
use refwarden_model::facts::Mode;
use secrets::Gathered;

/// Everything that is in force: all rules of all files, and what is found quickly in them.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The rules, by id.
    pub rules: Vec<Rule>,
    /// What a secret that is new to the repository does: `Allow` or `Deny`.
    pub secrets: Effect,
    /// What else is said of secrets: rules of the scanner, exceptions, who decides on them.
    pub scanning: Scanning,
    /// What happens where no rule allows: `Allow` or `Deny`.
    pub default: Effect,
    /// Who reads what.
    pub views: Views,
    hash: String,
    /// What of the files of scanner rules has no effect.
    pub(crate) notes: Vec<Warning>,
    /// For each prefix in `index`, the rule it belongs to.
    pub(crate) ref_rules: Vec<usize>,
    pub(crate) index: PrefixIndex,
    pub(crate) lookalikes: Lookalikes,
    /// Ref names that rules name without wildcards.
    pub(crate) named: HashSet<Vec<u8>>,
}

/// Why a policy is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {problem}")]
pub struct PolicyError {
    /// The file.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// What is wrong and what was expected.
    pub problem: String,
}

/// Gives the text of a file that a policy file names: the policy file's name, and the name as
/// written there. The error says why there is none.
pub type ReadNamed<'a> = &'a dyn Fn(&str, &str) -> Result<String, String>;

/// A policy file that is being parsed.
struct Source<'a> {
    file: &'a str,
    text: &'a str,
    read: ReadNamed<'a>,
}

impl Source<'_> {
    fn line(&self, offset: usize) -> usize {
        let before = self.text.get(..offset).unwrap_or_default();
        before.matches('\n').count() + 1
    }

    fn error(&self, offset: usize, problem: impl Into<String>) -> PolicyError {
        PolicyError {
            file: self.file.to_owned(),
            line: self.line(offset),
            problem: problem.into(),
        }
    }
}

impl Policy {
    /// Parses and merges policy files, given as (name, text), that name no other files.
    ///
    /// # Errors
    /// [`PolicyError`] for the first thing that is wrong.
    pub fn parse(files: &[(&str, &str)]) -> Result<Self, PolicyError> {
        Self::parse_with(files, &|_, _| Err("no file can be read here".to_owned()))
    }

    /// Parses and merges policy files, given as (name, text). `read` gives the text of the
    /// files of owners that they name.
    ///
    /// # Errors
    /// [`PolicyError`] for the first thing that is wrong, in a policy file or in a named one.
    pub fn parse_with(files: &[(&str, &str)], read: ReadNamed<'_>) -> Result<Self, PolicyError> {
        let mut rules: Vec<Rule> = Vec::new();
        let mut secrets = Gathered::default();
        let mut default = Effect::Allow;
        let mut views = Views::default();
        for &(file, text) in files {
            let source = Source { file, text, read };
            let parsed: FileIn = toml::from_str(text).map_err(|error| {
                let offset = error.span().map_or(0, |span| span.start);
                source.error(offset, error.message().replace('\n', " "))
            })?;
            if *parsed.version.get_ref() != 1 {
                return Err(source.error(parsed.version.span().start, "expected version = 1"));
            }
            if let Some(named) = parsed.secrets {
                secrets.table(&source, named)?;
            }
            for owner in parsed.secret_owner {
                let at = owner.span().start;
                secrets.owner(&source, at, owner.into_inner())?;
            }
            for allow in parsed.secret_allow {
                secrets.allow(&source, allow)?;
            }
            if let Some(named) = parsed.default {
                default = default.max(either(&source, &named.effect, "default")?);
            }
            for rule in parsed.rule {
                let offset = rule.span().start;
                let rule = rule::resolve(&source, rule.into_inner())?;
                if rules.iter().any(|known| known.id == rule.id) {
                    let problem = format!("rule id '{}' is used twice", rule.id);
                    return Err(source.error(offset, problem));
                }
                rules.push(rule);
            }
            if let Some(named) = parsed.views {
                views.default = views.default.max(named.default);
                views.anonymous = views.anonymous.max(named.anonymous);
            }
            for view in parsed.view {
                let offset = view.span().start;
                let view = view::resolve(&source, view.into_inner())?;
                if views.rules.iter().any(|known| known.id == view.id) {
                    let problem = format!("view id '{}' is used twice", view.id);
                    return Err(source.error(offset, problem));
                }
                views.rules.push(view);
            }
        }
        rules.sort_by(|a, b| a.id.cmp(&b.id));
        views.rules.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(Self::new(rules, secrets.finish()?, default, views))
    }

    fn new(rules: Vec<Rule>, gathered: Gathered, default: Effect, views: Views) -> Self {
        let secrets = gathered.effect.unwrap_or(Effect::Deny);
        let scanning = gathered.scanning;
        let globs = || {
            let numbered = rules.iter().enumerate();
            numbered.flat_map(|(place, rule)| rule.scope.refs.iter().map(move |glob| (place, glob)))
        };
        let protects = |place: usize| {
            rules.get(place).is_some_and(|rule: &Rule| {
                rule.effect != Effect::Allow && rule.mode == Mode::Enforce
            })
        };
        let literal = globs().filter(|(_, glob)| glob.is_literal());
        Self {
            hash: hash(&rules, secrets, &scanning, default, &views),
            notes: gathered.warnings,
            ref_rules: globs().map(|(place, _)| place).collect(),
            index: PrefixIndex::new(globs().map(|(_, glob)| glob.literal_prefix())),
            lookalikes: Lookalikes::new(globs().filter(|(place, _)| protects(*place))),
            named: literal
                .map(|(_, glob)| glob.source().as_bytes().to_vec())
                .collect(),
            rules,
            secrets,
            scanning,
            default,
            views,
        }
    }

    /// Hexadecimal SHA-256 of what the policy and the files it names say, whatever the files'
    /// layout and order.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// What is probably a mistake, though it can be understood.
    pub fn warnings(&self) -> Vec<Warning> {
        warnings::of(self)
    }
}

fn either(
    source: &Source<'_>,
    effect: &toml::Spanned<Effect>,
    table: &str,
) -> Result<Effect, PolicyError> {
    match *effect.get_ref() {
        Effect::RequireApproval => {
            let problem = format!("{table}: expected \"deny\" or \"allow\"");
            Err(source.error(effect.span().start, problem))
        }
        effect => Ok(effect),
    }
}

fn hash(
    rules: &[Rule],
    secrets: Effect,
    scanning: &Scanning,
    default: Effect,
    views: &Views,
) -> String {
    let mut hasher = Sha256::new();
    let mut field = |bytes: &[u8]| {
        hasher.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
        hasher.update(bytes);
    };
    field(b"refwarden policy 2");
    field(secrets.name().as_bytes());
    field(default.name().as_bytes());
    for rule in rules {
        // Rules are plain data with text keys, so this cannot fail; if it did, the text of the
        // error would still tell policies apart by their other rules.
        field(&serde_json::to_vec(rule).unwrap_or_else(|error| error.to_string().into_bytes()));
    }
    if !scanning.is_empty() {
        field(b"scanning");
        let text = serde_json::to_vec(scanning);
        field(&text.unwrap_or_else(|error| error.to_string().into_bytes()));
    }
    if !views.is_empty() {
        field(b"views");
        let see = |see: Option<See>| see.map_or("", See::name).as_bytes();
        field(see(views.default));
        field(see(views.anonymous));
        for view in &views.rules {
            let text = serde_json::to_vec(view);
            field(&text.unwrap_or_else(|error| error.to_string().into_bytes()));
        }
    }
    hex::encode(hasher.finalize())
}

#[cfg(test)]
mod tests;

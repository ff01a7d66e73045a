//! Policy files, parsed strictly: an unknown key, a bad pattern or a rule that can never hold
//! is an error with file, line and what was expected.

use std::collections::BTreeSet;

use refwarden_model::facts::UpdateKind;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use toml::Spanned;

use crate::glob::Glob;

/// Everything that is in force: all rules of all files.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The rules, by id.
    pub rules: Vec<Rule>,
    /// What a secret that is new to the repository does.
    pub secrets: Effect,
    hash: String,
}

/// What a rule does where it applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Nothing stands against it.
    Allow,
    /// People have to approve.
    RequireApproval,
    /// It is refused.
    Deny,
}

/// One rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its name, unique over all files.
    pub id: String,
    /// Repositories it is about.
    pub repositories: Vec<Glob>,
    /// Full ref names it is about.
    pub refs: Vec<Glob>,
    /// Full ref names it leaves out.
    pub exclude: Vec<Glob>,
    /// Kinds of update it is about.
    pub on: BTreeSet<&'static str>,
    /// Actors it is about: `group:…`, `user:…`, `kind:human|agent|ci`; empty for all.
    pub actors: Vec<String>,
    /// What it does.
    pub effect: Effect,
    /// Approvals needed, for `require_approval`.
    pub quorum: u32,
    /// Who may approve: `group:…` or `user:…`.
    pub approvers: Vec<String>,
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileIn {
    version: Spanned<i64>,
    #[serde(default)]
    rule: Vec<Spanned<RuleIn>>,
    secrets: Option<SecretsIn>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SecretsIn {
    effect: Spanned<Effect>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleIn {
    id: Spanned<String>,
    #[serde(default, rename = "description")]
    _description: String,
    #[serde(default)]
    repositories: Vec<Spanned<String>>,
    refs: Vec<Spanned<String>>,
    #[serde(default)]
    exclude: Vec<Spanned<String>>,
    #[serde(default)]
    on: Vec<Spanned<String>>,
    #[serde(default)]
    actors: Vec<Spanned<String>>,
    effect: Effect,
    quorum: Option<u32>,
    #[serde(default)]
    approvers: Vec<Spanned<String>>,
}

struct Source<'a> {
    file: &'a str,
    text: &'a str,
}

impl Source<'_> {
    fn error(&self, offset: usize, problem: impl Into<String>) -> PolicyError {
        let before = self.text.get(..offset).unwrap_or_default();
        PolicyError {
            file: self.file.to_owned(),
            line: before.matches('\n').count() + 1,
            problem: problem.into(),
        }
    }
}

impl Policy {
    /// Parses and merges policy files, given as (name, text).
    ///
    /// # Errors
    /// [`PolicyError`] for the first thing that is wrong.
    pub fn parse(files: &[(&str, &str)]) -> Result<Self, PolicyError> {
        let mut rules: Vec<Rule> = Vec::new();
        let mut secrets = Effect::Allow;
        let mut secrets_named = false;
        for &(file, text) in files {
            let source = Source { file, text };
            let parsed: FileIn = toml::from_str(text).map_err(|error| {
                let offset = error.span().map_or(0, |span| span.start);
                source.error(offset, error.message().replace('\n', " "))
            })?;
            if *parsed.version.get_ref() != 1 {
                return Err(source.error(parsed.version.span().start, "expected version = 1"));
            }
            if let Some(named) = parsed.secrets {
                let effect = *named.effect.get_ref();
                if effect == Effect::RequireApproval {
                    let offset = named.effect.span().start;
                    return Err(source.error(offset, "secrets: expected \"deny\" or \"allow\""));
                }
                secrets = secrets.max(effect);
                secrets_named = true;
            }
            for rule in parsed.rule {
                let offset = rule.span().start;
                let rule = resolve(&source, rule.into_inner())?;
                if rules.iter().any(|known| known.id == rule.id) {
                    let problem = format!("rule id '{}' is used twice", rule.id);
                    return Err(source.error(offset, problem));
                }
                rules.push(rule);
            }
        }
        rules.sort_by(|a, b| a.id.cmp(&b.id));
        let secrets = if secrets_named { secrets } else { Effect::Deny };
        let hash = hash(&rules, secrets);
        Ok(Self {
            rules,
            secrets,
            hash,
        })
    }

    /// Hexadecimal SHA-256 of what the policy says, whatever the files' layout and order.
    pub fn hash(&self) -> &str {
        &self.hash
    }
}

fn resolve(source: &Source<'_>, rule: RuleIn) -> Result<Rule, PolicyError> {
    let id_at = rule.id.span().start;
    let id = rule.id.into_inner();
    let id_char = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
    if id.is_empty() || !id.chars().all(id_char) {
        return Err(source.error(
            id_at,
            "rule id: expected letters a-z, digits, '-', '_', '.'",
        ));
    }
    if rule.refs.is_empty() {
        return Err(source.error(
            id_at,
            format!("rule '{id}': expected at least one ref glob"),
        ));
    }
    let mut kinds = BTreeSet::new();
    for kind in &rule.on {
        match UpdateKind::from_name(kind.get_ref()) {
            Some(kind) if kind != UpdateKind::NoOp => {
                kinds.insert(kind.name());
            }
            _ => {
                let expected = "on: expected create, fast-forward, non-fast-forward or delete";
                return Err(source.error(kind.span().start, expected));
            }
        }
    }
    if kinds.is_empty() {
        kinds.extend(["create", "fast-forward", "non-fast-forward", "delete"]);
    }
    let full_names = |globs: Vec<Spanned<String>>| -> Result<Vec<Glob>, PolicyError> {
        for glob in &globs {
            let text = glob.get_ref();
            if !(text.starts_with("refs/") || text.starts_with("**")) {
                let expected = "expected a full ref name glob, which begins with refs/";
                return Err(source.error(glob.span().start, expected));
            }
        }
        compile(source, globs)
    };
    let approval = rule.effect == Effect::RequireApproval;
    if approval && rule.approvers.is_empty() {
        let problem = format!("rule '{id}': require_approval needs approvers");
        return Err(source.error(id_at, problem));
    }
    if !approval && (rule.quorum.is_some() || !rule.approvers.is_empty()) {
        let problem = format!("rule '{id}': quorum and approvers go with require_approval only");
        return Err(source.error(id_at, problem));
    }
    let quorum = rule.quorum.unwrap_or(1);
    if approval && quorum == 0 {
        return Err(source.error(id_at, format!("rule '{id}': quorum: expected 1 or more")));
    }
    Ok(Rule {
        repositories: compile(source, rule.repositories)?,
        refs: full_names(rule.refs)?,
        exclude: full_names(rule.exclude)?,
        on: kinds,
        actors: entries(source, rule.actors, &["group:", "user:", "kind:"])?,
        effect: rule.effect,
        quorum,
        approvers: entries(source, rule.approvers, &["group:", "user:"])?,
        id,
    })
}

fn compile(source: &Source<'_>, globs: Vec<Spanned<String>>) -> Result<Vec<Glob>, PolicyError> {
    let compile = |glob: Spanned<String>| {
        Glob::new(glob.get_ref())
            .map_err(|error| source.error(glob.span().start, error.to_string()))
    };
    globs.into_iter().map(compile).collect()
}

fn entries(
    source: &Source<'_>,
    entries: Vec<Spanned<String>>,
    prefixes: &[&str],
) -> Result<Vec<String>, PolicyError> {
    for entry in &entries {
        let text = entry.get_ref();
        let good = prefixes.iter().any(|prefix| {
            text.strip_prefix(prefix).is_some_and(|name| {
                !name.is_empty() && (*prefix != "kind:" || ["human", "agent", "ci"].contains(&name))
            })
        });
        if !good {
            let expected = format!("expected one of {}NAME", prefixes.join("NAME, "));
            return Err(source.error(entry.span().start, expected));
        }
    }
    Ok(entries.into_iter().map(Spanned::into_inner).collect())
}

fn hash(rules: &[Rule], secrets: Effect) -> String {
    let mut hasher = Sha256::new();
    let mut field = |text: &str| {
        hasher.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
        hasher.update(text.as_bytes());
    };
    field("refwarden policy 1");
    field(&format!("{secrets:?}"));
    for rule in rules {
        field(&rule.id);
        field(&format!("{:?} {}", rule.effect, rule.quorum));
        for globs in [&rule.repositories, &rule.refs, &rule.exclude] {
            field(&globs.len().to_string());
            for glob in globs {
                field(glob.source());
            }
        }
        field(&rule.on.iter().copied().collect::<Vec<_>>().join(" "));
        for list in [&rule.actors, &rule.approvers] {
            field(&list.len().to_string());
            for entry in list {
                field(entry);
            }
        }
    }
    hex::encode(hasher.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
version = 1
[[rule]]
id = "main"
refs = ["refs/heads/main"]
effect = "require_approval"
approvers = ["group:maintainers"]
"#;

    #[test]
    fn layout_does_not_change_the_hash_and_meaning_does() {
        let one = Policy::parse(&[("a", GOOD)]).unwrap();
        let spaced = GOOD.replace('\n', "\n\n");
        assert_eq!(one.hash(), Policy::parse(&[("b", &spaced)]).unwrap().hash());
        let other = GOOD.replace("maintainers", "owners");
        assert_ne!(one.hash(), Policy::parse(&[("a", &other)]).unwrap().hash());
        assert_eq!(one.secrets, Effect::Deny);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (from, to, line, problem) in [
            ("version = 1", "version = 2", 2, "expected version = 1"),
            ("effect", "efect", 6, "unknown field"),
            ("refs/heads/main", "main", 5, "begins with refs/"),
            (
                "\"group:maintainers\"",
                "\"maintainers\"",
                7,
                "expected one of group:NAME",
            ),
            ("\"group:maintainers\"", "", 4, "needs approvers"),
            ("\"main\"", "\"Main Rule\"", 4, "rule id"),
            (
                "effect =",
                "on = [\"push\"]\neffect =",
                6,
                "on: expected create",
            ),
            ("effect =", "quorum = 0\neffect =", 4, "quorum"),
            (
                "effect =",
                "actors = [\"kind:robot\"]\neffect =",
                6,
                "expected one of",
            ),
        ] {
            let error = Policy::parse(&[("p.toml", &GOOD.replacen(from, to, 1))]).unwrap_err();
            assert_eq!(error.line, line, "{error}");
            assert!(error.problem.contains(problem), "{error}");
        }
        let twice = Policy::parse(&[("a", GOOD), ("b", GOOD)]).unwrap_err();
        assert_eq!(twice.file, "b");
        assert!(twice.problem.contains("used twice"));
    }
}

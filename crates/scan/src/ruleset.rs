//! A set of rules, ready to scan.

use std::fmt;
use std::sync::OnceLock;

use sha2::{Digest, Sha256};

use crate::builtin;
use crate::condition::Conditions;
use crate::container::with_shorter;
use crate::error::RuleError;
use crate::gitleaks::{Engine, RuleInfo};
use crate::load::load;
use crate::prefilter::Prefilter;
use crate::rule::Rule;

/// Version of what the engine does with a rule. Part of every [`RulesetId`]; raised with each
/// change that can change findings.
pub const ENGINE_VERSION: u32 = 4;

/// Rules and their prefilter. Sorted by id, so the order of files and rules never matters.
#[derive(Debug)]
pub struct Ruleset {
    rules: Vec<Rule>,
    prefilter: Prefilter,
    /// Rules of `gitleaks.toml` files, each file with its own allow-lists.
    gitleaks: Vec<Engine>,
    id: OnceLock<RulesetId>,
}

impl Ruleset {
    /// The rules that ship with this crate, without the generic ones.
    ///
    /// Meant to be called at the start of a short-lived process: patterns compile when their
    /// keyword first turns up.
    ///
    /// # Errors
    ///
    /// None in practice: a test loads them. The type is that of [`Ruleset::from_toml`].
    pub fn builtin() -> Result<Self, RuleError> {
        Self::builtin_with(&[])
    }

    /// The rules that ship with this crate, without the generic ones, and more.
    ///
    /// # Errors
    ///
    /// As [`Ruleset::from_toml`] for the files given; an id of a default rule is a duplicate.
    pub fn builtin_with(files: &[(&str, &str)]) -> Result<Self, RuleError> {
        Self::shipped(|rule| !rule.generic, files)
    }

    /// The rules that ship with this crate, generic ones ([`Rule::is_generic`]) included, and
    /// more.
    ///
    /// For callers that tell [`crate::Finding::generic`] from the rest: such a finding is a guess,
    /// and is to be recorded rather than refused unless somebody asked for it.
    ///
    /// # Errors
    ///
    /// As [`Ruleset::builtin_with`].
    pub fn builtin_and_generic(files: &[(&str, &str)]) -> Result<Self, RuleError> {
        Self::shipped(|_| true, files)
    }

    fn shipped(wanted: impl Fn(&Rule) -> bool, files: &[(&str, &str)]) -> Result<Self, RuleError> {
        let mut rules = builtin::rules()?;
        rules.retain(wanted);
        let more = load(files, &rules)?;
        rules.extend(more);
        Ok(Self::new(rules))
    }

    /// Reads rule files: pairs of a name (for messages) and TOML text.
    ///
    /// # Errors
    ///
    /// The first fault found, with file, line and rule: unknown or missing keys, values out of
    /// bounds, patterns that do not compile or compile to more than 1 MiB, ids used twice.
    pub fn from_toml(files: &[(&str, &str)]) -> Result<Self, RuleError> {
        load(files, &[]).map(Self::new)
    }

    fn new(mut rules: Vec<Rule>) -> Self {
        rules.sort_by(|a, b| a.id.cmp(&b.id));
        Self {
            prefilter: Prefilter::new(&rules),
            rules,
            gitleaks: Vec::new(),
            id: OnceLock::new(),
        }
    }

    pub(crate) fn of_gitleaks(engine: Engine) -> Self {
        Self {
            rules: Vec::new(),
            prefilter: Prefilter::default(),
            gitleaks: vec![engine],
            id: OnceLock::new(),
        }
    }

    /// Some of the rules. Those of `gitleaks.toml` files stay.
    #[must_use]
    pub fn only(mut self, wanted: impl Fn(&Rule) -> bool) -> Self {
        self.rules.retain(wanted);
        Self {
            gitleaks: self.gitleaks,
            ..Self::new(self.rules)
        }
    }

    /// Adds the rules of `gitleaks.toml` files, which keep their own allow-lists.
    ///
    /// Of `files`, only what [`crate::gitleaks::load`] brought is taken. Rules of both may have
    /// the same id; what both find at the same place is reported once.
    #[must_use]
    pub fn with_gitleaks(mut self, files: impl IntoIterator<Item = Self>) -> Self {
        let engines = files.into_iter().flat_map(|file| file.gitleaks);
        self.gitleaks.extend(engines);
        self.id = OnceLock::new();
        self
    }

    /// The rules that come from `gitleaks.toml` files, file by file, sorted by id in each. They
    /// are not among [`Ruleset::rules`].
    pub fn gitleaks_rules(&self) -> impl Iterator<Item = RuleInfo<'_>> {
        self.gitleaks.iter().flat_map(Engine::infos)
    }

    /// Whether an allow-list of a `gitleaks.toml` acquits everything under a folder.
    ///
    /// gitleaks does not enter such folders. Paths of files need no question: a scan finds
    /// nothing in them.
    pub fn skips_folder(&self, path: &[u8]) -> bool {
        self.rules.is_empty()
            && !self.gitleaks.is_empty()
            && self.gitleaks.iter().all(|engine| engine.skips(path))
    }

    /// Whether an allow-list of a `gitleaks.toml` names commits, so that findings depend on which
    /// one brings something in.
    pub fn names_commits(&self) -> bool {
        self.gitleaks.iter().any(Engine::names_commits)
    }

    /// Whether a rule with a path condition is meant for this path. Rules of a `gitleaks.toml`
    /// do not count.
    pub fn has_conditions_for(&self, path: &[u8]) -> bool {
        self.prefilter.any_condition_holds(&self.rules, path)
    }

    /// Whether what is found in a file may be other than at another path: a rule with a path
    /// condition is meant for this path, or for what a compressed file at this path holds. With rules
    /// of a `gitleaks.toml`, whatever the path is.
    pub fn may_depend_on(&self, path: &[u8]) -> bool {
        !self.gitleaks.is_empty() || with_shorter(path).any(|path| self.has_conditions_for(path))
    }

    /// For asking of many names of files in which folders [`Ruleset::has_conditions_for`] may
    /// hold.
    pub fn conditions(&self) -> Conditions<'_> {
        self.prefilter.conditions(&self.rules)
    }

    pub(crate) fn gitleaks(&self) -> &[Engine] {
        &self.gitleaks
    }

    /// Names what this set finds: equal ids find equal things.
    pub fn id(&self) -> &RulesetId {
        self.id
            .get_or_init(|| RulesetId::of(&self.rules, &self.gitleaks))
    }

    /// All rules, sorted by id.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter()
    }

    pub(crate) fn compiled(&self) -> &[Rule] {
        &self.rules
    }

    pub(crate) fn prefilter(&self) -> &Prefilter {
        &self.prefilter
    }
}

/// SHA-256, in 64 lower-case hexadecimal digits, of the normalised rules and [`ENGINE_VERSION`].
///
/// Normalised: sorted by id, keywords sorted, without descriptions, links and examples, as
/// these never change what is found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RulesetId(String);

impl RulesetId {
    fn of(rules: &[Rule], gitleaks: &[Engine]) -> Self {
        let mut hash = Sha256::new();
        // Each part is preceded by its length, so no two lists of parts hash alike.
        let mut part = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        };
        part(b"refwarden-scan");
        part(&ENGINE_VERSION.to_be_bytes());
        for rule in rules {
            part(rule.id.as_bytes());
            part(rule.pattern.as_bytes());
            part(&(rule.secret_group as u64).to_be_bytes());
            part(&rule.entropy.to_be_bytes());
            part(rule.path.as_deref().unwrap_or("").as_bytes());
            part(rule.severity.to_string().as_bytes());
            part(rule.confidence.to_string().as_bytes());
            part(
                rule.checksum
                    .map_or("", crate::rule::ChecksumKind::name)
                    .as_bytes(),
            );
            part(
                rule.structure
                    .map_or("", crate::structure::Structure::name)
                    .as_bytes(),
            );
            part(&(rule.max_length.unwrap_or(0) as u64).to_be_bytes());
            part(&[u8::from(rule.keywords_exact), u8::from(rule.generic)]);
            for list in [
                &rule.keywords,
                &rule.stopwords,
                &rule.allow,
                &rule.supersedes,
            ] {
                let mut sorted: Vec<&str> = list.iter().map(String::as_str).collect();
                sorted.sort_unstable();
                part(&(sorted.len() as u64).to_be_bytes());
                for item in sorted {
                    part(item.as_bytes());
                }
            }
        }
        for engine in gitleaks {
            engine.identify(&mut part);
        }
        Self(hex::encode(hash.finalize()))
    }

    /// The 64 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for RulesetId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RulesetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Ruleset;

    /// A window around a keyword is as long as the longest match, so a default rule says how long.
    #[test]
    fn every_default_pattern_is_bounded_or_states_its_length() {
        let ruleset = Ruleset::builtin_and_generic(&[]).unwrap();
        for rule in ruleset.rules() {
            let stated = rule.max_length.is_some();
            assert!(stated || rule.matcher().bounded, "{}", rule.id());
        }
    }
}

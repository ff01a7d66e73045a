//! What a policy says of the scanner's findings: with which rules to scan, what each rule's
//! findings do, what acquits one, and who owns a rule, so that they decide on exceptions.

use refwarden_model::ByteText;
use refwarden_model::facts::{Allowed, FindingFacts, Mode, PushFacts};
use refwarden_model::rules::ScanRules;
use serde::Serialize;

use crate::glob::Glob;
use crate::parse::Policy;
use crate::verdict::Requirement;

/// The longest exception unless the owners of a rule are given another length, in seconds: 90 days.
pub(crate) const LONGEST_UNLESS_SAID: u64 = 90 * 86_400;

/// What stands in `[secrets]`, `[[secret_owner]]` and `[[secret_allow]]`, less the effect.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Scanning {
    /// What is added to the rules that ship with the scanner.
    pub rules: ScanRules,
    /// Their digest; none where nothing is added.
    pub digest: Option<String>,
    /// Whether a comment `gitleaks:allow` acquits what stands in its line.
    pub allow_comments: bool,
    /// Scanner rules whose findings act, by globs over their ids.
    pub enforce: Vec<Glob>,
    /// Scanner rules whose findings are recorded and do nothing.
    pub evaluate: Vec<Glob>,
    /// Scanner rules whose findings are not asked about.
    pub off: Vec<Glob>,
    /// Who owns which rules.
    pub owners: Vec<SecretOwner>,
    /// What has been found to be no secret.
    pub allow: Vec<SecretAllow>,
}

/// The people who decide on exceptions from some of the scanner's rules.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SecretOwner {
    /// Its name, unique over all files.
    pub id: String,
    /// Scanner rules, by globs over their ids; all where empty.
    pub rules: Vec<Glob>,
    /// Repositories; all where empty.
    pub repositories: Vec<Glob>,
    /// `group:…`, `user:…` or `email:…`.
    pub approvers: Vec<String>,
    /// How many of them.
    pub quorum: u32,
    /// The longest exception that they may give, in seconds.
    pub longest: u64,
}

/// A finding that is no secret, for good.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SecretAllow {
    /// The scanner's rule, exactly.
    pub rule: String,
    /// The fingerprint, exactly.
    pub fingerprint: String,
    /// Repositories; all where empty.
    pub repositories: Vec<Glob>,
    /// Paths; where empty, all, and what has no path.
    pub paths: Vec<Glob>,
}

impl Scanning {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A finding that is not acquitted, and what it does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted<'a> {
    pub(crate) finding: &'a FindingFacts,
    pub(crate) mode: Mode,
}

/// Findings that are not acquitted.
pub(crate) fn counted<'a>(
    policy: &Policy,
    repository: &str,
    facts: &'a PushFacts,
) -> Vec<Counted<'a>> {
    let findings = facts.findings.iter();
    findings
        .filter(|finding| acquittal(policy, repository, finding).is_none())
        .map(|finding| Counted {
            finding,
            mode: mode(policy, finding),
        })
        .collect()
}

/// What a finding does: what the policy says of its rule, or else what the hook says. Where
/// several lists name the rule, the strictest holds.
pub fn mode(policy: &Policy, finding: &FindingFacts) -> Mode {
    let said = &policy.scanning;
    let id = finding.rule_id.as_bytes();
    let named = |globs: &[Glob]| globs.iter().any(|glob| glob.is_match(id));
    if named(&said.enforce) {
        Mode::Enforce
    } else if named(&said.evaluate) {
        Mode::Evaluate
    } else if named(&said.off) {
        Mode::Off
    } else {
        finding.mode
    }
}

/// What acquits a finding, in words; none where nothing does.
pub fn acquittal(policy: &Policy, repository: &str, finding: &FindingFacts) -> Option<String> {
    let said = &policy.scanning;
    let counts = |allowed: &&Allowed| match allowed {
        Allowed::Comment => said.allow_comments,
        Allowed::IgnoreFile { file, .. } => said.rules.ignore.iter().any(|it| it.name == *file),
        Allowed::RepositoryIgnore { .. } => said.rules.repository_ignore,
        Allowed::Exception { .. } => true,
        // For what people are asked about alone: `evaluate/moves`.
        Allowed::Move => false,
    };
    let listed = |allow: &&SecretAllow| {
        let here = |globs: &[Glob]| {
            globs.is_empty() || globs.iter().any(|it| it.is_match(repository.as_bytes()))
        };
        let path = finding.path.as_ref().map(ByteText::as_bytes);
        let there = |globs: &[Glob]| {
            let is_match = |path| globs.iter().any(|glob| glob.is_match(path));
            globs.is_empty() || path.is_some_and(is_match)
        };
        allow.rule == finding.rule_id
            && allow.fingerprint == finding.fingerprint
            && here(&allow.repositories)
            && there(&allow.paths)
    };
    let found = finding.allowed.iter().find(counts).map(ToString::to_string);
    found.or_else(|| {
        let listed = said.allow.iter().find(listed);
        listed.map(|_| "a [[secret_allow]] of the policy".to_owned())
    })
}

/// Who has to agree to an exception from a rule of the scanner: all of these have to be met. None
/// where nobody owns the rule, so that there are no exceptions from it.
pub fn owners_of(policy: &Policy, repository: &str, rule_id: &str) -> Vec<Requirement> {
    let fitting = fitting(policy, repository, rule_id);
    fitting
        .map(|owner| Requirement::new(owner.id.clone(), owner.quorum, owner.approvers.clone()))
        .collect()
}

/// The longest exception from a rule of the scanner, in seconds; none where nobody owns it.
pub fn longest_exception(policy: &Policy, repository: &str, rule_id: &str) -> Option<u64> {
    let fitting = fitting(policy, repository, rule_id);
    fitting.map(|owner| owner.longest).min()
}

fn fitting<'p>(
    policy: &'p Policy,
    repository: &'p str,
    rule_id: &'p str,
) -> impl Iterator<Item = &'p SecretOwner> {
    let fits = |globs: &[Glob], text: &str| {
        globs.is_empty() || globs.iter().any(|glob| glob.is_match(text.as_bytes()))
    };
    let owners = policy.scanning.owners.iter();
    owners.filter(move |owner| fits(&owner.rules, rule_id) && fits(&owner.repositories, repository))
}

//! Limits of a rule: each that is broken gives a sentence.

mod commit;
mod content;
mod signature;

use refwarden_model::Code;
use refwarden_model::facts::{RefFacts, UpdateKind};

use super::history::{View, count};
use super::{Push, commits, printable, secrets};
use crate::rule::{Limits, Require, Rule, SecretLimit};
use crate::secrets::Counted;

/// Sentences that are told one by one.
const TOLD: usize = 5;

/// Broken limits.
#[derive(Debug, Default)]
pub struct Breaches {
    told: Vec<String>,
    total: usize,
    secrets: usize,
    /// Those of the secrets that are parts which could not be searched.
    unread: usize,
}

impl Breaches {
    /// Notes one.
    pub fn add(&mut self, sentence: impl FnOnce() -> String) {
        self.total += 1;
        if self.told.len() < TOLD {
            self.told.push(sentence());
        }
    }

    /// Whether nothing is broken.
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// What kind of breach it is, for the code that a push is refused with.
    pub const fn code(&self) -> Code {
        if self.secrets == 0 || self.secrets < self.total {
            Code::DeniedByRule
        } else if self.unread == self.total {
            Code::ScanFailed
        } else {
            Code::SecretFound
        }
    }

    /// The first few as sentences, and how many more there are.
    pub fn sentences(&self) -> Vec<String> {
        let mut sentences = self.told.clone();
        if self.total > self.told.len() {
            sentences.push(format!(
                "{} more of this kind",
                self.total - self.told.len()
            ));
        }
        sentences
    }
}

/// What is held to limits.
#[derive(Clone, Copy)]
pub struct About<'p> {
    pub push: &'p Push<'p>,
    /// Findings that nothing acquits.
    pub findings: &'p [Counted<'p>],
    pub update: &'p RefFacts,
}

/// Holds an update to a rule's limits.
pub fn check<'v, 'a: 'v>(
    rule: &Rule,
    about: About<'_>,
    view: &dyn Fn() -> &'v View<'a>,
    breaches: &mut Breaches,
) {
    let About { push, update, .. } = about;
    let limits = &rule.limits;
    of_name(limits, update, breaches);
    if let Some(max) = limits.max_refs {
        let refs = count(push.facts.updates.len());
        if refs > max {
            breaches.add(|| format!("the push updates {refs} refs, more than {max}"));
        }
    }
    let recent = push.recent;
    of_rate(
        limits.max_pushes_per_hour,
        recent.map(|it| it.hour),
        "an hour",
        breaches,
    );
    of_rate(
        limits.max_pushes_per_day,
        recent.map(|it| it.day),
        "24 hours",
        breaches,
    );
    let signed = limits.require.contains(&Require::SignedPush);
    let problem = || signature::of_push(limits, push.facts.certificate.as_ref());
    if let Some(problem) = signed.then(problem).flatten() {
        breaches.add(|| problem);
    }
    if let Some(limit) = &limits.secrets {
        let before = breaches.total;
        of_secrets(limit, rule, about, view, breaches);
        breaches.secrets += breaches.total - before;
    }
    if update.kind == UpdateKind::Delete {
        return;
    }
    of_tags(limits, update, view, breaches);
    let about_commits = commit::has_any(limits);
    let about_content = content::has_any(limits);
    if !about_commits && !about_content && limits.max_commits.is_none() {
        return;
    }
    let view = view();
    if about_commits || about_content {
        for missing in &view.missing {
            breaches.add(|| missing.clone());
        }
    }
    if let Some(max) = limits.max_commits.filter(|&max| view.gained > max) {
        breaches.add(|| format!("the ref gains {} commits, more than {max}", view.gained));
    }
    if about_commits {
        for commit in commits::commits(rule, view) {
            commit::check(limits, push.chain, commit, breaches);
        }
    }
    if about_content {
        content::check(rule, view, breaches);
    }
}

fn of_name(limits: &Limits, update: &RefFacts, breaches: &mut Breaches) {
    if update.kind == UpdateKind::Delete {
        return;
    }
    let name = update.ref_name.as_bytes();
    for pattern in &limits.ref_must_match {
        if !pattern.regex.is_match(name) {
            breaches.add(|| format!("the ref name does not match {}", printable(&pattern.source)));
        }
    }
    for pattern in &limits.ref_must_not_match {
        if pattern.regex.is_match(name) {
            breaches.add(|| format!("the ref name matches {}", printable(&pattern.source)));
        }
    }
}

fn of_tags<'v, 'a: 'v>(
    limits: &Limits,
    update: &RefFacts,
    view: &dyn Fn() -> &'v View<'a>,
    breaches: &mut Breaches,
) {
    let signed = limits.require.contains(&Require::SignedTags);
    let annotated = signed || limits.require.contains(&Require::AnnotatedTags);
    if !annotated || !update.target.is_tag() {
        return;
    }
    if update.new_type.as_deref() != Some("tag") {
        breaches.add(|| "the tag is not annotated".to_owned());
    } else if signed {
        let problem = match view().tag {
            Some(tag) => signature::problem(limits, None, tag.signature.as_ref()),
            None => Some("not known to be signed, which counts as a breach".to_owned()),
        };
        if let Some(problem) = problem {
            breaches.add(|| format!("the tag is {problem}"));
        }
    }
}

fn of_secrets<'v, 'a: 'v>(
    limit: &SecretLimit,
    rule: &Rule,
    about: About<'_>,
    view: &dyn Fn() -> &'v View<'a>,
    breaches: &mut Breaches,
) {
    for &Counted { finding, mode } in about.findings {
        let id = finding.rule_id.as_bytes();
        let about = (limit.rules.is_empty() || limit.rules.iter().any(|glob| glob.is_match(id)))
            && finding
                .confidence
                .is_none_or(|sure| sure >= limit.confidence)
            && limit.modes.contains(&mode)
            && (limit.places.is_empty() || limit.places.contains(&finding.place))
            && (limit.pre_existing || !finding.pre_existing)
            && finding
                .path
                .as_ref()
                .is_none_or(|path| commits::is_about(rule, path));
        // What came with another ref of the push is that ref's; what cannot be told is every
        // ref's.
        let elsewhere = || finding.commit.is_some_and(|oid| view().is_elsewhere(oid));
        if about && !elsewhere() {
            breaches.unread += usize::from(secrets::is_unread(finding));
            breaches.add(|| secrets::describe(finding));
        }
    }
    if let Some(text) = secrets::unlisted(about.push.facts) {
        breaches.add(|| text);
    }
}

/// How often somebody pushes. The push that is judged counts too.
fn of_rate(max: Option<u64>, before: Option<u64>, span: &str, breaches: &mut Breaches) {
    let Some(max) = max else { return };
    match before.map(|before| before.saturating_add(1)) {
        Some(pushes) if pushes <= max => {}
        Some(pushes) => {
            breaches.add(|| format!("it is push {pushes} of its pusher within {span}, of {max}"));
        }
        None => breaches.add(|| format!("how often its pusher pushed within {span} is not known")),
    }
}

//! What the policy's `[secrets]` table says of findings; rules may say more.

use refwarden_model::Code;
use refwarden_model::facts::{FindingFacts, Mode, PushFacts};

use super::history::count;
use crate::parse::Policy;
use crate::rule::Effect;
use crate::secrets::Counted;
use crate::verdict::Denial;

/// What findings refuse, whatever the ref.
pub fn denials(policy: &Policy, findings: &[Counted<'_>], facts: &PushFacts) -> Vec<Denial> {
    if policy.secrets != Effect::Deny {
        return Vec::new();
    }
    let mut denials: Vec<Denial> = findings
        .iter()
        .filter(|it| !it.finding.pre_existing && it.mode == Mode::Enforce)
        .map(|Counted { finding, .. }| Denial {
            code: if is_unread(finding) {
                Code::ScanFailed
            } else {
                Code::SecretFound
            },
            text: describe(finding),
        })
        .collect();
    // What is not listed may be anything: a list that was cut never passes. Told near the top, for
    // such a list is long.
    if let Some(text) = unlisted(facts) {
        let code = Code::ScanFailed;
        denials.insert(denials.len().min(1), Denial { code, text });
    }
    denials
}

/// Whether it is about something that could not be searched.
pub(super) fn is_unread(finding: &FindingFacts) -> bool {
    finding.rule_id.starts_with("unread-")
}

/// A finding as one line, without the secret.
pub fn describe(finding: &FindingFacts) -> String {
    let (members, undone) = (finding.members(), finding.undone());
    let line = finding.line;
    let place = match (&finding.path, &finding.object) {
        (Some(path), _) => format!("{path}{members}:{line}{undone}"),
        (None, Some(object)) => {
            let place = finding.place.name();
            format!("{place} {}{members} line {line}{undone}", object.short())
        }
        (None, None) => format!("a {}", finding.place.name()),
    };
    let commit = finding
        .commit
        .map(|oid| format!(" (commit {})", oid.short()));
    let commit = commit.unwrap_or_default();
    if is_unread(finding) {
        let place = match (&finding.path, &finding.object) {
            (Some(path), _) => path.to_string(),
            (None, Some(object)) => format!("{} {}", finding.place.name(), object.short()),
            (None, None) => format!("a {}", finding.place.name()),
        };
        return format!(
            "{place}{members}{undone}{commit} cannot be searched for secrets: {} ({})",
            finding.redacted, finding.rule_id
        );
    }
    format!(
        "secret {} in {place}{commit} {}",
        finding.rule_id, finding.redacted
    )
}

/// Says that the list of findings was cut, where it was.
pub fn unlisted(facts: &PushFacts) -> Option<String> {
    let hidden = facts
        .findings_total
        .checked_sub(count(facts.findings.len()))?;
    (hidden > 0).then(|| format!("{hidden} more findings than can be judged one by one"))
}

//! The evaluation itself.

use refwarden_model::facts::{PushFacts, RefFacts, UpdateKind};
use refwarden_model::{ActorChain, Code, RefName};

use crate::approval::is_listed;
use crate::glob::Glob;
use crate::parse::{Effect, Policy, Rule};
use crate::verdict::{Denial, RefOutcome, RefVerdict, Requirement, Spoken, Verdict};

/// Judges a push to the repository of that name by that actor chain.
pub fn evaluate(
    policy: &Policy,
    repository: &str,
    chain: &ActorChain,
    facts: &PushFacts,
) -> Verdict {
    let judge = |update: &RefFacts| judge_update(policy, repository, chain, update);
    Verdict {
        updates: facts.updates.iter().map(judge).collect(),
        denials: secret_denials(policy, facts),
    }
}

fn secret_denials(policy: &Policy, facts: &PushFacts) -> Vec<Denial> {
    if policy.secrets != Effect::Deny {
        return Vec::new();
    }
    let new = facts
        .findings
        .iter()
        .filter(|finding| !finding.pre_existing);
    let denial = |finding: &refwarden_model::facts::FindingFacts| {
        let place = match (&finding.path, &finding.object) {
            (Some(path), _) => format!("{path}:{}", finding.line),
            (None, Some(object)) => {
                format!(
                    "{} {} line {}",
                    finding.place.name(),
                    object.short(),
                    finding.line
                )
            }
            (None, None) => format!("a {}", finding.place.name()),
        };
        let commit = finding
            .commit
            .map(|oid| format!(" (commit {})", oid.short()));
        let commit = commit.unwrap_or_default();
        let text = format!(
            "secret {} in {place}{commit} {}",
            finding.rule_id, finding.redacted
        );
        Denial {
            code: Code::SecretFound,
            text,
        }
    };
    let mut denials: Vec<Denial> = new.map(denial).collect();
    // What is not listed may be anything: a list that was cut never passes.
    let listed = u64::try_from(facts.findings.len()).unwrap_or(u64::MAX);
    if facts.findings_total > listed {
        let hidden = facts.findings_total - listed;
        let text = format!("{hidden} more findings than can be judged one by one");
        denials.push(Denial {
            code: Code::ScanFailed,
            text,
        });
    }
    denials
}

fn judge_update(
    policy: &Policy,
    repository: &str,
    chain: &ActorChain,
    update: &RefFacts,
) -> RefVerdict {
    let mut spoke = Vec::new();
    let mut requirements = Vec::new();
    let mut denials = built_in_denials(update);
    if update.kind != UpdateKind::NoOp {
        for rule in policy
            .rules
            .iter()
            .filter(|rule| applies(rule, repository, chain, update))
        {
            spoke.push(Spoken {
                rule: rule.id.clone(),
                effect: rule.effect,
            });
            match rule.effect {
                Effect::Allow => {}
                Effect::RequireApproval => requirements.push(Requirement {
                    rule: rule.id.clone(),
                    quorum: rule.quorum,
                    approvers: rule.approvers.clone(),
                }),
                Effect::Deny => denials.push(Denial {
                    code: Code::DeniedByRule,
                    text: format!(
                        "{}: {} is denied by rule {}",
                        update.ref_name,
                        update.kind.name(),
                        rule.id
                    ),
                }),
            }
        }
    }
    let outcome = if !denials.is_empty() {
        RefOutcome::Deny { denials }
    } else if requirements.is_empty() {
        RefOutcome::Allow
    } else {
        RefOutcome::RequireApproval { requirements }
    };
    RefVerdict {
        ref_name: update.ref_name.clone(),
        outcome,
        spoke,
    }
}

/// What no policy has to say. A replace ref makes `git show` lie to everyone; a name with
/// invisible or direction-changing characters is not what an approver reads.
fn built_in_denials(update: &RefFacts) -> Vec<Denial> {
    let deny = |name: &RefName, why: &str| Denial {
        code: Code::DeniedRefName,
        text: format!("{name}: {why}"),
    };
    let target = (update.target != update.ref_name).then_some(&update.target);
    let mut denials = Vec::new();
    if update.kind != UpdateKind::NoOp && update.claimed_old != update.actual_old {
        // For a delete git itself does not compare: it would remove whatever is there.
        let text = format!(
            "{} is at {}, not at {} as the push says",
            update.ref_name,
            update.actual_old.short(),
            update.claimed_old.short()
        );
        denials.push(Denial {
            code: Code::StaleOldOid,
            text,
        });
    }
    for name in std::iter::once(&update.ref_name).chain(target) {
        if name.as_bytes().starts_with(b"refs/replace/") {
            denials.push(deny(name, "replace refs are not accepted"));
        }
        if String::from_utf8_lossy(name.as_bytes())
            .chars()
            .any(is_deceptive)
        {
            denials.push(deny(name, "the name holds invisible or control characters"));
        }
    }
    denials
}

/// Controls, zero-width and bidirectional characters (Unicode 16, Cf and Cc as they occur in
/// names that deceive: UTS 39, section 2.10).
fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

fn applies(rule: &Rule, repository: &str, chain: &ActorChain, update: &RefFacts) -> bool {
    let any = |globs: &[Glob], name: &[u8]| globs.iter().any(|glob| glob.is_match(name));
    let about =
        |name: &RefName| any(&rule.refs, name.as_bytes()) && !any(&rule.exclude, name.as_bytes());
    (rule.repositories.is_empty() || any(&rule.repositories, repository.as_bytes()))
        && (about(&update.ref_name) || about(&update.target))
        && rule.on.contains(update.kind.name())
        && (rule.actors.is_empty() || is_listed(&rule.actors, &chain.pusher))
}

#[cfg(test)]
mod tests;

//! What no policy has to say. A replace ref makes `git show` lie to everyone; a name with
//! invisible or direction-changing characters, or one that looks like a protected name, is not
//! what an approver reads.

use refwarden_model::facts::{RefFacts, UpdateKind};
use refwarden_model::{Code, RefName};

use super::scope;
use crate::parse::Policy;

/// What stands against an update whatever the rules say.
pub fn denials(policy: &Policy, repository: &str, update: &RefFacts) -> Vec<crate::Denial> {
    let deny = |code, text| crate::Denial { code, text };
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
        denials.push(deny(Code::StaleOldOid, text));
    }
    for name in std::iter::once(&update.ref_name).chain(target) {
        let mut bad_name = |why: &str| {
            denials.push(deny(Code::DeniedRefName, format!("{name}: {why}")));
        };
        if name.as_bytes().starts_with(b"refs/replace/") {
            bad_name("replace refs are not accepted");
        }
        let text = String::from_utf8_lossy(name.as_bytes());
        if text.chars().any(is_deceptive) {
            bad_name("the name holds invisible or control characters");
        }
        // One that stands may be deleted, which is how to be rid of it.
        let stands = matches!(update.kind, UpdateKind::Delete | UpdateKind::NoOp);
        if let Some(rule) = looks_protected(policy, repository, name).filter(|_| !stands) {
            bad_name(&format!(
                "the name looks like one that rule {rule} protects"
            ));
        }
    }
    denials
}

/// The rule that protects a name which this one could be taken for. None for a name that the
/// rule speaks of itself, or that some rule names in full: then it was thought of.
fn looks_protected<'p>(policy: &'p Policy, repository: &str, name: &RefName) -> Option<&'p str> {
    let name = name.as_bytes();
    let alike = policy.lookalikes.of(name);
    if alike.is_empty() || policy.named.contains(name) {
        return None;
    }
    let rules = alike.iter().filter_map(|&place| policy.rules.get(place));
    rules
        .filter(|rule| scope::is_about_repository(rule, repository))
        .find(|rule| {
            let mut globs = rule.scope.refs.iter().chain(&rule.scope.exclude);
            !globs.any(|glob| glob.is_match(name))
        })
        .map(|rule| rule.id.as_str())
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

//! Secrets that a push from a masked clone would put where they did not stand. Nothing here is
//! about where they are put: whoever owns the scanner's rules that find the secret where it stands
//! is asked, where the view of the pusher says so, and otherwise the push is refused.
//!
//! What is found in lines that move as a whole is what people are asked about, whichever rule finds
//! it: whether a rule does may depend on the secret, of which nobody is told before they have looked.

use refwarden_model::Code;
use refwarden_model::facts::{FindingFacts, Mode, RefFacts, SecretMove, UpdateKind};

use super::{Push, printable};
use crate::parse::Policy;
use crate::rule::Effect;
use crate::secrets::owners_of;
use crate::verdict::{Denial, Requirement, Spoken};
use crate::view::Reading;

/// What comes of them, alike for each ref of the push: which of them a ref reaches is not asked.
pub struct Moves<'a> {
    secrets: &'a [SecretMove],
    /// Who has to approve, each with what moves.
    asked: Vec<(Requirement, Vec<String>)>,
    /// Why the push is refused.
    pub denials: Vec<Denial>,
}

impl<'a> Moves<'a> {
    /// Judges them.
    pub fn judge(policy: &Policy, push: &Push<'a>) -> Self {
        let mut judged = Self {
            secrets: &push.facts.secret_moves,
            asked: Vec::new(),
            denials: Vec::new(),
        };
        if judged.secrets.is_empty() {
            return judged;
        }
        // The hook is told of moves by whoever runs it, so the policy has the last word.
        let reading = policy.reading(push.repository, Some(push.chain));
        let may_ask = matches!(reading, Reading::Masked(masking) if masking.may_move);
        for secret in judged.secrets {
            if !may_ask {
                judged.deny(format!("{secret}: a placeholder of a masked view moves"));
                continue;
            }
            // Each rule that finds it has owners of its own, who answer for what it finds.
            for rule in secret.rules() {
                if owners_of(policy, push.repository, rule).is_empty() {
                    let rule = printable(rule);
                    judged.deny(format!(
                        "{secret} cannot be approved: no [[secret_owner]] owns the rule {rule}"
                    ));
                }
            }
            let owners = secret
                .rules()
                .flat_map(|rule| owners_of(policy, push.repository, rule));
            for owner in owners {
                // A name that no `[[rule]]` can have: what people open for one of those, such as a
                // window of time, stands for no secret.
                let rule = format!("secret_owner:{}", owner.rule);
                judged.ask(Requirement { rule, ..owner }, secret.to_string());
            }
        }
        judged
    }

    fn deny(&mut self, text: String) {
        let code = Code::Placeholder;
        self.denials.push(Denial { code, text });
    }

    fn ask(&mut self, owner: Requirement, secret: String) {
        match self.asked.iter_mut().find(|(known, _)| *known == owner) {
            Some((_, secrets)) if secrets.last() == Some(&secret) => {}
            Some((_, secrets)) => secrets.push(secret),
            None => self.asked.push((owner, vec![secret])),
        }
    }

    /// Whether a finding is a secret that people are asked about.
    pub fn acquit(&self, finding: &FindingFacts) -> bool {
        self.denials.is_empty() && self.secrets.iter().any(|it| it.brings(finding))
    }

    /// Whom an update asks, and what is said of that.
    pub fn asked(&self, update: &RefFacts) -> Vec<(Spoken, Requirement)> {
        if matches!(update.kind, UpdateKind::NoOp | UpdateKind::Delete) {
            return Vec::new();
        }
        let first = format!(
            "{} of {} comes through a masked view",
            update.kind.name(),
            update.ref_name
        );
        let spoken = |owner: &Requirement, secrets: &[String]| Spoken {
            rule: owner.rule.clone(),
            effect: Effect::RequireApproval,
            mode: Mode::Enforce,
            because: std::iter::once(first.clone())
                .chain(secrets.iter().map(|text| printable(text)))
                .collect(),
            bypass: None,
        };
        let asked = self.asked.iter();
        asked
            .map(|(owner, secrets)| (spoken(owner, secrets), owner.clone()))
            .collect()
    }
}

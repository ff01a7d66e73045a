//! The evaluation itself.
//!
//! Cost: what depends on the push alone (repository, actor, time) is asked once for each rule;
//! an update then looks only at rules whose globs share its name's beginning. Commits are walked
//! for an update only when a rule that speaks of them applies to it.
//!
//! What is not known counts against the push: a rule that denies or asks for approval takes an
//! unknown fact for one that fits, a rule that allows takes it for one that does not.

mod built_in;
mod commits;
mod history;
mod limits;
mod moves;
mod people;
pub(crate) mod scope;
mod secrets;
mod silence;

use std::cell::OnceCell;

use chrono::{DateTime, Utc};
use refwarden_model::bytes::escape;
use refwarden_model::facts::{PushFacts, RefFacts, UpdateKind};
use refwarden_model::{ActorChain, ByteText, Code};

use crate::approval::listed_by;
use crate::parse::Policy;
use crate::rule::{Effect, Rule};
use crate::secrets::{Counted, counted};
use crate::verdict::{Bypass, Denial, RefOutcome, RefVerdict, Spoken, Verdict};
use history::{History, View};
use limits::Breaches;
use moves::Moves;
pub use secrets::describe as describe_finding;
pub use silence::{Silent, silent};

/// A push as policy sees it.
#[derive(Clone, Copy, Debug)]
pub struct Push<'a> {
    /// The repository's name.
    pub repository: &'a str,
    /// Who pushes, and for whom.
    pub chain: &'a ActorChain,
    /// What was learned.
    pub facts: &'a PushFacts,
    /// When it came in.
    pub now: DateTime<Utc>,
    /// How much the pusher has pushed lately; none where nobody has counted.
    pub recent: Option<RecentPushes>,
}

/// Pushes of an actor to all repositories, refused ones too, without the one that is judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecentPushes {
    /// In the last hour.
    pub hour: u64,
    /// In the last 24 hours.
    pub day: u64,
}

/// Judges a push.
pub fn evaluate(policy: &Policy, push: &Push<'_>) -> Verdict {
    let here = |rule: &Rule| scope::applies(rule, push).is_ok();
    let moves = Moves::judge(policy, push);
    let mut findings = counted(policy, push.repository, push.facts);
    findings.retain(|it| !moves.acquit(it.finding));
    let mut denials = secrets::denials(policy, &findings, push.facts);
    denials.extend_from_slice(&moves.denials);
    let judge = Judge {
        policy,
        push,
        active: policy.rules.iter().map(here).collect(),
        history: OnceCell::new(),
        findings,
        moves,
    };
    Verdict {
        updates: push
            .facts
            .updates
            .iter()
            .map(|update| judge.update(update))
            .collect(),
        denials,
    }
}

/// One push under one policy.
struct Judge<'a> {
    policy: &'a Policy,
    push: &'a Push<'a>,
    /// For each rule, whether repository, actor and time fit.
    active: Vec<bool>,
    history: OnceCell<History<'a>>,
    /// Findings that nothing acquits.
    findings: Vec<Counted<'a>>,
    /// Secrets that move.
    moves: Moves<'a>,
}

impl<'a> Judge<'a> {
    fn update(&self, update: &'a RefFacts) -> RefVerdict {
        let mut spoke = Vec::new();
        let mut requirements = Vec::new();
        let mut denials = built_in::denials(self.policy, self.push.repository, update);
        let mut allowed = self.policy.default == Effect::Allow || update.kind == UpdateKind::NoOp;
        let view = OnceCell::new();
        let view = || {
            view.get_or_init(|| {
                let history = self.history.get_or_init(|| History::new(self.push.facts));
                history.view(update)
            })
        };
        for rule in self.rules_for(update) {
            let Some((because, breaches)) = self.speaks(rule, update, &view) else {
                continue;
            };
            let mut spoken = Spoken {
                rule: rule.id.clone(),
                effect: rule.effect,
                mode: rule.mode,
                because,
                bypass: None,
            };
            if let Some(entry) = listed_by(&rule.bypass, &self.push.chain.pusher) {
                match self.reason() {
                    Some(reason) => {
                        let by = entry.to_owned();
                        spoken.bypass = Some(Bypass { by, reason });
                    }
                    None => spoken.because.push(format!(
                        "{} may pass this rule by with the push option reason=",
                        printable(entry)
                    )),
                }
            }
            if spoken.acted() {
                match rule.effect {
                    Effect::Allow => allowed = true,
                    Effect::RequireApproval => {
                        requirements.extend(people::requirements(rule, view));
                    }
                    Effect::Deny => denials.push(denial(rule, update, &breaches)),
                }
            }
            spoke.push(spoken);
        }
        for (spoken, asked) in self.moves.asked(update) {
            spoke.push(spoken);
            requirements.push(asked);
        }
        if !allowed {
            denials.push(Denial {
                code: Code::DeniedByRule,
                text: format!(
                    "{}: no rule allows {} by {}",
                    update.ref_name,
                    update.kind.name(),
                    printable(&self.push.chain.describe())
                ),
            });
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

    /// Rules that may be about an update, by id.
    fn rules_for(&self, update: &RefFacts) -> Vec<&'a Rule> {
        if update.kind == UpdateKind::NoOp {
            return Vec::new();
        }
        let target = (update.target != update.ref_name).then_some(&update.target);
        let mut places: Vec<usize> = std::iter::once(&update.ref_name)
            .chain(target)
            .flat_map(|name| self.policy.index.candidates(name.as_bytes()))
            .filter_map(|place| self.policy.ref_rules.get(place).copied())
            .filter(|&rule| self.active.get(rule) == Some(&true))
            .collect();
        places.sort_unstable();
        places.dedup();
        let rule = |place| self.policy.rules.get(place);
        places.into_iter().filter_map(rule).collect()
    }

    /// Why a rule speaks of an update, and which of its limits are broken; none where it does
    /// not speak.
    fn speaks<'v>(
        &self,
        rule: &Rule,
        update: &RefFacts,
        view: &dyn Fn() -> &'v View<'a>,
    ) -> Option<(Vec<String>, Breaches)>
    where
        'a: 'v,
    {
        let glob = scope::about(rule, update).ok()?;
        let default_branch = scope::default_branch(rule, update).ok()?;
        let mut breaches = Breaches::default();
        let mut touched = None;
        if !rule.paths.is_empty() || !rule.exclude_paths.is_empty() {
            touched = Some(commits::touched(rule, view())?);
        }
        if !rule.limits.is_empty() {
            let about = limits::About {
                push: self.push,
                findings: &self.findings,
                update,
            };
            limits::check(rule, about, view, &mut breaches);
            if breaches.is_empty() {
                return None;
            }
        }
        let mut because = vec![format!(
            "{} of {} matches {}",
            update.kind.name(),
            update.ref_name,
            printable(glob)
        )];
        because.extend(default_branch.map(str::to_owned));
        because.extend(scope::because(rule, self.push));
        because.extend(touched);
        because.extend(breaches.sentences());
        Some((because, breaches))
    }

    /// The reason that came with the push.
    fn reason(&self) -> Option<ByteText> {
        let options = self.push.facts.push_options.iter();
        options
            .filter_map(|option| option.as_bytes().strip_prefix(b"reason="))
            .map(<[u8]>::trim_ascii)
            .find(|reason| !reason.is_empty())
            .map(ByteText::new)
    }
}

fn denial(rule: &Rule, update: &RefFacts, breaches: &Breaches) -> Denial {
    let mut text = format!(
        "{}: {} is denied by rule {}",
        update.ref_name,
        update.kind.name(),
        rule.id
    );
    let broken = breaches.sentences().join("; ");
    if !broken.is_empty() {
        text.push_str(": ");
        text.push_str(&broken);
    }
    let code = breaches.code();
    Denial { code, text }
}

/// Text of the policy, or of a token, as printable ASCII.
fn printable(text: &str) -> String {
    escape(text.as_bytes())
}

#[cfg(test)]
mod tests;

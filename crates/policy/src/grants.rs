//! Where a window of time may be opened for an actor, by whom, and for how long. What is pushed
//! within it is judged like any other push; only the approvals of the rules named here are given.

use refwarden_model::facts::Mode;
use refwarden_model::{ActorChain, RefName};
use serde::{Deserialize, Serialize};

use crate::evaluate::scope;
use crate::parse::Policy;
use crate::rule::{Effect, Rule};
use crate::verdict::Requirement;

/// A rule whose approvals a window of time may stand for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grantable {
    /// The rule's id.
    pub rule: String,
    /// The longest window, in seconds.
    pub longest: u64,
    /// Who has to open it: all of these have to be met.
    pub requirements: Vec<Requirement>,
}

/// The rules that may ask for approval of pushes to a ref by a chain, and that name a longest
/// window, by their ids. What a push changes, and when it comes, is not asked: that is judged when
/// it does.
pub fn grantable(
    policy: &Policy,
    repository: &str,
    chain: &ActorChain,
    ref_name: &RefName,
) -> Vec<Grantable> {
    let about = |rule: &&Rule| {
        rule.effect == Effect::RequireApproval
            && rule.mode == Mode::Enforce
            && scope::is_about_repository(rule, repository)
            && scope::is_about_ref(rule, ref_name)
            && scope::is_by(rule, chain)
    };
    let grantable = |rule: &Rule| {
        Some(Grantable {
            rule: rule.id.clone(),
            longest: rule.asks.longest_grant?,
            requirements: openers(rule),
        })
    };
    policy
        .rules
        .iter()
        .filter(about)
        .filter_map(grantable)
        .collect()
}

/// Who opens a window for a rule: those whom it names for that, or else its approvers.
fn openers(rule: &Rule) -> Vec<Requirement> {
    let asks = &rule.asks;
    let of = |quorum, people: &[String]| Requirement::new(rule.id.clone(), quorum, people.to_vec());
    if !asks.grants.is_empty() {
        return vec![of(asks.quorum, &asks.grants)];
    }
    let mut requirements = Vec::new();
    if !asks.approvers.is_empty() {
        requirements.push(of(asks.quorum, &asks.approvers));
    }
    requirements.extend(asks.all_of.iter().map(|it| of(it.quorum, &it.approvers)));
    requirements
}

#[cfg(test)]
mod tests {
    use super::*;
    use refwarden_model::{Actor, ActorKind};

    fn chain(kind: ActorKind) -> ActorChain {
        ActorChain {
            pusher: Actor {
                issuer: "i".into(),
                subject: "bot".into(),
                kind,
                name: None,
                email: None,
                groups: vec![],
                claims: std::collections::BTreeMap::new(),
            },
            on_behalf_of: vec![],
        }
    }

    #[test]
    fn a_window_stands_for_the_rules_that_name_one() {
        let text = "version = 1\n\
            [[rule]]\nid = \"a\"\nrefs = [\"refs/heads/**\"]\nexclude = [\"refs/heads/x\"]\n\
            effect = \"require_approval\"\napprovers = [\"group:m\"]\nquorum = 2\n\
            all_of = [{ approvers = [\"group:s\"] }]\nlongest_grant = \"30m\"\n\
            [[rule]]\nid = \"b\"\nrefs = [\"refs/heads/**\"]\nactors = [\"kind:agent\"]\n\
            effect = \"require_approval\"\napprovers = [\"group:m\"]\n\
            grants = [\"group:leads\"]\nlongest_grant = \"1h\"\n\
            [[rule]]\nid = \"c\"\nrefs = [\"**\"]\neffect = \"require_approval\"\n\
            approvers = [\"group:m\"]\n";
        let policy = Policy::parse(&[("p.toml", text)]).unwrap();
        let check = |kind, name: &str, expected: &[&str]| {
            let name = RefName::parse(name.as_bytes()).unwrap();
            let found = grantable(&policy, "app", &chain(kind), &name);
            let rules: Vec<_> = found.iter().map(|it| it.rule.as_str()).collect();
            assert_eq!(rules, expected, "{name}");
            found
        };
        let both = check(ActorKind::Agent, "refs/heads/main", &["a", "b"]);
        assert_eq!((both[0].longest, both[1].longest), (1800, 3600));
        assert_eq!(both[0].requirements.len(), 2);
        assert_eq!(both[1].requirements[0].approvers, ["group:leads"]);
        check(ActorKind::Human, "refs/heads/main", &["a"]);
        check(ActorKind::Agent, "refs/heads/x", &["b"]);
        check(ActorKind::Agent, "refs/tags/main", &[]);
    }
}

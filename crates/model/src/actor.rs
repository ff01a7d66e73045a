//! Who acts: the pusher and, for an agent, the human it acts for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What kind of actor a token names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ActorKind {
    /// A person.
    Human,
    /// A program that acts for a person.
    Agent,
    /// A build job.
    Ci,
}

impl ActorKind {
    /// The word used in policy files, records and pages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::Agent => "agent",
            Self::Ci => "ci",
        }
    }
}

/// One authenticated identity. `(issuer, subject)` names it; the rest describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The token's `iss`, exactly.
    pub issuer: String,
    /// The token's `sub` (or an `act` claim's).
    pub subject: String,
    /// Human, agent or CI job.
    pub kind: ActorKind,
    /// A name for people to read; never compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The e-mail address, only where the issuer says it is verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The groups that the issuer puts the actor in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Further claims that the issuer's configuration asks to keep for policy, each as the
    /// strings it holds: a number or a boolean as JSON writes it, a list element by element.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub claims: BTreeMap<String, Vec<String>>,
}

impl Actor {
    /// Whether both name the same person: equal issuer and subject, or the same verified e-mail
    /// address (ASCII case ignored).
    pub fn is_same_person(&self, other: &Self) -> bool {
        let same_account = self.issuer == other.issuer && self.subject == other.subject;
        let same_email = match (&self.email, &other.email) {
            (Some(mine), Some(theirs)) => mine.eq_ignore_ascii_case(theirs),
            _ => false,
        };
        same_account || same_email
    }
}

/// The pusher, and those it acts for, nearest first (RFC 8693, section 4.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActorChain {
    /// Who authenticated. Never the author or committer of a commit.
    pub pusher: Actor,
    /// The human behind an agent; empty when the pusher acts for itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on_behalf_of: Vec<Actor>,
}

impl ActorChain {
    /// Everyone in the chain; all of them are barred from approving the push.
    pub fn everyone(&self) -> impl Iterator<Item = &Actor> {
        std::iter::once(&self.pusher).chain(&self.on_behalf_of)
    }

    /// One line for people: `agent for ada`.
    pub fn describe(&self) -> String {
        let mut text = self.pusher.subject.clone();
        for actor in &self.on_behalf_of {
            text.push_str(" for ");
            text.push_str(&actor.subject);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn actor(issuer: &str, subject: &str, email: Option<&str>) -> Actor {
        Actor {
            issuer: issuer.into(),
            subject: subject.into(),
            kind: ActorKind::Human,
            name: None,
            email: email.map(Into::into),
            groups: vec![],
            claims: BTreeMap::new(),
        }
    }

    #[test]
    fn one_person_by_account_or_by_verified_address() {
        let ada = actor("a", "ada", Some("ada@example.org"));
        assert!(ada.is_same_person(&actor("a", "ada", None)));
        assert!(ada.is_same_person(&actor("b", "lovelace", Some("ADA@example.org"))));
        assert!(!ada.is_same_person(&actor("b", "ada", None)));
        assert!(!actor("a", "x", None).is_same_person(&actor("a", "y", None)));
    }
}

//! What policy computed. Recorded with every push.

use refwarden_model::{Code, RefName};
use serde::{Deserialize, Serialize};

use crate::parse::Effect;

/// The verdict on a push: one for each ref update, and what stands against all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// In the order of the ref updates.
    pub updates: Vec<RefVerdict>,
    /// What refuses the whole push, whatever the ref.
    pub denials: Vec<Denial>,
}

/// The verdict on one ref update.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefVerdict {
    /// The ref as the client named it.
    pub ref_name: RefName,
    /// What comes of it.
    pub outcome: RefOutcome,
    /// Every rule that applied.
    pub spoke: Vec<Spoken>,
}

/// What comes of a ref update.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum RefOutcome {
    /// It may move.
    Allow,
    /// It may move once each requirement is met.
    RequireApproval {
        /// What people have to say.
        requirements: Vec<Requirement>,
    },
    /// It may not move.
    Deny {
        /// Why.
        denials: Vec<Denial>,
    },
}

/// A rule that applied, and what it asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spoken {
    /// The rule's id.
    pub rule: String,
    /// What it asked for.
    pub effect: Effect,
}

/// What one rule asks of people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requirement {
    /// The rule's id.
    pub rule: String,
    /// How many people.
    pub quorum: u32,
    /// Who counts: `group:…` or `user:…`.
    pub approvers: Vec<String>,
}

/// Why something is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denial {
    /// The stable code.
    pub code: Code,
    /// One sentence, printable ASCII.
    pub text: String,
}

impl Verdict {
    /// Whether anything is refused.
    pub fn is_denied(&self) -> bool {
        let denied = |update: &RefVerdict| matches!(update.outcome, RefOutcome::Deny { .. });
        !self.denials.is_empty() || self.updates.iter().any(denied)
    }
}

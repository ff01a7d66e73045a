//! What policy computed. Recorded with every push.

use refwarden_model::facts::Mode;
use refwarden_model::{ByteText, Code, RefName};
use serde::{Deserialize, Serialize};

use crate::rule::Effect;

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
    /// Every rule that applied, in the order of their ids; those that were passed by and those
    /// that only evaluate too.
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
    /// What it asked for, or would have.
    pub effect: Effect,
    /// Whether it acted; `evaluate` says what it would have done.
    #[serde(default, skip_serializing_if = "Mode::is_enforce")]
    pub mode: Mode,
    /// Why it spoke: the conditions that held, each a plain sentence in printable ASCII.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub because: Vec<String>,
    /// Who passed it by, and the reason that was given; then it did nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bypass: Option<Bypass>,
}

impl Spoken {
    /// Whether it had a say in the outcome.
    pub fn acted(&self) -> bool {
        self.mode == Mode::Enforce && self.bypass.is_none()
    }
}

/// Somebody used their right to pass a rule by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bypass {
    /// The entry that gives the right, such as `group:release`.
    pub by: String,
    /// The push option `reason=`, less that word.
    pub reason: ByteText,
}

/// What an approval is bound to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bind {
    /// The old and new oids, exactly.
    #[default]
    Exact,
    /// The patch ids of the commits: a clean rebase keeps its approval.
    Patch,
}

impl Bind {
    /// Whether it is the usual one.
    pub fn is_exact(&self) -> bool {
        *self == Self::Exact
    }
}

/// What one rule asks of people. A rule may ask for several of these; all have to be met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requirement {
    /// The rule's id.
    pub rule: String,
    /// How many people.
    pub quorum: u32,
    /// Who counts: `group:…`, `user:…` or `email:…`.
    pub approvers: Vec<String>,
    /// Seconds until a request for it expires; the service's own time where none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
    /// What an approval is bound to.
    #[serde(default, skip_serializing_if = "Bind::is_exact")]
    pub bind: Bind,
    /// What approvers have to answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub questions: Vec<String>,
    /// Who may release without approval in an emergency; nobody where empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub break_glass: Vec<String>,
    /// Who may open a window of time for the actor; `approvers` where empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<String>,
    /// Whether authors and committers of the pushed commits may approve.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub authors_may_approve: bool,
    /// Where it comes from owners: some of the paths that they own, at most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<ByteText>,
}

impl Requirement {
    /// A requirement of so many people, with nothing special about it.
    pub fn new(rule: impl Into<String>, quorum: u32, approvers: Vec<String>) -> Self {
        Self {
            rule: rule.into(),
            quorum,
            approvers,
            expires: None,
            bind: Bind::Exact,
            questions: Vec::new(),
            break_glass: Vec::new(),
            grants: Vec::new(),
            authors_may_approve: false,
            paths: Vec::new(),
        }
    }
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

//! Why a hook ends a push, in words for the pusher: no path, no secret, nothing from a log.

use refwarden_gitio::GitError;
use refwarden_gitio::objects::ObjectError;
use refwarden_gitio::quarantine::QuarantineError;
use refwarden_gitio::refs::RefsError;
use refwarden_gitio::settings::OpenError;
use refwarden_model::Code;
use refwarden_wire::hook::{Outcome, Reason};

/// What stopped a hook.
#[derive(Debug)]
pub enum Fault {
    /// One sentence of the hook's own.
    Own {
        /// The stable code.
        code: Code,
        /// What is wrong.
        text: String,
        /// What to do about it.
        hint: Option<&'static str>,
    },
    /// Everything was said already.
    Told,
    /// The pusher asked for the list of push options, and for nothing else.
    Help,
    /// What the service answered.
    Refused {
        /// Whether a human can still release it.
        outcome: Outcome,
        /// Why.
        reasons: Vec<Reason>,
        /// Where the push is shown.
        url: Option<String>,
        /// Where a program reads what was found.
        findings: Option<String>,
    },
}

/// What an administrator has to look at.
const ADMIN: &str = "tell the administrator of this Git server; `refwarden doctor` says more";

impl Fault {
    /// A fault with a code of its own.
    pub fn new(code: Code, text: impl Into<String>) -> Self {
        Self::Own {
            code,
            text: text.into(),
            hint: None,
        }
    }

    /// Adds what to do about it.
    pub fn hint(mut self, words: &'static str) -> Self {
        if let Self::Own { hint, .. } = &mut self {
            *hint = Some(words);
        }
        self
    }

    /// Whether the service did not answer, or answered that it failed.
    pub const fn is_outage(&self) -> bool {
        matches!(
            self,
            Self::Own {
                code: Code::ServiceUnreachable | Code::ServiceSlow | Code::ServiceFault,
                ..
            }
        )
    }

    /// The hook, its configuration or its host is at fault.
    pub fn hook(text: impl Into<String>) -> Self {
        Self::new(Code::HookFault, text).hint(ADMIN)
    }

    /// The input is not what git produces.
    pub fn malformed(text: impl Into<String>) -> Self {
        Self::new(Code::MalformedInput, text)
    }

    /// Something could not be scanned, so nothing of the push is taken.
    pub fn unscanned(text: impl Into<String>) -> Self {
        Self::new(Code::ScanFailed, text).hint(ADMIN)
    }
}

impl From<GitError> for Fault {
    fn from(error: GitError) -> Self {
        let command = match error {
            GitError::Io { command, .. }
            | GitError::Failed { command, .. }
            | GitError::Unexpected { command, .. } => command,
            _ => "command".into(),
        };
        Self::unscanned(format!("the push could not be read: git {command} failed"))
    }
}

impl From<ObjectError> for Fault {
    fn from(error: ObjectError) -> Self {
        match error {
            ObjectError::Missing(oid) => Self::unscanned(format!("object {oid} is missing")),
            ObjectError::Unreadable { oid, .. } => {
                Self::unscanned(format!("object {oid} cannot be read"))
            }
            ObjectError::Git(error) => error.into(),
            _ => Self::unscanned("an object cannot be read"),
        }
    }
}

impl From<QuarantineError> for Fault {
    fn from(error: QuarantineError) -> Self {
        match error {
            QuarantineError::Io(_) => Self::unscanned("the pushed objects cannot be read"),
            other => Self::unscanned(other.to_string()),
        }
    }
}

impl From<RefsError> for Fault {
    fn from(error: RefsError) -> Self {
        match error {
            RefsError::Io(_) | RefsError::Git(_) => {
                Self::hook("the refs of this repository cannot be read")
            }
            other => Self::hook(other.to_string()),
        }
    }
}

impl From<OpenError> for Fault {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::LinkedWorktree => Self::new(Code::Unsupported, error.to_string()),
            OpenError::Setting { .. } => Self::hook(error.to_string()),
            _ => Self::hook("this repository cannot be opened"),
        }
    }
}

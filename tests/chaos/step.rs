//! Which step of a push's lifecycle something falls into, as far as can be seen from outside.

use crate::processes::Process;

/// The hooks.
pub const HOOKS: [&str; 3] = ["pre-receive", "reference-transaction", "post-receive"];

/// A step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// No receive-pack yet.
    Connecting,
    /// receive-pack runs, and no hook has.
    Receiving,
    /// `pre-receive` runs.
    Judging,
    /// After `pre-receive`, before refs are locked.
    Judged,
    /// `reference-transaction` runs in `preparing` or `prepared`.
    Preparing,
    /// After a `prepared`: refs move, or the next transaction begins.
    Moving,
    /// `reference-transaction` runs in `committed`.
    Committed,
    /// `reference-transaction` runs in `aborted`.
    Aborted,
    /// `post-receive` runs.
    Completing,
    /// After `post-receive`.
    Ending,
    /// The reconciler runs.
    Reconciling,
}

impl Step {
    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connecting => "0 connecting",
            Self::Receiving => "0 receiving the pack",
            Self::Judging => "1 pre-receive",
            Self::Judged => "1-2 between the hooks",
            Self::Preparing => "2 prepared",
            Self::Moving => "2-3 refs move",
            Self::Committed => "3 committed",
            Self::Aborted => "4 aborted",
            Self::Completing => "5 post-receive",
            Self::Ending => "5-6 ending",
            Self::Reconciling => "6 reconciler",
        }
    }

    /// The step that these processes are in, after another step.
    pub fn of(processes: &[Process], before: Self) -> Self {
        let hook = processes
            .iter()
            .find(|process| HOOKS.contains(&process.name.as_str()));
        if let Some(hook) = hook {
            return match (hook.name.as_str(), hook.argument.as_str()) {
                ("pre-receive", _) => Self::Judging,
                ("post-receive", _) => Self::Completing,
                (_, "committed") => Self::Committed,
                (_, "aborted") => Self::Aborted,
                _ => Self::Preparing,
            };
        }
        let receives = processes.iter().any(|it| it.name == "receive-pack");
        match before {
            Self::Connecting if receives => Self::Receiving,
            Self::Judging => Self::Judged,
            Self::Preparing | Self::Committed => Self::Moving,
            Self::Completing => Self::Ending,
            before => before,
        }
    }
}

//! Telling people of requests: signed webhooks, mail, Slack, Teams and syslog.
//!
//! `db::events::append` puts what is told into the outbox, in the transaction of the event. Here
//! it is handed out to channels (`hand_out`) and delivered at least once (`dispatch`), by however
//! many services run. Nothing here is in the way of a push: a push ends with its transaction.
//!
//! Deliberately not here: the order of messages (a receiver goes by their timestamps), diffs,
//! findings, reasons and other people's texts (they may hold what the link protects), and
//! answers by reply.

mod api;
mod backoff;
mod channels;
mod dispatch;
mod email;
mod guard;
mod hand_out;
mod http;
mod notice;
mod slack;
mod syslog;
mod teams;
mod text;
mod webhook;

pub use api::{__path_status, __path_test, status, test};
pub use channels::Channels;
pub use dispatch::start;

/// How an attempt to deliver failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It may work later; where the receiver says when, not before that many seconds.
    ForNow {
        /// What happened, for the log.
        said: String,
        /// Seconds that the receiver asks to wait.
        wait: Option<u64>,
    },
    /// The receiver wants no such message, now or later.
    ForGood {
        /// What happened, for the log.
        said: String,
    },
}

impl Failure {
    /// One that may pass.
    fn for_now(said: impl Into<String>) -> Self {
        let said = said.into();
        Self::ForNow { said, wait: None }
    }

    /// What happened.
    fn said(&self) -> &str {
        match self {
            Self::ForNow { said, .. } | Self::ForGood { said } => said,
        }
    }
}

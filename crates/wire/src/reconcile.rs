//! What the reconciler on a Git host and the service say to each other: where the ledger has the
//! refs, and where they really are. With the host credential, as in [`crate::hook`].

use chrono::{DateTime, Utc};
use refwarden_model::{ByteText, Oid, PushId, RefName, RepositoryId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::api::ReplayRef;
use crate::hook::Correlation;

/// Asks where the ledger has a repository's refs: [`LedgerIn`] to [`LedgerOut`].
pub const LEDGER: &str = "/hook/v1/ledger";
/// Reports what was found: a [`ReconcileIn`] framed with a pack; answers [`ReconcileOut`].
pub const RECONCILE: &str = "/hook/v1/reconcile";

/// The most changes that one [`ReconcileIn`] may hold; the rest follows in further ones.
pub const CHANGES_MAX: usize = 10_000;

/// Names a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerIn {
    /// The repository.
    pub repository: RepositoryId,
}

/// A repository as the ledger has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerOut {
    /// The last event that counts.
    pub seq: i64,
    /// What HEAD names: a ref, or an object id when it is detached.
    pub head: ByteText,
    /// Refs: name, and object id or `ref: <target>`.
    pub refs: Vec<ReplayRef>,
    /// Ref updates that were about to move and that nobody has settled.
    pub prepared: Vec<Prepared>,
    /// Ref updates that were granted in the last day and never got as far; `since` is when their
    /// push was recorded. An older service does not say.
    #[serde(default)]
    pub released: Vec<Prepared>,
    /// Recorded moves that started from another value than the ledger had.
    pub gaps: Vec<Gap>,
}

/// A ref update that is about to move, or whose end was never reported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prepared {
    /// Its push.
    pub push_id: PushId,
    /// The run of receive-pack that moves it.
    pub correlation: Correlation,
    /// The ref that moves.
    pub target: RefName,
    /// Its value before.
    pub old: Oid,
    /// Its value after.
    pub new: Oid,
    /// When its ref was locked and about to move, by the service's clock.
    pub since: Option<DateTime<Utc>>,
}

/// A move that nobody recorded, found because a recorded move started from where it led.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The number of the recorded move.
    pub before: i64,
    /// The unrecorded move.
    pub change: Change,
}

/// A ref that is not where the ledger has it. Values are object ids, `ref: <target>` for
/// symbolic refs, or none where there is no ref.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// `HEAD`, or a full ref name.
    pub name: ByteText,
    /// The ledger's value.
    pub old: Option<ByteText>,
    /// The value that was found.
    pub new: Option<ByteText>,
}

/// What a prepared update came to, by the value of its ref after its receive-pack had ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Its push.
    pub push_id: PushId,
    /// The ref.
    pub target: RefName,
    /// The ref's value.
    pub value: Oid,
}

/// An update that was granted and never about to move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenUp {
    /// Its push.
    pub push_id: PushId,
    /// The ref.
    pub target: RefName,
}

/// What the reconciler found in a repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReconcileIn {
    /// The repository.
    pub repository: RepositoryId,
    /// [`LedgerOut::seq`] of the state that was compared. What has changed since is left alone.
    pub seq: i64,
    /// Prepared updates whose receive-pack has ended.
    pub ended: Vec<Ended>,
    /// Updates of [`LedgerOut::released`] whose receive-pack has ended: nothing will move them. An
    /// older host does not say.
    #[serde(default)]
    pub given_up: Vec<GivenUp>,
    /// Refs that are not where the ledger has them, at most [`CHANGES_MAX`].
    pub changes: Vec<Change>,
    /// Gaps of the ledger, whose objects are in the pack.
    pub gaps: Vec<Gap>,
    /// What weakens the guard, one sentence each, sorted.
    pub defects: Vec<String>,
}

/// What became of a report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReconcileOut {
    /// Prepared updates that were settled.
    pub settled: u64,
    /// Moves that were recorded as out of band.
    pub recorded: u64,
    /// Changes that were left alone since a push may explain them by now.
    pub deferred: u64,
}

/// How a repository and its guard were found last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct GuardOut {
    /// The repository's id.
    pub id: Uuid,
    /// Its name.
    pub repository: String,
    /// The host that it stands on.
    pub host: String,
    /// When the reconciler looked last; none if it never has.
    pub checked_at: Option<DateTime<Utc>>,
    /// Whether that is longer ago than it should be.
    pub overdue: bool,
    /// What weakens the guard.
    pub defects: Vec<String>,
    /// Ref updates that are about to move, or in doubt.
    pub prepared: i64,
    /// Moves out of band in the last 30 days.
    pub out_of_band: i64,
}

//! Who was sent a secret: what `refwarden audit exposure` asks and is told.

use chrono::{DateTime, Utc};
use refwarden_model::ActorChain;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// Objects that one question may name.
pub const OBJECTS_MAX: usize = 5_000;

/// An object that holds a secret. What it looks like is not said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Holding {
    /// The object's id; none for a ref's name or a push option.
    pub oid: Option<String>,
    /// In what it stands: `blob`, `commit`, `tag`, `path`, `ref-name` or `push-option`.
    pub place: String,
    /// The file, where one is known; what is no printable ASCII in it is escaped.
    pub path: Option<String>,
    /// The commit that brought it, where one is known.
    pub commit: Option<String>,
    /// The rule that found the secret.
    pub rule: String,
    /// The secret's fingerprint.
    pub fingerprint: String,
}

/// Objects that a scan of a repository's history found to hold a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExposureIn {
    /// The repository's name.
    pub repository: String,
    /// The id of the rules that found them.
    pub ruleset: String,
    /// The objects, at most [`OBJECTS_MAX`].
    pub objects: Vec<Holding>,
}

/// Who was sent a secret, as far as it is on record.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ExposureOut {
    /// What holds it.
    pub objects: Vec<Holding>,
    /// Fetches that carried one of the objects, the oldest first.
    pub fetches: Vec<ExposedFetchOut>,
    /// Pushes that carried one of them, the oldest first.
    pub pushes: Vec<ExposedPushOut>,
    /// Fetches of the same repositories of which it could not be learned what they carried.
    pub unknown: Vec<ExposedFetchOut>,
    /// Masked fetches of the same repositories that carried none of the objects.
    pub masked: Vec<MaskedReadersOut>,
    /// Whether there is more than is listed.
    pub cut: bool,
}

/// A fetch that carried a secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ExposedFetchOut {
    /// Its id.
    pub id: Uuid,
    /// The repository's name.
    pub repository: String,
    /// The number of its event there.
    pub seq: i64,
    /// When it began.
    pub at: DateTime<Utc>,
    /// Who fetched: `agent for ada`, or `anonymous`.
    pub reader: String,
    /// The same, whole.
    #[schema(value_type = Option<Object>)]
    pub actor_chain: Option<ActorChain>,
    /// Hexadecimal SHA-256 of the token that it came with.
    pub token_sha256: Option<String>,
    /// From which address.
    pub address: Option<String>,
    /// What the client says that it is.
    pub agent: Option<String>,
    /// `http` or `ssh`.
    pub transport: String,
    /// The masked view that was served; none for the repository itself.
    pub view: Option<String>,
    /// `complete` or `aborted`.
    pub ended: String,
    /// `exact`; `at-most`, where some of the objects may not have arrived; none, where they are
    /// not known.
    pub certainty: Option<String>,
    /// The objects of it that hold the secret.
    pub objects: Vec<String>,
    /// Hexadecimal SHA-256 of the pack, where it is kept.
    pub pack_digest: Option<String>,
}

/// A push that carried a secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ExposedPushOut {
    /// Its id.
    pub id: Uuid,
    /// The repository's name.
    pub repository: String,
    /// When it came.
    pub at: DateTime<Utc>,
    /// Who pushed.
    pub pusher: String,
    /// The same, whole.
    #[schema(value_type = Option<Object>)]
    pub actor_chain: Option<ActorChain>,
    /// From which address.
    pub address: Option<String>,
    /// `local`, `ssh` or `http`.
    pub transport: String,
    /// What became of it: `denied`, `waiting`, `granted` or `cancelled`.
    pub state: String,
    /// The objects of it that hold the secret.
    pub objects: Vec<String>,
}

/// Masked fetches that carried none of the objects, by the rules that masked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MaskedReadersOut {
    /// The repository's name.
    pub repository: String,
    /// The id of the rules.
    pub ruleset: String,
    /// Whether these rules are known to find the secret. If not, the readers may have had it in
    /// objects that the view had changed for the sake of other secrets.
    pub knew: bool,
    /// How many fetches.
    pub fetches: i64,
    /// The first.
    pub first_at: DateTime<Utc>,
    /// The last.
    pub last_at: DateTime<Utc>,
    /// Who; at most a hundred.
    pub readers: Vec<String>,
}

//! What a Git host tells the service of fetches: who asked, for what, and what they were sent.

use refwarden_model::{ActorChain, FetchId, ObjectFormat, Oid, RepositoryId};
use serde::{Deserialize, Serialize};

/// Asks what is known of a pack already: [`KnownIn`] to [`KnownOut`].
pub const FETCH_KNOWN: &str = "/hook/v1/fetches/known";
/// Names the objects of a pack: [`ObjectsIn`] to [`ObjectsOut`].
pub const FETCH_OBJECTS: &str = "/hook/v1/fetches/objects";
/// Records a fetch: a [`FetchIn`] framed with the pack where it is kept; answers [`FetchOut`].
pub const FETCHES: &str = "/hook/v1/fetches";

/// The variable in which whoever serves a fetch tells the program that records it who it is for:
/// an [`Errand`] as JSON. It holds no token.
pub const ERRAND: &str = "REFWARDEN_FETCH";

/// The variable that names the open file (a descriptor's number) in which whoever serves a fetch over
/// SSH notes what it learns while git runs: a [`Learned`] as JSON, empty until there is anything.
pub const LEARNED: &str = "REFWARDEN_FETCH_LEARNED";

/// The program that records, beside the one that serves.
pub const PROGRAM: &str = "refwarden-pack-objects";

/// git's setting that has a program run in place of `git pack-objects`. git reads it from the
/// environment, never from a repository's own configuration (git-config(1)).
pub const SETTING: &str = "uploadpack.packObjectsHook";

/// Wants, haves and the like that a record names; of more, only their number and digest are kept.
pub const NAMED_MAX: usize = 10_000;

/// Ids that one message names at most. What is more comes in further messages.
pub const OIDS_MAX: usize = 100_000;

/// What the serving program tells the recording one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Errand {
    /// The git directory of the repository: not of a shadow, which may go.
    pub gitdir: std::path::PathBuf,
    /// Whom it serves.
    pub session: Session,
}

/// What is learned of a session once it has begun.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Learned {
    /// What the client says that it is.
    pub client_agent: Option<String>,
    /// The refs that it was told of last.
    pub refs: Option<ToldRefs>,
}

/// Who fetches, and from where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The repository.
    pub repository: RepositoryId,
    /// How the client came: `http` or `ssh`.
    pub transport: String,
    /// The client's address.
    pub client_address: Option<String>,
    /// What the client says that it is: `git/2.47.3`.
    pub client_agent: Option<String>,
    /// Who it is; none for an anonymous reader.
    pub actor: Option<ActorChain>,
    /// Hexadecimal SHA-256 of the token.
    pub token_sha256: Option<String>,
    /// The hash of the policy that let it in.
    pub policy: String,
    /// The masked view that was served; none for the repository itself.
    pub view: Option<ServedView>,
    /// The id of the view that this reader has fetched from last, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub view_before: Option<String>,
    /// The refs that the client was told of last, where this is known.
    pub refs: Option<ToldRefs>,
    /// Whether the pack is to be kept.
    pub keep: bool,
}

/// A masked view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServedView {
    /// Its id.
    pub id: String,
    /// The id of the rules that mask in it.
    pub ruleset: String,
}

/// Refs that a client was told of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldRefs {
    /// How many; peeled tags count as lines of their own.
    pub count: u64,
    /// Hexadecimal SHA-256 over the answer, as it went over the wire.
    pub digest: String,
}

/// What git was asked to put into a pack.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The version of the protocol.
    pub protocol: u8,
    /// Objects that the client wants; at most [`NAMED_MAX`].
    pub wants: Vec<Oid>,
    /// How many there were.
    pub wants_total: u64,
    /// Objects that both sides have, as the negotiation ended; at most [`NAMED_MAX`].
    pub haves: Vec<Oid>,
    /// How many there were.
    pub haves_total: u64,
    /// Where the client's history is to end; at most [`NAMED_MAX`].
    pub shallow: Vec<Oid>,
    /// How many there were.
    pub shallow_total: u64,
    /// What a partial clone leaves out, as git writes it: `blob:none`.
    pub filter: Option<String>,
    /// Hexadecimal SHA-256 over all of it.
    pub digest: String,
}

/// How a fetch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ended {
    /// The whole pack was handed to the connection.
    Complete,
    /// Client, git or host stopped before.
    Aborted,
}

impl Ended {
    /// The word used in records and pages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Aborted => "aborted",
        }
    }
}

/// How sure it is that the objects of a set were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Certainty {
    /// These and no others.
    Exact,
    /// No others; of these, some may not have been.
    AtMost,
}

impl Certainty {
    /// The word used in records and pages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::AtMost => "at-most",
        }
    }
}

/// A fetch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchIn {
    /// Its id, made by the host. Told twice, it is recorded once.
    pub id: FetchId,
    /// Who, and from where.
    pub session: Session,
    /// When git began to make the pack, microseconds since the epoch by the host's clock.
    pub begun_at: i64,
    /// When it ended; none where nobody was there to see it.
    pub ended_at: Option<i64>,
    /// For what.
    pub asked: Asked,
    /// How it ended.
    pub ended: Ended,
    /// Bytes of the pack that were handed on.
    pub pack_bytes: u64,
    /// Objects that the pack says it has; none where it did not come so far.
    pub pack_objects: Option<u64>,
    /// Hexadecimal SHA-256 of those bytes; none where they were not kept until now.
    pub pack_digest: Option<String>,
    /// Whether the pack is kept: it follows, unless the service has it.
    pub keep: bool,
    /// The set of objects that were sent, hexadecimal; none where it could not be learned.
    pub objects: Option<String>,
    /// How sure the set is.
    pub certainty: Option<Certainty>,
}

/// The answer to [`FetchIn`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchOut {
    /// The number of its event in the repository.
    pub seq: i64,
}

/// Asks about a pack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownIn {
    /// The repository.
    pub repository: RepositoryId,
    /// Hexadecimal SHA-256 of the pack.
    pub pack_digest: String,
}

/// The answer to [`KnownIn`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownOut {
    /// The set of its objects, hexadecimal.
    pub objects: Option<String>,
    /// Whether the service has the pack itself.
    pub kept: bool,
}

/// A set of objects, by its parts. Said again until the service lacks none of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectsIn {
    /// The repository.
    pub repository: RepositoryId,
    /// Its hash function.
    pub format: ObjectFormat,
    /// The digests of all parts, hexadecimal, in order.
    pub parts: Vec<String>,
    /// Some of them; together at most [`OIDS_MAX`] ids.
    pub brought: Vec<PartIn>,
}

/// A part of a set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartIn {
    /// By how many bits the set is cut.
    pub bits: u8,
    /// The bits that these ids begin with.
    pub prefix: u16,
    /// The ids, hexadecimal, one behind the other.
    pub oids: String,
}

/// The answer to [`ObjectsIn`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectsOut {
    /// Places in `parts` of those that the service lacks.
    pub missing: Vec<usize>,
    /// The set's digest, once none is missing.
    pub objects: Option<String>,
}

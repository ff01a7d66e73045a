//! What people's tools read and post: requests, events, repositories, replay.
//!
//! Paths stand in the service's `routes`; the generated `OpenAPI` document is served at
//! `/api/openapi.json`. Byte strings that are not UTF-8 are shown lossily here except in
//! [`ReplayOut`], which is exact.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use refwarden_model::facts::PushFacts;
use refwarden_model::{ActorChain, ByteText, ObjectFormat, RepositoryId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// What is to be revoked: one token, or every token that a person has been given so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RevocationIn {
    /// The issuer of the token or of the person.
    pub issuer: String,
    /// The token's `jti`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_id: Option<String>,
    /// The person's, agent's or job's subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Why.
    pub reason: String,
}

/// A revocation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RevocationOut {
    /// The issuer of the token or of the person.
    pub issuer: String,
    /// The token's `jti`, where one token is revoked.
    pub token_id: Option<String>,
    /// The subject, where all tokens of one are.
    pub subject: Option<String>,
    /// From when on.
    pub revoked_at: DateTime<Utc>,
    /// Who did it.
    pub revoked_by: String,
    /// Why.
    pub reason: String,
}

/// An approval request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RequestOut {
    /// Its code.
    #[schema(example = "8FZK2M0T")]
    pub id: String,
    /// `waiting`, `approved`, `rejected`, `expired`, `stale` or `used`; `revoked` for a grant that was
    /// taken back; `review` for an emergency that somebody has to look at, then `reviewed`.
    pub state: String,
    /// The repository's name.
    pub repository: String,
    /// The full name of the ref that would move.
    pub ref_name: String,
    /// Its value when the request was made; empty for a grant.
    pub old: String,
    /// The value it would get; empty for a grant.
    pub new: String,
    /// `create`, `fast-forward`, `non-fast-forward` or `delete`; `grant` for a window of time.
    pub kind: String,
    /// Who pushed and for whom: `agent for ada`.
    pub actor: String,
    /// Approvals needed.
    pub quorum: u32,
    /// Who may approve: groups and people.
    pub approvers: Vec<String>,
    /// What the policy asks of whoever approves. Only those questions have to be answered that
    /// come with a group which one is in.
    #[serde(default)]
    pub questions: Vec<String>,
    /// Decisions so far.
    pub decisions: Vec<DecisionOut>,
    /// What was said, oldest first.
    #[serde(default)]
    pub comments: Vec<CommentOut>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it expires.
    pub expires_at: DateTime<Utc>,
    /// Whether a clean rebase keeps an approval: the same patches in the same order, by the same
    /// pusher, onto a newer value of the same ref.
    #[serde(default)]
    pub survives_rebase: bool,
    /// Moves that an approval was kept for, oldest first.
    #[serde(default)]
    pub kept: Vec<MoveOut>,
    /// The masked view through which the push came; none where it came through none, and for
    /// those who read a masked view themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub masked: Option<RequestMaskedOut>,
    /// Digest of what the request would release; a decision must name it.
    pub digest: String,
    /// The page.
    pub url: String,
}

/// What the pusher of a request has seen, and not seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RequestMaskedOut {
    /// The view's id.
    pub view: String,
    /// The id of the rules that mask it: the pusher has not seen what they find.
    pub ruleset: String,
    /// Whether generic rules are among them; none where that was not recorded.
    pub generic: Option<bool>,
    /// Globs over the ids of the rules that mask; all of them where empty.
    pub rules: Vec<String>,
    /// The refs that the view has: those that pass all of these.
    pub filters: Vec<RefFilterOut>,
    /// Secrets that would come to stand where they did not.
    pub moves: Vec<SecretMoveOut>,
}

/// Which refs a view has: those that match one of `refs`, or all where that is empty, but for
/// those that match one of `hide`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RefFilterOut {
    /// Globs over full names.
    pub refs: Vec<String>,
    /// Globs over full names.
    pub hide: Vec<String>,
}

/// A secret that would come to stand where it did not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SecretMoveOut {
    /// The scanner's rule that its placeholder names.
    pub rule: String,
    /// Other rules that find something of it where it stands.
    #[serde(default)]
    pub also: Vec<String>,
    /// A path at which it stands or stood.
    pub from: String,
    /// The line there, from 1; none where it was not recorded.
    #[serde(default)]
    pub from_line: Option<u64>,
    /// Its fingerprint, as findings have it; none where it was not recorded.
    #[serde(default)]
    pub fingerprint: Option<String>,
    /// The path at which it would stand.
    pub path: String,
    /// The line there, from 1.
    pub line: u64,
    /// Whether the view would then not be what was pushed, so that nobody can approve it. The
    /// pusher is not told of that, because it may depend on the secret.
    #[serde(default)]
    pub unsound: bool,
}

/// A move of a ref.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MoveOut {
    /// Its value before.
    pub old: String,
    /// Its value after.
    pub new: String,
}

/// What a person said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DecisionOut {
    /// Who.
    pub approver: String,
    /// `approve` or `reject`.
    pub decision: String,
    /// Why.
    pub reason: String,
    /// What was answered to the policy's questions.
    #[serde(default)]
    pub answers: Vec<AnswerIn>,
    /// When.
    pub decided_at: DateTime<Utc>,
}

/// An answer to a question of the policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AnswerIn {
    /// The question, exactly as it was put.
    pub question: String,
    /// The answer, at most 2000 bytes.
    pub answer: String,
}

/// Something that somebody said about a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CommentOut {
    /// Who, and for whom: `agent for ada`.
    pub author: String,
    /// What.
    pub text: String,
    /// When.
    pub created_at: DateTime<Utc>,
}

/// Something to be said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CommentIn {
    /// What, at most 4000 bytes.
    pub text: String,
}

/// A decision to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DecisionIn {
    /// `approve` or `reject`.
    pub decision: String,
    /// Why; needed to reject.
    #[serde(default)]
    pub reason: String,
    /// The digest of what was shown.
    pub digest: String,
    /// Answers to the questions that the policy puts to whoever approves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<AnswerIn>,
}

/// One event of the ledger.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventOut {
    /// Position in the repository's history, from 1 without gaps.
    pub seq: i64,
    /// When it was recorded.
    pub recorded_at: DateTime<Utc>,
    /// The repository's name.
    pub repository: String,
    /// What happened, for example `push.denied` or `ref.committed`.
    pub kind: String,
    /// Who did it.
    pub actor: String,
    /// The push it belongs to.
    pub push_id: Option<Uuid>,
    /// The request it belongs to.
    pub request_id: Option<String>,
    /// The ref it is about.
    pub ref_name: Option<String>,
    /// Value before.
    pub old: Option<String>,
    /// Value after.
    pub new: Option<String>,
    /// Codes that were shown to the pusher.
    pub codes: Vec<String>,
    /// One sentence for people.
    pub summary: String,
}

/// A page of events, oldest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventsOut {
    /// The events.
    pub events: Vec<EventOut>,
    /// Pass as `after` for the next page; none at the end.
    pub next: Option<String>,
    /// How many there are on all pages, if that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<i64>,
    /// What was probably meant, where there are no events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// A push as it was judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PushRecordOut {
    /// Its id.
    pub id: Uuid,
    /// The repository's name.
    pub repository: String,
    /// When it came in; the time that policy judged it by.
    pub received_at: DateTime<Utc>,
    /// Who pushed and for whom; none where the token was not accepted.
    #[schema(value_type = Option<Object>)]
    pub chain: Option<ActorChain>,
    /// The policy that judged it.
    pub policy_hash: String,
    /// `granted`, `waiting` or `denied`.
    pub state: String,
    /// Codes that were shown to the pusher.
    pub codes: Vec<String>,
    /// What the policy said: `refwarden_policy::Verdict`.
    #[schema(value_type = Object)]
    pub verdict: serde_json::Value,
    /// What was learned, less the text of patches; none for a push from before it was kept.
    #[schema(value_type = Option<Object>)]
    pub facts: Option<PushFacts>,
    /// How often its pusher had pushed before; none where the token was not accepted, or from an
    /// older service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recent: Option<RecentPushesOut>,
    /// How it came; none from an older service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<PushSessionOut>,
}

/// Pushes of an actor to all repositories, refused ones too, before one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RecentPushesOut {
    /// In the hour before.
    pub hour: u64,
    /// In the 24 hours before.
    pub day: u64,
}

/// How a push came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PushSessionOut {
    /// `local`, `ssh` or `http`.
    pub transport: String,
    /// The client's address, where known.
    pub client_address: Option<String>,
    /// The client's agent string, where known.
    pub client_agent: Option<String>,
    /// The Git host.
    pub host: String,
    /// The hook's version.
    pub hook_version: String,
    /// SHA-256 of the token, hexadecimal; the token itself is nowhere.
    pub token_sha256: Option<String>,
    /// The pack, where objects came.
    pub pack: Option<PushPackOut>,
    /// What it was before it was translated, where it came through a masked view.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub masked: Option<PushMaskedOut>,
    /// Microseconds that the hook spent, by step.
    pub timings: BTreeMap<String, u64>,
}

/// A push through a masked view, as its client made it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PushMaskedOut {
    /// The view's id.
    pub view: String,
    /// The id of the rules that mask it.
    pub ruleset: String,
    /// What was to become of refs: `ref_name`, `old` and `new`, under the names that objects have
    /// in the view.
    #[schema(value_type = Object)]
    pub updates: serde_json::Value,
    /// The client's pack, where objects came.
    pub pack: Option<PushPackOut>,
}

/// The pack of a push.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PushPackOut {
    /// SHA-256 of the pack as it was received.
    pub digest: String,
    /// Its length; none where retention has dropped it.
    pub bytes: Option<u64>,
}

/// A repository under guard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RepositoryOut {
    /// Its id.
    #[schema(value_type = Uuid)]
    pub id: RepositoryId,
    /// Its name.
    pub name: String,
    /// `sha1` or `sha256`.
    #[schema(value_type = String)]
    pub object_format: ObjectFormat,
    /// When it was adopted.
    pub adopted_at: DateTime<Utc>,
    /// Times it was adopted.
    pub epoch: i32,
}

/// All that is needed to rebuild a repository as it was: refs, and the packs to take objects from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReplayOut {
    /// The repository.
    pub repository: RepositoryOut,
    /// The time it is rebuilt for.
    pub at: DateTime<Utc>,
    /// The last event that counts.
    pub seq: i64,
    /// What HEAD names.
    #[schema(value_type = String)]
    pub head: ByteText,
    /// Refs: name, and oid or `ref: <target>`.
    pub refs: Vec<ReplayRef>,
    /// Packs, oldest first.
    pub packs: Vec<ReplayPack>,
}

/// A ref as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReplayRef {
    /// Full name.
    #[schema(value_type = String)]
    pub name: ByteText,
    /// An oid, or `ref: <target>` for a symbolic ref.
    #[schema(value_type = String)]
    pub value: ByteText,
}

/// A pack in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReplayPack {
    /// Hexadecimal SHA-256 of its bytes.
    pub digest: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// The push that brought it; none for the baseline.
    pub push_id: Option<Uuid>,
    /// How it is sealed, where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<SealedPack>,
    /// When its file was deleted, where retention has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped: Option<DroppedPack>,
}

/// When a pack's file was deleted by retention.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DroppedPack {
    /// When.
    pub at: DateTime<Utc>,
    /// After how many days.
    pub after_days: i32,
}

/// What to keep from being dropped: the packs of a repository, that of a push, or what came in a
/// period, in one repository or in all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HoldIn {
    /// The repository's name or id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// The push; then nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push: Option<Uuid>,
    /// What came then or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<DateTime<Utc>>,
    /// What came earlier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<DateTime<Utc>>,
    /// Why; 1 to 2000 characters.
    pub reason: String,
}

/// Why a hold ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HoldReleaseIn {
    /// Why; 1 to 2000 characters.
    pub reason: String,
}

/// A hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HoldOut {
    /// Its id.
    pub id: Uuid,
    /// The repository; all if none.
    pub repository: Option<String>,
    /// The push, where it is about one.
    pub push: Option<Uuid>,
    /// What came then or later.
    pub since: Option<DateTime<Utc>>,
    /// What came earlier.
    pub before: Option<DateTime<Utc>>,
    /// Why.
    pub reason: String,
    /// By whom.
    pub placed_by: String,
    /// When.
    pub placed_at: DateTime<Utc>,
    /// Its end, if it has come.
    pub released: Option<HoldReleaseOut>,
}

/// The end of a hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HoldReleaseOut {
    /// Why.
    pub reason: String,
    /// By whom.
    pub by: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// The file that a pack is sealed in, in the format age-encryption.org/v1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SealedPack {
    /// Hexadecimal SHA-256 of the sealed file.
    pub digest: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// Whose identities open it.
    pub recipients: Vec<String>,
}

/// A window of time that is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GrantIn {
    /// The repository's name.
    pub repository: String,
    /// The full name of the ref.
    pub ref_name: String,
    /// How long the window is, in seconds, from when it is opened; at most what the policy says.
    pub seconds: u64,
    /// Why it is wanted.
    pub reason: String,
}

/// A window of time for pushes of one actor to one ref.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GrantOut {
    /// Its code, which is that of the request for it.
    pub id: String,
    /// `waiting`, `approved` (it is open), `rejected`, `expired` or `revoked`.
    pub state: String,
    /// The repository's name.
    pub repository: String,
    /// The full name of the ref.
    pub ref_name: String,
    /// Whose it is: `agent for ada`.
    pub actor: String,
    /// How long it is, in seconds.
    pub seconds: u64,
    /// Why it is wanted.
    pub reason: String,
    /// Ref updates that it has let through.
    pub pushes: u64,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// Until when it is open; while it waits, until when it can be opened.
    pub until: DateTime<Utc>,
    /// Who has taken it back.
    pub ended_by: Option<String>,
    /// Why.
    pub end_reason: Option<String>,
    /// Digest of what is asked; a decision must name it.
    pub digest: String,
    /// The page.
    pub url: String,
}

/// Takes a grant back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GrantEndIn {
    /// Why.
    pub reason: String,
}

/// What the scanner found in a push.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FindingOut {
    /// Its number in the push, from 0.
    pub finding: u32,
    /// The scanner's rule.
    pub rule: String,
    /// Where in the push: `blob` for a file's content.
    pub place: String,
    /// The file, printable; none in no file.
    pub path: Option<String>,
    /// The line, from 1.
    pub line: u64,
    /// What may be shown of it.
    pub redacted: String,
    /// Whether somebody may be asked to let it pass.
    pub may_be_asked: bool,
    /// The newest exception that was asked for it.
    pub exception: Option<String>,
}

/// An exception that is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExceptionIn {
    /// The push that was refused.
    pub push: Uuid,
    /// The number of the finding in it.
    pub finding: u32,
    /// `test-data`, `false-positive` or `fix-later`.
    pub kind: String,
    /// A glob of paths (as in policy) that are to be covered in place of the finding's own, which it
    /// must match.
    #[serde(default)]
    pub paths: Option<String>,
    /// How long it is to hold, in seconds, from when it is approved; 30 days unless said, at most
    /// what the policy says.
    #[serde(default)]
    pub seconds: Option<u64>,
    /// Why it is wanted.
    pub reason: String,
}

/// An exception from a rule of the scanner: this secret, in this file of this repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExceptionOut {
    /// Its code, which is that of the request for it.
    pub id: String,
    /// `waiting`, `approved` (it holds), `rejected`, `expired` or `revoked`.
    pub state: String,
    /// The repository's name.
    pub repository: String,
    /// The scanner's rule.
    pub rule: String,
    /// The secret's keyed hash.
    pub fingerprint: String,
    /// Where in a push: `blob` for a file's content.
    pub place: String,
    /// The file, printable; none in no file.
    pub path: Option<String>,
    /// The glob of paths that it covers in place of that file.
    pub paths: Option<String>,
    /// `test-data`, `false-positive` or `fix-later`.
    pub kind: String,
    /// Why it is wanted.
    pub reason: String,
    /// How long it is to hold, in seconds.
    pub seconds: u64,
    /// Whose push was refused: `agent for ada`.
    pub actor: String,
    /// Pushes that it has let pass.
    pub pushes: u64,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// Until when it holds; while it waits, until when it can be approved.
    pub until: DateTime<Utc>,
    /// Who has taken it back.
    pub ended_by: Option<String>,
    /// Why.
    pub end_reason: Option<String>,
    /// Digest of what is asked; a decision must name it.
    pub digest: String,
    /// The page.
    pub url: String,
}

/// Takes an exception back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExceptionEndIn {
    /// Why.
    pub reason: String,
}

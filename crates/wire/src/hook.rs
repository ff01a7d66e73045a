//! What hooks and the proxy say to the service.
//!
//! Every request carries the host credential as `Authorization: Bearer rwh_…`. The pusher's
//! token travels in the header [`TOKEN_HEADER`] and in no body, so that no body can be logged
//! with it.

use refwarden_model::facts::{PushFacts, SecretMove};
use refwarden_model::rules::ScanRules;
use refwarden_model::{
    ActorChain, ByteText, Code, ObjectFormat, Oid, PushId, RefName, RepositoryId, RequestId,
};
use serde::{Deserialize, Serialize};

/// Header with the pusher's token.
pub const TOKEN_HEADER: &str = "refwarden-token";

/// Records a push and asks for the verdict: a [`PushIn`] framed with the pack; answers [`PushOut`],
/// or 412 where it was scanned with other rules than [`RULES`] are now: nothing is recorded then.
pub const PUSHES: &str = "/hook/v1/pushes";
/// Asks whether people have decided on a push that is held: [`WaitIn`] to [`WaitOut`].
pub const WAIT: &str = "/hook/v1/wait";
/// Gives up a push that was held: [`CancelIn`]; answers 204.
pub const CANCEL: &str = "/hook/v1/cancel";
/// Reports a push that a hook refused by itself: [`RefusedIn`]; answers 204.
pub const REFUSED: &str = "/hook/v1/refused";
/// Reports a push from a masked clone that could not be translated: an [`UntranslatedIn`] framed with
/// the client's pack; answers 204.
pub const UNTRANSLATED: &str = "/hook/v1/untranslated";
/// Consumes what a push was granted: [`PrepareIn`] to [`PrepareOut`].
pub const PREPARE: &str = "/hook/v1/prepare";
/// Reports where refs are after a transaction: [`SettleIn`] to [`SettleOut`].
pub const SETTLE: &str = "/hook/v1/settle";
/// Completes the record of a push: [`CompleteIn`] to [`CompleteOut`].
pub const COMPLETE: &str = "/hook/v1/complete";
/// Adopts a repository: [`AdoptIn`] framed with the baseline pack; answers [`AdoptOut`].
pub const ADOPT: &str = "/hook/v1/repositories";
/// Checks a token for the proxy: [`AuthenticateIn`] to [`AuthenticateOut`].
pub const AUTHENTICATE: &str = "/hook/v1/authenticate";
/// Answers [`RulesOut`]: the rules of the scanner that the policy names.
pub const RULES: &str = "/hook/v1/rules";
/// Answers 204 when the host credential is good.
pub const PING: &str = "/hook/v1/ping";

/// The push option that asks what would become of a push. Nothing of such a push is released.
pub const DRY_RUN: &[u8] = b"dry-run";

/// Content type of a framed body: four bytes, big-endian, with the length of the JSON; the
/// JSON; the pack, up to the end of the body. No pack: nothing follows the JSON.
pub const FRAMED: &str = "application/vnd.refwarden.framed";

/// The longest JSON that a framed body may begin with, in bytes.
pub const MAX_JSON: usize = 256 << 20;

/// Which run of receive-pack a hook belongs to. All hooks of one push share their parent
/// process, which no client can choose, so this, and not an id from the environment, ties
/// them together.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Correlation {
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
    /// The pid namespace's inode, so that containers of one machine do not meet.
    pub pid_namespace: u64,
    /// receive-pack's process id.
    pub pid: u32,
    /// receive-pack's start time in clock ticks since boot (proc(5), stat field 22).
    pub start_ticks: u64,
}

/// A push, before anything moves.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PushIn {
    /// The repository.
    pub repository: RepositoryId,
    /// The run of receive-pack.
    pub correlation: Correlation,
    /// The id that the proxy or login shell gave the push; the service makes one otherwise.
    pub push_id: Option<PushId>,
    /// How the push came: `local`, `ssh` or `http`.
    pub transport: String,
    /// The client's address, where known.
    pub client_address: Option<String>,
    /// The client's agent string, where known.
    pub client_agent: Option<String>,
    /// The hook's version.
    pub hook_version: String,
    /// What was learned.
    pub facts: PushFacts,
    /// Bytes of the pack that follows; zero when the push brings no objects.
    pub pack_bytes: Option<u64>,
    /// What it was before it was translated, where it came through a masked view.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub masked: Option<MaskedPush>,
    /// Microseconds that the hook spent, by step.
    pub timings: std::collections::BTreeMap<String, u64>,
}

/// A push as somebody made it who reads a masked view. `refwarden-receive` leaves it to the hook in
/// a directory that [`MASKED_PUSH`] names: this in [`MASKED_JSON`], the pack in [`MASKED_PACK`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaskedPush {
    /// The view's id.
    pub view: String,
    /// The id of the rules that mask it.
    pub ruleset: String,
    /// What the view is made of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_of: Option<MaskedView>,
    /// What was to become of refs, under the names that objects have in the view.
    pub updates: Vec<MaskedUpdate>,
    /// Secrets that would come to stand where they did not, in terms of the original. The hook
    /// tells of them among the facts, and not here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moves: Vec<SecretMove>,
    /// By name in the original, how long files are that the client has otherwise, in bytes. For
    /// the hook alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sizes: Vec<(Oid, u64)>,
    /// Who has left this to the hook. For the hook alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Correlation>,
    /// Length of the pack as it was received. It comes first, before that of the push; zero where
    /// none came, and where it was longer than what is taken.
    pub pack_bytes: u64,
}

/// One ref of a [`MaskedPush`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaskedUpdate {
    /// The ref.
    pub ref_name: RefName,
    /// What the client says that it was.
    pub old: Oid,
    /// What it was to be.
    pub new: Oid,
}

/// Variable of the environment that names the directory of a [`MaskedPush`].
pub const MASKED_PUSH: &str = "REFWARDEN_MASKED_PUSH";
/// The file with it.
pub const MASKED_JSON: &str = "push.json";
/// The file with its pack.
pub const MASKED_PACK: &str = "client.pack";

/// The rules of the scanner that the policy names, for hooks to scan with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RulesOut {
    /// Their digest ([`ScanRules::digest`]), as the service has it; none where the policy names
    /// none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// They.
    #[serde(default)]
    pub rules: ScanRules,
}

/// The answer to a push.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PushOut {
    /// The push's id in the ledger.
    pub push_id: PushId,
    /// Whether the refs may move.
    pub outcome: Outcome,
    /// Everything that is wrong, at once; empty when released.
    pub reasons: Vec<Reason>,
    /// Where the push is shown.
    pub url: String,
    /// Where a program reads what was found, where something was that refuses the push.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub findings: Option<String>,
}

/// Whether a push may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Its refs may move, each once.
    Released,
    /// It waits for a human: refused now, and the same push passes once it is approved.
    Waiting,
    /// It is refused.
    Denied,
}

/// One reason why a push is refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    /// The stable code.
    pub code: Code,
    /// The ref it is about, where it is about one.
    pub ref_name: Option<RefName>,
    /// One sentence, printable ASCII.
    pub text: String,
    /// What to do next, where the code alone does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The approval request that would let it through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestRef>,
}

/// Where a request is found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestRef {
    /// Its code.
    pub id: RequestId,
    /// The page on which it is approved.
    pub url: String,
    /// Where a program waits for the decision.
    pub poll: String,
    /// Seconds until it expires.
    pub expires_in: u64,
}

/// A held push asks how far people are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitIn {
    /// The repository.
    pub repository: RepositoryId,
    /// The run of receive-pack.
    pub correlation: Correlation,
    /// What was answered last; anything new is answered at once.
    pub standing: Vec<String>,
    /// Seconds that the answer may take when there is nothing new, at most
    /// [`WAIT_SECONDS_MAX`].
    pub seconds: u64,
}

/// The longest that one call waits. A hook has to look after its client between calls.
pub const WAIT_SECONDS_MAX: u64 = 2;

/// The answer to [`WaitIn`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WaitOut {
    /// `Waiting` until people have decided, or something else has.
    pub outcome: Outcome,
    /// Why it is refused; empty otherwise.
    pub reasons: Vec<Reason>,
    /// One line for each request: how far it is. Printable ASCII.
    pub standing: Vec<String>,
}

/// A held push that is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GivenUp {
    /// Its time was over.
    TimeOver,
    /// Its client went away.
    ClientGone,
}

/// Gives up a push that was held. It is not released any more; its requests stay open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelIn {
    /// The repository.
    pub repository: RepositoryId,
    /// The run of receive-pack.
    pub correlation: Correlation,
    /// Why.
    pub why: GivenUp,
}

/// A push that a hook refused by itself, before or instead of a [`PushIn`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedIn {
    /// The repository.
    pub repository: RepositoryId,
    /// The run of receive-pack.
    pub correlation: Correlation,
    /// How the push came.
    pub transport: String,
    /// The client's address, where known.
    pub client_address: Option<String>,
    /// What the pusher was told.
    pub code: Code,
    /// What the pusher was told, one sentence.
    pub text: String,
}

/// A push from a masked clone that could not be translated, as its client made it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UntranslatedIn {
    /// Why it was refused.
    pub refused: RefusedIn,
    /// What it was.
    pub masked: MaskedPush,
}

/// A ref transaction that holds its locks and waits for leave to move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrepareIn {
    /// The repository.
    pub repository: RepositoryId,
    /// The run of receive-pack.
    pub correlation: Correlation,
    /// What would move; no-ops are left out.
    pub moves: Vec<Move>,
}

/// One ref that would move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// The ref that really moves (no symbolic ref).
    pub target: RefName,
    /// Its value now.
    pub old: Oid,
    /// Its value to be.
    pub new: Oid,
}

/// The answer to [`PrepareIn`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PrepareOut {
    /// Whether every move is prepared. If not, none is.
    pub prepared: bool,
    /// Why not.
    pub reasons: Vec<Reason>,
}

/// How a ref transaction ended, as git says; the refs' values say what is true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Git says the transaction was committed.
    Committed,
    /// Git says the transaction was aborted.
    Aborted,
}

/// Where refs are after a transaction. Kept in the host's spool when the service is away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettleIn {
    /// The repository.
    pub repository: RepositoryId,
    /// The run of receive-pack.
    pub correlation: Correlation,
    /// What git said.
    pub phase: Phase,
    /// When the hook looked, microseconds since the epoch by the host's clock.
    pub observed_at: i64,
    /// The refs of the transaction, as they were when the hook looked.
    pub refs: Vec<Observed>,
}

/// A ref and its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// The ref (no symbolic ref).
    pub target: RefName,
    /// Its value; zero when it does not exist.
    pub value: Oid,
}

/// The answer to [`SettleIn`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettleOut {
    /// How many ref updates changed their state by it.
    pub settled: u64,
}

/// The end of a push, from post-receive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompleteIn {
    /// The repository.
    pub repository: RepositoryId,
    /// The run of receive-pack.
    pub correlation: Correlation,
    /// The refs that post-receive was shown, as they are now.
    pub refs: Vec<Observed>,
}

/// The receipt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompleteOut {
    /// The push's id in the ledger.
    pub push_id: PushId,
    /// Refs that moved.
    pub moved: u64,
    /// Where the push is shown.
    pub url: String,
}

/// A repository that comes under guard, with its refs; one pack of everything reachable follows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AdoptIn {
    /// The id that the repository will carry.
    pub repository: RepositoryId,
    /// Its name: what policy globs match and people read, such as `team/app`.
    pub name: String,
    /// Its hash function.
    pub object_format: ObjectFormat,
    /// What HEAD names: `refs/heads/main`; an oid in text when detached.
    pub head: ByteText,
    /// Every ref that is not symbolic.
    pub refs: Vec<Observed>,
    /// Every symbolic ref but HEAD.
    pub symrefs: Vec<Symref>,
    /// Bytes of the pack that follows.
    pub pack_bytes: Option<u64>,
    /// The hook's version.
    pub hook_version: String,
}

/// A symbolic ref and the ref it names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Symref {
    /// The symbolic ref.
    pub name: RefName,
    /// What it names.
    pub target: RefName,
}

/// The answer to [`AdoptIn`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdoptOut {
    /// The repository's id.
    pub repository: RepositoryId,
    /// The epoch that begins: 1 for the first adoption.
    pub epoch: i32,
    /// Hexadecimal SHA-256 of the baseline pack; none for an empty repository.
    pub pack_digest: Option<String>,
}

/// What the proxy asks before it starts anything. The token is in [`TOKEN_HEADER`], or absent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthenticateIn {
    /// The repository that is asked for.
    pub repository: RepositoryId,
    /// `fetch` or `push`.
    pub operation: Operation,
    /// The client's address.
    pub client_address: Option<String>,
    /// The client's agent string.
    pub client_agent: Option<String>,
    /// Whether the proxy lets those without a token fetch.
    #[serde(default)]
    pub admits_anonymous: bool,
}

/// What a client wants of a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// `git-upload-pack`.
    Fetch,
    /// `git-receive-pack`.
    Push,
}

/// The answer when the token is good, or anonymous reads are allowed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthenticateOut {
    /// Who it is; none for an anonymous reader.
    pub actor: Option<ActorChain>,
    /// Which view of the repository the actor reads.
    pub view: View,
    /// The hash of the policy that says so.
    pub policy: String,
    /// Whether that policy distinguishes readers at all.
    pub distinguishes: bool,
    /// Whether what this actor fetches is kept, pack and all.
    #[serde(default)]
    pub keep: bool,
    /// Seconds until the token ends; none without one.
    #[serde(default)]
    pub token_seconds: Option<u64>,
    /// The id of the masked view that this actor has fetched from last, for those who fetch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub view_before: Option<String>,
}

/// What an actor sees of a repository. Who sees nothing gets a refusal instead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum View {
    /// The repository itself.
    Whole,
    /// Another history, in which no secret stands. What is pushed to it is translated back first.
    Masked(MaskedView),
}

/// What a masked view is made of. Which rules there are is known where it is made: those that are
/// built in, and those that are configured there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MaskedView {
    /// Whether what generic rules find is masked, too.
    pub generic: bool,
    /// Globs over the ids of the rules that mask, sorted; all of them where empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
    /// A ref has to pass all of them; sorted.
    pub filters: Vec<RefFilter>,
    /// Whether people are asked where a push puts a placeholder elsewhere, instead of its being
    /// refused. It changes nothing of what is seen.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub may_move: bool,
}

/// Which refs a view has: those that match one of `refs`, or all where that is empty, but for
/// those that match one of `hide`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RefFilter {
    /// Globs over full names, sorted.
    pub refs: Vec<String>,
    /// Globs over full names, sorted.
    pub hide: Vec<String>,
}

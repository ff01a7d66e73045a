//! `refwarden.toml`: service, proxy and command line.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::checked;
use super::fetches::Fetches;
use super::issuers;
use super::ledger::Ledger;
use super::notify::{self, Notify};
use super::packs::{self, Packs};
use super::retention::Retention;
use super::ssh::SshAuthority;

/// The whole file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The approval service.
    pub service: Service,
    /// Postgres.
    pub database: Database,
    /// Where policy stands.
    pub policy: PolicyFiles,
    /// The proxy, where this file also configures one.
    pub proxy: Option<Proxy>,
    /// Git hosts that may call the hook API.
    #[serde(default, rename = "host")]
    pub hosts: Vec<Host>,
    /// Identity providers whose tokens are accepted.
    #[serde(default, rename = "issuer", deserialize_with = "issuers::read")]
    pub issuers: Vec<Issuer>,
    /// Authorities whose SSH certificates are accepted.
    #[serde(default, rename = "ssh_authority")]
    pub ssh_authorities: Vec<SshAuthority>,
    /// How people sign in to the pages.
    pub sign_in: Option<SignIn>,
    /// Who may read the records, and who administers.
    #[serde(default)]
    pub access: Access,
    /// Refwarden's own short-lived tokens, where it makes them.
    pub tokens: Option<Tokens>,
    /// The tamper-evident log.
    #[serde(default)]
    pub ledger: Ledger,
    /// To whom packs are sealed, and where they are kept.
    #[serde(default, deserialize_with = "packs::read")]
    pub packs: Packs,
    /// Of whose fetches the packs are kept.
    #[serde(default)]
    pub fetches: Fetches,
    /// How long packs are kept.
    #[serde(default)]
    pub retention: Retention,
    /// How people and programs are told of requests.
    #[serde(default, deserialize_with = "notify::read")]
    pub notify: Notify,
    /// The built-in identity provider of the quick start.
    pub quick_start: Option<QuickStart>,
}

/// The approval service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Address and port to listen on.
    #[serde(deserialize_with = "checked::listen")]
    pub listen: String,
    /// The URL that links begin with, without a slash at the end.
    #[serde(deserialize_with = "checked::base_url")]
    pub public_url: String,
    /// Directory of the packs.
    pub pack_dir: PathBuf,
    /// The audience that a token must name.
    pub audience: String,
    /// Minutes that a signed-in session lasts.
    #[serde(default = "default_session")]
    pub session_minutes: u32,
    /// Days until an approval request expires.
    #[serde(default = "default_request_days")]
    pub request_days: u32,
}

/// Postgres.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// Connection URL. `DATABASE_URL` in the environment takes its place.
    pub url: String,
    /// Connection URL of the role that owns the tables and runs migrations; the service itself
    /// then runs as `refwarden_app` of `url`, which can add to the ledger and not change it. The
    /// same as `url` if not given. `DATABASE_MIGRATOR_URL` in the environment takes its place.
    pub migrator_url: Option<String>,
    /// Connections to keep: 1 to 1000.
    #[serde(
        default = "default_connections",
        deserialize_with = "checked::connections"
    )]
    pub connections: u32,
}

/// Where policy stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyFiles {
    /// Policy files, all of which apply. Relative paths start at this file's directory.
    pub files: Vec<PathBuf>,
}

/// The smart HTTP proxy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proxy {
    /// Address and port to listen on.
    #[serde(deserialize_with = "checked::listen")]
    pub listen: String,
    /// The URL that clients use, without a slash at the end.
    #[serde(deserialize_with = "checked::base_url")]
    pub public_url: String,
    /// Directory under which the bare repositories stand.
    pub repositories: PathBuf,
    /// Base URL of the approval service.
    #[serde(deserialize_with = "checked::base_url")]
    pub service_url: String,
    /// File with the host credential.
    pub credential_file: PathBuf,
    /// Whether whoever has no token may fetch.
    #[serde(default)]
    pub anonymous_reads: bool,
    /// Where masked views are kept. Without it, readers of masked views are refused.
    pub views: Option<Views>,
}

/// Masked views that the proxy and the login shell serve. In `refwarden.toml` relative paths start
/// at its directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Views {
    /// Directory of views, made when it is missing; it may be deleted at any time.
    pub cache: PathBuf,
    /// File with the key of placeholders, 64 hexadecimal digits. Another key makes other
    /// histories.
    pub key_file: PathBuf,
    /// Files of rules that mask, besides those that are built in.
    #[serde(default)]
    pub rules: Vec<PathBuf>,
    /// Seconds that a fetch waits for a view that is being built.
    #[serde(default = "default_view_wait")]
    pub wait_seconds: u64,
}

/// A Git host that may call the hook API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// Its name, as records show it.
    pub name: String,
    /// Hexadecimal SHA-256 of its credential.
    #[serde(deserialize_with = "checked::sha256")]
    pub credential_sha256: String,
}

/// An identity provider whose tokens are accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// The `iss` claim, exactly; discovery starts here.
    pub url: String,
    /// What kind of actor its tokens name.
    #[serde(default)]
    pub kind: IssuerKind,
    /// Signature algorithms that are accepted from it: RS256, PS256, ES256, ES384, `EdDSA`.
    #[serde(deserialize_with = "checked::algorithms")]
    pub algorithms: Vec<String>,
    /// A JWKS file to use instead of discovery.
    pub jwks_file: Option<PathBuf>,
    /// Longest lifetime of a token, in seconds.
    #[serde(default = "default_lifetime")]
    pub max_lifetime: u64,
    /// Seconds that the issuer's clock may differ from ours; 0 where it is the same clock.
    #[serde(default = "default_leeway")]
    pub leeway: u32,
    /// The claim that lists groups.
    #[serde(default = "default_groups_claim")]
    pub groups_claim: String,
    /// Further claims that policy may ask for, such as `repository` or `environment`.
    #[serde(default)]
    pub claims: Vec<String>,
    /// Other audiences whose tokens may be traded for one of Refwarden's own: the client id of a
    /// credential helper, in whose ID tokens it stands.
    #[serde(default)]
    pub exchange_audiences: Vec<String>,
    /// Other hosts that discovery may name for keys and for trading codes, reached over HTTPS.
    /// Without them, only what stands at the issuer's own origin is asked.
    #[serde(default)]
    pub endpoint_hosts: Vec<String>,
}

/// Refwarden's own tokens, which an identity provider's token is traded for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tokens {
    /// File of the Ed25519 key (PKCS#8, DER) that signs them; made when it is missing.
    pub signing_key: PathBuf,
    /// How long one lasts, in seconds; 60 to 3600.
    #[serde(default = "default_token_lifetime")]
    pub lifetime_seconds: u32,
    /// The issuer at which `git-credential-refwarden` signs people in, by device flow.
    pub device_issuer: Option<String>,
    /// The public client that is registered there for it.
    pub device_client_id: Option<String>,
}

/// What kind of actor an issuer's tokens name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IssuerKind {
    /// People. A token with an `act` claim still names an agent.
    #[default]
    Human,
    /// Agents.
    Agent,
    /// Build jobs.
    Ci,
}

/// How people sign in to the pages: `OpenID` Connect, code flow with PKCE.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    /// The identity provider; must be one of the issuers.
    pub issuer: String,
    /// The client id registered there.
    pub client_id: String,
    /// File with the client secret, for a confidential client.
    pub client_secret_file: Option<PathBuf>,
}

/// Who may read the records, and who administers: entries such as `group:auditors` or `user:ada`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Access {
    /// May read every record and replay.
    #[serde(deserialize_with = "checked::actors")]
    pub auditors: Vec<String>,
    /// May read health, and everything auditors may.
    #[serde(deserialize_with = "checked::actors")]
    pub admins: Vec<String>,
}

/// The built-in identity provider, for trying Refwarden on one machine. Loopback only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuickStart {
    /// File with its users, clients and signing key.
    pub identities: PathBuf,
}

const fn default_view_wait() -> u64 {
    60
}

const fn default_session() -> u32 {
    60
}

const fn default_request_days() -> u32 {
    7
}

const fn default_connections() -> u32 {
    16
}

pub(super) const fn default_lifetime() -> u64 {
    3600
}

const fn default_token_lifetime() -> u32 {
    900
}

const fn default_leeway() -> u32 {
    60
}

fn default_groups_claim() -> String {
    "groups".to_owned()
}

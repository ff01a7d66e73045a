//! Policy files as typed, before anything is looked at.

use std::collections::BTreeMap;

use refwarden_model::facts::{FindingConfidence, Mode, Place};
use serde::Deserialize;
use toml::Spanned;

use crate::rule::{Effect, Forbid, Require};
use crate::verdict::Bind;
use crate::view::{PlaceholderMove, See};

pub type Text = Spanned<String>;
pub type Texts = Vec<Spanned<String>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileIn {
    pub version: Spanned<i64>,
    #[serde(default)]
    pub rule: Vec<Spanned<RuleIn>>,
    pub secrets: Option<SecretsIn>,
    #[serde(default)]
    pub secret_owner: Vec<Spanned<SecretOwnerIn>>,
    #[serde(default)]
    pub secret_allow: Vec<SecretAllowIn>,
    pub default: Option<DefaultIn>,
    #[serde(default)]
    pub view: Vec<Spanned<ViewIn>>,
    pub views: Option<ViewsIn>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ViewsIn {
    pub default: Option<See>,
    pub anonymous: Option<See>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ViewIn {
    pub id: Text,
    #[serde(default, rename = "description")]
    pub _description: String,
    #[serde(default)]
    pub repositories: Texts,
    #[serde(default)]
    pub exclude_repositories: Texts,
    #[serde(default)]
    pub issuers: Vec<String>,
    #[serde(default)]
    pub actors: Texts,
    #[serde(default)]
    pub exclude_actors: Texts,
    #[serde(default)]
    pub behalf_of: Texts,
    #[serde(default)]
    pub claims: BTreeMap<String, Texts>,
    #[serde(default)]
    pub exclude_claims: BTreeMap<String, Texts>,
    pub see: See,
    pub generic: Option<bool>,
    pub rules: Option<Texts>,
    pub refs: Option<Texts>,
    #[serde(default)]
    pub hide: Texts,
    pub placeholder_move: Option<PlaceholderMove>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretsIn {
    pub effect: Option<Spanned<Effect>>,
    #[serde(default)]
    pub rules: Texts,
    pub gitleaks_default: Option<Text>,
    pub generic: Option<bool>,
    pub allow_comments: Option<bool>,
    #[serde(default)]
    pub ignore: Texts,
    pub repository_ignore: Option<bool>,
    #[serde(default)]
    pub enforce: Texts,
    #[serde(default)]
    pub evaluate: Texts,
    #[serde(default)]
    pub off: Texts,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretOwnerIn {
    pub id: Text,
    #[serde(default, rename = "description")]
    pub _description: String,
    #[serde(default)]
    pub rules: Texts,
    #[serde(default)]
    pub repositories: Texts,
    pub approvers: Texts,
    pub quorum: Option<u32>,
    pub longest_exception: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretAllowIn {
    pub rule: Text,
    pub fingerprint: Text,
    #[serde(default, rename = "description")]
    pub _description: String,
    #[serde(default)]
    pub repositories: Texts,
    #[serde(default)]
    pub paths: Texts,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DefaultIn {
    pub effect: Spanned<Effect>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleIn {
    pub id: Text,
    #[serde(default, rename = "description")]
    pub _description: String,
    #[serde(default)]
    pub repositories: Texts,
    #[serde(default)]
    pub exclude_repositories: Texts,
    #[serde(default)]
    pub properties: BTreeMap<String, Texts>,
    pub refs: Texts,
    #[serde(default)]
    pub exclude: Texts,
    pub default_branch: Option<bool>,
    #[serde(default)]
    pub on: Texts,
    #[serde(default)]
    pub issuers: Vec<String>,
    #[serde(default)]
    pub actors: Texts,
    #[serde(default)]
    pub exclude_actors: Texts,
    #[serde(default)]
    pub behalf_of: Texts,
    #[serde(default)]
    pub claims: BTreeMap<String, Texts>,
    #[serde(default)]
    pub exclude_claims: BTreeMap<String, Texts>,
    #[serde(default)]
    pub paths: Texts,
    #[serde(default)]
    pub exclude_paths: Texts,
    pub when: Option<Spanned<WhenIn>>,
    #[serde(default)]
    pub require: Vec<Require>,
    #[serde(default)]
    pub forbid: Vec<Forbid>,
    #[serde(default)]
    pub signature_kinds: Texts,
    #[serde(default)]
    pub signers: Texts,
    #[serde(default)]
    pub ref_must_match: Texts,
    #[serde(default)]
    pub ref_must_not_match: Texts,
    #[serde(default)]
    pub message_must_match: Texts,
    #[serde(default)]
    pub message_must_not_match: Texts,
    #[serde(default)]
    pub author_email: Texts,
    #[serde(default)]
    pub committer_email: Texts,
    pub max_path_length: Option<u64>,
    #[serde(default)]
    pub forbidden_extensions: Texts,
    pub max_file_size: Option<Spanned<SizeIn>>,
    #[serde(default)]
    pub lfs: Texts,
    pub max_commits: Option<u64>,
    pub max_files: Option<u64>,
    pub max_changed_lines: Option<u64>,
    pub max_refs: Option<u64>,
    pub max_pushes_per_hour: Option<u64>,
    pub max_pushes_per_day: Option<u64>,
    pub secrets: Option<SecretLimitIn>,
    pub effect: Effect,
    #[serde(default)]
    pub mode: Mode,
    #[serde(default)]
    pub bypass: Texts,
    pub quorum: Option<u32>,
    #[serde(default)]
    pub approvers: Texts,
    #[serde(default)]
    pub all_of: Vec<Spanned<QuorumIn>>,
    pub owners: Option<Text>,
    pub expires: Option<Text>,
    pub bind: Option<Bind>,
    #[serde(default)]
    pub questions: Texts,
    #[serde(default)]
    pub break_glass: Texts,
    #[serde(default)]
    pub grants: Texts,
    pub longest_grant: Option<Text>,
    pub authors_may_approve: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WhenIn {
    pub time_zone: Option<Text>,
    #[serde(default)]
    pub weekdays: Texts,
    #[serde(default)]
    pub hours: Texts,
    #[serde(default)]
    pub windows: Vec<Spanned<WindowIn>>,
    #[serde(default)]
    pub outside: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowIn {
    pub from: String,
    pub until: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub enum SizeIn {
    Bytes(u64),
    Text(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretLimitIn {
    #[serde(default)]
    pub rules: Texts,
    pub confidence: Option<FindingConfidence>,
    pub modes: Option<Vec<Mode>>,
    #[serde(default)]
    pub places: Vec<Place>,
    #[serde(default)]
    pub pre_existing: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuorumIn {
    pub quorum: Option<u32>,
    pub approvers: Texts,
}

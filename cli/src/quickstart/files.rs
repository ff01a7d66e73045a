//! The text of the generated configuration files, written to be read.

use std::path::Path;

use crate::layout::DataDir;

/// The policy that a new installation begins with.
pub const POLICY: &str = r#"# Policy: which ref updates need a human, and which are refused. All rules that match apply;
# the strictest wins (deny, then require_approval, then allow). Refs and repositories are
# globs: * stays within one component, ** does not.

version = 1

[[rule]]
id = "protect-main"
description = "A maintainer looks at whatever enters the main branch or a release branch"
repositories = ["**"]
refs = ["refs/heads/main", "refs/heads/master", "refs/heads/release/**"]
on = ["create", "fast-forward"]
effect = "require_approval"
quorum = 1
approvers = ["group:maintainers"]

[[rule]]
id = "no-rewrite"
description = "Nobody rewrites or deletes these branches"
repositories = ["**"]
refs = ["refs/heads/main", "refs/heads/master", "refs/heads/release/**"]
on = ["non-fast-forward", "delete"]
effect = "deny"

[[rule]]
id = "tags-do-not-move"
description = "A tag stays where it was put"
repositories = ["**"]
refs = ["refs/tags/**"]
on = ["non-fast-forward", "delete"]
effect = "deny"

# A secret that is new to the repository: "deny" or "allow".
[secrets]
effect = "deny"
"#;

/// What `refwarden.toml` is made of.
pub struct Server<'a> {
    /// The data directory.
    pub dir: &'a DataDir,
    /// The service's port.
    pub port: u16,
    /// The proxy's port.
    pub proxy_port: u16,
    /// The database.
    pub database_url: &'a str,
    /// The database, as the owner of its tables, where that is another role.
    pub migrator_url: Option<&'a str>,
    /// Whose identity opens sealed packs.
    pub recipient: &'a str,
    /// Of the host credential.
    pub credential_sha256: String,
}

impl Server<'_> {
    /// The file.
    pub fn text(&self) -> String {
        let Self {
            dir,
            port,
            proxy_port,
            recipient,
            credential_sha256,
            ..
        } = self;
        let database = quote(self.database_url);
        let migrator = self.migrator_url.map_or_else(String::new, |url| {
            let url = quote(url);
            format!("# As the owner of the tables, for migrations only.\nmigrator_url = {url}\n")
        });
        let packs = path(&dir.join("packs"));
        let policy = path(&dir.join("policy.toml"));
        let repositories = path(&dir.repositories());
        let credential = path(&dir.join("host.key"));
        let web_key = path(&dir.join("web-client.key"));
        let identities = path(&dir.identities_file());
        let ledger_key = path(&dir.join("ledger-signing.key"));
        let second_place = path(&dir.join("checkpoints"));
        let token_key = path(&dir.join("token-signing.key"));
        let views = path(&dir.join("views"));
        let view_key = path(&dir.join("view.key"));
        format!(
            r#"# Refwarden, for service, proxy and command line. Made by `refwarden up`, which
# reads it again at each start: what you change here stays changed.

[service]
listen = "127.0.0.1:{port}"
# Links that people follow begin with this.
public_url = "http://127.0.0.1:{port}"
# Packs exactly as they were pushed, sealed, named by their SHA-256.
pack_dir = {packs}
# Tokens must be made out to this audience.
audience = "refwarden"
session_minutes = 60
request_days = 7

[database]
# DATABASE_URL in the environment takes its place.
url = {database}
{migrator}connections = 16

[policy]
files = [{policy}]

[proxy]
listen = "127.0.0.1:{proxy_port}"
public_url = "http://127.0.0.1:{proxy_port}"
# NAME.git in here is served as public_url/NAME.git.
repositories = {repositories}
service_url = "http://127.0.0.1:{port}"
credential_file = {credential}
anonymous_reads = false

# Histories without secrets, for readers to whom policy gives a masked view. The cache may be
# deleted at any time; with another key the histories are other ones.
[proxy.views]
cache = {views}
key_file = {view_key}

# Git hosts that may report pushes. The credential itself is in host.key.
[[host]]
name = "local"
credential_sha256 = "{credential_sha256}"

# Identity providers whose tokens are accepted. This one is built in, for trying Refwarden on
# one machine; in production name yours instead, and remove [quick_start].
[[issuer]]
url = "http://127.0.0.1:{port}/idp"
kind = "human"
algorithms = ["EdDSA"]
max_lifetime = 3600
# The same clock, so no allowance.
leeway = 0

[sign_in]
issuer = "http://127.0.0.1:{port}/idp"
client_id = "refwarden-web"
client_secret_file = {web_key}

# Tokens of Refwarden's own, which those of the issuers are traded for at /oauth/token: they
# last for minutes, and for what their holder asked for.
[tokens]
signing_key = {token_key}
lifetime_seconds = 900

# Events go into a tamper-evident log. Its checkpoints, signed with this key, and the hashes of
# events are kept in a second place besides the database: name a directory on another machine.
[ledger]
signing_key = {ledger_key}
second_place = {second_place}
checkpoint_seconds = 5

# Packs are sealed to these age recipients while they come in: a pack that is refused for a secret
# holds it. What opens them is made here as auditor.identity, for whoever audits: keep it elsewhere,
# the service never needs it. Without it nobody reads the packs again.
[packs]
recipients = ["{recipient}"]

[access]
auditors = ["group:auditors"]
admins = ["group:admins"]

[quick_start]
identities = {identities}
"#
        )
    }
}

/// The text of `hook.toml`.
pub fn hook(dir: &DataDir, service_url: &str) -> String {
    let credential = path(&dir.join("host.key"));
    let key = path(&dir.join("fingerprint.key"));
    let spool = path(&dir.join("spool"));
    let views = path(&dir.join("views"));
    let view_key = path(&dir.join("view.key"));
    format!(
        r#"# What the hooks on this host need to know. Repositories name this file in their git
# configuration as refwarden.hookConfig. Made by `refwarden up`.

service_url = "{service_url}"
# The host's credential, one line.
credential_file = {credential}
# The key of the fingerprints that name secrets in the records.
fingerprint_key_file = {key}
# What could not be reported at once waits here.
spool_dir = {spool}
# A push is refused when the service takes longer; at most 5000.
timeout_ms = 4000

# Histories without secrets, for those who come over SSH: the same as in [proxy.views].
[views]
cache = {views}
key_file = {view_key}
"#
    )
}

fn path(path: &Path) -> String {
    quote(&path.to_string_lossy())
}

/// A TOML basic string. JSON's escapes are a subset of TOML's.
fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

//! `hook.toml`: what the hooks of one Git host need to know. A repository names it in its own
//! git configuration as `refwarden.hookConfig`, beside `refwarden.repository`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::Views;

/// Settings of the hooks on a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HookConfig {
    /// Base URL of the approval service, without a slash at the end.
    pub service_url: String,
    /// File with the host credential (`rwh_…`), one line.
    pub credential_file: PathBuf,
    /// File with the 64 hexadecimal digits of the key of fingerprints.
    pub fingerprint_key_file: PathBuf,
    /// Directory for what could not be reported at once; one file per repository.
    pub spool_dir: PathBuf,
    /// Whose SSH signatures on commits are good: an allowed-signers file.
    #[serde(default)]
    pub allowed_signers: Option<PathBuf>,
    /// Whose `OpenPGP` signatures are: a home directory of `GnuPG`, every key of whose ring counts.
    #[serde(default)]
    pub gpg_home: Option<PathBuf>,
    /// Milliseconds that the service may take to answer before a push is refused; at most 5000.
    #[serde(default = "default_timeout")]
    pub timeout_ms: u64,
    /// Where masked views are kept, for those who come over SSH: the same as in `[proxy.views]`,
    /// with absolute paths. Without it, readers of masked views are refused there.
    #[serde(default)]
    pub views: Option<Views>,
    /// Milliseconds that scanning one push may take before it is refused.
    #[serde(default = "default_scan")]
    pub scan_budget_ms: u64,
}

/// Ten minutes: some 100 GB of text, or a very large history.
const fn default_scan() -> u64 {
    600_000
}

const fn default_timeout() -> u64 {
    4000
}

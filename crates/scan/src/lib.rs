//! Finds secrets in bytes.
//!
//! One engine for hooks, masked view, command line and back-tests: bytes in, [`Finding`]s out.
//! It says the same thing wherever and whenever it runs for the same [`RulesetId`].
//!
//! ```
//! use refwarden_scan::{FingerprintKey, Ruleset, Scanner, example};
//!
//! let ruleset = Ruleset::builtin()?;
//! let scanner = Scanner::new(&ruleset, FingerprintKey::new([7; 32]));
//! let planted = example::expand("token = ghp_{base62:30}{crc32}\n", 1);
//! let findings = scanner.scan(&planted, None);
//! assert_eq!(&*findings[0].rule_id, "github-pat");
//! # Ok::<(), refwarden_scan::RuleError>(())
//! ```
//!
//! What it deliberately does not do: no files, no network, no clock, no environment, no logging.
//! It does not decide what a finding means for a push; that is the policy's business.
//!
//! How a scan goes:
//!
//! 1. One Aho-Corasick pass over all keywords (`prefilter`) says which rules run, and where.
//! 2. Each rule's regular expression runs on merged windows around its keywords (`sweep`).
//! 3. What matched is judged (`judge`): placeholders, entropy, structure, checksum.
//! 4. What is left becomes a [`Finding`] with line, redacted preview and keyed fingerprint.
//!
//! [`Scanner::scan`] and [`Scanner::stream`] share all of it, so chunking cannot change findings.
//! Encoded text (`decode`) goes through the same steps once more. [`Scanner::inspect`] also looks
//! into containers (`container`) and says what it could not look into; [`Scanner::scan_delta`]
//! looks only at what changed.

mod builtin;
mod checksum;
mod classes;
mod condition;
mod container;
mod decode;
mod delta;
mod error;
pub mod example;
mod files;
mod finding;
mod gathered;
pub mod gitleaks;
mod inspect;
mod judge;
mod large;
mod lines;
mod literals;
mod load;
mod mask;
mod matcher;
mod password;
mod placeholder;
mod prefilter;
mod redact;
mod rule;
mod ruleset;
mod scanner;
mod secret;
mod stream;
mod structure;
mod sweep;

pub use checksum::Checksum;
pub use classes::PathClasses;
pub use condition::{Class, Conditions};
pub use container::{Format, Limits, with_shorter};
pub use decode::{DECODE_DEPTH, Encoding};
pub use delta::{Kept, Keywords, Replaced, Version};
pub use error::RuleError;
pub use finding::{Finding, Step};
pub use gathered::{FINDINGS_MAX, SECRETS_MAX};
pub use inspect::{Inspection, Reason, Unread};
pub use large::Large;
pub use mask::Masker;
pub use matcher::{MATCH_DEFAULT_MAX, MATCH_MAX};
pub use rule::{Confidence, Rule, Severity};
pub use ruleset::{ENGINE_VERSION, Ruleset, RulesetId};
pub use scanner::Scanner;
pub use secret::{Fingerprint, FingerprintKey, Secret};
pub use stream::Stream;

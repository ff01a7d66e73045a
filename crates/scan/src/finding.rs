//! What a scan reports.

use std::ops::Range;
use std::sync::Arc;

use crate::checksum::Checksum;
use crate::rule::{Confidence, Severity};
use crate::secret::{Fingerprint, Secret};

/// A secret that a rule found in the scanned bytes.
///
/// Findings come sorted by span, then rule id. Everything but [`Finding::secret`] may be shown.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Finding {
    /// Id of the rule, such as `github-pat`.
    pub rule_id: Arc<str>,
    /// One line that says what was found, from the rule.
    pub description: Arc<str>,
    /// Byte offsets of the secret (not of the whole match), from the start of the input.
    pub span: Range<u64>,
    /// 1-based line of the secret's first byte; a line ends with `\n`.
    pub line: u64,
    /// 1-based column of the secret's first byte, in bytes.
    pub column: u64,
    /// 1-based line on which the match of the rule's pattern starts, which may be before the
    /// secret's. 0 when a rule of a `gitleaks.toml` is about the path alone.
    pub match_line: u64,
    /// Printable ASCII preview: at most four leading and two trailing characters.
    pub redacted: String,
    /// HMAC of the secret under the installation's key.
    pub fingerprint: Fingerprint,
    /// Shannon entropy of the secret, in bits per byte (0 to 8).
    pub entropy: f32,
    /// Whether the format's checksum holds.
    pub checksum: Checksum,
    /// From the rule.
    pub severity: Severity,
    /// From the rule, one step lower when the checksum is invalid.
    pub confidence: Confidence,
    /// Whether the rule is a generic one ([`crate::Rule::is_generic`]).
    pub generic: bool,
    /// The lines of the match say `gitleaks:allow`. Only set for rules of a `gitleaks.toml`,
    /// where [`crate::Scanner::keep_allowed`] asks for such findings.
    pub allow_comment: bool,
    /// The bytes themselves.
    pub secret: Secret,
}

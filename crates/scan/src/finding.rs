//! What a scan reports.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::checksum::Checksum;
use crate::decode::Encoding;
use crate::rule::{Confidence, Severity};
use crate::secret::{Fingerprint, Secret};

/// One layer between the input and the text that a secret stands in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Step {
    /// A member of an archive: its path there, as the archive has it.
    Member(Arc<[u8]>),
    /// A compressed stream: `gzip`, `xz` or `zstd`.
    Compressed(&'static str),
    /// An encoding of text.
    Encoding(Encoding),
}

impl fmt::Display for Step {
    /// `!inner/a.txt` for a member, with unprintable bytes escaped; else the name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Member(path) => write!(f, "!{}", path.escape_ascii()),
            Self::Compressed(name) => f.write_str(name),
            Self::Encoding(encoding) => encoding.fmt(f),
        }
    }
}

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
    /// Byte offsets of the secret (not of the whole match), from the start of the input; of the
    /// encoded form, where it stands encoded. Inside a container, from the start of the unpacked
    /// member. Line and column likewise.
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
    /// The layers between the input and the secret's text, outermost first; empty for a secret
    /// that stands in the input as it is.
    pub via: Vec<Step>,
    /// The bytes themselves, decoded.
    pub secret: Secret,
    /// The bytes of the span, where they are not those of the secret.
    pub(crate) encoded: Option<Secret>,
}

impl Finding {
    /// The secret as it stands in the scanned text: the bytes of the span.
    pub fn standing(&self) -> &Secret {
        self.encoded.as_ref().unwrap_or(&self.secret)
    }

    /// Whether the secret stands in a member of a container, not in the input itself.
    pub fn is_contained(&self) -> bool {
        let mut steps = self.via.iter();
        steps.any(|step| !matches!(step, Step::Encoding(_)))
    }
}

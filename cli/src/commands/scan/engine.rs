//! The one place where bytes meet the scanner.

use refwarden_scan::{Finding, FingerprintKey, Ruleset, Scanner, Stream};

use crate::args::Scan;
use crate::failure::{Context as _, Outcome};

/// What is larger is scanned piece by piece, in bytes.
pub const WHOLE_MAX: u64 = 4 << 20;

/// Rules and key.
pub struct Engine {
    ruleset: Ruleset,
    key: FingerprintKey,
}

/// The rules that the arguments ask for: those that ship with the scanner. A rule file named by
/// an argument belongs here.
pub fn ruleset(_args: &Scan) -> Outcome<Ruleset> {
    Ruleset::builtin().context(|| "the rules cannot be used".to_owned())
}

impl Engine {
    /// Pairs rules with the key of fingerprints.
    pub fn new(ruleset: Ruleset, key: FingerprintKey) -> Self {
        Self { ruleset, key }
    }

    /// The rules.
    pub fn ruleset(&self) -> &Ruleset {
        &self.ruleset
    }

    /// A scanner for one thread.
    pub fn scanner(&self) -> Scanner<'_> {
        Scanner::new(&self.ruleset, self.key.clone())
    }
}

/// Scans bytes that are all there. `path` is what rules with a path condition are held against.
pub fn whole(scanner: &Scanner<'_>, bytes: &[u8], path: Option<&[u8]>) -> Vec<Finding> {
    scanner.scan(bytes, path)
}

/// Starts a scan of bytes that come in pieces.
pub fn stream<'s>(scanner: &'s Scanner<'_>, path: Option<&[u8]>) -> Stream<'s> {
    scanner.stream(path)
}

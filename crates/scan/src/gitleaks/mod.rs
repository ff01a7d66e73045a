//! Runs `gitleaks.toml` files as they are.
//!
//! [`load`] reads a file into a [`Ruleset`], which a [`Scanner`](crate::Scanner) runs like any
//! other. What it finds is what gitleaks 8.30 finds with the same file and decoding off, by rule,
//! file and line; `docs/gitleaks-compatibility.md` lists what differs and why.
//!
//! Such a file's rules are judged by the file alone: its allow-lists, stop-words and entropy.
//! Placeholders, checksums and structure, which this crate's own rules know, play no part.
//!
//! Parts: `file` reads the keys, `re2` and `re2_class` translate patterns, `pattern` checks them,
//! `allow` holds allow-lists, `load` merges files, `plan` finds out where a pattern can match,
//! `prefilter` looks for such places, `run` tries them with `dfa`, `verdict` judges a match, `raw` is one, `report` decides
//! between matches, `foreign` is what the scanner calls, `ignore` reads `.gitleaksignore`.
//!
//! What it deliberately does not do: read files (the caller resolves `extend`), decode (that is
//! the scanner's part), write gitleaks' reports.

mod allow;
mod bytes;
mod dfa;
mod engine;
mod file;
mod foreign;
mod ignore;
mod load;
mod pattern;
mod plan;
mod prefilter;
mod raw;
mod re2;
mod re2_class;
mod report;
mod run;
mod verdict;

pub(crate) use engine::Engine;
pub use engine::RuleInfo;
pub(crate) use foreign::Foreign;
pub use ignore::Ignore;
pub use load::{Base, Note};
pub use verdict::is_commented;

use crate::error::RuleError;
use crate::ruleset::Ruleset;

/// A file that was read.
#[derive(Debug)]
#[non_exhaustive]
pub struct Loaded {
    /// The rules, ready to scan.
    pub ruleset: Ruleset,
    /// What in the file has no effect; to be shown to whoever maintains it.
    pub notes: Vec<Note>,
}

/// Reads a `gitleaks.toml`.
///
/// `name` stands in messages. `resolve` yields the text of a file that this one extends, or says
/// why it cannot; it is called for at most two files in a row.
///
/// # Errors
///
/// The first fault found, with file and line: what is no TOML or has a value of a wrong type, a
/// pattern that Go refuses or that compiles to more than 1 MiB, an allow-list with nothing in it,
/// both forms of allow-list at once, ids that name no rule, a secret group that the pattern does
/// not have, a rule without both `regex` and `path`, a file to extend that cannot be had.
pub fn load(
    text: &str,
    name: &str,
    resolve: impl Fn(Base<'_>) -> Result<String, String>,
) -> Result<Loaded, RuleError> {
    let mut notes = Vec::new();
    let config = load::load(text, name, &resolve, &mut notes)?;
    let ruleset = Ruleset::of_gitleaks(Engine::new(config));
    Ok(Loaded { ruleset, notes })
}

//! Reads the files of rules that an administrator names, in either form: the crate's own, or
//! `gitleaks.toml`. Which one a file has is told by its keys, so that a file meant for the one is
//! never taken for an empty one of the other.

use toml::de::DeTable;

use crate::error::RuleError;
use crate::gitleaks::{self, Base, Loaded};
use crate::ruleset::Ruleset;

/// The form of a file of rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Own,
    Gitleaks,
}

/// Keys at the top of a file of the crate's own form.
const OWN: [&str; 2] = ["provider", "rule"];

/// Keys at the top of a `gitleaks.toml`, in any case.
const GITLEAKS: [&str; 4] = ["rules", "extend", "allowlist", "allowlists"];

impl Ruleset {
    /// The rules that ship with this crate, generic ones too if `generic` says so, and those of
    /// files: pairs of a name (for messages) and TOML text.
    ///
    /// `resolve` yields the text of what a `gitleaks.toml` extends, given the file's place in
    /// `files`, or says why it cannot.
    ///
    /// # Errors
    ///
    /// The first fault found, with file and line: as [`Ruleset::from_toml`] and
    /// [`gitleaks::load`]; also a file without a rule, and one of neither form.
    pub fn with_files(
        generic: bool,
        files: &[(&str, &str)],
        resolve: impl Fn(usize, Base<'_>) -> Result<String, String>,
    ) -> Result<Loaded, RuleError> {
        let mut own = Vec::new();
        let mut others = Vec::new();
        let mut notes = Vec::new();
        for (place, &(name, text)) in files.iter().enumerate() {
            match form(name, text)? {
                Form::Own => own.push((name, text)),
                Form::Gitleaks => {
                    let loaded = gitleaks::load(text, name, |base| resolve(place, base))?;
                    if loaded.ruleset.gitleaks_rules().next().is_none() {
                        return Err(fault(name, 1, "expected at least one rule, or extend"));
                    }
                    notes.extend(loaded.notes);
                    others.push(loaded.ruleset);
                }
            }
        }
        let shipped = if generic {
            Self::builtin_and_generic(&own)
        } else {
            Self::builtin_with(&own)
        };
        Ok(Loaded {
            ruleset: shipped?.with_gitleaks(others),
            notes,
        })
    }
}

fn form(name: &str, text: &str) -> Result<Form, RuleError> {
    let root = DeTable::parse(text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start));
        let line = before.unwrap_or_default().matches('\n').count() + 1;
        fault(name, line, error.message())
    })?;
    let has = |wanted: &[&str]| {
        let mut keys = root.get_ref().keys();
        keys.any(|key| {
            let key = key.get_ref();
            wanted.iter().any(|one| key.eq_ignore_ascii_case(one))
        })
    };
    // Strictly as written: `Rule` is no key of this form, and its reader says so.
    let mut keys = root.get_ref().keys();
    if keys.any(|key| OWN.contains(&&**key.get_ref())) {
        return Ok(Form::Own);
    }
    if has(&GITLEAKS) {
        return Ok(Form::Gitleaks);
    }
    let expected = "expected rules: [[rule]] and provider, or [[rules]] as in a gitleaks.toml";
    Err(fault(name, 1, expected))
}

fn fault(file: &str, line: usize, message: &str) -> RuleError {
    RuleError::Syntax {
        file: file.to_owned(),
        line,
        message: message.to_owned(),
    }
}

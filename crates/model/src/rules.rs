//! The scanner's rules that a policy names, as text: what the service hands to hooks.
//!
//! Plain data. Who reads them into rules is `refwarden_scan`.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A file and its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedText {
    /// Its name, as whoever names it writes it.
    pub name: String,
    /// What stands in it.
    pub text: String,
}

/// A file of rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleFile {
    /// The file.
    #[serde(flatten)]
    pub file: NamedText,
    /// Files that it extends, by the name that it gives them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extended: Vec<NamedText>,
}

/// What a policy adds to the rules that ship with the scanner.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanRules {
    /// Whether the generic rules that ship with the scanner run, too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub generic: bool,
    /// Files of rules: the scanner's own form, or `gitleaks.toml`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<RuleFile>,
    /// What `useDefault` of a `gitleaks.toml` means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gitleaks_default: Option<String>,
    /// Places that somebody has looked at, in the form of `.gitleaksignore`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignore: Vec<NamedText>,
    /// Whether the repository's own `.gitleaksignore` counts, as the default branch has it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub repository_ignore: bool,
}

impl ScanRules {
    /// Whether nothing is added.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Hexadecimal SHA-256 of all that is said; none where nothing is added. Whoever holds the
    /// rules computes it from them and believes no one who names it.
    pub fn digest(&self) -> Option<String> {
        if self.is_empty() {
            return None;
        }
        let mut hasher = Sha256::new();
        // Lengths and counts go first, so that no text can stand for two.
        let count = |length: usize| u64::try_from(length).unwrap_or(u64::MAX).to_be_bytes();
        let mut part = |bytes: &[u8]| {
            hasher.update(count(bytes.len()));
            hasher.update(bytes);
        };
        let named = |texts: &[NamedText], part: &mut dyn FnMut(&[u8])| {
            part(&count(texts.len()));
            for text in texts {
                part(text.name.as_bytes());
                part(text.text.as_bytes());
            }
        };
        part(&[u8::from(self.generic), u8::from(self.repository_ignore)]);
        part(&count(self.files.len()));
        for file in &self.files {
            named(std::slice::from_ref(&file.file), &mut part);
            named(&file.extended, &mut part);
        }
        part(&[u8::from(self.gitleaks_default.is_some())]);
        part(
            self.gitleaks_default
                .as_deref()
                .unwrap_or_default()
                .as_bytes(),
        );
        named(&self.ignore, &mut part);
        Some(hex::encode(hasher.finalize()))
    }

    /// Bytes of all texts together.
    pub fn bytes(&self) -> usize {
        let of_file = |file: &RuleFile| file.file.text.len() + total(&file.extended);
        self.files.iter().map(of_file).sum::<usize>()
            + self.gitleaks_default.as_ref().map_or(0, String::len)
            + total(&self.ignore)
    }
}

fn total(texts: &[NamedText]) -> usize {
    texts.iter().map(|text| text.text.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(name: &str, text: &str) -> NamedText {
        NamedText {
            name: name.to_owned(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn rules_that_differ_have_digests_that_differ() {
        let file = |file, extended| RuleFile { file, extended };
        let with = |files| ScanRules {
            files,
            ..ScanRules::default()
        };
        let ignoring = |ignore| ScanRules {
            ignore,
            ..ScanRules::default()
        };
        let all = [
            with(vec![file(text("a", "b"), vec![])]),
            with(vec![file(text("ab", ""), vec![])]),
            with(vec![file(text("", "ab"), vec![])]),
            with(vec![file(text("a", "b"), vec![text("c", "d")])]),
            with(vec![
                file(text("a", "b"), vec![]),
                file(text("c", "d"), vec![]),
            ]),
            ignoring(vec![text("a", "b")]),
            ignoring(vec![text("a", "b"), text("c", "d")]),
            ScanRules {
                generic: true,
                ..ScanRules::default()
            },
            ScanRules {
                repository_ignore: true,
                ..ScanRules::default()
            },
            ScanRules {
                gitleaks_default: Some(String::new()),
                ..ScanRules::default()
            },
        ];
        let mut digests: Vec<_> = all.iter().map(|rules| rules.digest().unwrap()).collect();
        digests.sort();
        digests.dedup();
        assert_eq!(digests.len(), all.len());
        assert_eq!(ScanRules::default().digest(), None);
    }
}

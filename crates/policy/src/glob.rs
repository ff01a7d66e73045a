//! Globs over ref and repository names: bytes, always the whole name.
//!
//! `*` and `?` stay within a component, `**` crosses slashes; nothing else is special.
//! Translated to a linear-time regular expression, so that no pattern can be slow.

use regex::bytes::{Regex, RegexBuilder};

/// A compiled glob.
#[derive(Clone, Debug)]
pub struct Glob {
    source: String,
    regex: Regex,
}

/// Why a glob is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{glob}' is not a glob: {problem}")]
pub struct GlobError {
    glob: String,
    problem: &'static str,
}

impl Glob {
    /// Compiles a glob of at most 1024 bytes.
    ///
    /// # Errors
    /// [`GlobError`] when it is empty or too long.
    pub fn new(source: &str) -> Result<Self, GlobError> {
        let fail = |problem| GlobError {
            glob: source.chars().take(80).collect(),
            problem,
        };
        if source.is_empty() {
            return Err(fail("it is empty"));
        }
        if source.len() > 1024 {
            return Err(fail("it is longer than 1024 bytes"));
        }
        let regex = RegexBuilder::new(&translate(source))
            .unicode(false)
            .size_limit(1 << 20)
            .build()
            .map_err(|_| fail("it is too complicated"))?;
        Ok(Self {
            source: source.to_owned(),
            regex,
        })
    }

    /// Whether the whole name matches.
    pub fn is_match(&self, name: &[u8]) -> bool {
        self.regex.is_match(name)
    }

    /// The glob as written.
    pub fn source(&self) -> &str {
        &self.source
    }
}

fn translate(source: &str) -> String {
    let mut pattern = String::from("(?s-u)\\A");
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let (piece, taken) = if rest.starts_with("**") {
            (".*".to_owned(), 2)
        } else if first == '*' {
            ("[^/]*".to_owned(), 1)
        } else if first == '?' {
            ("[^/]".to_owned(), 1)
        } else {
            let bytes = rest.get(..first.len_utf8()).unwrap_or_default();
            let escaped = bytes
                .bytes()
                .fold(String::new(), |text, byte| text + &format!("\\x{byte:02x}"));
            (escaped, first.len_utf8())
        };
        pattern.push_str(&piece);
        rest = rest.get(taken..).unwrap_or_default();
    }
    pattern.push_str("\\z");
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_whole_names() {
        for (glob, name, expected) in [
            ("refs/heads/main", &b"refs/heads/main"[..], true),
            ("refs/heads/main", b"refs/heads/main2", false),
            ("refs/heads/main", b"xrefs/heads/main", false),
            ("refs/heads/*", b"refs/heads/a", true),
            ("refs/heads/*", b"refs/heads/a/b", false),
            ("refs/heads/**", b"refs/heads/a/b", true),
            ("refs/heads/release-?", b"refs/heads/release-1", true),
            ("refs/heads/release-?", b"refs/heads/release-/", false),
            ("**", b"anything/\xff\n", true),
            ("a.b", b"axb", false),
            ("refs/heads/\u{e9}", "refs/heads/\u{e9}".as_bytes(), true),
        ] {
            assert_eq!(
                Glob::new(glob).unwrap().is_match(name),
                expected,
                "{glob} {name:?}"
            );
        }
        assert!(Glob::new("").is_err());
        assert!(Glob::new(&"a".repeat(1025)).is_err());
    }
}

//! Full ref names, checked by the rules of git-check-ref-format(1).

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::bytes::{ByteText, escape};

/// A full ref name: `HEAD`, or `refs/` and what follows. Any encoding, at most 4096 bytes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RefName(Vec<u8>);

/// Why bytes are no ref name that Refwarden lets through.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} is not a ref name: {problem}")]
pub struct RefNameError {
    /// The name, escaped.
    pub name: String,
    /// The first rule it breaks.
    pub problem: &'static str,
}

/// The longest ref name that is accepted, in bytes: Linux's `PATH_MAX`, beyond which the files
/// backend cannot hold one.
pub const MAX_LEN: usize = 4096;

impl RefName {
    /// Parses a full ref name.
    pub fn parse(name: &[u8]) -> Result<Self, RefNameError> {
        match problem(name) {
            None => Ok(Self(name.to_vec())),
            Some(problem) => {
                let shown = name.get(..name.len().min(80)).unwrap_or_default();
                Err(RefNameError {
                    name: escape(shown),
                    problem,
                })
            }
        }
    }

    /// The name's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Text for search and display; lossy.
    pub fn lossy(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }

    /// Whether the ref is a branch.
    pub fn is_branch(&self) -> bool {
        self.0.starts_with(b"refs/heads/")
    }

    /// Whether the ref is a tag.
    pub fn is_tag(&self) -> bool {
        self.0.starts_with(b"refs/tags/")
    }
}

/// The rules of git-check-ref-format(1), plus: control bytes are named first, because a line
/// feed in a name forges lines of a hook's standard input.
fn problem(name: &[u8]) -> Option<&'static str> {
    if name.iter().any(|&byte| byte < 0x20 || byte == 0x7f) {
        return Some("it holds a control character");
    }
    if name.len() > MAX_LEN {
        return Some("it is longer than 4096 bytes");
    }
    if name == b"HEAD" {
        return None;
    }
    let Some(rest) = name.strip_prefix(b"refs/") else {
        return Some("it does not begin with refs/");
    };
    for component in rest.split(|&byte| byte == b'/') {
        if component.is_empty() {
            return Some("a component is empty");
        }
        if component.starts_with(b".") {
            return Some("a component begins with a dot");
        }
        if component.ends_with(b".lock") {
            return Some("a component ends with .lock");
        }
    }
    if name.ends_with(b".") {
        return Some("it ends with a dot");
    }
    if name.windows(2).any(|pair| pair == b".." || pair == b"@{") {
        return Some("it holds '..' or '@{'");
    }
    if name.iter().any(|byte| b" ~^:?*[\\".contains(byte)) {
        return Some("it holds a space or one of ~ ^ : ? * [ \\");
    }
    None
}

impl fmt::Display for RefName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escape(&self.0))
    }
}

impl fmt::Debug for RefName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for RefName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        ByteText::new(self.0.clone()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RefName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = ByteText::deserialize(deserializer)?;
        Self::parse(bytes.as_bytes()).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_git_takes_are_taken() {
        for name in [
            &b"refs/heads/main"[..],
            b"HEAD",
            b"refs/heads/--upload-pack=x",
            b"refs/heads/$(id)",
            b"refs/heads/<script>",
            b"refs/heads/\xff",
            b"refs/heads/@",
            b"refs/x",
        ] {
            assert!(RefName::parse(name).is_ok(), "{}", escape(name));
        }
    }

    #[test]
    fn names_that_git_refuses_or_that_forge_lines_are_refused() {
        for name in [
            &b""[..],
            b"main",
            b"refs/",
            b"refs/heads/",
            b"refs//x",
            b"refs/heads/.x",
            b"refs/heads/x.lock",
            b"refs/heads/x.",
            b"refs/heads/a..b",
            b"refs/heads/a@{b",
            b"refs/heads/a b",
            b"refs/heads/a\nb",
            b"refs/heads/a\0b",
            b"refs/heads/a\x7f",
            b"refs/heads/a\\b",
        ] {
            assert!(RefName::parse(name).is_err(), "{}", escape(name));
        }
    }
}

//! Globs over ref and repository names: bytes, always the whole name.
//!
//! `*` and `?` stay within a component, `**` crosses slashes; nothing else is special.
//! Translated to a linear-time regular expression, so that no pattern can be slow.

use regex::bytes::{Regex, RegexBuilder};

/// A compiled glob.
#[derive(Clone, Debug)]
pub struct Glob {
    source: String,
    matcher: Matcher,
}

/// How a glob is matched. Most need no regular expression, whose own memory would be most of
/// what a policy of a thousand rules takes.
#[derive(Clone, Debug)]
enum Matcher {
    /// `text`: the name itself.
    Literal,
    /// `text**`: whatever begins so.
    Below,
    /// `text*`: whatever begins so, to the end of that component.
    Within,
    /// Any other.
    Regex(Regex),
}

/// Why a glob is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{glob}' is not a glob: {problem}")]
pub struct GlobError {
    glob: String,
    problem: &'static str,
}

/// How a glob reads slashes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flavour {
    /// The whole name, as written.
    Name,
    /// A path: without a slash it names files at any depth; with a trailing one, all below.
    Path,
}

impl Glob {
    /// Compiles a glob over names, of at most 1024 bytes.
    ///
    /// # Errors
    /// [`GlobError`] when it is empty or too long.
    pub fn new(source: &str) -> Result<Self, GlobError> {
        Self::compile(source, Flavour::Name)
    }

    /// Compiles a glob over paths of files. Without a slash it matches a file's name in any
    /// directory; with one, the whole path from the root (a leading slash is dropped); one that
    /// ends with a slash matches all below that directory. `**/` also stands for no directory.
    ///
    /// # Errors
    /// [`GlobError`] when it is empty or too long.
    pub fn for_paths(source: &str) -> Result<Self, GlobError> {
        Self::compile(source, Flavour::Path)
    }

    fn compile(source: &str, flavour: Flavour) -> Result<Self, GlobError> {
        let fail = |problem| GlobError {
            glob: source.chars().take(80).collect(),
            problem,
        };
        if source.is_empty() || (flavour == Flavour::Path && source == "/") {
            return Err(fail("it is empty"));
        }
        if source.len() > 1024 {
            return Err(fail("it is longer than 1024 bytes"));
        }
        let prefix = source.trim_end_matches(['*', '?']);
        let simple = flavour == Flavour::Name && !prefix.contains(['*', '?']);
        let matcher = match source.get(prefix.len()..) {
            Some("") if simple => Some(Matcher::Literal),
            Some("**") if simple => Some(Matcher::Below),
            Some("*") if simple => Some(Matcher::Within),
            _ => None,
        };
        if let Some(matcher) = matcher {
            return Ok(Self {
                source: source.to_owned(),
                matcher,
            });
        }
        let pattern = match flavour {
            Flavour::Name => format!("(?s-u)\\A{}\\z", translate(source, flavour)),
            Flavour::Path => {
                let anchored = source.trim_end_matches('/').contains('/');
                let rest = source.strip_prefix('/').unwrap_or(source);
                let start = if anchored { "" } else { "(?:.*/)?" };
                let end = if rest.ends_with('/') { ".*" } else { "" };
                format!("(?s-u)\\A{start}{}{end}\\z", translate(rest, flavour))
            }
        };
        let regex = RegexBuilder::new(&pattern)
            .unicode(false)
            .size_limit(1 << 20)
            .build()
            .map_err(|_| fail("it is too complicated"))?;
        Ok(Self {
            source: source.to_owned(),
            matcher: Matcher::Regex(regex),
        })
    }

    /// Whether the whole name matches.
    pub fn is_match(&self, name: &[u8]) -> bool {
        let rest = || name.strip_prefix(self.literal_prefix().as_bytes());
        match &self.matcher {
            Matcher::Literal => name == self.source.as_bytes(),
            Matcher::Below => rest().is_some(),
            Matcher::Within => rest().is_some_and(|rest| !rest.contains(&b'/')),
            Matcher::Regex(regex) => regex.is_match(name),
        }
    }

    /// The glob as written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// What every name that a glob over names matches begins with: all before the first `*`
    /// or `?`.
    pub fn literal_prefix(&self) -> &str {
        let end = self.source.find(['*', '?']).unwrap_or(self.source.len());
        self.source.get(..end).unwrap_or_default()
    }

    /// Whether it matches one name only.
    pub fn is_literal(&self) -> bool {
        self.literal_prefix().len() == self.source.len()
    }

    /// Whether this glob certainly matches all that the other matches. May say no where it does.
    pub fn covers(&self, other: &Self) -> bool {
        self.source == other.source
            || (other.is_literal() && self.is_match(other.source.as_bytes()))
            || (self.source.strip_suffix("**") == Some(self.literal_prefix())
                && other.literal_prefix().starts_with(self.literal_prefix()))
    }
}

impl PartialEq for Glob {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl serde::Serialize for Glob {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.source)
    }
}

fn translate(source: &str, flavour: Flavour) -> String {
    let mut pattern = String::new();
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let (piece, taken) = if flavour == Flavour::Path && rest.starts_with("**/") {
            ("(?:.*/)?".to_owned(), 3)
        } else if rest.starts_with("**") {
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

    #[test]
    fn globs_over_paths_follow_directories() {
        for (glob, path, expected) in [
            ("*.psd", "a.psd", true),
            ("*.psd", "art/deep/a.psd", true),
            ("*.psd", "a.psd.txt", false),
            ("src/*", "src/a", true),
            ("src/*", "src/a/b", false),
            ("src/*", "lib/src/a", false),
            ("/Makefile", "Makefile", true),
            ("/Makefile", "sub/Makefile", false),
            ("src/", "src/a/b", true),
            ("src/", "lib/src/a", true),
            ("/src/", "lib/src/a", false),
            ("src/", "src", false),
            ("**/test/**", "test/a", true),
            ("**/test/**", "x/y/test/a", true),
            ("a/**/b", "a/b", true),
            ("a/**/b", "a/x/y/b", true),
            ("**", "anything", true),
        ] {
            let compiled = Glob::for_paths(glob).unwrap();
            assert_eq!(
                compiled.is_match(path.as_bytes()),
                expected,
                "{glob} {path}"
            );
        }
        assert!(Glob::for_paths("/").is_err());
    }

    #[test]
    fn covering_is_never_claimed_wrongly() {
        for (wide, narrow, expected) in [
            ("**", "refs/heads/x*", true),
            ("refs/heads/**", "refs/heads/main", true),
            ("refs/heads/**", "refs/heads/a/*", true),
            ("refs/heads/*", "refs/heads/a", true),
            ("refs/heads/*", "refs/heads/a/b", false),
            ("refs/heads/*", "refs/heads/a*", false),
            ("refs/*/**", "refs/heads/**", false),
            ("refs/tags/**", "refs/**", false),
        ] {
            let (wide, narrow) = (Glob::new(wide).unwrap(), Glob::new(narrow).unwrap());
            assert_eq!(wide.covers(&narrow), expected, "{wide:?} {narrow:?}");
        }
    }

    /// What the documentation says, one byte at a time.
    fn by_definition(glob: &[u8], name: &[u8]) -> bool {
        match glob {
            [] => name.is_empty(),
            [b'*', b'*', rest @ ..] => (0..=name.len()).any(|at| by_definition(rest, &name[at..])),
            [b'*', rest @ ..] => {
                let end = name.iter().position(|&byte| byte == b'/');
                let end = end.unwrap_or(name.len());
                (0..=end).any(|at| by_definition(rest, &name[at..]))
            }
            [b'?', rest @ ..] => match name {
                [first, after @ ..] => *first != b'/' && by_definition(rest, after),
                [] => false,
            },
            [byte, rest @ ..] => name.first() == Some(byte) && by_definition(rest, &name[1..]),
        }
    }

    proptest::proptest! {
        #[test]
        fn globs_match_by_their_definition(glob in "[ab/*?]{1,8}", name in "[ab/]{0,8}") {
            let compiled = Glob::new(&glob).unwrap();
            let expected = by_definition(glob.as_bytes(), name.as_bytes());
            proptest::prop_assert_eq!(compiled.is_match(name.as_bytes()), expected);
        }

        #[test]
        fn what_is_covered_matches_too(
            wide in "[ab/*?]{1,6}", narrow in "[ab/*?]{1,6}", name in "[ab/]{0,6}",
        ) {
            let (wide, narrow) = (Glob::new(&wide).unwrap(), Glob::new(&narrow).unwrap());
            if wide.covers(&narrow) && narrow.is_match(name.as_bytes()) {
                proptest::prop_assert!(wide.is_match(name.as_bytes()));
            }
        }
    }
}

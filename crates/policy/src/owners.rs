//! Files in CODEOWNERS syntax: who owns which paths.
//!
//! Syntax and matching as GitHub documents them ("About code owners"), with GitLab's sections
//! ("Code Owners syntax"): the last line that matches a path decides, a line without owners
//! leaves the path to nobody, each section decides for itself. Unlike there, a line that cannot
//! be understood is an error and not skipped: a path must not lose its owners by a typing error.
//!
//! `@org/team` becomes `group:team`, `@user` becomes `user:user`, an e-mail address becomes
//! `email:address`.

use regex::bytes::{Regex, RegexBuilder};
use serde::Serialize;

/// A parsed file.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Owners {
    sections: Vec<Section>,
}

#[derive(Clone, Debug, Default, Serialize)]
struct Section {
    name: Option<String>,
    quorum: u32,
    optional: bool,
    defaults: Vec<String>,
    lines: Vec<Line>,
}

#[derive(Clone, Debug, Serialize)]
struct Line {
    pattern: String,
    #[serde(skip)]
    regex: Regex,
    owners: Vec<String>,
}

/// Who has to approve for some paths.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owned<'a> {
    /// Any of them counts: `group:…`, `user:…` or `email:…`.
    pub owners: &'a [String],
    /// How many of them.
    pub quorum: u32,
}

/// Why a file is not accepted: the line, from 1, and what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnersError {
    pub line: usize,
    pub problem: String,
}

impl Owners {
    /// Parses a file.
    pub fn parse(text: &str) -> Result<Self, OwnersError> {
        let mut sections = vec![Section {
            quorum: 1,
            ..Section::default()
        }];
        for (index, raw) in text.lines().enumerate() {
            let fail = |problem: String| OwnersError {
                line: index + 1,
                problem,
            };
            let mut words = words(raw).into_iter();
            let Some(first) = words.next() else { continue };
            let is_section = first.starts_with('[') || first.starts_with("^[");
            if is_section {
                // A section's name may hold spaces, so it is cut from the whole line.
                let section = section(raw.trim()).map_err(fail)?;
                sections.push(section);
                continue;
            }
            let owners = owners(words).map_err(fail)?;
            let regex = compile(&first).map_err(fail)?;
            let Some(section) = sections.last_mut() else {
                continue;
            };
            let owners = if owners.is_empty() {
                section.defaults.clone()
            } else {
                owners
            };
            section.lines.push(Line {
                pattern: first,
                regex,
                owners,
            });
        }
        Ok(Self { sections })
    }

    /// Who owns a path, one entry for each section that says so; empty for nobody.
    pub fn of(&self, path: &[u8]) -> Vec<Owned<'_>> {
        let decides = |section: &'_ Section| {
            let mut lines = section.lines.iter().rev();
            let index = lines.position(|line| line.regex.is_match(path))?;
            Some(section.lines.len() - 1 - index)
        };
        let mut found = Vec::new();
        for section in self.sections.iter().filter(|section| !section.optional) {
            let line = decides(section).and_then(|index| section.lines.get(index));
            if let Some(line) = line.filter(|line| !line.owners.is_empty()) {
                found.push(Owned {
                    owners: &line.owners,
                    quorum: section.quorum,
                });
            }
        }
        found
    }

    /// Everybody who owns anything: what has to be asked where the paths are not all known.
    pub fn all(&self) -> Vec<Owned<'_>> {
        let mut all: Vec<Owned<'_>> = self
            .sections
            .iter()
            .filter(|section| !section.optional)
            .flat_map(|section| {
                section.lines.iter().map(|line| Owned {
                    owners: &line.owners,
                    quorum: section.quorum,
                })
            })
            .filter(|owned| !owned.owners.is_empty())
            .collect();
        all.sort();
        all.dedup();
        all
    }
}

/// Splits at white space, drops comments; `\ ` and `\#` stand for themselves.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => word.extend(chars.next()),
            '#' if word.is_empty() => break,
            c if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            c => word.push(c),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// `[Name]`, `[Name][2] @owner`, `^[Optional]`.
fn section(line: &str) -> Result<Section, String> {
    let expected = || "expected a section: [Name], [Name][approvals] or ^[Name]".to_owned();
    let optional = line.starts_with('^');
    let rest = line.trim_start_matches('^');
    let rest = rest.strip_prefix('[').ok_or_else(expected)?;
    let (name, rest) = rest.split_once(']').ok_or_else(expected)?;
    if name.trim().is_empty() {
        return Err(expected());
    }
    let (quorum, rest) = match rest.strip_prefix('[') {
        None => (1, rest),
        Some(rest) => {
            let (number, rest) = rest.split_once(']').ok_or_else(expected)?;
            let number = number.parse::<u32>().ok().filter(|number| *number > 0);
            (number.ok_or_else(expected)?, rest)
        }
    };
    Ok(Section {
        name: Some(name.trim().to_owned()),
        quorum,
        optional,
        defaults: owners(words(rest).into_iter())?,
        lines: Vec::new(),
    })
}

fn owners(words: impl Iterator<Item = String>) -> Result<Vec<String>, String> {
    let owner = |word: String| {
        let named = |name: &str| !name.is_empty() && !name.contains(['@', '/']);
        if let Some(name) = word.strip_prefix('@') {
            let entry = match name.rsplit_once('/') {
                Some((org, team)) if !org.is_empty() && named(team) => format!("group:{team}"),
                None if named(name) => format!("user:{name}"),
                _ => return Err(unknown(&word)),
            };
            return Ok(entry);
        }
        match word.split_once('@') {
            Some((local, host)) if named(local) && named(host) => Ok(format!("email:{word}")),
            _ => Err(unknown(&word)),
        }
    };
    let mut owners = words.map(owner).collect::<Result<Vec<_>, _>>()?;
    owners.sort();
    owners.dedup();
    Ok(owners)
}

fn unknown(word: &str) -> String {
    let shown: String = word.chars().take(80).collect();
    format!("'{shown}': expected @org/team, @user or an e-mail address")
}

/// A pattern of gitignore(5) without `!` and `[ ]`, which GitHub does not take either.
fn compile(pattern: &str) -> Result<Regex, String> {
    let shown: String = pattern.chars().take(80).collect();
    if pattern.starts_with('!') || pattern.contains(['[', ']']) {
        return Err(format!(
            "'{shown}': patterns with !, [ and ] are not offered"
        ));
    }
    if pattern.len() > 1024 || pattern.trim_matches('/').is_empty() {
        return Err(format!(
            "'{shown}': expected a path pattern of 1 to 1024 bytes"
        ));
    }
    let anchored = pattern.trim_end_matches('/').contains('/');
    let body = pattern.strip_prefix('/').unwrap_or(pattern);
    let (body, end) = match body.strip_suffix('/') {
        Some(directory) => (directory, "/.*"),
        // `docs/*` is about the files of that directory and not about what lies deeper.
        None if body.ends_with("/*") || (body == "*" && anchored) => (body, ""),
        None => (body, "(?:/.*)?"),
    };
    let mut regex = String::from("(?s-u)\\A");
    if !anchored {
        regex.push_str("(?:.*/)?");
    }
    let mut rest = body;
    while let Some(first) = rest.chars().next() {
        let (piece, taken) = if rest.starts_with("**/") {
            ("(?:.*/)?".to_owned(), 3)
        } else if rest.starts_with("**") {
            (".*".to_owned(), 2)
        } else if first == '*' {
            ("[^/]*".to_owned(), 1)
        } else if first == '?' {
            ("[^/]".to_owned(), 1)
        } else {
            let bytes = rest.get(..first.len_utf8()).unwrap_or_default().bytes();
            let piece = bytes.fold(String::new(), |text, byte| text + &format!("\\x{byte:02x}"));
            (piece, first.len_utf8())
        };
        regex.push_str(&piece);
        rest = rest.get(taken..).unwrap_or_default();
    }
    regex.push_str(end);
    regex.push_str("\\z");
    RegexBuilder::new(&regex)
        .unicode(false)
        .size_limit(1 << 20)
        .build()
        .map_err(|_| format!("'{shown}': the pattern is too complicated"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(text: &str, path: &str) -> String {
        let owners = Owners::parse(text).unwrap();
        let shown = |owned: &Owned<'_>| format!("{}x{}", owned.quorum, owned.owners.join(","));
        let found: Vec<String> = owners.of(path.as_bytes()).iter().map(shown).collect();
        found.join(" ")
    }

    #[test]
    fn patterns_match_as_documented() {
        for (pattern, path, expected) in [
            ("*", "a/b", true),
            ("*.js", "src/a.js", true),
            ("*.js", "src/a.json", false),
            ("/docs/", "docs/a/b", true),
            ("/docs/", "x/docs/a", false),
            ("docs/*", "docs/a.md", true),
            ("docs/*", "docs/deep/a.md", false),
            ("apps/", "x/apps/y", true),
            ("/apps/github", "apps/github/x", true),
            ("**/logs", "deep/logs/x", true),
            ("**/logs", "logs/x", true),
            ("a\\ b", "a b", true),
            ("\\#x", "#x", true),
        ] {
            let is_owned = !owned(&format!("{pattern} @u"), path).is_empty();
            assert_eq!(is_owned, expected, "{pattern} {path}");
        }
    }

    #[test]
    fn the_last_match_of_each_section_decides() {
        let text = "\
# everything
* @org/all  # comment
/src/ @ada grace@example.org
/src/generated/
[Security][2] @acme/sub/security
/src/auth/
^[Optional]
* @nobody
";
        for (path, expected) in [
            ("README", "1xgroup:all"),
            ("src/x", "1xemail:grace@example.org,user:ada"),
            ("src/generated/x", ""),
            (
                "src/auth/x",
                "1xemail:grace@example.org,user:ada 2xgroup:security",
            ),
        ] {
            assert_eq!(owned(text, path), expected, "{path}");
        }
        assert_eq!(Owners::parse(text).unwrap().all().len(), 3);
    }

    #[test]
    fn a_line_that_cannot_be_understood_is_an_error() {
        for (text, line) in [
            ("* ada", 1),
            ("# fine\n* @", 2),
            ("* @org/", 1),
            ("* @/team", 1),
            ("!x @ada", 1),
            ("[ab]c @ada @x", 1),
            ("[] @ada", 1),
            ("[S][0] @ada", 1),
            ("/ @ada", 1),
            ("* a@b@c", 1),
        ] {
            let error = Owners::parse(text).unwrap_err();
            assert_eq!(error.line, line, "{text}");
        }
    }
}

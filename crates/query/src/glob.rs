//! Patterns: `*` stands for anything within a component, `**` for anything, `?` for one character.

/// A pattern for names and paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(String);

impl Glob {
    /// Takes a pattern as it was written.
    pub fn new(pattern: impl Into<String>) -> Self {
        Self(pattern.into())
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text that it stands for, if it stands for one text only.
    pub fn exact(&self) -> Option<&str> {
        (!self.0.contains(['*', '?'])).then_some(self.0.as_str())
    }

    /// The same as a regular expression of Postgres (POSIX, advanced), with anchors. `**/` stands
    /// for no directory, too.
    pub fn regex(&self) -> String {
        let mut regex = String::with_capacity(self.0.len() + 16);
        regex.push_str("^(?:");
        let mut rest = self.0.as_str();
        while let Some(first) = rest.chars().next() {
            let length = if rest.starts_with("**/") {
                regex.push_str("(?:.*/)?");
                3
            } else if rest.starts_with("**") {
                regex.push_str(".*");
                2
            } else if first == '*' {
                regex.push_str("[^/]*");
                1
            } else if first == '?' {
                regex.push_str("[^/]");
                1
            } else {
                push_literal(&mut regex, first);
                first.len_utf8()
            };
            rest = rest.get(length..).unwrap_or_default();
        }
        regex.push_str(")$");
        regex
    }

    /// An anchored regular expression for the first `most` characters that every text that it
    /// stands for begins with; none if they can begin with anything.
    pub fn begin_regex(&self, most: usize) -> Option<String> {
        let literal = self.0.split(['*', '?']).next().unwrap_or_default();
        anchored(literal.chars().take(most))
    }

    /// The same for what they end with, read backwards.
    pub fn end_regex(&self, most: usize) -> Option<String> {
        let literal = self.0.rsplit(['*', '?']).next().unwrap_or_default();
        // The slash of `**/` need not be there.
        let literal = match self.exact() {
            Some(_) => literal,
            None => literal.strip_prefix('/').unwrap_or(literal),
        };
        anchored(literal.chars().rev().take(most))
    }
}

fn anchored(literal: impl Iterator<Item = char>) -> Option<String> {
    let mut regex = String::from("^");
    for c in literal {
        push_literal(&mut regex, c);
    }
    (regex.len() > 1).then_some(regex)
}

fn push_literal(regex: &mut String, c: char) {
    if c.is_ascii_punctuation() {
        regex.push('\\');
    }
    regex.push(c);
}

//! What can be wrong with a rule file. Never holds scanned bytes.

/// A rule file that cannot be used. Each says the file and, where known, the 1-based line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuleError {
    /// The file is not TOML, or has an unknown, missing or mistyped key.
    #[error("{file}:{line}: {message}")]
    Syntax {
        /// Name of the file as given by the caller.
        file: String,
        /// 1-based line.
        line: usize,
        /// What was found and what was expected.
        message: String,
    },
    /// A value that reads well but is not acceptable.
    #[error("{file}:{line}: rule \"{rule}\": {key}: {expected}")]
    Value {
        /// Name of the file as given by the caller.
        file: String,
        /// 1-based line of the rule's id.
        line: usize,
        /// The rule's id.
        rule: String,
        /// The key at fault.
        key: &'static str,
        /// What was expected.
        expected: String,
    },
    /// The pattern does not compile.
    #[error("{file}:{line}: rule \"{rule}\": {key} is not a regular expression: {message}")]
    Pattern {
        /// Name of the file as given by the caller.
        file: String,
        /// 1-based line of the pattern.
        line: usize,
        /// The rule's id.
        rule: String,
        /// The key that holds the pattern.
        key: &'static str,
        /// What the compiler said.
        message: String,
    },
    /// The pattern compiles to more than the stated limit.
    #[error("{file}:{line}: rule \"{rule}\": {key} is too large: more than {limit} bytes compiled")]
    TooLarge {
        /// Name of the file as given by the caller.
        file: String,
        /// 1-based line of the pattern.
        line: usize,
        /// The rule's id.
        rule: String,
        /// The key that holds the pattern.
        key: &'static str,
        /// The limit in bytes.
        limit: usize,
    },
    /// Two rules share one id.
    #[error("{file}:{line}: rule \"{rule}\" stands already in {first}")]
    Duplicate {
        /// File of the second one.
        file: String,
        /// 1-based line of the second one.
        line: usize,
        /// The id of both.
        rule: String,
        /// File of the first one.
        first: String,
    },
}

impl RuleError {
    /// The file, and the 1-based line.
    pub fn place(&self) -> (&str, usize) {
        match self {
            Self::Syntax { file, line, .. }
            | Self::Value { file, line, .. }
            | Self::Pattern { file, line, .. }
            | Self::TooLarge { file, line, .. }
            | Self::Duplicate { file, line, .. } => (file, *line),
        }
    }

    /// What is wrong, without the place.
    /// In one line.
    pub fn problem(&self) -> String {
        if let Self::Pattern {
            rule, key, message, ..
        } = self
        {
            // A message of the compiler draws a picture; what is wrong stands in its last line.
            let why = message.trim_end().lines().last().unwrap_or_default();
            let why = why.trim_start_matches("error: ");
            return format!("rule \"{rule}\": {key} is not a regular expression: {why}");
        }
        let (file, line) = self.place();
        let text = self.to_string();
        let place = format!("{file}:{line}: ");
        text.strip_prefix(&place)
            .unwrap_or(&text)
            .replace('\n', " ")
    }
}

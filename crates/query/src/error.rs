//! What is wrong with a query.

/// Where a query could not be read on, what was expected there, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("character {at}: expected {expected}, found {found:?}{}", hint(.next.as_deref()))]
pub struct QueryError {
    /// The character at which it went wrong, from 1.
    pub at: usize,
    /// What was expected.
    pub expected: String,
    /// What stands there, at most 40 characters of it.
    pub found: String,
    /// What to do.
    pub next: Option<String>,
}

impl QueryError {
    /// At character `at`, counted from 0.
    pub(crate) fn new(at: usize, expected: &str, found: &str) -> Self {
        Self {
            at: at + 1,
            expected: expected.to_owned(),
            found: found.chars().take(40).collect(),
            next: None,
        }
    }

    pub(crate) fn next(mut self, next: &str) -> Self {
        self.next = Some(next.to_owned());
        self
    }
}

fn hint(next: Option<&str>) -> String {
    next.map_or_else(String::new, |next| format!("; {next}"))
}

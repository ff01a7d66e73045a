//! `.gitleaksignore`: findings that somebody has looked at, by place.

use std::collections::BTreeSet;

use crate::finding::Finding;

use super::load::Note;

/// Places at which findings are known.
///
/// One a line: `file:rule:line`, which holds for every commit, or `commit:file:rule:line`. The
/// line is that of the match ([`Finding::match_line`]), 0 for a rule about paths. `#` starts a
/// comment line; `\` in a file name reads as `/`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ignore {
    entries: BTreeSet<String>,
}

impl Ignore {
    /// Reads a file; `name` is for the notes on lines of neither form, which have no effect.
    pub fn parse(text: &str, name: &str) -> (Self, Vec<Note>) {
        let mut entries = BTreeSet::new();
        let mut notes = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let mut parts: Vec<String> = line.split(':').map(str::to_owned).collect();
            let count = parts.len();
            let file = match count {
                3 => parts.first_mut(),
                4 => parts.get_mut(1),
                _ => None,
            };
            let Some(file) = file else {
                notes.push(Note {
                    file: name.to_owned(),
                    line: index + 1,
                    text: "expected file:rule:line or commit:file:rule:line".to_owned(),
                });
                continue;
            };
            *file = file.replace('\\', "/");
            entries.insert(parts.join(":"));
        }
        (Self { entries }, notes)
    }

    /// The entry that covers a finding, to be recorded with it.
    ///
    /// Whether it names nothing.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// `path` is the file's path inside its repository; `commit` the full hexadecimal name of
    /// the commit that holds it, if there is one.
    pub fn covers(&self, finding: &Finding, path: &[u8], commit: Option<&str>) -> Option<&str> {
        if self.entries.is_empty() {
            return None;
        }
        let path = String::from_utf8_lossy(path);
        let global = format!("{path}:{}:{}", finding.rule_id, finding.match_line);
        let entry = |text: &str| self.entries.get(text).map(String::as_str);
        entry(&global).or_else(|| commit.and_then(|commit| entry(&format!("{commit}:{global}"))))
    }
}

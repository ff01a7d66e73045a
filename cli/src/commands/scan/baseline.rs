//! A file of known findings. JSON with one finding a line, so that a change of it can be read.

use std::collections::{BTreeSet, HashSet};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use refwarden_model::ByteText;
use refwarden_scan::Fingerprint;
use serde::{Deserialize, Serialize};

use super::found::{Found, Status};
use super::key::{self, Key};
use crate::failure::{Context as _, Failure, Outcome};

/// The version of the format.
const VERSION: u32 = 1;

/// A baseline that was read.
pub struct Baseline {
    key: Option<String>,
    key_name: String,
    known: HashSet<Fingerprint>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    refwarden_baseline: u32,
    /// Absent where the key is a file of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    key_name: String,
    findings: Vec<Entry>,
}

/// The fingerprint counts; the rest is for people.
#[derive(Serialize, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(deny_unknown_fields)]
struct Entry {
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<ByteText>,
    rule: String,
    fingerprint: String,
}

impl Baseline {
    /// Reads one.
    pub fn read(path: &Path) -> Outcome<Self> {
        let broken = || format!("the baseline {} cannot be read", path.display());
        let text = std::fs::read(path).context(broken)?;
        let document: Document = serde_json::from_slice(&text).context(broken)?;
        if document.refwarden_baseline != VERSION {
            let why = format!("it is of version {}", document.refwarden_baseline);
            return Err(Failure::new(broken()).why(why));
        }
        let known = document.findings.iter().map(|it| it.fingerprint.parse());
        Ok(Self {
            known: known.collect::<Result<_, _>>().context(broken)?,
            key: document.key,
            key_name: document.key_name,
        })
    }

    /// Whether a finding is known.
    pub fn holds(&self, fingerprint: &Fingerprint) -> bool {
        self.known.contains(fingerprint)
    }

    /// The key, if it is part of the file.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// What the key is called.
    pub fn key_name(&self) -> &str {
        &self.key_name
    }
}

/// Writes all findings to a file, which is replaced whole or not at all and keeps its permissions. A
/// symbolic link stays, and what it leads to is replaced.
pub fn write(path: &Path, key: &Key, found: &[Found]) -> Outcome<()> {
    let entry = |found: &Found| Entry {
        path: found.spot.path.as_deref().map(ByteText::new),
        rule: found.rule.to_string(),
        fingerprint: found.fingerprint.to_string(),
    };
    let entries: BTreeSet<Entry> = found
        .iter()
        .filter(|it| it.status != Status::Noted)
        .map(entry)
        .collect();
    let problem = || format!("the baseline {} cannot be written", path.display());
    let text = render(key, &entries).context(problem)?;
    let resolved = std::fs::canonicalize(path);
    let path = resolved.as_deref().unwrap_or(path);
    let mut mode = std::fs::Permissions::from_mode(0o644);
    if let Ok(known) = std::fs::symlink_metadata(path) {
        if !known.is_file() {
            return Err(Failure::new(problem())
                .why("it is no file")
                .next("name a file, or a path at which there is nothing"));
        }
        mode = known.permissions();
    }
    let directory = path.parent().filter(|it| !it.as_os_str().is_empty());
    let directory = directory.unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(".refwarden-baseline-")
        .permissions(mode)
        .tempfile_in(directory)
        .context(problem)?;
    file.write_all(text.as_bytes()).context(problem)?;
    file.as_file().sync_all().context(problem)?;
    file.persist(path).context(problem)?;
    Ok(())
}

fn render(key: &Key, entries: &BTreeSet<Entry>) -> serde_json::Result<String> {
    let stored = key.stored.as_ref();
    let stored = stored.map(|stored| format!("\"key\": \"{stored}\",\n"));
    let stored = stored.unwrap_or_default();
    let name = key::name(&key.bytes);
    let lines: Result<Vec<String>, _> = entries.iter().map(serde_json::to_string).collect();
    let lines = lines?.join(",\n");
    Ok(format!(
        "{{\n\"refwarden_baseline\": {VERSION},\n{stored}\"key_name\": \"{name}\",\n\"findings\": [\n{lines}\n]\n}}\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use refwarden_scan::FingerprintKey;

    #[test]
    fn what_is_written_can_be_read() {
        let fingerprint = FingerprintKey::new([1; 32]).fingerprint(b"x");
        let key = Key {
            bytes: FingerprintKey::new([1; 32]),
            stored: Some("01".repeat(32)),
            is_secret: true,
        };
        let entry = |path: &[u8]| Entry {
            path: Some(ByteText::new(path)),
            rule: "r".into(),
            fingerprint: fingerprint.to_string(),
        };
        for entries in [vec![], vec![entry(b"a")], vec![entry(b"a"), entry(b"\xff")]] {
            let count = entries.len();
            let text = render(&key, &entries.into_iter().collect()).unwrap();
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("b");
            std::fs::write(&path, text).unwrap();
            let read = Baseline::read(&path).unwrap();
            assert_eq!(read.holds(&fingerprint), count > 0);
            assert_eq!(read.key(), Some("01".repeat(32).as_str()));
            assert_eq!(read.key_name(), key::name(&key.bytes));
        }
    }
}

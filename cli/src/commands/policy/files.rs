//! Reads policy files, and the files of owners that they name.

use std::path::{Path, PathBuf};

use refwarden_policy::Policy;

use crate::failure::{Context as _, Failure, Outcome};

/// Reads and parses files as one policy.
pub fn policy(files: &[PathBuf]) -> Outcome<Policy> {
    let mut texts = Vec::new();
    for file in files {
        let name = file.display().to_string();
        let text = std::fs::read_to_string(file).context(|| format!("{name} cannot be read"))?;
        texts.push((name, text));
    }
    let texts: Vec<(&str, &str)> = texts
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    Policy::parse_with(&texts, &beside).map_err(|error| {
        Failure::new("the policy is not accepted")
            .why(error)
            .next("see docs/policy.md for what can be written")
    })
}

/// The text of a file that a policy file names, from beside it.
fn beside(file: &str, name: &str) -> Result<String, String> {
    let directory = Path::new(file).parent().unwrap_or(Path::new(""));
    std::fs::read_to_string(directory.join(name)).map_err(|error| error.to_string())
}

//! Where keys and checkpoints come from.

use std::path::Path;

use refwarden_merkle::{Checkpoint, Hash, PublicKey};
use refwarden_wire::log::CheckpointsOut;

use super::text;
use crate::api::Api;
use crate::failure::{Context as _, Failure, Outcome};

/// A key that was given: as text, or as a file that holds it.
pub fn key(given: &str) -> Outcome<PublicKey> {
    let path = Path::new(given);
    let text = if path.is_file() {
        std::fs::read_to_string(path).context(|| format!("{given} cannot be read"))?
    } else {
        given.to_owned()
    };
    let key = text.trim().parse();
    key.context(|| format!("{given} is no public key"))
}

/// The key that was given, or the service's own.
pub fn key_or_asked(given: Option<&str>, api: Option<&Api>) -> Outcome<PublicKey> {
    match (given, api) {
        (Some(given), _) => key(given),
        (None, Some(api)) => {
            let text = text(api, "/api/v1/log/key")?;
            text.parse()
                .context(|| "the service's key is not understood".to_owned())
        }
        (None, None) => Err(Failure::new("which key?").next("give --key")),
    }
}

/// Checkpoints, and the hashes that were kept with them.
pub struct Known {
    /// All of them.
    pub checkpoints: Vec<Checkpoint>,
    /// A second place's file of leaf hashes.
    pub kept: Option<Vec<u8>>,
}

impl Known {
    /// Reads files and directories.
    pub fn read(paths: &[impl AsRef<Path>], key: &PublicKey) -> Outcome<Self> {
        let mut known = Self {
            checkpoints: Vec::new(),
            kept: None,
        };
        for path in paths {
            let path = path.as_ref();
            if !path.is_dir() {
                known.add(path, key)?;
                continue;
            }
            let shown = path.display();
            let directory = path.join("checkpoints");
            let entries = std::fs::read_dir(&directory)
                .context(|| format!("{shown} is no second place of a log"))?;
            for entry in entries {
                let entry = entry.context(|| format!("{shown} cannot be read"))?;
                known.add(&entry.path(), key)?;
            }
            let leaves = path.join("leaves");
            if leaves.exists() {
                let bytes = std::fs::read(&leaves)
                    .context(|| format!("{} cannot be read", leaves.display()))?;
                known.kept = Some(bytes);
            }
        }
        Ok(known)
    }

    fn add(&mut self, path: &Path, key: &PublicKey) -> Outcome<()> {
        let shown = path.display();
        let note = std::fs::read_to_string(path).context(|| format!("{shown} cannot be read"))?;
        self.checkpoints
            .push(checkpoint(&note, key, &shown.to_string())?);
        Ok(())
    }

    /// Adds those that the service has.
    pub fn ask(&mut self, api: &Api, key: &PublicKey) -> Outcome<()> {
        let mut after = Some(0);
        while let Some(from) = after {
            let query = [("after", from.to_string())];
            let page: CheckpointsOut = api.get("/api/v1/log/checkpoints", &query)?;
            for note in &page.checkpoints {
                let found = checkpoint(note, key, "a checkpoint of the service")?;
                self.checkpoints.push(found);
            }
            after = page.next;
        }
        Ok(())
    }

    /// The size that is attested.
    pub fn size(&self) -> u64 {
        let sizes = self.checkpoints.iter().map(|it| it.size);
        sizes.max().unwrap_or(0)
    }
}

/// Reads a checkpoint; one that the log has not signed is tampering.
pub fn checkpoint(note: &str, key: &PublicKey, what: &str) -> Outcome<Checkpoint> {
    Checkpoint::parse(note, key).map_err(|error| {
        Failure::refused(format!("{what} is not to be trusted"))
            .why(error)
            .next("see that --key is the log's key; if it is, the checkpoint was forged")
    })
}

/// Hashes of a proof.
pub fn hashes(proof: &[String]) -> Outcome<Vec<Hash>> {
    let parsed: Result<Vec<Hash>, _> = proof.iter().map(|hash| hash.parse()).collect();
    parsed.context(|| "the service's proof is not understood".to_owned())
}

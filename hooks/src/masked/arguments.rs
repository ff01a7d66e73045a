//! What the proxy says: which view of which repository, and where it stands.

use std::path::PathBuf;

use refwarden_scan::FingerprintKey;
use refwarden_wire::hook::MaskedView;

use crate::fault::Fault;

/// The command line.
pub struct Arguments {
    /// The original.
    pub repository: PathBuf,
    /// The generation of the view, with the shadow in it, that the client was shown.
    pub generation: PathBuf,
    /// File with the key of views.
    pub key: PathBuf,
    /// Files of rules besides the built-in ones.
    pub rules: Vec<PathBuf>,
    /// The view.
    pub view: MaskedView,
    /// Where directories of pushes are made.
    pub work: PathBuf,
}

impl Arguments {
    /// Reads them.
    pub fn read() -> Result<Self, Fault> {
        Self::parse(std::env::args_os().skip(1).collect()).ok_or_else(|| {
            Fault::hook("refwarden-receive is started by the proxy and by refwarden-shell alone")
        })
    }

    fn parse(words: Vec<std::ffi::OsString>) -> Option<Self> {
        let (mut repository, mut generation, mut key) = (None, None, None);
        let (mut view, mut work, mut rules) = (None, None, Vec::new());
        let mut words = words.into_iter();
        while let Some(name) = words.next() {
            let value = PathBuf::from(words.next()?);
            match name.to_str()? {
                "--repository" => repository = Some(value),
                "--generation" => generation = Some(value),
                "--key" => key = Some(value),
                "--rules" => rules.push(value),
                "--work" => work = Some(value),
                "--view" => view = serde_json::from_str(value.to_str()?).ok(),
                _ => return None,
            }
        }
        Some(Self {
            repository: repository?,
            generation: generation?,
            key: key?,
            rules,
            view: view?,
            work: work?,
        })
    }

    /// The key.
    pub fn key(&self) -> Result<FingerprintKey, Fault> {
        let wrong = || Fault::hook("the key of masked views cannot be read");
        let text = std::fs::read_to_string(&self.key).map_err(|_| wrong())?;
        let mut key = [0; 32];
        hex::decode_to_slice(text.trim(), &mut key).map_err(|_| wrong())?;
        Ok(FingerprintKey::new(key))
    }
}

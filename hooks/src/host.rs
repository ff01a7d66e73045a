//! The repository that a hook runs for, and the host's configuration that it names.

use std::path::Path;

use refwarden_config::HookConfig;
use refwarden_gitio::Repository;
use refwarden_model::{Code, RepositoryId};
use refwarden_scan::FingerprintKey;
use secrecy::SecretString;
use zeroize::Zeroizing;

use crate::fault::Fault;

/// A guarded repository on this host.
pub struct Host {
    /// The repository.
    pub repository: Repository,
    /// The id under which the service knows it.
    pub id: RepositoryId,
    /// How to reach the service.
    pub config: HookConfig,
}

impl Host {
    /// Opens the repository that git runs the hook for.
    pub fn open() -> Result<Self, Fault> {
        Self::of(Repository::of_hook()?)
    }

    /// Takes a repository that was opened.
    pub fn of(repository: Repository) -> Result<Self, Fault> {
        let unknown = |text| {
            Fault::new(Code::UnknownRepository, text)
                .hint("an administrator runs `refwarden install` for it")
        };
        let Some(id) = repository.id else {
            let text = "this repository has hooks of Refwarden, but was never adopted";
            return Err(unknown(text));
        };
        let Some(file) = repository.hook_config.as_deref() else {
            let text = "this repository is not under guard any more, so no service is known for it";
            return Err(unknown(text));
        };
        // Its pushes would be told, and approved, as those of the other one.
        if repository.original().is_some() {
            let text = "this repository is a copy of another one under guard, with the same id";
            return Err(Fault::new(Code::UnknownRepository, text)
                .hint("an administrator runs `refwarden install --as-new` for it"));
        }
        let text = read(file, "hook.toml")?;
        let parsed = refwarden_config::parse("hook.toml", &text);
        let config = parsed.map_err(|error| Fault::hook(error.to_string()))?;
        Ok(Self {
            repository,
            id,
            config,
        })
    }

    /// The host credential.
    pub fn credential(&self) -> Result<SecretString, Fault> {
        let text = read(&self.config.credential_file, "the host credential")?;
        Ok(SecretString::from(text.trim()))
    }

    /// The key of fingerprints.
    pub fn fingerprint_key(&self) -> Result<FingerprintKey, Fault> {
        let text = read(&self.config.fingerprint_key_file, "the fingerprint key")?;
        let mut key = Zeroizing::new([0; 32]);
        hex::decode_to_slice(text.trim(), key.as_mut_slice())
            .map_err(|_| Fault::hook("the fingerprint key is not 64 hexadecimal digits"))?;
        Ok(FingerprintKey::new(*key))
    }
}

fn read(path: &Path, what: &str) -> Result<Zeroizing<String>, Fault> {
    std::fs::read_to_string(path)
        .map(Zeroizing::new)
        .map_err(|error| Fault::hook(format!("{what} cannot be read: {}", error.kind())))
}
